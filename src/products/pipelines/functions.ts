/**
 * The scalar functions of Pipelines SQL (docs/pipelines/sql-reference/scalar-functions): how each is written in DuckDB's
 * SQL. A function that is not in this table fails validation by name. Arguments arrive as compiled SQL; `macros` are
 * created once per DuckDB instance, and a stored plan may name them: they are only ever added to.
 *
 * Semantics are those of DataFusion, which the real service runs: where DuckDB's function of the same name differs, the
 * entry says how it is bent.
 */
import { literal } from "../../kernel/duckdb/engine.ts";

export interface ScalarFunction {
  /** Least and most arguments. */
  readonly arity: readonly [number, number];
  readonly sql: (args: readonly string[]) => string;
}

const MANY = 255;

/** DuckDB's function of that name, or of another name. */
const as = (name: string, min: number, max = min): ScalarFunction => ({ arity: [min, max], sql: (args) => `${name}(${args.join(", ")})` });
const of = (min: number, max: number, sql: (args: readonly string[]) => string): ScalarFunction => ({ arity: [min, max], sql });
/** Math functions of DuckDB throw outside their domain; here the answer is NaN, as with IEEE 754. */
const within = (name: string, domain: (x: string) => string): ScalarFunction =>
  of(1, 1, ([x]) => `CASE WHEN ${domain(`(${x})`)} THEN ${name}(${x}) WHEN (${x}) IS NOT NULL THEN 'NaN'::DOUBLE END`);

const math: Readonly<Record<string, ScalarFunction>> = {
  abs: as("abs", 1),
  acos: within("acos", (x) => `${x} BETWEEN -1 AND 1`),
  acosh: within("acosh", (x) => `${x} >= 1`),
  asin: within("asin", (x) => `${x} BETWEEN -1 AND 1`),
  asinh: as("asinh", 1),
  atan: as("atan", 1),
  atan2: as("atan2", 2),
  atanh: within("atanh", (x) => `${x} BETWEEN -1 AND 1`),
  cbrt: as("cbrt", 1),
  ceil: as("ceil", 1),
  cos: within("cos", (x) => `isfinite(${x}::DOUBLE)`),
  cosh: as("cosh", 1),
  degrees: as("degrees", 1),
  exp: as("exp", 1),
  floor: as("floor", 1),
  isnan: of(1, 1, ([x]) => `isnan((${x})::DOUBLE)`),
  iszero: of(1, 1, ([x]) => `((${x}) = 0)`),
  ln: as("__ln", 1),
  log: of(1, 2, ([a, b]) => (b === undefined ? `(__ln(${a}) / ln(10))` : `(__ln(${b}) / __ln(${a}))`)),
  log10: of(1, 1, ([x]) => `(__ln(${x}) / ln(10))`),
  log2: of(1, 1, ([x]) => `(__ln(${x}) / ln(2))`),
  nanvl: of(2, 2, ([x, y]) => `CASE WHEN isnan((${x})::DOUBLE) THEN ${y} ELSE ${x} END`),
  pi: as("pi", 0),
  pow: as("pow", 2),
  power: as("pow", 2),
  radians: as("radians", 1),
  random: as("random", 0),
  round: as("round", 1, 2),
  signum: as("sign", 1),
  sin: within("sin", (x) => `isfinite(${x}::DOUBLE)`),
  sinh: as("sinh", 1),
  sqrt: within("sqrt", (x) => `${x} >= 0`),
  tan: within("tan", (x) => `isfinite(${x}::DOUBLE)`),
  tanh: as("tanh", 1),
  trunc: as("trunc", 1),
};

const conditional: Readonly<Record<string, ScalarFunction>> = {
  coalesce: as("coalesce", 1, MANY),
  ifnull: as("coalesce", 2),
  nullif: as("nullif", 2),
  nvl: as("coalesce", 2),
  nvl2: of(3, 3, ([x, y, z]) => `CASE WHEN (${x}) IS NOT NULL THEN ${y} ELSE ${z} END`),
};

const string: Readonly<Record<string, ScalarFunction>> = {
  ascii: as("ascii", 1),
  bit_length: of(1, 1, ([x]) => `(8 * strlen(${x}))`),
  btrim: as("trim", 1, 2),
  char_length: as("length", 1),
  character_length: as("length", 1),
  chr: of(1, 1, ([x]) => `chr((${x})::INTEGER)`),
  concat: as("concat", 1, MANY),
  concat_ws: as("concat_ws", 2, MANY),
  ends_with: as("ends_with", 2),
  instr: as("strpos", 2),
  left: as("left", 2),
  length: as("length", 1),
  levenshtein: as("levenshtein", 2),
  lower: as("lower", 1),
  lpad: of(2, 3, ([x, n, fill]) => `lpad(${x}, (${n})::INTEGER, ${fill ?? "' '"})`),
  ltrim: as("ltrim", 1, 2),
  octet_length: as("strlen", 1),
  position: as("strpos", 2),
  repeat: as("repeat", 2),
  replace: as("replace", 3),
  reverse: as("reverse", 1),
  right: as("right", 2),
  rpad: of(2, 3, ([x, n, fill]) => `rpad(${x}, (${n})::INTEGER, ${fill ?? "' '"})`),
  rtrim: as("rtrim", 1, 2),
  split_part: as("split_part", 3),
  starts_with: as("starts_with", 2),
  strpos: as("strpos", 2),
  substr: as("substr", 2, 3),
  substring: as("substr", 2, 3),
  to_hex: of(1, 1, ([x]) => `lower(to_hex(${x}))`),
  translate: as("translate", 3),
  trim: as("trim", 1, 2),
  upper: as("upper", 1),
  uuid: of(0, 0, () => "uuid()::VARCHAR"),
};

const json: Readonly<Record<string, ScalarFunction>> = {
  // Missing and mistyped values give '', 0, 0.0, false and 0 here, not NULL.
  json_as_text: jsonPath((j, p) => `coalesce(json_extract_string(${j}, ${p}), '')`),
  json_contains: jsonPath((j, p) => `coalesce(json_exists(${j}, ${p}), false)`),
  json_get: jsonPath((j, p) => `json_extract(${j}, ${p})`),
  json_get_bool: jsonPath(
    (j, p) => `coalesce(CASE WHEN json_type(${j}, ${p}) = 'BOOLEAN' THEN json_extract(${j}, ${p})::BOOLEAN END, false)`,
  ),
  json_get_float: jsonPath(
    (j, p) => `coalesce(CASE WHEN json_type(${j}, ${p}) IN ${NUMBERS} THEN json_extract(${j}, ${p})::DOUBLE END, 0.0)`,
  ),
  json_get_int: jsonPath(
    (j, p) => `coalesce(CASE WHEN json_type(${j}, ${p}) IN ${INTEGERS} THEN TRY_CAST(json_extract_string(${j}, ${p}) AS BIGINT) END, 0)`,
  ),
  json_get_json: jsonPath((j, p) => `coalesce(json_extract(${j}, ${p})::VARCHAR, '')`),
  json_get_str: jsonPath((j, p) => `coalesce(CASE WHEN json_type(${j}, ${p}) = 'VARCHAR' THEN json_extract_string(${j}, ${p}) END, '')`),
  json_length: jsonPath(
    (j, p) =>
      `coalesce(CASE json_type(${j}, ${p}) WHEN 'ARRAY' THEN json_array_length(${j}, ${p}) WHEN 'OBJECT' THEN len(json_keys(${j}, ${p})) END, 0)`,
    0,
  ),
};

const time: Readonly<Record<string, ScalarFunction>> = {
  date_part: as("date_part", 2),
  datepart: as("date_part", 2),
  date_trunc: as("date_trunc", 2),
  datetrunc: as("date_trunc", 2),
  from_unixtime: of(1, 1, ([x]) => `make_timestamp(((${x})::BIGINT // 1000))`),
  make_date: of(3, 3, (args) => `make_date(${args.map((x) => `(${x})::BIGINT`).join(", ")})`),
  to_timestamp_micros: of(1, 1, ([x]) => `make_timestamp((${x})::BIGINT)`),
  to_timestamp_millis: of(1, 1, ([x]) => `make_timestamp((${x})::BIGINT * 1000)`),
  to_timestamp_nanos: of(1, 1, ([x]) => `make_timestamp((${x})::BIGINT // 1000)`),
  to_timestamp_seconds: of(1, 1, ([x]) => `make_timestamp((${x})::BIGINT * 1000000)`),
};

/** Each array function also goes by `list_…`. */
const array: Readonly<Record<string, ScalarFunction>> = Object.fromEntries(
  Object.entries({
    append: as("list_append", 2),
    concat: as("list_concat", 2),
    contains: as("list_contains", 2),
    distinct: as("list_distinct", 1),
    element: as("list_extract", 2),
    extract: as("list_extract", 2),
    has: as("list_contains", 2),
    has_all: as("list_has_all", 2),
    has_any: as("list_has_any", 2),
    indexof: as("list_position", 2),
    intersect: as("list_intersect", 2),
    join: as("array_to_string", 2),
    length: as("len", 1),
    pop_back: of(1, 1, ([x]) => `(${x})[:-2]`),
    pop_front: of(1, 1, ([x]) => `(${x})[2:]`),
    position: as("list_position", 2),
    prepend: of(2, 2, ([x, list]) => `list_prepend(${x}, ${list})`),
    push_back: as("list_append", 2),
    push_front: of(2, 2, ([x, list]) => `list_prepend(${x}, ${list})`),
    reverse: as("list_reverse", 1),
    slice: as("list_slice", 3),
    to_string: as("array_to_string", 2),
  }).flatMap(([name, definition]) => [
    [`array_${name}`, definition],
    [`list_${name}`, definition],
  ]),
);

const other: Readonly<Record<string, ScalarFunction>> = {
  cardinality: as("len", 1),
  flatten: as("flatten", 1),
  make_array: as("list_value", 0, MANY),
  make_list: as("list_value", 0, MANY),
  md5: as("md5", 1),
  sha256: of(1, 1, ([x]) => `unhex(sha256(${x}))`),
  struct: of(1, MANY, (args) => `struct_pack(${args.map((x, i) => `c${i} := ${x}`).join(", ")})`),
};

export const functions: ReadonlyMap<string, ScalarFunction> = new Map(
  [math, conditional, string, json, time, array, other].flatMap((group) => Object.entries(group)),
);

/** Helpers that compiled statements call; part of every DuckDB instance of this product. */
export const macros: readonly string[] = [
  "CREATE MACRO __ln(x) AS CASE WHEN x > 0 THEN ln(x) WHEN x = 0 THEN '-Infinity'::DOUBLE WHEN x IS NOT NULL THEN 'NaN'::DOUBLE END",
  // A key is a member's name or an element's number, never a path.
  `CREATE MACRO __json_key(k) AS '."' || replace(replace(k, '\\', '\\\\'), '"', '\\"') || '"'`,
];

const NUMBERS = "('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')";
const INTEGERS = "('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT')";

/** A function over JSON and a path of keys. */
function jsonPath(sql: (json: string, path: string) => string, minKeys = 1): ScalarFunction {
  return of(1 + minKeys, MANY, ([value, ...keys]) =>
    sql(`(${value})::JSON`, keys.length === 0 ? literal("$") : `('$' || ${keys.map(jsonKey).join(" || ")})`),
  );
}

/** Compiled integer constants are `CAST(n AS BIGINT)`; anything else is a member's name. */
function jsonKey(key: string): string {
  const index = /^CAST\((\d+) AS BIGINT\)$/.exec(key)?.[1];
  return index === undefined ? `__json_key(${key})` : literal(`[${index}]`);
}
