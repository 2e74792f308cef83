/** Functions of the dialect that DuckDB has nothing like; `sql/functions.ts` writes calls of them. */
import { BIGINT, DOUBLE, type DuckDBListValue, DuckDBScalarFunction, LIST } from "@duckdb/node-api";
import { digestFunction } from "../../../kernel/duckdb/datafusion/digest.ts";

/** (values in order, their weights, percentile) → the first value at which that share of all weight is reached. */
const weightedPercentile = (): DuckDBScalarFunction =>
  DuckDBScalarFunction.create({
    name: "__freehold_weighted_percentile",
    returnType: DOUBLE,
    parameterTypes: [LIST(DOUBLE), LIST(DOUBLE), DOUBLE],
    mainFunction(_info, input, output) {
      const [values, weights, percentiles] = [0, 1, 2].map((column) => input.getColumnVector(column));
      for (let i = 0; i < input.rowCount; i++) {
        const sorted = (values?.getItem(i) as DuckDBListValue | null)?.items as number[] | undefined;
        const shares = (weights?.getItem(i) as DuckDBListValue | null)?.items as number[] | undefined;
        output.setItem(i, sorted && shares ? atShare(sorted, shares, percentiles?.getItem(i) as number) : null);
      }
      output.flush();
    },
  });

function atShare(sorted: readonly number[], weights: readonly number[], percentile: number): number | null {
  const target = weights.reduce((sum, weight) => sum + weight, 0) * percentile;
  let reached = 0;
  for (let i = 0; i < sorted.length; i++) {
    reached += weights[i] as number;
    if (reached >= target) return sorted[i] as number;
  }
  return sorted.at(-1) ?? null;
}

/** (number of different pairs of place and rank) → number of values that have so many: `sql/approximate.ts`. */
const distinct = (): DuckDBScalarFunction =>
  DuckDBScalarFunction.create({
    name: "__freehold_distinct",
    returnType: BIGINT,
    parameterTypes: [BIGINT],
    mainFunction(_info, input, output) {
      const pairs = input.getColumnVector(0);
      for (let i = 0; i < input.rowCount; i++) {
        const count = pairs.getItem(i) as bigint | null;
        output.setItem(i, count === null ? null : BigInt(Math.round(valuesOf(Number(count)))));
      }
      output.flush();
    },
  });

const PLACES = 2 ** 14;
const RANKS = 50;

/** Pairs that are to be expected of so many values: each rank is half as likely as the one before it. */
function pairsOf(values: number): number {
  let share = 0;
  for (let rank = 1; rank <= RANKS; rank++) share -= Math.expm1(values * Math.log1p(-(2 ** -rank) / PLACES));
  return share * PLACES;
}

/** The inverse of `pairsOf`, which grows without a break. */
function valuesOf(pairs: number): number {
  let [low, high] = [pairs, pairs * 2];
  while (pairsOf(high) < pairs) [low, high] = [high, high * 2];
  while (high - low > 0.1 && high - low > low * 1e-9) {
    const middle = (low + high) / 2;
    if (pairsOf(middle) < pairs) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Made anew for each instance: an instance takes ownership. */
export const engineFunctions = (): DuckDBScalarFunction[] => [digestFunction(), weightedPercentile(), distinct()];
