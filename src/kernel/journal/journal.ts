/**
 * The durable log of records in flight: append, fsync, read by offset. Segment files on one machine, an S3
 * bucket across many. ("Log" alone always means logging.)
 *
 * A journal holds entries. An entry is a run of `count` records in one opaque `payload`; offsets number the
 * records, so the entry after one at offset 10 with count 3 is at offset 13. Each reader keeps its own
 * position outside the journal.
 */

export interface JournalEntry {
  /** Offset of the entry's first record. */
  readonly offset: number;
  /** Number of records in the payload, at least 1. */
  readonly count: number;
  readonly payload: Uint8Array;
}

export interface Journal {
  /**
   * Appends one entry. Resolves with the offset of its first record once the bytes are on stable storage:
   * from then on the entry survives SIGKILL and power loss, exactly once, in the order of offsets. Appends of
   * one moment share an fsync (group commit). Rejects without having kept the entry when the disk is full
   * (`journal.full`), when the bytes waiting for the disk exceed the bound (`journal.overloaded`), or after
   * `close`.
   */
  append(payload: Uint8Array, count: number): Promise<number>;
  /**
   * Entries from the one that contains `offset` on, until `maxBytes` of payload are gathered (at least one
   * entry if there is any). Only durable entries are returned. Empty at the end of the journal. Throws
   * `journal.trimmed` when `offset` lies before `start`.
   */
  read(offset: number, maxBytes: number): Promise<JournalEntry[]>;
  /** Resolves when a record at or after `offset` is durable, or when the signal aborts. */
  wait(offset: number, signal: AbortSignal): Promise<void>;
  /** Offset of the first record still kept. */
  readonly start: number;
  /** Offset that the next record will get; everything before it is durable. */
  readonly end: number;
  /** Bytes on disk. */
  readonly bytes: number;
  /** Gives back the space of whole segments before `offset`. Idempotent. */
  trim(offset: number): Promise<void>;
}

export interface JournalStore {
  /** Opens or creates the journal of that name ([a-z0-9-]+). The same name always gives the same object. */
  open(name: string): Promise<Journal>;
  /** Deletes a journal and its records. */
  remove(name: string): Promise<void>;
  /** Waits for pending appends, then releases the files. */
  close(): Promise<void>;
}
