/**
 * Whether a parsed event fits its stream's schema. Runs at ingest because the parsed event is there anyway, and a schema
 * never changes: the verdict is the same as at processing, when the event is dropped and counted. What passes here can be
 * read by DuckDB with typed columns without a failing cast (`source.ts` relies on it).
 *
 * Error types as in docs/pipelines/observability/metrics.
 */
import type { Field, FieldType, TimestampUnit } from "./fields.ts";

export const errorTypes = ["missing_field", "type_mismatch", "parse_failure", "null_value"] as const;
export type ErrorType = (typeof errorTypes)[number];

export interface RecordError {
  readonly type: ErrorType;
  readonly message: string;
}

/**
 * Undefined when the event fits. "exact" when the answer depends on digits that a number cannot hold: parse the event
 * again with `parseExact` and ask once more.
 */
export type RecordCheck = (event: Readonly<Record<string, unknown>>) => RecordError | "exact" | undefined;

export function recordCheck(fields: readonly Field[]): RecordCheck {
  return structCheck(fields, "");
}

/** JSON with integers beyond 2^53 as bigint. */
export function parseExact(text: string): unknown {
  return parseJson(text, (_key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source ?? "")
      ? BigInt(context.source as string)
      : value,
  );
}

// The parameter types of the standard library do not know the reviver's third argument yet (ES2026).
const parseJson = JSON.parse as (text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;

type ValueCheck = (value: unknown) => RecordError | "exact" | undefined;

function structCheck(fields: readonly Field[], prefix: string): RecordCheck {
  const checks = fields.map(({ name, required, type }) => ({
    name,
    required,
    // `event.constructor` is no field of the event.
    inherited: name in Object.prototype,
    check: valueCheck(type, `${prefix}${name}`),
    missing: failure("missing_field", `missing required field "${prefix}${name}"`),
    isNull: failure("null_value", `required field "${prefix}${name}" is null`),
  }));
  return (event) => {
    for (let i = 0; i < checks.length; i++) {
      const field = checks[i] as (typeof checks)[number];
      const value = field.inherited && !Object.hasOwn(event, field.name) ? undefined : event[field.name];
      if (value === undefined) {
        if (field.required) return field.missing;
      } else if (value === null) {
        if (field.required) return field.isNull;
      } else {
        const error = field.check(value);
        if (error !== undefined) return error;
      }
    }
    return undefined;
  };
}

const failure = (type: ErrorType, message: string): RecordError => ({ type, message });

function valueCheck(type: FieldType, path: string): ValueCheck {
  const mismatch = (value: unknown): RecordError =>
    failure("type_mismatch", `field "${path}": expected ${type.kind}, got ${kindOf(value)}`);
  const unparsable = (why: string): RecordError => failure("parse_failure", `field "${path}": ${why}`);
  switch (type.kind) {
    case "string":
      return (value) => (typeof value === "string" ? undefined : mismatch(value));
    case "bool":
      return (value) => (typeof value === "boolean" ? undefined : mismatch(value));
    case "json":
      return () => undefined;
    case "binary":
      return (value) => (typeof value !== "string" ? mismatch(value) : isBase64(value) ? undefined : unparsable("not base64"));
    case "int32":
      return integerCheck(-(2n ** 31n), 2n ** 31n - 1n, mismatch, unparsable);
    case "uint32":
      return integerCheck(0n, 2n ** 32n - 1n, mismatch, unparsable);
    case "int64":
      return integerCheck(-(2n ** 63n), 2n ** 63n - 1n, mismatch, unparsable);
    case "uint64":
      return integerCheck(0n, 2n ** 64n - 1n, mismatch, unparsable);
    case "float32":
      return numberCheck((value) => Number.isFinite(Math.fround(value)), mismatch, unparsable);
    case "float64":
      return numberCheck(Number.isFinite, mismatch, unparsable);
    case "decimal128": {
      const limit = 10 ** (type.precision - type.scale);
      return numberCheck((value) => Math.abs(value) < limit, mismatch, unparsable);
    }
    case "timestamp":
      return timestampCheck(type.unit, mismatch, unparsable);
    case "list": {
      const check = valueCheck(type.items.type, `${path}[]`);
      const isNull = failure("null_value", `required element of "${path}" is null`);
      return (value) => {
        if (!Array.isArray(value)) return mismatch(value);
        for (const item of value) {
          const error = item === null ? (type.items.required ? isNull : undefined) : check(item);
          if (error !== undefined) return error;
        }
        return undefined;
      };
    }
    case "struct": {
      const check = structCheck(type.fields, `${path}.`);
      return (value) => (isObject(value) ? check(value) : mismatch(value));
    }
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

type Mismatch = (value: unknown) => RecordError;
type Unparsable = (why: string) => RecordError;

/** Integers may come as strings, which is how clients send more than 2^53 (wrangler's own example does). */
function integerCheck(min: bigint, max: bigint, mismatch: Mismatch, unparsable: Unparsable): ValueCheck {
  const [low, high] = [Number(min), Number(max)];
  // Number(2^63 - 1) is 2^63: a value that equals such a bound may lie on either side of it.
  const ambiguous = !Number.isSafeInteger(high);
  const range = (value: bigint): RecordError | undefined => (value < min || value > max ? unparsable("out of range") : undefined);
  return (value) => {
    if (typeof value === "number") {
      if (!Number.isInteger(value)) return Number.isFinite(value) ? mismatch(value) : unparsable("out of range");
      if (value < low || value > high) return unparsable("out of range");
      return ambiguous && (value === high || value === low) ? "exact" : undefined;
    }
    if (typeof value === "bigint") return range(value);
    return typeof value === "string" && /^-?\d{1,40}$/.test(value) ? range(BigInt(value)) : mismatch(value);
  };
}

function numberCheck(fits: (value: number) => boolean, mismatch: Mismatch, unparsable: Unparsable): ValueCheck {
  const range = (value: number): RecordError | undefined => (fits(value) ? undefined : unparsable("out of range"));
  return (value) => {
    if (typeof value === "number") return range(value);
    if (typeof value === "bigint") return range(Number(value));
    return typeof value === "string" && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value) ? range(Number(value)) : mismatch(value);
  };
}

/** Base64 of RFC 4648, with padding. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

const msPerUnit: Readonly<Record<TimestampUnit, number>> = { second: 1000, millisecond: 1, microsecond: 1e-3, nanosecond: 1e-6 };
/** Years 0 to 9999: what RFC 3339 can say. */
const [MS_MIN, MS_MAX] = [Date.parse("0000-01-01T00:00:00Z"), Date.UTC(10_000, 0, 1) - 1];
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-](\d\d):(\d\d))?)?$/;

/** What 64 bits of nanoseconds hold: 1677 to 2262. */
const NANOS_MS_MAX = 9_223_372_036_854;

/** "RFC 3339 timestamps, or numeric values parsed as Unix seconds, milliseconds, …" (docs/pipelines/streams/manage-streams). */
function timestampCheck(unit: TimestampUnit, mismatch: Mismatch, unparsable: Unparsable): ValueCheck {
  const factor = msPerUnit[unit];
  const [min, max] = unit === "nanosecond" ? [-NANOS_MS_MAX, NANOS_MS_MAX] : [MS_MIN, MS_MAX];
  const fits = (ms: number): RecordError | undefined => (ms >= min && ms <= max ? undefined : unparsable("out of range"));
  return (value) => {
    if (typeof value === "string") {
      if (!isTimestamp(value)) return unparsable("not an RFC 3339 timestamp");
      return unit === "nanosecond" ? fits(Date.parse(value.toUpperCase())) : undefined;
    }
    if (typeof value !== "number" && typeof value !== "bigint") return mismatch(value);
    if (typeof value === "number" && !Number.isInteger(value)) return mismatch(value);
    return fits(Number(value) * factor);
  };
}

function isTimestamp(text: string): boolean {
  const match = RFC3339.exec(text);
  if (match === null) return false;
  const [year, month, day, hour, minute, second, offsetHour, offsetMinute] = match.slice(1).map((part) => Number(part ?? 0)) as number[];
  return (
    inRange(year, 1, 9999) &&
    inRange(month, 1, 12) &&
    inRange(day, 1, 31) &&
    ((day as number) <= 28 || (day as number) <= daysInMonth(year as number, month as number)) &&
    inRange(hour, 0, 23) &&
    inRange(minute, 0, 59) &&
    inRange(second, 0, 59) &&
    inRange(offsetHour, 0, 15) &&
    inRange(offsetMinute, 0, 59)
  );
}

const inRange = (value: number | undefined, min: number, max: number): boolean => value !== undefined && value >= min && value <= max;
const daysInMonth = (year: number, month: number): number => new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();

const kindOf = (value: unknown): string =>
  Array.isArray(value) ? "list" : value === null ? "null" : typeof value === "object" ? "struct" : typeof value;
