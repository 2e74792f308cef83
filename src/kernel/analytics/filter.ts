/** Filters of datasets: `{ field, field_geq, field_in, AND: [...], OR: [...] }` (analytics/graphql-api/features/filtering). */
import type { Dataset, Fact } from "../product.ts";
import { QueryError } from "./query-error.ts";
import { isTime, timeOf, timeText } from "./time.ts";
import { isObject, type Json, type JsonObject } from "./values.ts";

const comparisons: Readonly<Record<string, (order: number) => boolean>> = {
  "": (order) => order === 0,
  geq: (order) => order >= 0,
  gt: (order) => order > 0,
  leq: (order) => order <= 0,
  lt: (order) => order < 0,
  neq: (order) => order !== 0,
};

/** Operators by the dimension's kind, "" being equality. */
export const operatorsOf = (type: string): readonly string[] => [
  ...Object.keys(comparisons),
  "in",
  "notin",
  ...(type === "string" ? ["like"] : []),
];

export const dimensionOf = (fact: Fact, name: string): string | number | undefined =>
  isTime(name) ? timeText(fact.time, name) : fact.dimensions[name];

interface Condition {
  readonly field: string;
  readonly operator: string;
}

function conditionOf(name: string, dataset: Dataset): Condition {
  const [, field = "", operator = ""] = /^(.*?)(?:_(geq|gt|leq|lt|neq|in|notin|like))?$/.exec(name) ?? [];
  const type = isTime(field) ? "Time" : Object.hasOwn(dataset.dimensions, field) ? dataset.dimensions[field] : undefined;
  if (type === undefined || !operatorsOf(type).includes(operator)) throw new QueryError(`unknown arg "${name}"`);
  return { field, operator };
}

/** Throws a `QueryError` for what no filter of the dataset can be; a filter may match nothing and still be wrong. */
export function checkFilter(filter: JsonObject, dataset: Dataset): void {
  for (const [name, value] of Object.entries(filter)) {
    if (value === null) continue;
    if (name === "AND" || name === "OR") {
      if (!Array.isArray(value)) throw new QueryError(`${name} takes a list of filters`);
      for (const part of value) {
        if (!isObject(part)) throw new QueryError(`${name} takes a list of filters`);
        checkFilter(part, dataset);
      }
      continue;
    }
    const { field, operator } = conditionOf(name, dataset);
    const list = operator === "in" || operator === "notin";
    if (list !== Array.isArray(value)) throw new QueryError(list ? `${name} takes a list` : `${name} takes one value`);
    if (isTime(field)) for (const one of list ? (value as readonly Json[]) : [value]) timeOf(one, name);
  }
}

/** Whether the fact passes a checked filter. `untimed`: the window has seen to the conditions on time already. */
export function matches(fact: Fact, filter: JsonObject, dataset: Dataset, untimed: boolean): boolean {
  return Object.entries(filter).every(([name, value]) => {
    if (value === null) return true;
    if (name === "AND" || name === "OR") {
      const parts = (value as readonly JsonObject[]).map((part) => matches(fact, part, dataset, untimed));
      return name === "AND" ? parts.every(Boolean) : parts.some(Boolean);
    }
    const { field, operator } = conditionOf(name, dataset);
    if (untimed && isTime(field)) return true;
    const actual = dimensionOf(fact, field) ?? "";
    if (Array.isArray(value)) return value.some((one) => compare(field, actual, one) === 0) === (operator === "in");
    if (operator === "like") return like(String(actual), String(value));
    return (comparisons[operator] as (order: number) => boolean)(compare(field, actual, value));
  });
}

function compare(field: string, actual: string | number, wanted: Json): number {
  if (isTime(field)) return Date.parse(String(actual)) - timeOf(wanted, field);
  if (typeof actual === "number") return actual - Number(wanted);
  return actual < String(wanted) ? -1 : actual > String(wanted) ? 1 : 0;
}

/** SQL's LIKE with % alone, as the real API has it. */
function like(text: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.toLowerCase().split("%");
  const value = text.toLowerCase();
  if (rest.length === 0) return value === first;
  const last = rest.pop() as string;
  if (!value.startsWith(first) || !value.endsWith(last) || value.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = value.indexOf(part, at);
    if (found < 0 || found + part.length > value.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}
