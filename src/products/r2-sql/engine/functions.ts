/** Functions of the dialect that DuckDB has nothing like; `sql/functions.ts` writes calls of them. */
import { DOUBLE, type DuckDBListValue, DuckDBScalarFunction, LIST } from "@duckdb/node-api";
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

/** Made anew for each instance: an instance takes ownership. */
export const engineFunctions = (): DuckDBScalarFunction[] => [digestFunction(), weightedPercentile()];
