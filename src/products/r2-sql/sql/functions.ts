/**
 * The functions of the dialect and what each becomes in DuckDB's SQL (docs: r2-sql/sql-reference, the pages on scalar,
 * aggregate and window functions and complex types). A function that is not in these tables does not exist: DuckDB's own
 * functions, some of which read files, settings or the catalog, cannot be called by name.
 */
import { conditional } from "../../../kernel/duckdb/datafusion/conditional.ts";
import { DIGEST, digestAlgorithms } from "../../../kernel/duckdb/datafusion/digest.ts";
import { lists } from "../../../kernel/duckdb/datafusion/lists.ts";
import { math as floatMath } from "../../../kernel/duckdb/datafusion/math.ts";
import { regexp as patterns } from "../../../kernel/duckdb/datafusion/regexp.ts";
import { type Constant, FunctionError, type FunctionTable, MANY } from "../../../kernel/duckdb/datafusion/rule.ts";
import { strings } from "../../../kernel/duckdb/datafusion/strings.ts";
import { arrowNames } from "../../../kernel/duckdb/datafusion/types.ts";
import { literal } from "../../../kernel/duckdb/engine.ts";
import { invalidQuery, invalidSql, unsupported } from "../errors.ts";
import { approximateAggregates } from "./approximate.ts";
import { arrowTypeSql, constantNumber, readConstant } from "./constants.ts";
import type { SyntaxNode } from "./tree.ts";

export interface Call {
  /** Arguments as SQL. */
  readonly args: readonly string[];
  /** The same as nodes, for arguments that must be constants. */
  readonly nodes: readonly SyntaxNode[];
  /** Aggregates: " FILTER (WHERE …)", or empty. */
  readonly filter: string;
}

export interface FunctionRule {
  readonly min: number;
  readonly max: number;
  /** DuckDB's name for the same function, or the SQL of a call. */
  readonly sql: string | ((call: Call) => string);
}

type Table = Readonly<Record<string, FunctionRule>>;

const rule = (min: number, max: number, sql: FunctionRule["sql"]): FunctionRule => ({ min, max, sql });
/** A template in which $1, $2, … stand for arguments. */
const as = (min: number, max: number, template: string): FunctionRule =>
  rule(min, max, ({ args }) => template.replace(/\$(\d)/g, (_, n: string) => args[Number(n) - 1] ?? "NULL"));
const same = (names: string, min: number, max: number): Table =>
  Object.fromEntries(names.split(" ").map((name) => [name, rule(min, max, name)]));
/** DataFusion's functions as the kernel has them for every dialect. */
const shared = (table: FunctionTable, names: string): Table =>
  Object.fromEntries(
    names.split(" ").map((name) => {
      const found = table[name];
      if (found === undefined || found.typed) throw new Error(`${name} cannot be shared: types are not known here`);
      const sql = ({ args, nodes }: Call): string => {
        try {
          return found.sql(args.map((arg, i) => ({ sql: arg, constant: constantValue(nodes[i]) })));
        } catch (cause) {
          if (cause instanceof FunctionError) throw invalidQuery(cause.message);
          throw cause;
        }
      };
      return [name, rule(found.min, found.max, sql)];
    }),
  );

/** The same rules under other names. */
const renamed = (table: Table, names: Readonly<Record<string, string>>): Table =>
  Object.fromEntries(Object.entries(names).map(([name, own]) => [name, table[own] as FunctionRule]));

function constantValue(node: SyntaxNode | undefined): Constant | undefined {
  if (node?.type !== "VALUE_CONSTANT") return undefined;
  const constant = readConstant(node);
  if (constant.kind === "null") return null;
  if (constant.kind !== "decimal") return constant.value;
  return constant.scale === 0 ? constant.unscaled : Number(constant.unscaled) / 10 ** constant.scale;
}

/** Text of a constant string argument. */
function constantText({ nodes }: Call, index: number, name: string): string {
  const node = nodes[index];
  const constant = node?.type === "VALUE_CONSTANT" ? readConstant(node) : undefined;
  if (constant?.kind !== "string") throw invalidQuery(`argument ${index + 1} of ${name} must be a string literal`);
  return constant.value;
}

// Lambda parameters have names that no column is likely to have: an argument's own names must keep their meaning.
const ELEMENT = "__freehold_element";
const INDEX = "__freehold_index";
const filtered = (list: string, condition: string): string => `list_filter(${list}, lambda ${ELEMENT}, ${INDEX}: ${condition})`;
const mapped = (list: string, value: string): string => `list_transform(${list}, lambda ${ELEMENT}, ${INDEX}: ${value})`;

/** Lengths come from the query: without a bound one call could ask for terabytes. */
const SIZE_MAX = 1_000_000;
const bounded = (size: string, name: string): string =>
  `CASE WHEN ${size} > ${SIZE_MAX} THEN error(${literal(`${name} makes more than ${SIZE_MAX} elements`)}) ELSE ${size} END`;

// --- scalar ------------------------------------------------------------------------------------------------

const core: Table = {
  arrow_cast: rule(2, 2, (call) => `CAST(${call.args[0]} AS ${arrowTypeSql(constantText(call, 1, "arrow_cast"))})`),
  arrow_typeof: rule(1, 1, ({ args }) => {
    const cases = [...arrowNames].map(([sql, arrow]) => `WHEN ${literal(sql)} THEN ${literal(arrow)}`).join(" ");
    return `CASE typeof(${args[0]}) ${cases} ELSE typeof(${args[0]}) END`;
  }),
  get_field: rule(2, 2, "struct_extract"),
  named_struct: rule(2, MANY, (call) => {
    if (call.args.length % 2 === 1) throw invalidQuery("named_struct needs pairs of a name and a value");
    return structOf(call.args.filter((_, i) => i % 2 === 1).map((value, i) => [constantText(call, i * 2, "named_struct"), value]));
  }),
  struct: rule(1, MANY, ({ args }) => structOf(args.map((value, i) => [`c${i}`, value]))),
  // What the parser makes of (a, b).
  row: rule(1, MANY, ({ args }) => structOf(args.map((value, i) => [`c${i}`, value]))),
  ifnull: rule(2, 2, "coalesce"),
  ...same("greatest least", 1, MANY),
  ...shared(conditional, "nullif nvl nvl2"),
  ...shared(strings, "overlay"),
};
const structOf = (fields: readonly (readonly [string, string])[]): string =>
  `{${fields.map(([name, value]) => `${literal(name)}: ${value}`).join(", ")}}`;

const digestSql = (text: string, algorithm: string): string => `${DIGEST}(CAST(${text} AS BLOB), ${literal(algorithm)})`;
const sha = (algorithm: string): FunctionRule => rule(1, 1, ({ args }) => digestSql(args[0] as string, algorithm));
const crypto: Table = {
  md5: rule(1, 1, "md5"),
  sha224: sha("sha224"),
  sha256: sha("sha256"),
  sha384: sha("sha384"),
  sha512: sha("sha512"),
  digest: rule(2, 2, (call) => {
    const algorithm = constantText(call, 1, "digest").toLowerCase();
    if (!digestAlgorithms.includes(algorithm)) throw unsupported(`digest algorithm ${algorithm}`);
    return digestSql(call.args[0] as string, algorithm);
  }),
};

// The real engine's clock shows steps of 10 ms, in UTC.
const NOW = "time_bucket(INTERVAL 10 MILLISECOND, CAST(now() AS TIMESTAMP))";
const instant = (unit: number): FunctionRule => as(1, 1, `make_timestamp(CAST($1 AS BIGINT) * ${unit})`);
const moment = (type: "TIMESTAMP" | "DATE" | "TIME"): FunctionRule =>
  rule(1, 2, ({ args: [value, format] }) =>
    format === undefined ? `CAST(${value} AS ${type})` : `CAST(strptime(${value}, ${format}) AS ${type})`,
  );
const datetime: Table = {
  now: as(0, 0, NOW),
  current_timestamp: as(0, 0, NOW),
  current_date: as(0, 0, "CAST(now() AS DATE)"),
  today: as(0, 0, "CAST(now() AS DATE)"),
  current_time: as(0, 0, `CAST(${NOW} AS TIME)`),
  date_bin: rule(2, 3, ({ args: [step, at, origin] }) =>
    origin === undefined
      ? `time_bucket(${step}, ${at}, TIMESTAMP '1970-01-01')`
      : `time_bucket(${step}, CAST(${at} AS TIMESTAMP), CAST(${origin} AS TIMESTAMP))`,
  ),
  date_part: rule(2, 2, "date_part"),
  datepart: rule(2, 2, "date_part"),
  date_trunc: rule(2, 2, "date_trunc"),
  datetrunc: rule(2, 2, "date_trunc"),
  from_unixtime: instant(1_000_000),
  make_date: rule(3, 3, "make_date"),
  make_time: rule(3, 3, "make_time"),
  to_char: rule(2, 2, "strftime"),
  date_format: rule(2, 2, "strftime"),
  to_date: moment("DATE"),
  to_time: moment("TIME"),
  to_local_time: as(1, 1, "CAST($1 AS TIMESTAMP)"),
  // Of a number it takes seconds, of a text its RFC 3339 form. Both branches are planned, so neither may fail to bind.
  to_timestamp: rule(1, 2, ({ args: [value, format] }) =>
    format === undefined
      ? `CASE WHEN typeof(${value}) IN ('VARCHAR', 'DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') THEN CAST(CAST(${value} AS VARCHAR) AS TIMESTAMP) ELSE make_timestamp(CAST(CAST(CAST(${value} AS VARCHAR) AS DOUBLE) * 1000000 AS BIGINT)) END`
      : `CAST(strptime(${value}, ${format}) AS TIMESTAMP)`,
  ),
  to_timestamp_seconds: instant(1_000_000),
  to_timestamp_millis: instant(1000),
  to_timestamp_micros: instant(1),
  to_timestamp_nanos: as(1, 1, "make_timestamp_ns(CAST($1 AS BIGINT))"),
  to_unixtime: as(1, 1, "CAST(floor(epoch(CAST($1 AS TIMESTAMP))) AS BIGINT)"),
  // What the parser makes of INTERVAL 3 DAY.
  ...same("to_years to_quarters to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds", 1, 1),
};

const encoding: Table = {
  encode: rule(2, 2, (call) => {
    const bytes = `CAST(${call.args[0]} AS BLOB)`;
    switch (constantText(call, 1, "encode").toLowerCase()) {
      // The real engine's base64 has no padding.
      case "base64":
        return `rtrim(to_base64(${bytes}), '=')`;
      case "hex":
        return `lower(hex(${bytes}))`;
      default:
        throw unsupported("an encoding other than base64 and hex");
    }
  }),
  decode: rule(2, 2, (call) => {
    const [text] = call.args;
    switch (constantText(call, 1, "decode").toLowerCase()) {
      case "base64":
        return `from_base64(rpad(rtrim(${text}, '='), CAST(ceil(length(rtrim(${text}, '=')) / 4.0) * 4 AS INTEGER), '='))`;
      case "hex":
        return `unhex(${text})`;
      default:
        throw unsupported("an encoding other than base64 and hex");
    }
  }),
};

/** A path of keys and indexes as a JSON pointer; the whole document without any. */
function jsonPointer(call: Call, name: string): string {
  return call.nodes
    .slice(1)
    .map((node, i) => {
      const index = constantNumber(node);
      const key = index === undefined ? constantText(call, i + 1, name) : String(index);
      return `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    })
    .join("");
}
/** `make` gets the document (text that is JSON) and the pointer as SQL. What is not JSON gives null. */
const json = (name: string, make: (document: string, path: string) => string): Table => ({
  [name]: rule(1, MANY, (call) => {
    const document = `CAST(${call.args[0]} AS VARCHAR)`;
    return `CASE WHEN json_valid(${document}) THEN ${make(document, literal(jsonPointer(call, name)))} END`;
  }),
});
const typed = (name: string, types: string, target: string): Table =>
  json(name, (d, p) => `CASE WHEN json_type(${d}, ${p}) IN (${types}) THEN TRY_CAST(json_extract_string(${d}, ${p}) AS ${target}) END`);
const jsonFunctions: Table = {
  ...json("json_as_text", (d, p) => `json_extract_string(${d}, ${p})`),
  ...json("json_contains", (d, p) => `json_exists(${d}, ${p})`),
  ...json("json_get", (d, p) => `json_extract_string(${d}, ${p})`),
  ...json("json_get_json", (d, p) => `CAST(json_extract(${d}, ${p}) AS VARCHAR)`),
  ...json(
    "json_get_array",
    (d, p) => `CASE WHEN json_type(${d}, ${p}) = 'ARRAY' THEN CAST(CAST(json_extract(${d}, ${p}) AS JSON[]) AS VARCHAR[]) END`,
  ),
  ...json(
    "json_length",
    (d, p) =>
      `CASE json_type(${d}, ${p}) WHEN 'ARRAY' THEN json_array_length(${d}, ${p}) WHEN 'OBJECT' THEN len(json_keys(${d}, ${p})) END`,
  ),
  ...typed("json_get_str", "'VARCHAR'", "VARCHAR"),
  ...typed("json_get_int", "'BIGINT', 'UBIGINT'", "BIGINT"),
  ...typed("json_get_float", "'BIGINT', 'UBIGINT', 'DOUBLE'", "DOUBLE"),
  ...typed("json_get_bool", "'BOOLEAN'", "BOOLEAN"),
};

const math: Table = {
  // Decimals stay decimals.
  ...same("abs ceil floor", 1, 1),
  ...same("power", 2, 2),
  ...same("round trunc", 1, 2),
  ...shared(floatMath, "cbrt degrees exp factorial isnan iszero ln log2 log10 radians sqrt sin cos tan asin acos atan"),
  ...shared(floatMath, "sinh cosh tanh asinh acosh atanh atan2 gcd lcm log pi random nanvl"),
  cot: rule(1, 1, "cot"),
  pow: rule(2, 2, "power"),
  ceiling: rule(1, 1, "ceil"),
  signum: rule(1, 1, "sign"),
};

const regexp: Table = {
  regexp_count: as(2, 2, "len(regexp_extract_all($1, $2))"),
  // The shortest text in front of the first match tells where the match begins.
  regexp_instr: as(
    2,
    2,
    "CASE WHEN regexp_matches($1, $2) THEN length(regexp_extract($1, '(?s)^(.*?)(?:' || $2 || ')', 1)) + 1 ELSE 0 END",
  ),
  ...shared(patterns, "regexp_like regexp_match regexp_replace"),
  // What the parser makes of SIMILAR TO.
  regexp_full_match: rule(2, 2, "regexp_full_match"),
};

const text: Table = {
  ...shared(strings, "ascii bit_length btrim chr concat concat_ws contains ends_with find_in_set initcap left length levenshtein lower"),
  ...shared(
    strings,
    "ltrim octet_length replace reverse right rtrim split_part starts_with strpos substr substr_index to_hex translate upper",
  ),
  ...renamed(shared(strings, "btrim length strpos substr substr_index"), {
    trim: "btrim",
    char_length: "length",
    character_length: "length",
    instr: "strpos",
    position: "strpos",
    substring: "substr",
    substring_index: "substr_index",
  }),
  repeat: rule(2, 2, ({ args: [value, times] }) => `repeat(${value}, ${bounded(times as string, "repeat")})`),
  uuid: rule(0, 0, "uuid"),
  lpad: rule(
    2,
    3,
    ({ args: [value, size, fill] }) => `lpad(${value}, CAST(${bounded(size as string, "lpad")} AS INTEGER), ${fill ?? "' '"})`,
  ),
  rpad: rule(
    2,
    3,
    ({ args: [value, size, fill] }) => `rpad(${value}, CAST(${bounded(size as string, "rpad")} AS INTEGER), ${fill ?? "' '"})`,
  ),
  // What the parser makes of LIKE … ESCAPE.
  ...same("like_escape not_like_escape ilike_escape not_ilike_escape", 3, 3),
};

const arrays: Table = {
  make_array: rule(0, MANY, "list_value"),
  list_value: rule(0, MANY, "list_value"),
  range: rule(1, 3, (call) => series(call, "range")),
  generate_series: rule(1, 3, (call) => series(call, "generate_series")),
  array_length: rule(1, 1, "len"),
  cardinality: rule(1, 1, "len"),
  empty: as(1, 1, "(len($1) = 0)"),
  ...shared(lists, "array_append array_concat array_element array_except array_has array_has_all array_has_any array_intersect"),
  ...shared(lists, "array_pop_back array_pop_front array_positions array_prepend array_remove array_remove_all array_remove_n"),
  ...shared(lists, "array_replace array_replace_all array_replace_n array_reverse array_slice array_sort array_union string_to_array"),
  array_position: as(2, 2, "coalesce(list_position($1, $2), 0)"),
  array_distinct: rule(1, 1, ({ args: [list] }) => filtered(list as string, `list_position(${list}, ${ELEMENT}) = ${INDEX}`)),
  flatten: rule(1, 1, "flatten"),
  array_repeat: rule(2, 2, ({ args: [value, n] }) => mapped(`range(${bounded(n as string, "array_repeat")})`, value as string)),
  array_resize: rule(
    2,
    3,
    ({ args: [list, size, fill] }) => `list_resize(${list}, ${bounded(size as string, "array_resize")}, ${fill ?? "NULL"})`,
  ),
  array_max: rule(1, 1, "list_max"),
  array_min: rule(1, 1, "list_min"),
  array_any_value: rule(1, 1, ({ args: [list] }) => `list_extract(${filtered(list as string, `${ELEMENT} IS NOT NULL`)}, 1)`),
  array_to_string: rule(2, 2, "array_to_string"),
  // Lengths along the first elements, as JSON knows them: the depth of a list is in its type alone.
  array_dims: rule(1, 1, ({ args: [list] }) => {
    const levels = ["", "/0", "/0/0", "/0/0/0"].map((path) => {
      const at = `to_json(${list}), ${literal(path)}`;
      return `CASE WHEN json_type(${at}) = 'ARRAY' THEN json_array_length(${at}) END`;
    });
    return filtered(`[${levels.join(", ")}]`, `${ELEMENT} IS NOT NULL`);
  }),
  array_ndims: as(1, 1, "len(regexp_extract_all(typeof($1), '\\[\\]'))"),
};
function series({ args }: Call, name: string): string {
  if (args.length === 1) return `${name}(${bounded(args[0] as string, name)})`;
  const [from, to, step] = args as [string, string, string?];
  // The bound is part of an argument, not a condition around the call: arguments are always evaluated first.
  const size = `abs(${to} - ${from})${step === undefined ? "" : ` / abs(${step})`}`;
  const end = `CASE WHEN ${size} > ${SIZE_MAX} THEN error(${literal(`${name} makes more than ${SIZE_MAX} elements`)}) ELSE ${to} END`;
  return `${name}(${[from, end, ...(step === undefined ? [] : [step])].join(", ")})`;
}

const maps: Table = { map: rule(2, 2, "map"), ...same("map_keys map_values map_entries", 1, 1), ...same("map_extract", 2, 2) };

export const scalarFunctions: ReadonlyMap<string, FunctionRule> = new Map(
  [core, crypto, datetime, encoding, jsonFunctions, math, regexp, text, arrays, maps].flatMap((table) => Object.entries(table)),
);

// --- operators ---------------------------------------------------------------------------------------------

/** Operators by the function name that the parser gives them; [spelling, how many operands]. */
export const operators: ReadonlyMap<string, string> = new Map([
  ["+", "+"],
  ["-", "-"],
  ["*", "*"],
  ["/", "/"],
  ["%", "%"],
  ["||", "||"],
  ["&", "&"],
  ["|", "|"],
  ["<<", "<<"],
  [">>", ">>"],
  ["~~", "LIKE"],
  ["!~~", "NOT LIKE"],
  ["~~*", "ILIKE"],
  ["!~~*", "NOT ILIKE"],
]);

// --- aggregates --------------------------------------------------------------------------------------------

const aggregates: Table = {
  ...same("count", 0, 1),
  ...same("sum avg min max var_samp var_pop stddev_samp stddev_pop stddev bit_and bit_or bit_xor bool_and bool_or", 1, 1),
  ...same("covar_samp covar_pop corr", 2, 2),
  ...same("regr_slope regr_intercept regr_count regr_r2 regr_avgx regr_avgy regr_sxx regr_syy regr_sxy", 2, 2),
  mean: rule(1, 1, "avg"),
  var: rule(1, 1, "var_samp"),
  covar: rule(2, 2, "covar_samp"),
  first_value: rule(1, 1, "first"),
  last_value: rule(1, 1, "last"),
  ...approximateAggregates,
};
export const aggregateFunctions: ReadonlyMap<string, FunctionRule> = new Map(Object.entries(aggregates));

/** Functions that exist only with OVER; aggregates may have it too. */
export const windowFunctions: ReadonlySet<string> = new Set(
  "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value".split(" "),
);

/** The rule for a name, or the documented refusal. */
export function functionRule(name: string, count: number): { rule: FunctionRule; aggregate: boolean } {
  const aggregate = aggregateFunctions.get(name);
  const found = aggregate ?? scalarFunctions.get(name);
  if (found === undefined) throw invalidSql(`Function not supported: ${name}`);
  if (count < found.min || count > found.max) {
    const wanted = found.min === found.max ? `${found.min}` : `${found.min} to ${found.max}`;
    throw invalidQuery(`${name} takes ${found.max === MANY ? `at least ${found.min}` : wanted} arguments, not ${count}`);
  }
  return { rule: found, aggregate: aggregate !== undefined };
}
