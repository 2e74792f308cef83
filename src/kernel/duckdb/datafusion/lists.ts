/**
 * DataFusion's functions on lists. Positions count from 1, results that are sets are sorted with NULL first, as DataFusion
 * gives them. None is quadratic in the length of a list.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { literal } from "../engine.ts";
import {
  type Argument,
  asBigint,
  bounded,
  constantRule,
  constantText,
  ELEMENTS_MAX,
  FunctionError,
  type FunctionRule,
  type FunctionTable,
  GROWN_BYTES_MAX,
  MANY,
  rule,
  same,
  type TypedArgument,
  typedRule,
  withValue,
} from "./rule.ts";
import { innermost, isFloat, isList, listDepth } from "./types.ts";

// Lambda parameters with names that no column is likely to have: names inside arguments must keep their meaning.
const [ELEMENT, INDEX, LIST, NTH, VALUE] = ["__element", "__index", "__list", "__nth", "__value"];
const filtered = (list: string, condition: string): string => `list_filter(${list}, lambda ${ELEMENT}, ${INDEX}: ${condition})`;
const mapped = (list: string, value: string): string => `list_transform(${list}, lambda ${ELEMENT}, ${INDEX}: ${value})`;
const elements = (size: string): string => bounded(size, size, ELEMENTS_MAX);

// --- sets --------------------------------------------------------------------------------------------------

const hasNull = (list: string): string => `(list_count(${list}) < len(${list}))`;
const sorted = (list: string): string => `list_sort(${list}, 'ASC', 'NULLS FIRST')`;
/** `list_distinct` drops NULL. */
const distinct = (list: string): string =>
  withValue(
    list,
    LIST as string,
    sorted(`CASE WHEN ${hasNull(LIST as string)} THEN list_append(list_distinct(${LIST}), NULL) ELSE list_distinct(${LIST}) END`),
  );
const intersect = (a: string, b: string): string =>
  sorted(
    `CASE WHEN ${hasNull(a)} AND ${hasNull(b)} THEN list_append(list_distinct(list_intersect(${a}, ${b})), NULL) ELSE list_distinct(list_intersect(${a}, ${b})) END`,
  );

/** Values of `a` alone: those that are counted once when `a` counts once and `b` twice. */
function except(a: string, b: string): string {
  const counts = `map_entries(list_aggregate(list_concat(list_distinct(${a}), list_distinct(${b}), list_distinct(${b})), 'histogram'))`;
  const own = `list_transform(list_filter(${counts}, lambda __entry: __entry.value = 1), lambda __entry: __entry.key)`;
  // Of no values at all there is no histogram.
  const values = `coalesce(${own}, list_distinct(${a}))`;
  return `CASE WHEN ${hasNull(a)} AND NOT ${hasNull(b)} THEN list_prepend(NULL, ${values}) ELSE ${values} END`;
}

// --- the first n of a value --------------------------------------------------------------------------------

/** Up to which position the first `n` elements that equal the value reach; `body` says what becomes of the list. */
function firstN(list: string, value: string, n: string, body: (isOne: string) => string): string {
  const positions = (of: string): string =>
    filtered(mapped(of, `CASE WHEN ${ELEMENT} IS NOT DISTINCT FROM ${VALUE} THEN ${INDEX} END`), `${ELEMENT} IS NOT NULL`);
  const last = `coalesce(list_extract(${positions(LIST as string)}, ${n}), CASE WHEN ${n} > 0 THEN len(${LIST}) ELSE 0 END)`;
  const inner = withValue(last, NTH as string, body(`(${ELEMENT} IS NOT DISTINCT FROM ${VALUE} AND ${INDEX} <= ${NTH})`));
  return withValue(list, LIST as string, withValue(value, VALUE as string, inner));
}
const removeN = (list: string, value: string, n: string): string =>
  firstN(list, value, n, (isOne) => filtered(LIST as string, `NOT ${isOne}`));
const replaceN = (list: string, value: string, by: string, n: string): string =>
  firstN(list, value, n, (isOne) => mapped(LIST as string, `CASE WHEN ${isOne} THEN ${by} ELSE ${ELEMENT} END`));

// --- nesting -----------------------------------------------------------------------------------------------

const flat = (list: string, levels: number): string => (levels <= 1 ? list : flat(`flatten(${list})`, levels - 1));

/** Lengths along the first elements. */
function dimensions(list: string, type: DuckDBType): string[] {
  return isList(type) ? [`len(${list})`, ...dimensions(`list_extract(${list}, 1)`, type.valueType)] : [];
}

/** As Rust prints a value: floats without a fraction are whole numbers. */
const textOf = (sql: string, type: DuckDBType): string =>
  isFloat(type) ? `regexp_replace(CAST(${sql} AS VARCHAR), '\\.0$', '')` : `CAST(${sql} AS VARCHAR)`;

/** The texts of a list with the delimiter between them, NULL left out. */
export function join(texts: string, delimiter: Argument): string {
  const some = withValue(texts, LIST as string, bounded(LIST as string, `len(${LIST}) * strlen(${delimiter.sql})`, GROWN_BYTES_MAX));
  if (typeof delimiter.constant === "string") return `array_to_string(${some}, ${delimiter.sql})`;
  // DuckDB wants a literal there: each text but the first takes its delimiter along.
  const led = mapped(
    filtered(some, `${ELEMENT} IS NOT NULL`),
    `CASE WHEN ${INDEX} = 1 THEN ${ELEMENT} ELSE ${delimiter.sql} || ${ELEMENT} END`,
  );
  return `CASE WHEN ${delimiter.sql} IS NOT NULL THEN array_to_string(${led}, '') END`;
}

const toText = typedRule(2, 3, ([list, delimiter, missing]) => {
  const { sql, type } = list as TypedArgument;
  const depth = listDepth(type);
  if (depth === 0) throw new FunctionError(`array_to_string expects an array, got ${type}`);
  const texts = mapped(flat(sql, depth), textOf(ELEMENT as string, innermost(type)));
  const shown = missing === undefined ? texts : mapped(texts, `coalesce(${ELEMENT}, ${missing.sql})`);
  return join(shown, delimiter as Argument);
});

// --- ranges ------------------------------------------------------------------------------------------------

const isDate = ({ type }: TypedArgument): boolean =>
  [DuckDBTypeId.DATE, DuckDBTypeId.TIMESTAMP, DuckDBTypeId.TIMESTAMP_NS, DuckDBTypeId.TIMESTAMP_S, DuckDBTypeId.TIMESTAMP_MS].includes(
    type.typeId,
  );

const series = (name: "range" | "generate_series"): FunctionRule =>
  typedRule(1, 3, (args) => {
    const [first, last, step] = args as [TypedArgument, TypedArgument?, TypedArgument?];
    if (isDate(first)) {
      if (last === undefined || step === undefined || [last, step].some((arg) => arg.constant === null))
        throw new FunctionError(`${name} of dates needs a start, an end and an interval`);
      const days = `abs(epoch(CAST(${last.sql} AS TIMESTAMP)) - epoch(CAST(${first.sql} AS TIMESTAMP))) / nullif(abs(epoch(${step.sql})), 0)`;
      const made = `${name}(CAST(${first.sql} AS TIMESTAMP), CAST(${bounded(last.sql, days, ELEMENTS_MAX)} AS TIMESTAMP), ${step.sql})`;
      return first.type.typeId === DuckDBTypeId.DATE ? `CAST(${made} AS DATE[])` : made;
    }
    if (last === undefined) return `${name}(${elements(asBigint(first.sql))})`;
    const by = step === undefined ? "1" : `nullif(${asBigint(step.sql)}, 0)`;
    const [from, to] = [asBigint(first.sql), asBigint(last.sql)];
    const size = `abs(CAST(${to} AS HUGEINT) - ${from}) // abs(${by})`;
    return `${name}(${from}, ${bounded(to, size, ELEMENTS_MAX)}, ${by})`;
  });

// ---

const order = (arg: Argument | undefined, what: string, allowed: readonly [string, string]): string => {
  if (arg === undefined) return allowed[0];
  const text = constantText(arg, what).toUpperCase();
  if (!allowed.includes(text)) throw new FunctionError(`${what} must be '${allowed[0]}' or '${allowed[1]}'`);
  return text;
};

const length = typedRule(1, 2, ([list, dimension]) => {
  const { sql, type } = list as TypedArgument;
  if (dimension === undefined) return `len(${sql})`;
  const sizes = dimensions(sql, type).map((size, i) => `WHEN ${i + 1} THEN ${size}`);
  return sizes.length === 0 ? `len(${sql})` : `CASE ${dimension.sql} ${sizes.join(" ")} END`;
});

export const lists: FunctionTable = {
  array_append: same("list_append", 2),
  array_concat: rule(1, MANY, (...args) => args.reduce((left, right) => `list_concat(${left}, ${right})`)),
  array_dims: typedRule(1, 1, ([list]) =>
    filtered(`[${dimensions(list?.sql as string, (list as TypedArgument).type).join(", ")}]`, `${ELEMENT} IS NOT NULL`),
  ),
  array_distinct: rule(1, 1, (list) => distinct(list as string)),
  array_element: same("list_extract", 2),
  array_except: rule(2, 2, (a, b) => except(a as string, b as string)),
  // Deprecated: the value, in as many levels and elements as the list of sizes says.
  array_fill: constantRule(2, 2, ([value, sizes]) => {
    const counts = Array.isArray(sizes?.constant) ? (sizes.constant as readonly unknown[]) : [];
    if (counts.length === 0 || !counts.every((count) => typeof count === "bigint" && count >= 0n))
      throw new FunctionError("the sizes of array_fill must be a literal array of integers");
    if (counts.reduce<bigint>((product, count) => product * (count as bigint), 1n) > ELEMENTS_MAX)
      throw new FunctionError(`array_fill makes more than ${ELEMENTS_MAX} elements`);
    const filled = counts.reduceRight<string>(
      (inner, count) => `list_transform(range(${count}), lambda ${ELEMENT}: ${inner})`,
      VALUE as string,
    );
    return withValue(value?.sql as string, VALUE as string, filled);
  }),
  array_has: same("list_contains", 2),
  array_has_all: same("list_has_all", 2),
  array_has_any: same("list_has_any", 2),
  array_intersect: rule(2, 2, (a, b) => intersect(a as string, b as string)),
  array_length: length,
  array_ndims: typedRule(1, 1, ([list]) => {
    const { sql, type } = list as TypedArgument;
    return `CASE WHEN ${sql} IS NOT NULL THEN CAST(${listDepth(type)} AS BIGINT) END`;
  }),
  array_pop_back: rule(1, 1, (list) => `list_slice(${list}, 1, len(${list}) - 1)`),
  array_pop_front: rule(1, 1, (list) => `list_slice(${list}, 2, len(${list}))`),
  array_position: rule(2, 3, (list, value, from) =>
    from === undefined
      ? asBigint(`list_position(${list}, ${value})`)
      : `CASE WHEN ${from} >= 1 THEN ${asBigint(`list_position(list_slice(${list}, ${from}, len(${list})), ${value}) + ${from} - 1`)} END`,
  ),
  array_positions: rule(2, 2, (list, value) =>
    withValue(
      value as string,
      VALUE as string,
      filtered(mapped(list as string, `CASE WHEN ${ELEMENT} IS NOT DISTINCT FROM ${VALUE} THEN ${INDEX} END`), `${ELEMENT} IS NOT NULL`),
    ),
  ),
  array_prepend: rule(2, 2, (value, list) => `list_prepend(${value}, ${list})`),
  array_remove: rule(2, 2, (list, value) => removeN(list as string, value as string, "1")),
  array_remove_all: rule(2, 2, (list, value) =>
    withValue(value as string, VALUE as string, filtered(list as string, `${ELEMENT} IS DISTINCT FROM ${VALUE}`)),
  ),
  array_remove_n: rule(3, 3, (list, value, n) => removeN(list as string, value as string, n as string)),
  array_repeat: rule(2, 2, (value, n) =>
    withValue(
      value as string,
      VALUE as string,
      `list_transform(range(${bounded(asBigint(n as string), `${n} * greatest(strlen(CAST(${VALUE} AS VARCHAR)), 16)`, 16 * ELEMENTS_MAX)}), lambda ${ELEMENT}: ${VALUE})`,
    ),
  ),
  array_replace: rule(3, 3, (list, value, by) => replaceN(list as string, value as string, by as string, "1")),
  array_replace_all: rule(3, 3, (list, value, by) =>
    mapped(list as string, `CASE WHEN ${ELEMENT} IS NOT DISTINCT FROM ${value} THEN ${by} ELSE ${ELEMENT} END`),
  ),
  array_replace_n: rule(4, 4, (list, value, by, n) => replaceN(list as string, value as string, by as string, n as string)),
  array_resize: rule(2, 3, (list, size, value) => `list_resize(${list}, ${elements(size as string)}, ${value ?? "NULL"})`),
  array_reverse: same("list_reverse", 1),
  array_slice: rule(3, 4, (...args) => `list_slice(${args.join(", ")})`),
  array_sort: constantRule(1, 3, ([list, direction, nulls]) => {
    const [by, where] = [
      order(direction, "the order of array_sort", ["ASC", "DESC"]),
      order(nulls, "the place of nulls in array_sort", ["NULLS FIRST", "NULLS LAST"]),
    ];
    return `list_sort(${list?.sql}, ${literal(by)}, ${literal(where)})`;
  }),
  array_to_string: toText,
  array_union: rule(2, 2, (a, b) => distinct(`list_concat(${a}, ${b})`)),
  cardinality: typedRule(1, 1, ([list]) => `len(${flat(list?.sql as string, listDepth((list as TypedArgument).type))})`),
  // The documentation has 1 and 0, newer DataFusion true and false.
  empty: rule(1, 1, (list) => `CAST(len(${list}) = 0 AS INTEGER)`),
  flatten: typedRule(1, 1, ([list]) => flat(list?.sql as string, listDepth((list as TypedArgument).type))),
  generate_series: series("generate_series"),
  make_array: same("list_value", 0, MANY),
  range: series("range"),
  string_to_array: rule(2, 3, (text, delimiter, missing) => {
    const split = `CASE WHEN ${delimiter} = '' THEN [${text}] ELSE string_split(${text}, coalesce(${delimiter}, '')) END`;
    return missing === undefined ? split : `list_transform(${split}, lambda ${ELEMENT}: nullif(${ELEMENT}, ${missing}))`;
  }),
  // Deprecated.
  trim_array: rule(2, 2, (list, n) => `list_slice(${list}, 1, len(${list}) - ${n})`),
};
