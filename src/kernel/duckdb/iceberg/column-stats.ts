/**
 * Statistics that DuckDB's COPY returns for a Parquet file (texts by column path) as Iceberg has them (values by field
 * id): sizes, counts, and the bounds by which engines skip files.
 */
import type { ColumnStats } from "../../../protocols/iceberg/append.ts";
import { type IcebergType, type NestedField, parsePrimitive, type Schema } from "../../../protocols/iceberg/types.ts";
import type { Value } from "../../../protocols/iceberg/values.ts";

type Statistics = ReadonlyMap<string, ReadonlyMap<string, string>>;

export function fileColumnStats(schema: Schema, statistics: Statistics): Map<number, ColumnStats> {
  const found = new Map<number, ColumnStats>();
  const visit = (path: readonly string[], id: number, type: IcebergType): void => {
    if (typeof type === "string") {
      const texts = statistics.get(path.map((name) => `"${name.replaceAll('"', '""')}"`).join("."));
      if (texts !== undefined) found.set(id, columnStats(type, texts));
    } else if (type.type === "struct") members(path, type.fields);
    else if (type.type === "list") visit([...path, "element"], type["element-id"], type.element);
  };
  const members = (path: readonly string[], fields: readonly NestedField[]): void => {
    for (const field of fields) visit([...path, field.name], field.id, field.type);
  };
  members([], schema.fields);
  return found;
}

function columnStats(type: string, texts: ReadonlyMap<string, string>): ColumnStats {
  const count = (key: string): number | undefined => (texts.has(key) ? Number(texts.get(key)) : undefined);
  const [min, max] = [bound(type, texts.get("min")), bound(type, texts.get("max"))];
  const [size, valueCount, nullCount] = [count("column_size_bytes"), count("num_values"), count("null_count")];
  return {
    type,
    ...(size !== undefined && { size }),
    ...(valueCount !== undefined && { valueCount }),
    ...(nullCount !== undefined && { nullCount }),
    ...(texts.get("has_nan") === "false" && { nanCount: 0 }),
    // Without both a reader could take one for the whole story.
    ...(min !== undefined && max !== undefined && { min, max }),
  };
}

/** The value of DuckDB's text; undefined where the text does not hold the value in full (bytes, long text that was cut). */
function bound(type: string, text: string | undefined): Value | undefined {
  if (text === undefined) return undefined;
  const primitive = parsePrimitive(type);
  switch (primitive?.kind) {
    case "boolean":
      return text === "1" || text === "true";
    case "int":
      return Number(text);
    case "long":
      return BigInt(text);
    case "float":
    case "double":
      return Number(text);
    case "decimal":
      return unscaled(text, primitive.scale);
    case "string":
      return text;
    case "date":
      return days(text);
    case "timestamp":
    case "timestamptz":
      return micros(text);
    default:
      return undefined;
  }
}

function unscaled(text: string, scale: number): bigint | undefined {
  const match = /^(-?)(\d*)\.?(\d*)$/.exec(text);
  if (match === null || (match[3] as string).length > scale) return undefined;
  const value = BigInt(`${match[2]}${(match[3] as string).padEnd(scale, "0")}` || "0");
  return match[1] === "-" ? -value : value;
}

function days(text: string): number | undefined {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 86_400_000);
}

/** "2025-11-21 08:32:58.839885", for times with zone followed by "+00". */
function micros(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:\+00)?$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}Z`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1000n + BigInt((match[3] ?? "").padEnd(6, "0") || "0");
}
