/**
 * Metadata files in the bucket: written once under a new name, read often, never changed. A file is durable before the
 * row that points to it; a file that no row names is an orphan of a lost commit.
 */
import { promisify } from "node:util";
import { gunzip, gzipSync } from "node:zlib";
import type { Objects } from "../../kernel/capabilities.ts";
import { parseS3Location, parseTableMetadata, serializeTableMetadata, type TableMetadata } from "../../protocols/iceberg/metadata.ts";
import { asCatalogError, catalogError } from "./errors.ts";

export interface MetadataFile {
  /** JSON, as it lies in the file. */
  readonly text: string;
  readonly metadata: TableMetadata;
}

export interface MetadataFiles {
  /** Throws `catalog.metadataUnreadable` when the file is missing or no table metadata. */
  read(bucket: string, location: string): Promise<MetadataFile>;
  /** The text of any metadata file (a view's), or undefined when it is missing. */
  readText(bucket: string, location: string): Promise<string | undefined>;
  /** Writes table metadata under a new location in the bucket. Durable when the promise resolves. */
  write(bucket: string, location: string, metadata: TableMetadata): Promise<void>;
  writeText(bucket: string, location: string, text: string): Promise<void>;
  /** Deletes files of the bucket; locations elsewhere are left alone. */
  remove(bucket: string, locations: readonly string[]): Promise<void>;
}

/** Characters of metadata text that are kept in memory. */
const CACHE_MAX_CHARS = 32 * 1024 * 1024;
/** Bound on a compressed file's content. */
const TEXT_MAX_BYTES = 512 * 1024 * 1024;
const GZIP_MAGIC = 0x1f8b;

const unzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

export function metadataFiles(objects: Objects): MetadataFiles {
  // In the order of last use. Files never change, so an entry is never stale.
  const cache = new Map<string, MetadataFile>();
  let chars = 0;

  function remember(location: string, file: MetadataFile): void {
    if (cache.has(location)) return;
    cache.set(location, file);
    chars += file.text.length;
    for (const [oldest, entry] of cache) {
      if (chars <= CACHE_MAX_CHARS) break;
      cache.delete(oldest);
      chars -= entry.text.length;
    }
  }

  const keyOf = (bucket: string, location: string): string => {
    const place = parseS3Location(location);
    if (place === undefined || place.bucket !== bucket)
      throw catalogError("invalidLocation", `${location} does not lie in the bucket ${bucket}`);
    return place.key;
  };

  async function readText(bucket: string, location: string): Promise<string | undefined> {
    const bytes = await objects.bytes(bucket, keyOf(bucket, location));
    if (bytes === undefined) return undefined;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const zipped = buffer.length > 2 && buffer.readUInt16BE() === GZIP_MAGIC;
    if (!zipped) return buffer.toString("utf8");
    try {
      return (await unzip(buffer, { maxOutputLength: TEXT_MAX_BYTES })).toString("utf8");
    } catch (cause) {
      throw catalogError("metadataUnreadable", `The metadata file ${location} is not readable: ${(cause as Error).message}`, { cause });
    }
  }

  async function writeText(bucket: string, location: string, text: string): Promise<void> {
    const bytes = location.endsWith(".gz.metadata.json") ? gzipSync(text) : Buffer.from(text, "utf8");
    const written = await objects.put(bucket, keyOf(bucket, location), bytes, "application/json", { onlyIfAbsent: true });
    if (written === null) throw new Error(`write metadata file: ${location} exists`);
  }

  return {
    readText,
    writeText,
    async read(bucket, location) {
      const known = cache.get(location);
      if (known !== undefined) {
        cache.delete(location);
        cache.set(location, known);
        return known;
      }
      const text = await readText(bucket, location);
      if (text === undefined) throw catalogError("metadataUnreadable", `The metadata file ${location} is missing`);
      const file = { text, metadata: parse(text, location) };
      remember(location, file);
      return file;
    },
    async write(bucket, location, metadata) {
      const text = serializeTableMetadata(metadata);
      await writeText(bucket, location, text);
      remember(location, { text, metadata });
    },
    async remove(bucket, locations) {
      const keys = locations.flatMap((location) => {
        const place = parseS3Location(location);
        return place?.bucket === bucket ? [place.key] : [];
      });
      if (keys.length > 0) await objects.delete(bucket, keys);
    },
  };
}

function parse(text: string, location: string): TableMetadata {
  try {
    return parseTableMetadata(text);
  } catch (error) {
    const cause = asCatalogError(error) as Error;
    throw catalogError("metadataUnreadable", `The metadata file ${location} is not readable: ${cause.message}`, { cause });
  }
}
