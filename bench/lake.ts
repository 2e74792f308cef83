/** Iceberg tables for the benchmarks of R2 SQL: the same Parquet files in a bucket's catalog and on disk for DuckDB. */
import { link, readFile, stat } from "node:fs/promises";
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import type { DuckDBConnection } from "@duckdb/node-api";
import { type ColumnStats, columnStatistics, type NewDataFile, planAppend } from "../src/protocols/iceberg/append.ts";
import { parseIcebergJson, stringifyIcebergJson } from "../src/protocols/iceberg/json.ts";
import { parseS3Location, type TableMetadata } from "../src/protocols/iceberg/metadata.ts";
import type { TestPlatform } from "../test/harness/platform.ts";
import type { BenchResult } from "./bench.ts";

export const BUCKET = "bench";

/** Names of columns and their Iceberg types; field ids count from 1. */
export type Columns = Readonly<
  Record<string, "long" | "int" | "double" | "string" | "timestamp" | "date" | `decimal(${number}, ${number})`>
>;

export interface Table {
  readonly name: string;
  /** Its files on disk, for DuckDB. */
  readonly paths: readonly string[];
}

export async function prepareLake(platform: TestPlatform): Promise<void> {
  await platform.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/r2-catalog/${BUCKET}/enable`);
  await catalog(platform, "POST", "/namespaces", { namespace: ["ns"] });
}

/** The FIELD_IDS of a COPY that writes files for `makeTable`. */
export const fieldIds = (columns: Columns): string =>
  `{${Object.keys(columns)
    .map((column, i) => `"${column}": ${i + 1}`)
    .join(", ")}}`;

/** A table of the files, each `times` times. */
export async function makeTable(
  platform: TestPlatform,
  local: DuckDBConnection,
  name: string,
  columns: Columns,
  sources: readonly string[],
  times = 1,
): Promise<Table> {
  const metadata = await createTable(platform, name, columns);
  const added: NewDataFile[] = [];
  const paths: string[] = [];
  for (const [i, source] of sources.entries()) {
    const bytes = await readFile(source);
    const described = await describe(local, source, columns);
    for (let n = 0; n < times; n++) {
      const path = times === 1 ? source : `${source}-${name}-${n}`;
      if (path !== source) await link(source, path);
      paths.push(path);
      const location = `${metadata.location}/data/${i}-${n}.parquet`;
      await put(platform, location, bytes);
      added.push({ ...described, path: location });
    }
  }
  await append(platform, name, metadata, added);
  return { name, paths };
}

export async function createTable(platform: TestPlatform, name: string, columns: Columns): Promise<TableMetadata> {
  const fields = Object.entries(columns).map(([column, type], i) => ({ id: i + 1, name: column, required: false, type }));
  const created = await catalog(platform, "POST", "/namespaces/ns/tables", { name, schema: { type: "struct", fields } });
  return created.metadata as TableMetadata;
}

/** Commits files to an empty table, in one manifest. */
export async function append(platform: TestPlatform, name: string, metadata: TableMetadata, files: readonly NewDataFile[]): Promise<void> {
  const plan = planAppend({ metadata, files, manifestList: undefined, now: Date.now() });
  for (const file of plan.files) await put(platform, file.path, file.bytes);
  await catalog(platform, "POST", `/namespaces/ns/tables/${name}`, { requirements: plan.requirements, updates: plan.updates });
}

const put = (platform: TestPlatform, location: string, bytes: Uint8Array) =>
  platform.s3().send(new PutObjectCommand({ Bucket: BUCKET, Key: parseS3Location(location)?.key as string, Body: bytes }));

/** Rows, size, and each column's count and bounds, as writers of Iceberg put them into manifests. */
export async function describe(local: DuckDBConnection, path: string, columns: Columns): Promise<NewDataFile> {
  const { size } = await stat(path);
  const asText = (column: string, type: string): string =>
    ({ timestamp: `epoch_us("${column}")`, date: `"${column}" - DATE '1970-01-01'` })[type] ?? `"${column}"`;
  const names = Object.entries(columns);
  const list = names.flatMap(([column, type]) => {
    const value = asText(column, type);
    return [`count("${column}")::VARCHAR`, `min(${value})::VARCHAR`, `max(${value})::VARCHAR`];
  });
  const reader = await local.runAndReadAll(`SELECT count(*)::VARCHAR, ${list.join(", ")} FROM read_parquet('${path}')`);
  const [rows, ...found] = reader.getRows()[0] as (string | null)[];
  const stats = new Map<number, ColumnStats>();
  for (const [i, [, type]] of names.entries()) {
    const [count, min, max] = found.slice(i * 3, i * 3 + 3);
    const read = (text: string) => bound(text, type);
    stats.set(i + 1, {
      type,
      valueCount: Number(rows),
      nullCount: Number(rows) - Number(count),
      ...(min != null && { min: read(min), max: read(max as string) }),
    });
  }
  return { path: "", format: "PARQUET", partition: new Map(), recordCount: Number(rows), fileSize: size, ...columnStatistics(stats) };
}

function bound(text: string, type: string): string | number | bigint {
  if (type === "string") return text;
  if (type === "int" || type === "date" || type === "double") return Number(text);
  return BigInt(text.replace(".", ""));
}

/** Asks R2 SQL over HTTP and reads the whole answer. */
export async function ask(platform: TestPlatform, query: string): Promise<Record<string, unknown>[]> {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${BUCKET}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const answer = (await response.json()) as { success: boolean; result: { rows: Record<string, unknown>[] } };
  if (!answer.success) throw new Error(`${query}: ${JSON.stringify(answer)}`);
  return answer.result.rows;
}

/** The median of some rounds, in milliseconds, after one that warms up. */
export const median = async (rounds: number, work: () => Promise<unknown>): Promise<number> => (await medians(rounds, work))[0] as number;

/** The same of several, which take turns: what else the machine has to do meets all of them. */
export async function medians<T extends (() => Promise<unknown>)[]>(rounds: number, ...works: T): Promise<{ [K in keyof T]: number }> {
  const times = works.map((): number[] => []);
  for (let round = -1; round < rounds; round++)
    for (const [i, work] of works.entries()) {
      const start = performance.now();
      await work();
      if (round >= 0) times[i]?.push(performance.now() - start);
    }
  return times.map((list) => list.sort((a, b) => a - b)[rounds >> 1]) as { [K in keyof T]: number };
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

/** Names of tables in a query: a word behind FROM, JOIN or a comma of FROM that names one of them, not a column. */
function onTables(sql: string, tables: Readonly<Record<string, Table>>, write: (table: Table) => string): string {
  return Object.entries(tables).reduce(
    (text, [name, table]) =>
      text.replace(new RegExp(`\\b(FROM|JOIN|,) ${name}\\b`, "g"), (_, before: string) => `${before} ${write(table)} ${name}`),
    sql,
  );
}

const ROUNDS = 5;

/**
 * Times of queries and of DuckDB on the same files, as ratios: each query's, and the geometric mean of all. A query that
 * R2 SQL refuses is listed with its refusal.
 */
export async function compareAll(
  platform: TestPlatform,
  local: DuckDBConnection,
  name: string,
  tables: Readonly<Record<string, Table>>,
  queries: readonly string[],
): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const ratios: number[] = [];
  for (const [i, sql] of queries.entries()) {
    const inDuckDb = onTables(sql, tables, ({ paths }) => `read_parquet([${paths.map((path) => `'${path}'`).join(", ")}])`);
    const limited = /LIMIT \d+$/.test(inDuckDb) ? inDuckDb : `${inDuckDb} LIMIT 500`;
    const here = onTables(sql, tables, (table) => `ns.${table.name}`);
    const label = `${name}_${String(i + 1).padStart(2, "0")}`;
    try {
      await ask(platform, here);
    } catch (cause) {
      results.push({ name: label, value: Number.NaN, unit: "ratio", note: (cause as Error).message.slice(0, 300) });
      continue;
    }
    const [served, direct] = await medians(
      ROUNDS,
      () => ask(platform, here),
      async () => JSON.stringify((await local.runAndReadAll(limited)).getRowObjectsJson()),
    );
    ratios.push(served / direct);
    const note = `${served.toFixed(0)} ms, DuckDB ${direct.toFixed(0)} ms`;
    results.push({ name: label, value: Number((served / direct).toFixed(2)), unit: "ratio", note });
  }
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  const note = `geometric mean of ${ratios.length} of ${queries.length} queries, time ÷ DuckDB's`;
  return [...results, { name: `${name}_mean`, value: Number(mean.toFixed(2)), unit: "ratio", budget: 1.3, note }];
}
