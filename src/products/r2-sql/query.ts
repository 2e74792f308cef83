/**
 * One query from text to rows: read the statement, parse it, find its tables, plan their scans, run the rendered SQL in an
 * engine. Knows nothing of HTTP.
 */
import type { Objects, Tables } from "../../kernel/capabilities.ts";
import { DuckDbError } from "../../kernel/duckdb/errors.ts";
import { SqlSyntaxError } from "../../kernel/duckdb/parser.ts";
import type { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import { defaultSpec } from "../../protocols/iceberg/metadata.ts";
import { describeTable, resolveTable, type StaticResult, showNamespaces, showTables } from "./catalog.ts";
import type { Engine, EngineRows } from "./engine/engine.ts";
import type { EnginePool } from "./engine/pool.ts";
import type { ResultColumn } from "./engine/protocol.ts";
import { invalidQuery, invalidSql, r2SqlError, unsupported } from "./errors.ts";
import { explainRows } from "./explain.ts";
import type { FileColumns } from "./plan/file-columns.ts";
import type { ManifestStore } from "./plan/manifest-store.ts";
import { planScan, type ScanPlan, type TableSnapshot } from "./plan/planner.ts";
import { type Predicate, predicateOf } from "./plan/predicate.ts";
import { HeldFiles, scanSql } from "./plan/scan.ts";
import type { FromItem } from "./sql/from.ts";
import { LIMIT_DEFAULT, renderQuery, type TableReference } from "./sql/render.ts";
import { countColumns, namesEngineColumn, plainLimit, stopsEarlyAt } from "./sql/shape.ts";
import { readStatement } from "./sql/statement.ts";
import { checkStrict, inPartitionOrder } from "./sql/strict.ts";
import type { SyntaxNode } from "./sql/tree.ts";
import { withTimeLimit } from "./time-limit.ts";

export interface QueryDependencies {
  readonly objects: Objects;
  readonly tables: Tables;
  readonly pool: EnginePool;
  readonly manifests: ManifestStore;
  readonly fileColumns: FileColumns;
  /** True for the older dialect (`sql/strict.ts`). */
  readonly strict: boolean;
  /** What a query may take once it is its turn. */
  readonly timeLimitMs: number;
  /** A directory for files that queries make and delete. */
  readonly scratch: string;
  readonly log: Log;
}

export interface QueryMetrics {
  readonly bytesScanned: number;
  readonly filesScanned: number;
  /** Objects of the bucket that were opened: data files and metadata that was not in memory. */
  readonly requests: number;
}

/** Where a result goes. Columns come first, then lists of rows as JSON texts, then the metrics. */
export interface ResultSink {
  columns(columns: readonly ResultColumn[]): void;
  /** Resolves when more may come. */
  rows(json: string): Promise<void>;
  done(metrics: QueryMetrics): void;
}

export interface Query {
  readonly sql: string;
  readonly bucket: string;
  /** Whose turn it is when queries wait: the token. */
  readonly caller: string;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Runs a query; throws errors of `r2-sql`. Changes nothing, ever. */
export async function runQuery(query: Query, sink: ResultSink, deps: QueryDependencies): Promise<void> {
  const { bucket } = query;
  const statement = readStatement(query.sql, deps.strict);
  switch (statement.kind) {
    case "show-namespaces":
      return giveStatic(await showNamespaces(deps.tables, bucket), sink);
    case "show-tables":
      return giveStatic(await showTables(deps.tables, bucket, statement.name), sink);
    case "describe":
      return giveStatic(describeTable(await resolveTable(deps.tables, bucket, statement.name)), sink);
    case "select":
    case "explain": {
      const format = statement.kind === "explain" ? statement.format : undefined;
      return deps.pool.use(query.caller, query.signal, (engine) =>
        withTimeLimit(deps.timeLimitMs, query.signal, (signal) => select(engine, statement.sql, format, { ...query, signal }, sink, deps)),
      );
    }
  }
}

async function giveStatic(result: StaticResult, sink: ResultSink, requests = 0): Promise<void> {
  sink.columns(result.columns);
  if (result.rows.length > 0) await sink.rows(JSON.stringify(result.rows));
  sink.done({ bytesScanned: 0, filesScanned: 0, requests });
}

/** A table of the catalog at its place in the query, with what must be read of it. */
export interface PlannedTable {
  readonly table: TableSnapshot;
  readonly predicate: Predicate;
  readonly plan: ScanPlan;
}

async function select(
  engine: Engine,
  sql: string,
  explain: "text" | "json" | undefined,
  query: Query,
  sink: ResultSink,
  deps: QueryDependencies,
): Promise<void> {
  const files = new HeldFiles(deps.objects, query.bucket, deps.scratch);
  const phase = phases(deps.log);
  try {
    const parsed = await parse(engine, sql, query.signal);
    phase("parsed");
    if (deps.strict) checkStrict(parsed);
    const tables = await findTables(parsed, query.bucket, deps.tables);
    const root = deps.strict ? inPartitionOrder(parsed, partitionKey(tables)) : parsed;
    const requests = { count: 0 };
    const planned = await planTables(root, tables, query, deps, requests);
    phase("planned");
    const scans = [...planned.values()];
    for (const { plan } of scans) await files.hold(plan);
    const counted = explain === undefined ? rowCount(root, scans) : undefined;
    if (counted !== undefined) return await giveStatic(counted, sink, requests.count);
    for (const { table, plan } of scans)
      await deps.fileColumns.learn(
        table,
        plan.data,
        (location) => files.local(location),
        (paths) => engine.columns(query.bucket, paths, query.signal),
      );
    phase("held");
    const bare = !namesEngineColumn(root);
    const rendered = renderQuery(
      root,
      ({ item }) => {
        const { table, plan } = planned.get(item.node) as PlannedTable;
        return scanSql(table, plan, files, deps.fileColumns, bare);
      },
      (item) => planned.get(item.node)?.table.schema,
    );
    // Who may query a bucket may read all of it: its queries can share what an engine has open.
    const run = { sql: rendered.sql, scope: query.bucket, files: files.paths, stopsEarlyAt: stopsEarlyAt(root, rendered.limit) };
    if (explain !== undefined) {
      const plan = await engine.explain(run, query.signal);
      return await giveStatic(explainRows(files.withoutPaths(plan), scans, explain), sink);
    }
    await engine.run(run, query.signal, async (rows) => {
      await giveRows(rows, sink);
      const { bytes, files: opened = files.paths.length } = rows.metrics();
      // The engine also reads what it wrote to disk itself; a query reads no more than its files hold.
      const held = scans.flatMap(({ plan }) => [...plan.data, ...plan.positionDeletes, ...plan.equalityDeletes]);
      const vectors = scans.flatMap(({ plan }) => [...plan.vectors.values()]);
      const atMost = held.reduce((sum, { file }) => sum + file.fileSize, 0) + vectors.reduce((sum, { length }) => sum + length, 0);
      sink.done({ bytesScanned: Math.min(bytes, atMost), filesScanned: opened, requests: opened + requests.count });
    });
    phase("ran", { files: files.paths.length, sql: rendered.sql });
  } catch (cause) {
    throw queryError(cause, files, deps);
  } finally {
    await files.release();
  }
}

/** The answer of `SELECT count(*) FROM t`, from the manifests alone; undefined when rows must be looked at. */
function rowCount(root: SyntaxNode, [scan]: readonly PlannedTable[]): StaticResult | undefined {
  const names = countColumns(root);
  if (names === undefined || scan === undefined) return undefined;
  const { data, positionDeletes, equalityDeletes, vectors } = scan.plan;
  if (positionDeletes.length > 0 || equalityDeletes.length > 0 || vectors.size > 0) return undefined;
  const count = data.reduce((sum, { file }) => sum + file.recordCount, 0);
  return {
    columns: names.map((name) => ({ name, descriptor: { type: { name: "int64" }, nullable: true } })),
    rows: [Object.fromEntries(names.map((name) => [name, count]))],
  };
}

/** Logs, at the level "debug", how long each step of a query took. */
function phases(log: Log): (name: string, fields?: Readonly<Record<string, unknown>>) => void {
  let last = performance.now();
  return (name, fields) => {
    const now = performance.now();
    log.debug(`r2_sql.${name}`, { ms: Math.round((now - last) * 10) / 10, ...fields });
    last = now;
  };
}

async function parse(engine: Engine, sql: string, signal: AbortSignal): Promise<SyntaxNode> {
  const [root, ...more] = await engine.parse(sql, signal);
  if (root === undefined) throw invalidSql("the query is empty");
  if (more.length > 0) throw unsupported("more than one statement in a query");
  return root;
}

/** The tables of a query. All occurrences of one table see the same snapshot. */
interface QueryTables {
  readonly references: readonly TableReference[];
  snapshotOf(item: FromItem): TableSnapshot | undefined;
}

async function findTables(root: SyntaxNode, bucket: string, catalog: Tables): Promise<QueryTables> {
  const references: TableReference[] = [];
  // The first rendering only checks the query and finds its tables.
  renderQuery(root, (reference) => {
    references.push(reference);
    return "x";
  });
  if (references.length === 0) throw invalidSql("expected exactly 1 table in FROM clause");
  const snapshots = new Map<string, TableSnapshot>();
  for (const { item } of references) {
    const name = item.table as readonly string[];
    const id = JSON.stringify(name);
    if (!snapshots.has(id)) snapshots.set(id, await resolveTable(catalog, bucket, name));
  }
  return { references, snapshotOf: (item) => item.table && snapshots.get(JSON.stringify(item.table)) };
}

/** Names of the columns that partitions of the query's one table are made of. */
function partitionKey({ references, snapshotOf }: QueryTables): string[] {
  const table = snapshotOf((references[0] as TableReference).item) as TableSnapshot;
  const sources = new Set(defaultSpec(table.metadata).fields.map((field) => field["source-id"]));
  return table.schema.fields.filter((field) => sources.has(field.id)).map((field) => field.name);
}

/** What must be read of every occurrence of a table, by its node. */
async function planTables(
  root: SyntaxNode,
  { references, snapshotOf }: QueryTables,
  query: Query,
  deps: QueryDependencies,
  requests: { count: number },
): Promise<Map<SyntaxNode, PlannedTable>> {
  const rows = plainLimit(root, LIMIT_DEFAULT);
  const onRead = (): void => {
    requests.count++;
  };
  const planned = new Map<SyntaxNode, PlannedTable>();
  for (const reference of references) {
    const table = snapshotOf(reference.item) as TableSnapshot;
    const predicate = predicateOf(reference, (item) => snapshotOf(item)?.schema);
    const plan = await planScan(table, predicate, deps.manifests, rows, query.signal, onRead);
    planned.set(reference.item.node, { table, predicate, plan });
  }
  return planned;
}

async function giveRows(rows: EngineRows, sink: ResultSink): Promise<void> {
  sink.columns(rows.columns);
  for await (const batch of rows.batches()) await sink.rows(batch);
}

/** What a caller is told of a failure. Paths of this machine are replaced by keys of the bucket. */
function queryError(cause: unknown, files: HeldFiles, { strict, log }: QueryDependencies): unknown {
  if (cause instanceof SqlSyntaxError) return syntaxError(cause, strict);
  if (!(cause instanceof DuckDbError)) return cause;
  const message = files.withoutPaths(cause.message);
  const unreadable = (): PlatformError => {
    log.warn("r2_sql.read_failed", { error: cause.message });
    return r2SqlError("fileCorrupt", `A file of the table cannot be read: ${message}`, { cause });
  };
  switch (cause.kind) {
    case "parser":
    case "binder":
    case "catalog":
    case "conversion":
    case "range":
    case "unsupported":
      return invalidQuery(message, cause);
    case "input":
      // What is no Parquet is input that is not valid to the engine, and no fault of the query.
      return message === cause.message ? invalidQuery(message, cause) : unreadable();
    case "memory":
      return r2SqlError("outOfMemory", undefined, { cause });
    case "interrupted":
      return cause;
    case "disk":
      return unreadable();
    default:
      // A permission error means that a query reached for something that its rendering must not contain.
      log.error("r2_sql.query_failed", { kind: cause.kind, error: cause.message });
      return r2SqlError("engineFailed", undefined, { cause });
  }
}

function syntaxError(cause: SqlSyntaxError, strict: boolean): PlatformError {
  if (cause.message.includes("Only SELECT statements")) return invalidSql("only read-only queries are allowed", cause);
  // What DuckDB's parser says of MySQL's LIMIT a, b.
  if (cause.message === "errhint NOT IMPLEMENTED")
    return strict ? invalidSql("OFFSET not supported", cause) : unsupported("OFFSET clause is not supported");
  return invalidSql(cause.message, cause);
}
