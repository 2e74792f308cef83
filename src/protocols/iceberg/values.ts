/**
 * Single values of primitive types: how they look in this program, their binary form (appendix D of the
 * specification, used by column bounds), their JSON form (used by default values), and their order.
 *
 * In the program: boolean → boolean; int, date → number; long, time, all timestamps → bigint (in the type's own unit);
 * float, double → number; decimal → bigint, unscaled; string → string; uuid → lower-case text; fixed, binary → bytes.
 */
import { corrupt, invalid } from "./errors.ts";
import type { Primitive } from "./types.ts";

export type Value = boolean | number | bigint | string | Uint8Array;

const INT_KINDS = new Set(["int", "date"]);
const LONG_KINDS = new Set(["long", "time", "timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"]);

// --- binary ------------------------------------------------------------------------------------------------

/** The binary form; throws `invalid` for types that have none and for values of another type. */
export function encodeValue(type: Primitive, value: Value): Uint8Array {
  const { kind } = type;
  if (kind === "boolean" && typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  if (INT_KINDS.has(kind) && (typeof value === "number" || typeof value === "bigint"))
    return fixedBytes(4, (b) => b.writeInt32LE(Number(value)));
  if (LONG_KINDS.has(kind) && (typeof value === "number" || typeof value === "bigint"))
    return fixedBytes(8, (b) => b.writeBigInt64LE(BigInt(value)));
  if (kind === "float" && typeof value === "number") return fixedBytes(4, (b) => b.writeFloatLE(value));
  if (kind === "double" && typeof value === "number") return fixedBytes(8, (b) => b.writeDoubleLE(value));
  if (kind === "decimal" && typeof value === "bigint") return minimalTwosComplement(value);
  if (kind === "string" && typeof value === "string") return Buffer.from(value, "utf8");
  if (kind === "uuid" && typeof value === "string") return uuidBytes(value);
  if ((kind === "fixed" || kind === "binary" || kind === "geometry" || kind === "geography") && value instanceof Uint8Array) return value;
  throw invalid(`Cannot serialize a ${typeof value} as ${kind}`);
}

/**
 * The value of its binary form, or undefined for types without one (bounds of `variant`). Shorter forms from before a
 * type promotion (int to long, float to double, date to timestamp) are read too. Throws `corrupt`.
 */
export function decodeValue(type: Primitive, bytes: Uint8Array): Value | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { kind } = type;
  const size = (...allowed: number[]): void => {
    if (!allowed.includes(buffer.length)) throw corrupt(`A ${kind} value cannot have ${buffer.length} bytes`);
  };
  if (kind === "boolean") {
    size(1);
    return buffer[0] !== 0;
  }
  if (INT_KINDS.has(kind)) {
    size(4);
    return buffer.readInt32LE();
  }
  if (LONG_KINDS.has(kind)) {
    size(4, 8);
    if (buffer.length === 8) return buffer.readBigInt64LE();
    const value = BigInt(buffer.readInt32LE());
    if (kind === "timestamp") return value * MICROS_PER_DAY;
    if (kind === "timestamp_ns") return value * MICROS_PER_DAY * 1000n;
    return value;
  }
  if (kind === "float") {
    size(4);
    return buffer.readFloatLE();
  }
  if (kind === "double") {
    size(4, 8);
    return buffer.length === 8 ? buffer.readDoubleLE() : buffer.readFloatLE();
  }
  if (kind === "decimal") return fromTwosComplement(buffer);
  if (kind === "string") return buffer.toString("utf8");
  if (kind === "uuid") {
    size(16);
    return uuidText(buffer);
  }
  if (kind === "fixed" || kind === "binary" || kind === "geometry" || kind === "geography") return buffer;
  return undefined;
}

const MICROS_PER_DAY = 86_400_000_000n;

function fixedBytes(size: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(size);
  try {
    write(buffer);
  } catch (cause) {
    throw invalid("Cannot serialize a value outside its type's range", { cause });
  }
  return buffer;
}

/** Big-endian two's complement in as few bytes as possible; 0 has one byte. */
export function minimalTwosComplement(value: bigint): Buffer {
  let size = 1;
  while (value < -(1n << BigInt(size * 8 - 1)) || value >= 1n << BigInt(size * 8 - 1)) size++;
  return paddedTwosComplement(value, size);
}

/** Big-endian two's complement in exactly `size` bytes. */
export function paddedTwosComplement(value: bigint, size: number): Buffer {
  const hex = BigInt.asUintN(size * 8, value)
    .toString(16)
    .padStart(size * 2, "0");
  return Buffer.from(hex, "hex");
}

export function fromTwosComplement(bytes: Uint8Array): bigint {
  if (bytes.length === 0) throw corrupt("A decimal value cannot have 0 bytes");
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).toString("hex")}`));
}

/** Bytes that hold every decimal of a precision (Avro's and Parquet's fixed length). */
export function decimalSize(precision: number): number {
  const highest = 10n ** BigInt(precision) - 1n;
  return minimalTwosComplement(highest).length;
}

export function uuidBytes(text: string): Buffer {
  const hex = text.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw invalid(`Invalid uuid: ${text}`);
  return Buffer.from(hex, "hex");
}

export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

// --- order -------------------------------------------------------------------------------------------------

/** Order of two values of one type: numbers by size (NaN last), strings by UTF-8 bytes, bytes unsigned. */
export function compareValues(a: Value, b: Value): number {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (typeof a === "string" && typeof b === "string") return compareStrings(a, b);
  if (typeof a === "number" && typeof b === "number" && (Number.isNaN(a) || Number.isNaN(b)))
    return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

// UTF-16 order differs from UTF-8 order only where surrogates meet U+E000 and above.
function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    // A surrogate stands for a code point above every other unit.
    if (isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;

// --- bounds of columns -------------------------------------------------------------------------------------

/** Code points (or bytes) that bounds of strings and binaries keep, as `write.metadata.metrics.default=truncate(16)`. */
export const BOUND_LENGTH = 16;

/** A lower bound in binary form: long strings and binaries are cut, which only makes them smaller. */
export function encodeLowerBound(type: Primitive, value: Value): Uint8Array {
  if (type.kind === "string") return encodeValue(type, [...(value as string)].slice(0, BOUND_LENGTH).join(""));
  if (type.kind === "binary") return (value as Uint8Array).subarray(0, BOUND_LENGTH);
  return encodeValue(type, value);
}

/** An upper bound in binary form: a cut value's last unit is raised; undefined when none can be raised (no bound then). */
export function encodeUpperBound(type: Primitive, value: Value): Uint8Array | undefined {
  if (type.kind === "string") {
    const points = [...(value as string)];
    if (points.length <= BOUND_LENGTH) return encodeValue(type, value);
    return raiseString(points.slice(0, BOUND_LENGTH));
  }
  if (type.kind === "binary") {
    const bytes = value as Uint8Array;
    if (bytes.length <= BOUND_LENGTH) return bytes;
    return raiseBytes(bytes.slice(0, BOUND_LENGTH));
  }
  return encodeValue(type, value);
}

function raiseString(points: string[]): Uint8Array | undefined {
  for (let i = points.length - 1; i >= 0; i--) {
    let next = (points[i]?.codePointAt(0) as number) + 1;
    if (next >= 0xd800 && next <= 0xdfff) next = 0xe000;
    if (next <= 0x10ffff) return Buffer.from(points.slice(0, i).join("") + String.fromCodePoint(next), "utf8");
  }
  return undefined;
}

function raiseBytes(bytes: Uint8Array): Uint8Array | undefined {
  for (let i = bytes.length - 1; i >= 0; i--) {
    if (bytes[i] === 0xff) continue;
    bytes[i] = (bytes[i] as number) + 1;
    return bytes.subarray(0, i + 1);
  }
  return undefined;
}

// --- JSON --------------------------------------------------------------------------------------------------

const TIMESTAMP = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?$/;
const TIME = /^(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?$/;

/** The value of its JSON form (default values of columns); throws `invalid`. */
export function valueFromJson(type: Primitive, json: unknown): Value {
  const bad = (): never => {
    throw invalid(
      `Cannot parse default as a ${type.kind} value: ${JSON.stringify(json, (_k, v) => (typeof v === "bigint" ? String(v) : v))}`,
    );
  };
  const { kind } = type;
  const text = (): string => (typeof json === "string" ? json : bad());
  switch (kind) {
    case "boolean":
      return typeof json === "boolean" ? json : bad();
    case "int":
      return typeof json === "number" && Number.isInteger(json) && json === (json | 0) ? json : bad();
    case "long":
      return typeof json === "bigint" || (typeof json === "number" && Number.isSafeInteger(json)) ? BigInt(json) : bad();
    case "float":
    case "double":
      return typeof json === "number" || typeof json === "bigint" ? Number(json) : bad();
    case "decimal":
      return unscaled(text(), type.scale) ?? bad();
    case "date": {
      const days = Date.parse(`${text()}T00:00:00Z`) / 86_400_000;
      return Number.isInteger(days) ? days : bad();
    }
    case "time": {
      const m = TIME.exec(text());
      if (m === null) return bad();
      return BigInt(Number(m[1]) * 3600 + Number(m[2]) * 60 + Number(m[3] ?? 0)) * 1_000_000n + BigInt((m[4] ?? "").padEnd(6, "0"));
    }
    case "timestamp":
    case "timestamptz":
      return (timestampNanos(text()) ?? bad()) / 1000n;
    case "timestamp_ns":
    case "timestamptz_ns":
      return timestampNanos(text()) ?? bad();
    case "string":
      return text();
    case "uuid":
      return uuidText(uuidBytes(text()));
    case "fixed":
    case "binary":
      return /^(?:[0-9a-f]{2})*$/i.test(text()) ? Buffer.from(text(), "hex") : bad();
    default:
      return bad();
  }
}

/** "12.30" with scale 2 is 1230n; undefined when it does not fit. */
function unscaled(text: string, scale: number): bigint | undefined {
  const m = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (m === null) return undefined;
  const fraction = m[3] ?? "";
  const shift = scale - fraction.length + Number(m[4] ?? 0);
  if (shift < 0 || shift > 60) return undefined;
  const magnitude = BigInt(`${m[2]}${fraction}`) * 10n ** BigInt(shift);
  return m[1] === "-" ? -magnitude : magnitude;
}

function timestampNanos(text: string): bigint | undefined {
  const m = TIMESTAMP.exec(text);
  if (m === null) return undefined;
  const zone = m[8] ?? "Z";
  const seconds = Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:${m[5]}:${m[6] ?? "00"}${zone}`) / 1000;
  if (!Number.isInteger(seconds)) return undefined;
  return BigInt(seconds) * 1_000_000_000n + BigInt((m[7] ?? "").padEnd(9, "0"));
}
