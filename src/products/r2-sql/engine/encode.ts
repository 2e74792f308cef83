/**
 * DuckDB's types and values as the real service gives them in JSON: numbers with every digit (integers of 64 bits and
 * decimals too), timestamps in RFC 3339 with microseconds and Z, bytes in base64, structs and maps as objects, NaN and
 * infinities as null.
 */
import {
  type DuckDBArrayType,
  type DuckDBArrayValue,
  type DuckDBBlobValue,
  type DuckDBDateValue,
  type DuckDBDecimalType,
  type DuckDBDecimalValue,
  type DuckDBListType,
  type DuckDBListValue,
  type DuckDBMapType,
  type DuckDBMapValue,
  type DuckDBStructType,
  type DuckDBStructValue,
  type DuckDBTimestampMillisecondsValue,
  type DuckDBTimestampNanosecondsValue,
  type DuckDBTimestampSecondsValue,
  type DuckDBTimestampValue,
  type DuckDBTimeValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from "@duckdb/node-api";
import type { Descriptor } from "./protocol.ts";

// --- types -------------------------------------------------------------------------------------------------

const TYPE_NAMES: Readonly<Partial<Record<DuckDBTypeId, string>>> = {
  [DuckDBTypeId.BOOLEAN]: "bool",
  [DuckDBTypeId.TINYINT]: "int8",
  [DuckDBTypeId.SMALLINT]: "int16",
  [DuckDBTypeId.INTEGER]: "int32",
  [DuckDBTypeId.BIGINT]: "int64",
  [DuckDBTypeId.UTINYINT]: "uint8",
  [DuckDBTypeId.USMALLINT]: "uint16",
  [DuckDBTypeId.UINTEGER]: "uint32",
  [DuckDBTypeId.UBIGINT]: "uint64",
  [DuckDBTypeId.FLOAT]: "float32",
  [DuckDBTypeId.DOUBLE]: "float64",
  [DuckDBTypeId.VARCHAR]: "string",
  [DuckDBTypeId.BLOB]: "bytes",
  [DuckDBTypeId.DATE]: "date32",
  [DuckDBTypeId.TIME]: "time",
  [DuckDBTypeId.UUID]: "uuid",
  [DuckDBTypeId.INTERVAL]: "interval",
  [DuckDBTypeId.SQLNULL]: "null",
};

const TIMESTAMP_UNITS: Readonly<Partial<Record<DuckDBTypeId, string>>> = {
  [DuckDBTypeId.TIMESTAMP_S]: "second",
  [DuckDBTypeId.TIMESTAMP_MS]: "millisecond",
  [DuckDBTypeId.TIMESTAMP]: "microsecond",
  [DuckDBTypeId.TIMESTAMP_TZ]: "microsecond",
  [DuckDBTypeId.TIMESTAMP_NS]: "nanosecond",
};

/** A column's type in the form of the real service's `descriptor`. */
export function descriptor(type: DuckDBType): Descriptor {
  return { type: typeDescriptor(type), nullable: true };
}

function typeDescriptor(type: DuckDBType): Descriptor["type"] {
  const unit = TIMESTAMP_UNITS[type.typeId];
  if (unit !== undefined) return { name: "timestamp", unit };
  switch (type.typeId) {
    case DuckDBTypeId.DECIMAL: {
      const { width, scale } = type as DuckDBDecimalType;
      return { name: "decimal128", precision: width, scale };
    }
    // Sums of integers: DuckDB adds them in 128 bits.
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return { name: "decimal128", precision: 38, scale: 0 };
    case DuckDBTypeId.LIST:
      return { name: "list", item: descriptor((type as DuckDBListType).valueType) };
    case DuckDBTypeId.ARRAY:
      return { name: "list", item: descriptor((type as DuckDBArrayType).valueType) };
    case DuckDBTypeId.MAP: {
      const { keyType, valueType } = type as DuckDBMapType;
      return { name: "map", key: descriptor(keyType), value: descriptor(valueType) };
    }
    case DuckDBTypeId.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDBStructType;
      return { name: "struct", fields: entryNames.map((name, i) => ({ ...descriptor(entryTypes[i] as DuckDBType), name })) };
    }
    default:
      return { name: TYPE_NAMES[type.typeId] ?? "string" };
  }
}

// --- values ------------------------------------------------------------------------------------------------

export type Encoder = (value: DuckDBValue) => string;

const nullable =
  (encode: Encoder): Encoder =>
  (value) =>
    value === null || value === undefined ? "null" : encode(value);

const asNumber = nullable((value) => (Number.isFinite(value as number) ? String(value) : "null"));
const asText = nullable((value) => JSON.stringify(typeof value === "string" ? value : String(value)));
const asRaw = nullable((value) => String(value));

/** The function that turns a column's values into JSON texts; made once for each column. */
export function encoder(type: DuckDBType): Encoder {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return nullable((value) => (value === true ? "true" : "false"));
    case DuckDBTypeId.TINYINT:
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.UTINYINT:
    case DuckDBTypeId.USMALLINT:
    case DuckDBTypeId.UINTEGER:
    case DuckDBTypeId.DOUBLE:
      return asNumber;
    case DuckDBTypeId.FLOAT:
      return nullable((value) => floatText(value as number));
    case DuckDBTypeId.BIGINT:
    case DuckDBTypeId.UBIGINT:
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return asRaw;
    case DuckDBTypeId.DECIMAL:
      return nullable((value) => (value as DuckDBDecimalValue).toString());
    case DuckDBTypeId.BLOB:
      return nullable((value) => `"${Buffer.from((value as DuckDBBlobValue).bytes).toString("base64")}"`);
    case DuckDBTypeId.DATE:
      return nullable((value) => JSON.stringify(dateText((value as DuckDBDateValue).days)));
    case DuckDBTypeId.TIME:
      return nullable((value) => `"${timeText((value as DuckDBTimeValue).micros)}"`);
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_TZ:
      return nullable((value) => microsText((value as DuckDBTimestampValue).micros));
    case DuckDBTypeId.TIMESTAMP_MS:
      return nullable((value) => instantText((value as DuckDBTimestampMillisecondsValue).millis * 1000n, 6));
    case DuckDBTypeId.TIMESTAMP_S:
      return nullable((value) => instantText((value as DuckDBTimestampSecondsValue).seconds * 1_000_000n, 6));
    case DuckDBTypeId.TIMESTAMP_NS:
      return nullable((value) => instantText((value as DuckDBTimestampNanosecondsValue).nanos, 9));
    case DuckDBTypeId.LIST:
      return listEncoder((type as DuckDBListType).valueType);
    case DuckDBTypeId.ARRAY:
      return listEncoder((type as DuckDBArrayType).valueType);
    case DuckDBTypeId.STRUCT:
      return structEncoder(type as DuckDBStructType);
    case DuckDBTypeId.MAP:
      return mapEncoder(type as DuckDBMapType);
    default:
      return asText;
  }
}

function listEncoder(itemType: DuckDBType): Encoder {
  const encode = encoder(itemType);
  return nullable((value) => `[${(value as DuckDBListValue | DuckDBArrayValue).items.map(encode).join(",")}]`);
}

function structEncoder(type: DuckDBStructType): Encoder {
  const fields = type.entryNames.map((name, i) => [name, JSON.stringify(name), encoder(type.entryTypes[i] as DuckDBType)] as const);
  return nullable((value) => {
    const { entries } = value as DuckDBStructValue;
    return `{${fields.map(([name, key, encode]) => `${key}:${encode(entries[name] ?? null)}`).join(",")}}`;
  });
}

/** A map is an object; keys that are no texts become their JSON text. */
function mapEncoder(type: DuckDBMapType): Encoder {
  const [key, value] = [encoder(type.keyType), encoder(type.valueType)];
  return nullable((map) => {
    const entries = (map as DuckDBMapValue).entries.map((entry) => {
      const name = key(entry.key);
      return `${name.startsWith('"') ? name : JSON.stringify(name)}:${value(entry.value)}`;
    });
    return `{${entries.join(",")}}`;
  });
}

/** The shortest digits that give the same 32-bit number: 0.1, not 0.10000000149011612. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  for (let precision = 6; precision < 9; precision++) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

const MICROS_PER_SECOND = 1_000_000n;
const DAY_MS = 86_400_000;
// Beyond this many days JavaScript's Date ends; DuckDB's infinities lie there too.
const DAYS_MAX = 100_000_000;

function dateText(days: number): string {
  if (Math.abs(days) > DAYS_MAX) return days > 0 ? "infinity" : "-infinity";
  const iso = new Date(days * DAY_MS).toISOString();
  return iso.slice(0, iso.indexOf("T"));
}

function timeText(micros: bigint): string {
  const seconds = Number(micros / MICROS_PER_SECOND);
  const two = (n: number): string => String(n).padStart(2, "0");
  const fraction = String(micros % MICROS_PER_SECOND).padStart(6, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${fraction}`;
}

/** The common case of `instantText` without arithmetic on big integers: the years 1684 to 2255. */
function microsText(micros: bigint): string {
  const units = Number(micros);
  if (!Number.isSafeInteger(units)) return instantText(micros, 6);
  const days = Math.floor(units / DAY_MICROS);
  const rest = units - days * DAY_MICROS;
  const seconds = Math.floor(rest / 1e6);
  const [hour, minute] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const fraction = String(rest % 1e6).padStart(6, "0");
  return `"${dayText(days)}T${TWO_DIGITS[hour]}:${TWO_DIGITS[minute]}:${TWO_DIGITS[seconds % 60]}.${fraction}Z"`;
}

const DAY_MICROS = 86_400_000_000;
const TWO_DIGITS = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, "0"));
/** Days of one result are mostly few: making their text is what costs. */
const dayTexts = new Map<number, string>();

function dayText(days: number): string {
  let text = dayTexts.get(days);
  if (text === undefined) {
    if (dayTexts.size > 10_000) dayTexts.clear();
    text = dateText(days);
    dayTexts.set(days, text);
  }
  return text;
}

/** `units` since the epoch, `digits` of them behind the point of a second. */
function instantText(units: bigint, digits: number): string {
  const perSecond = 10n ** BigInt(digits);
  let fraction = units % perSecond;
  if (fraction < 0n) fraction += perSecond;
  const seconds = (units - fraction) / perSecond;
  const ms = Number(seconds) * 1000;
  if (Math.abs(ms) > DAYS_MAX * DAY_MS) return units > 0n ? '"infinity"' : '"-infinity"';
  const iso = new Date(ms).toISOString();
  return `"${iso.slice(0, iso.length - 5)}.${String(fraction).padStart(digits, "0")}Z"`;
}

/** Names of columns, made different: rows are objects. A second "a" becomes "a:1". */
export function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let i = 1; taken.has(unique); i++) unique = `${name}:${i}`;
    taken.add(unique);
    return unique;
  });
}
