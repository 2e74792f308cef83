/**
 * DuckDB's own parser as a service: SELECT text to its JSON syntax tree and back. Products walk the tree with a
 * whitelist of node types; what is not on the list does not run. Parsing binds nothing and touches no table.
 */
import { type Connection, DuckDbError } from "./engine.ts";

/** A node of the syntax tree. `class` and `type` say what it is ("FUNCTION", "COLUMN_REF", "BASE_TABLE"). */
export interface SyntaxNode {
  readonly class?: string;
  readonly type?: string;
  readonly [key: string]: unknown;
}

/** The statement at fault, with the character offset where DuckDB gives one. */
export class SqlSyntaxError extends Error {
  /** Characters from the start of the text, or undefined. */
  readonly position: number | undefined;

  constructor(message: string, position: number | undefined) {
    super(message);
    this.name = "SqlSyntaxError";
    this.position = position;
  }
}

interface Serialized {
  error: boolean;
  error_type?: string;
  error_message?: string;
  position?: string;
  statements?: { node: SyntaxNode }[];
}

/**
 * The tree of each statement in the text. Throws `SqlSyntaxError` when it is not SQL, or is anything but SELECT
 * (which includes VALUES, UNION and, as DuckDB has it, `FROM t`).
 */
export async function parseSelects(connection: Connection, sql: string): Promise<SyntaxNode[]> {
  return readTree(await serializedTree(connection, sql));
}

/** The first half of `parseSelects`: DuckDB's JSON text, to be read elsewhere. */
export async function serializedTree(connection: Connection, sql: string): Promise<string> {
  // skip_default stays off: a walker must see every field, also those at their default.
  const row = await connection.get<{ tree: string }>("SELECT json_serialize_sql($1::VARCHAR)::VARCHAR AS tree", [sql]);
  if (row === undefined) throw new DuckDbError("internal", "json_serialize_sql gave no row");
  return row.tree;
}

/** The second half. Integers beyond 2^53 are `bigint`: constants keep their digits. */
export function readTree(text: string): SyntaxNode[] {
  // Looking at every number costs five times the parsing itself.
  const tree = (LONG_INTEGER.test(text) ? parseJson(text, exactInteger) : JSON.parse(text)) as Serialized;
  if (tree.error)
    throw new SqlSyntaxError(tree.error_message ?? "syntax error", tree.position === undefined ? undefined : Number(tree.position));
  return (tree.statements ?? []).map((statement) => statement.node);
}

/** Some integer may be beyond 2^53. */
const LONG_INTEGER = /\d{16}/;

// The parameter types of the standard library do not know the third argument or `rawJSON` yet (ES2026).
const parseJson = JSON.parse as (text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

function exactInteger(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(context.source ?? "")) return value;
  return BigInt(context.source as string);
}

/** SQL text of one SELECT tree, as DuckDB writes it: every identifier as it must be quoted. */
export async function selectText(connection: Connection, node: SyntaxNode): Promise<string> {
  const tree = JSON.stringify({ error: false, statements: [{ node }] }, (_key, value: unknown) =>
    typeof value === "bigint" ? rawJson(value.toString()) : value,
  );
  const row = await connection.get<{ sql: string }>("SELECT json_deserialize_sql($1::JSON) AS sql", [tree]);
  if (row === undefined) throw new DuckDbError("internal", "json_deserialize_sql gave no row");
  return row.sql;
}
