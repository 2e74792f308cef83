/**
 * Writes X.509 v3 certificates with ECDSA P-256 keys: the DER of RFC 5280, only what our own CA and its server
 * certificates hold. Not a parser (`node:crypto` has `X509Certificate`). Everything in a certificate comes from the
 * arguments, so equal arguments differ only in the signature.
 */
import { createHash, type KeyObject, sign } from "node:crypto";
import { isIP } from "node:net";

export interface CertificateRequest {
  readonly subject: DistinguishedName;
  readonly issuer: DistinguishedName;
  /** EC P-256. */
  readonly publicKey: KeyObject;
  /** The issuer's key pair; the subject's own for a self-signed certificate. */
  readonly signer: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Up to 20 bytes; the first bit is cleared, so that the number is positive. */
  readonly serial: Uint8Array;
  /** Milliseconds since the epoch; certificates know whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** A CA may only sign server certificates (path length 0); a server certificate has host names or addresses. */
  readonly use: { readonly ca: true } | { readonly hosts: readonly string[] };
}

export interface DistinguishedName {
  readonly organization: string;
  readonly commonName: string;
}

const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  organization: "2.5.4.10",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

/** The certificate as PEM. */
export function issueCertificate(request: CertificateRequest): string {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const toBeSigned = sequence(
    tagged(0, integer(Uint8Array.of(2))),
    integer(positive(request.serial)),
    algorithm,
    name(request.issuer),
    sequence(time(request.notBefore), time(request.notAfter)),
    name(request.subject),
    subjectPublicKeyInfo(request.publicKey),
    tagged(3, sequence(...extensions(request))),
  );
  const signature = sign("sha256", toBeSigned, { key: request.signer.privateKey, dsaEncoding: "der" });
  return pem(sequence(toBeSigned, algorithm, bitString(signature)));
}

function extensions(request: CertificateRequest): Buffer[] {
  const identifiers = [
    extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(request.publicKey))),
    extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, keyIdentifier(request.signer.publicKey)))),
  ];
  if ("ca" in request.use) {
    return [
      extension(OID.basicConstraints, true, sequence(der(0x01, Uint8Array.of(0xff)), integer(Uint8Array.of(0)))),
      // keyCertSign (5) and cRLSign (6): the two lowest bits of seven, so one bit is unused.
      extension(OID.keyUsage, true, der(0x03, Uint8Array.of(1, 0b0000_0110))),
      ...identifiers,
    ];
  }
  return [
    extension(OID.basicConstraints, true, sequence()),
    // digitalSignature (0): one bit of eight.
    extension(OID.keyUsage, true, der(0x03, Uint8Array.of(7, 0b1000_0000))),
    extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
    extension(OID.subjectAltName, false, sequence(...request.use.hosts.map(generalName))),
    ...identifiers,
  ];
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [der(0x01, Uint8Array.of(0xff))] : []), octetString(value));
}

function generalName(host: string): Buffer {
  return isIP(host) === 0 ? implicit(2, Buffer.from(host, "ascii")) : implicit(7, addressBytes(host));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  // The URL parser writes IPv6 addresses in one canonical form, with at most one "::".
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [before, after] = canonical.split("::").map((half) => half.split(":").filter(Boolean));
  const groups = [...(before ?? []), ...Array<string>(8 - (before?.length ?? 0) - (after?.length ?? 0)).fill("0"), ...(after ?? [])];
  const bytes = Buffer.alloc(16);
  for (const [i, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  return bytes;
}

function subjectPublicKeyInfo(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** SHA-1 of the public key's bit string (RFC 5280, 4.2.1.2): for P-256 the last 65 bytes, an uncompressed point. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash("sha1").update(subjectPublicKeyInfo(key).subarray(-65)).digest();
}

function name(value: DistinguishedName): Buffer {
  const attribute = (id: string, text: string): Buffer => der(0x31, sequence(oid(id), der(0x0c, Buffer.from(text, "utf8"))));
  return sequence(attribute(OID.organization, value.organization), attribute(OID.commonName, value.commonName));
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return Number(digits.slice(0, 4)) < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const bytes = [(first as number) * 40 + (second as number)];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Uint8Array.from(bytes));
}

function positive(serial: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(serial);
  // 01xxxxxx: positive, and without leading zero bytes that DER forbids.
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes;
}

const integer = (bytes: Uint8Array): Buffer => der(0x02, bytes);
const octetString = (bytes: Uint8Array): Buffer => der(0x04, bytes);
const bitString = (bytes: Uint8Array): Buffer => der(0x03, Buffer.concat([Uint8Array.of(0), bytes]));
const sequence = (...parts: Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
const tagged = (number: number, content: Buffer): Buffer => der(0xa0 | number, content);
const implicit = (number: number, content: Buffer): Buffer => der(0x80 | number, content);

function der(tag: number, content: Uint8Array): Buffer {
  const length =
    content.length < 0x80
      ? [content.length]
      : content.length < 0x100
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...length), content]);
}

const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${(bytes.toString("base64").match(/.{1,64}/g) ?? []).join("\n")}\n-----END CERTIFICATE-----\n`;
