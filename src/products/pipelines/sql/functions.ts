/**
 * The scalar functions of Pipelines SQL (docs: pipelines/sql-reference/scalar-functions, one page a group): the names of the
 * documentation, and what they mean. A function that is not in this table fails validation by name.
 *
 * Semantics are those of DataFusion, which the real service runs (`kernel/duckdb/datafusion`). Where the documentation says
 * otherwise, it decides.
 */
import type { DuckDBScalarFunction } from "@duckdb/node-api";
import { arrow } from "../../../kernel/duckdb/datafusion/arrow.ts";
import { bytes } from "../../../kernel/duckdb/datafusion/bytes.ts";
import { conditional } from "../../../kernel/duckdb/datafusion/conditional.ts";
import { digestFunction } from "../../../kernel/duckdb/datafusion/digest.ts";
import { lists } from "../../../kernel/duckdb/datafusion/lists.ts";
import { math } from "../../../kernel/duckdb/datafusion/math.ts";
import { regexp } from "../../../kernel/duckdb/datafusion/regexp.ts";
import type { FunctionRule, FunctionTable } from "../../../kernel/duckdb/datafusion/rule.ts";
import { strings } from "../../../kernel/duckdb/datafusion/strings.ts";
import { intervals, time } from "../../../kernel/duckdb/datafusion/time.ts";
import { json } from "./json.ts";
import { jsonPathFunction } from "./json-path.ts";

/** Other names of functions, as the documentation lists them. */
const aliases: Readonly<Record<string, string>> = {
  pow: "power",
  ifnull: "nvl",
  trim: "btrim",
  char_length: "length",
  character_length: "length",
  instr: "strpos",
  position: "strpos",
  substring: "substr",
  datetrunc: "date_trunc",
  datepart: "date_part",
  date_format: "to_char",
  make_list: "make_array",
  string_to_list: "string_to_array",
  array_empty: "empty",
  list_empty: "empty",
  array_push_back: "array_append",
  array_push_front: "array_prepend",
  array_cat: "array_concat",
  array_contains: "array_has",
  array_extract: "array_element",
  array_indexof: "array_position",
  array_join: "array_to_string",
  // What DuckDB's parser makes of brackets and of (a, b).
  list_value: "make_array",
  row: "struct",
};

const table: FunctionTable = {
  ...math,
  ...conditional,
  ...strings,
  ...bytes,
  ...regexp,
  ...json,
  ...time,
  ...intervals,
  ...lists,
  ...arrow,
};

/** Functions whose results are as large as an argument says: a short text of them takes the engine long. */
const makers = new Set(
  ["repeat", "lpad", "rpad", "range", "generate_series", "array_fill", "array_repeat", "array_resize"].map((name) => table[name]),
);
export const isMaker = (rule: FunctionRule): boolean => makers.has(rule);

/** Functions whose result holds more than one of its arguments. What replaces is bounded by itself. */
const joiners = new Set(
  "concat concat_ws overlay struct make_array array_append array_prepend array_concat array_union array_resize array_replace array_replace_n array_replace_all array_to_string"
    .split(" ")
    .map((name) => table[name]),
);
export const isJoiner = (rule: FunctionRule): boolean => joiners.has(rule);

/** The rule of a function, in lower case; undefined when there is none of that name. */
export function functionRule(name: string): FunctionRule | undefined {
  const own = Object.hasOwn(aliases, name) ? (aliases[name] as string) : name;
  if (Object.hasOwn(table, own)) return table[own];
  // Each array function also goes by list_….
  return own.startsWith("list_") ? functionRule(`array_${own.slice("list_".length)}`) : undefined;
}

/**
 * Helpers that plans of earlier releases call; part of every DuckDB instance of this product. A stored plan is never compiled
 * again: they are only ever added to.
 */
export const macros: readonly string[] = [
  "CREATE MACRO __ln(x) AS CASE WHEN x > 0 THEN ln(x) WHEN x = 0 THEN '-Infinity'::DOUBLE WHEN x IS NOT NULL THEN 'NaN'::DOUBLE END",
  // A key is a member's name or an element's number, never a path.
  `CREATE MACRO __json_key(k) AS '."' || replace(replace(k, '\\', '\\\\'), '"', '\\"') || '"'`,
];

/** Functions in JavaScript that plans call. Made anew for each instance. */
export const engineFunctions = (): DuckDBScalarFunction[] => [digestFunction(), jsonPathFunction()];
