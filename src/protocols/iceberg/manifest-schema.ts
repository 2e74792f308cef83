/**
 * Avro schemas of manifests and manifest lists, with the field ids that readers resolve by, and the renaming of a
 * foreign file's schema by field id. Order and names are those of the reference implementation.
 */
import type { AvroSchema } from "./avro.ts";
import { invalid } from "./errors.ts";
import { parsePrimitive, type StructType } from "./types.ts";
import { decimalSize } from "./values.ts";

type Field = { readonly name: string; readonly type: AvroSchema; readonly default?: null; readonly "field-id": number };

const required = (id: number, name: string, type: AvroSchema): Field => ({ name, type, "field-id": id });
const optional = (id: number, name: string, type: AvroSchema): Field => ({ name, type: ["null", type], default: null, "field-id": id });
const record = (name: string, fields: readonly Field[]): AvroSchema => ({ type: "record", name, fields });
const list = (elementId: number, items: AvroSchema): AvroSchema => ({ type: "array", items, "element-id": elementId });

/** A map with int keys: Avro has string keys only, so it is an array of key-value records. */
const intMap = (keyId: number, valueId: number, value: AvroSchema): AvroSchema => ({
  type: "array",
  logicalType: "map",
  items: record(`k${keyId}_v${valueId}`, [required(keyId, "key", "int"), required(valueId, "value", value)]),
});

// --- manifest list -----------------------------------------------------------------------------------------

const fieldSummary = record("r508", [
  required(509, "contains_null", "boolean"),
  optional(518, "contains_nan", "boolean"),
  optional(510, "lower_bound", "bytes"),
  optional(511, "upper_bound", "bytes"),
]);

export function manifestListSchema(formatVersion: number): AvroSchema {
  const head = [
    required(500, "manifest_path", "string"),
    required(501, "manifest_length", "long"),
    required(502, "partition_spec_id", "int"),
  ];
  const tail = [optional(507, "partitions", list(508, fieldSummary)), optional(519, "key_metadata", "bytes")];
  if (formatVersion === 1)
    return record("manifest_file", [
      ...head,
      required(503, "added_snapshot_id", "long"),
      optional(504, "added_files_count", "int"),
      optional(505, "existing_files_count", "int"),
      optional(506, "deleted_files_count", "int"),
      optional(512, "added_rows_count", "long"),
      optional(513, "existing_rows_count", "long"),
      optional(514, "deleted_rows_count", "long"),
      ...tail,
    ]);
  return record("manifest_file", [
    ...head,
    required(517, "content", "int"),
    required(515, "sequence_number", "long"),
    required(516, "min_sequence_number", "long"),
    required(503, "added_snapshot_id", "long"),
    required(504, "added_files_count", "int"),
    required(505, "existing_files_count", "int"),
    required(506, "deleted_files_count", "int"),
    required(512, "added_rows_count", "long"),
    required(513, "existing_rows_count", "long"),
    required(514, "deleted_rows_count", "long"),
    ...tail,
    ...(formatVersion >= 3 ? [optional(520, "first_row_id", "long")] : []),
  ]);
}

// --- manifest ----------------------------------------------------------------------------------------------

/** Schema of a manifest whose files have partition tuples of this struct (`partitionType` of `specs.ts`). */
export function manifestSchema(formatVersion: number, partition: StructType): AvroSchema {
  const v1 = formatVersion === 1;
  const v3 = formatVersion >= 3;
  const dataFile = record("r2", [
    ...(v1 ? [] : [required(134, "content", "int")]),
    required(100, "file_path", "string"),
    required(101, "file_format", "string"),
    required(102, "partition", partitionSchema(partition)),
    required(103, "record_count", "long"),
    required(104, "file_size_in_bytes", "long"),
    ...(v1 ? [required(105, "block_size_in_bytes", "long")] : []),
    optional(108, "column_sizes", intMap(117, 118, "long")),
    optional(109, "value_counts", intMap(119, 120, "long")),
    optional(110, "null_value_counts", intMap(121, 122, "long")),
    optional(137, "nan_value_counts", intMap(138, 139, "long")),
    optional(125, "lower_bounds", intMap(126, 127, "bytes")),
    optional(128, "upper_bounds", intMap(129, 130, "bytes")),
    optional(131, "key_metadata", "bytes"),
    optional(132, "split_offsets", list(133, "long")),
    ...(v1 ? [] : [optional(135, "equality_ids", list(136, "int"))]),
    optional(140, "sort_order_id", "int"),
    ...(v3 ? [optional(142, "first_row_id", "long")] : []),
    ...(v1 ? [] : [optional(143, "referenced_data_file", "string")]),
    ...(v3 ? [optional(144, "content_offset", "long"), optional(145, "content_size_in_bytes", "long")] : []),
  ]);
  return record("manifest_entry", [
    required(0, "status", "int"),
    v1 ? required(1, "snapshot_id", "long") : optional(1, "snapshot_id", "long"),
    ...(v1 ? [] : [optional(3, "sequence_number", "long"), optional(4, "file_sequence_number", "long")]),
    required(2, "data_file", dataFile),
  ]);
}

function partitionSchema(partition: StructType): AvroSchema {
  const names = new Set<string>();
  return record(
    "r102",
    partition.fields.map((field) => {
      let name = avroName(field.name);
      // Two names may become equal; ids decide for readers.
      if (names.has(name)) name = `${name}_${field.id}`;
      names.add(name);
      return optional(field.id, name, avroPrimitive(field.type as string, field.id));
    }),
  );
}

/** The reference implementation's escaping: Avro names hold only letters, digits and underscores. */
export function avroName(name: string): string {
  const escaped = [...name]
    .map((c) => (/[A-Za-z0-9_]/.test(c) ? c : `_x${(c.codePointAt(0) as number).toString(16).toUpperCase()}`))
    .join("");
  return /^[A-Za-z_]/.test(escaped) ? escaped : `_${escaped}`;
}

/** Avro type of a primitive. Fixed types are named by field id, for a name may be defined only once in a schema. */
function avroPrimitive(type: string, fieldId: number): AvroSchema {
  const p = parsePrimitive(type);
  switch (p?.kind) {
    case "boolean":
    case "int":
    case "long":
    case "float":
    case "double":
    case "string":
      return p.kind;
    case "binary":
      return "bytes";
    case "date":
      return { type: "int", logicalType: "date" };
    case "time":
      return { type: "long", logicalType: "time-micros" };
    case "timestamp":
    case "timestamptz":
      return { type: "long", logicalType: "timestamp-micros", "adjust-to-utc": p.kind === "timestamptz" };
    case "timestamp_ns":
    case "timestamptz_ns":
      return { type: "long", logicalType: "timestamp-nanos", "adjust-to-utc": p.kind === "timestamptz_ns" };
    case "uuid":
      return { type: "fixed", size: 16, logicalType: "uuid", name: `uuid_${fieldId}` };
    case "fixed":
      return { type: "fixed", size: p.length, name: `fixed_${p.length}_${fieldId}` };
    case "decimal":
      return {
        type: "fixed",
        size: decimalSize(p.precision),
        logicalType: "decimal",
        precision: p.precision,
        scale: p.scale,
        name: `decimal_${p.precision}_${p.scale}_${fieldId}`,
      };
    default:
      throw invalid(`Cannot partition by values of type ${type}`);
  }
}

// --- reading files of other writers ------------------------------------------------------------------------

/** The member name under which a field id is found after `nameByFieldId`. */
export const idName = (id: number): string => `f${id}`;

/**
 * Renames every record member that has a field id to `idName(id)`: writers differ in names (and escape partition names
 * in their own ways), ids are the specification. Members without an id keep their names.
 */
export function nameByFieldId(schema: AvroSchema): AvroSchema {
  if (typeof schema === "string") return schema;
  if (Array.isArray(schema)) return schema.map(nameByFieldId);
  const node = schema as { readonly [attribute: string]: unknown };
  if (typeof node.type === "object") return { ...node, type: nameByFieldId(node.type as AvroSchema) };
  if (node.type === "record")
    return {
      ...node,
      type: "record",
      fields: (node.fields as Field[]).map(({ default: _, ...field }) => ({
        ...field,
        name: typeof field["field-id"] === "number" ? idName(field["field-id"]) : field.name,
        type: nameByFieldId(field.type),
      })),
    };
  if (node.type === "array") return { ...node, type: "array", items: nameByFieldId(node.items as AvroSchema) };
  if (node.type === "map") return { ...node, type: "map", values: nameByFieldId(node.values as AvroSchema) };
  return schema;
}
