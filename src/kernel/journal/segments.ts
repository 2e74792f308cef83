/**
 * Journals as segment files in a directory: `<directory>/<name>/<base offset>.segment`, the backend of one machine.
 * The file format is `segment-format.ts`. Nothing but the entries' bytes is stored: the offsets in file names and
 * headers are enough to recover. One process at a time may use a directory; the caller holds the lock.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory, syncDirectory } from "../durable-files.ts";
import type { Log } from "../log.ts";
import { journalError } from "./errors.ts";
import { GroupCommit } from "./group-commit.ts";
import type { Journal, JournalEntry, JournalStore } from "./journal.ts";
import { baseOfName, createSegment, newSalt, openActive, openSealed, type Reading, readEntries, type Segment } from "./segment-file.ts";
import { segmentBytesMax } from "./segment-format.ts";

export interface SegmentJournalOptions {
  /** Where the journals lie. Created when missing; nothing else may lie there. */
  readonly directory: string;
  /** A segment that has reached this size is followed by a new one: 4 KiB to 1 GiB. Space is given back by segments. */
  readonly segmentBytes: number;
  /** Payload bytes of one journal that may wait for the disk, at most 1 GiB; also the largest entry. */
  readonly pendingMaxBytes: number;
  readonly log: Log;
}

/** Directories of removed journals begin with it; a journal's name cannot. */
const removedPrefix = ".removed-";

/** Opens the journals of a directory and finishes removals that a crash interrupted. */
export async function openSegmentJournals(options: SegmentJournalOptions): Promise<JournalStore> {
  if (options.segmentBytes < 4096 || options.segmentBytes > segmentBytesMax / 2)
    throw new RangeError("journal.segment_bytes must be 4 KiB to 1 GiB");
  if (options.pendingMaxBytes < 1 || options.pendingMaxBytes > segmentBytesMax / 2)
    throw new RangeError("journal.pending_max_bytes must be 1 byte to 1 GiB");
  await makeDirectory(options.directory);
  for (const name of await readdir(options.directory))
    if (name.startsWith(removedPrefix)) await rm(join(options.directory, name), { recursive: true, force: true });
  return new SegmentJournals(options);
}

class SegmentJournals implements JournalStore {
  readonly #options: SegmentJournalOptions;
  readonly #open = new Map<string, Promise<SegmentJournal>>();
  /** Removals under way, by name. */
  readonly #removals = new Map<string, Promise<void>>();
  #removed = 0;
  #closed = false;

  constructor(options: SegmentJournalOptions) {
    this.#options = options;
  }

  async open(name: string): Promise<Journal> {
    if (!/^[a-z0-9-]{1,128}$/.test(name))
      throw journalError("invalidName", `"${name}": a journal's name is 1 to 128 characters of a-z, 0-9 and -`);
    // Whether the removal succeeds is its caller's matter; here only its end counts.
    await this.#removals.get(name)?.catch(() => undefined);
    if (this.#closed) throw journalError("closed");
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const opening = openJournal(this.#options, name);
    this.#open.set(name, opening);
    // A failed opening may be tried again, for example after a repair.
    opening.catch(() => this.#open.delete(name));
    return opening;
  }

  async remove(name: string): Promise<void> {
    if (!/^[a-z0-9-]{1,128}$/.test(name))
      throw journalError("invalidName", `"${name}": a journal's name is 1 to 128 characters of a-z, 0-9 and -`);
    if (this.#closed) throw journalError("closed");
    const earlier = this.#removals.get(name);
    if (earlier !== undefined) return earlier;
    const removal = this.#remove(name).finally(() => this.#removals.delete(name));
    this.#removals.set(name, removal);
    return removal;
  }

  async #remove(name: string): Promise<void> {
    const opening = this.#open.get(name);
    this.#open.delete(name);
    // A journal that cannot be opened can still be removed: that is how its owner gets rid of a damaged one.
    const journal = await opening?.catch(() => undefined);
    await journal?.close();
    const { directory } = this.#options;
    const removed = join(directory, `${removedPrefix}${this.#removed++}-${name}`);
    try {
      // The rename makes the removal take effect, all at once; deleting the files may take long and may be interrupted.
      await rename(join(directory, name), removed);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await syncDirectory(directory);
    await rm(removed, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#removals.values());
    const journals = await Promise.allSettled(this.#open.values());
    await Promise.all(journals.map((journal) => (journal.status === "fulfilled" ? journal.value.close() : undefined)));
  }
}

async function openJournal(options: SegmentJournalOptions, name: string): Promise<SegmentJournal> {
  const directory = join(options.directory, name);
  await makeDirectory(directory);
  const bases = (await readdir(directory))
    .map(baseOfName)
    .filter((base) => base !== undefined)
    .sort((a, b) => a - b);
  const segments: Segment[] = [];
  for (const base of bases.slice(0, -1)) segments.push(await openSealed(directory, base));
  const last = bases.at(-1);
  const active =
    last === undefined ? { ...(await createSegment(directory, 0, newSalt())), end: 0 } : await openActive(directory, last, options.log);
  segments.push(active.segment);
  return new SegmentJournal(options, name, directory, segments, active);
}

interface Waiter {
  readonly offset: number;
  readonly settle: (error?: Error) => void;
}

class SegmentJournal implements Journal {
  readonly #directory: string;
  /** In the order of offsets; the last one is the active one. Never empty. */
  readonly #segments: Segment[];
  readonly #commits: GroupCommit;
  readonly #waiters = new Set<Waiter>();
  #trimming: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(
    options: SegmentJournalOptions,
    name: string,
    directory: string,
    segments: Segment[],
    active: Awaited<ReturnType<typeof openActive>>,
  ) {
    this.#directory = directory;
    this.#segments = segments;
    this.#commits = new GroupCommit({
      name,
      active,
      end: active.end,
      segmentBytes: options.segmentBytes,
      pendingMaxBytes: options.pendingMaxBytes,
      log: options.log,
      nextSegment: async (base, salt) => {
        const next = await createSegment(this.#directory, base, salt);
        this.#segments.push(next.segment);
        return next;
      },
      onDurable: () => this.#wake(),
    });
  }

  get start(): number {
    return (this.#segments[0] as Segment).base;
  }

  get end(): number {
    return this.#commits.end;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  append(payload: Uint8Array, count: number): Promise<number> {
    return this.#commits.append(payload, count);
  }

  async read(offset: number, maxBytes: number): Promise<JournalEntry[]> {
    if (this.#closing !== undefined) throw journalError("closed");
    const reading: Reading = { entries: [], next: offset, room: maxBytes };
    while (reading.next < this.end) {
      if (reading.next < this.start) throw journalError("trimmed");
      const at = this.#segmentOf(reading.next);
      try {
        if (!(await readEntries(this.#segments[at] as Segment, this.#segments[at + 1]?.base ?? this.end, reading))) break;
      } catch (error) {
        // Trimmed or removed between the look-up and the opening of the file.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        if (this.#closing !== undefined) throw journalError("closed");
        throw reading.next < this.start ? journalError("trimmed") : error;
      }
    }
    return reading.entries;
  }

  wait(offset: number, signal: AbortSignal): Promise<void> {
    if (offset < this.end || signal.aborted) return Promise.resolve();
    if (this.#closing !== undefined) return Promise.reject(journalError("closed"));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.settle();
      const waiter: Waiter = {
        offset,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal.removeEventListener("abort", onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", onAbort);
    });
  }

  /** At most one segment stays: the active one, however little of it is still needed. */
  trim(offset: number): Promise<void> {
    const trimming = this.#trimming.then(() => this.#trim(offset));
    // A failed trim is its caller's; the next one tries again.
    this.#trimming = trimming.catch(() => undefined);
    return trimming;
  }

  async #trim(offset: number): Promise<void> {
    while (this.#closing === undefined && this.#segments.length > 1 && (this.#segments[1] as Segment).base <= offset) {
      const oldest = this.#segments.shift() as Segment;
      try {
        await rm(oldest.path, { force: true });
      } catch (error) {
        this.#segments.unshift(oldest);
        throw error;
      }
      // Oldest first, each durably before the next: whatever a crash leaves is a journal without holes.
      await syncDirectory(this.#directory);
    }
  }

  /** Settles pending appends, ends waits with `journal.closed`, and releases the file. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#commits.close();
    await this.#trimming;
    for (const waiter of [...this.#waiters]) waiter.settle(journalError("closed"));
  }

  #wake(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of [...this.#waiters]) if (waiter.offset < this.end) waiter.settle();
  }

  /** Index of the segment that holds `offset`. */
  #segmentOf(offset: number): number {
    let from = 0;
    let to = this.#segments.length - 1;
    while (from < to) {
      const middle = (from + to + 1) >>> 1;
      if ((this.#segments[middle] as Segment).base <= offset) from = middle;
      else to = middle - 1;
    }
    return from;
  }
}
