/**
 * The bytes of a segment file, version 1. No I/O. All integers are little-endian.
 *
 * A segment opens with a header: magic, version, a random salt, the offset of its first record, a crc. Entries
 * follow without gaps. The crc of an entry starts from the segment's salt, so that bytes inside a payload, which
 * clients choose, can never pass for an entry. `groupStart` tells recovery a torn write from damage: a group is
 * written only after the group before it is durable.
 *
 *   segment  0 magic "FHJOURNL" | 8 u32 version | 12 u32 salt | 16 u64 base offset | 24 u32 crc of 0..24 | 28 u32 zero
 *   entry    0 u32 magic | 4 u32 crc of all that follows | 8 u32 payload bytes | 12 u32 records | 16 u64 offset
 *            24 u32 groupStart: where in the file the group began that this entry was written with | 28 payload
 */
import { crc32 } from "node:zlib";

export const segmentHeaderBytes = 32;
export const entryHeaderBytes = 28;
/** Positions in a file are 32 bits wide. */
export const segmentBytesMax = 2 ** 31;
export const countMax = 2 ** 32 - 1;

const version = 1;
const segmentMagic = Buffer.from("FHJOURNL", "latin1");
/** No ASCII and no UTF-8: it cannot stand at the start of JSON text. */
const entryMagic = 0xf4e5d7c9;
/** The magic as it lies in the file, for searching. */
export const entryMagicBytes = Buffer.from([0xc9, 0xd7, 0xe5, 0xf4]);

const high = (value: number): number => Math.floor(value / 2 ** 32);
const low = (value: number): number => value >>> 0;

export function encodeSegmentHeader(base: number, salt: number): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  segmentMagic.copy(header);
  header.writeUInt32LE(version, 8);
  header.writeUInt32LE(salt, 12);
  header.writeUInt32LE(low(base), 16);
  header.writeUInt32LE(high(base), 20);
  header.writeUInt32LE(crc32(header.subarray(0, 24)), 24);
  return header;
}

export type SegmentHeader =
  | { readonly kind: "valid"; readonly base: number; readonly salt: number }
  | { readonly kind: "invalid" }
  | { readonly kind: "unsupported"; readonly version: number };

export function decodeSegmentHeader(bytes: Buffer): SegmentHeader {
  if (bytes.length < segmentHeaderBytes || bytes.readUInt32LE(24) !== crc32(bytes.subarray(0, 24))) return { kind: "invalid" };
  if (!bytes.subarray(0, 8).equals(segmentMagic)) return { kind: "invalid" };
  if (bytes.readUInt32LE(8) !== version) return { kind: "unsupported", version: bytes.readUInt32LE(8) };
  return { kind: "valid", salt: bytes.readUInt32LE(12), base: bytes.readUInt32LE(20) * 2 ** 32 + bytes.readUInt32LE(16) };
}

/** Writes an entry's header at `at`, except for the crc. */
export function writeEntryHeader(view: DataView, at: number, length: number, count: number, offset: number, groupStart: number): void {
  view.setUint32(at, entryMagic, true);
  view.setUint32(at + 8, length, true);
  view.setUint32(at + 12, count, true);
  view.setUint32(at + 16, low(offset), true);
  view.setUint32(at + 20, high(offset), true);
  view.setUint32(at + 24, groupStart, true);
}

/** Completes a header whose payload follows it in the same bytes. */
export function sealEntry(bytes: Buffer, view: DataView, at: number, length: number, salt: number): void {
  view.setUint32(at + 4, crc32(bytes.subarray(at + 8, at + entryHeaderBytes + length), salt), true);
}

/** Completes a header whose payload lies elsewhere. */
export function sealEntryApart(bytes: Buffer, view: DataView, at: number, payload: Uint8Array, salt: number): void {
  view.setUint32(at + 4, crc32(payload, crc32(bytes.subarray(at + 8, at + entryHeaderBytes), salt)), true);
}

/** Total bytes of the entry whose header lies at `at`. Meaningless when the header is not one. */
export const entryBytes = (chunk: Buffer, at: number): number => entryHeaderBytes + chunk.readUInt32LE(at + 8);
export const entryCount = (chunk: Buffer, at: number): number => chunk.readUInt32LE(at + 12);
export const entryOffset = (chunk: Buffer, at: number): number => chunk.readUInt32LE(at + 20) * 2 ** 32 + chunk.readUInt32LE(at + 16);
export const entryGroupStart = (chunk: Buffer, at: number): number => chunk.readUInt32LE(at + 24);

/** True when `at` holds a header of the entry at `offset`; the payload is not looked at. */
export function isEntryAt(chunk: Buffer, at: number, offset: number): boolean {
  return chunk.readUInt32LE(at) === entryMagic && entryOffset(chunk, at) === offset && entryCount(chunk, at) > 0;
}

/** True when the whole entry at `at` is as it was written. */
export function isEntryIntact(chunk: Buffer, at: number, salt: number): boolean {
  return chunk.readUInt32LE(at + 4) === crc32(chunk.subarray(at + 8, at + entryBytes(chunk, at)), salt);
}
