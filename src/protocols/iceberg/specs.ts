/**
 * Partition specs and sort orders of clients made into those of a table: sources and transforms checked, equal ones
 * reused, ids assigned. `updates.ts` and `metadata.ts` record the result.
 */
import { invalid } from "./errors.ts";
import type { PartitionField, PartitionSpec, SortField, SortOrder, UnboundPartitionSpec } from "./metadata.ts";
import { canTransform, parseTransform, type Transform, transformResultType } from "./transforms.ts";
import { type FoundField, fieldsById, isStruct, primitive, printPrimitive, type Schema, type StructType } from "./types.ts";

const FIRST_FIELD_ID = 1000;

export interface BoundSpec {
  readonly spec: PartitionSpec;
  /** The table's highest partition field id with this spec. */
  readonly lastPartitionId: number;
  /** True when the table already has an equal spec: `spec` is that one. */
  readonly reused: boolean;
}

/** Makes a client's spec one of the table's; throws `invalid`. */
export function bindPartitionSpec(
  unbound: UnboundPartitionSpec,
  table: { schema: Schema; specs: readonly PartitionSpec[]; lastPartitionId: number; formatVersion: number },
): BoundSpec {
  if (typeof unbound !== "object" || unbound === null || !Array.isArray(unbound.fields))
    throw invalid("Cannot parse partition spec: fields must be a list");
  const byId = fieldsById(table.schema);
  const topLevel = new Map(table.schema.fields.map((field) => [field.name, field.id]));
  const names = new Set<string>();
  for (const field of unbound.fields) {
    checkSource("partition", field, byId);
    const { name } = field;
    if (typeof name !== "string" || name === "") throw invalid("Cannot use empty or null partition name");
    if (names.has(name)) throw invalid(`Cannot use partition name more than once: ${name}`);
    names.add(name);
    const column = topLevel.get(name);
    if (column !== undefined && column !== field["source-id"])
      throw invalid(`Cannot create identity partition sourced from different field in schema: ${name}`);
  }
  const equal = table.specs.find((spec) => sameFields(spec.fields, unbound.fields));
  if (equal !== undefined) return { spec: equal, lastPartitionId: table.lastPartitionId, reused: true };

  const known = table.specs.flatMap((spec) => spec.fields);
  let last = table.lastPartitionId;
  const fields = unbound.fields.map((field): PartitionField => {
    const given = field["field-id"];
    if (given !== undefined && !(Number.isSafeInteger(given) && given >= 0)) throw invalid(`Invalid partition field id: ${String(given)}`);
    const id = given ?? known.find((k) => k["source-id"] === field["source-id"] && k.transform === field.transform)?.["field-id"] ?? ++last;
    last = Math.max(last, id);
    return { ...field, "field-id": id };
  });
  checkFieldIds(fields, known, table.formatVersion);
  const specId = Math.max(-1, ...table.specs.map((spec) => spec["spec-id"])) + 1;
  return { spec: { "spec-id": specId, fields }, lastPartitionId: last, reused: false };
}

function sameFields(a: readonly PartitionField[], b: UnboundPartitionSpec["fields"]): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => x["source-id"] === b[i]?.["source-id"] && x.transform === b[i]?.transform && x.name === b[i]?.name)
  );
}

function checkFieldIds(fields: readonly PartitionField[], known: readonly PartitionField[], formatVersion: number): void {
  const seen = new Set<number>();
  for (const [i, field] of fields.entries()) {
    const id = field["field-id"];
    if (seen.has(id)) throw invalid(`Cannot add redundant partition: ${field.name} uses field id ${id} twice`);
    seen.add(id);
    if (formatVersion === 1 && id !== FIRST_FIELD_ID + i) throw invalid("Spec does not use sequential IDs that are required in v1");
    // A dropped field of a version 1 table keeps its id with the transform "void".
    const other = known.find((k) => k["field-id"] === id && k.transform !== "void" && field.transform !== "void");
    if (formatVersion > 1 && other !== undefined && (other["source-id"] !== field["source-id"] || other.transform !== field.transform))
      throw invalid(`Cannot use partition field id ${id} for ${field.name}: it belongs to ${other.name}`);
  }
}

/** A source column must exist, be primitive, lie in no list or map, and be of a type that the transform takes. */
function checkSource(
  what: "partition" | "sort",
  field: { "source-id": number; transform: string },
  byId: ReadonlyMap<number, FoundField>,
): void {
  if (typeof field !== "object" || field === null) throw invalid(`Cannot parse ${what} field: not an object`);
  const sourceId = field["source-id"];
  if (!Number.isSafeInteger(sourceId)) throw invalid(`Cannot parse ${what} field: missing source-id`);
  if (typeof field.transform !== "string") throw invalid(`Cannot parse ${what} field: missing transform`);
  const transform = parseTransform(field.transform);
  const source = byId.get(sourceId);
  // The column of a dropped field may be gone.
  if (transform.kind === "void" && source === undefined) return;
  if (source === undefined) throw invalid(`Cannot find source column for ${what} field: ${sourceId}`);
  if (transform.kind === "unknown") throw invalid(`Cannot use unknown transform: ${transform.text}`);
  if (typeof source.type !== "string") throw invalid(`Cannot ${what} by non-primitive source field: ${source.path}`);
  for (let parent = source.parent; parent !== undefined; parent = parent.parent)
    if (!isStruct(parent.type)) throw invalid(`Invalid ${what} field parent: ${parent.path}`);
  const type = primitive(source.type);
  if (!canTransform(transform, type)) throw invalid(`Invalid source type ${printPrimitive(type)} for transform: ${field.transform}`);
}

/** Makes a client's sort order one of the table's. No fields = order 0, "unsorted". Throws `invalid`. */
export function bindSortOrder(
  unbound: { readonly fields: readonly SortField[] },
  table: { schema: Schema; orders: readonly SortOrder[] },
): SortOrder {
  if (typeof unbound !== "object" || unbound === null || !Array.isArray(unbound.fields))
    throw invalid("Cannot parse sort order: fields must be a list");
  const byId = fieldsById(table.schema);
  for (const field of unbound.fields as readonly SortField[]) {
    checkSource("sort", field, byId);
    if (field.direction !== "asc" && field.direction !== "desc") throw invalid(`Invalid sort direction: ${String(field.direction)}`);
    if (field["null-order"] !== "nulls-first" && field["null-order"] !== "nulls-last")
      throw invalid(`Invalid null order: ${String(field["null-order"])}`);
  }
  if (unbound.fields.length === 0) return { "order-id": 0, fields: [] };
  const key = (fields: readonly SortField[]): string =>
    JSON.stringify(fields.map((f) => [f["source-id"], f.transform, f.direction, f["null-order"]]));
  const equal = table.orders.find((order) => key(order.fields) === key(unbound.fields));
  if (equal !== undefined) return equal;
  return { "order-id": Math.max(0, ...table.orders.map((order) => order["order-id"])) + 1, fields: unbound.fields };
}

/** One field of a spec with its transform and types resolved. */
export interface ResolvedPartitionField {
  readonly field: PartitionField;
  readonly transform: Transform;
  /** Type of the source column; undefined when the column is gone. */
  readonly sourceType: string | undefined;
  /** Type of the partition values. */
  readonly resultType: string;
}

/** The spec's fields with types. Columns are looked up in the schemas given, the first that has the id decides. */
export function resolveSpec(spec: PartitionSpec, schemas: readonly StructType[]): ResolvedPartitionField[] {
  const lookups = schemas.map((schema) => fieldsById(schema));
  return spec.fields.map((field) => {
    const transform = parseTransform(field.transform);
    const found = lookups.map((byId) => byId.get(field["source-id"])).find((f) => f !== undefined);
    const sourceType = typeof found?.type === "string" ? found.type : undefined;
    // The values of a dropped column's field are all null: any type reads them.
    const resultType = transformResultType(transform, sourceType ?? "int");
    return { field, transform, sourceType, resultType: typeof resultType === "string" ? resultType : "int" };
  });
}

/** The struct of the spec's partition tuples: ids are the partition field ids, all fields optional. */
export function partitionType(spec: PartitionSpec, schemas: readonly StructType[]): StructType {
  return {
    type: "struct",
    fields: resolveSpec(spec, schemas).map(({ field, resultType }) => ({
      id: field["field-id"],
      name: field.name,
      required: false,
      type: resultType,
    })),
  };
}
