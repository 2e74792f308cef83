/**
 * The schema of a structured stream: its field types as clients write them, checked and turned into a tree that the
 * record check (`records.ts`), the reader of journal payloads (`source.ts`) and the sinks share. Types as in
 * docs/pipelines/sql-reference/sql-data-types and streams/manage-streams, with the spellings that clients send besides
 * ("bytes" of wrangler's wizard, "f64" of one page).
 */
import { z } from "zod";
import { pipelinesError } from "./errors.ts";

export type TimestampUnit = "second" | "millisecond" | "microsecond" | "nanosecond";

export type FieldType =
  | { readonly kind: "string" | "bool" | "json" | "binary" }
  | { readonly kind: "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" }
  | { readonly kind: "decimal128"; readonly precision: number; readonly scale: number }
  | { readonly kind: "timestamp"; readonly unit: TimestampUnit }
  | { readonly kind: "list"; readonly items: Field }
  | { readonly kind: "struct"; readonly fields: readonly Field[] };

export interface Field {
  /** Key in the event. */
  readonly name: string;
  /** Name of the column in SQL. */
  readonly column: string;
  readonly required: boolean;
  readonly type: FieldType;
}

const units = ["second", "millisecond", "microsecond", "nanosecond"] as const;

/** A field on the wire. Members that we do not know are kept: the API echoes a schema as it was sent. */
export interface WireField {
  type: string;
  name?: string | undefined;
  required?: boolean | undefined;
  sql_name?: string | undefined;
  metadata_key?: string | null | undefined;
  unit?: (typeof units)[number] | undefined;
  precision?: number | undefined;
  scale?: number | undefined;
  items?: WireField | undefined;
  fields?: WireField[] | undefined;
}

const wireField: z.ZodType<WireField> = z.lazy(() =>
  z.looseObject({
    type: z.string(),
    name: z.string().optional(),
    required: z.boolean().optional(),
    sql_name: z.string().optional(),
    metadata_key: z.string().nullable().optional(),
    unit: z.enum(units).optional(),
    precision: z.int().min(1).max(38).optional(),
    scale: z.int().min(0).max(38).optional(),
    items: wireField.optional(),
    fields: z.array(wireField).optional(),
  }),
);

export const wireSchema = z.looseObject({ fields: z.array(wireField).optional(), inferred: z.boolean().nullable().optional() });
export type WireSchema = z.infer<typeof wireSchema>;

const aliases: Readonly<Record<string, string>> = {
  bytes: "binary",
  boolean: "bool",
  i32: "int32",
  i64: "int64",
  u32: "uint32",
  u64: "uint64",
  f32: "float32",
  f64: "float64",
};

const FIELDS_MAX = 1000;
const DEPTH_MAX = 32;
/** Column that a catalog sink adds by itself (docs/r2-sql tutorial). */
export const INGEST_COLUMN = "__ingest_ts";
/** Hidden column of the time of ingest in compiled SQL. */
export const TIME = "__freehold_time";
/** Names that no column of a user may have. */
export const reservedColumns: ReadonlySet<string> = new Set([INGEST_COLUMN, TIME]);

/** The fields of a schema; throws `pipelines.invalidSchema` with the field's path. */
export function parseFields(schema: WireSchema): Field[] {
  const fields = schema.fields ?? [];
  if (fields.length === 0) throw pipelinesError("invalidSchema", "schema: a structured stream needs at least one field");
  let count = 0;

  const named = (list: readonly WireField[], path: string, depth: number): Field[] => {
    const seen = new Set<string>();
    return list.map((wire, i) => {
      const at = `${path}[${i}]`;
      if (wire.name === undefined || wire.name === "") throw pipelinesError("invalidSchema", `${at}: a field needs a name`);
      const column = depth === 0 ? (wire.sql_name ?? wire.name) : wire.name;
      // SQL names do not tell cases apart, and a sink's file has no place for two columns of one name.
      const key = column.toLowerCase();
      if (seen.has(key)) throw pipelinesError("invalidSchema", `${at}: duplicate field name "${column}"`);
      seen.add(key);
      if (depth === 0 && reservedColumns.has(key)) throw pipelinesError("invalidSchema", `${at}: the name ${column} is reserved`);
      return { name: wire.name, column, required: wire.required ?? false, type: type(wire, at, depth) };
    });
  };
  const type = (wire: WireField, at: string, depth: number): FieldType => {
    if (++count > FIELDS_MAX) throw pipelinesError("invalidSchema", `schema: more than ${FIELDS_MAX} fields`);
    if (depth > DEPTH_MAX) throw pipelinesError("invalidSchema", `${at}: nested more than ${DEPTH_MAX} levels deep`);
    const kind = aliases[wire.type] ?? wire.type;
    switch (kind) {
      case "string":
      case "bool":
      case "json":
      case "binary":
      case "int32":
      case "int64":
      case "uint32":
      case "uint64":
      case "float32":
      case "float64":
        return { kind };
      case "decimal128": {
        const [precision, scale] = [wire.precision ?? 38, wire.scale ?? 10];
        if (scale > precision) throw pipelinesError("invalidSchema", `${at}: the scale is larger than the precision`);
        return { kind, precision, scale };
      }
      case "timestamp":
        return { kind, unit: wire.unit ?? "millisecond" };
      case "list": {
        if (wire.items === undefined) throw pipelinesError("invalidSchema", `${at}: a list needs items`);
        const name = wire.items.name ?? "item";
        const items = { name, column: name, required: wire.items.required ?? false, type: type(wire.items, `${at}.items`, depth + 1) };
        return { kind, items };
      }
      case "struct":
        if (wire.fields === undefined || wire.fields.length === 0) throw pipelinesError("invalidSchema", `${at}: a struct needs fields`);
        return { kind, fields: named(wire.fields, `${at}.fields`, depth + 1) };
      default:
        throw pipelinesError("invalidSchema", `${at}: unknown type "${wire.type}"`);
    }
  };
  return named(fields, "schema.fields", 0);
}
