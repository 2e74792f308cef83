/**
 * One query engine: a process of its own, so that a query which exhausts memory or crashes the engine takes nothing else
 * down. Reads requests from standard input and answers on file descriptor 3 (`protocol.ts`); ends when its input ends.
 *
 * Invariant: a query runs in a DuckDB instance that can open files which queries of its scope asked for, and nothing else.
 * A new instance costs more than a small query, so that one is kept for the next of the scope.
 */
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { type Connection, type DuckDb, literal, type PreparedDuckDb, prepareDuckDb } from "../../../kernel/duckdb/engine.ts";
import { duckDbError } from "../../../kernel/duckdb/errors.ts";
import { serializedTree } from "../../../kernel/duckdb/parser.ts";
import type { Rows } from "../../../kernel/duckdb/rows.ts";
import { descriptor, encoder, uniqueNames } from "./encode.ts";
import { engineFunctions } from "./functions.ts";
import { lines } from "./lines.ts";
import {
  type EngineMessage,
  type EngineMetrics,
  type EngineRequest,
  type EngineSettings,
  type FileColumn,
  ROWS_LINE_BYTES,
} from "./protocol.ts";

const settings = JSON.parse(process.argv[2] ?? "{}") as EngineSettings;
// A socket, not a file stream: its writes go out at once instead of by the thread pool.
const output = new Socket({ fd: 3, readable: false, writable: true });
// The platform is gone: so is the reader of every answer.
output.on("error", end);

/** At once: an ordinary exit waits for the threads, and one of them may be in a query of hours. Nothing here is worth keeping. */
function end(): never {
  process.kill(process.pid, "SIGKILL");
  process.exit(1);
}

/** Resolves when the pipe takes more, so that a slow client holds the query back instead of filling memory. */
function write(line: string): Promise<void> {
  if (output.write(`${line}\n`)) return Promise.resolve();
  return new Promise((resolve) => output.once("drain", resolve));
}
const send = (message: EngineMessage): Promise<void> => write(JSON.stringify(message));

/** Settings of the dialect: nulls and division as in the real engine. */
const SETUP = [
  "SET GLOBAL default_null_order = 'NULLS_LAST_ON_ASC_FIRST_ON_DESC'",
  "SET GLOBAL integer_division = true",
  // Every instance lives for one query, which reads each byte once.
  "SET GLOBAL enable_external_file_cache = false",
];
const prepare = (): Promise<PreparedDuckDb> =>
  prepareDuckDb({
    spill: settings.spill,
    memoryMb: settings.memoryMb,
    threads: settings.threads,
    functions: engineFunctions(),
    setup: SETUP,
  });

let parser: Promise<Connection> | undefined;
let next: Promise<PreparedDuckDb> | undefined;
let open: { readonly db: DuckDb; readonly scope: string; readonly files: ReadonlySet<string> } | undefined;
/** Interrupts what runs now. */
let running: AbortController | undefined;

async function parse(sql: string): Promise<void> {
  // Parsing binds and reads nothing; the instance is locked all the same, and kept.
  parser ??= prepareDuckDb({ spill: settings.spill, memoryMb: 64, threads: 1 })
    .then((prepared) => prepared.lock({}))
    .then((db) => db.connect());
  await send({ tree: await serializedTree(await parser, sql) });
}

/** Files that an instance may have been given: every one costs a little when the next instance gets them all. */
const FILES_MAX = 20_000;

/** Runs `work` in the open instance when it has the files, else in a new one that has them and those before. */
async function withFiles(scope: string, files: readonly string[], work: (connection: Connection) => Promise<void>): Promise<void> {
  if (open === undefined || open.scope !== scope || !files.every((file) => open?.files.has(file))) {
    const before = open?.scope === scope && open.files.size + files.length <= FILES_MAX ? [...open.files] : [];
    await close();
    const prepared = await (next ?? prepare());
    next = undefined;
    const all = new Set([...before, ...files]);
    open = { db: await prepared.lock({ files: [...all] }), scope, files: all };
  }
  try {
    await open.db.use(work);
  } catch (cause) {
    // Whatever went wrong in it, the next query begins anew.
    await close();
    throw cause;
  }
}

async function close(): Promise<void> {
  const before = open;
  open = undefined;
  await before?.db.close();
}

async function run(request: EngineRequest & { op: "run" }, signal: AbortSignal): Promise<void> {
  await withFiles(request.scope, request.files, async (connection) => {
    if (request.explain === true) {
      const rows = await connection.all<{ explain_value: string }>(`EXPLAIN (FORMAT json) ${request.sql}`);
      await send({ plan: rows.map((row) => row.explain_value).join("\n") });
      return;
    }
    const before = bytesRead();
    const { stopsEarlyAt = before === undefined ? 0 : undefined } = request;
    const logged = stopsEarlyAt !== undefined;
    if (logged) await connection.run("CALL enable_logging('FileSystem')");
    const count = await sendRows(await connection.query(request.sql, [], { signal }));
    const after = bytesRead();
    // Reading the log takes longer than most queries: not for one that came to the end of its files.
    const metrics: EngineMetrics =
      logged && (count >= stopsEarlyAt || after === undefined)
        ? await loggedReads(connection, count, request.files)
        : { rows: count, bytes: (after as number) - (before as number) };
    if (logged) await forgetLog(connection);
    await send({ done: metrics });
  });
}

async function columns(request: EngineRequest & { op: "columns" }, signal: AbortSignal): Promise<void> {
  await withFiles(request.scope, request.files, async (connection) => {
    const found = await connection.all<{ nodes: readonly FooterNode[]; files: readonly string[] }>(
      `SELECT nodes, list(file) AS files FROM (
         SELECT file_name AS file, list({name: name, children: num_children, id: field_id, type: duckdb_type} ORDER BY column_id) AS nodes
         FROM parquet_schema([${request.files.map(literal).join(", ")}]) GROUP BY file_name)
       GROUP BY nodes`,
      [],
      { signal },
    );
    await send({ columnSets: found.map(({ nodes, files }) => ({ columns: topLevel(nodes), files })) });
  });
}

interface FooterNode {
  readonly name: string;
  readonly children: bigint | null;
  readonly id: bigint | null;
  readonly type: string | null;
}

/** A footer lists its tree from the root down, each node before its children. */
function topLevel(nodes: readonly FooterNode[]): FileColumn[] {
  const columns: FileColumn[] = [];
  let at = 1;
  /** Passes a node with all that is in it, and tells whether any of that has an id. */
  const pass = (): boolean => {
    const node = nodes[at++];
    let hasIds = node?.id != null;
    for (let i = 0n; i < (node?.children ?? 0n); i++) hasIds = pass() || hasIds;
    return hasIds;
  };
  while (at < nodes.length) {
    const { name, id, type, children } = nodes[at] as FooterNode;
    columns.push({
      name,
      id: id === null ? null : Number(id),
      type: children === null ? (type?.replaceAll(" ", "") ?? null) : null,
      hasIds: pass(),
    });
  }
  return columns;
}

/** Columns first, then batches of rows. Gives the number of rows. */
async function sendRows(rows: Rows): Promise<number> {
  const names = uniqueNames(rows.columns.map((column) => column.name));
  await send({ columns: rows.columns.map((column, i) => ({ name: names[i] as string, descriptor: descriptor(column.type) })) });
  const encoders = rows.columns.map((column) => encoder(column.type));
  let count = 0;
  let batch: string[] = [];
  let size = 0;
  const keys = names.map((name, i) => `${i === 0 ? "{" : ","}${JSON.stringify(name)}:`);
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const line = `[${batch.join(",")}]`;
    [batch, size] = [[], 0];
    await write(line);
  };
  for await (const chunk of rows.chunks()) {
    const columns = encoders.map((encode, i) => chunk.getColumnValues(i).map(encode));
    for (let row = 0; row < chunk.rowCount; row++) {
      let text = "";
      for (let i = 0; i < keys.length; i++) text += (keys[i] as string) + (columns[i] as string[])[row];
      text += "}";
      batch.push(text);
      size += text.length;
      if (size >= ROWS_LINE_BYTES) await flush();
    }
    count += chunk.rowCount;
  }
  await flush();
  return count;
}

/** Bytes that this process has read so far, or undefined where the system does not tell. Cheaper than a log of reads. */
function bytesRead(): number | undefined {
  try {
    return Number(/^rchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}

/** Files opened and bytes read from them, from DuckDB's log of the file system. */
async function loggedReads(connection: Connection, rows: number, files: readonly string[]): Promise<EngineMetrics> {
  const reads = await connection.all<{ path: string; bytes: bigint | null }>(
    "SELECT path, sum(bytes) FILTER (op = 'READ')::BIGINT AS bytes FROM duckdb_logs_parsed('FileSystem') GROUP BY path",
  );
  const data = new Set(files);
  const opened = reads.filter((read) => data.has(read.path));
  return { rows, files: opened.length, bytes: opened.reduce((sum, read) => sum + Number(read.bytes ?? 0), 0) };
}

async function forgetLog(connection: Connection): Promise<void> {
  await connection.run("CALL disable_logging()");
  await connection.run("CALL truncate_duckdb_logs()");
}

async function handle(request: EngineRequest): Promise<void> {
  if (request.op === "cancel") {
    running?.abort();
    return;
  }
  const controller = new AbortController();
  running = controller;
  try {
    if (request.op === "parse") await parse(request.sql);
    else if (request.op === "columns") await columns(request, controller.signal);
    else await run(request, controller.signal);
  } catch (cause) {
    const { kind, message } = duckDbError(cause);
    await send({ error: { kind: controller.signal.aborted ? "interrupted" : kind, message } });
  } finally {
    running = undefined;
    // A query on other files finds an instance ready.
    if (request.op !== "parse") next ??= prepare();
  }
}

next = prepare();
let pending = Promise.resolve();
for await (const line of lines(process.stdin)) {
  const request = JSON.parse(line) as EngineRequest;
  // A cancellation overtakes what it cancels.
  if (request.op === "cancel") void handle(request);
  else pending = pending.then(() => handle(request));
}
end();
