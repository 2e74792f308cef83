/**
 * A roll being gathered: entries of the journal, put one after another into files of lines that DuckDB reads. Reads the
 * journal as it grows, while the bytes are still in the page cache. All events of a roll belong to one time partition,
 * so that a roll is one file of the sink.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { JournalEntry } from "../../kernel/journal/journal.ts";
import { readPayload } from "./payload.ts";
import type { RecordError } from "./record-check.ts";

/** Where a file ends and the next begins: DuckDB's threads share the files. */
const FILE_BYTES = 32 * 1024 * 1024;

export class Gathering {
  /** First offset, and the one after the last. */
  readonly from: number;
  to: number;
  /** Of lines. */
  bytes = 0;
  /** Events, dropped ones included. */
  records = 0;
  /** By type, in the order of `errorTypes`. */
  readonly dropped: [number, number, number, number] = [0, 0, 0, 0];
  example: RecordError | undefined;
  /** Time of ingest of the first and the last entry, milliseconds since the epoch. */
  firstTime = 0;
  lastTime = 0;
  partition = "";
  readonly files: string[] = [];
  readonly #directory: string;
  readonly #partitionOf: (time: number) => string;
  #handle: FileHandle | undefined;
  #fileBytes = 0;

  /** Files go to `directory`. */
  constructor(from: number, directory: string, partitionOf: (time: number) => string) {
    this.from = from;
    this.to = from;
    this.#directory = directory;
    this.#partitionOf = partitionOf;
  }

  get empty(): boolean {
    return this.to === this.from;
  }

  /**
   * Takes entries in order until `bytesMax` of lines are gathered, offset `end` is reached, or an entry belongs to another
   * partition. False when it stopped before the last entry given: the roll is full.
   */
  async add(entries: readonly JournalEntry[], bytesMax: number, end = Number.POSITIVE_INFINITY): Promise<boolean> {
    const lines: Uint8Array[] = [];
    let full = false;
    for (const entry of entries) {
      const payload = readPayload(entry.payload);
      const partition = this.#partitionOf(payload.time);
      if (this.empty) {
        this.partition = partition;
        this.firstTime = payload.time;
      } else if (partition !== this.partition || this.bytes >= bytesMax || entry.offset >= end) {
        full = true;
        break;
      }
      lines.push(payload.lines);
      this.bytes += payload.lines.byteLength;
      this.records += entry.count;
      for (let i = 0; i < 4; i++) (this.dropped[i] as number) += payload.dropped[i] as number;
      this.example ??= payload.example;
      this.lastTime = payload.time;
      this.to = entry.offset + entry.count;
    }
    await this.#write(lines);
    return !full && this.bytes < bytesMax;
  }

  async #write(lines: readonly Uint8Array[]): Promise<void> {
    const bytes = lines.reduce((sum, part) => sum + part.byteLength, 0);
    if (bytes === 0) return;
    if (this.#handle === undefined || this.#fileBytes >= FILE_BYTES) {
      await this.#handle?.close();
      const path = join(this.#directory, `${randomBytes(8).toString("hex")}.ndjson`);
      this.#handle = await open(path, "wx");
      this.files.push(path);
      this.#fileBytes = 0;
    }
    // One write for many small entries; large ones go as they are.
    if (lines.length <= 16) for (const part of lines) await this.#handle.writeFile(part);
    else await this.#handle.writeFile(Buffer.concat(lines, bytes));
    this.#fileBytes += bytes;
  }

  /** Ends the writing; the files can be read. */
  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
    this.#fileBytes = FILE_BYTES;
  }

  /** Deletes the files. */
  async discard(): Promise<void> {
    await this.close();
    await Promise.all(this.files.map((file) => rm(file, { force: true })));
  }
}
