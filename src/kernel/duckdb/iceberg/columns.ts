/**
 * Iceberg columns as DuckDB reads them: types, defaults, and the schema by field id that maps the columns of every file,
 * whatever their names and order were when it was written, to those of the table now.
 */

import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import {
  type IcebergType,
  isList,
  isMap,
  isStruct,
  type NestedField,
  type Primitive,
  parsePrimitive,
  type Schema,
  walkFields,
} from "../../../protocols/iceberg/types.ts";
import { type Value, valueFromJson } from "../../../protocols/iceberg/values.ts";
import { identifier, literal } from "../engine.ts";

const DUCKDB_TYPES: Readonly<Partial<Record<Primitive["kind"], string>>> = {
  boolean: "BOOLEAN",
  int: "INTEGER",
  long: "BIGINT",
  float: "FLOAT",
  double: "DOUBLE",
  date: "DATE",
  time: "TIME",
  timestamp: "TIMESTAMP",
  timestamptz: "TIMESTAMP WITH TIME ZONE",
  timestamp_ns: "TIMESTAMP_NS",
  // The engine has no such type: it reads these values to the microsecond.
  timestamptz_ns: "TIMESTAMP WITH TIME ZONE",
  string: "VARCHAR",
  uuid: "UUID",
  fixed: "BLOB",
  binary: "BLOB",
  // A column that has only nulls, in no file.
  unknown: "INTEGER",
};

const unsupported = (message: string): IcebergError => new IcebergError("unsupported", message);

/** DuckDB's type; throws `unsupported` naming the column for types that it does not have. */
export function duckDbType(type: IcebergType, column: string): string {
  if (isStruct(type))
    return `STRUCT(${type.fields.map((f) => `${identifier(f.name)} ${duckDbType(f.type, `${column}.${f.name}`)}`).join(", ")})`;
  if (isList(type)) return `${duckDbType(type.element, `${column}.element`)}[]`;
  if (isMap(type)) return `MAP(${duckDbType(type.key, `${column}.key`)}, ${duckDbType(type.value, `${column}.value`)})`;
  const primitive = parsePrimitive(type);
  if (primitive?.kind === "decimal") return `DECIMAL(${primitive.precision}, ${primitive.scale})`;
  const name = primitive && DUCKDB_TYPES[primitive.kind];
  if (name === undefined) throw unsupported(`column ${column} has the type ${type}, which cannot be read`);
  return name;
}

/** `MAP {1: {name: 'a', type: 'BIGINT', default_value: NULL}, …}`: the argument `schema` of read_parquet. */
export function schemaArgument(fields: readonly NestedField[], nameOf: (field: NestedField) => string = (field) => field.name): string {
  const entries = fields.map((field) => {
    const fallback = defaultText(field);
    const type = literal(duckDbType(field.type, field.name));
    return `${field.id}: {name: ${literal(nameOf(field))}, type: ${type}, default_value: ${fallback === undefined ? "NULL" : literal(fallback)}}`;
  });
  return `MAP {${entries.join(", ")}}`;
}

/** What rows of files without the column have in it, as text that casts to its type; undefined for null. */
function defaultText(field: NestedField): string | undefined {
  const json = field["initial-default"];
  if (json === undefined || json === null) return undefined;
  const primitive = typeof field.type === "string" ? parsePrimitive(field.type) : undefined;
  if (primitive === undefined) throw unsupported(`column ${field.name} has a default value of a nested type`);
  // Checks the form; the JSON form of every type but binaries is also what the engine casts from.
  const value = valueFromJson(primitive, json);
  return value instanceof Uint8Array ? blobText(value) : jsonText(json, value);
}

const jsonText = (json: unknown, value: Value): string => (typeof json === "string" ? json : String(value));
const blobText = (bytes: Uint8Array): string => [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0").toUpperCase()}`).join("");

/**
 * The engine maps top-level columns by id but what is inside structs by name. That is the same unless a nested field was
 * renamed, or dropped and made again under its old name, in the table's history; such tables are refused, not misread.
 */
export function checkNestedHistory(current: Schema, schemas: readonly Schema[], table: string): void {
  const nested = (schema: Schema): Map<string, number> =>
    new Map(
      [...walkFields(schema)]
        .filter((field) => field.parent !== undefined)
        .map((field) => [nestedPath(field.parent?.id, field.name), field.id]),
    );
  const now = nested(current);
  if (now.size === 0) return;
  const names = new Map([...now].map(([path, id]) => [id, path]));
  for (const schema of schemas) {
    for (const [path, id] of nested(schema)) {
      const [sameName, sameId] = [now.get(path), names.get(id)];
      if ((sameName !== undefined && sameName !== id) || (sameId !== undefined && sameId !== path))
        throw unsupported(`a field inside a column of ${table} was renamed; such tables cannot be read`);
    }
  }
}

const nestedPath = (parent: number | undefined, name: string): string => `${parent}/${name.toLowerCase()}`;
