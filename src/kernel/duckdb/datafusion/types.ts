/** DuckDB's types by family, and Arrow's names for them. */
import { type DuckDBDecimalType, type DuckDBListType, type DuckDBStructType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { FunctionError } from "./rule.ts";

const integers: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.HUGEINT,
]);

export const isInteger = (type: DuckDBType): boolean => integers.has(type.typeId);
export const isFloat = (type: DuckDBType): boolean => type.typeId === DuckDBTypeId.DOUBLE || type.typeId === DuckDBTypeId.FLOAT;
export const isText = (type: DuckDBType): boolean => type.typeId === DuckDBTypeId.VARCHAR || type.typeId === DuckDBTypeId.STRING_LITERAL;
export const isList = (type: DuckDBType): type is DuckDBListType => type.typeId === DuckDBTypeId.LIST;

/** Levels of lists around the first type that is no list. */
export const listDepth = (type: DuckDBType): number => (isList(type) ? 1 + listDepth(type.valueType) : 0);
export const innermost = (type: DuckDBType): DuckDBType => (isList(type) ? innermost(type.valueType) : type);

const names: Partial<Record<DuckDBTypeId, string>> = {
  [DuckDBTypeId.SQLNULL]: "Null",
  [DuckDBTypeId.BOOLEAN]: "Boolean",
  [DuckDBTypeId.TINYINT]: "Int8",
  [DuckDBTypeId.SMALLINT]: "Int16",
  [DuckDBTypeId.INTEGER]: "Int32",
  [DuckDBTypeId.BIGINT]: "Int64",
  [DuckDBTypeId.UTINYINT]: "UInt8",
  [DuckDBTypeId.USMALLINT]: "UInt16",
  [DuckDBTypeId.UINTEGER]: "UInt32",
  [DuckDBTypeId.UBIGINT]: "UInt64",
  [DuckDBTypeId.HUGEINT]: "Decimal128(38, 0)",
  [DuckDBTypeId.FLOAT]: "Float32",
  [DuckDBTypeId.DOUBLE]: "Float64",
  [DuckDBTypeId.VARCHAR]: "Utf8",
  [DuckDBTypeId.STRING_LITERAL]: "Utf8",
  [DuckDBTypeId.UUID]: "Utf8",
  [DuckDBTypeId.BLOB]: "Binary",
  [DuckDBTypeId.DATE]: "Date32",
  [DuckDBTypeId.TIME]: "Time64(Microsecond)",
  [DuckDBTypeId.TIMESTAMP_S]: "Timestamp(Second, None)",
  [DuckDBTypeId.TIMESTAMP_MS]: "Timestamp(Millisecond, None)",
  [DuckDBTypeId.TIMESTAMP]: "Timestamp(Microsecond, None)",
  [DuckDBTypeId.TIMESTAMP_NS]: "Timestamp(Nanosecond, None)",
  [DuckDBTypeId.TIMESTAMP_TZ]: 'Timestamp(Microsecond, Some("+00:00"))',
  [DuckDBTypeId.INTERVAL]: "Interval(MonthDayNano)",
};

/** Arrow's name of a type, as DataFusion's `arrow_typeof` prints it. */
export function arrowName(type: DuckDBType): string {
  const simple = names[type.typeId];
  if (simple !== undefined) return simple;
  if (type.typeId === DuckDBTypeId.DECIMAL) {
    const { width, scale } = type as DuckDBDecimalType;
    return `Decimal128(${width}, ${scale})`;
  }
  if (isList(type))
    return `List(Field { name: "item", data_type: ${arrowName(type.valueType)}, nullable: true, dict_id: 0, dict_is_ordered: false, metadata: {} })`;
  if (type.typeId === DuckDBTypeId.STRUCT) {
    const { entryNames, entryTypes } = type as DuckDBStructType;
    return `Struct(${entryNames.map((name, i) => `${name} ${arrowName(entryTypes[i] as DuckDBType)}`).join(", ")})`;
  }
  throw new FunctionError(`arrow_typeof: the type ${type} has no Arrow name`);
}

const units: Readonly<Record<string, string>> = {
  Second: "TIMESTAMP_S",
  Millisecond: "TIMESTAMP_MS",
  Microsecond: "TIMESTAMP",
  Nanosecond: "TIMESTAMP_NS",
};

const sqlTypes: Readonly<Record<string, string>> = {
  Boolean: "BOOLEAN",
  Int8: "TINYINT",
  Int16: "SMALLINT",
  Int32: "INTEGER",
  Int64: "BIGINT",
  UInt8: "UTINYINT",
  UInt16: "USMALLINT",
  UInt32: "UINTEGER",
  UInt64: "UBIGINT",
  Float32: "FLOAT",
  Float64: "DOUBLE",
  Utf8: "VARCHAR",
  LargeUtf8: "VARCHAR",
  Utf8View: "VARCHAR",
  Binary: "BLOB",
  LargeBinary: "BLOB",
  BinaryView: "BLOB",
  Date32: "DATE",
  Date64: "DATE",
  "Time64(Microsecond)": "TIME",
  "Time64(Nanosecond)": "TIME",
  "Time32(Second)": "TIME",
  "Time32(Millisecond)": "TIME",
};

/** Arrow's names by the names that DuckDB's `typeof` gives, of types without parameters: of several names the first above. */
export const arrowNames: ReadonlyMap<string, string> = new Map(
  [
    ...Object.entries(sqlTypes).reverse(),
    ...Object.entries(units).map(([unit, sql]): [string, string] => [`Timestamp(${unit}, None)`, sql]),
  ].map(([arrow, sql]) => [sql, arrow]),
);

export interface ArrowType {
  /** DuckDB's SQL for it. */
  readonly sql: string;
  /** Minutes east of UTC, for timestamps with a zone. */
  readonly offset?: number;
}

/** Reads Arrow's name of a type. Dictionaries are their values: an encoding, not a type. Throws `FunctionError`. */
export function parseArrowType(name: string): ArrowType {
  const text = name.trim();
  const simple = sqlTypes[text];
  if (simple !== undefined) return { sql: simple };
  const [, outer, inner] = /^(\w+)\((.*)\)$/s.exec(text) ?? [];
  switch (outer) {
    case "Dictionary": {
      const value = /^U?Int(?:8|16|32|64)\s*,(.*)$/s.exec(inner as string)?.[1];
      if (value !== undefined) return parseArrowType(value);
      break;
    }
    case "List":
    case "LargeList":
      return { sql: `${parseArrowType(inner as string).sql}[]` };
    case "Decimal128":
    case "Decimal256": {
      const [, width, scale] = /^(\d{1,2})\s*,\s*(\d{1,2})$/.exec(inner as string) ?? [];
      if (width !== undefined && Number(width) >= 1 && Number(width) <= 38 && Number(scale) <= Number(width))
        return { sql: `DECIMAL(${width}, ${scale})` };
      break;
    }
    case "Timestamp": {
      const [, unit, zone] = /^(\w+)\s*,\s*(?:None|Some\("([^"]*)"\))$/.exec(inner as string) ?? [];
      const sql = units[unit ?? ""];
      if (sql !== undefined) return zone === undefined ? { sql } : { sql: "TIMESTAMP WITH TIME ZONE", offset: zoneOffset(zone) };
      break;
    }
  }
  throw new FunctionError(
    `Unsupported type '${name}'. Must be a supported arrow type name such as 'Int32' or 'Timestamp(Nanosecond, None)'`,
  );
}

function zoneOffset(zone: string): number {
  if (zone === "UTC" || zone === "Z") return 0;
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(zone) ?? [];
  if (sign === undefined) throw new FunctionError(`unsupported time zone '${zone}': write it as +HH:MM`);
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}
