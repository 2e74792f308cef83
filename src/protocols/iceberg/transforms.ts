/**
 * Partition transforms: their names, which types they take, what they give, and their values. Values are in the form
 * of `values.ts`. A transform that this version does not know is kept by name and gives no value: readers must ignore
 * its field, writers must not use it.
 */
import { invalid } from "./errors.ts";
import { murmur3 } from "./murmur3.ts";
import type { IcebergType, Primitive } from "./types.ts";
import { minimalTwosComplement, uuidBytes, type Value } from "./values.ts";

export type Transform =
  | { readonly kind: "identity" | "year" | "month" | "day" | "hour" | "void" }
  | { readonly kind: "bucket"; readonly buckets: number }
  | { readonly kind: "truncate"; readonly width: number }
  | { readonly kind: "unknown"; readonly text: string };

const SIMPLE = /^(identity|year|month|day|hour|void)s?$/i;
const BUCKET = /^bucket\[(\d{1,9})\]$/i;
const TRUNCATE = /^truncate\[(\d{1,9})\]$/i;

export function parseTransform(text: string): Transform {
  // "days" is an old spelling of "day".
  const simple = SIMPLE.exec(text);
  if (simple !== null) return { kind: (simple[1] as string).toLowerCase() as "identity" };
  const [bucket, truncate] = [BUCKET.exec(text), TRUNCATE.exec(text)];
  if (bucket !== null && Number(bucket[1]) > 0) return { kind: "bucket", buckets: Number(bucket[1]) };
  if (truncate !== null && Number(truncate[1]) > 0) return { kind: "truncate", width: Number(truncate[1]) };
  return { kind: "unknown", text };
}

const TIMESTAMPS = ["timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"];
const SOURCES: Readonly<Record<string, readonly string[]>> = {
  bucket: ["int", "long", "decimal", "date", "time", ...TIMESTAMPS, "string", "uuid", "fixed", "binary"],
  truncate: ["int", "long", "decimal", "string", "binary"],
  year: ["date", ...TIMESTAMPS],
  month: ["date", ...TIMESTAMPS],
  day: ["date", ...TIMESTAMPS],
  hour: TIMESTAMPS,
};
const NO_IDENTITY = new Set(["geometry", "geography", "variant"]);

/** Whether the transform takes values of the type. */
export function canTransform(transform: Transform, source: Primitive): boolean {
  if (transform.kind === "void") return true;
  if (transform.kind === "identity") return !NO_IDENTITY.has(source.kind);
  return SOURCES[transform.kind]?.includes(source.kind) ?? false;
}

/** Type of the transform's values; the source's type name is returned as it is where nothing changes. */
export function transformResultType(transform: Transform, source: IcebergType): IcebergType {
  switch (transform.kind) {
    case "bucket":
    case "year":
    case "month":
    case "hour":
      return "int";
    case "day":
      return "date";
    case "unknown":
      return "string";
    default:
      return source;
  }
}

/** The partition value of a column's value. Null gives null, and so does `void`. Throws `invalid` for unknown transforms and wrong types. */
export function applyTransform(transform: Transform, source: Primitive, value: Value | null): Value | null {
  if (transform.kind === "unknown") throw invalid(`Cannot apply unknown transform: ${transform.text}`);
  if (value === null || transform.kind === "void") return null;
  if (!canTransform(transform, source)) throw invalid(`Invalid source type ${source.kind} for transform: ${transform.kind}`);
  switch (transform.kind) {
    case "identity":
      return value;
    case "bucket":
      return (hashValue(source, value) & 0x7fffffff) % transform.buckets;
    case "truncate":
      return truncate(transform.width, value);
    default:
      return datePart(transform.kind, source, value);
  }
}

/** The 32-bit hash of a value (appendix B). */
export function hashValue(source: Primitive, value: Value): number {
  switch (source.kind) {
    case "int":
    case "date":
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz":
      return hashLong(BigInt(value as number | bigint));
    case "timestamp_ns":
    case "timestamptz_ns":
      return hashLong(floorDiv(value as bigint, 1000n));
    case "decimal":
      return murmur3(minimalTwosComplement(value as bigint));
    case "string":
      return murmur3(Buffer.from(value as string, "utf8"));
    case "uuid":
      return murmur3(uuidBytes(value as string));
    case "fixed":
    case "binary":
      return murmur3(value as Uint8Array);
    default:
      throw invalid(`Invalid source type ${source.kind} for transform: bucket`);
  }
}

function hashLong(value: bigint): number {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return murmur3(bytes);
}

function truncate(width: number, value: Value): Value {
  if (typeof value === "number") return value - (((value % width) + width) % width);
  if (typeof value === "bigint") {
    const w = BigInt(width);
    return value - (((value % w) + w) % w);
  }
  if (typeof value === "string") return [...value].slice(0, width).join("");
  return (value as Uint8Array).subarray(0, width);
}

const MICROS_PER: Readonly<Record<"hour" | "day", bigint>> = { hour: 3_600_000_000n, day: 86_400_000_000n };

function datePart(part: "year" | "month" | "day" | "hour", source: Primitive, value: Value): number {
  if (source.kind === "date") return part === "day" ? (value as number) : fromDays(part as "year" | "month", value as number);
  const micros = source.kind.endsWith("_ns") ? floorDiv(value as bigint, 1000n) : (value as bigint);
  if (part === "hour") return Number(floorDiv(micros, MICROS_PER.hour));
  const days = Number(floorDiv(micros, MICROS_PER.day));
  return part === "day" ? days : fromDays(part, days);
}

function fromDays(part: "year" | "month", days: number): number {
  const date = new Date(days * 86_400_000);
  const years = date.getUTCFullYear() - 1970;
  return part === "year" ? years : years * 12 + date.getUTCMonth();
}

/** Division that rounds down, also below zero. */
function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}
