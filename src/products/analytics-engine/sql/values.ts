/** A part of a query as DuckDB's SQL, with the type that ClickHouse would give it; and how types follow from each other. */
import { literal } from "../../../kernel/duckdb/engine.ts";
import { QueryError } from "../errors.ts";

export const unsigned = ["UInt8", "UInt16", "UInt32", "UInt64"] as const;
export type Unsigned = (typeof unsigned)[number];
export type Type = "String" | "Float64" | "Int64" | Unsigned | "Bool" | "DateTime" | "Date" | "Interval" | `Array(${string})`;

export interface Value {
  /** A whole expression: it can stand anywhere in parentheses. */
  readonly sql: string;
  readonly type: Type;
  /** Of a DateTime; without it UTC. */
  readonly zone?: string | undefined;
  /** Of a text that stands in the query itself. */
  readonly text?: string;
  /** Of a number that stands in the query itself. */
  readonly number?: number;
}

const duckDbTypes: Readonly<Record<string, string>> = {
  String: "VARCHAR",
  Float64: "DOUBLE",
  Int64: "BIGINT",
  UInt8: "UTINYINT",
  UInt16: "USMALLINT",
  UInt32: "UINTEGER",
  UInt64: "UBIGINT",
  Bool: "BOOLEAN",
  DateTime: "TIMESTAMP",
  Date: "DATE",
};

export const isUnsigned = (type: Type): type is Unsigned => (unsigned as readonly string[]).includes(type);
export const isInteger = (type: Type): boolean => type === "Int64" || isUnsigned(type);
export const isNumber = (type: Type): boolean => type === "Float64" || isInteger(type);
export const isTime = (type: Type): boolean => type === "DateTime" || type === "Date";

export const cast = (sql: string, type: Type): string => `CAST(${sql} AS ${duckDbTypes[type]})`;

export function string(text: string): Value {
  // DuckDB's texts may hold it, its statements may not.
  if (text.includes("\0")) throw new QueryError("Input was invalid: a string has a zero byte");
  return { sql: literal(text), type: "String", text };
}

/** A number as it was written: the smallest unsigned integer that holds it, or a double. */
export function number(text: string): Value {
  if (!/^\d+$/.test(text)) {
    const double = Number(text);
    if (!Number.isFinite(double)) throw new QueryError(`Input was invalid: ${text} is no number`);
    return { sql: cast(`'${double}'`, "Float64"), type: "Float64", number: double };
  }
  const integer = BigInt(text);
  const bits = [8, 16, 32, 64].findIndex((size) => integer < 2n ** BigInt(size));
  if (bits < 0) return number(`${Number(text)}.0`);
  const type = unsigned[bits] as Unsigned;
  return { sql: cast(String(integer), type), type, number: Number(integer) };
}

export const boolean = (sql: string): Value => ({ sql, type: "Bool" });

/** A condition of a value that is one, or a number. */
export function condition(value: Value): string {
  if (value.type === "Bool") return value.sql;
  if (isNumber(value.type)) return `(${value.sql} <> 0)`;
  throw new QueryError(`Input was invalid: a condition cannot be a ${value.type}`);
}

export function double({ sql, type }: Value): string {
  if (isNumber(type)) return cast(sql, "Float64");
  if (type === "Bool") return cast(cast(sql, "UInt8"), "Float64");
  throw new QueryError(`Input was invalid: expected a number, found a ${type}`);
}

export function integer(value: Value): string {
  if (isInteger(value.type)) return cast(value.sql, "Int64");
  return cast(`trunc(${double(value)})`, "Int64");
}

export function textOf(value: Value): string {
  if (value.type === "String") return value.sql;
  throw new QueryError(`Input was invalid: expected a string, found a ${value.type}`);
}

/** A DateTime of a DateTime, a Date, or a text that stands in the query. */
export function time(value: Value): string {
  if (value.type === "DateTime") return value.sql;
  if (value.type === "Date") return cast(value.sql, "DateTime");
  if (value.text !== undefined) return timeLiteral(value.text);
  throw new QueryError(`Input was invalid: expected a datetime, found a ${value.type}`);
}

/** `YYYY-MM-DD`, with `hh:mm:ss` or `hh:mm`; ISO 8601 with T, fractions and Z is understood, too. */
const TIME = /^\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?$/;
function timeLiteral(text: string): string {
  const seconds = /^\d{1,12}$/.test(text) ? Number(text) : undefined;
  const ms =
    seconds === undefined
      ? TIME.test(text)
        ? Date.parse(`${text.replace(" ", "T").replace(/Z$/, "")}${text.length > 10 ? "Z" : ""}`)
        : Number.NaN
      : seconds * 1_000;
  if (!Number.isFinite(ms)) throw new QueryError(`Input was invalid: ${JSON.stringify(text)} is no datetime`);
  return timestamp(ms);
}

/** A moment, to the second. */
export const timestamp = (ms: number): string => `make_timestamp(${Math.floor(ms / 1_000)}000000::BIGINT)`;

/** The type in which two values can be compared or chosen between, with both in it. */
export function common(left: Value, right: Value, where: string): { type: Type; left: string; right: string; zone?: string | undefined } {
  if (isTime(left.type) || isTime(right.type)) {
    if (left.type === right.type) return { type: left.type, left: left.sql, right: right.sql, zone: left.zone };
    return { type: "DateTime", left: moment(left), right: moment(right), zone: left.zone ?? right.zone };
  }
  if (left.type === right.type) return { type: left.type, left: left.sql, right: right.sql };
  if (numeric(left) && numeric(right)) {
    const type = left.type === "Float64" || right.type === "Float64" ? "Float64" : bothUnsigned(left, right) ? wider(left, right) : "Int64";
    const as = (value: Value): string => (type === "Float64" ? double(value) : cast(value.sql, type));
    return { type, left: as(left), right: as(right) };
  }
  throw new QueryError(`Input was invalid: ${where} of a ${left.type} and a ${right.type}`);
}

/** A number beside a datetime is a Unix timestamp. */
const moment = (value: Value): string => (isNumber(value.type) ? `make_timestamp(${integer(value)} * 1000000)` : time(value));
const numeric = ({ type }: Value): boolean => isNumber(type) || type === "Bool";
const bothUnsigned = (left: Value, right: Value): boolean => isUnsigned(left.type) && isUnsigned(right.type);
const wider = (left: Value, right: Value): Unsigned =>
  unsigned[Math.max(unsigned.indexOf(left.type as Unsigned), unsigned.indexOf(right.type as Unsigned))] as Unsigned;
