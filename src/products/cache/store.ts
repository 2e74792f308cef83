/**
 * Stored responses: an index in memory, small bodies in it, large ones in files. It holds copies of what can be made
 * again: nothing here is durable, and a start begins empty. Bounded in bytes; what was used longest ago goes first.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { isDiskFull } from "../../kernel/durable-files.ts";
import type { Log } from "../../kernel/log.ts";
import type { Range } from "./answer.ts";
import type { Headers } from "./freshness.ts";

export interface Stored {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [string, string])[];
  /** The same by name in lower case. */
  readonly byName: Headers;
  readonly size: number;
  readonly storedAt: number;
  readonly expiresAt: number;
}

export type NewEntry = Omit<Stored, "size" | "storedAt">;

export interface CacheStore {
  /** The response under the key while it is fresh. */
  find(key: string): Stored | undefined;
  /** Its body, or a range of it; undefined when it has gone meanwhile. What was opened is read to its end, whatever happens to the entry. */
  body(key: string, stored: Stored, range?: Range): Promise<Readable | undefined>;
  /** Stores a response when its body has arrived whole. False: it is larger than one may be, or the disk is full; then nothing changes. */
  put(key: string, entry: NewEntry, body: AsyncIterable<Uint8Array>): Promise<boolean>;
  /** True when there was a fresh one. */
  delete(key: string): Promise<boolean>;
  /** Deletes every entry that the test accepts; resolves with their number. */
  purge(test: (key: string, stored: Stored) => boolean): Promise<number>;
}

interface Kept extends Stored {
  /** The body, or the file that has it. */
  readonly body: Buffer | string;
}

export interface CacheStoreOptions {
  /** Emptied at start. */
  readonly directory: string;
  readonly clock: Clock;
  /** Bodies and headers together. */
  readonly maxBytes: number;
  readonly objectMaxBytes: number;
  readonly log: Log;
}

/** Bodies up to here stay in memory. */
const INLINE_MAX_BYTES = 16 * 1024;
/** What an entry costs besides its body, about. */
const ENTRY_BYTES = 1024;

export async function openCacheStore({ directory, clock, maxBytes, objectMaxBytes, log }: CacheStoreOptions): Promise<CacheStore> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  /** In the order of their last use. */
  const entries = new Map<string, Kept>();
  let total = 0;

  const weight = (kept: Kept): number => kept.size + ENTRY_BYTES;

  /** Readers that have a file open go on reading it. */
  async function drop(key: string, kept: Kept): Promise<void> {
    if (entries.get(key) !== kept) return;
    entries.delete(key);
    total -= weight(kept);
    if (typeof kept.body === "string") await rm(kept.body, { force: true });
  }

  async function add(key: string, kept: Kept): Promise<void> {
    const old = entries.get(key);
    if (old !== undefined) await drop(key, old);
    entries.set(key, kept);
    total += weight(kept);
    for (const [oldest, entry] of entries) {
      if (total <= maxBytes) break;
      await drop(oldest, entry);
    }
  }

  /** The body in memory while it is small, then in a file. Undefined when it is too large. */
  async function receive(body: AsyncIterable<Uint8Array>): Promise<{ body: Buffer | string; size: number } | undefined> {
    const head: Uint8Array[] = [];
    const path = join(directory, randomBytes(16).toString("hex"));
    let file: FileHandle | undefined;
    let size = 0;
    let complete = false;
    try {
      for await (const chunk of body) {
        size += chunk.byteLength;
        if (size > objectMaxBytes) return undefined;
        head.push(chunk);
        if (size <= INLINE_MAX_BYTES) continue;
        file ??= await open(path, "wx", 0o600);
        for (const piece of head.splice(0)) await file.writeFile(piece);
      }
      complete = true;
    } finally {
      await file?.close();
      if (!complete && file !== undefined) await rm(path, { force: true });
    }
    return file === undefined ? { body: Buffer.concat(head), size } : { body: path, size };
  }

  return {
    find(key) {
      const kept = entries.get(key);
      if (kept === undefined) return undefined;
      if (kept.expiresAt <= clock.now()) {
        // Its file goes in the background; nobody can find it any more, and the next start deletes what is left.
        drop(key, kept).catch((error: unknown) => log.warn("cache.file_left", { error }));
        return undefined;
      }
      entries.delete(key);
      entries.set(key, kept);
      return kept;
    },
    async body(key, stored, range = { offset: 0, length: stored.size }) {
      const kept = entries.get(key);
      if (kept !== stored) return undefined;
      if (typeof kept.body !== "string") return Readable.from([kept.body.subarray(range.offset, range.offset + range.length)]);
      try {
        // Opened before anything is promised: the entry may be replaced at any time, and its file deleted.
        const file = await open(kept.body, "r");
        return file.createReadStream({ start: range.offset, end: range.offset + range.length - 1 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    async put(key, entry, body) {
      let received: Awaited<ReturnType<typeof receive>>;
      try {
        received = await receive(body);
      } catch (error) {
        if (isDiskFull(error)) return false;
        throw error;
      }
      if (received === undefined) return false;
      await add(key, { ...entry, ...received, storedAt: clock.now() });
      return true;
    },
    async delete(key) {
      const kept = entries.get(key);
      if (kept === undefined) return false;
      await drop(key, kept);
      return kept.expiresAt > clock.now();
    },
    async purge(test) {
      let count = 0;
      for (const [key, kept] of [...entries]) {
        if (!test(key, kept)) continue;
        await drop(key, kept);
        count++;
      }
      return count;
    },
  };
}
