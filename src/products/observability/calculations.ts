/**
 * The view "calculations": figures over matching events, by groups and over time. Counts, sums and means are weighted by how
 * many events each stored one stands for; quantiles are those of the stored events.
 */
import { conditionOf, type FieldType, field, type Values } from "./condition.ts";
import { observabilityError } from "./errors.ts";
import type { Run } from "./query-engine.ts";
import type { Calculation, Parameters, Query, Timeframe } from "./query-schema.ts";

type Primitive = string | number | boolean;

export interface Aggregate {
  readonly groups?: readonly { readonly key: string; readonly value: Primitive }[];
  readonly value: number;
  readonly count: number;
  readonly interval: number;
  readonly sampleInterval: number;
}

export interface CalculationResult {
  readonly calculation: string;
  readonly alias?: string;
  readonly aggregates: readonly Aggregate[];
  readonly series: readonly { readonly time: string; readonly data: readonly Aggregate[] }[];
}

const GROUPS_DEFAULT = 10;
const BUCKETS_DEFAULT = 60;
const SERIES_ROWS_MAX = 50_000;

const percentiles: Readonly<Record<string, number>> = {
  median: 0.5,
  p001: 0.001,
  p01: 0.01,
  p05: 0.05,
  p10: 0.1,
  p25: 0.25,
  p75: 0.75,
  p90: 0.9,
  p95: 0.95,
  p99: 0.99,
  p999: 0.999,
};

const COUNT: Calculation = { given: "count", operator: "count", key: undefined, keyType: undefined, alias: undefined };

/** Milliseconds of one point of a series. */
export const bucketMs = ({ from, to }: Timeframe, granularity = BUCKETS_DEFAULT): number =>
  Math.max(1_000, Math.ceil((to - from) / granularity));

export async function calculate(run: Run, query: Query, parameters: Parameters): Promise<CalculationResult[]> {
  const calculations = parameters.calculations.length === 0 ? [COUNT] : parameters.calculations;
  const wantsSeries = !query.ignoreSeries && query.chartType !== "aggregate";
  const limit = parameters.limit ?? query.limit ?? GROUPS_DEFAULT;
  const rows = await run.all<GroupRow>((values) => aggregateSql(calculations, parameters, values, limit, query.offsetBy));
  const points = wantsSeries && rows.length > 0 ? await seriesRows(run, query, parameters, calculations, rows) : [];
  return calculations.map(({ given, alias }, i) => ({
    calculation: given,
    ...(alias !== undefined && { alias }),
    aggregates: query.chartType === "timeseries" ? [] : rows.map((row) => aggregateOf(row, parameters, i)),
    series: byTime(points, (row) => aggregateOf(row, parameters, i)),
  }));
}

interface GroupRow {
  readonly [column: string]: unknown;
}

function aggregateSql(calculations: readonly Calculation[], parameters: Parameters, values: Values, limit: number, offset: number): string {
  const { groupBys, havings, orderBy } = parameters;
  const columns = columnsOf(calculations);
  const groups = groupBys.map((_, i) => `g${i}`);
  const conditions = havings.map(
    ({ key, operation, value }) => `${columnOf(key, calculations)} ${COMPARE[operation]} ${values.add(value)}::DOUBLE`,
  );
  const order = `${orderBy === undefined ? "c0" : columnOf(orderBy.value, calculations)} ${orderBy?.order === "asc" ? "ASC" : "DESC"} NULLS LAST`;
  return `SELECT * FROM (
      SELECT ${[...groups, ...columns].join(", ")} FROM (${matched(calculations, parameters, values)})
      ${groups.length > 0 ? `GROUP BY ${groups.join(", ")}` : ""}
    ) ${conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : ""}
    ORDER BY ${[order, ...groups].join(", ")} LIMIT ${groups.length > 0 ? limit : 1} OFFSET ${groups.length > 0 ? offset : 0}`;
}

const COMPARE = { eq: "=", neq: "<>", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

/** Matching rows with the values that groups (g0, …) and calculations (v0, …) are of. */
function matched(calculations: readonly Calculation[], { groupBys, ...conditions }: Parameters, values: Values): string {
  const columns = [
    "ts",
    "si",
    ...groupBys.map(({ value, type }, i) => `${field(value, type, values)} AS g${i}`),
    ...calculations.map((calculation, i) => `${measured(calculation, values)} AS v${i}`),
  ];
  // What has none of the values that it is grouped by belongs to no group.
  const grouped = groupBys.length > 0 ? `WHERE ${groupBys.map((_, i) => `g${i} IS NOT NULL`).join(" AND ")}` : "";
  return `SELECT * FROM (SELECT ${columns.join(", ")} FROM stored WHERE ${conditionOf(conditions, values)}) ${grouped}`;
}

function measured({ operator, key, keyType }: Calculation, values: Values): string {
  if (key === undefined) return "1";
  if (operator === "count" || operator === "uniq") {
    if (keyType !== undefined) return `(${field(key, keyType, values)})::VARCHAR`;
    const types: readonly FieldType[] = ["string", "number", "boolean"];
    return `coalesce(${types.map((type) => `(${field(key, type, values)})::VARCHAR`).join(", ")})`;
  }
  return field(key, "number", values);
}

function columnsOf(calculations: readonly Calculation[]): string[] {
  return [
    ...calculations.map((calculation, i) => `coalesce(${formula(calculation, `v${i}`)}, 0)::DOUBLE AS c${i}`),
    "coalesce(sum(si), 0)::DOUBLE AS weight",
    "count(*)::DOUBLE AS stored",
  ];
}

function formula({ operator }: Calculation, v: string): string {
  const percentile = percentiles[operator];
  if (percentile !== undefined) return `quantile_cont(${v}, ${percentile})`;
  switch (operator) {
    case "count":
      return `sum(si) FILTER (${v} IS NOT NULL)`;
    case "uniq":
      return `count(DISTINCT ${v})`;
    case "sum":
      return `sum(${v} * si)`;
    case "avg":
      return `sum(${v} * si) / sum(si) FILTER (${v} IS NOT NULL)`;
    case "stddev":
      return `stddev_pop(${v})`;
    case "variance":
      return `var_pop(${v})`;
    default:
      return `${operator === "max" ? "max" : "min"}(${v})`;
  }
}

/** The column of a calculation by its alias or its operator. */
function columnOf(name: string, calculations: readonly Calculation[]): string {
  const byAlias = calculations.findIndex(({ alias }) => alias === name);
  const found = byAlias >= 0 ? byAlias : calculations.findIndex(({ given, operator }) => given === name || operator === name.toLowerCase());
  if (found < 0) throw observabilityError("invalidQuery", `There is no calculation ${name}`);
  return `c${found}`;
}

async function seriesRows(
  run: Run,
  query: Query,
  parameters: Parameters,
  calculations: readonly Calculation[],
  top: readonly GroupRow[],
): Promise<GroupRow[]> {
  const { groupBys } = parameters;
  const width = bucketMs(query.timeframe, query.granularity);
  return run.all<GroupRow>((values) => {
    const groups = groupBys.map((_, i) => `g${i}`);
    const bucket = `(ts - (ts % ${width}))`;
    const chosen = top.map((row) => `(${groups.map((name) => `${name} = ${values.add(row[name] as Primitive)}`).join(" AND ")})`);
    return `SELECT ${[`${bucket}::DOUBLE AS bucket`, ...groups, ...columnsOf(calculations)].join(", ")}
      FROM (${matched(calculations, parameters, values)})
      ${groups.length > 0 ? `WHERE ${chosen.join(" OR ")}` : ""}
      GROUP BY ${[bucket, ...groups].join(", ")} ORDER BY bucket LIMIT ${SERIES_ROWS_MAX}`;
  });
}

function byTime(rows: readonly GroupRow[], of: (row: GroupRow) => Aggregate): CalculationResult["series"] {
  const points = new Map<number, Aggregate[]>();
  for (const row of rows) {
    const time = Number(row.bucket);
    const data = points.get(time) ?? [];
    data.push(of(row));
    points.set(time, data);
  }
  return [...points].map(([time, data]) => ({ time: new Date(time).toISOString(), data }));
}

function aggregateOf(row: GroupRow, { groupBys }: Parameters, index: number): Aggregate {
  const [count, stored] = [Number(row.weight), Number(row.stored)];
  const sampleInterval = stored === 0 ? 1 : count / stored;
  return {
    ...(groupBys.length > 0 && { groups: groupBys.map(({ value }, i) => ({ key: value, value: row[`g${i}`] as Primitive })) }),
    value: Number(row[`c${index}`]),
    count,
    interval: sampleInterval,
    sampleInterval,
  };
}

// --- distribution -------------------------------------------------------------------------------------------

export interface Distribution {
  readonly bins: readonly string[];
  readonly bucketBoundaries: readonly number[];
  readonly bucketMode: "log" | "linear";
  readonly buckets: readonly string[];
  readonly matrix: readonly (readonly number[])[];
}

const VALUE_BUCKETS = 20;

/** How the values of the first calculation's key are spread, over time. */
export async function distribution(run: Run, query: Query, parameters: Parameters): Promise<Distribution> {
  const key = parameters.calculations.find((calculation) => calculation.key !== undefined)?.key;
  if (key === undefined) throw observabilityError("invalidQuery", "A distribution needs a calculation with a key");
  const source = (values: Values): string =>
    `SELECT ts, si, v FROM (SELECT ts, si, ${field(key, "number", values)} AS v FROM stored WHERE ${conditionOf(parameters, values)}) WHERE v IS NOT NULL`;
  const mode = query.distributionScale;
  const [range] = await run.all<{ low: number | null; high: number | null; positive: number | null }>(
    (values) => `SELECT min(v) AS low, max(v) AS high, min(v) FILTER (v > 0) AS positive FROM (${source(values)})`,
  );
  if (range?.low == null || range.high == null) return { bins: [], bucketBoundaries: [], bucketMode: mode, buckets: [], matrix: [] };
  const edges = edgesOf(mode, mode === "log" ? (range.positive ?? 1) : range.low, range.high);
  const width = bucketMs(query.timeframe, query.granularity);
  const rows = await run.all<{ bin: number; bucket: number; weight: number }>((values) => {
    // The number of inner edges at or below the value; what is below the first edge counts to the first bucket.
    const bucket = edges.slice(1, -1).map((edge) => `(v >= ${values.add(edge)}::DOUBLE)::INTEGER`);
    return `SELECT (ts - (ts % ${width}))::DOUBLE AS bin, ${bucket.length > 0 ? bucket.join(" + ") : "0"} AS bucket, sum(si)::DOUBLE AS weight
      FROM (${source(values)}) GROUP BY 1, 2 ORDER BY 1`;
  });
  const bins = [...new Set(rows.map(({ bin }) => bin))];
  const matrix = edges.slice(1).map(() => bins.map(() => 0));
  for (const { bin, bucket, weight } of rows) (matrix[Number(bucket)] as number[])[bins.indexOf(bin)] = weight;
  const label = (edge: number): string => String(Number(edge.toPrecision(3)));
  return {
    bins: bins.map((bin) => new Date(bin).toISOString()),
    bucketBoundaries: edges,
    bucketMode: mode,
    buckets: edges.slice(1).map((edge, i) => `${label(edges[i] as number)}–${label(edge)}`),
    matrix,
  };
}

function edgesOf(mode: "log" | "linear", low: number, high: number): number[] {
  if (high <= low) return [low, low + 1];
  return Array.from({ length: VALUE_BUCKETS + 1 }, (_, i) => {
    const share = i / VALUE_BUCKETS;
    return mode === "log" ? low * (high / low) ** share : low + (high - low) * share;
  });
}
