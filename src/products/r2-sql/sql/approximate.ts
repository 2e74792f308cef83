/**
 * The approximate aggregates as DuckDB's SQL (docs: r2-sql/sql-reference, "Approximate aggregation functions"). DuckDB's
 * own estimates are a t-digest, which is used, a distinct count that is off by a quarter at 1,000 values and a list of
 * frequent values without their counts. The latter two are made of aggregates that DuckDB runs on whole vectors, in
 * memory that does not grow with the values.
 */
import { invalidQuery } from "../errors.ts";
import { constantNumber } from "./constants.ts";
import type { Call, FunctionRule } from "./functions.ts";

export const approximateAggregates: Readonly<Record<string, FunctionRule>> = {
  approx_percentile_cont: { min: 2, max: 2, sql: (call) => quantile(call, percentile(call, 1, "approx_percentile_cont")) },
  approx_median: { min: 1, max: 1, sql: (call) => quantile(call, "0.5") },
  approx_percentile_cont_with_weight: { min: 3, max: 3, sql: weightedPercentile },
  approx_distinct: { min: 1, max: 1, sql: distinct },
  approx_top_k: { min: 2, max: 2, sql: topK },
};

const quantile = ({ args, filter }: Call, p: string): string => `approx_quantile(${args[0]}, ${p})${filter}`;

function percentile(call: Call, index: number, name: string): string {
  const value = constantNumber(call.nodes[index]);
  if (value === undefined) throw invalidQuery(`the percentile of ${name} must be a literal`);
  if (value < 0 || value > 1) throw invalidQuery(`Percentile value must be between 0.0 and 1.0 inclusive, ${value} is invalid`);
  return String(value);
}

/** Exact: nothing that DuckDB has adds up weights in bounded memory. Too many rows end in an error, not in a guess. */
function weightedPercentile(call: Call): string {
  const p = percentile(call, 2, "approx_percentile_cont_with_weight");
  const [value, weight] = call.args.slice(0, 2).map((arg) => `CAST(${arg} AS DOUBLE)`);
  // The condition of the caller and the one of the weights, in one FILTER.
  const own = `${value} IS NOT NULL AND ${weight} > 0`;
  const filter =
    call.filter === "" ? ` FILTER (WHERE ${own})` : call.filter.replace(/^ FILTER \(WHERE ([\s\S]*)\)$/, ` FILTER (WHERE ($1) AND ${own})`);
  return `__freehold_weighted_percentile(list(${value} ORDER BY ${value})${filter}, list(${weight} ORDER BY ${value})${filter}, ${p})`;
}

/**
 * Each value's hash is one of 2^14 places and the number of zeros behind it a rank; how many different pairs of both
 * there are tells how many values (Lang's coupon collection, the estimate of CPC sketches: 0.54 % standard error). A
 * million values have about 100,000 pairs, a billion 280,000. Few values are counted as they are.
 */
function distinct({ args: [value], filter }: Call): string {
  const rest = "CAST((hash($) >> 14) | 1125899906842624::UBIGINT AS BIGINT)";
  const pair = `CAST(hash($) & 16383 AS INTEGER) * 64 + bit_count(xor(${rest}, ${rest} - 1))`.replaceAll("$", () => value as string);
  const pairs = `count(DISTINCT CASE WHEN ${value} IS NOT NULL THEN ${pair} END)${filter}`;
  return `CASE WHEN ${pairs} < ${FEW_PAIRS} THEN ${pairs} ELSE __freehold_distinct(${pairs}) END`;
}

/** Up to here pairs collide so seldom that their number is the estimate. */
const FEW_PAIRS = 100;

/** Values that are watched at least, so that the few that are asked for are really the most frequent. */
const WATCHED_MIN = 100;
const K_MAX = 10_000;

/**
 * DuckDB's filtered space-saving finds the values, two tables of 2^16 counters by their hash how often they occur: the
 * smaller counter is the count, or more by what else fell into both, about a 65,536th of the rest.
 */
function topK({ args: [value], nodes, filter }: Call): string {
  const k = constantNumber(nodes[1]);
  if (k === undefined || !Number.isInteger(k) || k < 1) throw invalidQuery("k of approx_top_k must be a positive integer literal");
  if (k > K_MAX) throw invalidQuery(`k of approx_top_k must be at most ${K_MAX}`);
  const place = (of: string, shift: number): string => `CAST((hash(${of}) >> ${shift}) & 65535 AS USMALLINT)`;
  const counters = (shift: number): string =>
    `histogram(CASE WHEN ${value} IS NOT NULL THEN ${place(value as string, shift)} END)${filter}`;
  const sketch = `{'values': approx_top_k(${value}, ${Math.max(k, WATCHED_MIN)})${filter}, 'a': ${counters(0)}, 'b': ${counters(32)}}`;
  const [s, v, e] = ["__freehold_sketch", "__freehold_value", "__freehold_entry"];
  const count = `least(map_extract_value(${s}.a, ${place(v, 0)}), map_extract_value(${s}.b, ${place(v, 32)}))`;
  const counted = `list_transform(${s}.values, lambda ${v}: {'count': ${count}, 'value': ${v}})`;
  const top = `list_slice(list_reverse_sort(${counted}), 1, ${k})`;
  const named = `list_transform(${top}, lambda ${e}: {'value': ${e}.value, 'count': ${e}.count})`;
  return `list_extract(list_transform([${sketch}], lambda ${s}: ${named}), 1)`;
}
