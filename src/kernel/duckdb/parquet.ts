/** Writes the rows of a query to a Parquet file by one COPY that streams, and says what it wrote. */
import { rm } from "node:fs/promises";
import { type Connection, literal } from "./engine.ts";

export interface WrittenFile {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
  readonly uncompressedBytes: number;
  readonly rowGroups: number;
  /** Parquet: by column path, "min", "max", "null_count", "num_values", "column_size_bytes", "has_nan" as text. */
  readonly statistics: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export interface ParquetOptions {
  /** uncompressed, snappy, gzip, zstd or lz4. */
  readonly compression: string;
  /** Wanted size of a row group before compression. */
  readonly rowGroupBytes: number;
  /** Size of a row before compression, as far as it is known. */
  readonly rowBytes: number;
  /** DuckDB's FIELD_IDS, for Iceberg. */
  readonly fieldIds?: string;
}

/** Memory of a row group being written, for each thread. */
const ROW_GROUP_BYTES_MAX = 64 * 1024 * 1024;
const ROW_GROUP_ROWS_MAX = 491_520;

/** Undefined, and no file, when the query gives no row. */
export async function copyToParquet(
  connection: Connection,
  query: string,
  path: string,
  { compression, rowGroupBytes, rowBytes, fieldIds }: ParquetOptions,
  signal: AbortSignal,
): Promise<WrittenFile | undefined> {
  const groupBytes = Math.min(rowGroupBytes, ROW_GROUP_BYTES_MAX);
  const groupRows = Math.min(ROW_GROUP_ROWS_MAX, Math.max(2048, Math.floor(groupBytes / Math.max(1, rowBytes))));
  const options = ["FORMAT parquet", `COMPRESSION ${compression}`, `ROW_GROUP_SIZE ${groupRows}`, "RETURN_STATS"];
  if (fieldIds !== undefined) options.push(`FIELD_IDS ${fieldIds}`);
  type Stats = { count: bigint; file_size_bytes: bigint; column_statistics: { key: string; value: { key: string; value: string }[] }[] };
  const written = await connection.get<Stats>(`COPY (${query}) TO ${literal(path)} (${options.join(", ")})`, [], { signal });
  if (written === undefined || written.count === 0n) {
    await rm(path, { force: true });
    return undefined;
  }
  const groups = await connection.get<{ groups: bigint; bytes: bigint | number }>(
    `SELECT count(DISTINCT row_group_id) AS groups, sum(total_uncompressed_size)::BIGINT AS bytes FROM parquet_metadata(${literal(path)})`,
  );
  return {
    path,
    rows: Number(written.count),
    bytes: Number(written.file_size_bytes),
    uncompressedBytes: Number(groups?.bytes ?? 0),
    rowGroups: Number(groups?.groups ?? 0),
    statistics: new Map(written.column_statistics.map(({ key, value }) => [key, new Map(value.map((entry) => [entry.key, entry.value]))])),
  };
}
