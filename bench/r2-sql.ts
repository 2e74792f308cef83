/**
 * R2 SQL beside DuckDB on the same Parquet files: three million flights in 24 files, the same ten times over, and 1,000
 * small files, whose cost is planning. R2 SQL is asked over HTTP by a client that reads the whole answer; DuckDB runs in
 * this process with the same number of threads, on an open instance, so that everything that the service adds counts.
 */
import { copyFile, readFile, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import duckdb, { type DuckDBConnection } from "@duckdb/node-api";
import { type ColumnStats, columnStatistics, type NewDataFile, planAppend } from "../src/protocols/iceberg/append.ts";
import { parseIcebergJson, stringifyIcebergJson } from "../src/protocols/iceberg/json.ts";
import { parseS3Location, type TableMetadata } from "../src/protocols/iceberg/metadata.ts";
import { projectRoot, startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";

const ROUNDS = 15;
const BUCKET = "bench";
const FLIGHTS = join(projectRoot, "node_modules/vega-datasets/data/flights-3m.parquet");
const TYPES = { date: "timestamp", delay: "long", distance: "long", origin: "string", destination: "string" } as const;
const COLUMNS = Object.keys(TYPES) as (keyof typeof TYPES)[];

const QUERIES: Readonly<Record<string, string>> = {
  count: "SELECT COUNT(*) FROM t",
  group: "SELECT origin, COUNT(*), AVG(delay) FROM t GROUP BY origin ORDER BY COUNT(*) DESC LIMIT 10",
  filter: "SELECT COUNT(*), SUM(distance) FROM t WHERE delay > 60 AND origin = 'SFO'",
  wide: "SELECT origin, destination, COUNT(*), AVG(delay), MAX(distance) FROM t GROUP BY origin, destination ORDER BY 3 DESC, 1, 2 LIMIT 100",
  month: "SELECT date_trunc('day', date) AS day, COUNT(*), AVG(delay) FROM t GROUP BY 1 ORDER BY 1",
  top: "SELECT * FROM t ORDER BY delay DESC, date, origin, destination LIMIT 100",
  rows: "SELECT * FROM t WHERE delay > 0 LIMIT 10000",
};

interface Table {
  readonly name: string;
  readonly paths: readonly string[];
}

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const ends: (() => Promise<void>)[] = [];
    const platform = await startPlatform({ after: (fn) => void ends.unshift(fn) }, { dir: join(directory, "platform") });
    try {
      const instance = await duckdb.DuckDBInstance.create(":memory:", { threads: String(availableParallelism()) });
      const local = await instance.connect();
      await prepare(platform);
      const files = await split(local, directory, "flights", 24, "*");
      const flights = await makeTable(platform, local, "flights", files, 1);
      const ten = await makeTable(platform, local, "flights_x10", files, 10);
      const small = await split(local, directory, "small", 1, "* LIMIT 3000");
      const many = await makeTable(platform, local, "many", small, 1000);
      const results: BenchResult[] = [];
      for (const [name, table] of [
        ["3m", flights],
        ["30m", ten],
      ] as const)
        for (const [query, sql] of Object.entries(QUERIES))
          results.push(...(await compare(platform, local, table, `${name}_${query}`, sql)));
      const planning = await compare(
        platform,
        local,
        many,
        "1000_files",
        "SELECT origin, SUM(delay) FROM t GROUP BY origin ORDER BY 1 LIMIT 5",
      );
      const one = await timeHttp(platform, "SELECT COUNT(*) FROM ns.many WHERE delay > 1000000000");
      return [
        ...results,
        ...planning,
        {
          name: "r2_sql.1000_files_all_pruned",
          value: one,
          unit: "ms",
          budget: 50,
          note: "1,000 files that bounds exclude: planning alone",
        },
      ];
    } finally {
      for (const end of ends) await end();
    }
  });
}

/** Time of R2 SQL and its ratio to DuckDB's, the budget as the design words it. */
async function compare(platform: TestPlatform, local: DuckDBConnection, table: Table, name: string, sql: string): Promise<BenchResult[]> {
  const list = `read_parquet([${table.paths.map((path) => `'${path}'`).join(", ")}])`;
  const limited = sql.includes("LIMIT") ? sql : `${sql} LIMIT 500`;
  const direct = await best(async () => {
    const reader = await local.runAndReadAll(limited.replace("FROM t", `FROM ${list} t`));
    JSON.stringify(reader.getRowObjectsJson());
  });
  const served = await timeHttp(platform, sql.replace("FROM t", `FROM ns.${table.name} t`));
  const budget = 1.3 * direct + (50 * table.paths.length) / 1000;
  return [
    {
      name: `r2_sql.${name}`,
      value: served,
      unit: "ms",
      budget: Number(budget.toFixed(1)),
      note: `DuckDB ${direct.toFixed(1)} ms, × ${(served / direct).toFixed(2)}`,
    },
  ];
}

async function timeHttp(platform: TestPlatform, query: string): Promise<number> {
  const url = `${platform.host("sql")}/r2-sql/query/${BUCKET}`;
  const init = {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  };
  return best(async () => {
    const response = await platform.fetch(url, init);
    const answer = (await response.json()) as { success: boolean };
    if (!answer.success) throw new Error(`${query}: ${JSON.stringify(answer)}`);
  });
}

/** The median of the rounds, in milliseconds, after one that warms up. */
async function best(work: () => Promise<void>): Promise<number> {
  await work();
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1] as number;
}

// --- tables ------------------------------------------------------------------------------------------------

async function prepare(platform: TestPlatform): Promise<void> {
  await platform.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/r2-catalog/${BUCKET}/enable`);
  await catalog(platform, "POST", "/namespaces", { namespace: ["ns"] });
}

async function split(local: DuckDBConnection, directory: string, name: string, count: number, what: string): Promise<string[]> {
  const ids = COLUMNS.map((column, i) => `"${column}": ${i + 1}`).join(", ");
  const [columns, limit] = what.split(" LIMIT ") as [string, string?];
  const paths: string[] = [];
  for (let i = 0; i < count; i++) {
    const path = join(directory, `${name}-${i}.parquet`);
    const rows = limit ?? String(3_000_000 / count);
    await local.run(
      `COPY (SELECT ${columns} FROM read_parquet('${FLIGHTS}') LIMIT ${rows} OFFSET ${Number(rows) * i}) TO '${path}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {${ids}})`,
    );
    paths.push(path);
  }
  return paths;
}

/** A table of the files, each `times` times; its files on this machine for DuckDB, in the bucket for R2 SQL. */
async function makeTable(
  platform: TestPlatform,
  local: DuckDBConnection,
  name: string,
  sources: readonly string[],
  times: number,
): Promise<Table> {
  const s3 = platform.s3();
  const fields = COLUMNS.map((column, i) => ({ id: i + 1, name: column, required: false, type: TYPES[column] }));
  const created = await catalog(platform, "POST", "/namespaces/ns/tables", { name, schema: { type: "struct", fields } });
  const metadata = created.metadata as TableMetadata;
  const put = (location: string, bytes: Uint8Array) =>
    s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: parseS3Location(location)?.key as string, Body: bytes }));
  const added: NewDataFile[] = [];
  const paths: string[] = [];
  for (const [i, source] of sources.entries()) {
    const bytes = await readFile(source);
    const described = await describe(local, source);
    for (let n = 0; n < times; n++) {
      const path = `${source}-${name}-${n}`;
      await copyFile(source, path);
      paths.push(path);
      const location = `${metadata.location}/data/${i}-${n}.parquet`;
      await put(location, bytes);
      added.push({ ...described, path: location });
    }
  }
  const plan = planAppend({ metadata, files: added, manifestList: undefined, now: Date.now() });
  for (const file of plan.files) await put(file.path, file.bytes);
  await catalog(platform, "POST", `/namespaces/ns/tables/${name}`, { requirements: plan.requirements, updates: plan.updates });
  return { name, paths };
}

async function describe(local: DuckDBConnection, path: string): Promise<NewDataFile> {
  const stats = new Map<number, ColumnStats>();
  const { size } = await stat(path);
  const column = async (sql: string): Promise<string[]> =>
    (await local.runAndReadAll(`SELECT ${sql} FROM read_parquet('${path}')`)).getRows()[0]?.map(String) as string[];
  const [rows = "0"] = await column("count(*)");
  for (const [i, name] of COLUMNS.entries()) {
    const value = name === "date" ? "epoch_us(date)" : name;
    const [min = "", max = ""] = await column(`min(${value})::VARCHAR, max(${value})::VARCHAR`);
    const read = (text: string) => (TYPES[name] === "string" ? text : BigInt(text));
    stats.set(i + 1, { type: TYPES[name], valueCount: Number(rows), nullCount: 0, min: read(min), max: read(max) });
  }
  return { path: "", format: "PARQUET", partition: new Map(), recordCount: Number(rows), fileSize: size, ...columnStatistics(stats) };
}

// biome-ignore lint/suspicious/noExplicitAny: answers have as many shapes as there are operations.
async function catalog(platform: TestPlatform, method: string, path: string, body: unknown): Promise<any> {
  const base = `${platform.host("catalog", { bucket: BUCKET })}/v1`;
  const headers = { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" };
  const config = (await (await platform.fetch(`${base}/config?warehouse=${platform.ready.account_id}_${BUCKET}`, { headers })).json()) as {
    overrides: { prefix: string };
  };
  const response = await platform.fetch(`${base}/${config.overrides.prefix}${path}`, { method, headers, body: stringifyIcebergJson(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return parseIcebergJson(text);
}
