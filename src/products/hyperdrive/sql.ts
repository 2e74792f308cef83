/**
 * What a statement's text says of it: whether its result may be cached, whether Hyperdrive supports it, and whether it may
 * leave state behind in its session. No parser: words outside of strings and comments decide, and what is not understood is
 * not cached. Functions whose results change count wherever they are named, also in comments (docs: Query caching,
 * "Function detection is text-based").
 */
import { immutableFunctions } from "./postgres/immutable-functions.ts";

export type Dialect = "postgres" | "mysql";

/** The reasons are those of the metrics' `cacheStatus`. */
export type Verdict = "cacheable" | "volatile" | "uncacheable" | "notaquery" | "multiplestatements" | "parseerror";

export interface Inspection {
  readonly verdict: Verdict;
  /** What Hyperdrive does not support in it. */
  readonly unsupported: string | undefined;
  /** Its session may have more to forget afterwards than settings. */
  readonly leavesState: boolean;
}

const MEMORY_ENTRIES = 2_000;
const MEMORY_SQL_MAX = 16 * 1024;

/** Inspects, and remembers what it has seen: drivers send the same texts again and again. */
export function inspector(dialect: Dialect): (sql: string) => Inspection {
  const seen = new Map<string, Inspection>();
  return (sql) => {
    const known = seen.get(sql);
    if (known !== undefined) return known;
    const found = inspect(sql, dialect);
    if (sql.length > MEMORY_SQL_MAX) return found;
    if (seen.size >= MEMORY_ENTRIES) seen.clear();
    seen.set(sql, found);
    return found;
  };
}

const READS = /^(select|with|values|table)\b|^\(/;
const NO_QUERY = /^(begin|start|commit|rollback|end|abort|savepoint|release|set|reset|show|use|lock|unlock|describe|desc)\b|^$/;
const WRITES = /\b(insert|update|delete|merge|into)\b|\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b|\block\s+in\s+share\b/;

const CHANGING: Readonly<Record<Dialect, RegExp>> = {
  postgres:
    /\b(now|timeofday|random|lastval|currval|nextval|txid_current|clock_timestamp|statement_timestamp|transaction_timestamp|gen_random_uuid)\s*\(|\b(current_timestamp|current_date|current_time|localtime|localtimestamp|current_user|session_user)\b/i,
  mysql:
    /\b(now|curdate|curtime|sysdate|unix_timestamp|utc_date|utc_time|utc_timestamp|rand|uuid|uuid_short|uuid_v4|uuid_v7|last_insert_id|connection_id|found_rows|row_count|database|schema|user|current_user|session_user|system_user|current_role|version|benchmark|sleep|get_lock|release_lock|release_all_locks|is_free_lock|is_used_lock|master_pos_wait|load_file|random_bytes|nextval|lastval|setval)\s*\(|\b(current_timestamp|current_date|current_time|localtime|localtimestamp|current_user)\b|@/i,
};

/** Words before a bracket that are no function. */
const BEFORE_BRACKET = new Set(
  `select from where and or not in exists any some all values as on using when then else case by having over partition filter
  within group order union except intersect distinct limit offset coalesce nullif greatest least cast row array interval lateral with
  recursive materialized between like ilike similar is grouping sets cube rollup numeric decimal varchar char character varying bit
  timestamp time float extract overlay position substring trim normalize end fetch rows range window join left right inner outer cross
  full natural returning xmlelement xmlforest`.split(/\s+/),
);
const CALL = /(\.\s*)?([a-z_\u0080-\uffff][\w$\u0080-\uffff]*)\s*\(/g;
const AFTER_AS = /\bas\s+$/;
const OWN_SCHEMA = /\bpg_catalog\s*$/;

const UNSUPPORTED: Readonly<Record<Dialect, RegExp>> = {
  postgres: /^(prepare|execute|deallocate|discard|listen|unlisten|notify)\b/,
  mysql: /^(prepare|execute|deallocate|use)\b/,
};
/** Those that hold until the session ends; the ones of a transaction (`…_xact_…`) work. */
const ADVISORY_LOCK = /\bpg_(try_)?advisory_(lock|lock_shared|unlock|unlock_shared|unlock_all)\b/;
const STATE = /\b(set|set_config|temp|temporary|declare|role|authorization|create|do|call|lock|nextval|currval|setval)\b/i;

function inspect(sql: string, dialect: Dialect): Inspection {
  const bare = bareText(sql, dialect)?.toLowerCase();
  const leavesState = STATE.test(sql);
  // The database says what is wrong with it.
  if (bare === undefined) return { verdict: "parseerror", unsupported: undefined, leavesState: true };
  const statements = bare.split(";").flatMap((text) => text.trim() || []);
  let unsupported: string | undefined;
  for (const statement of statements) unsupported ??= UNSUPPORTED[dialect].exec(statement)?.[0].toUpperCase();
  if (dialect === "postgres" && ADVISORY_LOCK.test(bare)) unsupported ??= "advisory locks";
  if (dialect === "mysql" && statements.length > 1) unsupported ??= "multi-statement queries";
  return { verdict: verdictOf(sql, statements, dialect), unsupported, leavesState };
}

function verdictOf(sql: string, statements: readonly string[], dialect: Dialect): Verdict {
  if (statements.length > 1) return "multiplestatements";
  const statement = statements[0] ?? "";
  if (NO_QUERY.test(statement)) return "notaquery";
  if (!READS.test(statement) || WRITES.test(statement)) return "uncacheable";
  if (CHANGING[dialect].test(sql)) return "volatile";
  return dialect === "postgres" && callsUnknown(statement) ? "volatile" : "cacheable";
}

function callsUnknown(statement: string): boolean {
  for (const { 1: dot, 2: name, index } of statement.matchAll(CALL)) {
    const before = statement.slice(Math.max(0, index - 40), index);
    if (dot !== undefined && !OWN_SCHEMA.test(before)) return true;
    if (dot === undefined && (BEFORE_BRACKET.has(name as string) || AFTER_AS.test(before))) continue;
    if (!immutableFunctions.has(name as string)) return true;
  }
  return false;
}

const QUOTED: Readonly<Record<Dialect, RegExp>> = {
  postgres: /--[^\n]*|\/\*|'|"|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/gi,
  mysql: /--(?=\s|$)[^\n]*|#[^\n]*|\/\*|'|"|`/g,
};

/** The text with strings, comments and quoted names blanked out; undefined when one of them does not end. */
function bareText(sql: string, dialect: Dialect): string | undefined {
  const opening = new RegExp(QUOTED[dialect]);
  let bare = "";
  let at = 0;
  for (let found = opening.exec(sql); found !== null; found = opening.exec(sql)) {
    const [mark] = found;
    bare += sql.slice(at, found.index);
    const end = endOf(sql, found.index, mark, dialect);
    if (end === undefined) return undefined;
    // MySQL runs what such a comment contains.
    if (dialect === "mysql" && /^\/\*M?!/.test(sql.slice(found.index, found.index + 4))) return undefined;
    bare += mark === '"' || mark === "`" ? "_quoted" : mark.startsWith("-") || mark.startsWith("#") || mark === "/*" ? " " : "''";
    at = end;
    opening.lastIndex = end;
  }
  return bare + sql.slice(at);
}

function endOf(sql: string, start: number, mark: string, dialect: Dialect): number | undefined {
  if (mark === "/*") return endOfComment(sql, start, dialect === "postgres");
  if (mark.startsWith("--") || mark.startsWith("#")) return start + mark.length;
  const after = start + mark.length;
  if (mark.startsWith("$")) {
    const end = sql.indexOf(mark, after);
    return end < 0 ? undefined : end + mark.length;
  }
  const escapes = mark !== "`" && (dialect === "mysql" || (mark === "'" && /(^|[^\w$])e$/i.test(sql.slice(Math.max(0, start - 2), start))));
  for (let at = after; at < sql.length; at++) {
    if (escapes && sql[at] === "\\") at++;
    else if (sql[at] === mark && sql[at + 1] === mark) at++;
    else if (sql[at] === mark) return at + 1;
  }
  return undefined;
}

function endOfComment(sql: string, start: number, nests: boolean): number | undefined {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = start + 2;
  let depth = 1;
  for (let found = marks.exec(sql); found !== null; found = marks.exec(sql)) {
    if (found[0] === "*/") depth--;
    else if (nests) depth++;
    if (depth === 0) return marks.lastIndex;
  }
  return undefined;
}
