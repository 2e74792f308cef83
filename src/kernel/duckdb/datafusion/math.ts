/** DataFusion's math functions. Floats follow IEEE 754 where DuckDB fails: outside its domain a function is NaN. */
import { asBigint, asDouble, asInteger, type FunctionRule, type FunctionTable, rule, same, typedRule } from "./rule.ts";
import { isInteger } from "./types.ts";

/** DuckDB's function inside a domain; NaN outside of it, NULL of NULL. */
const within = (name: string, domain: (x: string) => string): FunctionRule =>
  rule(1, 1, (arg) => {
    const x = asDouble(arg as string);
    return `CASE WHEN ${domain(x)} THEN ${name}(${x}) WHEN ${x} IS NOT NULL THEN CAST('NaN' AS DOUBLE) END`;
  });
const finite = (name: string): FunctionRule => within(name, (x) => `isfinite(${x})`);
const float = (name: string): FunctionRule => rule(1, 1, (x) => `${name}(${asDouble(x as string)})`);
const logarithm = (name: string, x: string): string =>
  `CASE WHEN ${x} > 0 THEN ${name}(${x}) WHEN ${x} = 0 THEN CAST('-Infinity' AS DOUBLE) WHEN ${x} IS NOT NULL THEN CAST('NaN' AS DOUBLE) END`;
const log = (name: string): FunctionRule => rule(1, 1, (x) => logarithm(name, asDouble(x as string)));

const EXACT = 2 ** 53;
/** Integers to an integer power stay integers; past 2^63, and for negative exponents, NULL. */
const power = typedRule(2, 2, ([base, exponent]) => {
  const [b, n] = [base?.sql as string, exponent?.sql as string];
  const approximate = `pow(${asDouble(b)}, ${asDouble(n)})`;
  if (base === undefined || exponent === undefined || !isInteger(base.type) || !isInteger(exponent.type)) return approximate;
  // Powers past what a double holds exactly are below 2^63 only for exponents up to 63, or for 0 and 1.
  const exact = `list_reduce(list_resize([1::HUGEINT], CAST(least(${n}, 63) + 1 AS BIGINT), CAST(${b} AS HUGEINT)), lambda __x, __y: __x * __y)`;
  return `CASE WHEN ${n} < 0 THEN NULL WHEN abs(${approximate}) < ${EXACT} THEN ${asBigint(approximate)} WHEN abs(${approximate}) < 9223372036854775807 THEN ${asBigint(exact)} END`;
});

export const math: FunctionTable = {
  abs: same("abs", 1),
  acos: within("acos", (x) => `${x} BETWEEN -1 AND 1`),
  acosh: within("acosh", (x) => `${x} >= 1`),
  asin: within("asin", (x) => `${x} BETWEEN -1 AND 1`),
  asinh: float("asinh"),
  atan: float("atan"),
  atan2: rule(2, 2, (y, x) => `atan2(${asDouble(y as string)}, ${asDouble(x as string)})`),
  atanh: within("atanh", (x) => `${x} BETWEEN -1 AND 1`),
  // DuckDB's is a power of 1/3: one step of Newton's method takes it to the nearest value.
  cbrt: rule(1, 1, (arg) => {
    const [x, y] = [asDouble(arg as string), `cbrt(${asDouble(arg as string)})`];
    return `CASE WHEN ${x} = 0 OR NOT isfinite(${x}) THEN ${x} ELSE ${y} - (${y} * ${y} * ${y} - ${x}) / (3 * ${y} * ${y}) END`;
  }),
  ceil: float("ceil"),
  cos: finite("cos"),
  cosh: float("cosh"),
  degrees: float("degrees"),
  exp: float("exp"),
  factorial: rule(
    1,
    1,
    (n) => `CASE WHEN ${n} < 2 THEN CAST(1 AS BIGINT) WHEN ${n} < 21 THEN ${asBigint(`factorial(${asInteger(`least(${n}, 20)`)})`)} END`,
  ),
  floor: float("floor"),
  gcd: rule(2, 2, (a, b) => `gcd(${asBigint(a as string)}, ${asBigint(b as string)})`),
  isnan: rule(1, 1, (x) => `isnan(${asDouble(x as string)})`),
  iszero: rule(1, 1, (x) => `(${x} = 0)`),
  lcm: rule(2, 2, (a, b) => `lcm(${asBigint(a as string)}, ${asBigint(b as string)})`),
  ln: log("ln"),
  log: rule(1, 2, (a, b) =>
    b === undefined
      ? logarithm("log10", asDouble(a as string))
      : `(${logarithm("ln", asDouble(b))} / ${logarithm("ln", asDouble(a as string))})`,
  ),
  log10: log("log10"),
  log2: log("log2"),
  nanvl: rule(2, 2, (x, y) => `CASE WHEN isnan(${asDouble(x as string)}) THEN ${y} ELSE ${x} END`),
  pi: same("pi", 0),
  power,
  radians: float("radians"),
  random: same("random", 0),
  round: rule(1, 2, (x, digits) => `round(${asDouble(x as string)}, ${digits === undefined ? 0 : asInteger(digits)})`),
  // The documentation has 1 for zero, newer DataFusion 0.
  signum: rule(1, 1, (x) => `CASE WHEN ${x} < 0 THEN CAST(-1 AS DOUBLE) WHEN ${x} >= 0 THEN CAST(1 AS DOUBLE) END`),
  sin: finite("sin"),
  sinh: float("sinh"),
  sqrt: within("sqrt", (x) => `${x} >= 0`),
  tan: finite("tan"),
  tanh: float("tanh"),
  trunc: rule(1, 2, (x, digits) => {
    if (digits === undefined) return `trunc(${asDouble(x as string)})`;
    const factor = `pow(10, ${asInteger(digits)})`;
    return `(trunc(${asDouble(x as string)} * ${factor}) / ${factor})`;
  }),
};
