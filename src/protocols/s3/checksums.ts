/**
 * The checksums that S3 clients send and ask for: CRC-32, CRC-32C, CRC-64/NVME, SHA-1 and SHA-256, streaming,
 * and how those of parts become that of the whole: a checksum of checksums (COMPOSITE), or for CRC-64/NVME the
 * checksum of the bytes themselves, computed from the parts' without reading them again (FULL_OBJECT).
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export const checksumAlgorithms = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

/** Length of a checksum in bytes. */
export const checksumLength: Readonly<Record<ChecksumAlgorithm, number>> = { crc32: 4, crc32c: 4, crc64nvme: 8, sha1: 20, sha256: 32 };

export interface Digest {
  update(chunk: Uint8Array): void;
  digest(): Buffer;
}

export function checksum(algorithm: ChecksumAlgorithm): Digest {
  switch (algorithm) {
    case "crc32":
      return new Crc32();
    case "crc32c":
      return new Crc32c();
    case "crc64nvme":
      return new Crc64Nvme();
    default:
      return createHash(algorithm);
  }
}

class Crc32 implements Digest {
  #value = 0;
  update(chunk: Uint8Array): void {
    this.#value = crc32(chunk, this.#value);
  }
  digest(): Buffer {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(this.#value);
    return out;
  }
}

/** Slicing by 8: eight tables, so that one step takes eight bytes. `[table][byte]`, flattened. */
const CRC32C_TABLES = (() => {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    tables[byte] = value;
  }
  for (let i = 256; i < tables.length; i++) {
    const previous = tables[i - 256] as number;
    tables[i] = (previous >>> 8) ^ (tables[previous & 0xff] as number);
  }
  return tables;
})();

class Crc32c implements Digest {
  #value = ~0;

  update(chunk: Uint8Array): void {
    const t = CRC32C_TABLES;
    let crc = this.#value;
    let i = 0;
    for (const end = chunk.length - 7; i < end; i += 8) {
      const low =
        crc ^
        ((chunk[i] as number) | ((chunk[i + 1] as number) << 8) | ((chunk[i + 2] as number) << 16) | ((chunk[i + 3] as number) << 24));
      crc =
        (t[1792 + (low & 0xff)] as number) ^
        (t[1536 + ((low >>> 8) & 0xff)] as number) ^
        (t[1280 + ((low >>> 16) & 0xff)] as number) ^
        (t[1024 + (low >>> 24)] as number) ^
        (t[768 + (chunk[i + 4] as number)] as number) ^
        (t[512 + (chunk[i + 5] as number)] as number) ^
        (t[256 + (chunk[i + 6] as number)] as number) ^
        (t[chunk[i + 7] as number] as number);
    }
    for (; i < chunk.length; i++) crc = (crc >>> 8) ^ (t[(crc ^ (chunk[i] as number)) & 0xff] as number);
    this.#value = crc;
  }

  digest(): Buffer {
    const out = Buffer.alloc(4);
    out.writeInt32BE(~this.#value);
    return out;
  }
}

/** CRC-64/NVME: the reflected polynomial, all ones before and after. */
const CRC64_POLYNOMIAL = 0x9a6c9329ac4bc9b5n;

/** The same slicing with each 64-bit entry as two halves, because BigInt would be some hundred times slower. */
const CRC64_TABLES = (() => {
  const low = new Int32Array(8 * 256);
  const high = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ CRC64_POLYNOMIAL : value >> 1n;
    low[byte] = Number(BigInt.asIntN(32, value));
    high[byte] = Number(BigInt.asIntN(32, value >> 32n));
  }
  for (let i = 256; i < low.length; i++) {
    const [l, h] = [low[i - 256] as number, high[i - 256] as number];
    low[i] = ((l >>> 8) | (h << 24)) ^ (low[l & 0xff] as number);
    high[i] = (h >>> 8) ^ (high[l & 0xff] as number);
  }
  return { low, high };
})();

class Crc64Nvme implements Digest {
  #low = ~0;
  #high = ~0;

  update(chunk: Uint8Array): void {
    const { low: tl, high: th } = CRC64_TABLES;
    let low = this.#low;
    let high = this.#high;
    let i = 0;
    for (const end = chunk.length - 7; i < end; i += 8) {
      const a =
        low ^
        ((chunk[i] as number) | ((chunk[i + 1] as number) << 8) | ((chunk[i + 2] as number) << 16) | ((chunk[i + 3] as number) << 24));
      const b =
        high ^
        ((chunk[i + 4] as number) | ((chunk[i + 5] as number) << 8) | ((chunk[i + 6] as number) << 16) | ((chunk[i + 7] as number) << 24));
      const i0 = 1792 + (a & 0xff);
      const i1 = 1536 + ((a >>> 8) & 0xff);
      const i2 = 1280 + ((a >>> 16) & 0xff);
      const i3 = 1024 + (a >>> 24);
      const i4 = 768 + (b & 0xff);
      const i5 = 512 + ((b >>> 8) & 0xff);
      const i6 = 256 + ((b >>> 16) & 0xff);
      const i7 = b >>> 24;
      low =
        (tl[i0] as number) ^
        (tl[i1] as number) ^
        (tl[i2] as number) ^
        (tl[i3] as number) ^
        (tl[i4] as number) ^
        (tl[i5] as number) ^
        (tl[i6] as number) ^
        (tl[i7] as number);
      high =
        (th[i0] as number) ^
        (th[i1] as number) ^
        (th[i2] as number) ^
        (th[i3] as number) ^
        (th[i4] as number) ^
        (th[i5] as number) ^
        (th[i6] as number) ^
        (th[i7] as number);
    }
    for (; i < chunk.length; i++) {
      const index = (low ^ (chunk[i] as number)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (tl[index] as number);
      high = (high >>> 8) ^ (th[index] as number);
    }
    this.#low = low;
    this.#high = high;
  }

  digest(): Buffer {
    const out = Buffer.alloc(8);
    out.writeInt32BE(~this.#high, 0);
    out.writeInt32BE(~this.#low, 4);
    return out;
  }
}

/** Checksum of the parts' checksums; clients write it as `base64-N`. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, parts: readonly Uint8Array[]): string {
  const digest = checksum(algorithm);
  for (const part of parts) digest.update(part);
  return `${digest.digest().toString("base64")}-${parts.length}`;
}

/** CRC-64/NVME of parts that follow each other, from each part's checksum and size in bytes. */
export function combineCrc64Nvme(parts: readonly { readonly checksum: Uint8Array; readonly size: number }[]): Buffer {
  // All parts of an upload but the last are of one size, so the operator for a size is worth keeping.
  const operators = new Map<number, readonly bigint[]>();
  let crc = 0n;
  for (const part of parts) {
    const value = Buffer.from(part.checksum).readBigUInt64BE();
    if (part.size === 0) continue;
    let operator = operators.get(part.size);
    if (operator === undefined) {
      operator = zerosOperator(part.size);
      operators.set(part.size, operator);
    }
    crc = times(operator, crc) ^ value;
  }
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(crc);
  return out;
}

/** Matrix over GF(2), one column a bit, times a vector. */
function times(matrix: readonly bigint[], vector: bigint): bigint {
  let sum = 0n;
  for (let bit = 0; vector !== 0n; bit++, vector >>= 1n) if (vector & 1n) sum ^= matrix[bit] as bigint;
  return sum;
}

/** What appending `size` zero bytes does to a CRC, by squaring the matrix for one zero bit. */
function zerosOperator(size: number): readonly bigint[] {
  const multiply = (a: readonly bigint[], b: readonly bigint[]) => b.map((column) => times(a, column));
  let power: readonly bigint[] = Array.from({ length: 64 }, (_, bit) => (bit === 0 ? CRC64_POLYNOMIAL : 1n << BigInt(bit - 1)));
  for (let i = 0; i < 3; i++) power = multiply(power, power);
  let result: readonly bigint[] | undefined;
  for (let rest = BigInt(size); rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = result === undefined ? power : multiply(power, result);
    if (rest > 1n) power = multiply(power, power);
  }
  return result as readonly bigint[];
}
