/** Functions of the dialect that DuckDB has nothing like; `sql/functions.ts` writes calls of them. */
import { createHash } from "node:crypto";
import { BLOB, DOUBLE, DuckDBBlobValue, type DuckDBListValue, DuckDBScalarFunction, LIST, VARCHAR } from "@duckdb/node-api";

/** (bytes, "sha224") → bytes. */
const digest = (): DuckDBScalarFunction =>
  DuckDBScalarFunction.create({
    name: "__freehold_digest",
    returnType: BLOB,
    parameterTypes: [BLOB, VARCHAR],
    mainFunction(_info, input, output) {
      const [bytes, algorithm] = [input.getColumnVector(0), input.getColumnVector(1)];
      for (let i = 0; i < input.rowCount; i++) {
        const value = bytes.getItem(i) as DuckDBBlobValue | null;
        const name = algorithm.getItem(i) as string | null;
        const hash = value === null || name === null ? null : createHash(name).update(value.bytes).digest();
        output.setItem(i, hash && new DuckDBBlobValue(hash));
      }
      output.flush();
    },
  });

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
export const engineFunctions = (): DuckDBScalarFunction[] => [digest(), weightedPercentile()];
