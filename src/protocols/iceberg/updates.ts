/**
 * Commits as clients send them: the requirements and updates of the Iceberg REST specification as types, and their
 * reading from JSON. What they do to a table is `requirements.ts` and `commit.ts`.
 */
import { invalid } from "./errors.ts";
import type { PartitionSpec, Snapshot, SnapshotId, SnapshotRef, SortOrder, StatisticsFile, UnboundPartitionSpec } from "./metadata.ts";
import type { Schema } from "./types.ts";

export type TableRequirement =
  | { readonly type: "assert-create" }
  | { readonly type: "assert-table-uuid"; readonly uuid: string }
  | { readonly type: "assert-ref-snapshot-id"; readonly ref: string; readonly "snapshot-id": SnapshotId | null }
  | { readonly type: "assert-last-assigned-field-id"; readonly "last-assigned-field-id": number }
  | { readonly type: "assert-current-schema-id"; readonly "current-schema-id": number }
  | { readonly type: "assert-last-assigned-partition-id"; readonly "last-assigned-partition-id": number }
  | { readonly type: "assert-default-spec-id"; readonly "default-spec-id": number }
  | { readonly type: "assert-default-sort-order-id"; readonly "default-sort-order-id": number };

export type TableUpdate =
  | { readonly action: "assign-uuid"; readonly uuid: string }
  | { readonly action: "upgrade-format-version"; readonly "format-version": number }
  | { readonly action: "add-schema"; readonly schema: Schema; readonly "last-column-id"?: number }
  | { readonly action: "set-current-schema"; readonly "schema-id": number }
  | { readonly action: "add-spec"; readonly spec: UnboundPartitionSpec | PartitionSpec }
  | { readonly action: "set-default-spec"; readonly "spec-id": number }
  | { readonly action: "add-sort-order"; readonly "sort-order": SortOrder }
  | { readonly action: "set-default-sort-order"; readonly "sort-order-id": number }
  | { readonly action: "add-snapshot"; readonly snapshot: Snapshot }
  | ({ readonly action: "set-snapshot-ref"; readonly "ref-name": string } & SnapshotRef)
  | { readonly action: "remove-snapshots"; readonly "snapshot-ids": readonly SnapshotId[] }
  | { readonly action: "remove-snapshot-ref"; readonly "ref-name": string }
  | { readonly action: "set-location"; readonly location: string }
  | { readonly action: "set-properties"; readonly updates: Readonly<Record<string, string>> }
  | { readonly action: "remove-properties"; readonly removals: readonly string[] }
  | { readonly action: "set-statistics"; readonly "snapshot-id"?: SnapshotId; readonly statistics: StatisticsFile }
  | { readonly action: "remove-statistics"; readonly "snapshot-id": SnapshotId }
  | { readonly action: "set-partition-statistics"; readonly "partition-statistics": StatisticsFile }
  | { readonly action: "remove-partition-statistics"; readonly "snapshot-id": SnapshotId }
  | { readonly action: "remove-partition-specs"; readonly "spec-ids": readonly number[] }
  | { readonly action: "remove-schemas"; readonly "schema-ids": readonly number[] }
  | { readonly action: "add-encryption-key"; readonly "encryption-key": unknown }
  | { readonly action: "remove-encryption-key"; readonly "key-id": string };

// --- reading commits of clients ----------------------------------------------------------------------------

type Json = Record<string, unknown>;
/** Returns the member in its normal form, or throws with a text that completes "Cannot parse update <action>: <key> ". */
type Reader = (value: unknown) => unknown;

const text: Reader = (value) => (typeof value === "string" ? value : fail("must be a string"));
const integer: Reader = (value) => (Number.isSafeInteger(value) ? value : fail("must be an integer"));
const object: Reader = (value) => (isObject(value) ? value : fail("must be an object"));
const anything: Reader = (value) => value;
const snapshotId: Reader = (value) =>
  typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value as number) : fail("must be an integer");
const listOf =
  (item: Reader): Reader =>
  (value) =>
    Array.isArray(value) ? value.map(item) : fail("must be a list");
const textMap: Reader = (value) => {
  for (const [key, member] of Object.entries(object(value) as Json))
    if (typeof member !== "string") fail(`must hold strings, but ${JSON.stringify(key)} does not`);
  return value;
};
/** Absent and null are the same: the member is left out. */
const optional =
  (read: Reader): Reader =>
  (value) =>
    value === undefined || value === null ? undefined : read(value);
const nullable =
  (read: Reader): Reader =>
  (value) =>
    value === undefined || value === null ? null : read(value);
const oneOf =
  (...allowed: readonly string[]): Reader =>
  (value) =>
    allowed.includes(value as string) ? value : fail(`must be one of ${allowed.join(", ")}`);
const shaped =
  (shape: Shape): Reader =>
  (value) =>
    readShape(object(value) as Json, shape);

type Shape = Readonly<Record<string, Reader>>;

const summary: Reader = (value) => {
  // Every member is a string, and one has a closed set of values.
  textMap(value);
  readShape(value as Json, { operation: oneOf("append", "replace", "overwrite", "delete") });
  return value;
};

const snapshotShape: Shape = {
  "snapshot-id": snapshotId,
  "parent-snapshot-id": optional(snapshotId),
  "sequence-number": optional(integer),
  "timestamp-ms": integer,
  "manifest-list": optional(text),
  manifests: optional(listOf(text)),
  summary: optional(summary),
  "schema-id": optional(integer),
  "first-row-id": optional(integer),
  "added-rows": optional(integer),
};

const statisticsShape: Shape = { "snapshot-id": snapshotId, "statistics-path": text, "file-size-in-bytes": integer };

const updateShapes: Readonly<Record<TableUpdate["action"], Shape>> = {
  "assign-uuid": { uuid: text },
  "upgrade-format-version": { "format-version": integer },
  "add-schema": { schema: object, "last-column-id": optional(integer) },
  "set-current-schema": { "schema-id": integer },
  "add-spec": { spec: object },
  "set-default-spec": { "spec-id": integer },
  "add-sort-order": { "sort-order": object },
  "set-default-sort-order": { "sort-order-id": integer },
  "add-snapshot": { snapshot: shaped(snapshotShape) },
  "set-snapshot-ref": {
    "ref-name": text,
    type: oneOf("branch", "tag"),
    "snapshot-id": snapshotId,
    "max-ref-age-ms": optional(integer),
    "max-snapshot-age-ms": optional(integer),
    "min-snapshots-to-keep": optional(integer),
  },
  "remove-snapshots": { "snapshot-ids": listOf(snapshotId) },
  "remove-snapshot-ref": { "ref-name": text },
  "set-location": { location: text },
  "set-properties": { updates: textMap },
  "remove-properties": { removals: listOf(text) },
  "set-statistics": { "snapshot-id": optional(snapshotId), statistics: shaped(statisticsShape) },
  "remove-statistics": { "snapshot-id": snapshotId },
  "set-partition-statistics": { "partition-statistics": shaped(statisticsShape) },
  "remove-partition-statistics": { "snapshot-id": snapshotId },
  "remove-partition-specs": { "spec-ids": listOf(integer) },
  "remove-schemas": { "schema-ids": listOf(integer) },
  "add-encryption-key": { "encryption-key": anything },
  "remove-encryption-key": { "key-id": anything },
};

const requirementShapes: Readonly<Record<TableRequirement["type"], Shape>> = {
  "assert-create": {},
  "assert-table-uuid": { uuid: text },
  "assert-ref-snapshot-id": { ref: text, "snapshot-id": nullable(snapshotId) },
  "assert-last-assigned-field-id": { "last-assigned-field-id": integer },
  "assert-current-schema-id": { "current-schema-id": integer },
  "assert-last-assigned-partition-id": { "last-assigned-partition-id": integer },
  "assert-default-spec-id": { "default-spec-id": integer },
  "assert-default-sort-order-id": { "default-sort-order-id": integer },
};

/** The updates of a commit, checked member by member; throws `invalid` for unknown actions and wrong shapes. */
export function parseUpdates(json: unknown): TableUpdate[] {
  return parseTagged(json, "update", "action", updateShapes) as TableUpdate[];
}

/** The requirements of a commit; throws `invalid` for unknown types and wrong shapes. */
export function parseRequirements(json: unknown): TableRequirement[] {
  return parseTagged(json, "requirement", "type", requirementShapes) as TableRequirement[];
}

function parseTagged(json: unknown, what: string, tag: string, shapes: Readonly<Record<string, Shape>>): unknown[] {
  if (!Array.isArray(json)) throw invalid(`Cannot parse ${what}s: not a list`);
  return json.map((item: unknown) => {
    if (!isObject(item)) throw invalid(`Cannot parse ${what}: not an object`);
    const name = item[tag];
    const shape = typeof name === "string" && Object.hasOwn(shapes, name) ? shapes[name] : undefined;
    if (shape === undefined) throw invalid(`Cannot parse ${what}: unknown ${tag} ${JSON.stringify(name ?? null)}`);
    try {
      return readShape(item, shape);
    } catch (cause) {
      if (cause instanceof ShapeError) throw invalid(`Cannot parse ${what} ${String(name)}: ${cause.message}`);
      throw cause;
    }
  });
}

/** The object with the shape's members in normal form; members that the shape does not name are kept. */
function readShape(object: Json, shape: Shape): Json {
  const result: Json = { ...object };
  for (const [key, read] of Object.entries(shape)) {
    let value: unknown;
    try {
      value = read(object[key]);
    } catch (cause) {
      if (cause instanceof ShapeError) throw new ShapeError(`${key} ${cause.message}`);
      throw cause;
    }
    if (value === undefined) delete result[key];
    else result[key] = value;
  }
  return result;
}

/** A member that has not its shape; never leaves this file. */
class ShapeError extends Error {}

function fail(message: string): never {
  throw new ShapeError(message);
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
