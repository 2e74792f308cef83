/**
 * How the columns of a compiled statement are written: the select list in front of a sink's file, and the Iceberg type of
 * each column. Types that a file format or Iceberg does not have are widened (UINTEGER to long), never narrowed.
 */
import { type DuckDBDecimalType, type DuckDBListType, type DuckDBStructType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { identifier, literal } from "../../kernel/duckdb/engine.ts";
import type { IcebergType, NestedField } from "../../protocols/iceberg/types.ts";
import { INGEST_COLUMN, TIME } from "./fields.ts";
import type { Column } from "./sql/compile.ts";
import { SqlError } from "./sql/sql-error.ts";

/** How NDJSON shows what JSON has no type for. */
export interface JsonEncoding {
  readonly timestamps: "rfc3339" | "unix_millis";
  /** "bytes": the unscaled value in 16 bytes, big-endian, as base64. */
  readonly decimals: "number" | "string" | "bytes";
  /** The sink takes one column, `value`, of JSON. */
  readonly unstructured: boolean;
}

/** The select list for Parquet files of an R2 sink. Throws `SqlError` for a column that cannot be written. */
export function parquetList(columns: readonly Column[]): string {
  return columns.map(({ name, type }) => `CAST(${identifier(name)} AS ${parquetType(type, name)}) AS ${identifier(name)}`).join(", ");
}

/**
 * The select list for NDJSON files: times as text or numbers, bytes as base64, JSON as it is, floats that JSON has no
 * number for as null. Throws `SqlError` for columns that an unstructured sink does not take.
 */
export function jsonList(columns: readonly Column[], encoding: JsonEncoding): string {
  const [value, ...more] = columns;
  if (encoding.unstructured && (more.length > 0 || value?.name !== "value" || value.type.alias !== "JSON"))
    throw new SqlError("a sink of unstructured JSON takes a single column called value, of type JSON");
  return columns.map(({ name, type }) => `${jsonValue(identifier(name), type, encoding, 0)} AS ${identifier(name)}`).join(", ");
}

/** The select list for files of a catalog table: the time of ingest first, as the service's own tables have it. */
export function catalogList(columns: readonly Column[]): string {
  const own = columns.map(({ name, type }) => `CAST(${identifier(name)} AS ${catalogType(type, name).sql}) AS ${identifier(name)}`);
  return [`${TIME} AS ${INGEST_COLUMN}`, ...own].join(", ");
}

/** The Iceberg fields of such a table, ids from 1 in the order of `catalogList`. Every column is optional: an expression may give NULL. */
export function icebergFields(columns: readonly Column[]): NestedField[] {
  let next = 1;
  const numbered = (type: IcebergType): IcebergType => {
    if (typeof type === "string" || type.type === "map") return type;
    if (type.type === "list") return { ...type, "element-id": next++, element: numbered(type.element) };
    const fields = type.fields.map((field) => ({ ...field, id: next++ }));
    return { ...type, fields: fields.map((field) => ({ ...field, type: numbered(field.type) })) };
  };
  const own = columns.map(({ name, type }) => ({ name, type: catalogType(type, name).iceberg }));
  const top = [{ name: INGEST_COLUMN, type: "timestamptz" as IcebergType }, ...own].map((field) => ({
    ...field,
    id: next++,
    required: false,
  }));
  return top.map((field) => ({ ...field, type: numbered(field.type) }));
}

function unsupported(name: string, type: DuckDBType): SqlError {
  return new SqlError(`the column "${name}" has the type ${type}, which cannot be written; cast it`);
}

// --- Parquet -----------------------------------------------------------------------------------------------

function parquetType(type: DuckDBType, name: string): string {
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
    case DuckDBTypeId.UUID:
    case DuckDBTypeId.VARCHAR:
      return "VARCHAR";
    case DuckDBTypeId.HUGEINT:
      return "DECIMAL(38, 0)";
    case DuckDBTypeId.LIST:
      return `${parquetType((type as DuckDBListType).valueType, name)}[]`;
    case DuckDBTypeId.STRUCT:
      return structType(type as DuckDBStructType, (member) => parquetType(member, name));
    case DuckDBTypeId.BOOLEAN:
    case DuckDBTypeId.TINYINT:
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.BIGINT:
    case DuckDBTypeId.UTINYINT:
    case DuckDBTypeId.USMALLINT:
    case DuckDBTypeId.UINTEGER:
    case DuckDBTypeId.UBIGINT:
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DOUBLE:
    case DuckDBTypeId.DECIMAL:
    case DuckDBTypeId.BLOB:
    case DuckDBTypeId.DATE:
    case DuckDBTypeId.TIME:
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_S:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_NS:
    case DuckDBTypeId.TIMESTAMP_TZ:
    case DuckDBTypeId.INTERVAL:
      return String(type);
  }
  throw unsupported(name, type);
}

function structType(type: DuckDBStructType, member: (type: DuckDBType) => string): string {
  return `STRUCT(${type.entryNames.map((key, i) => `${identifier(key)} ${member(type.entryTypes[i] as DuckDBType)}`).join(", ")})`;
}

// --- Iceberg -----------------------------------------------------------------------------------------------

interface CatalogType {
  readonly sql: string;
  readonly iceberg: IcebergType;
}

const catalogTypes: Partial<Record<DuckDBTypeId, CatalogType>> = {
  [DuckDBTypeId.SQLNULL]: { sql: "VARCHAR", iceberg: "string" },
  [DuckDBTypeId.VARCHAR]: { sql: "VARCHAR", iceberg: "string" },
  [DuckDBTypeId.UUID]: { sql: "VARCHAR", iceberg: "string" },
  [DuckDBTypeId.BOOLEAN]: { sql: "BOOLEAN", iceberg: "boolean" },
  [DuckDBTypeId.TINYINT]: { sql: "INTEGER", iceberg: "int" },
  [DuckDBTypeId.SMALLINT]: { sql: "INTEGER", iceberg: "int" },
  [DuckDBTypeId.INTEGER]: { sql: "INTEGER", iceberg: "int" },
  [DuckDBTypeId.UTINYINT]: { sql: "INTEGER", iceberg: "int" },
  [DuckDBTypeId.USMALLINT]: { sql: "INTEGER", iceberg: "int" },
  [DuckDBTypeId.BIGINT]: { sql: "BIGINT", iceberg: "long" },
  [DuckDBTypeId.UINTEGER]: { sql: "BIGINT", iceberg: "long" },
  [DuckDBTypeId.UBIGINT]: { sql: "DECIMAL(20, 0)", iceberg: "decimal(20, 0)" },
  [DuckDBTypeId.HUGEINT]: { sql: "DECIMAL(38, 0)", iceberg: "decimal(38, 0)" },
  [DuckDBTypeId.FLOAT]: { sql: "FLOAT", iceberg: "float" },
  [DuckDBTypeId.DOUBLE]: { sql: "DOUBLE", iceberg: "double" },
  [DuckDBTypeId.BLOB]: { sql: "BLOB", iceberg: "binary" },
  [DuckDBTypeId.DATE]: { sql: "DATE", iceberg: "date" },
  [DuckDBTypeId.TIME]: { sql: "TIME", iceberg: "time" },
  [DuckDBTypeId.TIMESTAMP]: { sql: "TIMESTAMP", iceberg: "timestamp" },
  // Tables of format version 2 have microseconds, no other unit.
  [DuckDBTypeId.TIMESTAMP_S]: { sql: "TIMESTAMP", iceberg: "timestamp" },
  [DuckDBTypeId.TIMESTAMP_MS]: { sql: "TIMESTAMP", iceberg: "timestamp" },
  [DuckDBTypeId.TIMESTAMP_NS]: { sql: "TIMESTAMP", iceberg: "timestamp" },
  [DuckDBTypeId.TIMESTAMP_TZ]: { sql: "TIMESTAMP WITH TIME ZONE", iceberg: "timestamptz" },
};

function catalogType(type: DuckDBType, name: string): CatalogType {
  const simple = catalogTypes[type.typeId];
  if (simple !== undefined) return simple;
  if (type.typeId === DuckDBTypeId.DECIMAL) {
    const { width, scale } = type as DuckDBDecimalType;
    return { sql: `DECIMAL(${width}, ${scale})`, iceberg: `decimal(${width}, ${scale})` };
  }
  if (type.typeId === DuckDBTypeId.LIST) {
    const element = catalogType((type as DuckDBListType).valueType, name);
    return { sql: `${element.sql}[]`, iceberg: { type: "list", "element-id": 0, element: element.iceberg, "element-required": false } };
  }
  if (type.typeId === DuckDBTypeId.STRUCT) {
    const { entryNames, entryTypes } = type as DuckDBStructType;
    const members = entryTypes.map((member) => catalogType(member, name));
    const fields = entryNames.map((key, i) => ({ id: 0, name: key, required: false, type: (members[i] as CatalogType).iceberg }));
    return {
      sql: `STRUCT(${entryNames.map((key, i) => `${identifier(key)} ${(members[i] as CatalogType).sql}`).join(", ")})`,
      iceberg: { type: "struct", fields },
    };
  }
  throw unsupported(name, type);
}

// --- NDJSON ------------------------------------------------------------------------------------------------

const RFC3339 = "%Y-%m-%dT%H:%M:%S.%fZ";
const convertedTypes = new Set([
  DuckDBTypeId.FLOAT,
  DuckDBTypeId.DOUBLE,
  DuckDBTypeId.BLOB,
  DuckDBTypeId.DECIMAL,
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.TIMESTAMP_TZ,
]);

function jsonValue(sql: string, type: DuckDBType, encoding: JsonEncoding, depth: number): string {
  if (!needsConversion(type)) return sql;
  switch (type.typeId) {
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DOUBLE:
      return `CASE WHEN isfinite(${sql}) THEN ${sql} END`;
    case DuckDBTypeId.BLOB:
      return `to_base64(${sql})`;
    case DuckDBTypeId.LIST:
      return `list_transform(${sql}, lambda e${depth}: ${jsonValue(`e${depth}`, (type as DuckDBListType).valueType, encoding, depth + 1)})`;
    case DuckDBTypeId.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDBStructType;
      const members = entryNames.map(
        (key, i) => `${identifier(key)} := ${jsonValue(`${sql}[${literal(key)}]`, entryTypes[i] as DuckDBType, encoding, depth)}`,
      );
      return `CASE WHEN ${sql} IS NOT NULL THEN struct_pack(${members.join(", ")}) END`;
    }
    case DuckDBTypeId.DECIMAL:
      if (encoding.decimals === "bytes") return decimalBytes(sql);
      return encoding.decimals === "string" ? `${sql}::VARCHAR` : sql;
    default:
      if (encoding.timestamps === "unix_millis") return `epoch_ms(CAST(${sql} AS TIMESTAMP))`;
      return type.typeId === DuckDBTypeId.TIMESTAMP_NS ? nanosText(sql) : `strftime(CAST(${sql} AS TIMESTAMP), '${RFC3339}')`;
  }
}

function decimalBytes(sql: string): string {
  const unscaled = `CAST(replace(CAST(${sql} AS VARCHAR), '.', '') AS HUGEINT)`;
  // Two's complement in 128 bits; one more is added by itself, as 2^128 has no literal.
  const bits = `CASE WHEN ${unscaled} < 0 THEN 340282366920938463463374607431768211455::UHUGEINT - CAST(-1 - ${unscaled} AS UHUGEINT) ELSE CAST(${unscaled} AS UHUGEINT) END`;
  return `to_base64(unhex(lpad(to_hex(${bits}), 32, '0')))`;
}

/** DuckDB 1.5.6 writes past the text's end for %n: the fraction is made from the number. */
function nanosText(sql: string): string {
  const fraction = `((epoch_ns(${sql}) % 1000000000 + 1000000000) % 1000000000)`;
  const second = `make_timestamp((epoch_ns(${sql}) - ${fraction}) // 1000)`;
  return `strftime(${second}, '%Y-%m-%dT%H:%M:%S.') || lpad(${fraction}::VARCHAR, 9, '0') || 'Z'`;
}

function needsConversion(type: DuckDBType): boolean {
  if (type.typeId === DuckDBTypeId.LIST) return needsConversion((type as DuckDBListType).valueType);
  if (type.typeId === DuckDBTypeId.STRUCT) return (type as DuckDBStructType).entryTypes.some(needsConversion);
  return convertedTypes.has(type.typeId);
}
