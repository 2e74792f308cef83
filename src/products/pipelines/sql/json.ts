/**
 * The JSON functions of Pipelines SQL (docs: pipelines/sql-reference/scalar-functions/json). A value that is missing, of
 * another type, or in a text that is no JSON, is '', 0, 0.0 or false, as documented; of the untyped `json_get` it is NULL.
 */

import {
  type Argument,
  constantRule,
  constantText,
  FunctionError,
  type FunctionRule,
  type FunctionTable,
  MANY,
} from "../../../kernel/duckdb/datafusion/rule.ts";
import { literal } from "../../../kernel/duckdb/engine.ts";
import { checkedPath, JSON_PATH } from "./json-path.ts";

const NUMBERS = "('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')";
const INTEGERS = "('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT')";

/** A function of a JSON text and a path of keys: a text is a member's name, an integer an element's number from 0. */
const keyed = (sql: (json: string, path: string) => string, keysMin = 1): FunctionRule =>
  constantRule(1 + keysMin, MANY, ([json, ...keys]) => sql(documentOf(json as Argument), pathOf(keys)));

/** A text that is no JSON has no values. */
const documentOf = ({ sql }: Argument): string => `TRY_CAST(${sql} AS JSON)`;

function pathOf(keys: readonly Argument[]): string {
  if (keys.every(({ constant }) => constant !== undefined)) return literal(`$${keys.map(constantStep).join("")}`);
  return `('$' || ${keys.map((key) => (key.constant === undefined ? nameStep(key.sql) : literal(constantStep(key)))).join(" || ")})`;
}

function constantStep({ constant }: Argument): string {
  if (typeof constant === "bigint" && constant >= 0n) return `[${constant}]`;
  if (typeof constant === "string") return `."${constant.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  throw new FunctionError("a JSON path consists of strings and integers");
}

function nameOf(name: string): string {
  return constantStep({ sql: "", constant: name });
}

const nameStep = (sql: string): string => `'."' || replace(replace(CAST(${sql} AS VARCHAR), '\\', '\\\\'), '"', '\\"') || '"'`;

const ofType = (types: string, value: (json: string, path: string) => string) => (json: string, path: string) =>
  `CASE WHEN json_type(${json}, ${path}) ${types} THEN ${value(json, path)} END`;
const asString = ofType("= 'VARCHAR'", (j, p) => `json_extract_string(${j}, ${p})`);
const asInt = ofType(`IN ${INTEGERS}`, (j, p) => `TRY_CAST(json_extract_string(${j}, ${p}) AS BIGINT)`);
const asFloat = ofType(`IN ${NUMBERS}`, (j, p) => `TRY_CAST(json_extract_string(${j}, ${p}) AS DOUBLE)`);
const asBool = ofType("= 'BOOLEAN'", (j, p) => `json_extract_string(${j}, ${p}) = 'true'`);
const orElse = (value: (json: string, path: string) => string, otherwise: string) => (json: string, path: string) =>
  `coalesce(${value(json, path)}, ${otherwise})`;

const length = (j: string, p: string): string =>
  `CASE json_type(${j}, ${p}) WHEN 'ARRAY' THEN json_array_length(${j}, ${p}) WHEN 'OBJECT' THEN len(json_keys(${j}, ${p})) END`;

export const json: FunctionTable = {
  json_as_text: keyed(orElse((j, p) => `json_extract_string(${j}, ${p})`, "''")),
  json_contains: keyed(orElse((j, p) => `json_exists(${j}, ${p})`, "false")),
  json_get: keyed((j, p) => `json_extract(${j}, ${p})`),
  json_get_bool: keyed(orElse(asBool, "false")),
  json_get_float: keyed(orElse(asFloat, "CAST(0 AS DOUBLE)")),
  json_get_int: keyed(orElse(asInt, "CAST(0 AS BIGINT)")),
  json_get_json: keyed(orElse((j, p) => `CAST(json_extract(${j}, ${p}) AS VARCHAR)`, "''")),
  json_get_str: keyed(orElse(asString, "''")),
  json_length: keyed(
    orElse((j, p) => `CAST(${length(j, p)} AS BIGINT)`, "CAST(0 AS BIGINT)"),
    0,
  ),
  extract_json: constantRule(2, 2, ([value, path]) => {
    const text = constantText(path, "the path of extract_json");
    return matches(value as Argument, text);
  }),
  extract_json_string: constantRule(2, 2, ([value, path]) => {
    const text = constantText(path, "the path of extract_json_string");
    const first = `list_extract(${matches(value as Argument, text)}, 1)`;
    return `CASE WHEN json_type(${first}) = 'VARCHAR' THEN json_extract_string(${first}, '$') END`;
  }),
};

/**
 * What `json_get(…)::type` gives: the value where it has that type, else NULL. Undefined for types that have no such form.
 * These are the names of rules that no user can call.
 */
export const typedGets: ReadonlyMap<string, FunctionRule> = new Map([
  ["VARCHAR", keyed(asString)],
  ["BIGINT", keyed(asInt)],
  ["INTEGER", keyed((j, p) => `TRY_CAST(${asInt(j, p)} AS INTEGER)`)],
  ["DOUBLE", keyed(asFloat)],
  ["FLOAT", keyed((j, p) => `TRY_CAST(${asFloat(j, p)} AS FLOAT)`)],
  ["BOOLEAN", keyed(asBool)],
]);

// --- JSONPath ----------------------------------------------------------------------------------------------

/** Every value that matches the path, as a list of JSON texts; NULL for a text that is no JSON. */
function matches(value: Argument, path: string): string {
  const document = documentOf(value);
  const own = duckPaths(path);
  if (own === undefined) return `${JSON_PATH}(CAST(${document} AS VARCHAR), ${literal(checkedPath(path))})`;
  const [found, ...more] = own.map((one) => `json_extract(${document}, ${literal(one)})`) as [string, ...string[]];
  const list = more.length === 0 ? `CASE WHEN ${found} IS NULL THEN [] ELSE [${found}] END` : `list_concat(${found}, ${more[0]})`;
  return `CASE WHEN ${document} IS NOT NULL THEN CAST(${list} AS VARCHAR[]) END`;
}

const WILDCARD = "*";
/** Steps of a path, and DuckDB's spelling of them. */
const steps: readonly (readonly [RegExp, (match: string) => string])[] = [
  [/^\.([\p{L}_][\p{L}\p{N}_]*)/u, nameOf],
  [/^\[\s*'([^'\\]*)'\s*\]/, nameOf],
  [/^\[\s*"([^"\\]*)"\s*\]/, nameOf],
  [/^\[\s*(0|[1-9]\d{0,8})\s*\]/, (index) => `[${index}]`],
  [/^\[\s*-([1-9]\d{0,8})\s*\]/, (index) => `[#-${index}]`],
  [/^(\.\*|\[\s*\*\s*\])/, () => WILDCARD],
];

/**
 * The path in DuckDB's spelling; undefined for one that it has no words for (filters, slices, several names, descents).
 * DuckDB's `.*` is for objects alone and its `[*]` for arrays, JSONPath's are for both: a path with one makes two.
 */
function duckPaths(path: string): readonly string[] | undefined {
  if (!path.startsWith("$")) throw new FunctionError(`Invalid json path '${path}': it must begin with $`);
  const out: string[] = [];
  for (let rest = path.slice(1); rest !== ""; ) {
    const found = steps.flatMap(([pattern, spell]) => {
      const match = pattern.exec(rest);
      return match === null ? [] : [{ length: match[0].length, spelt: spell(match[1] as string) }];
    })[0];
    if (found === undefined) return undefined;
    out.push(found.spelt);
    rest = rest.slice(found.length);
  }
  const wildcards = out.filter((step) => step === WILDCARD).length;
  if (wildcards > 1) return undefined;
  const spelt = (wildcard: string): string => `$${out.map((step) => (step === WILDCARD ? wildcard : step)).join("")}`;
  return wildcards === 0 ? [spelt("")] : [spelt(".*"), spelt("[*]")];
}
