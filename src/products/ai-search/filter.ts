/**
 * Filters by metadata in both documented forms, checked: AutoRAG's comparisons and compounds (docs/ai-search/configuration/
 * metadata), and Vectorize's objects, which newer clients send. Both become conditions that all must hold.
 */
import { z } from "zod";
import { searchError } from "./errors.ts";

export type FilterValue = string | number | boolean | null;

export interface FilterCondition {
  /** "folder", "filename", "timestamp", or a field of the instance's `custom_metadata`. */
  readonly field: string;
  readonly op: "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin" | "prefix";
  readonly values: readonly FilterValue[];
}

const BUILT_IN = ["folder", "filename", "timestamp"];
const CONDITIONS_MAX = 64;
const VALUES_MAX = 100;

const value = z.union([z.string().max(2048), z.number(), z.boolean(), z.null()]);
const comparison = z.object({ type: z.enum(["eq", "ne", "gt", "gte", "lt", "lte"]), key: z.string(), value });
const compound = z.object({ type: z.enum(["and", "or"]), filters: z.array(comparison).min(1).max(CONDITIONS_MAX) });

const bad = (text: string): Error => searchError("invalid", `filters: ${text}`);

/** `fields` are the instance's own. Throws `aiSearch.invalid`. */
export function parseFilter(given: unknown, fields: readonly string[]): FilterCondition[] {
  if (given === undefined || given === null) return [];
  if (typeof given !== "object" || Array.isArray(given)) throw bad("must be an object");
  const { type } = given as { type?: unknown };
  const conditions = typeof type === "string" && ("filters" in given || "key" in given) ? comparisons(given) : objectForm(given);
  for (const { field } of conditions)
    if (!BUILT_IN.includes(field) && !fields.includes(field))
      throw bad(`"${field.slice(0, 64)}" is no attribute: there are ${[...BUILT_IN, ...fields].join(", ")}`);
  return conditions.map((condition) => (condition.field === "timestamp" ? inSeconds(condition) : condition));
}

type Comparison = z.infer<typeof comparison>;

function comparisons(given: object): FilterCondition[] {
  const single = comparison.safeParse(given);
  if (single.success) return [conditionOf(single.data)];
  const several = compound.safeParse(given);
  if (!several.success) {
    const [issue] = several.error.issues;
    throw bad(`${issue?.path.join(".")}: ${issue?.message}; compound filters cannot be nested`);
  }
  const { type, filters } = several.data;
  if (type === "and") return startsWith(filters) ?? filters.map(conditionOf);
  const [first] = filters as [Comparison];
  if (filters.some((one) => one.type !== "eq")) throw bad('only the operator "eq" is allowed in an "or"');
  if (filters.some(({ key }) => key !== first.key)) throw bad('all conditions of an "or" must be on the same key');
  return [{ field: first.key, op: "in", values: filters.map((one) => one.value) }];
}

const conditionOf = ({ type, key, value }: Comparison): FilterCondition => ({ field: key, op: type, values: [value] });

/**
 * The documented "starts with" on folders: greater than "X//" and at most "X/z". By its bytes "X/" itself comes before "X//",
 * and umlauts after "z", though both are said to be found: what is meant is asked for.
 */
function startsWith(filters: readonly Comparison[]): FilterCondition[] | undefined {
  const folders = filters.filter(({ key }) => key === "folder");
  const from = folders.find(({ type, value }) => (type === "gt" || type === "gte") && typeof value === "string" && value.endsWith("//"));
  if (from === undefined) return undefined;
  const base = String(from.value).slice(0, -1);
  const to = folders.find(({ type, value }) => (type === "lte" || type === "lt") && value === `${base}z`);
  if (to === undefined) return undefined;
  const others = filters.filter((one) => one !== from && one !== to);
  return [{ field: "folder", op: "prefix", values: [base] }, ...others.map(conditionOf)];
}

const OPERATORS: Readonly<Record<string, FilterCondition["op"]>> = {
  ...{ $eq: "eq", $ne: "ne", $gt: "gt", $gte: "gte", $lt: "lt", $lte: "lte", $in: "in", $nin: "nin" },
};

/** `{ field: value }` and `{ field: { $op: value } }`. */
function objectForm(given: object): FilterCondition[] {
  const conditions = Object.entries(given).flatMap(([field, asked]): FilterCondition[] => {
    if (value.safeParse(asked).success) return [{ field, op: "eq", values: [asked as FilterValue] }];
    if (typeof asked !== "object" || Array.isArray(asked)) throw bad(`${field.slice(0, 64)}: must be a value or operators`);
    return Object.entries(asked as object).map(([name, operand]) => {
      const op = OPERATORS[name];
      if (op === undefined) throw bad(`${name.slice(0, 64)} is no operator`);
      const values: unknown[] = op === "in" || op === "nin" ? (Array.isArray(operand) ? operand : []) : [operand];
      if (values.length === 0 || values.length > VALUES_MAX || !values.every((one) => value.safeParse(one).success))
        throw bad(`${field.slice(0, 64)}.${name}: has no value that could be compared`);
      return { field, op, values: values as FilterValue[] };
    });
  });
  if (conditions.length > CONDITIONS_MAX) throw bad(`at most ${CONDITIONS_MAX} conditions`);
  return conditions;
}

/** Milliseconds, also as text, rounded down to seconds as documented; what is that small is seconds already. */
function inSeconds(condition: FilterCondition): FilterCondition {
  const values = condition.values.map((one) => {
    const number = typeof one === "string" && one.trim() !== "" ? Number(one) : one;
    if (typeof number !== "number" || !Number.isFinite(number)) throw bad("timestamp: must be a Unix timestamp in milliseconds");
    return Math.floor(number < 1e11 ? number : number / 1000) * 1000;
  });
  return { ...condition, values };
}
