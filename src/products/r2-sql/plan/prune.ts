/**
 * Whether files can hold rows that a predicate is true of, by what manifests say about them: partition values and bounds
 * of columns. "May" is always a safe answer; "cannot" is given only when it is certain.
 */
import { type ContentFile, columnBounds, type FieldSummary } from "../../../protocols/iceberg/manifests.ts";
import { applyTransform, parseTransform, type Transform } from "../../../protocols/iceberg/transforms.ts";
import { type IcebergType, type Primitive, parsePrimitive } from "../../../protocols/iceberg/types.ts";
import { compareValues, decodeValue, type Value } from "../../../protocols/iceberg/values.ts";
import type { Comparison, Predicate, PredicateColumn } from "./predicate.ts";

/** What is known of a column's values, seen through a transform, in some set of rows. */
interface View {
  readonly transform: Transform;
  /** Bounds of the transformed values, without nulls and NaN; undefined when not known. */
  readonly lower: Value | undefined;
  readonly upper: Value | undefined;
  readonly hasNull: boolean | undefined;
  readonly hasNan: boolean | undefined;
  /** False when every value is null. */
  readonly hasValue: boolean | undefined;
}

/** A field of a partition spec with the type of its source column. */
export interface PartitionColumn {
  readonly partitionFieldId: number;
  readonly sourceId: number;
  readonly transform: Transform;
  readonly resultType: Primitive;
}

/** The spec's fields that tell something, with their types in the table. */
export function partitionColumns(
  fields: readonly { readonly "source-id": number; readonly "field-id": number; readonly transform: string }[],
  resultType: (fieldId: number) => IcebergType | undefined,
): (PartitionColumn | undefined)[] {
  return fields.map((field) => {
    const type = resultType(field["field-id"]);
    const parsed = typeof type === "string" ? parsePrimitive(type) : undefined;
    const transform = parseTransform(field.transform);
    if (parsed === undefined || transform.kind === "void" || transform.kind === "unknown") return undefined;
    return { partitionFieldId: field["field-id"], sourceId: field["source-id"], transform, resultType: parsed };
  });
}

/** By the summaries in a manifest list. `columns` are in the order of the spec. */
export function manifestMayMatch(
  predicate: Predicate,
  summaries: readonly FieldSummary[] | undefined,
  columns: readonly (PartitionColumn | undefined)[],
): boolean {
  if (summaries === undefined) return true;
  return mayMatch(predicate, (column) =>
    columns.flatMap((partition, i) => {
      const summary = summaries[i];
      if (partition?.sourceId !== column.fieldId || summary === undefined) return [];
      const lower = summary.lowerBound && decodeValue(partition.resultType, summary.lowerBound);
      const upper = summary.upperBound && decodeValue(partition.resultType, summary.upperBound);
      return [
        {
          transform: partition.transform,
          lower,
          upper,
          hasNull: summary.containsNull,
          hasNan: summary.containsNan,
          // No bounds: only nulls, or only NaN, or a writer that leaves them out.
          hasValue: undefined,
        },
      ];
    }),
  );
}

/** By a file's partition tuple and its columns' bounds. */
export function fileMayMatch(predicate: Predicate, file: ContentFile, columns: readonly (PartitionColumn | undefined)[]): boolean {
  return mayMatch(predicate, (column) => [
    ...columns.flatMap((partition) => {
      const value = partition?.sourceId === column.fieldId ? file.partition.get(partition.partitionFieldId) : undefined;
      return partition === undefined || value === undefined ? [] : [exactly(partition.transform, value)];
    }),
    boundsView(file, column),
  ]);
}

/** Every row has this value. */
function exactly(transform: Transform, value: Value | null): View {
  const isNan = typeof value === "number" && Number.isNaN(value);
  const bound = value === null || isNan ? undefined : value;
  return { transform, lower: bound, upper: bound, hasNull: value === null, hasNan: isNan, hasValue: value !== null };
}

function boundsView(file: ContentFile, column: PredicateColumn): View {
  const { lower, upper } = columnBounds(file, column.fieldId, typeName(column.type));
  const nulls = file.nullValueCounts?.get(column.fieldId);
  const values = file.valueCounts?.get(column.fieldId);
  const nans = file.nanValueCounts?.get(column.fieldId);
  return {
    transform: { kind: "identity" },
    lower,
    upper,
    hasNull: nulls === undefined ? undefined : nulls > 0,
    hasNan: nans === undefined ? undefined : nans > 0,
    hasValue: nulls === undefined || values === undefined ? undefined : values > nulls,
  };
}

const typeName = (type: Primitive): string => (type.kind === "decimal" ? `decimal(${type.precision}, ${type.scale})` : type.kind);

function mayMatch(predicate: Predicate, views: (column: PredicateColumn) => readonly View[]): boolean {
  switch (predicate.kind) {
    case "unknown":
      return true;
    case "and":
      return predicate.of.every((one) => mayMatch(one, views));
    case "or":
      return predicate.of.some((one) => mayMatch(one, views));
    case "null":
      return views(predicate.column).every((view) => view.hasNull !== false);
    case "not-null":
      return views(predicate.column).every((view) => view.hasValue !== false);
    case "prefix":
      return views(predicate.column).every((view) => view.hasValue !== false && prefixMayMatch(predicate.prefix, view));
    case "compare":
      return views(predicate.column).every(
        (view) => view.hasValue !== false && compareMayMatch(predicate.column.type, predicate.operator, predicate.value, view),
      );
  }
}

function compareMayMatch(type: Primitive, operator: Comparison, value: Value, view: View): boolean {
  const { transform, lower, upper } = view;
  const target = applyTransform(transform, type, value);
  if (target === null) return true;
  const below = (bound: Value | undefined): boolean => bound !== undefined && compareValues(bound, target) < 0;
  const above = (bound: Value | undefined): boolean => bound !== undefined && compareValues(bound, target) > 0;
  const at = (bound: Value | undefined): boolean => bound !== undefined && compareValues(bound, target) === 0;
  if (operator === "=") return !below(upper) && !above(lower);
  // A bucket says nothing about order.
  if (transform.kind === "bucket") return true;
  // Transforms keep order but not strictly: a smaller value may fall into the same day.
  const exact = transform.kind === "identity";
  // To the engine NaN is larger than every number, and no bound tells of it.
  const mayBeNan = (type.kind === "double" || type.kind === "float") && view.hasNan !== false;
  switch (operator) {
    case "<":
      return !above(lower) && !(exact && at(lower));
    case "<=":
      return !above(lower);
    case ">":
      return mayBeNan || (!below(upper) && !(exact && at(upper)));
    case ">=":
      return mayBeNan || !below(upper);
    case "!=":
      return mayBeNan || !(exact && at(lower) && at(upper));
  }
}

function prefixMayMatch(prefix: string, view: View): boolean {
  const { transform, lower, upper } = view;
  if (transform.kind !== "identity" && transform.kind !== "truncate") return true;
  const points = [...prefix];
  const wanted = transform.kind === "truncate" ? points.slice(0, transform.width) : points;
  const cut = (bound: Value): string => [...(bound as string)].slice(0, wanted.length).join("");
  const text = wanted.join("");
  if (typeof lower === "string" && compareValues(cut(lower), text) > 0) return false;
  return !(typeof upper === "string" && compareValues(cut(upper), text) < 0);
}
