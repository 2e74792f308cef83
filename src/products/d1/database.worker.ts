/**
 * One D1 database: a Durable Object whose SQLite database is the application's. Calls run one after another; each is
 * all or none, and calls that arrive together share one commit, which the answers wait for (workerd's output gate).
 */
import { DurableObject } from "cloudflare:workers";
import { dumpStatements } from "./dump.worker.ts";
import type { AnswerHead, CallHead, Meta, Query, StatementUsage, Usage } from "./protocol.worker.ts";
import { StatementScanner, splitStatements, startsReadOnly, statementEnd } from "./statements.worker.ts";

/** Answers of one batch: past this much text the rest is left for the next one. RPC carries at most 32 MiB. */
const ANSWERS_MAX_CHARS = 8 * 1024 * 1024;
/** Of one result, as it lies in memory or goes out as text, whichever is more: about what one RPC message carries. */
const RESULT_MAX_BYTES = 24 * 1024 * 1024;
const CELL_BYTES = 16;
/** A BLOB's byte becomes a number in an array: "255,". */
const BLOB_BYTE_BYTES = 4;
/** docs/d1/platform/limits. A statement that yields no rows meanwhile is ended with the process, by the kernel's watch. */
const QUERY_MAX_MS = 30_000;
/** workerd ends an asynchronous transaction after 30 s; ended by ourselves before, it rolls back and can say why. */
const IMPORT_MAX_MS = 25_000;
/** Other databases of the process get their turn this often during an import. */
const IMPORT_TURN_MS = 20;
/** Statements of an import between two looks at the database's size. */
const IMPORT_ROOM_EVERY = 100;

interface Totals {
  readonly changes: number;
  readonly lastRowId: number;
  readonly size: number;
}

interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly unknown[][];
  readonly meta: Meta;
  readonly writes: boolean;
}

/** Why a call failed, at which of its queries. */
class QueryError extends Error {
  readonly index: number;
  constructor(index: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.index = index;
  }
}

/** Of a statement's text in the figures of queries. */
const STATEMENT_MAX_CHARS = 4096;
const SHRINKS = /^\s*(delete|drop)\b/i;
const NO_STATEMENTS = "No SQL statements detected.";
const READ_ONLY = "This token may only read";

export class D1Database extends DurableObject {
  readonly #sql = this.ctx.storage.sql;
  #deleted = this.ctx.storage.kv.get("deleted") === true;
  /** SQLite's counters after the last statement; undefined when they must be read again. */
  #totals: Totals | undefined;
  #exclusive: Promise<unknown> | undefined;
  #bookmarkTime = 0;
  #bookmarkCount = 0;

  /** Runs a batch's calls in order, and answers as many of them as one message can carry: at least one. */
  async run(batch: string): Promise<string> {
    while (this.#exclusive !== undefined) await this.#exclusive;
    const [first = "[]", ...bodies] = batch.split("\n");
    const calls = JSON.parse(first) as CallHead[];
    const heads: AnswerHead[] = [];
    const texts: string[] = [];
    let chars = 0;
    for (const [i, call] of calls.entries()) {
      // It holds until the commit, so such a call has a commit of its own.
      const defers = /defer_foreign_keys/i.test(bodies[i] ?? "");
      if (defers && i > 0) break;
      const { text, ...head } = this.#call(call, bodies[i] ?? "");
      heads.push(head);
      texts.push(text);
      chars += text.length;
      if (defers || chars > ANSWERS_MAX_CHARS) break;
    }
    return `${JSON.stringify(heads)}\n${texts.join("\n")}`;
  }

  /** Size and number of tables, as GET of a database shows them. */
  async stats(): Promise<{ file_size: number; num_tables: number }> {
    while (this.#exclusive !== undefined) await this.#exclusive;
    const { n } = this.#sql
      .exec<{ n: number }>(
        "SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*'",
      )
      .one();
    return { file_size: this.#sql.databaseSize, num_tables: n };
  }

  /** Ends whatever runs, and rolls back what has not been committed. Never returns. */
  async reset(): Promise<void> {
    this.ctx.abort("the database is restored");
  }

  /** Deletes everything, for ever: ids are never used twice. */
  async destroy(): Promise<void> {
    await this.ctx.storage.deleteAll();
    this.#totals = undefined;
    this.#deleted = true;
    this.ctx.storage.kv.put("deleted", true);
    await this.ctx.storage.sync();
  }

  /** GET /export?tables=…&schema=0&data=0: the database as SQL text. POST /import: runs SQL text, all or none. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    while (this.#exclusive !== undefined) await this.#exclusive;
    if (url.pathname === "/import")
      return Response.json(await this.#alone(this.#import(request, Number(url.searchParams.get("size_max")))));
    const options = {
      tables: url.searchParams.getAll("table"),
      schema: url.searchParams.get("schema") !== "0",
      data: url.searchParams.get("data") !== "0",
    };
    return this.#export(options);
  }

  #call(call: CallHead, text: string): AnswerHead & { readonly text: string } {
    const usage = { readQueries: 0, writeQueries: 0, rowsRead: 0, rowsWritten: 0, statements: [] as StatementUsage[] };
    let lines: readonly Query[] = [];
    try {
      if (this.#deleted) throw new Error("The database could not be found");
      const body: unknown = JSON.parse(text);
      const rest = call.kind === "rest-objects" || call.kind === "rest-rows";
      const queries = rest ? restQueries(body) : Array.isArray(body) ? (body as Query[]) : [body as Query];
      if (call.kind === "objects" && Array.isArray(body)) lines = queries;
      const results = this.#atomically(queries, call, usage);
      const asObjects = call.kind === "objects" || call.kind === "rest-objects";
      const answers = results.map(({ columns, rows, meta }) => ({
        results: asObjects ? objects(columns, rows) : { columns, rows },
        success: true,
        meta,
      }));
      return { text: JSON.stringify(answers), usage, ...(call.bookmarked && { bookmark: this.#bookmark() }) };
    } catch (error) {
      // Counters move back with a rollback only in part.
      this.#totals = undefined;
      const failure = { success: false, error: error instanceof Error ? error.message : String(error) };
      if (lines.length === 0 || !(error instanceof QueryError)) return { text: JSON.stringify(failure), usage };
      // The binding's exec() names the line by the failure's place.
      const before = Array.from({ length: error.index }, () => ({ success: true, results: [], meta: { duration: 0 } }));
      return { text: JSON.stringify([...before, failure]), usage };
    }
  }

  #atomically(queries: readonly Query[], { readOnly, attempt, sizeMax }: CallHead, usage: Writable<Usage>): Result[] {
    const work = queries.map((query, index) => ({ query, index, end: statementEnd(query.sql) })).filter(({ end }) => end > 0);
    if (work.length === 0) throw new Error(NO_STATEMENTS);
    const runAll = () =>
      work.map(({ query, index, end }) => {
        try {
          const text = query.sql.slice(0, end);
          if (readOnly && !startsReadOnly(text)) throw new Error(READ_ONLY);
          this.#checkRoom(text, sizeMax);
          const result = this.#statement(text, query.params ?? [], attempt);
          if (readOnly && result.writes) throw new Error(READ_ONLY);
          return result;
        } catch (error) {
          throw new QueryError(index, error);
        }
      });
    // One statement is atomic by itself, if it is one: a text may hold several.
    const [only] = work;
    const single = work.length === 1 && only !== undefined && !only.query.sql.slice(0, only.end).includes(";");
    const results = single && !readOnly ? runAll() : this.ctx.storage.transactionSync(runAll);
    for (const [i, { meta, writes, rows }] of results.entries()) {
      if (writes) usage.writeQueries++;
      else usage.readQueries++;
      usage.rowsRead += meta.rows_read;
      usage.rowsWritten += meta.rows_written;
      const { query, end } = work[i] as (typeof work)[number];
      usage.statements.push({
        sql: query.sql.slice(0, Math.min(end, STATEMENT_MAX_CHARS)),
        durationMs: meta.duration,
        rowsRead: meta.rows_read,
        rowsWritten: meta.rows_written,
        rowsReturned: rows.length,
      });
    }
    return results;
  }

  /** A full database takes only what reads and what makes it smaller. */
  #checkRoom(text: string, sizeMax: number): void {
    if (startsReadOnly(text) || SHRINKS.test(text)) return;
    if ((this.#totals?.size ?? this.#sql.databaseSize) >= sizeMax) throw new Error("Exceeded maximum DB size.");
  }

  #statement(text: string, params: readonly unknown[], attempt: number): Result {
    const before = this.#totals ?? this.#readTotals();
    const start = performance.now();
    const cursor = this.#sql.exec(text, ...params.map(bindable));
    const rows: unknown[][] = [];
    let size = 0;
    for (const row of cursor.raw()) {
      size += row.length * CELL_BYTES;
      const cells = row.map((value) => {
        if (typeof value === "string") size += value.length;
        if (!(value instanceof ArrayBuffer)) return value;
        size += value.byteLength * BLOB_BYTE_BYTES;
        return [...new Uint8Array(value)];
      });
      if (size > RESULT_MAX_BYTES) throw new Error(`The query's result is larger than ${RESULT_MAX_BYTES / 1024 / 1024} MiB`);
      if (rows.push(cells) % 1024 === 0 && performance.now() - start > QUERY_MAX_MS)
        throw new Error("D1 DB exceeded its CPU time limit and was reset.");
    }
    // Steps of 3 ms: workerd's clock is that coarse, on purpose.
    const duration = performance.now() - start;
    const { rowsRead, rowsWritten } = cursor;
    const mayWrite = rowsWritten > 0 || !startsReadOnly(text);
    const after = mayWrite ? this.#readTotals() : before;
    this.#totals = after;
    const changed = after.changes !== before.changes || after.lastRowId !== before.lastRowId || after.size !== before.size;
    return {
      columns: cursor.columnNames,
      rows,
      writes: mayWrite || changed,
      meta: {
        served_by: "freehold",
        served_by_primary: true,
        timings: { sql_duration_ms: duration },
        duration,
        changes: after.changes - before.changes,
        last_row_id: after.lastRowId,
        changed_db: changed || rowsWritten > 0,
        size_after: after.size,
        rows_read: rowsRead,
        rows_written: rowsWritten,
        total_attempts: attempt,
      },
    };
  }

  #readTotals(): Totals {
    const [changes, lastRowId] = this.#sql.exec("SELECT total_changes(), last_insert_rowid()").raw().next().value as [number, number];
    return { changes, lastRowId, size: this.#sql.databaseSize };
  }

  /**
   * A bookmark sorts after every earlier one of this database: seconds, milliseconds, then a count, as hexadecimal digits
   * in the documented form, as those of Time Travel have them. There is one copy of the data, so any is already satisfied.
   */
  #bookmark(): string {
    const now = Math.max(Date.now(), this.#bookmarkTime);
    this.#bookmarkCount = now === this.#bookmarkTime ? this.#bookmarkCount + 1 : 0;
    this.#bookmarkTime = now;
    const digits = [now / 1000, now % 1000, this.#bookmarkCount].map((value) => Math.floor(value).toString(16).padStart(8, "0"));
    return `${digits.join("-")}-${this.ctx.id.toString().slice(0, 32)}`;
  }

  /** Holds up every other call until `work` is done. */
  async #alone<T>(work: Promise<T>): Promise<T> {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#exclusive = settled;
    try {
      return await work;
    } finally {
      this.#exclusive = undefined;
    }
  }

  async #import(request: Request, sizeMax: number): Promise<unknown> {
    const started = performance.now();
    const usage = { rowsRead: 0, rowsWritten: 0, queries: 0 };
    const before = this.#readTotals();
    this.#totals = undefined;
    try {
      if (this.#deleted) throw new Error("The database could not be found");
      await this.ctx.storage.transaction(async () => {
        const scanner = new StatementScanner();
        let turn = performance.now();
        const runAll = async (statements: readonly string[]) => {
          for (const statement of statements) {
            // To ask for the size takes as long as a small statement.
            if (usage.queries % IMPORT_ROOM_EVERY === 0) this.#checkRoom(statement, sizeMax);
            const cursor = this.#sql.exec(statement.slice(0, statementEnd(statement)));
            // Stepped to its end: a statement runs only as far as its rows are read.
            const steps = cursor.raw();
            while (!steps.next().done);
            usage.queries++;
            usage.rowsRead += cursor.rowsRead;
            usage.rowsWritten += cursor.rowsWritten;
            const now = performance.now();
            if (now - started > IMPORT_MAX_MS)
              throw new Error(`The import did not finish within ${IMPORT_MAX_MS / 1000} s; split the file`);
            if (now - turn > IMPORT_TURN_MS) {
              await scheduler.wait(0);
              turn = performance.now();
            }
          }
        };
        for await (const piece of (request.body ?? emptyBody()).pipeThrough(new TextDecoderStream())) await runAll(scanner.push(piece));
        await runAll(scanner.finish());
        if (usage.queries === 0) throw new Error(NO_STATEMENTS);
      });
    } catch (error) {
      return { success: false, error: error instanceof Error ? error.message : String(error) };
    }
    const after = this.#readTotals();
    const duration = performance.now() - started;
    const changes = after.changes - before.changes;
    return {
      success: true,
      num_queries: usage.queries,
      final_bookmark: this.#bookmark(),
      meta: {
        served_by: "freehold",
        duration,
        changes,
        last_row_id: after.lastRowId,
        changed_db: true,
        size_after: after.size,
        rows_read: usage.rowsRead,
        rows_written: usage.rowsWritten,
      },
    };
  }

  /** Streams the dump; other calls wait, so that it shows one state. */
  #export(options: { tables: string[]; schema: boolean; data: boolean }): Response {
    const lines = dumpStatements(this.#sql, options);
    // The first statement is made before the answer starts, so that a database that cannot be exported says so.
    let next: IteratorResult<string>;
    try {
      if (this.#deleted) throw new Error("The database could not be found");
      next = lines.next();
    } catch (error) {
      return Response.json({ success: false, error: error instanceof Error ? error.message : String(error) }, { status: 400 });
    }
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const write = async () => {
      const writer = writable.getWriter();
      const encoder = new TextEncoder();
      let piece = "";
      try {
        for (; !next.done; next = lines.next()) {
          piece += `${next.value}\n`;
          if (piece.length < EXPORT_PIECE_CHARS) continue;
          await writer.write(encoder.encode(piece));
          piece = "";
        }
        await writer.write(encoder.encode(piece));
        await writer.close();
      } catch (error) {
        await writer.abort(error);
      }
    };
    // A reader that stops reading, or goes away, ends the stream and with it the wait of the others.
    void this.#alone(write());
    return new Response(readable, { headers: { "content-type": "application/sql" } });
  }
}

const EXPORT_PIECE_CHARS = 256 * 1024;

type Writable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer U)[] ? U[] : T[K] };

const emptyBody = (): ReadableStream<Uint8Array> => new Blob([]).stream();

/** `{sql, params}` or `{batch: […]}`; each SQL text is cut into its statements, each with an answer of its own. */
function restQueries(body: unknown): Query[] {
  const { batch, sql, params } = body as { batch?: readonly Query[] } & Query;
  return (batch ?? [{ sql, ...(params && { params }) }]).flatMap((query) => {
    const statements = splitStatements(query.sql);
    if (statements.length > 1 && query.params !== undefined && query.params.length > 0)
      throw new Error("Parameters can be bound to one statement only; send several as a batch");
    return statements.map((statement) => ({ sql: statement, ...(query.params && { params: query.params }) }));
  });
}

function bindable(value: unknown): ArrayBuffer | string | number | null {
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (Array.isArray(value)) return new Uint8Array(value).buffer;
  throw new Error(`Type '${typeof value}' not supported for value '${value}'`);
}

function objects(columns: readonly string[], rows: readonly unknown[][]): Record<string, unknown>[] {
  return rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])));
}
