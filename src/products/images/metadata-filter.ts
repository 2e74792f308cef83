/** Filters of a list of images by their metadata: `meta.region.name[in]=eu|us` (SDK: images.v2.list). Pure. */
import { imagesError } from "./errors.ts";

export type MetadataFilter = (metadata: Readonly<Record<string, unknown>>) => boolean;

type Scalar = string | number | boolean;

/** Documented bounds. */
const FILTERS_MAX = 5;
const LEVELS_MAX = 5;
const VALUES_MAX = 10;

const NAME = /^meta\.([^[\]]+)\[(eq|gt|gte|lt|lte|in)(?::(string|number|boolean))?\]$/;

/** Throws `images.badRequest` for a filter that is none. */
export function metadataFilters(query: URLSearchParams): MetadataFilter[] {
  const filters: MetadataFilter[] = [];
  for (const [name, text] of query) {
    if (!name.startsWith("meta")) continue;
    const [, path, operator, type] = NAME.exec(name) ?? [];
    if (path === undefined || operator === undefined) throw imagesError("badRequest", `${name} is no filter of metadata`);
    filters.push(metadataFilter(path.split("."), operator, valuesOf(text, operator, type)));
  }
  if (filters.length > FILTERS_MAX) throw imagesError("badRequest", `A list has at most ${FILTERS_MAX} filters of metadata`);
  return filters;
}

export function metadataFilter(path: readonly string[], operator: string, values: readonly Scalar[]): MetadataFilter {
  if (path.length > LEVELS_MAX) throw imagesError("badRequest", `A filter of metadata has at most ${LEVELS_MAX} levels`);
  if (values.length > VALUES_MAX) throw imagesError("badRequest", `A filter of metadata has at most ${VALUES_MAX} values`);
  return (metadata) => {
    let value: unknown = metadata;
    for (const name of path)
      value = typeof value === "object" && value !== null && Object.hasOwn(value, name) ? value[name as never] : undefined;
    if (operator === "eq" || operator === "in") return values.includes(value as Scalar);
    const [bound] = values as number[];
    if (typeof value !== "number" || typeof bound !== "number") return false;
    if (operator === "gt") return value > bound;
    if (operator === "gte") return value >= bound;
    return operator === "lt" ? value < bound : value <= bound;
  };
}

function valuesOf(text: string, operator: string, type?: string): Scalar[] {
  const number = type === "number" || !["eq", "in"].includes(operator);
  return (operator === "in" ? text.split("|") : [text]).map((value) => {
    if (number) {
      if (value.trim() === "" || Number.isNaN(Number(value)) || (type !== undefined && type !== "number"))
        throw imagesError("badRequest", `"${value}" is no number`);
      return Number(value);
    }
    return type === "boolean" ? value === "true" : value;
  });
}
