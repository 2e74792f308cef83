/**
 * Compaction: a table of 100 files of flights is compacted by a run on request. MB/s are bytes of the files read, from the
 * run's beginning to its end, the start of its process and the commit included. The peer is DuckDB's COPY of the same files
 * into one, with one thread as compaction has, in the same run.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import duckdb from "@duckdb/node-api";
import { finishedRun, tablePath } from "../test/clients/maintenance-runs.ts";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { BUCKET, type Columns, fieldIds, makeTable, prepareLake } from "./lake.ts";

const FILES = 100;
const ROWS = 60_000;
const COLUMNS: Columns = {
  flight: "long",
  at: "timestamp",
  origin: "string",
  destination: "string",
  carrier: "string",
  tail: "string",
  distance: "int",
  delay: "double",
};
const flights = (file: number): string => `SELECT ${file * ROWS} + range AS flight,
  TIMESTAMP '2026-01-01' + INTERVAL (${file}) HOUR + INTERVAL (range % 3600) SECOND AS at,
  'A' || (hash(range, ${file}) % 350)::VARCHAR AS origin, 'A' || (hash(range + 1, ${file}) % 350)::VARCHAR AS destination,
  'C' || (range % 18)::VARCHAR AS carrier, 'N' || (hash(range, 7) % 6000)::VARCHAR AS tail,
  (hash(range, ${file}, 3) % 4000)::INTEGER AS distance, (hash(range, ${file}, 5) % 100000) / 777.0 - 20 AS delay FROM range(${ROWS})`;

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const cleanups: (() => Promise<void>)[] = [];
    const local = await (await duckdb.DuckDBInstance.create(":memory:", { threads: "1" })).connect();
    try {
      const sources: string[] = [];
      for (let i = 0; i < FILES; i++) {
        const path = join(directory, `flights-${i}.parquet`);
        await local.run(`COPY (${flights(i)}) TO '${path}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS ${fieldIds(COLUMNS)})`);
        sources.push(path);
      }
      const sizes = await Promise.all(sources.map(async (path) => (await stat(path)).size));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);

      const platform = await startPlatform({ after: (fn) => cleanups.push(fn) }, { dir: join(directory, "data") });
      await prepareLake(platform);
      const table = await makeTable(platform, local, "flights", COLUMNS, sources);
      const name = `ns.${table.name}`;
      await platform.rest("POST", `${tablePath(platform, BUCKET, name)}/maintenance-configs`, {
        compaction: { state: "enabled", target_size_mb: "512" },
      });
      const compaction = await finishedRun(platform, BUCKET, name, () => true);
      if (compaction.operations.compaction?.input_files !== FILES) throw new Error(JSON.stringify(compaction));
      const seconds = (Date.parse(compaction.finished_at as string) - Date.parse(compaction.started_at)) / 1000;

      const began = performance.now();
      const files = sources.map((path) => `'${path}'`).join(", ");
      await local.run(
        `COPY (SELECT * FROM read_parquet([${files}])) TO '${join(directory, "one.parquet")}' (FORMAT parquet, COMPRESSION zstd)`,
      );
      const peer = (performance.now() - began) / 1000;
      const note = `${FILES} files, ${Math.round(bytes / 1e6)} MB in ${seconds.toFixed(1)} s; DuckDB's COPY ${peer.toFixed(1)} s`;
      return [
        { name: "compaction.flights_100_files", value: Math.round((bytes / 1e6 / seconds) * 10) / 10, unit: "MB/s", note },
        { name: "compaction.to_duckdb_copy", value: Math.round((seconds / peer) * 100) / 100, unit: "ratio" },
      ];
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}
