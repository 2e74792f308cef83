/** The option FIELD_IDS of DuckDB's COPY: Iceberg finds the columns of a Parquet file by these ids alone. */
import type { IcebergType, NestedField } from "../../../protocols/iceberg/types.ts";
import { identifier } from "../engine.ts";

/** "{a: 1, b: {__duckdb_field_id: 2, element: 3}}" for these columns, with all that is inside them. */
export const fieldIds = (fields: readonly NestedField[]): string => `{${fields.map(fieldId).join(", ")}}`;

const fieldId = (field: NestedField): string => `${identifier(field.name)}: ${idOf(field.id, field.type)}`;

function idOf(id: number, type: IcebergType): string {
  if (typeof type === "string") return String(id);
  if (type.type === "struct") return `{__duckdb_field_id: ${id}, ${type.fields.map(fieldId).join(", ")}}`;
  if (type.type === "list") return `{__duckdb_field_id: ${id}, element: ${idOf(type["element-id"], type.element)}}`;
  return `{__duckdb_field_id: ${id}, key: ${idOf(type["key-id"], type.key)}, value: ${idOf(type["value-id"], type.value)}}`;
}
