/**
 * Immutable bytes under names that the store chooses. A directory on one machine, an S3 bucket across many.
 * A blob is visible only after its `commit` (or `put`, `adopt`) has resolved, survives SIGKILL and power
 * loss from then on, and never changes. Who writes a blob then writes the row that names it; a blob that no
 * row names is an orphan and may be deleted at leisure.
 */
import type { Readable } from "node:stream";

/** Opaque, unguessable, safe in a path and in a URL. */
export type BlobId = string & { readonly __brand: "BlobId" };

export interface BlobRange {
  /** First byte. */
  readonly offset: number;
  /** Number of bytes; must lie inside the blob. */
  readonly length: number;
}

/** A blob being written. Exactly one of `commit` and `abort` ends it. */
export interface BlobWriter {
  /** Resolves when the store is ready for more; await it, so that memory stays flat. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the bytes durable and visible. */
  commit(): Promise<{ id: BlobId; size: number }>;
  /** Drops the bytes. Safe to call after a failed write. */
  abort(): Promise<void>;
}

/** A blob as a file on this machine, for engines that read files themselves (DuckDB, workerd). */
export interface LocalFile {
  readonly path: string;
  /** Ends the caller's use; the file may be deleted afterwards. */
  release(): Promise<void>;
}

export interface BlobStore {
  /**
   * Names for blobs that do not exist yet. Who notes them durably before it writes can find, after a crash, the blobs that
   * never got a row. Each serves one `create`, `put` or `adopt`.
   */
  reserve(count: number): BlobId[];
  create(id?: BlobId): Promise<BlobWriter>;
  put(bytes: Uint8Array, id?: BlobId): Promise<{ id: BlobId; size: number }>;
  /** Takes over a finished file of this machine (it is moved where possible) and returns its blob. */
  adopt(path: string, id?: BlobId): Promise<{ id: BlobId; size: number }>;
  /** Streams the blob, or a range of it. The chunks are the caller's alone. Throws `blobs.notFound` when there is none. */
  read(id: BlobId, range?: BlobRange): Promise<Readable>;
  /** The whole blob in memory; for small ones. */
  bytes(id: BlobId): Promise<Uint8Array>;
  /** The blob as a local file. The directory backend gives the file itself: it must not be written to. */
  localFile(id: BlobId): Promise<LocalFile>;
  /** Deletes the blob; a missing one is success. Readers that hold it open go on reading. */
  delete(id: BlobId): Promise<void>;
  /** A path under which the caller may write temporary files; emptied at start. Same file system as the store. */
  readonly scratch: string;
}
