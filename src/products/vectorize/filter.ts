/**
 * Metadata filters (docs/vectorize/reference/metadata-filtering): parsed and checked where a query comes in, applied to
 * the indexed values of vectors where they lie. A vector without an indexed value has null.
 */
import { vectorizeError } from "./errors.ts";
import { FILTER_KEY_MAX, FILTER_MAX_BYTES, INDEXED_MAX_BYTES, truncated } from "./limits.ts";

/** What a metadata index holds of a vector. */
export type Indexed = string | number | boolean | null;

export type Operator = "$eq" | "$ne" | "$in" | "$nin" | "$lt" | "$lte" | "$gt" | "$gte";

/** One comparison of one property; a filter is all of them. */
export interface Condition {
  /** With dots for nesting: "pandas.nice". */
  readonly property: string;
  readonly operator: Operator;
  readonly operand: Indexed | readonly Indexed[];
}

const LOWER = ["$gt", "$gte"];
const UPPER = ["$lt", "$lte"];
const RANGE = [...LOWER, ...UPPER];
const LISTS = ["$in", "$nin"];
const OPERATORS = ["$eq", "$ne", ...LISTS, ...RANGE];

const refuse = (text: string): Error => vectorizeError("invalidFilter", `invalid query filter: ${text}`);

const isScalar = (value: unknown): value is Indexed => value === null || ["string", "number", "boolean"].includes(typeof value);

/** Throws `vectorize.invalidFilter`. */
export function parseFilter(given: unknown): Condition[] {
  if (typeof given !== "object" || given === null || Array.isArray(given)) throw refuse("it must be an object");
  if (Object.keys(given).length === 0) throw refuse("it must not be empty");
  const bytes = Buffer.byteLength(JSON.stringify(given));
  if (bytes >= FILTER_MAX_BYTES) throw refuse(`its compact JSON must be less than ${FILTER_MAX_BYTES} bytes, got ${bytes}`);
  return Object.entries(given).flatMap(([property, condition]) => {
    checkKey(property);
    if (isScalar(condition)) return [{ property, operator: "$eq" as const, operand: cut(condition) }];
    if (typeof condition !== "object" || Array.isArray(condition)) throw refuse(`"${property}" must be a value or an object of operators`);
    return parseConditions(property, condition as Record<string, unknown>);
  });
}

function parseConditions(property: string, given: Readonly<Record<string, unknown>>): Condition[] {
  const operators = Object.keys(given);
  const unknown = operators.find((operator) => !OPERATORS.includes(operator));
  if (unknown !== undefined) throw refuse(`"${unknown}" of "${property}" is no operator`);
  if (operators.length === 0) throw refuse(`"${property}" has no operator`);
  const lower = operators.filter((operator) => LOWER.includes(operator)).length;
  const upper = operators.filter((operator) => UPPER.includes(operator)).length;
  if (operators.length > 1 && (lower !== 1 || upper !== 1 || operators.length !== 2))
    throw refuse(`operators of "${property}" cannot be combined, except one upper with one lower bound`);
  return Object.entries(given).map(([key, operand]) => {
    const operator = key as Operator;
    if (LISTS.includes(operator)) {
      if (!Array.isArray(operand) || !operand.every(isScalar)) throw refuse(`${operator} of "${property}" must be an array of values`);
      return { property, operator, operand: operand.map(cut) };
    }
    if (!isScalar(operand)) throw refuse(`${operator} of "${property}" must be a value`);
    if (RANGE.includes(operator) && typeof operand !== "string" && typeof operand !== "number")
      throw refuse(`${operator} of "${property}" must be a string or a number`);
    return { property, operator, operand: cut(operand) };
  });
}

function checkKey(key: string): void {
  if (key === "" || key.startsWith("$") || /["|]/.test(key) || key.length > FILTER_KEY_MAX || key.split(".").includes(""))
    throw refuse(`"${truncated(key, INDEXED_MAX_BYTES)}" is no valid key`);
}

/** Vectors can be filtered by as much of a string as is indexed of it. */
const cut = (value: Indexed): Indexed => (typeof value === "string" ? truncated(value, INDEXED_MAX_BYTES) : value);

/** Whether an indexed value satisfies the condition. */
export function satisfies({ operator, operand }: Condition, value: Indexed): boolean {
  switch (operator) {
    case "$eq":
      return value === operand;
    case "$ne":
      return value !== operand;
    case "$in":
      return (operand as readonly Indexed[]).includes(value);
    case "$nin":
      return !(operand as readonly Indexed[]).includes(value);
    default: {
      if (value === null || typeof value !== typeof operand) return false;
      const order = typeof value === "string" ? compareText(value, operand as string) : (value as number) - (operand as number);
      if (operator === "$lt") return order < 0;
      if (operator === "$lte") return order <= 0;
      return operator === "$gt" ? order > 0 : order >= 0;
    }
  }
}

/** By UTF-8 bytes, that is by code points: UTF-16 units would put characters beyond U+FFFF before U+E000. */
function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const surrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xe000;
    return surrogate(x) === surrogate(y) ? x - y : surrogate(x) ? 1 : -1;
  }
  return a.length - b.length;
}
