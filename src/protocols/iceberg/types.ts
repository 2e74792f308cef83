/**
 * Types of the Iceberg specification (versions 1 to 3): schemas as they stand in JSON, the grammar of primitive type
 * names, and walks over nested fields. A field is known by its id alone; names may repeat in different structs.
 */
import { invalid } from "./errors.ts";

/** A primitive type's name in the form of the specification: "long", "decimal(10, 2)", "fixed[16]". */
export type PrimitiveName = string;

export type IcebergType = PrimitiveName | StructType | ListType | MapType;

export interface NestedField {
  readonly id: number;
  readonly name: string;
  readonly required: boolean;
  readonly type: IcebergType;
  readonly doc?: string;
  /** JSON single-value form (specification, appendix D). Version 3. */
  readonly "initial-default"?: unknown;
  readonly "write-default"?: unknown;
}

export interface StructType {
  readonly type: "struct";
  readonly fields: readonly NestedField[];
}

export interface ListType {
  readonly type: "list";
  readonly "element-id": number;
  readonly element: IcebergType;
  readonly "element-required": boolean;
}

export interface MapType {
  readonly type: "map";
  readonly "key-id": number;
  readonly key: IcebergType;
  readonly "value-id": number;
  readonly value: IcebergType;
  readonly "value-required": boolean;
}

export interface Schema extends StructType {
  readonly "schema-id"?: number;
  readonly "identifier-field-ids"?: readonly number[];
}

const SIMPLE_KINDS = [
  "boolean",
  "int",
  "long",
  "float",
  "double",
  "date",
  "time",
  "timestamp",
  "timestamptz",
  "timestamp_ns",
  "timestamptz_ns",
  "string",
  "uuid",
  "binary",
  "unknown",
  "variant",
] as const;

/** A primitive type taken apart. `variant` counts as primitive here: it has no field ids inside. */
export type Primitive =
  | { readonly kind: (typeof SIMPLE_KINDS)[number] }
  | { readonly kind: "decimal"; readonly precision: number; readonly scale: number }
  | { readonly kind: "fixed"; readonly length: number }
  | { readonly kind: "geometry"; readonly crs: string }
  | { readonly kind: "geography"; readonly crs: string; readonly algorithm: string };

const SIMPLE = new Map<string, Primitive>(SIMPLE_KINDS.map((kind) => [kind, { kind }]));
const DECIMAL = /^decimal\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)$/i;
const FIXED = /^fixed\[\s*(\d{1,9})\s*\]$/i;
const GEOMETRY = /^geometry(?:\(\s*([^,()]+?)\s*\))?$/i;
const GEOGRAPHY = /^geography(?:\(\s*([^,()]+?)\s*(?:,\s*([a-z]+)\s*)?\))?$/i;
const DEFAULT_CRS = "OGC:CRS84";

const MAX_DECIMAL_PRECISION = 38;

/** Takes a primitive type's name apart; undefined when it is none. */
export function parsePrimitive(name: PrimitiveName): Primitive | undefined {
  const simple = SIMPLE.get(name) ?? SIMPLE.get(name.toLowerCase());
  if (simple !== undefined) return simple;
  const decimal = DECIMAL.exec(name);
  if (decimal !== null) {
    const [precision, scale] = [Number(decimal[1]), Number(decimal[2])];
    return precision >= 1 && precision <= MAX_DECIMAL_PRECISION && scale <= precision ? { kind: "decimal", precision, scale } : undefined;
  }
  const fixed = FIXED.exec(name);
  if (fixed !== null) return { kind: "fixed", length: Number(fixed[1]) };
  const geometry = GEOMETRY.exec(name);
  if (geometry !== null) return { kind: "geometry", crs: geometry[1] ?? DEFAULT_CRS };
  const geography = GEOGRAPHY.exec(name);
  if (geography !== null) return { kind: "geography", crs: geography[1] ?? DEFAULT_CRS, algorithm: geography[2] ?? "spherical" };
  return undefined;
}

/** The primitive behind a type; throws `invalid` for nested and unknown types. */
export function primitive(type: IcebergType): Primitive {
  const parsed = typeof type === "string" ? parsePrimitive(type) : undefined;
  if (parsed === undefined) throw invalid(`Cannot parse type string to primitive: ${typeof type === "string" ? type : type.type}`);
  return parsed;
}

/** The name of a primitive in the form of the specification. */
export function printPrimitive(p: Primitive): PrimitiveName {
  switch (p.kind) {
    case "decimal":
      return `decimal(${p.precision}, ${p.scale})`;
    case "fixed":
      return `fixed[${p.length}]`;
    case "geometry":
      return p.crs === DEFAULT_CRS ? "geometry" : `geometry(${p.crs})`;
    case "geography":
      return p.crs === DEFAULT_CRS && p.algorithm === "spherical" ? "geography" : `geography(${p.crs}, ${p.algorithm})`;
    default:
      return p.kind;
  }
}

export const isStruct = (type: IcebergType): type is StructType => typeof type === "object" && type.type === "struct";
export const isList = (type: IcebergType): type is ListType => typeof type === "object" && type.type === "list";
export const isMap = (type: IcebergType): type is MapType => typeof type === "object" && type.type === "map";

/** A field found by a walk. */
export interface FoundField {
  readonly id: number;
  /** Own name; "element", "key" and "value" inside lists and maps. */
  readonly name: string;
  /** Dotted path from the root, as the reference implementation writes it: "address.zip", "tags.element". */
  readonly path: string;
  readonly type: IcebergType;
  readonly required: boolean;
  /** Type of the struct, list or map around it; undefined at the root. */
  readonly parent: FoundField | undefined;
  /** The struct field itself; undefined for elements, keys and values. */
  readonly field: NestedField | undefined;
}

/** Every field with an id, parents before their children. */
export function* walkFields(struct: StructType, parent?: FoundField): Generator<FoundField> {
  for (const field of struct.fields) {
    const path = parent === undefined ? field.name : `${parent.path}.${field.name}`;
    const found: FoundField = { id: field.id, name: field.name, path, type: field.type, required: field.required, parent, field };
    yield found;
    yield* walkInside(found);
  }
}

function* walkInside(parent: FoundField): Generator<FoundField> {
  const { type } = parent;
  if (isStruct(type)) yield* walkFields(type, parent);
  else if (isList(type)) {
    yield* walkInner(parent, type["element-id"], "element", type.element, type["element-required"]);
  } else if (isMap(type)) {
    yield* walkInner(parent, type["key-id"], "key", type.key, true);
    yield* walkInner(parent, type["value-id"], "value", type.value, type["value-required"]);
  }
}

function* walkInner(parent: FoundField, id: number, name: string, type: IcebergType, required: boolean): Generator<FoundField> {
  const found: FoundField = { id, name, path: `${parent.path}.${name}`, type, required, parent, field: undefined };
  yield found;
  yield* walkInside(found);
}

/** All fields by id. */
export function fieldsById(struct: StructType): Map<number, FoundField> {
  const byId = new Map<number, FoundField>();
  for (const field of walkFields(struct)) byId.set(field.id, field);
  return byId;
}

/** The highest field id in use, 0 for an empty schema. */
export function highestFieldId(struct: StructType): number {
  let highest = 0;
  for (const field of walkFields(struct)) highest = Math.max(highest, field.id);
  return highest;
}
