/**
 * What makes a schema valid: shapes, unique ids and names, types that the format version has, identifier fields, defaults.
 * Schemas come from clients as JSON; after `checkSchema` the type `Schema` holds. Stored metadata is read by it alone;
 * what a client adds must pass `checkNewSchema`, for readers refuse a table whose defaults they cannot parse.
 */
import { invalid } from "./errors.ts";
import { fieldsById, type IcebergType, isStruct, parsePrimitive, type Schema, walkFields } from "./types.ts";
import { valueFromJson } from "./values.ts";

/** Deepest nesting that is read; real schemas stay under 20. */
const MAX_DEPTH = 100;

/** First format version that has the type; all others are as old as the format. */
const SINCE_V3 = new Set(["timestamp_ns", "timestamptz_ns", "unknown", "variant", "geometry", "geography"]);

/** Throws `invalid` naming the first thing that is wrong. */
export function checkSchema(schema: unknown, formatVersion: number): asserts schema is Schema {
  if (!isObject(schema) || (schema.type !== undefined && schema.type !== "struct") || !Array.isArray(schema.fields))
    throw invalid("Cannot parse schema: it must be a struct with a list of fields");
  checkFields(schema.fields, formatVersion, 0, "");
  const ids = new Set<number>();
  for (const field of walkFields(schema as unknown as Schema)) {
    if (ids.has(field.id)) throw invalid(`Multiple entries with same field id: ${field.id} (${field.path})`);
    ids.add(field.id);
  }
  checkIdentifiers(schema as unknown as Schema);
}

/** Types of version 3 that have no values of their own in JSON: their defaults are null. */
const WITHOUT_DEFAULTS = new Set(["unknown", "variant", "geometry", "geography"]);

/** `checkSchema`, and the rules of version 3 on defaults and on the type `unknown`. */
export function checkNewSchema(schema: unknown, formatVersion: number): asserts schema is Schema {
  checkSchema(schema, formatVersion);
  for (const { field, path, type } of walkFields(schema)) {
    const primitive = typeof type === "string" ? parsePrimitive(type) : undefined;
    if (field === undefined || primitive === undefined) continue;
    if (primitive.kind === "unknown" && field.required) throw invalid(`Cannot create required field with unknown type: ${path}`);
    for (const key of ["initial-default", "write-default"] as const) {
      const json = field[key];
      if (json === undefined || json === null) continue;
      if (WITHOUT_DEFAULTS.has(primitive.kind)) throw invalid(`Invalid ${key} for ${path}: the default of ${primitive.kind} must be null`);
      valueFromJson(primitive, json);
    }
  }
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function checkFields(fields: readonly unknown[], version: number, depth: number, path: string): void {
  const names = new Set<string>();
  for (const field of fields) {
    if (!isObject(field)) throw invalid(`Cannot parse field in ${path || "schema"}: not an object`);
    const { id, name, required, type } = field;
    if (!isId(id)) throw invalid(`Cannot parse field id of ${path}${String(name)}: not an integer`);
    if (typeof name !== "string" || name === "") throw invalid(`Cannot parse field ${id}: missing name`);
    if (typeof required !== "boolean") throw invalid(`Cannot parse field ${path}${name}: missing boolean: required`);
    if (names.has(name)) throw invalid(`Invalid schema: multiple fields for name ${path}${name}`);
    names.add(name);
    checkType(type, version, depth + 1, `${path}${name}`);
    const initial = field["initial-default"];
    if (version < 3 && initial !== undefined && initial !== null)
      throw invalid(
        `Invalid schema for v${version}:\n- Invalid initial default for ${path}${name}: non-null default (${String(initial)}) is not supported until v3`,
      );
  }
}

function checkType(type: unknown, version: number, depth: number, path: string): asserts type is IcebergType {
  if (depth > MAX_DEPTH) throw invalid(`Invalid schema: ${path} is nested too deeply`);
  if (typeof type === "string") {
    const primitive = parsePrimitive(type);
    if (primitive === undefined) throw invalid(`Cannot parse type string to primitive: ${type}`);
    if (version < 3 && SINCE_V3.has(primitive.kind))
      throw invalid(`Invalid schema for v${version}:\n- Invalid type for ${path}: ${type} is not supported until v3`);
    return;
  }
  if (!isObject(type)) throw invalid(`Cannot parse type of ${path}`);
  switch (type.type) {
    case "struct":
      if (!Array.isArray(type.fields)) throw invalid(`Cannot parse struct fields of ${path}: not a list`);
      checkFields(type.fields, version, depth, `${path}.`);
      return;
    case "list":
      if (!isId(type["element-id"]) || typeof type["element-required"] !== "boolean") throw invalid(`Cannot parse list type of ${path}`);
      checkType(type.element, version, depth + 1, `${path}.element`);
      return;
    case "map":
      if (!isId(type["key-id"]) || !isId(type["value-id"]) || typeof type["value-required"] !== "boolean")
        throw invalid(`Cannot parse map type of ${path}`);
      checkType(type.key, version, depth + 1, `${path}.key`);
      checkType(type.value, version, depth + 1, `${path}.value`);
      return;
    default:
      throw invalid(`Cannot parse type of ${path}: ${String(type.type)}`);
  }
}

/** Identifier fields are required primitives, not floating point, in no list, map or optional struct. */
function checkIdentifiers(schema: Schema): void {
  const identifiers = schema["identifier-field-ids"] ?? [];
  if (!Array.isArray(identifiers)) throw invalid("Cannot parse identifier-field-ids: not a list");
  if (identifiers.length === 0) return;
  const byId = fieldsById(schema);
  for (const id of identifiers as readonly number[]) {
    const field = byId.get(id);
    if (field === undefined) throw invalid(`Cannot add field id ${id} as an identifier field: field does not exist`);
    const refuse = (why: string): never => {
      throw invalid(`Cannot add field ${field.path} as an identifier field: ${why}`);
    };
    if (typeof field.type !== "string" || field.type === "variant") refuse("not a primitive type field");
    if (!field.required) refuse("not a required field");
    if (field.type === "float" || field.type === "double") refuse("must not be float or double field");
    for (let parent = field.parent; parent !== undefined; parent = parent.parent) {
      if (!isStruct(parent.type)) refuse(`must not be nested in ${parent.path}`);
      if (!parent.required) refuse(`must not be nested in optional field ${parent.path}`);
    }
  }
}
