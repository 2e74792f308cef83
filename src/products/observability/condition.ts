/**
 * Filters and needles as SQL over the columns of a row. Whatever a caller says is a parameter; the text of a statement is
 * made of nothing but what stands here. Regular expressions are RE2's, which take time in proportion to the text.
 */
import type { DuckDBValue } from "@duckdb/node-api";
import { observabilityError } from "./errors.ts";
import type { Filter, FilterLeaf, Needle } from "./query-schema.ts";

export type FieldType = "string" | "number" | "boolean";

/** The parameters of one statement. */
export class Values {
  readonly list: DuckDBValue[] = [];

  /** The placeholder of a value. */
  add(value: DuckDBValue): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

const maps: Readonly<Record<FieldType, string>> = { string: "s", number: "n", boolean: "b" };

/** The value of a field, NULL where a row has none of that name and type. */
export function field(key: string, type: FieldType, values: Values): string {
  if (key === "timestamp") return type === "number" ? "ts::DOUBLE" : "ts::VARCHAR";
  if (key === "dataset" && type === "string") return "dataset";
  return `${maps[type]}[${values.add(key)}]`;
}

/** Every text and number of a row, one a line. */
const ALL_TEXT =
  "concat_ws(chr(10), array_to_string(map_values(s), chr(10)), array_to_string(map_values(n), chr(10)), array_to_string(map_values(b), chr(10)))";

export interface Conditions {
  readonly datasets: readonly string[];
  readonly filters: readonly Filter[];
  readonly filterCombination?: "and" | "or";
  readonly needle?: Needle | undefined;
}

/** A condition in SQL; "true" when there is none. */
export function conditionOf({ datasets, filters, filterCombination = "and", needle }: Conditions, values: Values): string {
  const all: string[] = [];
  if (datasets.length > 0) all.push(`dataset IN (${datasets.map((name) => values.add(name)).join(", ")})`);
  if (filters.length > 0) all.push(combined(filters, filterCombination, values));
  if (needle !== undefined) all.push(found(ALL_TEXT, needle, values));
  return all.length === 0 ? "true" : all.join(" AND ");
}

function combined(filters: readonly Filter[], combination: "and" | "or", values: Values): string {
  if (filters.length === 0) return "true";
  const parts = filters.map((filter) =>
    filter.kind === "group" ? combined(filter.filters, filter.filterCombination, values) : leafOf(filter, values),
  );
  return `(${parts.join(combination === "and" ? " AND " : " OR ")})`;
}

export function found(text: string, { value, isRegex, matchCase }: Needle, values: Values): string {
  const wanted = values.add(String(value));
  if (isRegex) return `regexp_matches(${text}, ${wanted}, '${matchCase ? "c" : "i"}')`;
  return matchCase ? `contains(${text}, ${wanted})` : `contains(lower(${text}), lower(${wanted}))`;
}

const comparisons = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function leafOf({ key, operation, type, value }: FilterLeaf, values: Values): string {
  const of = (): string => field(key, type, values);
  if (operation === "exists") return `(${of()}) IS NOT NULL`;
  if (operation === "is_null") return `(${of()}) IS NULL`;
  if (value === undefined) throw observabilityError("invalidQuery", `The operation ${operation} on ${key} needs a value`);
  switch (operation) {
    case "eq":
      return `coalesce(${of()} = ${typed(value, type, key, values)}, false)`;
    case "neq":
      return `${of()} IS DISTINCT FROM ${typed(value, type, key, values)}`;
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return `coalesce(${of()} ${comparisons[operation]} ${typed(value, type, key, values)}, false)`;
    case "in":
    case "not_in": {
      const list = String(value)
        .split(",")
        .slice(0, 1_000)
        .map((part) => typed(part.trim(), type, key, values));
      return `${operation === "in" ? "" : "NOT "}coalesce(${of()} IN (${list.join(", ")}), false)`;
    }
    case "includes":
      return `coalesce(contains(${of()}::VARCHAR, ${values.add(String(value))}), false)`;
    case "not_includes":
      return `NOT coalesce(contains(${of()}::VARCHAR, ${values.add(String(value))}), false)`;
    case "starts_with":
      return `coalesce(starts_with(${of()}::VARCHAR, ${values.add(String(value))}), false)`;
    case "ends_with":
      return `coalesce(ends_with(${of()}::VARCHAR, ${values.add(String(value))}), false)`;
    case "regex":
      return `coalesce(regexp_matches(${of()}::VARCHAR, ${values.add(String(value))}), false)`;
  }
}

/** A value of the field's type: clients send numbers and booleans as text, too. */
function typed(value: string | number | boolean, type: FieldType, key: string, values: Values): string {
  if (type === "string") return values.add(String(value));
  if (type === "boolean") {
    const text = String(value).toLowerCase();
    if (text !== "true" && text !== "false") throw observabilityError("invalidQuery", `The value of ${key} must be true or false`);
    return values.add(text === "true");
  }
  const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value);
  if (!Number.isFinite(number)) throw observabilityError("invalidQuery", `The value of ${key} must be a number`);
  return `${values.add(number)}::DOUBLE`;
}
