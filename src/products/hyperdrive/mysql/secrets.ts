/** How passwords are proven in MySQL's protocol without being sent. */
import { createHash, timingSafeEqual } from "node:crypto";

const sha1 = (...parts: Uint8Array[]): Buffer => parts.reduce((hash, part) => hash.update(part), createHash("sha1")).digest();
const sha256 = (...parts: Uint8Array[]): Buffer => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, at) => byte ^ (b[at] as number)));

/** mysql_native_password. */
export function nativeProof(password: string, scramble: Buffer): Buffer {
  const once = sha1(Buffer.from(password));
  return xor(once, sha1(scramble, sha1(once)));
}

/** The fast way of caching_sha2_password. */
export function cachingProof(password: string, scramble: Buffer): Buffer {
  const once = sha256(Buffer.from(password));
  return xor(once, sha256(sha256(once), scramble));
}

export function proves(given: Buffer, password: string, scramble: Buffer): boolean {
  const expected = nativeProof(password, scramble);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
