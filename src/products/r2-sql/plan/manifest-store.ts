/**
 * Manifest lists and manifests of tables, read from the bucket and kept while there is room. They are immutable and named
 * by unique paths, so that what was read once is right for ever; the newest snapshot names new files.
 */
import { setImmediate } from "node:timers/promises";
import type { Objects } from "../../../kernel/capabilities.ts";
import { Pairs } from "../../../protocols/iceberg/avro-reader.ts";
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import {
  type Manifest,
  type ManifestEntry,
  type ManifestFile,
  openManifest,
  readManifestList,
} from "../../../protocols/iceberg/manifests.ts";
import { parseS3Location } from "../../../protocols/iceberg/metadata.ts";
import type { Schema } from "../../../protocols/iceberg/types.ts";
import { r2SqlError } from "../errors.ts";

/**
 * Memory of a file's entry in a parsed manifest, measured, besides what it says by column, which stays as it is written.
 * Manifests of like files compress so well that their size on disk says little: a fiftieth of this.
 */
const ENTRY_BYTES = 750;

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
    return this.#read(bucket, path, readManifestList, (manifests) => manifests.length * ENTRY_BYTES, onRead);
  }

  manifest(bucket: string, file: ManifestFile, schemas: readonly Schema[], onRead: () => void): Promise<Manifest> {
    return this.#read(bucket, file.path, (bytes) => readSlim(bytes, file, schemas), manifestBytes, onRead);
  }

  #read<T>(
    bucket: string,
    path: string,
    parse: (bytes: Uint8Array) => T | Promise<T>,
    sizeOf: (value: T) => number,
    onRead: () => void,
  ): Promise<T> {
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
      value: this.#load(bucket, path, parse).then((value) => {
        this.#grow(entry, sizeOf(value));
        return value;
      }),
    };
    this.#kept.set(name, entry);
    // A failure is not kept: the file may be there next time.
    entry.value.catch(() => this.#drop(name, entry));
    return entry.value;
  }

  async #load<T>(bucket: string, path: string, parse: (bytes: Uint8Array) => T | Promise<T>): Promise<T> {
    const key = keyInBucket(bucket, path);
    const bytes = await this.#objects.bytes(bucket, key);
    if (bytes === undefined) throw r2SqlError("fileMissing", `A file of the table is missing from the bucket: ${key}`);
    try {
      return await parse(bytes);
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

/** Entries decoded before others have their turn: some 5 ms. */
const ENTRIES_AT_A_TIME = 200;

/** A manifest without what planning never asks for, and with one map where neighbours have equal ones. */
async function readSlim(bytes: Uint8Array, line: ManifestFile, schemas: readonly Schema[]): Promise<Manifest> {
  const opened = openManifest(bytes, line, schemas);
  const entries: ManifestEntry[] = [];
  for (const entry of opened.entries) {
    const { columnSizes: _, splitOffsets: __, ...file } = entry.file;
    const last = entries.at(-1)?.file;
    for (const name of ["valueCounts", "nullValueCounts", "nanValueCounts"] as const) {
      const [mine, before] = [file[name], last?.[name]];
      if (mine instanceof Pairs && before instanceof Pairs && mine.isAlike(before)) file[name] = before;
    }
    entries.push({ ...entry, file });
    if (entries.length % ENTRIES_AT_A_TIME === 0) await setImmediate();
  }
  return { ...opened, entries };
}

function manifestBytes({ entries }: Manifest): number {
  let bytes = 0;
  for (const { file } of entries) {
    bytes += ENTRY_BYTES;
    for (const map of [file.lowerBounds, file.upperBounds, file.valueCounts, file.nullValueCounts, file.nanValueCounts])
      if (map instanceof Pairs) bytes += map.byteLength;
  }
  return bytes;
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
