/** Conditions of dynamic routes: objects in MongoDB's form over a request's body, headers and metadata. No regular expressions. */

/** What a condition sees: `{ body, headers, metadata }`. */
export type Subject = Readonly<Record<string, unknown>>;

/** The member at a dotted path, or undefined. */
export function memberAt(subject: unknown, path: string): unknown {
  let value = subject;
  for (const step of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

const compare = (a: unknown, b: unknown): number =>
  (typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string")
    ? a < b
      ? -1
      : Number(a > b)
    : Number.NaN;

const operators: Readonly<Record<string, (value: unknown, operand: unknown) => boolean>> = {
  $eq: (value, operand) => value === operand || (operand === null && value === undefined),
  $ne: (value, operand) => !(value === operand || (operand === null && value === undefined)),
  $gt: (value, operand) => compare(value, operand) > 0,
  $gte: (value, operand) => compare(value, operand) >= 0,
  $lt: (value, operand) => compare(value, operand) < 0,
  $lte: (value, operand) => compare(value, operand) <= 0,
  $in: (value, operand) => Array.isArray(operand) && operand.includes(value),
  $nin: (value, operand) => Array.isArray(operand) && !operand.includes(value),
  $exists: (value, operand) => (value !== undefined) === operand,
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The first thing in a condition that nobody understands, or undefined. */
export function faultOf(condition: unknown): string | undefined {
  if (!isObject(condition)) return "a condition must be an object";
  for (const [key, operand] of Object.entries(condition)) {
    if (key === "$and" || key === "$or" || key === "$nor") {
      if (!Array.isArray(operand)) return `${key} must be an array`;
      const fault = operand.map(faultOf).find((one) => one !== undefined);
      if (fault !== undefined) return fault;
    } else if (key.startsWith("$")) return `"${key}" is no operator`;
    else if (isObject(operand)) {
      const unknown = Object.keys(operand).find((name) => name !== "$not" && operators[name] === undefined);
      if (unknown !== undefined) return `"${unknown}" is no operator`;
    }
  }
  return undefined;
}

/** Whether the subject satisfies every part of the condition. */
export function holds(condition: unknown, subject: Subject): boolean {
  if (!isObject(condition)) return false;
  return Object.entries(condition).every(([key, operand]) => {
    if (key === "$and") return (operand as unknown[]).every((one) => holds(one, subject));
    if (key === "$or") return (operand as unknown[]).some((one) => holds(one, subject));
    if (key === "$nor") return !(operand as unknown[]).some((one) => holds(one, subject));
    return matches(memberAt(subject, key), operand);
  });
}

function matches(value: unknown, operand: unknown): boolean {
  if (!isObject(operand)) return value === operand || (operand === null && value === undefined);
  return Object.entries(operand).every(([name, wanted]) =>
    name === "$not" ? !matches(value, wanted) : operators[name]?.(value, wanted) === true,
  );
}
