/** Summaries of partition values over the files of a manifest, for its line in the manifest list: what planners prune by. */
import type { FieldSummary } from "./manifests.ts";
import { currentSchema, type PartitionSpec, type TableMetadata } from "./metadata.ts";
import { partitionType } from "./specs.ts";
import { primitive } from "./types.ts";
import { compareValues, encodeValue, type Value } from "./values.ts";

/** One summary for each field of the spec, in its order. */
export function summarizePartitions(
  metadata: TableMetadata,
  spec: PartitionSpec,
  files: readonly { readonly partition: ReadonlyMap<number, Value | null> }[],
): FieldSummary[] {
  const schemas = [currentSchema(metadata), ...metadata.schemas];
  return partitionType(spec, schemas).fields.map((field): FieldSummary => {
    const type = primitive(field.type);
    let [containsNull, containsNan] = [false, false];
    let lower: Value | undefined;
    let upper: Value | undefined;
    for (const file of files) {
      const value = file.partition.get(field.id) ?? null;
      if (value === null) containsNull = true;
      else if (Number.isNaN(value)) containsNan = true;
      else {
        if (lower === undefined || compareValues(value, lower) < 0) lower = value;
        if (upper === undefined || compareValues(value, upper) > 0) upper = value;
      }
    }
    return {
      containsNull,
      containsNan,
      ...(lower !== undefined && { lowerBound: encodeValue(type, lower) }),
      ...(upper !== undefined && { upperBound: encodeValue(type, upper) }),
    };
  });
}
