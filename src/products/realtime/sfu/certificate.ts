/**
 * The certificate of this side's DTLS, new at every start and signed by itself: clients know it by the fingerprint in the
 * description that the API gives them, so that nobody else need vouch for it.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { HashAlgorithm, RTCCertificate, SignatureAlgorithm } from "werift";
import { issueCertificate } from "../../../kernel/gateway/x509.ts";

const DAY_MS = 86_400_000;
const NAME = { organization: "Freehold", commonName: "Realtime" };

export function createCertificate(now: number): RTCCertificate {
  const keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const certificate = issueCertificate({
    ...{ subject: NAME, issuer: NAME, publicKey: keys.publicKey, signer: keys, serial: randomBytes(16) },
    ...{ notBefore: now - DAY_MS, notAfter: now + 3650 * DAY_MS, use: { hosts: ["localhost"] } },
  });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return new RTCCertificate(key, certificate, { hash: HashAlgorithm.sha256_4, signature: SignatureAlgorithm.ecdsa_3 });
}
