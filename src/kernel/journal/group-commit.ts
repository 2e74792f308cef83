/**
 * Appending to a journal's last segment with group commit. While one group is being written and synced, the next
 * one gathers; a group is written only after the one before it is durable, so entries become durable in the order
 * of their offsets. Small payloads are copied next to their headers (cheaper than two more I/O vectors), large ones
 * are written from where they lie.
 */
import { fdatasync, writev } from "node:fs";
import { isDiskFull } from "../durable-files.ts";
import type { PlatformError } from "../errors.ts";
import type { Log } from "../log.ts";
import { journalError } from "./errors.ts";
import { type ActiveSegment, newSalt } from "./segment-file.ts";
import { countMax, entryHeaderBytes, sealEntry, sealEntryApart, segmentHeaderBytes, writeEntryHeader } from "./segment-format.ts";

/** Up to here copying a payload costs less than passing it to the kernel by itself (`bench/journal.ts`). */
const copyBytesMax = 8 * 1024;
const slabBytes = 256 * 1024;
/** Slabs kept for reuse by one journal. */
const spareSlabsMax = 8;

/** Memory that headers and small payloads are encoded into. */
interface Slab {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Entries that are written and synced together. */
class Group {
  /** Where in its segment the group begins. */
  readonly start: number;
  /** True when the group is the first one of a segment that does not exist yet. */
  readonly opensSegment: boolean;
  readonly salt: number;
  readonly firstOffset: number;
  nextOffset: number;
  bytes = 0;
  readonly parts: Uint8Array[] = [];
  readonly slabs: Slab[] = [];
  readonly offsets: number[] = [];
  readonly resolves: ((offset: number) => void)[] = [];
  readonly rejects: ((error: Error) => void)[] = [];
  #used = 0;
  #passed = 0;

  constructor(start: number, opensSegment: boolean, salt: number, firstOffset: number) {
    this.start = start;
    this.opensSegment = opensSegment;
    this.salt = salt;
    this.firstOffset = firstOffset;
    this.nextOffset = firstOffset;
  }

  add(payload: Uint8Array, count: number, newSlab: () => Slab): void {
    const length = payload.byteLength;
    const copied = length <= copyBytesMax;
    const needed = entryHeaderBytes + (copied ? length : 0);
    let slab = this.slabs.at(-1);
    if (slab === undefined || this.#used + needed > slabBytes) {
      this.#pass();
      slab = newSlab();
      this.slabs.push(slab);
      this.#used = 0;
      this.#passed = 0;
    }
    const at = this.#used;
    writeEntryHeader(slab.view, at, length, count, this.nextOffset, this.start);
    this.#used += needed;
    if (copied) {
      slab.bytes.set(payload, at + entryHeaderBytes);
      sealEntry(slab.bytes, slab.view, at, length, this.salt);
    } else {
      sealEntryApart(slab.bytes, slab.view, at, payload, this.salt);
      this.#pass();
      this.parts.push(payload);
    }
    this.offsets.push(this.nextOffset);
    this.nextOffset += count;
    this.bytes += entryHeaderBytes + length;
  }

  /** Ends the gathering: `parts` holds all bytes. */
  finish(): void {
    this.#pass();
  }

  /** Passes the encoded bytes of the current slab on to `parts`. */
  #pass(): void {
    const slab = this.slabs.at(-1);
    if (slab !== undefined && this.#used > this.#passed) this.parts.push(slab.bytes.subarray(this.#passed, this.#used));
    this.#passed = this.#used;
  }
}

export interface GroupCommitOptions {
  readonly name: string;
  readonly active: ActiveSegment;
  /** Offset of the next record. */
  readonly end: number;
  readonly segmentBytes: number;
  readonly pendingMaxBytes: number;
  readonly log: Log;
  /** Creates the segment that follows the active one. */
  nextSegment(base: number, salt: number): Promise<ActiveSegment>;
  /** Called when more records are durable, after `end` has moved. */
  onDurable(): void;
}

export class GroupCommit {
  /** Everything before it is durable. */
  end: number;
  readonly #options: GroupCommitOptions;
  #active: ActiveSegment;
  #gathering: Group;
  #writing: Group | undefined;
  #scheduled = false;
  /** True when the file may hold bytes of a failed group behind the durable ones. */
  #unclean = false;
  #failing = false;
  #closed = false;
  readonly #spareSlabs: Slab[] = [];
  readonly #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#active = options.active;
    this.end = options.end;
    this.#gathering = this.#groupAt(options.active.segment.bytes, options.end, options.active.segment.salt);
  }

  append(payload: Uint8Array, count: number): Promise<number> {
    const refusal = this.#refusal(payload.byteLength, count);
    if (refusal !== undefined) return Promise.reject(refusal);
    const group = this.#gathering;
    group.add(payload, count, this.#newSlab);
    if (this.#writing === undefined && !this.#scheduled) {
      // One turn of the event loop gathers the appends of all requests that have just arrived.
      this.#scheduled = true;
      setImmediate(this.#dispatch);
    }
    return new Promise((resolve, reject) => {
      group.resolves.push(resolve);
      group.rejects.push(reject);
    });
  }

  /** Refuses further appends and resolves when all earlier ones have settled and the file is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#writing !== undefined || this.#gathering.bytes > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#active.file.close();
  }

  #refusal(length: number, count: number): Error | undefined {
    if (this.#closed) return journalError("closed");
    if (!Number.isInteger(count) || count < 1 || count > countMax)
      return new RangeError(`an entry holds 1 to ${countMax} records, not ${count}`);
    const { pendingMaxBytes } = this.#options;
    if (length > pendingMaxBytes) return journalError("tooLarge");
    if (this.#gathering.bytes + (this.#writing?.bytes ?? 0) + length > pendingMaxBytes) return journalError("overloaded");
    return undefined;
  }

  #groupAt(position: number, offset: number, salt: number): Group {
    if (position < this.#options.segmentBytes) return new Group(position, false, salt, offset);
    return new Group(segmentHeaderBytes, true, newSalt(), offset);
  }

  readonly #newSlab = (): Slab => {
    const spare = this.#spareSlabs.pop();
    if (spare !== undefined) return spare;
    const bytes = Buffer.allocUnsafeSlow(slabBytes);
    return { bytes, view: new DataView(bytes.buffer) };
  };

  /** Starts writing the gathered group, unless one is being written. */
  readonly #dispatch = (): void => {
    this.#scheduled = false;
    if (this.#writing !== undefined) return;
    const group = this.#gathering;
    if (group.bytes === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    group.finish();
    this.#writing = group;
    this.#gathering = this.#groupAt(group.start + group.bytes, group.nextOffset, group.salt);
    if (group.opensSegment || this.#unclean)
      this.#prepare(group).then(
        () => this.#write(group, 0),
        (error) => this.#failed(group, error),
      );
    else this.#write(group, 0);
  };

  /** What rarely has to happen before a group can be written. */
  async #prepare(group: Group): Promise<void> {
    if (this.#unclean) await this.#cut();
    if (!group.opensSegment) return;
    const next = await this.#options.nextSegment(group.firstOffset, group.salt);
    const previous = this.#active;
    this.#active = next;
    await previous.file.close();
  }

  /** Writes the group from its byte `done` on, then syncs. */
  #write(group: Group, done: number): void {
    const { fd } = this.#active.file;
    writev(fd, done === 0 ? group.parts : partsFrom(group.parts, done), group.start + done, (error, written) => {
      if (error !== null) void this.#failed(group, error);
      else if (done + written < group.bytes) this.#write(group, done + written);
      else
        fdatasync(fd, (error) => {
          if (error !== null) void this.#failed(group, error);
          else this.#committed(group);
        });
    });
  }

  #committed(group: Group): void {
    const { segment } = this.#active;
    segment.index.add(group.firstOffset, group.start);
    // Durable, so visible: readers go by `bytes` and `end`.
    segment.bytes = group.start + group.bytes;
    this.end = group.nextOffset;
    if (this.#failing) this.#options.log.info("journal.appends_resumed", { journal: this.#options.name });
    this.#failing = false;
    this.#writing = undefined;
    // The next group's write is under way before the callers of this one go on.
    this.#dispatch();
    for (let i = 0; i < group.resolves.length; i++) (group.resolves[i] as (offset: number) => void)(group.offsets[i] as number);
    this.#options.onDurable();
    this.#reuse(group);
  }

  /**
   * Undoes a group that could not be written. The entries that gathered meanwhile fail with it: their offsets followed
   * its own. Later appends are tried afresh, so the journal goes on as soon as the disk does.
   */
  async #failed(group: Group, cause: Error): Promise<void> {
    try {
      // Cut before anybody is told: an entry whose append was refused must not come back after a crash.
      await this.#cut();
    } catch (error) {
      this.#unclean = true;
      this.#options.log.error("journal.cut_failed", { journal: this.#options.name, error: (error as Error).message });
    }
    const error: PlatformError = journalError(isDiskFull(cause) ? "full" : "failed", undefined, { cause });
    if (!this.#failing)
      this.#options.log.error("journal.append_failed", { journal: this.#options.name, code: error.code, error: cause.message });
    this.#failing = true;
    const gathered = this.#gathering;
    const { segment } = this.#active;
    this.#gathering = this.#groupAt(segment.bytes, this.end, segment.salt);
    this.#writing = undefined;
    for (const lost of [group, gathered]) {
      for (const reject of lost.rejects) reject(error);
      this.#reuse(lost);
    }
    this.#dispatch();
  }

  /** Takes what follows the durable bytes off the file. */
  async #cut(): Promise<void> {
    await this.#active.file.truncate(this.#active.segment.bytes);
    await this.#active.file.datasync();
    this.#unclean = false;
  }

  #reuse(group: Group): void {
    for (const slab of group.slabs) if (this.#spareSlabs.length < spareSlabsMax) this.#spareSlabs.push(slab);
  }
}

/** What is left of the parts after their first `done` bytes. */
function partsFrom(parts: readonly Uint8Array[], done: number): Uint8Array[] {
  let skip = done;
  const rest: Uint8Array[] = [];
  for (const part of parts) {
    if (skip < part.byteLength) rest.push(part.subarray(skip));
    skip = Math.max(0, skip - part.byteLength);
  }
  return rest;
}
