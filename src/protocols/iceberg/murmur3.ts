/** Murmur3, 32 bit, x86 variant, seed 0: the hash of Iceberg's bucket transform. Not for security. */

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

const mixK = (k: number): number => Math.imul(rotl(Math.imul(k, C1), 15), C2);

/** The hash as a signed 32-bit number. */
export function murmur3(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks = bytes.length >> 2;
  let h = 0;
  for (let i = 0; i < blocks; i++) {
    h ^= mixK(view.getInt32(i * 4, true));
    h = (Math.imul(rotl(h, 13), 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let i = bytes.length - 1; i >= blocks * 4; i--) k = (k << 8) | (bytes[i] as number);
  if (bytes.length & 3) h ^= mixK(k);
  h ^= bytes.length;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
