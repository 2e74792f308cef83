/**
 * R2 SQL beside DuckDB on the same Parquet files: three million flights in 24 files, the same ten times over, and 1,000
 * small files, whose cost is planning. R2 SQL is asked over HTTP by a client that reads the whole answer; DuckDB runs in
 * this process with the same number of threads, on an open instance, so that everything that the service adds counts.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import duckdb, { type DuckDBConnection } from "@duckdb/node-api";
import { type ColumnStats, columnStatistics, type NewDataFile } from "../src/protocols/iceberg/append.ts";
import { projectRoot, startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { append, ask, type Columns, createTable, fieldIds, makeTable, median, prepareLake, type Table } from "./lake.ts";

const ROUNDS = 15;
const FLIGHTS = join(projectRoot, "node_modules/vega-datasets/data/flights-3m.parquet");
const COLUMNS: Columns = { date: "timestamp", delay: "long", distance: "long", origin: "string", destination: "string" };

const QUERIES: Readonly<Record<string, string>> = {
  count: "SELECT COUNT(*) FROM t",
  group: "SELECT origin, COUNT(*), AVG(delay) FROM t GROUP BY origin ORDER BY COUNT(*) DESC LIMIT 10",
  filter: "SELECT COUNT(*), SUM(distance) FROM t WHERE delay > 60 AND origin = 'SFO'",
  wide: "SELECT origin, destination, COUNT(*), AVG(delay), MAX(distance) FROM t GROUP BY origin, destination ORDER BY 3 DESC, 1, 2 LIMIT 100",
  month: "SELECT date_trunc('day', date) AS day, COUNT(*), AVG(delay) FROM t GROUP BY 1 ORDER BY 1",
  top: "SELECT * FROM t ORDER BY delay DESC, date, origin, destination LIMIT 100",
  rows: "SELECT * FROM t WHERE delay > 0 LIMIT 10000",
};

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const ends: (() => Promise<void>)[] = [];
    const platform = await startPlatform({ after: (fn) => void ends.unshift(fn) }, { dir: join(directory, "platform") });
    try {
      const instance = await duckdb.DuckDBInstance.create(":memory:", { threads: String(availableParallelism()) });
      const local = await instance.connect();
      await prepareLake(platform);
      const files = await split(local, directory, "flights", 24, 125_000);
      const flights = await makeTable(platform, local, "flights", COLUMNS, files);
      const ten = await makeTable(platform, local, "flights_x10", COLUMNS, files, 10);
      const small = await split(local, directory, "small", 1, 3000);
      const many = await makeTable(platform, local, "many", COLUMNS, small, 1000);
      const results: BenchResult[] = [];
      for (const [name, table] of [
        ["3m", flights],
        ["30m", ten],
      ] as const)
        for (const [query, sql] of Object.entries(QUERIES)) results.push(await compare(platform, local, table, `${name}_${query}`, sql));
      results.push(
        await compare(platform, local, many, "1000_files", "SELECT origin, SUM(delay) FROM t GROUP BY origin ORDER BY 1 LIMIT 5"),
      );
      const pruned = await median(ROUNDS, () => ask(platform, "SELECT COUNT(*) FROM ns.many WHERE delay > 1000000000"));
      const note = "1,000 files that bounds exclude: planning alone";
      results.push({ name: "r2_sql.1000_files_all_pruned", value: pruned, unit: "ms", budget: 50, note });
      return [...results, ...(await planning(platform, 100_000))];
    } finally {
      for (const end of ends) await end();
    }
  });
}

/** Planning over files that only metadata knows of: the bounds exclude them, so that nobody looks for them. */
async function planning(platform: TestPlatform, count: number): Promise<BenchResult[]> {
  const metadata = await createTable(platform, "huge", COLUMNS);
  const files = Array.from({ length: count }, (_, i): NewDataFile => {
    const bound = (type: string, min: bigint | string, max: bigint | string) => ({ type, valueCount: 3000, nullCount: 0, min, max });
    const stats = new Map<number, ColumnStats>([
      [1, bound("timestamp", BigInt(i) * 1_000_000n, BigInt(i) * 1_000_000n + 999_999n)],
      [2, bound("long", BigInt(i % 60) - 60n, BigInt(i % 900))],
      [3, bound("long", 21n, 4962n)],
      [4, bound("string", "ABE", "YUM")],
      [5, bound("string", "ABE", "YUM")],
    ]);
    const path = `${metadata.location}/data/${String(i).padStart(8, "0")}.parquet`;
    return { path, format: "PARQUET", partition: new Map(), recordCount: 3000, fileSize: 30_000, ...columnStatistics(stats) };
  });
  await append(platform, "huge", metadata, files);
  const sql = "SELECT COUNT(*) FROM ns.huge WHERE delay > 1000000000";
  const start = performance.now();
  await ask(platform, sql);
  const cold = performance.now() - start;
  const warm = await median(5, () => ask(platform, sql));
  const name = `r2_sql.${count}_files_all_pruned`;
  return [
    { name: `${name}_first`, value: cold, unit: "ms", note: "manifests are read and decoded" },
    { name, value: warm, unit: "ms", budget: 1000, note: "manifests are in memory" },
  ];
}

/** Time of R2 SQL and its ratio to DuckDB's, the budget as the design words it. */
async function compare(platform: TestPlatform, local: DuckDBConnection, table: Table, name: string, sql: string): Promise<BenchResult> {
  const list = `read_parquet([${table.paths.map((path) => `'${path}'`).join(", ")}])`;
  const limited = sql.includes("LIMIT") ? sql : `${sql} LIMIT 500`;
  const direct = await median(ROUNDS, async () => {
    const reader = await local.runAndReadAll(limited.replace("FROM t", `FROM ${list} t`));
    JSON.stringify(reader.getRowObjectsJson());
  });
  const served = await median(ROUNDS, () => ask(platform, sql.replace("FROM t", `FROM ns.${table.name} t`)));
  const budget = 1.3 * direct + (50 * table.paths.length) / 1000;
  return {
    name: `r2_sql.${name}`,
    value: served,
    unit: "ms",
    budget: Number(budget.toFixed(1)),
    note: `DuckDB ${direct.toFixed(1)} ms, × ${(served / direct).toFixed(2)}`,
  };
}

async function split(local: DuckDBConnection, directory: string, name: string, count: number, rows: number): Promise<string[]> {
  const paths: string[] = [];
  for (let i = 0; i < count; i++) {
    const path = join(directory, `${name}-${i}.parquet`);
    await local.run(
      `COPY (SELECT * FROM read_parquet('${FLIGHTS}') LIMIT ${rows} OFFSET ${rows * i}) TO '${path}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS ${fieldIds(COLUMNS)})`,
    );
    paths.push(path);
  }
  return paths;
}
