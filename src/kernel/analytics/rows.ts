/** From facts to the rows of an answer: one for each group or event, ordered, and cut to what the query selects. */
import type { Field } from "../../protocols/graphql/parse.ts";
import type { Dataset, Fact } from "../product.ts";
import { dimensionOf } from "./filter.ts";
import { QueryError } from "./query-error.ts";
import { dimensionsOf, type Shape } from "./shape.ts";
import { isObject, type Json, type JsonObject } from "./values.ts";

/** Throws a `QueryError` for a field that rows of this shape do not have, also when there are no rows. */
export function checkSelection(selection: readonly Field[], shape: Shape): void {
  if (selection.length === 0) throw new QueryError("a dataset needs a selection of fields");
  for (const { name, selection: inner } of selection) {
    const member = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (member === undefined || (typeof member === "string") !== (inner.length === 0)) throw new QueryError(`unknown field "${name}"`);
    if (typeof member === "object") checkSelection(inner, member);
  }
}

const namesIn = (selection: readonly Field[], group: string): string[] =>
  selection.filter(({ name }) => name === group).flatMap((field) => field.selection.map(({ name }) => name));

/** The dimensions that a selection of a "Groups" dataset groups by. */
export const selectedDimensions = (selection: readonly Field[]): readonly string[] => [...new Set(namesIn(selection, "dimensions"))];

interface Group {
  readonly dimensions: Record<string, string | number>;
  count: number;
  readonly sum: Record<string, number>;
  readonly max: Record<string, number>;
  readonly mean: Record<string, number>;
  /** Times of facts that have a mean. */
  readonly times: Set<number>;
  readonly facts: Fact[];
}

/** One row for each combination of the selected dimensions; without any, one for all. */
export function groups(facts: readonly Fact[], selection: readonly Field[]): JsonObject[] {
  const names = selectedDimensions(selection);
  const quantiles = namesIn(selection, "quantiles");
  const byKey = new Map<string, Group>();
  for (const fact of facts) {
    const dimensions = Object.fromEntries(names.map((name) => [name, dimensionOf(fact, name) ?? ""]));
    const key = JSON.stringify(dimensions);
    let group = byKey.get(key);
    if (group === undefined) {
      group = { dimensions, count: 0, sum: {}, max: {}, mean: {}, times: new Set(), facts: [] };
      byKey.set(key, group);
    }
    group.count += fact.count ?? 1;
    for (const [name, value] of Object.entries(fact.sum ?? {})) group.sum[name] = (group.sum[name] ?? 0) + value;
    for (const [name, value] of Object.entries(fact.max ?? {})) group.max[name] = Math.max(group.max[name] ?? value, value);
    if (fact.mean !== undefined) group.times.add(fact.time);
    for (const [name, value] of Object.entries(fact.mean ?? {})) group.mean[name] = (group.mean[name] ?? 0) + value;
    if (quantiles.length > 0) group.facts.push(fact);
  }
  return [...byKey.values()].map(({ dimensions, count, sum, max, mean, times, facts: own }) => ({
    dimensions,
    count,
    sum,
    max,
    avg: {
      ...Object.fromEntries(Object.entries(sum).map(([name, value]) => [name, count === 0 ? 0 : value / count])),
      ...Object.fromEntries(Object.entries(mean).map(([name, value]) => [name, value / times.size])),
    },
    quantiles: Object.fromEntries(quantiles.map((name) => [name, quantile(own, name)])),
  }));
}

/** `requestDurationMsP99` of facts, each of which stands for `count` events that share its sum evenly. */
function quantile(facts: readonly Fact[], name: string): number {
  const [, metric = "", percent = "0"] = /^(.*)P(\d+)$/.exec(name) ?? [];
  const values = facts
    .flatMap(({ sum, count = 1 }) => (sum?.[metric] === undefined ? [] : [{ value: sum[metric] / Math.max(1, count), count }]))
    .sort((a, b) => a.value - b.value);
  const share = Number(percent) > 100 ? Number(percent) / 1_000 : Number(percent) / 100;
  const wanted = values.reduce((total, { count }) => total + count, 0) * share;
  let seen = 0;
  for (const { value, count } of values) {
    seen += count;
    if (seen >= wanted) return value;
  }
  return 0;
}

/** One row for each fact, with the number of events that it stands for beside what can be selected. */
export function events(facts: readonly Fact[], dataset: Dataset): JsonObject[] {
  const names = Object.keys(dimensionsOf(dataset));
  return facts.map((fact) => ({
    ...Object.fromEntries(names.map((name) => [name, dimensionOf(fact, name) ?? ""])),
    count: fact.count ?? 1,
  }));
}

/** The first `limit` events: each is a row of its own. */
export function expanded(rows: readonly JsonObject[], limit: number): JsonObject[] {
  const answer: JsonObject[] = [];
  for (const row of rows) for (let i = Number(row.count); i > 0 && answer.length < limit; i--) answer.push(row);
  return answer;
}

interface OrderKey {
  readonly group: string | undefined;
  readonly name: string;
  readonly sign: 1 | -1;
}

/** `orderBy: [date_ASC, sum_readQueries_DESC, count_DESC]`. Throws a `QueryError` for a name that rows do not have. */
export function orderKeys(orderBy: Json | undefined, shape: Shape): OrderKey[] {
  if (orderBy === undefined || orderBy === null) return [];
  return (Array.isArray(orderBy) ? orderBy : [orderBy]).map((text) => {
    const [, group, name = "", direction] = /^(?:(sum|max|avg|quantiles|dimensions)_)?(\w+)_(ASC|DESC)$/.exec(String(text)) ?? [];
    const holders = group === undefined ? [shape, shape.dimensions] : [shape[group]];
    const known = holders.some((holder) => typeof holder === "object" && typeof holder[name] === "string");
    if (direction === undefined || !known) throw new QueryError(`unknown order "${String(text)}"`);
    return { group, name, sign: direction === "ASC" ? 1 : -1 };
  });
}

/** By the keys, then by the dimensions, so that equal queries get equal answers. */
export function ordered(rows: readonly JsonObject[], keys: readonly OrderKey[]): JsonObject[] {
  const orderValue = (row: JsonObject, { group, name }: OrderKey): Json | undefined => {
    const holder = group === undefined ? { ...(isObject(row.dimensions) && row.dimensions), ...row } : row[group];
    return isObject(holder) ? holder[name] : undefined;
  };
  const first = rows[0]?.dimensions;
  const rest = isObject(first) ? Object.keys(first).map((name): OrderKey => ({ group: "dimensions", name, sign: 1 })) : [];
  const all = [...keys, ...rest];
  return rows.toSorted((a, b) => {
    for (const key of all) {
      const [x, y] = [orderValue(a, key) ?? 0, orderValue(b, key) ?? 0];
      if (x !== y) return x < y ? -key.sign : key.sign;
    }
    return 0;
  });
}

/** What the query selects of a value. */
export function project(value: unknown, selection: readonly Field[]): Json {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map((item) => project(item, selection));
  if (selection.length === 0) {
    if (typeof value === "object") throw new QueryError("a field of an object type needs a selection of its own fields");
    return value as Json;
  }
  const answer: Record<string, Json> = {};
  for (const { name, key, selection: inner } of selection) {
    if (typeof value !== "object" || !(name in value)) throw new QueryError(`unknown field "${name}"`);
    answer[key] = project((value as Record<string, unknown>)[name], inner);
  }
  return answer;
}
