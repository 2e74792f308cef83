/**
 * Writes one file of a sink: events of a roll through the compiled SELECT into Parquet or NDJSON, by one COPY that
 * streams, on DuckDB's own threads. Knows nothing of buckets and tables. A statement that takes too long, or whose file
 * grows too large, is interrupted: SQL such as `unnest(range(…))` can make any number of rows of one event.
 */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Connection, type DuckDb, DuckDbError, literal } from "../../kernel/duckdb/engine.ts";
import { copyToParquet, type WrittenFile } from "../../kernel/duckdb/parquet.ts";
import type { Field } from "./fields.ts";
import { SOURCE, sourceSql } from "./source.ts";

/** A compiled INSERT as it is stored with its pipeline. */
export interface Plan {
  readonly version: 1;
  /** SELECT over the stream's lines. */
  readonly select: string;
  /** The same for batches on which it fails; null when there is no such form. */
  readonly guarded: string | null;
  /** Select list over that, in the types of the sink's files. */
  readonly output: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** A value is at most so many times as large as its event. Plans of earlier releases do not say. */
  readonly growth?: number;
}

export interface FileFormat {
  readonly type: "parquet" | "json";
  /** Parquet: uncompressed, snappy, gzip, zstd or lz4. NDJSON: uncompressed or gzip; of legacy pipelines also deflate. */
  readonly compression: string;
  readonly rowGroupBytes: number;
}

/** The events of a roll. */
export interface RollLines {
  /** Files of lines. */
  readonly lines: readonly string[];
  readonly linesBytes: number;
  readonly records: number;
}

export interface WriteJob extends RollLines {
  readonly plan: Plan;
  /** Of the stream; undefined when it is unstructured. */
  readonly fields: readonly Field[] | undefined;
  readonly format: FileFormat;
  /** DuckDB's FIELD_IDS, for Iceberg. */
  readonly fieldIds?: string;
}

/** What one roll may take before it is given up. */
export interface RollLimits {
  readonly timeoutMs: number;
  /** Of the file that the SELECT makes. */
  readonly fileBytes: number;
}

/** A roll that was given up: the message names the limit and the setting that raises it. */
export class RollLimitError extends Error {
  override readonly name = "RollLimitError";
  /** It is not worth another try before this long: trying holds up the rolls of others. */
  readonly retryAfterMs: number;

  constructor(message: string, tookMs: number) {
    super(message);
    this.retryAfterMs = PAUSE_FACTOR * tookMs;
  }
}

export interface FileWriter {
  /**
   * Undefined when the SELECT gives no row. The file is the caller's to move or delete.
   *
   * @throws RollLimitError past one of the limits.
   */
  write(job: WriteJob, signal: AbortSignal): Promise<WrittenFile | undefined>;
}

/** DuckDB takes twice the longest line's size in memory for each thread that reads. */
const LINE_BYTES_MIN = 16 * 1024 * 1024;
/** Failures that follow from values of events: the guarded form gets past them. */
const VALUE_FAILURES = new Set(["conversion", "range", "input"]);

/** A roll that passes a limit at each try is worked on a fifth of the time at most. */
const PAUSE_FACTOR = 4;
/** How often the size of a file that is being written is looked at. */
const SIZE_CHECK_MS = 1000;

/** Files are written to `directory`, which `db` must be allowed to write. An event has at most `eventBytesMax`. */
export function fileWriter(
  db: DuckDb,
  directory: string,
  eventBytesMax: number,
  limits: RollLimits,
  onGuarded: (error: DuckDbError) => void,
): FileWriter {
  const lineBytesMax = Math.max(LINE_BYTES_MIN, 2 * eventBytesMax);

  async function copy(
    connection: Connection,
    job: WriteJob,
    select: string,
    path: string,
    signal: AbortSignal,
  ): Promise<WrittenFile | undefined> {
    const source = sourceSql(job.fields, job.lines, lineBytesMax);
    const query = `WITH ${SOURCE} AS (${source}) SELECT ${job.plan.output} FROM (${select})`;
    const rows =
      job.format.type === "parquet"
        ? await parquet(connection, job, query, path, signal)
        : await ndjson(connection, job, query, path, signal);
    return rows;
  }

  return {
    async write(job, stopping) {
      const path = join(directory, `pipelines-${randomBytes(8).toString("hex")}`);
      const guard = guardRoll(path, limits);
      const signal = AbortSignal.any([stopping, guard.signal]);
      try {
        const written = await db.use(async (connection) => {
          try {
            return await copy(connection, job, job.plan.select, path, signal);
          } catch (error) {
            if (!(error instanceof DuckDbError) || !VALUE_FAILURES.has(error.kind) || job.plan.guarded === null) throw error;
            onGuarded(error);
            return await copy(connection, job, job.plan.guarded, path, signal);
          }
        });
        guard.checkSize();
        guard.signal.throwIfAborted();
        return written;
      } catch (error) {
        await rm(path, { force: true });
        guard.signal.throwIfAborted();
        throw error;
      } finally {
        guard.end();
      }
    },
  };
}

/** A signal that fires, with a RollLimitError as its reason, once the roll that writes this file has passed a limit. */
function guardRoll(path: string, { timeoutMs, fileBytes }: RollLimits): { readonly signal: AbortSignal; checkSize(): void; end(): void } {
  const began = performance.now();
  const passed = new AbortController();
  const giveUp = (message: string): void => passed.abort(new RollLimitError(message, performance.now() - began));
  const checkSize = (): void => {
    // The file is not there before the first rows are.
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > fileBytes)
      giveUp(`The SQL makes a file of more than ${fileBytes} bytes of one roll's events (pipelines.roll_file_max_bytes)`);
  };
  const timer = setTimeout(
    () => giveUp(`The SQL took longer than ${timeoutMs / 1000} s for the events of one file (pipelines.roll_timeout_s)`),
    timeoutMs,
  );
  const sizes = setInterval(checkSize, SIZE_CHECK_MS);
  return {
    signal: passed.signal,
    checkSize,
    end() {
      clearTimeout(timer);
      clearInterval(sizes);
    },
  };
}

function parquet(
  connection: Connection,
  job: WriteJob,
  query: string,
  path: string,
  signal: AbortSignal,
): Promise<WrittenFile | undefined> {
  const { compression, rowGroupBytes } = job.format;
  const rowBytes = job.linesBytes / Math.max(1, job.records);
  const options = { compression, rowGroupBytes, rowBytes, ...(job.fieldIds !== undefined && { fieldIds: job.fieldIds }) };
  return copyToParquet(connection, query, path, options, signal);
}

async function ndjson(
  connection: Connection,
  job: WriteJob,
  query: string,
  path: string,
  signal: AbortSignal,
): Promise<WrittenFile | undefined> {
  const rows = await connection.run(`COPY (${query}) TO ${literal(path)} (FORMAT json, COMPRESSION ${job.format.compression})`, [], {
    signal,
  });
  if (rows === 0) {
    await rm(path, { force: true });
    return undefined;
  }
  const { size } = await stat(path);
  return { path, rows, bytes: size, uncompressedBytes: size, rowGroups: 0, statistics: new Map() };
}
