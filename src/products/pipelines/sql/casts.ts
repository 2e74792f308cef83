/**
 * Casts, bent towards DataFusion: floats are cut to integers, texts must be whole numbers to become one, times apply their
 * offset, bytes are UTF-8. A cast that fails gives NULL, also where DataFusion would fail the pipeline.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { isFloat, isInteger, isText } from "../../../kernel/duckdb/datafusion/types.ts";
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { SqlError } from "./sql-error.ts";

interface CastType {
  readonly id: string;
  readonly type_info?: {
    readonly name?: string;
    readonly width?: number;
    readonly scale?: number;
    readonly child_type?: CastType;
    readonly child_types?: readonly { first: string; second: CastType }[];
  } | null;
}

const INTEGER_NAMES = new Set(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"]);
const castTypes = new Set([
  ...INTEGER_NAMES,
  "BOOLEAN",
  "FLOAT",
  "DOUBLE",
  "VARCHAR",
  "BLOB",
  "DATE",
  "TIME",
  "TIMESTAMP",
  "TIMESTAMP_S",
  "TIMESTAMP_MS",
  "TIMESTAMP_NS",
  "TIMESTAMP WITH TIME ZONE",
  "INTERVAL",
]);

/** DuckDB's name of a CAST node's type. Throws `SqlError` for one that the dialect does not have. */
export function castTarget(node: SyntaxNode): string {
  return typeName(node.cast_type as CastType);
}

function typeName(type: CastType): string {
  if (castTypes.has(type.id)) return type.id;
  const info = type.type_info;
  if (type.id === "DECIMAL") return `DECIMAL(${info?.width ?? 38}, ${info?.scale ?? 10})`;
  if (type.id === "UNBOUND" && info?.name?.toLowerCase() === "json") return "JSON";
  if (type.id === "LIST" && info?.child_type !== undefined) return `${typeName(info.child_type)}[]`;
  throw new SqlError(`unsupported SQL type ${info?.name ?? type.id}`);
}

/** Casts whose SQL depends on what is cast. */
export const dependsOnSource = (target: string): boolean =>
  INTEGER_NAMES.has(target) || ["VARCHAR", "BLOB", "DATE"].includes(target) || target.startsWith("TIMESTAMP");

/** A text as a time without zone; its offset is applied. */
export const textAsTimestamp = (sql: string): string =>
  // The first form knows offsets and nanoseconds, the second years before 1677 and after 2262.
  `coalesce(CAST(TRY_CAST(upper(${sql}) AS TIMESTAMP_NS) AS TIMESTAMP), CAST(TRY_CAST(upper(${sql}) AS TIMESTAMP WITH TIME ZONE) AS TIMESTAMP))`;

/** `source` is known where `dependsOnSource`. */
export function castSql(sql: string, target: string, source: DuckDBType | undefined): string {
  if (source !== undefined && source.typeId !== DuckDBTypeId.SQLNULL) {
    const text = isText(source) && source.alias !== "JSON";
    if (INTEGER_NAMES.has(target)) {
      if (isFloat(source) || source.typeId === DuckDBTypeId.DECIMAL) return `TRY_CAST(trunc(${sql}) AS ${target})`;
      if (text) return `CASE WHEN regexp_matches(${sql}, '^[+-]?[0-9]+$') THEN TRY_CAST(${sql} AS ${target}) END`;
    }
    if (target === "VARCHAR" && isFloat(source)) return floatText(sql);
    if (target === "VARCHAR" && source.typeId === DuckDBTypeId.BLOB) return `decode(${sql})`;
    if (target === "BLOB" && isText(source)) return `encode(${sql})`;
    if (text && target === "TIMESTAMP") return textAsTimestamp(sql);
    if (text && target === "TIMESTAMP_NS") return `TRY_CAST(upper(${sql}) AS TIMESTAMP_NS)`;
    if (text && target.startsWith("TIMESTAMP")) return `CAST(${textAsTimestamp(sql)} AS ${target})`;
    if (text && target === "DATE") return `coalesce(TRY_CAST(${sql} AS DATE), CAST(${textAsTimestamp(sql)} AS DATE))`;
    if (isInteger(source) && source.typeId !== DuckDBTypeId.BIGINT && target === "BIGINT") return `CAST(${sql} AS BIGINT)`;
  }
  return `TRY_CAST(${sql} AS ${target})`;
}

/** As Rust prints floats: "1e20", "1e-7", "inf". */
const floatText = (sql: string): string =>
  `CASE WHEN isfinite(${sql}) THEN regexp_replace(CAST(${sql} AS VARCHAR), 'e(?:\\+|(-))0*', 'e\\1') WHEN isnan(${sql}) THEN 'NaN' WHEN ${sql} > 0 THEN 'inf' WHEN ${sql} IS NOT NULL THEN '-inf' END`;
