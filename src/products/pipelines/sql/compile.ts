/**
 * Compiles a pipeline's SQL: which stream each INSERT reads, which sink it fills, and the DuckDB query in between. A
 * compiled statement is stored with the pipeline and never compiled again, so a later release cannot change what a running
 * pipeline means.
 */
import type { DuckDBType } from "@duckdb/node-api";
import { type Connection, DuckDbError, identifier } from "../../../kernel/duckdb/engine.ts";
import { parseSelects, SqlSyntaxError } from "../../../kernel/duckdb/parser.ts";
import { type Field, reservedColumns, TIME } from "../fields.ts";
import { columnNames, emptySourceSql, SOURCE } from "../source.ts";
import { Types } from "./scope.ts";
import { compileSelect } from "./select.ts";
import { SqlError } from "./sql-error.ts";
import { type InsertStatement, splitStatements } from "./statements.ts";

/** A table that SQL may name. */
export interface StreamTable {
  readonly id: string;
  readonly name: string;
  /** Undefined: unstructured. */
  readonly fields: readonly Field[] | undefined;
}

export interface Tables {
  stream(name: string): StreamTable | undefined;
  sink(name: string): { readonly id: string; readonly name: string } | undefined;
}

export interface Column {
  readonly name: string;
  readonly type: DuckDBType;
}

export interface CompiledStatement {
  readonly stream: StreamTable;
  readonly sink: { readonly id: string; readonly name: string };
  /** A SELECT over `__source` that yields `columns`, then the hidden time of ingest. */
  readonly select: string;
  /** The same with NULL in the place of values that fail; null when DuckDB cannot guard it. */
  readonly guarded: string | null;
  readonly columns: readonly Column[];
  /** A value is at most so many times as large as its event. */
  readonly growth: number;
}

const SQL_LENGTH_MAX = 100_000;
const STATEMENTS_MAX = 20;
/** Questions about types that one statement may cost. */
const QUESTIONS_MAX = 2000;
/** Calls of `repeat`, `range` and the like in a statement: DuckDB computes those of literals while it validates. */
const MAKERS_MAX = 50;

/** Compiles every INSERT of the text. Throws `SqlError` with the text for the user. */
export async function compilePipeline(sql: string, tables: Tables, connection: Connection, now: number): Promise<CompiledStatement[]> {
  if (sql.length > SQL_LENGTH_MAX) throw new SqlError(`SQL is longer than ${SQL_LENGTH_MAX} characters`);
  const compiled: CompiledStatement[] = [];
  const statements = splitStatements(sql);
  if (statements.length > STATEMENTS_MAX) throw new SqlError(`more than ${STATEMENTS_MAX} statements`);
  for (const statement of statements) compiled.push(await compileStatement(statement, tables, connection, now));
  for (const [i, { sink }] of compiled.entries()) {
    // Two INSERTs of one pipeline into one sink would each count the stream by themselves, and the sink holds one schema.
    if (compiled.findIndex((other) => other.sink.id === sink.id) !== i)
      throw new SqlError(`the sink '${sink.name}' is written by two INSERT statements`);
  }
  return compiled;
}

async function compileStatement(
  statement: InsertStatement,
  tables: Tables,
  connection: Connection,
  now: number,
): Promise<CompiledStatement> {
  const sink = tables.sink(statement.sink);
  if (sink === undefined) throw new SqlError(`table '${statement.sink}' not found: there is no sink of that name`);
  const [node, ...more] = await parse(connection, statement.query);
  if (node === undefined || more.length > 0) throw new SqlError("expected one SELECT after INSERT INTO");

  let stream: StreamTable | undefined;
  const typesByFrom = new Map<string, Types>();
  const budget = { questions: QUESTIONS_MAX };
  let growth = 1;
  const select = (guarded: boolean) => {
    let makers = 0;
    return compileSelect(node, {
      now,
      guarded,
      onMaker() {
        if (++makers > MAKERS_MAX) throw new SqlError(`more than ${MAKERS_MAX} calls that make texts or arrays of a given size`);
      },
      onGrowth(times) {
        growth = Math.max(growth, times);
      },
      stream(name) {
        const found = tables.stream(name);
        if (found === undefined) {
          const hint =
            tables.sink(name) === undefined ? "there is no stream of that name" : "it is a sink, and pipelines read from streams";
          throw new SqlError(`table '${name}' not found: ${hint}`);
        }
        stream = found;
        return columnNames(found.fields);
      },
      typesOver(from) {
        const ask = async (list: readonly string[]): Promise<DuckDBType[]> => {
          const items = list.map((sql, i) => `${sql} AS x${i}`).join(", ");
          return (await bind(connection, `SELECT ${items} FROM ${from}`, stream?.fields)).map((column) => column.type);
        };
        const types = typesByFrom.get(from) ?? new Types(ask, budget);
        typesByFrom.set(from, types);
        return types;
      },
    });
  };
  const { sql } = await select(false);
  if (stream === undefined) throw new SqlError("a pipeline must read from a stream");
  const fields = (stream as StreamTable).fields;
  const bound = (await bind(connection, sql, fields)).slice(0, -1);
  const columns = renamed(statement, bound);
  const named = (text: string): string => (statement.columns === undefined ? text : renamedSql(text, bound, columns));
  const guarded = await select(true)
    .then(async (compiled) => {
      await bind(connection, compiled.sql, fields);
      return named(compiled.sql);
    })
    .catch((error: unknown) => {
      if (error instanceof SqlError) return null;
      throw error;
    });
  return { stream, sink, select: named(sql), guarded, columns, growth };
}

async function parse(connection: Connection, query: string) {
  try {
    return await parseSelects(connection, query);
  } catch (cause) {
    if (!(cause instanceof SqlSyntaxError)) throw cause;
    throw new SqlError(`sql parser error: ${cause.message}`, { cause });
  }
}

/** Columns and types of a query over the stream, found by binding it; what DuckDB finds wrong becomes the user's text. */
async function bind(connection: Connection, sql: string, fields: readonly Field[] | undefined): Promise<Column[]> {
  try {
    return await connection.describe(`WITH ${SOURCE} AS (${emptySourceSql(fields)}) SELECT * FROM (${sql})`);
  } catch (cause) {
    if (!(cause instanceof DuckDbError)) throw cause;
    throw new SqlError(cause.message.split("\n")[0]?.replaceAll(SOURCE, "stream") ?? "cannot be bound", { cause });
  }
}

/** `INSERT INTO sink (a, b)` names the columns. */
function renamed(statement: InsertStatement, bound: readonly Column[]): readonly Column[] {
  const names = statement.columns;
  if (names === undefined) return bound;
  if (names.length !== bound.length) throw new SqlError(`INSERT names ${names.length} columns, SELECT gives ${bound.length}`);
  const reserved = names.find((name) => reservedColumns.has(name.toLowerCase()));
  if (reserved !== undefined) throw new SqlError(`the column name ${reserved} is reserved`);
  if (new Set(names.map((name) => name.toLowerCase())).size !== names.length) throw new SqlError("INSERT names a column twice");
  return bound.map((column, i) => ({ name: names[i] as string, type: column.type }));
}

function renamedSql(sql: string, from: readonly Column[], to: readonly Column[]): string {
  const list = from.map((column, i) => `${identifier(column.name)} AS ${identifier((to[i] as Column).name)}`);
  return `SELECT ${list.join(", ")}, ${TIME} FROM (${sql})`;
}
