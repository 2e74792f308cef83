/**
 * The platform's own certificate authority, and certificates for the names that the platform serves. The CA is made
 * once per data directory; clients trust it because `freehold exec` and `freehold env` tell them to. It signs only for
 * names that the caller's predicate allows, so a client that trusts it cannot be led to another site through us.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { promisify } from "node:util";
import type { Clock } from "../clock.ts";
import { syncDirectory } from "../durable-files.ts";
import { issueCertificate } from "./x509.ts";

export interface CertificateAuthority {
  /** Path of the CA's certificate, for clients. */
  readonly file: string;
  /** The CA's certificate as PEM. */
  readonly certificate: string;
  /** SHA-256 of the CA's SubjectPublicKeyInfo in base64, by which browsers are told to trust it. */
  readonly keyHash: string;
  /** Certificate chain and key as PEM. Throws when the predicate does not allow the name. */
  certificateFor(host: string): LeafCertificate;
  /**
   * Options of a TLS server that serves every allowed name by SNI. A client that names no host gets the certificate
   * of `fallbackHosts`; one that names a host which is not allowed gets a handshake failure.
   */
  serverOptions(fallbackHosts: readonly string[]): TlsOptions;
}

export interface LeafCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateAuthorityOptions {
  /** Holds `ca.crt` and `ca.key`; created. */
  readonly directory: string;
  readonly clock: Clock;
  /** Whether to certify a lower-case host name or address. */
  allows(host: string): boolean;
  /** Certificates kept in memory. */
  readonly cacheMax?: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const CA_DAYS = 3650;
// Clients refuse server certificates that are valid for more than 398 days (CA/Browser Forum baseline requirements).
const LEAF_DAYS = 397;
const LEAF_RENEW_DAYS = 30;
// A client's clock may be a little behind ours.
const BACKDATE_MS = DAY_MS;
const ORGANIZATION = "Freehold";

const newKeyPair = promisify(generateKeyPair);

interface Authority {
  readonly certificate: string;
  readonly commonName: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Leaf extends LeafCertificate {
  readonly renewAt: number;
  context?: SecureContext;
}

/** Opens the CA of a directory, making it when there is none (or when it has less than a year left). */
export async function openCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
  const { directory, clock } = options;
  const cacheMax = options.cacheMax ?? 1000;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, "ca.crt");
  const authority = (await load(directory, clock)) ?? (await create(directory, clock));
  // One key pair for all names, new at every start: it never lies on disk.
  const leafKeys = await newKeyPair("ec", { namedCurve: "prime256v1" });
  const leafKey = leafKeys.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  // In order of last use, oldest first.
  const leaves = new Map<string, Leaf>();

  const issue = (hosts: readonly string[]): Leaf => {
    const now = clock.now();
    const cert = issueCertificate({
      subject: { organization: ORGANIZATION, commonName: (hosts[0] as string).slice(0, 64) },
      issuer: { organization: ORGANIZATION, commonName: authority.commonName },
      publicKey: leafKeys.publicKey,
      signer: authority,
      serial: randomBytes(16),
      notBefore: now - BACKDATE_MS,
      notAfter: now + LEAF_DAYS * DAY_MS,
      use: { hosts },
    });
    return { cert: cert + authority.certificate, key: leafKey, renewAt: now + (LEAF_DAYS - LEAF_RENEW_DAYS) * DAY_MS };
  };
  const leafFor = (name: string): Leaf => {
    const host = name.toLowerCase().replace(/\.$/, "");
    if (!isHost(host) || !options.allows(host))
      throw new Error(`no certificate for ${JSON.stringify(name)}: the platform does not serve it`);
    let leaf = leaves.get(host);
    if (leaf === undefined || leaf.renewAt <= clock.now()) leaf = issue([host]);
    leaves.delete(host);
    leaves.set(host, leaf);
    if (leaves.size > cacheMax) leaves.delete(leaves.keys().next().value as string);
    return leaf;
  };
  const contextOf = (leaf: Leaf): SecureContext => (leaf.context ??= createSecureContext({ cert: leaf.cert, key: leaf.key }));

  return {
    file,
    certificate: authority.certificate,
    keyHash: createHash("sha256")
      .update(authority.publicKey.export({ type: "spki", format: "der" }))
      .digest("base64"),
    certificateFor: leafFor,
    serverOptions(fallbackHosts) {
      const { cert, key } = issue(fallbackHosts);
      return {
        cert,
        key,
        minVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
        SNICallback(name, done) {
          let context: SecureContext;
          try {
            context = contextOf(leafFor(name));
          } catch (error) {
            done(error as Error);
            return;
          }
          done(null, context);
        },
      };
    },
  };
}

/** Undefined when there is no usable CA: none, a half-written one, or one that expires within a year. */
async function load(directory: string, clock: Clock): Promise<Authority | undefined> {
  let certificate: string;
  let key: string;
  try {
    certificate = await readFile(join(directory, "ca.crt"), "utf8");
    key = await readFile(join(directory, "ca.key"), "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`read the certificate authority in ${directory}`, { cause });
  }
  const parsed = new X509Certificate(certificate);
  const privateKey = createPrivateKey(key);
  const commonName = /^CN=(.*)$/m.exec(parsed.subject)?.[1];
  // A crash between the two renames leaves a key without its certificate.
  if (!parsed.checkPrivateKey(privateKey) || commonName === undefined) return undefined;
  if (parsed.validToDate.getTime() < clock.now() + 365 * DAY_MS) return undefined;
  return { certificate, commonName, publicKey: createPublicKey(privateKey), privateKey };
}

async function create(directory: string, clock: Clock): Promise<Authority> {
  const keys = await newKeyPair("ec", { namedCurve: "prime256v1" });
  const now = clock.now();
  // Clients tell CAs apart by name and key id: each installation has a name of its own.
  const commonName = `Freehold local CA ${randomBytes(4).toString("hex")}`;
  const subject = { organization: ORGANIZATION, commonName };
  const certificate = issueCertificate({
    subject,
    issuer: subject,
    publicKey: keys.publicKey,
    signer: keys,
    serial: randomBytes(16),
    notBefore: now - BACKDATE_MS,
    notAfter: now + CA_DAYS * DAY_MS,
    use: { ca: true },
  });
  await writeDurably(directory, "ca.key", keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
  // The certificate goes last: a key without a certificate that fits is made anew at the next start.
  await writeDurably(directory, "ca.crt", certificate, 0o644);
  return { certificate, commonName, ...keys };
}

async function writeDurably(directory: string, name: string, content: string, mode: number): Promise<void> {
  const temporary = join(directory, `.${name}.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, mode);
    await rename(temporary, join(directory, name));
    await syncDirectory(directory);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new Error(`write ${join(directory, name)}`, { cause });
  }
}

/** A DNS name of letters, digits, hyphens and underscores (bucket names may hold one), or an IP address. */
function isHost(host: string): boolean {
  return (
    isIP(host) !== 0 ||
    (host.length <= 253 && /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(host))
  );
}
