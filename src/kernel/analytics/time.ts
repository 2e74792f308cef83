/** The dimensions of time that every dataset has, and the window that a filter leaves of it. */
import type { DatasetWindow } from "../product.ts";
import { QueryError } from "./query-error.ts";
import { isObject, type Json, type JsonObject } from "./values.ts";

/** Length of the period to which a dimension cuts a time. */
export const timeUnits: Readonly<Record<string, number>> = {
  date: 86_400_000,
  datetimeHour: 3_600_000,
  datetimeFifteenMinutes: 900_000,
  datetimeFiveMinutes: 300_000,
  datetimeMinute: 60_000,
  datetime: 1_000,
};

export const isTime = (name: string): boolean => Object.hasOwn(timeUnits, name);

/** A time as a dimension shows it: "2026-03-10", "2026-03-10T12:00:00Z". */
export function timeText(time: number, name: string): string {
  const unit = timeUnits[name] as number;
  const iso = new Date(Math.floor(time / unit) * unit).toISOString();
  return name === "date" ? iso.slice(0, 10) : `${iso.slice(0, 19)}Z`;
}

/** A time of a filter in milliseconds since the epoch. */
export function timeOf(value: Json | undefined, name: string): number {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw new QueryError(`"${String(value)}" is not a time (${name})`);
  return time;
}

function mentionsTime(filter: Json): boolean {
  if (Array.isArray(filter)) return filter.some(mentionsTime);
  return isObject(filter) && Object.entries(filter).some(([name, value]) => isTime(name.split("_")[0] ?? "") || mentionsTime(value));
}

type Bounds = Pick<DatasetWindow, "from" | "to">;

/**
 * The window that conditions on time leave. Not `exact` when there are conditions that a window cannot express: it is
 * wider then, and the facts must be looked at one by one.
 */
export function windowOf(filter: JsonObject, bounds: Bounds): Bounds & { readonly exact: boolean } {
  let { from, to } = bounds;
  let exact = true;
  for (const [name, value] of Object.entries(filter)) {
    if (value === null) continue;
    if (name === "AND" && Array.isArray(value)) {
      for (const part of value) {
        if (!isObject(part)) continue;
        const inner = windowOf(part, { from, to });
        ({ from, to } = inner);
        exact &&= inner.exact;
      }
      continue;
    }
    if (name === "OR") {
      exact &&= !mentionsTime(value);
      continue;
    }
    const [, field = "", operator] = /^(.*?)(?:_(geq|gt|leq|lt|neq|in|notin|like))?$/.exec(name) ?? [];
    if (!isTime(field)) continue;
    const unit = timeUnits[field] as number;
    if (operator === "neq" || operator === "in" || operator === "notin" || operator === "like") {
      exact = false;
      continue;
    }
    const at = timeOf(value, name);
    // The dimension is the time cut down to its unit: these are the first times at and after which it is `at`.
    const [reached, passed] = [Math.ceil(at / unit) * unit, Math.floor(at / unit) * unit + unit];
    // "datetime" has seconds, but the times behind it milliseconds.
    const first = field === "datetime" ? at : reached;
    if (operator === "geq" || operator === undefined) from = Math.max(from, first);
    if (operator === "gt") from = Math.max(from, passed);
    if (operator === "leq" || operator === undefined) to = Math.min(to, passed);
    if (operator === "lt") to = Math.min(to, first);
  }
  return { from, to, exact };
}
