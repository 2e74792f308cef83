/**
 * Writes one output file of a legacy pipeline: the lines of a roll, compressed as they stream by. The work is zlib's, on
 * Node's thread pool: the files of several shards are written at a time.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createDeflate, createGzip } from "node:zlib";
import type { WrittenFile } from "../../../kernel/duckdb/parquet.ts";
import type { RollLines } from "../file-writer.ts";
import type { Compression } from "./settings.ts";

const CHUNK_BYTES = 256 * 1024;
/** Events of about 1 KB on one core: level 3 makes 213 MB/s and files a quarter larger than level 6, which makes 89 MB/s. */
const zlib = { level: 3, chunkSize: CHUNK_BYTES };

const compressors: Readonly<Record<Compression, () => Transform>> = {
  none: () => new PassThrough({ highWaterMark: CHUNK_BYTES }),
  gzip: () => createGzip(zlib),
  // The zlib format (RFC 1950), as "deflate" means it in HTTP and in CompressionStream.
  deflate: () => createDeflate(zlib),
};

/** The file lies in `directory` and is the caller's to move or delete. */
export async function writeNdjson(directory: string, compression: Compression, roll: RollLines, signal: AbortSignal): Promise<WrittenFile> {
  const path = join(directory, `pipelines-${randomBytes(8).toString("hex")}`);
  try {
    await pipeline(content(roll.lines), compressors[compression](), createWriteStream(path, { flags: "wx" }), { signal });
    const { size } = await stat(path);
    return { path, rows: roll.records, bytes: size, uncompressedBytes: roll.linesBytes, rowGroups: 0, statistics: new Map() };
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function* content(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) yield* createReadStream(file, { highWaterMark: CHUNK_BYTES });
}
