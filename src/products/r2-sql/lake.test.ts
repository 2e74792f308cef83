/**
 * A lake for unit tests: Iceberg tables of one bucket in a directory, written with DuckDB's COPY and this project's own
 * Iceberg writer, behind the same capabilities that the platform's bucket and catalog offer. The real ones are tested
 * through clients in test/clients.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { LoadedTable, Objects, Tables } from "../../kernel/capabilities.ts";
import { type Connection, type DuckDb, identifier, literal, openDuckDb } from "../../kernel/duckdb/engine.ts";
import { openLog } from "../../kernel/log.ts";
import { type ColumnStats, columnStatistics, manifestListOf, type NewDataFile, planAppend } from "../../protocols/iceberg/append.ts";
import { applyCommit } from "../../protocols/iceberg/commit.ts";
import {
  currentSchema,
  defaultSpec,
  newTableMetadata,
  parseS3Location,
  type TableMetadata,
  type UnboundPartitionSpec,
} from "../../protocols/iceberg/metadata.ts";
import { applyTransform, parseTransform } from "../../protocols/iceberg/transforms.ts";
import { type NestedField, parsePrimitive, type Schema } from "../../protocols/iceberg/types.ts";
import type { TableUpdate } from "../../protocols/iceberg/updates.ts";
import type { Value } from "../../protocols/iceberg/values.ts";
import { EnginePool } from "./engine/pool.ts";
import type { ResultColumn } from "./engine/protocol.ts";
import { FileColumns } from "./plan/file-columns.ts";
import { ManifestStore } from "./plan/manifest-store.ts";
import { type QueryDependencies, type QueryMetrics, runQuery } from "./query.ts";

export const BUCKET = "lake";

export interface QueryResult {
  readonly columns: readonly ResultColumn[];
  // biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are queries.
  readonly rows: any[];
  /** The rows' JSON as it went out. */
  readonly text: string;
  readonly metrics: QueryMetrics;
}

export interface Lake {
  readonly dir: string;
  readonly duckdb: Connection;
  readonly dependencies: QueryDependencies;
  create(name: string, fields: readonly NestedField[], spec?: UnboundPartitionSpec, properties?: Record<string, string>): Promise<void>;
  /** Appends one file with the rows of a query; gives its local path. `partition` is any row's partition source values. */
  append(name: string, sql: string, partition?: Readonly<Record<string, Value | null>>): Promise<string>;
  /** Adds files that exist to the table: the paths of local Parquet files, each with what the manifest shall say. */
  add(name: string, files: readonly NewDataFile[]): Promise<void>;
  put(key: string, bytes: Uint8Array): Promise<void>;
  metadata(name: string): TableMetadata;
  update(name: string, updates: readonly TableUpdate[]): void;
  path(key: string): string;
  query(sql: string, signal?: AbortSignal): Promise<QueryResult>;
  /** Objects that are held as local files now. */
  readonly held: number;
}

export async function openLake(
  t: TestContext,
  options: { size?: number; memoryMb?: number; waitingMax?: number; strict?: boolean; timeLimitMs?: number } = {},
): Promise<Lake> {
  const dir = await mkdtemp(join(tmpdir(), "r2-sql-"));
  const db: DuckDb = await openDuckDb({
    directories: [dir, join(process.cwd(), "node_modules")],
    spill: join(dir, "spill"),
    memoryMb: 1024,
    setup: ["SET GLOBAL default_null_order = 'NULLS_LAST_ON_ASC_FIRST_ON_DESC'", "SET GLOBAL integer_division = true"],
  });
  const duckdb = await db.connect();
  const metadata = new Map<string, TableMetadata>();
  const log = openLog({ json: true, level: "error" });
  let held = 0;
  let files = 0;

  const path = (key: string): string => join(dir, createHash("sha256").update(key).digest("hex"));
  const objects = {
    bucketExists: async (bucket: string) => bucket === BUCKET,
    async bytes(bucket: string, key: string) {
      assert.equal(bucket, BUCKET);
      return readFile(path(key)).catch(() => undefined);
    },
    async head(_bucket: string, key: string) {
      const found = await stat(path(key)).catch(() => undefined);
      return found === undefined ? null : { key, size: found.size, etag: "", uploadedAt: 0 };
    },
    read: async (_bucket: string, key: string, range: { offset: number; length: number }) =>
      createReadStream(path(key), { start: range.offset, end: range.offset + range.length - 1 }),
    async localFiles(bucket: string, keys: readonly string[]) {
      assert.equal(bucket, BUCKET);
      const files = await Promise.all(
        keys.map(async (key) => {
          const found = await stat(path(key)).catch(() => undefined);
          return found && { path: path(key), size: found.size };
        }),
      );
      held += keys.length;
      return {
        files,
        async release() {
          held -= keys.length;
        },
      };
    },
  } as unknown as Objects;
  const split = (name: string): [string, string] => name.split(".") as [string, string];
  const load = (name: string): LoadedTable | undefined => {
    const found = metadata.get(name);
    return found && { metadataLocation: "", metadata: found };
  };
  const tables = {
    enabled: async () => true,
    namespaces: async (_bucket: string, parent?: readonly string[]) =>
      parent === undefined ? [...new Set([...metadata.keys()].map((name) => split(name)[0]))].map((name) => [name]) : [],
    async tables(_bucket: string, namespace: readonly string[]) {
      const names = [...metadata.keys()].filter((name) => namespace.length === 1 && split(name)[0] === namespace[0]);
      return names.length === 0 ? undefined : names.map((name) => split(name)[1]);
    },
    load: async (_bucket: string, namespace: readonly string[], table: string) => load([...namespace, table].join(".")),
  } as unknown as Tables;

  const pool = new EnginePool({
    size: options.size ?? 1,
    waitingMax: options.waitingMax ?? 10,
    waitMs: 60_000,
    memoryMb: options.memoryMb ?? 512,
    threads: 2,
    scratch: join(dir, "engines"),
    idleMs: 60_000,
    log,
  });
  const dependencies: QueryDependencies = {
    objects,
    tables,
    pool,
    manifests: new ManifestStore(objects, 16 * 1024 * 1024),
    fileColumns: new FileColumns(),
    strict: options.strict ?? false,
    timeLimitMs: options.timeLimitMs ?? 60_000,
    scratch: join(dir, "masks"),
    log,
  };
  t.after(async () => {
    await pool.stop();
    await db.close();
    await rm(dir, { recursive: true, force: true });
  });

  const lake: Lake = {
    dir,
    duckdb,
    dependencies,
    path,
    get held() {
      return held;
    },
    metadata: (name) => metadata.get(name) as TableMetadata,
    put: (key, bytes) => writeFile(path(key), bytes),
    update(name, updates) {
      metadata.set(name, applyCommit(lake.metadata(name), [], updates, { now: 1, previousLocation: undefined as never }).metadata);
    },
    async create(name, fields, spec, properties = {}) {
      const uuid = createHash("sha256")
        .update(name)
        .digest("hex")
        .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
      const schema: Schema = { type: "struct", fields };
      const input = { uuid, location: `s3://${BUCKET}/${name}`, schema, properties, now: 0, ...(spec && { partitionSpec: spec }) };
      metadata.set(name, newTableMetadata(input));
    },
    async append(name, sql, partition = {}) {
      const table = lake.metadata(name);
      const key = `${name}/data/${files++}.parquet`;
      const local = path(key);
      const { fields } = currentSchema(table);
      const ids = fields.map((field) => `${identifier(field.name)}: ${fieldIds(field)}`).join(", ");
      const temporary = join(dir, `copy-${files}.parquet`);
      await duckdb.run(`COPY (${sql}) TO ${literal(temporary)} (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {${ids}})`);
      await copyFile(temporary, local);
      await unlink(temporary);
      const file = await describeFile(duckdb, local, `s3://${BUCKET}/${key}`, fields);
      const tuple = defaultSpec(table).fields.map((field): [number, Value | null] => {
        const source = fields.find((one) => one.id === field["source-id"]) as NestedField;
        const type = parsePrimitive(source.type as string);
        assert(type !== undefined);
        return [field["field-id"], applyTransform(parseTransform(field.transform), type, partition[source.name] ?? null)];
      });
      await lake.add(name, [{ ...file, partition: new Map(tuple) }]);
      return local;
    },
    async add(name, added) {
      const table = lake.metadata(name);
      const list = manifestListOf(table);
      const plan = planAppend({
        metadata: table,
        files: added,
        manifestList: list === undefined ? undefined : await readFile(path(parseS3Location(list)?.key as string)),
        now: 1,
      });
      for (const file of plan.files) await lake.put(parseS3Location(file.path)?.key as string, file.bytes);
      lake.update(name, plan.updates);
    },
    async query(sql, signal = AbortSignal.timeout(30_000)) {
      let columns: readonly ResultColumn[] = [];
      const parts: string[] = [];
      let metrics: QueryMetrics | undefined;
      const sink = {
        columns(found: readonly ResultColumn[]) {
          columns = found;
        },
        async rows(json: string) {
          parts.push(json.slice(1, -1));
        },
        done(found: QueryMetrics) {
          metrics = found;
        },
      };
      await runQuery({ sql, bucket: BUCKET, caller: "test", signal }, sink, dependencies);
      assert(metrics !== undefined);
      const text = `[${parts.join(",")}]`;
      return { columns, rows: JSON.parse(text), text, metrics };
    },
  };
  await mkdir(dir, { recursive: true });
  return lake;
}

/** DuckDB's FIELD_IDS of a column, nested ones included. */
function fieldIds(field: { id: number; type: NestedField["type"] }): string {
  const { id, type } = field;
  if (typeof type === "string") return String(id);
  const inner =
    type.type === "struct"
      ? type.fields.map((one) => `${identifier(one.name)}: ${fieldIds(one)}`)
      : type.type === "list"
        ? [`element: ${fieldIds({ id: type["element-id"], type: type.element })}`]
        : [`key: ${fieldIds({ id: type["key-id"], type: type.key })}`, `value: ${fieldIds({ id: type["value-id"], type: type.value })}`];
  return `{__duckdb_field_id: ${id}, ${inner.join(", ")}}`;
}

const BOUND_SQL: Readonly<Record<string, string>> = {
  int: "($)::VARCHAR",
  long: "($)::VARCHAR",
  double: "($)::VARCHAR",
  string: "$",
  date: "date_diff('day', DATE '1970-01-01', $)::VARCHAR",
  timestamp: "epoch_us($)::VARCHAR",
  timestamptz: "epoch_us($)::VARCHAR",
};

/** What a writer puts into the manifest: counts and bounds of simple columns. */
async function describeFile(c: Connection, local: string, location: string, fields: readonly NestedField[]): Promise<NewDataFile> {
  const from = `read_parquet(${literal(local)})`;
  const rows = Number((await c.get<{ n: bigint }>(`SELECT count(*) AS n FROM ${from}`))?.n);
  const stats = new Map<number, ColumnStats>();
  for (const field of fields) {
    const expression = typeof field.type === "string" ? BOUND_SQL[field.type] : undefined;
    if (expression === undefined) continue;
    const column = identifier(field.name);
    const isNan = field.type === "double" ? `coalesce(isnan(${column}), false)` : "false";
    const bound = (fn: string): string => expression.replace("$", `${fn}(${column}) FILTER (NOT ${isNan})`);
    const found = await c.get<{ lo: string | null; hi: string | null; nulls: bigint; nans: bigint }>(
      `SELECT ${bound("min")} AS lo, ${bound("max")} AS hi, count(*) - count(${column}) AS nulls, count(*) FILTER (${isNan}) AS nans FROM ${from}`,
    );
    const read = (text: string): Value =>
      field.type === "string"
        ? text
        : field.type === "int" || field.type === "date" || field.type === "double"
          ? Number(text)
          : BigInt(text);
    stats.set(field.id, {
      type: field.type,
      valueCount: rows,
      nullCount: Number(found?.nulls),
      nanCount: Number(found?.nans),
      ...(found?.lo != null && { min: read(found.lo), max: read(found.hi as string) }),
    });
  }
  const { size } = await stat(local);
  return { path: location, format: "PARQUET", partition: new Map(), recordCount: rows, fileSize: size, ...columnStatistics(stats) };
}

export const field = (id: number, name: string, type: NestedField["type"]): NestedField => ({ id, name, required: false, type });
