/** The fields that rows of a dataset have, by what it declares. */
import type { Dataset } from "../product.ts";
import { timeUnits } from "./time.ts";

export type Scalar = "string" | "uint64" | "float64" | "Time" | "Date";
export interface Shape {
  readonly [field: string]: Scalar | Shape;
}

/** In names of quantiles; past 100 in tenths: P999 is 99.9%. */
const PERCENTS = [25, 50, 75, 90, 99, 999] as const;

export const isGrouped = (name: string, dataset: Dataset): boolean => dataset.grouped ?? name.endsWith("Groups");

const each = (names: readonly string[], type: Scalar): Shape => Object.fromEntries(names.map((name) => [name, type]));

export function dimensionsOf(dataset: Dataset): Readonly<Record<string, Scalar>> {
  const times = Object.keys(timeUnits).map((name): [string, Scalar] => [name, name === "date" ? "Date" : "Time"]);
  return { ...Object.fromEntries(times), ...dataset.dimensions };
}

export function shapeOf(name: string, dataset: Dataset): Shape {
  const dimensions = dimensionsOf(dataset);
  if (!isGrouped(name, dataset)) return dimensions;
  const { sum, max, fractions = [], avg, means = [], quantiles } = dataset;
  return {
    count: "uint64",
    dimensions,
    ...(sum && { sum: { ...each(sum, "uint64"), ...each(fractions, "float64") } }),
    ...(max && { max: each(max, "uint64") }),
    ...((avg !== undefined || means.length > 0) && { avg: each([...(avg ?? []), ...means], "float64") }),
    ...(quantiles && {
      quantiles: each(
        quantiles.flatMap((metric) => PERCENTS.map((percent) => `${metric}P${percent}`)),
        "float64",
      ),
    }),
  };
}

/** Whether its facts belong to zones, so that it can be asked for one of them. */
export const hasZones = (dataset: Dataset): boolean => Object.hasOwn(dataset.dimensions, "zoneTag");
