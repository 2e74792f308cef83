/**
 * Aggregate functions. Most are DuckDB's own. Those that weigh rows need what is summed up before each row of its group:
 * they ask for columns over the rows (`window`), PARTITION BY the query's groups, and then choose among them.
 */
import { QueryError } from "../errors.ts";
import { constant } from "./functions.ts";
import { boolean, cast, condition, double, isNumber, isTime, type Type, textOf, timestamp, type Value } from "./values.ts";

export interface Aggregation {
  readonly parameters: readonly Value[] | undefined;
  readonly args: readonly Value[];
  readonly distinct: boolean;
  /** A column over the rows: `make` gets the PARTITION BY of the query's groups with more keys. */
  window(make: (partition: (...more: readonly string[]) => string) => string): string;
  /** ORDER BY of the rows, for the functions that depend on it. */
  readonly order: string;
}

type Make = (aggregation: Aggregation) => Value;

const arg = ({ args }: Aggregation, i: number): Value => {
  const value = args[i];
  if (value === undefined) throw new QueryError("Input was invalid: an aggregate function lacks an argument");
  return value;
};

const ofType = (sql: string, { type, zone }: Value): Value => ({ sql: `coalesce(${sql}, ${nothing(type)})`, type, zone });

/** What ClickHouse has where there is nothing. */
function nothing(type: Type): string {
  if (type === "String") return "''";
  if (isTime(type)) return cast(timestamp(0), type);
  if (type === "Bool") return "false";
  return cast("0", type);
}

function sum(value: Value, distinct: boolean, filter: string): Value {
  const type = value.type === "Float64" ? "Float64" : value.type === "Int64" ? "Int64" : "UInt64";
  if (!isNumber(value.type) && value.type !== "Bool") throw new QueryError(`Input was invalid: sum of a ${value.type}`);
  const of = value.type === "Bool" ? cast(value.sql, "UInt8") : value.sql;
  return { sql: `coalesce(${cast(`sum(${distinct ? "DISTINCT " : ""}${of})${filter}`, type)}, ${cast("0", type)})`, type };
}

const average = (value: Value, distinct: boolean, filter: string): Value => ({
  sql: `coalesce(avg(${distinct ? "DISTINCT " : ""}${double(value)})${filter}, CAST('nan' AS DOUBLE))`,
  type: "Float64",
});

const only = (when: Value): string => ` FILTER (WHERE ${condition(when)})`;

function count(aggregation: Aggregation): Value {
  const { args, distinct } = aggregation;
  if (args.length > 1) throw new QueryError("Input was invalid: count() takes one argument");
  if (distinct) return { sql: cast(`count(DISTINCT ${arg(aggregation, 0).sql})`, "UInt64"), type: "UInt64" };
  return { sql: cast("count(*)", "UInt64"), type: "UInt64" };
}

/** The first value, in rising order, up to which the weights make that share of all. */
function quantile(aggregation: Aggregation, level: Value, of: Value, weight: Value): Value {
  const { number } = level;
  if (number === undefined || !(number >= 0 && number <= 1)) throw new QueryError("Input was invalid: a quantile is a number from 0 to 1");
  const value = double(of);
  const until = aggregation.window(
    (partition) => `sum(${double(weight)}) OVER (${partition()} ORDER BY ${value} ROWS UNBOUNDED PRECEDING)`,
  );
  const all = aggregation.window((partition) => `sum(${double(weight)}) OVER (${partition()})`);
  const sql = `min(${value}) FILTER (WHERE ${until} >= ceil(${all} * ${number}))`;
  return { sql: `coalesce(${sql}, CAST('nan' AS DOUBLE))`, type: "Float64" };
}

function top(aggregation: Aggregation, weight: string): Value {
  const of = arg(aggregation, 0);
  const [parameter] = aggregation.parameters ?? [];
  const most = parameter === undefined ? 10 : constant(parameter, 1, 65_536);
  const seen = aggregation.window((partition) => `sum(${weight}) OVER (${partition(of.sql)})`);
  const first = aggregation.window((partition) => `row_number() OVER (${partition(of.sql)})`);
  return {
    sql: `coalesce(list(${of.sql} ORDER BY ${seen} DESC, ${of.sql}) FILTER (WHERE ${first} = 1), [])[1:${most}]`,
    type: `Array(${of.type})`,
  };
}

const functions: Readonly<Record<string, Make>> = {
  count,
  sum: (aggregation) => sum(arg(aggregation, 0), aggregation.distinct, ""),
  avg: (aggregation) => average(arg(aggregation, 0), aggregation.distinct, ""),
  countif: (aggregation) => ({ sql: cast(`count(*)${only(arg(aggregation, 0))}`, "UInt64"), type: "UInt64" }),
  sumif: (aggregation) => sum(arg(aggregation, 0), false, only(arg(aggregation, 1))),
  avgif: (aggregation) => average(arg(aggregation, 0), false, only(arg(aggregation, 1))),
  min: (aggregation) => ofType(`min(${arg(aggregation, 0).sql})`, arg(aggregation, 0)),
  max: (aggregation) => ofType(`max(${arg(aggregation, 0).sql})`, arg(aggregation, 0)),
  argmin: (aggregation) => ofType(`arg_min(${arg(aggregation, 0).sql}, ${arg(aggregation, 1).sql})`, arg(aggregation, 0)),
  argmax: (aggregation) => ofType(`arg_max(${arg(aggregation, 0).sql}, ${arg(aggregation, 1).sql})`, arg(aggregation, 0)),
  first_value: (aggregation) => ofType(`first(${arg(aggregation, 0).sql}${aggregation.order})`, arg(aggregation, 0)),
  last_value: (aggregation) => ofType(`last(${arg(aggregation, 0).sql}${aggregation.order})`, arg(aggregation, 0)),
  quantileexactweighted: (aggregation) => {
    const [level] = aggregation.parameters ?? [];
    if (level === undefined) throw new QueryError("Input was invalid: quantileExactWeighted(level)(column, weight) needs its level");
    return quantile(aggregation, level, arg(aggregation, 0), arg(aggregation, 1));
  },
  // The older form has the level first.
  quantileweighted: (aggregation) => {
    const [level] = aggregation.parameters ?? [];
    if (level !== undefined) return quantile(aggregation, level, arg(aggregation, 0), arg(aggregation, 1));
    return quantile(aggregation, arg(aggregation, 0), arg(aggregation, 1), arg(aggregation, 2));
  },
  topk: (aggregation) => top(aggregation, "1"),
  topkweighted: (aggregation) => top(aggregation, double(arg(aggregation, 1))),
};

export const isAggregate = (name: string): boolean => Object.hasOwn(functions, name.toLowerCase());

export const aggregate = (name: string, aggregation: Aggregation): Value => (functions[name.toLowerCase()] as Make)(aggregation);

export const like = (of: Value, pattern: Value, anyCase: boolean): Value =>
  boolean(`(${textOf(of)} ${anyCase ? "ILIKE" : "LIKE"} ${textOf(pattern)} ESCAPE '\\')`);
