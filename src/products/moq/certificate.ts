/**
 * The certificate of the QUIC port. Without one of the operator's it is self-signed and short-lived, as browsers demand of one
 * that they are to trust by its hash alone (`serverCertificateHashes`: ECDSA, at most two weeks).
 */
import { generateKeyPair, randomBytes, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { issueCertificate } from "../../kernel/gateway/x509.ts";
import type { KernelSlice } from "../../kernel/product.ts";

export interface QuicCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate in hex, for browsers; only of a self-signed one. */
  readonly hash: string | undefined;
  /** Milliseconds since the epoch from which a new one is due; Infinity for the operator's own. */
  readonly renewAt: number;
}

const DAY_MS = 24 * 3600 * 1000;
/** Two weeks are counted from a day ago, because a client's clock may be behind ours. */
const LIFE_MS = 13 * DAY_MS;
const RENEW_MS = 10 * DAY_MS;

export async function quicCertificate({ config, clock }: Pick<KernelSlice, "config" | "clock">): Promise<QuicCertificate> {
  const [certFile, keyFile] = [config["moq.certificate"], config["moq.key"]];
  if (certFile !== "") {
    const [cert, key] = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
    return { cert, key, hash: undefined, renewAt: Number.POSITIVE_INFINITY };
  }
  const keys = await promisify(generateKeyPair)("ec", { namedCurve: "prime256v1" });
  const name = { organization: "Freehold", commonName: `moq.${config.domain}` };
  const now = clock.now();
  const cert = issueCertificate({
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    signer: keys,
    serial: randomBytes(16),
    notBefore: now - DAY_MS,
    notAfter: now + LIFE_MS - 60_000,
    use: { hosts: [...new Set([name.commonName, "localhost", "127.0.0.1", "::1", config["moq.host"]])] },
  });
  return {
    cert,
    key: keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    hash: new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase(),
    renewAt: now + RENEW_MS,
  };
}
