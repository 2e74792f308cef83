/**
 * One segment file: creating, opening, recovering and reading it. Appending is `group-commit.ts`.
 *
 * Only the last segment of a journal is ever written to, and a new one is begun only when all before it is durable.
 * So a torn write can only be the last group of the last segment, and anything else that does not check is damage.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectory } from "../durable-files.ts";
import type { Log } from "../log.ts";
import { journalError } from "./errors.ts";
import type { JournalEntry } from "./journal.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  entryBytes,
  entryCount,
  entryGroupStart,
  entryHeaderBytes,
  entryMagicBytes,
  entryOffset,
  isEntryAt,
  isEntryIntact,
  segmentHeaderBytes,
} from "./segment-format.ts";

const chunkBytesMin = 64 * 1024;
const chunkBytesMax = 4 * 1024 * 1024;
const indexIntervalBytes = 64 * 1024;
const recentPositions = 16;

export interface Segment {
  readonly path: string;
  /** Offset of its first record. */
  readonly base: number;
  readonly salt: number;
  /** Bytes that are durable, header included. Grows while this is the last segment. */
  bytes: number;
  readonly index: OffsetIndex;
}

/** The last segment of a journal: the one that is written to. */
export interface ActiveSegment {
  readonly segment: Segment;
  readonly file: FileHandle;
}

/**
 * Sparse: where in a file some entries begin, about one for each 64 KB, and where recent reads ended. It is
 * learned from appends and reads; what it does not know costs a scan of headers, once.
 */
export class OffsetIndex {
  readonly #offsets: number[];
  readonly #positions: number[] = [segmentHeaderBytes];
  readonly #recent = new Map<number, number>();

  constructor(base: number) {
    this.#offsets = [base];
  }

  /** Notes that the entry at `offset` begins at `position`. */
  add(offset: number, position: number): void {
    if (position < (this.#positions.at(-1) as number) + indexIntervalBytes) return;
    this.#offsets.push(offset);
    this.#positions.push(position);
  }

  /** Notes where a reader stopped, since it will come back there. */
  remember(offset: number, position: number): void {
    this.#recent.delete(offset);
    this.#recent.set(offset, position);
    if (this.#recent.size > recentPositions) this.#recent.delete(this.#recent.keys().next().value as number);
  }

  /** A known entry at or before `offset`. */
  before(offset: number): { offset: number; position: number } {
    const recent = this.#recent.get(offset);
    if (recent !== undefined) return { offset, position: recent };
    let from = 0;
    let to = this.#offsets.length - 1;
    while (from < to) {
      const middle = (from + to + 1) >>> 1;
      if ((this.#offsets[middle] as number) <= offset) from = middle;
      else to = middle - 1;
    }
    return { offset: this.#offsets[from] as number, position: this.#positions[from] as number };
  }
}

export const newSalt = (): number => randomBytes(4).readUInt32LE();

/** File names sort in the order of offsets. */
export const segmentName = (base: number): string => `${String(base).padStart(16, "0")}.segment`;

/** The base offset in a segment's file name, or undefined for other files. */
export function baseOfName(name: string): number | undefined {
  return /^\d{16}\.segment$/.test(name) ? Number.parseInt(name, 10) : undefined;
}

/** Creates an empty segment; it and its name are durable when the promise resolves. Leaves nothing behind when it fails. */
export async function createSegment(directory: string, base: number, salt: number): Promise<ActiveSegment> {
  const path = join(directory, segmentName(base));
  const file = await open(path, constants.O_CREAT | constants.O_TRUNC | constants.O_RDWR, 0o600);
  try {
    await file.writev([encodeSegmentHeader(base, salt)], 0);
    // Header, then name, then (by the caller) entries: a segment whose header does not check holds no entries.
    await file.datasync();
    await syncDirectory(directory);
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
  return { segment: { path, base, salt, bytes: segmentHeaderBytes, index: new OffsetIndex(base) }, file };
}

/** Opens a segment that is followed by another one. */
export async function openSealed(directory: string, base: number): Promise<Segment> {
  const path = join(directory, segmentName(base));
  const file = await open(path, "r");
  try {
    const salt = await readHeader(file, path, base);
    if (salt === undefined) throw damaged(path, 0, base);
    const { size } = await file.stat();
    return { path, base, salt, bytes: size, index: new OffsetIndex(base) };
  } finally {
    await file.close();
  }
}

/**
 * Opens the last segment for appending: cuts a torn last group, refuses when something before it is damaged.
 * Returns the offset that the next record gets.
 */
export async function openActive(directory: string, base: number, log: Log): Promise<ActiveSegment & { end: number }> {
  const path = join(directory, segmentName(base));
  const file = await open(path, "r+");
  try {
    const { size } = await file.stat();
    const salt = await readHeader(file, path, base);
    if (salt === undefined) {
      if (size > segmentHeaderBytes) throw damaged(path, 0, base);
      // The process ended while it created this segment: no entry can be in it, and the name says where it begins.
      await file.close();
      return { ...(await createSegment(directory, base, newSalt())), end: base };
    }
    const segment: Segment = { path, base, salt, bytes: size, index: new OffsetIndex(base) };
    const { position, end } = await lastIntact(file, segment);
    if (position < size) {
      if (await laterGroupExists(file, segment, position, end)) throw damaged(path, position, end);
      await file.truncate(position);
      log.warn("journal.tail_cut", {
        file: path,
        offset: end,
        bytes: size - position,
        reason: "the last write before the stop was not complete",
      });
    }
    // Entries of a process that was killed may lie in the page cache only; nobody may see them before they are durable.
    await file.datasync();
    segment.bytes = position;
    return { segment, file, end };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The salt, or undefined when the header is not intact. Throws when it is, but not ours. */
async function readHeader(file: FileHandle, path: string, base: number): Promise<number | undefined> {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  const { bytesRead } = await file.read(bytes, 0, segmentHeaderBytes, 0);
  const header = decodeSegmentHeader(bytes.subarray(0, bytesRead));
  if (header.kind === "invalid") return undefined;
  if (header.kind === "unsupported") {
    throw journalError(
      "damaged",
      `${path} has format version ${header.version}, which this release of Freehold does not know; start the release that wrote it, or a later one`,
    );
  }
  if (header.base !== base)
    throw journalError("damaged", `${path} begins at offset ${header.base}, not where its name says; give it its name back`);
  return header.salt;
}

/** Where the intact entries end, and the offset after them. */
async function lastIntact(file: FileHandle, segment: Segment): Promise<{ position: number; end: number }> {
  let end = segment.base;
  const walked = await walk(file, segmentHeaderBytes, segment.bytes, chunkBytesMax, (chunk, at, position) => {
    if (!isEntryAt(chunk, at, end) || !isEntryIntact(chunk, at, segment.salt)) return false;
    segment.index.add(end, position);
    end += entryCount(chunk, at);
    return true;
  });
  return { position: walked.position, end };
}

/**
 * True when an intact entry of a later group lies behind `position`. Then what stands at `position` had been
 * durable, because groups are written one after the other, and its not checking is damage, not a torn write.
 */
async function laterGroupExists(file: FileHandle, segment: Segment, position: number, offset: number): Promise<boolean> {
  const chunk = Buffer.allocUnsafeSlow(chunkBytesMax);
  const header = Buffer.alloc(entryHeaderBytes);
  for (let from = position + 1; from < segment.bytes; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, segment.bytes - from), from);
    if (bytesRead < entryMagicBytes.length) return false;
    const piece = chunk.subarray(0, bytesRead);
    for (let at = piece.indexOf(entryMagicBytes); at >= 0; at = piece.indexOf(entryMagicBytes, at + 1)) {
      const found = from + at;
      if ((await file.read(header, 0, entryHeaderBytes, found)).bytesRead < entryHeaderBytes) continue;
      const later = entryOffset(header, 0) > offset && entryGroupStart(header, 0) > position && entryGroupStart(header, 0) <= found;
      if (!later || found + entryBytes(header, 0) > segment.bytes) continue;
      const whole = Buffer.allocUnsafeSlow(entryBytes(header, 0));
      await file.read(whole, 0, whole.length, found);
      if (isEntryIntact(whole, 0, segment.salt)) return true;
    }
    // Pieces overlap, so that a magic across their border is found.
    from += bytesRead - entryMagicBytes.length + 1;
  }
  return false;
}

/** A read under way: what it has gathered, and how it goes on. */
export interface Reading {
  readonly entries: JournalEntry[];
  /** Offset of the first record that is still wanted. */
  next: number;
  /** Payload bytes that may still be gathered; a first entry is taken whatever its size. */
  room: number;
}

/**
 * Gathers the segment's entries from the one that contains `reading.next` on, as far as there is room. `end` is the
 * offset at which the segment's durable bytes end. True when all up to there were gathered.
 */
export async function readEntries(segment: Segment, end: number, reading: Reading): Promise<boolean> {
  // Taken before the first await, together with `end`: appends move both.
  const limit = segment.bytes;
  const wanted = reading.next;
  const from = segment.index.before(wanted);
  let next = from.offset;
  let full = false;
  const chunkBytes = Math.min(chunkBytesMax, Math.max(chunkBytesMin, Math.ceil(reading.room * 1.05)));
  const file = await open(segment.path, "r");
  try {
    const { position } = await walk(file, from.position, limit, chunkBytes, (chunk, at, position) => {
      if (!isEntryAt(chunk, at, next)) return false;
      const count = entryCount(chunk, at);
      const total = entryBytes(chunk, at);
      if (next + count > wanted) {
        const length = total - entryHeaderBytes;
        full = reading.entries.length > 0 && length > reading.room;
        if (full || !isEntryIntact(chunk, at, segment.salt)) return false;
        reading.entries.push({ offset: next, count, payload: chunk.subarray(at + entryHeaderBytes, at + total) });
        reading.room -= length;
        reading.next = next + count;
      }
      segment.index.add(next, position);
      next += count;
      return true;
    });
    if (!full && next !== end) throw damaged(segment.path, position, next);
    segment.index.remember(next, position);
    return !full;
  } finally {
    await file.close();
  }
}

/**
 * Calls `visit` with each complete entry between two positions, in file order, until it returns false. `visit` gets
 * the bytes, where in them the entry begins, and its position in the file; it checks the entry. The chunks are never
 * reused, so views of them may be kept. Returns the position at which it stopped.
 */
async function walk(
  file: FileHandle,
  from: number,
  limit: number,
  chunkBytes: number,
  visit: (chunk: Buffer, at: number, position: number) => boolean,
): Promise<{ position: number }> {
  let position = from;
  let wanted = chunkBytes;
  while (limit - position >= entryHeaderBytes) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(wanted, limit - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    const chunk = buffer.subarray(0, bytesRead);
    let at = 0;
    wanted = entryHeaderBytes;
    while (at + entryHeaderBytes <= chunk.length) {
      wanted = entryBytes(chunk, at);
      if (at + wanted > chunk.length) break;
      if (!visit(chunk, at, position + at)) return { position: position + at };
      at += wanted;
      wanted = entryHeaderBytes;
    }
    position += at;
    // Either the file ends inside this entry, or a larger chunk will hold it.
    if (wanted > limit - position || bytesRead < buffer.length) break;
    wanted = Math.max(wanted, chunkBytes);
  }
  return { position };
}

export function damaged(path: string, position: number, offset: number): Error {
  return journalError(
    "damaged",
    `${path} is damaged at byte ${position} (journal ${basename(dirname(path))}, offset ${offset}): it does not hold what was written ` +
      "there, and no interrupted write explains that. Check the disk, then restore this file from a backup. To give up the journal's " +
      "records instead, delete what owns the journal (for example the stream) and create it again",
  );
}
