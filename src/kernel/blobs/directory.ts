/**
 * Blobs as files of one directory: `objects/<first two digits of the id>/<id>`, the backend of one machine. Large blobs
 * being written lie in `writing/` and callers' temporary files in `scratch/`; both are emptied at start, so a crash
 * leaves nothing but blobs that no row names. One process at a time may use a directory; the caller holds the lock.
 *
 * A blob's id is known to nobody before its bytes and its name are durable, so no reader can meet a half-made one.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, type FileHandle, lstat, mkdir, open, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { isDiskFull, makeDirectory, syncDirectory } from "../durable-files.ts";
import { platformError } from "../errors.ts";
import type { BlobId, BlobRange, BlobStore, BlobWriter, LocalFile } from "./blobs.ts";
import { blobError } from "./errors.ts";

export interface DirectoryBlobsOptions {
  /** Where everything lies. Created when missing. */
  readonly directory: string;
}

/** 128 random bits: unguessable, and safe in a path on file systems that ignore case. */
const idPattern = /^[0-9a-f]{32}$/;
/** One read ahead for each open stream: enough for over 2 GB/s, small enough for a thousand slow readers. */
const readChunkBytes = 256 * 1024;
/** The disk is kept busy while a large blob arrives, and commit has at most twice this much left to sync. */
const syncIntervalBytes = 64 * 1024 * 1024;
/** Up to this size a blob is gathered in memory and written at once. */
const smallBytes = 64 * 1024;
/** Blobs never change: not even their owner may open one for writing. */
const blobMode = 0o400;

/** Opens or creates the directory's blobs and empties its temporary directories. */
export async function openDirectoryBlobs(options: DirectoryBlobsOptions): Promise<BlobStore> {
  const blobs = new DirectoryBlobs(options.directory);
  await blobs.prepare();
  return blobs;
}

class DirectoryBlobs implements BlobStore {
  readonly scratch: string;
  readonly #objects: string;
  readonly #writing: string;
  /** Uses of local files, by blob; a deleted blob that is in use goes when the last use ends. */
  readonly #uses = new Map<BlobId, { count: number; deleted: boolean }>();

  constructor(directory: string) {
    this.scratch = join(directory, "scratch");
    this.#objects = join(directory, "objects");
    this.#writing = join(directory, "writing");
  }

  async prepare(): Promise<void> {
    for (const directory of [this.scratch, this.#writing]) {
      await rm(directory, { recursive: true, force: true });
      await makeDirectory(directory);
    }
    await makeDirectory(this.#objects);
    const present = new Set(await readdir(this.#objects));
    for (let i = 0; i < 256; i++) {
      const name = i.toString(16).padStart(2, "0");
      if (!present.has(name)) await mkdir(join(this.#objects, name));
    }
    await syncDirectory(this.#objects);
  }

  reserve(count: number): BlobId[] {
    return Array.from({ length: count }, newId);
  }

  async create(id: BlobId = newId()): Promise<BlobWriter> {
    return new DirectoryBlobWriter(id, join(this.#writing, id), {
      publish: (path, file) => this.#publish(path, file, id),
      store: (parts) => this.#store(parts, id),
    });
  }

  async put(bytes: Uint8Array, id: BlobId = newId()): Promise<{ id: BlobId; size: number }> {
    if (bytes.byteLength <= smallBytes) {
      try {
        await this.#store([bytes], id);
      } catch (error) {
        throw operatingFailure("put a blob", error);
      }
      return { id, size: bytes.byteLength };
    }
    const writer = await this.create(id);
    try {
      await writer.write(bytes);
      return await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  async adopt(path: string, id: BlobId = newId()): Promise<{ id: BlobId; size: number }> {
    if (!(await lstat(path)).isFile()) throw new TypeError(`adopt: ${path} is not a regular file`);
    try {
      return await this.#adopt(path, id);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw operatingFailure("adopt a file", error);
    }
    // Another file system: a copy is adopted, and the original goes last, so that a failure leaves it in place.
    const copy = join(this.#writing, newId());
    try {
      await copyFile(path, copy);
      const adopted = await this.#adopt(copy, id);
      await unlink(path);
      return adopted;
    } catch (error) {
      await rm(copy, { force: true });
      throw operatingFailure("adopt a file", error);
    }
  }

  async #adopt(path: string, id: BlobId): Promise<{ id: BlobId; size: number }> {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      await this.#publish(path, file, id);
      await file.chmod(blobMode);
      return { id, size };
    } finally {
      await file.close();
    }
  }

  async read(id: BlobId, range?: BlobRange): Promise<Readable> {
    const file = await this.#open(id);
    try {
      const { size } = await file.stat();
      const { offset, length } = range ?? { offset: 0, length: size };
      if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0 || offset + length > size)
        throw blobError("invalidRange", `bytes ${offset} to ${offset + length} of a blob of ${size}`);
      // A range of nothing cannot be said as first and last byte.
      if (length > 0) {
        // The stream closes the file when it ends, fails or is destroyed.
        return file.createReadStream({ start: offset, end: offset + length - 1, highWaterMark: readChunkBytes });
      }
      await file.close();
      return Readable.from([]);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async bytes(id: BlobId): Promise<Uint8Array> {
    const file = await this.#open(id);
    try {
      return await readFile(file);
    } finally {
      await file.close();
    }
  }

  async localFile(id: BlobId): Promise<LocalFile> {
    // At once, so that nothing comes between the look and the hold; a trip through the thread pool for each of the
    // thousands of files of a query would also cost more than the look.
    if (!this.#mayExist(id) || !existsSync(this.#path(id))) throw blobError("notFound");
    const use = this.#uses.get(id) ?? { count: 0, deleted: false };
    use.count++;
    this.#uses.set(id, use);
    let released = false;
    return {
      path: this.#path(id),
      release: async () => {
        if (released) return;
        released = true;
        if (--use.count > 0) return;
        this.#uses.delete(id);
        if (use.deleted) await this.#unlink(id);
      },
    };
  }

  async delete(id: BlobId): Promise<void> {
    if (!idPattern.test(id)) return;
    const use = this.#uses.get(id);
    if (use !== undefined) use.deleted = true;
    else await this.#unlink(id);
  }

  /** Not synced: after power loss the file may be back, but no row names it. */
  async #unlink(id: BlobId): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  /** Only what `newId` makes is looked up: an id that came from outside cannot lead to another path. */
  #mayExist(id: BlobId): boolean {
    return idPattern.test(id) && this.#uses.get(id)?.deleted !== true;
  }

  /** Opens the blob's file for reading. */
  async #open(id: BlobId): Promise<FileHandle> {
    if (!this.#mayExist(id)) throw blobError("notFound");
    try {
      return await open(this.#path(id), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw blobError("notFound", undefined, { cause: error });
      throw error;
    }
  }

  /**
   * Gives a finished file its final name; bytes and name are durable when the promise resolves. The rename goes first
   * so that both syncs share one commit of the file system; nobody has the id before both are done.
   */
  async #publish(path: string, file: FileHandle, id: BlobId): Promise<void> {
    const final = this.#path(id);
    await rename(path, final);
    try {
      await Promise.all([file.datasync(), syncDirectory(dirname(final))]);
    } catch (error) {
      await rename(final, path);
      throw error;
    }
  }

  /**
   * Writes a small blob straight to its final name; durable when the promise resolves. Renames between directories
   * wait for each other, which halves the rate of small blobs; a crash leaves at most an orphan of `smallBytes`.
   */
  async #store(parts: readonly Uint8Array[], id: BlobId): Promise<void> {
    const path = this.#path(id);
    const file = await open(path, "wx", blobMode);
    try {
      for (const part of parts) await writeAll(file, part);
      await Promise.all([file.datasync(), syncDirectory(dirname(path))]);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  #path(id: BlobId): string {
    return join(this.#objects, id.slice(0, 2), id);
  }
}

/** The ways a writer's bytes become a blob. */
interface Ending {
  /** Takes over the finished file. */
  publish(path: string, file: FileHandle): Promise<void>;
  /** Stores bytes that are still in memory. */
  store(parts: readonly Uint8Array[]): Promise<void>;
}

class DirectoryBlobWriter implements BlobWriter {
  readonly #id: BlobId;
  readonly #path: string;
  readonly #ending: Ending;
  /** A blob's first bytes, as long as it is small. */
  #head: Uint8Array[] = [];
  /** Created when the blob turns out not to be small. */
  #file: FileHandle | undefined;
  #size = 0;
  #synced = 0;
  /** The sync under way; its failure is met by the next one or by commit. */
  #syncing: Promise<void> = Promise.resolve();
  #state: "open" | "failed" | "committed" | "aborted" = "open";

  constructor(id: BlobId, path: string, ending: Ending) {
    this.#id = id;
    this.#path = path;
    this.#ending = ending;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#expectOpen();
    this.#size += chunk.byteLength;
    if (this.#size <= smallBytes) {
      // Copied, because the caller may reuse its chunk.
      this.#head.push(Uint8Array.from(chunk));
      return;
    }
    try {
      this.#file ??= await this.#spill();
      await writeAll(this.#file, chunk);
      if (this.#size - this.#synced >= syncIntervalBytes) await this.#startSync(this.#file);
    } catch (error) {
      this.#state = "failed";
      throw operatingFailure("write a blob", error);
    }
  }

  async #spill(): Promise<FileHandle> {
    this.#file = await open(this.#path, "wx", blobMode);
    for (const part of this.#head.splice(0)) await writeAll(this.#file, part);
    return this.#file;
  }

  async #startSync(file: FileHandle): Promise<void> {
    await this.#syncing;
    this.#synced = this.#size;
    this.#syncing = file.datasync();
    // It is awaited later; until then its failure is not an unhandled one.
    this.#syncing.catch(() => undefined);
  }

  async commit(): Promise<{ id: BlobId; size: number }> {
    this.#expectOpen();
    try {
      await this.#syncing;
      if (this.#file === undefined) await this.#ending.store(this.#head);
      else await this.#ending.publish(this.#path, this.#file);
    } catch (error) {
      this.#state = "failed";
      throw operatingFailure("commit a blob", error);
    }
    this.#state = "committed";
    this.#head = [];
    await this.#file?.close();
    return { id: this.#id, size: this.#size };
  }

  async abort(): Promise<void> {
    if (this.#state === "committed" || this.#state === "aborted") return;
    this.#state = "aborted";
    this.#head = [];
    if (this.#file === undefined) return;
    await this.#file.close();
    await rm(this.#path, { force: true });
  }

  #expectOpen(): void {
    if (this.#state !== "open") throw new Error(`the blob being written has ${this.#state}`);
  }
}

/** Appends all bytes at the file's own position; one call may take only some of them. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) done += (await file.write(bytes, done)).bytesWritten;
}

const newId = (): BlobId => randomBytes(16).toString("hex") as BlobId;

/** What the caller gets when the disk does not do as asked: the documented error when it is full. */
function operatingFailure(action: string, cause: unknown): Error {
  if (isDiskFull(cause)) return platformError("storageFull", undefined, { cause });
  return new Error(`blobs: could not ${action}: ${(cause as Error).message}`, { cause });
}
