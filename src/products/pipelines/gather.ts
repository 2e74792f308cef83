/**
 * A roll being gathered: entries of the journal, put one after another into files of lines that DuckDB reads. Reads the
 * journal as it grows, while the bytes are still in the page cache. All events of a roll belong to one time partition,
 * so that a roll is one file of the sink.
 */
import type { JournalEntry } from "../../kernel/journal/journal.ts";
import { DropTally } from "./drop-tally.ts";
import { readPayload } from "./payload.ts";
import type { ScratchFile, ScratchFiles } from "./scratch-files.ts";

/** Where a file ends and the next begins: DuckDB's threads share the files. */
const FILE_BYTES = 32 * 1024 * 1024;
/** Entries that are written one by one. */
const PARTS_MAX = 16;

/** Whether a roll has its size: asked before each entry. */
export type IsFull = (roll: Gathering) => boolean;

export class Gathering {
  /** First offset, and the one after the last. */
  readonly from: number;
  to: number;
  /** Of lines. */
  bytes = 0;
  /** Of the events as they were sent, dropped ones included. */
  sentBytes = 0;
  /** Events, dropped ones included. */
  records = 0;
  readonly dropped = new DropTally();
  /** Time of ingest of the first and the last entry, milliseconds since the epoch. */
  firstTime = 0;
  lastTime = 0;
  partition = "";
  readonly #files: ScratchFile[] = [];
  readonly #scratch: ScratchFiles;
  readonly #partitionOf: (time: number) => string;

  constructor(from: number, scratch: ScratchFiles, partitionOf: (time: number) => string) {
    this.from = from;
    this.to = from;
    this.#scratch = scratch;
    this.#partitionOf = partitionOf;
  }

  /** Paths of the files of lines; complete after `close`. */
  get files(): string[] {
    return this.#files.map((file) => file.path);
  }

  get empty(): boolean {
    return this.to === this.from;
  }

  /**
   * Takes entries in order until the roll is full, offset `end` is reached, or an entry belongs to another
   * partition. False when the roll is full.
   */
  async add(entries: readonly JournalEntry[], isFull: IsFull, end = Number.POSITIVE_INFINITY): Promise<boolean> {
    const lines: Uint8Array[] = [];
    let full = false;
    for (const entry of entries) {
      const payload = readPayload(entry.payload);
      const partition = this.#partitionOf(payload.time);
      if (this.empty) {
        this.partition = partition;
        this.firstTime = payload.time;
      } else if (partition !== this.partition || isFull(this) || entry.offset >= end) {
        full = true;
        break;
      }
      lines.push(payload.lines);
      this.bytes += payload.lines.byteLength;
      this.records += entry.count;
      this.sentBytes += payload.bytes;
      for (const drop of payload.dropped) this.dropped.add(drop, drop.count);
      this.lastTime = payload.time;
      this.to = entry.offset + entry.count;
    }
    await this.#write(lines);
    return !full && !isFull(this);
  }

  async #write(lines: readonly Uint8Array[]): Promise<void> {
    const bytes = lines.reduce((sum, part) => sum + part.byteLength, 0);
    if (bytes === 0) return;
    let file = this.#files.at(-1);
    if (file === undefined || file.size >= FILE_BYTES) {
      await file?.close();
      file = await this.#scratch.take();
      this.#files.push(file);
    }
    // One write for many small entries; large ones go as they are.
    if (lines.length > PARTS_MAX) await file.write(Buffer.concat(lines, bytes));
    else for (const part of lines) await file.write(part);
  }

  /** Ends the writing; the files can be read. */
  async close(): Promise<void> {
    await this.#files.at(-1)?.close();
  }

  /** Gives the files back. */
  async discard(): Promise<void> {
    await Promise.all(this.#files.splice(0).map((file) => file.release()));
  }
}
