/** What a query may say, as the official SDK types it: the parameters of a query, and the calls that carry them. */
import { z } from "zod";

/** Documented. */
export const LIMIT_MAX = 2_000;
const DEPTH_MAX = 4;
const FILTERS_MAX = 100;

const primitive = z.union([z.string().max(10_000), z.number(), z.boolean()]);
const fieldType = z.enum(["string", "number", "boolean"]);
const key = z.string().min(1).max(1_000);
const combination = z.enum(["and", "or", "AND", "OR"]).transform((word) => word.toLowerCase() as "and" | "or");

/** Other spellings that the API takes, by the one that is used here. */
const operations = {
  includes: "includes",
  not_includes: "not_includes",
  starts_with: "starts_with",
  ends_with: "ends_with",
  regex: "regex",
  exists: "exists",
  is_null: "is_null",
  in: "in",
  not_in: "not_in",
  eq: "eq",
  neq: "neq",
  gt: "gt",
  gte: "gte",
  lt: "lt",
  lte: "lte",
  "=": "eq",
  "!=": "neq",
  ">": "gt",
  ">=": "gte",
  "<": "lt",
  "<=": "lte",
  INCLUDES: "includes",
  DOES_NOT_INCLUDE: "not_includes",
  MATCH_REGEX: "regex",
  EXISTS: "exists",
  DOES_NOT_EXIST: "is_null",
  IN: "in",
  NOT_IN: "not_in",
  STARTS_WITH: "starts_with",
  ENDS_WITH: "ends_with",
} as const;
export type Operation = (typeof operations)[keyof typeof operations];

const leaf = z
  .looseObject({
    kind: z.literal("filter").optional(),
    key,
    operation: z.enum(Object.keys(operations) as [keyof typeof operations]).transform((name): Operation => operations[name]),
    type: fieldType,
    value: primitive.optional(),
  })
  .transform(({ key, operation, type, value }) => ({ kind: "filter" as const, key, operation, type, value }));
export type FilterLeaf = z.output<typeof leaf>;
export interface FilterGroup {
  readonly kind: "group";
  readonly filterCombination: "and" | "or";
  readonly filters: readonly Filter[];
}
export type Filter = FilterLeaf | FilterGroup;

const filterAt = (depth: number): z.ZodType<Filter> =>
  depth >= DEPTH_MAX
    ? leaf
    : z.union([
        z
          .looseObject({
            kind: z.literal("group"),
            filterCombination: combination,
            filters: z.array(z.lazy(() => filterAt(depth + 1))).max(FILTERS_MAX),
          })
          .transform(({ filterCombination, filters }): FilterGroup => ({ kind: "group", filterCombination, filters })),
        leaf,
      ]);
const filters = z.array(filterAt(0)).max(FILTERS_MAX).default([]);

const needle = z.looseObject({ value: primitive, isRegex: z.boolean().default(false), matchCase: z.boolean().default(false) });
export type Needle = z.output<typeof needle>;

export const operators = [
  ...["count", "uniq", "max", "min", "sum", "avg", "median", "p001", "p01", "p05", "p10", "p25", "p75", "p90", "p95", "p99", "p999"],
  ...["stddev", "variance"],
] as readonly string[];
const calculation = z
  .looseObject({ operator: z.string(), key: key.optional(), keyType: fieldType.optional(), alias: z.string().max(200).optional() })
  .transform(({ operator, key, keyType, alias }) => {
    const name = operator.toLowerCase();
    // An empty alias is none: the dashboard's own clients send it so.
    return { given: operator, operator: name === "count_distinct" ? "uniq" : name, key, keyType, alias: alias === "" ? undefined : alias };
  })
  .refine(({ operator, key }) => operators.includes(operator) && (operator === "count" || key !== undefined), {
    message: "unknown operator, or one that needs a key",
  });
export type Calculation = z.output<typeof calculation>;

export const parametersSchema = z.looseObject({
  datasets: z.array(z.string()).max(20).default([]),
  filters,
  filterCombination: combination.default("and"),
  calculations: z.array(calculation).max(20).default([]),
  groupBys: z
    .array(z.looseObject({ type: fieldType, value: key }))
    .max(10)
    .default([]),
  havings: z
    .array(z.looseObject({ key, operation: z.enum(["eq", "neq", "gt", "gte", "lt", "lte"]), value: z.number() }))
    .max(20)
    .default([]),
  orderBy: z.looseObject({ value: z.string(), order: z.enum(["asc", "desc"]).default("desc") }).optional(),
  limit: z.number().int().nonnegative().max(LIMIT_MAX).optional(),
  needle: needle.optional(),
});
export type Parameters = z.output<typeof parametersSchema>;

/** Milliseconds since the epoch. */
const timeframe = z
  .object({ from: z.number(), to: z.number() })
  .refine(({ from, to }) => from < to, { message: "'from' must be earlier than 'to'" });
export type Timeframe = z.output<typeof timeframe>;

export const querySchema = z
  .looseObject({
    queryId: z.string().max(200).default("adhoc"),
    view: z.enum(["traces", "events", "calculations", "invocations", "requests", "agents", "patterns"]).default("calculations"),
    parameters: parametersSchema.optional(),
    timeframe,
    limit: z.number().int().nonnegative().max(LIMIT_MAX).optional(),
    offset: z.string().max(200).optional(),
    offsetBy: z.number().int().nonnegative().max(1_000_000).default(0),
    offsetDirection: z.enum(["next", "prev"]).default("next"),
    granularity: z.number().int().positive().max(1_000).optional(),
    chart: z.boolean().default(false),
    chartType: z.enum(["timeseries_and_aggregate", "timeseries", "aggregate", "distribution"]).default("timeseries_and_aggregate"),
    distributionScale: z.enum(["log", "linear"]).default("log"),
    compare: z.boolean().default(false),
    ignoreSeries: z.boolean().default(false),
    dry: z.boolean().default(false),
  })
  .refine(({ compare, chartType }) => !(compare && chartType === "distribution"), {
    message: "chartType 'distribution' cannot be compared",
  });
export type Query = z.output<typeof querySchema>;

const HOUR_MS = 3_600_000;

export const keysSchema = z.looseObject({
  from: z.number().optional(),
  to: z.number().optional(),
  // The observability MCP server sends it so.
  timeframe: timeframe.optional(),
  datasets: z.array(z.string()).max(20).default([]),
  filters,
  limit: z.number().int().nonnegative().max(10_000).default(1_000),
  needle: needle.optional(),
  keyNeedle: needle.optional(),
});
export type KeysQuery = z.output<typeof keysSchema>;

/** The last hour when nothing is said. */
export const timeframeOf = ({ from, to, timeframe }: KeysQuery, now: number): Timeframe =>
  timeframe ?? { from: from ?? (to ?? now) - HOUR_MS, to: to ?? now };

export const valuesSchema = z.looseObject({
  key,
  type: fieldType,
  timeframe,
  datasets: z.array(z.string()).max(20).default([]),
  filters,
  limit: z.number().int().nonnegative().max(10_000).default(50),
  needle: needle.optional(),
});
export type ValuesQuery = z.output<typeof valuesSchema>;
