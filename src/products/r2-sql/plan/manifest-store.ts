/**
 * Manifest lists and manifests of tables, read from the bucket and kept while there is room. They are immutable and named
 * by unique paths, so that what was read once is right for ever; the newest snapshot names new files.
 */
import type { Objects } from "../../../kernel/capabilities.ts";
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import { type Manifest, type ManifestFile, readManifest, readManifestList } from "../../../protocols/iceberg/manifests.ts";
import { parseS3Location } from "../../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../../protocols/iceberg/types.ts";
import { r2SqlError } from "../errors.ts";

/** Memory that a parsed manifest takes for each byte of its file, measured: Avro is compressed and has no names. */
const BYTES_PER_FILE_BYTE = 12;

interface Kept {
  readonly value: Promise<unknown>;
  bytes: number;
}

export class ManifestStore {
  readonly #objects: Objects;
  readonly #maxBytes: number;
  /** By bucket and path, the least recently used first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(objects: Objects, maxBytes: number) {
    this.#objects = objects;
    this.#maxBytes = maxBytes;
  }

  /** `onRead` is called when the file was not in memory. */
  manifestList(bucket: string, path: string, onRead: () => void): Promise<ManifestFile[]> {
    return this.#read(bucket, path, readManifestList, onRead);
  }

  manifest(bucket: string, file: ManifestFile, schemas: readonly Schema[], onRead: () => void): Promise<Manifest> {
    return this.#read(bucket, file.path, (bytes) => readManifest(bytes, file, schemas), onRead);
  }

  #read<T>(bucket: string, path: string, parse: (bytes: Uint8Array) => T, onRead: () => void): Promise<T> {
    const name = `${bucket} ${path}`;
    const known = this.#kept.get(name);
    if (known !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, known);
      return known.value as Promise<T>;
    }
    onRead();
    const entry: { value: Promise<T>; bytes: number } = {
      bytes: 0,
      value: this.#load(bucket, path, parse, (size) => this.#grow(entry, size)),
    };
    this.#kept.set(name, entry);
    // A failure is not kept: the file may be there next time.
    entry.value.catch(() => this.#drop(name, entry));
    return entry.value;
  }

  async #load<T>(bucket: string, path: string, parse: (bytes: Uint8Array) => T, sized: (bytes: number) => void): Promise<T> {
    const key = keyInBucket(bucket, path);
    const bytes = await this.#objects.bytes(bucket, key);
    if (bytes === undefined) throw r2SqlError("fileMissing", `A file of the table is missing from the bucket: ${key}`);
    sized(bytes.length * BYTES_PER_FILE_BYTE);
    try {
      return parse(bytes);
    } catch (cause) {
      if (!(cause instanceof IcebergError)) throw cause;
      throw r2SqlError("fileCorrupt", `A file of the table cannot be read: ${key}: ${cause.message}`, { cause });
    }
  }

  #grow(entry: Kept, bytes: number): void {
    entry.bytes = bytes;
    this.#bytes += bytes;
    for (const [name, oldest] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) return;
      if (oldest !== entry) this.#drop(name, oldest);
    }
  }

  #drop(name: string, entry: Kept): void {
    if (this.#kept.get(name) !== entry) return;
    this.#kept.delete(name);
    this.#bytes -= entry.bytes;
  }
}

/**
 * The key of a location inside the bucket. A table's metadata is its writer's word: a path to another bucket is refused,
 * for the caller's token may have no right to read there.
 */
export function keyInBucket(bucket: string, path: string): string {
  const location = parseS3Location(path);
  if (location === undefined) throw r2SqlError("fileCorrupt", `The table names a file outside R2: ${path}`);
  if (location.bucket !== bucket) throw r2SqlError("fileCorrupt", `The table names a file in another bucket: ${path}`);
  return location.key;
}
