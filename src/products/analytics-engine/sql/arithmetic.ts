/** Operators: arithmetic, comparisons, and what datetimes and intervals make of them. */
import { QueryError } from "../errors.ts";
import type { Operator, Unit } from "./tree.ts";
import {
  boolean,
  cast,
  common,
  condition,
  double,
  integer,
  isInteger,
  isNumber,
  isTime,
  isUnsigned,
  textOf,
  time,
  type Value,
} from "./values.ts";

export function operate(operator: Operator, left: Value, right: Value): Value {
  switch (operator) {
    case "AND":
    case "OR":
      return boolean(`(${condition(left)} ${operator} ${condition(right)})`);
    case "||":
      return { sql: `(${textOf(left)} || ${textOf(right)})`, type: "String" };
    case "=":
    case "<>":
    case "<":
    case ">":
    case "<=":
    case ">=": {
      const both = common(left, right, `comparison ${operator}`);
      return boolean(`(${both.left} ${operator} ${both.right})`);
    }
    case "/":
      return { sql: `(${double(left)} / ${double(right)})`, type: "Float64" };
    default:
      return calculate(operator, left, right);
  }
}

function calculate(operator: "+" | "-" | "*" | "%", left: Value, right: Value): Value {
  if (right.type === "Interval" && isTime(left.type) && (operator === "+" || operator === "-")) return shift(operator, left, right);
  if (left.type === "Interval" && isTime(right.type) && operator === "+") return shift(operator, right, left);
  if (isTime(left.type) && isTime(right.type) && operator === "-")
    return { sql: cast(`epoch(${time(left)}) - epoch(${time(right)})`, "Int64"), type: "Int64" };
  // To a datetime seconds are added, to a date days.
  if (isTime(left.type) && isInteger(right.type) && (operator === "+" || operator === "-"))
    return shift(operator, left, { sql: `to_${left.type === "Date" ? "days" : "seconds"}(${integer(right)})`, type: "Interval" });
  if (isInteger(left.type) && isInteger(right.type)) {
    const type = isUnsigned(left.type) && isUnsigned(right.type) && operator !== "-" ? "UInt64" : "Int64";
    const result = `(${integer(left)} ${operator} ${integer(right)})`;
    return { sql: type === "UInt64" ? cast(result, type) : result, type };
  }
  if (!isNumber(left.type) && left.type !== "Bool") throw new QueryError(`Input was invalid: ${operator} of a ${left.type}`);
  if (operator === "%") return { sql: `fmod(${double(left)}, ${double(right)})`, type: "Float64" };
  return { sql: `(${double(left)} ${operator} ${double(right)})`, type: "Float64" };
}

/** A date stays one under days and longer; it becomes a datetime under shorter intervals. */
function shift(operator: "+" | "-", of: Value, by: Value): Value {
  const type = of.type === "Date" && !/^to_(?:hours|minutes|seconds)\(/.test(by.sql) ? "Date" : "DateTime";
  return { sql: cast(`${time(of)} ${operator} ${by.sql}`, type), type, zone: of.zone };
}

export const interval = (amount: number, unit: Unit): Value => ({
  sql: `to_${unit.toLowerCase()}s(${amount})`,
  type: "Interval",
  text: unit,
  number: amount,
});

export function negate(value: Value): Value {
  if (value.type === "Interval") return { ...value, sql: `(-${value.sql})`, number: -(value.number as number) };
  if (isInteger(value.type))
    return { sql: `(-${integer(value)})`, type: "Int64", ...(value.number !== undefined && { number: -value.number }) };
  return { sql: `(-${double(value)})`, type: "Float64", ...(value.number !== undefined && { number: -value.number }) };
}
