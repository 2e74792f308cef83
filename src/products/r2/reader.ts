/**
 * Bytes of a stored object as a stream: of one blob, or of parts one after another, ranges cut across parts,
 * decrypted where the customer's key is on it. The blobs stay until the stream has ended, whatever happens to
 * the object meanwhile.
 */
import { Readable } from "node:stream";
import type { BlobId, BlobRange } from "../../kernel/blobs/blobs.ts";
import type { R2 } from "./context.ts";
import type { ReadableObject, SsecMark, StoredObject } from "./model.ts";
import { decryption, type SsecKey } from "./ssec.ts";

/** Opens the range. Rejects with `blobs.notFound` when the object was replaced since its row was read. */
export async function openObject(r2: R2, object: ReadableObject, range: BlobRange, key: SsecKey | undefined): Promise<Readable> {
  if (range.length === 0) return Readable.from([]);
  if (object.inline !== null) {
    const stored = Buffer.from(object.inline).subarray(range.offset, range.offset + range.length);
    return Readable.from([object.ssec === null ? stored : decryption(key as SsecKey, object.ssec, range.offset).update(stored)]);
  }
  if (object.uploadId === null) {
    const release = r2.garbage.pin([object.blob as BlobId]);
    try {
      const stream = await openBlob(r2, object.blob as BlobId, object.size, range, object.ssec, key);
      stream.once("close", release);
      return stream;
    } catch (error) {
      release();
      throw error;
    }
  }
  const parts = await partsInRange(r2, object, range);
  const release = r2.garbage.pin(parts.map((part) => part.blob));
  const [first] = parts;
  if (first === undefined) throw new Error(`read object ${object.version}: no parts in its range`);
  let opened: Readable;
  try {
    // Opened before anything is promised, so that a replaced object is noticed while the caller can still look again.
    opened = await openBlob(r2, first.blob, first.size, first.range, first.ssec, key);
  } catch (error) {
    release();
    throw error;
  }
  const stream = Readable.from(concatenate(r2, opened, parts.slice(1), key), { objectMode: false });
  stream.once("close", () => {
    opened.destroy();
    release();
  });
  return stream;
}

interface PartSlice {
  readonly blob: BlobId;
  readonly size: number;
  readonly range: BlobRange;
  readonly ssec: SsecMark | null;
}

async function* concatenate(r2: R2, first: Readable, rest: readonly PartSlice[], key: SsecKey | undefined): AsyncGenerator<Buffer> {
  yield* first;
  for (const part of rest) yield* await openBlob(r2, part.blob, part.size, part.range, part.ssec, key);
}

/** Every part but the last has `partSize` bytes, so the ones in a range are found by counting. */
async function partsInRange(r2: R2, object: StoredObject, range: BlobRange): Promise<PartSlice[]> {
  const index = Math.floor(range.offset / object.partSize);
  const count = Math.floor((range.offset + range.length - 1) / object.partSize) - index + 1;
  const rows = await r2.meta.all<{ blob: BlobId | null; size: number; ssec: string | null }>(
    "SELECT blob, size, ssec FROM r2_parts WHERE upload_id = ? ORDER BY number LIMIT ? OFFSET ?",
    object.uploadId,
    count,
    index,
  );
  const slices: PartSlice[] = [];
  let start = index * object.partSize;
  for (const row of rows) {
    const from = Math.max(range.offset, start);
    const to = Math.min(range.offset + range.length, start + row.size);
    if (row.blob !== null && to > from) {
      const ssec = row.ssec === null ? null : (JSON.parse(row.ssec) as SsecMark);
      slices.push({ blob: row.blob, size: row.size, range: { offset: from - start, length: to - from }, ssec });
    }
    start += row.size;
  }
  return slices;
}

async function openBlob(
  r2: R2,
  blob: BlobId,
  size: number,
  range: BlobRange,
  mark: SsecMark | null,
  key: SsecKey | undefined,
): Promise<Readable> {
  const whole = range.offset === 0 && range.length === size;
  const raw = await r2.blobs.read(blob, whole ? undefined : range);
  if (mark === null) return raw;
  const decipher = decryption(key as SsecKey, mark, range.offset);
  const decrypted = Readable.from(decrypt(raw, decipher), { objectMode: false });
  decrypted.once("close", () => raw.destroy());
  return decrypted;
}

async function* decrypt(raw: Readable, decipher: { update(chunk: Uint8Array): Buffer }): AsyncGenerator<Buffer> {
  for await (const chunk of raw) yield decipher.update(chunk as Buffer);
}
