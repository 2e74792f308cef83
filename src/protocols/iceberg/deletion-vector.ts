/**
 * Deletion vectors (version 3): the rows of one data file that are deleted, as a blob of a Puffin file
 * ("deletion-vector-v1": a 64-bit roaring bitmap in its portable form, with length, magic and checksum around it). Blob
 * bytes in, a plain bit mask out. Manifests say where the blob lies, so that a Puffin file's footer is never read.
 *
 * Invariant: what a blob claims never decides how much memory is taken; the rows of its data file do.
 */
import { crc32 } from "node:zlib";
import { corrupt, IcebergError } from "./errors.ts";
import type { ContentFile } from "./manifests.ts";

export interface DeletionVector {
  readonly cardinality: number;
  /** Bit n, the most significant of a byte first, is set when row n is deleted. As long as the last deleted row needs. */
  readonly mask: Uint8Array;
}

/** Where a deletion vector lies, and what it is for. */
export interface DeletionVectorBlob {
  /** The Puffin file: "s3://bucket/key". */
  readonly path: string;
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** Location of the data file. */
  readonly dataFile: string;
  /** Rows that it deletes. */
  readonly cardinality: number;
}

/** Rows of a data file that has a deletion vector: a mask takes 64 MiB then. */
export const VECTOR_ROWS_MAX = 2 ** 29;
/** Bytes of a blob: more than any bitmap of so many rows has. */
const BLOB_BYTES_MAX = VECTOR_ROWS_MAX / 4;

const MAGIC = 0xd1d33964;
const ENVELOPE_BYTES = 12;
const NO_RUNS_COOKIE = 12346;
const RUNS_COOKIE = 12347;
/** Bitmaps of fewer containers with runs among them leave out the containers' offsets. */
const OFFSETS_FROM = 4;
const ARRAY_VALUES_MAX = 4096;
const CONTAINER_BITS = 65_536;

/** The blob that a manifest's entry points to; undefined for files of deletes in another form. Throws `corrupt`. */
export function deletionVectorBlob(file: ContentFile): DeletionVectorBlob | undefined {
  if (file.format !== "PUFFIN") return undefined;
  const { path, contentOffset: offset, contentSizeInBytes: length, referencedDataFile: dataFile, recordCount: cardinality } = file;
  if (file.content !== "position-deletes" || offset === undefined || length === undefined || dataFile === undefined)
    throw corrupt(`The deletion vector ${path} does not say where it lies or which file it is for`);
  if (offset < 0 || length < ENVELOPE_BYTES || length > BLOB_BYTES_MAX)
    throw corrupt(`The deletion vector ${path} cannot have ${length} bytes`);
  return { path, offset, length, dataFile, cardinality };
}

/**
 * Reads a blob. `rows` are those of the data file and `cardinality` those that are said to be deleted, by their manifests'
 * entries. Throws `corrupt` for what is no deletion vector of such a file, `unsupported` past `VECTOR_ROWS_MAX`.
 */
export function readDeletionVector(blob: Uint8Array, expected: { readonly rows: number; readonly cardinality: number }): DeletionVector {
  const { rows, cardinality } = expected;
  if (rows > VECTOR_ROWS_MAX) throw new IcebergError("unsupported", `A data file of ${rows} rows has a deletion vector`);
  const mask = new Mask(rows);
  try {
    readBitmaps(unwrap(blob), mask);
  } catch (cause) {
    if (cause instanceof RangeError) throw corrupt("A deletion vector ends too early", { cause });
    throw cause;
  }
  if (mask.cardinality !== cardinality)
    throw corrupt(`A deletion vector deletes ${mask.cardinality} rows, and not ${cardinality} as its manifest says`);
  return { cardinality, mask: mask.bytes() };
}

/** The bitmap inside length, magic and checksum. */
function unwrap(blob: Uint8Array): Buffer {
  const buffer = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  if (buffer.length < ENVELOPE_BYTES || buffer.readUInt32BE(0) !== buffer.length - 8) throw corrupt("A deletion vector has a wrong length");
  if (buffer.readUInt32BE(4) !== MAGIC) throw corrupt("A deletion vector has a wrong magic number");
  if (buffer.readUInt32BE(buffer.length - 4) !== crc32(buffer.subarray(4, -4))) throw corrupt("A deletion vector has a wrong checksum");
  return buffer.subarray(8, -4);
}

/** Deleted rows while they are read, in ascending order. */
class Mask {
  readonly #rows: number;
  readonly #bytes: Buffer;
  #next = 0;
  cardinality = 0;

  constructor(rows: number) {
    this.#rows = rows;
    this.#bytes = Buffer.alloc(Math.ceil(rows / 8));
  }

  add(row: number): void {
    if (row < this.#next || row >= this.#rows) throw corrupt(`A deletion vector has the row ${row} out of order or range`);
    this.#bytes[row >>> 3] = (this.#bytes[row >>> 3] as number) | (0x80 >>> (row & 7));
    this.#next = row + 1;
    this.cardinality++;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, Math.ceil(this.#next / 8));
  }
}

/** One 32-bit bitmap for each upper half of positions that occurs. */
function readBitmaps(buffer: Buffer, mask: Mask): void {
  const count = buffer.readBigUInt64LE(0);
  let at = 8;
  for (let i = 0n; i < count; i++) {
    const key = buffer.readUInt32LE(at);
    at = readBitmap(buffer, at + 4, key * 2 ** 32, mask);
  }
  if (at !== buffer.length) throw corrupt("A deletion vector has bytes after its end");
}

/** Reads a 32-bit roaring bitmap at `at`; gives where it ends. */
function readBitmap(buffer: Buffer, at: number, base: number, mask: Mask): number {
  const cookie = buffer.readUInt32LE(at);
  const hasRuns = (cookie & 0xffff) === RUNS_COOKIE;
  if (!hasRuns && cookie !== NO_RUNS_COOKIE) throw corrupt("A deletion vector holds no roaring bitmap");
  const count = hasRuns ? (cookie >>> 16) + 1 : buffer.readUInt32LE(at + 4);
  const runFlags = at + 4;
  const headers = at + 4 + (hasRuns ? Math.ceil(count / 8) : 4);
  const offsets = !hasRuns || count >= OFFSETS_FROM ? 4 * count : 0;
  let end = headers + 4 * count + offsets;
  for (let i = 0; i < count; i++) {
    const start = base + buffer.readUInt16LE(headers + 4 * i) * CONTAINER_BITS;
    const values = buffer.readUInt16LE(headers + 4 * i + 2) + 1;
    const isRun = hasRuns && ((buffer.readUInt8(runFlags + (i >>> 3)) >>> (i & 7)) & 1) === 1;
    if (isRun) end = readRuns(buffer, end, start, mask);
    else if (values <= ARRAY_VALUES_MAX) end = readArray(buffer, end, values, start, mask);
    else end = readBits(buffer, end, start, mask);
  }
  return end;
}

function readRuns(buffer: Buffer, at: number, start: number, mask: Mask): number {
  const runs = buffer.readUInt16LE(at);
  for (let i = 0; i < runs; i++) {
    const first = start + buffer.readUInt16LE(at + 2 + 4 * i);
    const last = first + buffer.readUInt16LE(at + 4 + 4 * i);
    for (let row = first; row <= last; row++) mask.add(row);
  }
  return at + 2 + 4 * runs;
}

function readArray(buffer: Buffer, at: number, values: number, start: number, mask: Mask): number {
  for (let i = 0; i < values; i++) mask.add(start + buffer.readUInt16LE(at + 2 * i));
  return at + 2 * values;
}

function readBits(buffer: Buffer, at: number, start: number, mask: Mask): number {
  for (let i = 0; i < CONTAINER_BITS / 8; i++) {
    const bits = buffer.readUInt8(at + i);
    for (let bit = 0; bits >>> bit !== 0; bit++) if ((bits >>> bit) & 1) mask.add(start + 8 * i + bit);
  }
  return at + CONTAINER_BITS / 8;
}
