/**
 * What kind of statement a text is. The catalog statements (SHOW, DESCRIBE) are read here; SELECT is passed on whole;
 * everything else is refused with the documented text.
 */
import { identifier } from "../../../kernel/duckdb/engine.ts";
import { invalidSql, unsupported } from "../errors.ts";
import { type Token, tokenize } from "./tokens.ts";

export type Statement =
  | { readonly kind: "select"; readonly sql: string }
  | { readonly kind: "explain"; readonly format: "text" | "json"; readonly sql: string }
  | { readonly kind: "show-namespaces" }
  /** `name` is the namespace as written: each part may itself be dotted. */
  | { readonly kind: "show-tables"; readonly name: readonly string[] }
  | { readonly kind: "describe"; readonly name: readonly string[] };

// Statements that exist in SQL and change something, or reach outside the tables.
const NOT_READ_ONLY = new Set(
  (
    "ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT COMMENT COMMIT COPY CREATE DEALLOCATE DELETE DETACH DROP END EXECUTE EXPORT " +
    "GRANT IMPORT INSERT INSTALL LOAD MERGE PRAGMA PREPARE REFRESH RENAME REPLACE RESET REVOKE ROLLBACK SET START TRUNCATE UNLOAD " +
    "UPDATE UPSERT USE VACUUM"
  ).split(" "),
);

const STRICT_STATEMENTS = new Set(["SELECT", "SHOW", "DESCRIBE", "DESC"]);

/** Largest text that is looked at. */
export const QUERY_MAX_CHARS = 256 * 1024;

/** Reads a text of one statement; a semicolon may follow it. `strict` is the older dialect. Throws `invalidSql`. */
export function readStatement(sql: string, strict = false): Statement {
  if (sql.length > QUERY_MAX_CHARS) throw invalidSql(`the query is longer than ${QUERY_MAX_CHARS} characters`);
  if (sql.includes("\0")) throw invalidSql("the query contains a null character");
  const tokens = tokenize(sql);
  const semicolon = tokens.findIndex((token) => token.kind === "symbol" && token.text === ";");
  if (semicolon !== -1 && tokens.slice(semicolon).some((token) => token.text !== ";" || token.kind !== "symbol"))
    throw unsupported("more than one statement in a query");
  const end = semicolon === -1 ? sql.length : (tokens[semicolon]?.start as number);
  const words = semicolon === -1 ? tokens : tokens.slice(0, semicolon);
  const first = words[0];
  if (first === undefined) throw invalidSql("the query is empty");
  const keyword = upper(first);
  if (strict && !STRICT_STATEMENTS.has(keyword)) throw invalidSql("only top-level SELECT clause is supported");
  checkOperators(words, strict);

  if (keyword === "SELECT" || keyword === "WITH" || first.text === "(")
    return { kind: "select", sql: withPlainNames(sql, words, first.start, end) };
  if (keyword === "EXPLAIN") return explain(words, sql, end);
  if (keyword === "SHOW") return show(words);
  if (keyword === "DESCRIBE" || keyword === "DESC") {
    const from = upper(words[1]) === "TABLE" && words.length > 2 ? 2 : 1;
    return { kind: "describe", name: qualifiedName(words.slice(from), "DESCRIBE namespace_name.table_name") };
  }
  if (NOT_READ_ONLY.has(keyword)) throw invalidSql("only read-only queries are allowed");
  throw invalidSql(`expected SELECT, SHOW, DESCRIBE or EXPLAIN, found "${first.text}"`);
}

function explain(words: readonly Token[], sql: string, end: number): Statement {
  let at = 1;
  let format: "text" | "json" = "text";
  if (upper(words[at]) === "ANALYZE") throw unsupported("EXPLAIN ANALYZE");
  if (upper(words[at]) === "FORMAT") {
    const name = upper(words[at + 1]);
    if (name !== "JSON") throw unsupported(`EXPLAIN FORMAT ${name}`);
    [format, at] = ["json", at + 2];
  }
  const next = words[at];
  if (next === undefined || (upper(next) !== "SELECT" && upper(next) !== "WITH" && next.text !== "("))
    throw invalidSql("EXPLAIN needs a SELECT");
  return { kind: "explain", format, sql: withPlainNames(sql, words.slice(at), next.start, end) };
}

// Reserved by DuckDB's parser, but plain names to the real engine's; none has a meaning of its own in a SELECT.
const PLAIN_NAMES = new Set(
  "ANALYSE ANALYZE CHECK COLUMN CONSTRAINT CREATE DEFAULT DEFERRABLE DO FOREIGN GRANT INITIALLY ONLY PRIMARY REFERENCES RETURNING TABLE VARIADIC".split(
    " ",
  ),
);

/**
 * The text from `start` to `end` with names in quotes where DuckDB's parser would take them for keywords: every word next
 * to a point (`default.events`, `events.order`) and the words of `PLAIN_NAMES`.
 */
function withPlainNames(sql: string, tokens: readonly Token[], start: number, end: number): string {
  const parts: string[] = [];
  let at = start;
  tokens.forEach((token, i) => {
    const qualified = tokens[i - 1]?.text === "." || tokens[i + 1]?.text === ".";
    if (token.kind !== "word" || !(qualified || PLAIN_NAMES.has(upper(token)))) return;
    parts.push(sql.slice(at, token.start), identifier(token.text));
    at = token.start + token.text.length;
  });
  return parts.join("") + sql.slice(at, end);
}

function show(words: readonly Token[]): Statement {
  const what = upper(words[1]);
  if ((what === "DATABASES" || what === "NAMESPACES" || what === "SCHEMAS") && words.length === 2) return { kind: "show-namespaces" };
  if (what === "TABLES" && (upper(words[2]) === "IN" || upper(words[2]) === "FROM"))
    return { kind: "show-tables", name: qualifiedName(words.slice(3), "SHOW TABLES IN namespace_name") };
  throw unsupported(`SHOW ${what || "without a subject"}; use SHOW DATABASES, SHOW NAMESPACES or SHOW TABLES IN namespace_name`);
}

/** Names joined by points, and nothing behind them. */
function qualifiedName(tokens: readonly Token[], usage: string): string[] {
  const parts = tokens.filter((_, i) => i % 2 === 0);
  const points = tokens.filter((_, i) => i % 2 === 1);
  const isName = (token: Token): boolean => token.kind === "word" || token.kind === "name";
  if (parts.length === 0 || parts.length === points.length || !parts.every(isName) || points.some((token) => token.text !== "."))
    throw invalidSql(`expected ${usage}`);
  return parts.map((token) => token.text);
}

/**
 * The tree of the parser no longer tells `a ~ 'x'` (which searches) from `a SIMILAR TO 'x'` (which matches the whole), nor
 * `a ^ b` from a power: their meaning differs between engines, so they are refused by their spelling.
 */
function checkOperators(tokens: readonly Token[], strict: boolean): void {
  const at = tokens.findIndex((token) => token.kind === "symbol" && /^(?:!?~~?\*?|->>?|\^|@|#|\?|\$|!)$/.test(token.text));
  if (at === -1) return;
  const selected = !tokens.slice(0, at).some((token) => upper(token) === "FROM");
  const { text } = tokens[at] as Token;
  if (strict && selected && text.startsWith("->")) throw invalidSql("Cannot access nested fields");
  throw invalidSql(`unsupported binary operator ${text}`);
}

const upper = (token: Token | undefined): string => (token?.kind === "word" ? token.text.toUpperCase() : "");
