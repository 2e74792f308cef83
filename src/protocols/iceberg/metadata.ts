/**
 * Table metadata (versions 1 to 3): the types of the JSON file that a catalog points to, reading and writing that
 * file, and the metadata of a new table. Changes to existing metadata are `updates.ts`. Property names are those of the
 * JSON, so that a value of these types *is* the document; members that we do not know are kept.
 */

import { invalid } from "./errors.ts";
import { assignFreshIds } from "./fresh-ids.ts";
import { parseIcebergJson, stringifyIcebergJson } from "./json.ts";
import { checkNewSchema, checkSchema } from "./schema-rules.ts";
import { bindPartitionSpec, bindSortOrder } from "./specs.ts";
import { highestFieldId, type Schema } from "./types.ts";

/** 63-bit and random: always `bigint` (`json.ts`). */
export type SnapshotId = bigint;

export type FormatVersion = 1 | 2 | 3;

export interface PartitionField {
  readonly "source-id": number;
  /** Version 3 transforms of several columns. */
  readonly "source-ids"?: readonly number[];
  /** Unique across all specs of a table; from 1000 up. */
  readonly "field-id": number;
  readonly name: string;
  /** "identity", "bucket[16]", "day", …: `transforms.ts`. */
  readonly transform: string;
}

export interface PartitionSpec {
  readonly "spec-id": number;
  readonly fields: readonly PartitionField[];
}

/** A spec as a client sends it: ids are optional. */
export interface UnboundPartitionSpec {
  readonly "spec-id"?: number;
  readonly fields: readonly (Omit<PartitionField, "field-id"> & { readonly "field-id"?: number })[];
}

export interface SortField {
  readonly "source-id": number;
  readonly transform: string;
  readonly direction: "asc" | "desc";
  readonly "null-order": "nulls-first" | "nulls-last";
}

export interface SortOrder {
  readonly "order-id": number;
  readonly fields: readonly SortField[];
}

/** Strings throughout; `operation` is "append", "replace", "overwrite" or "delete". */
export type SnapshotSummary = Readonly<Record<string, string>> & { readonly operation: string };

export interface Snapshot {
  readonly "snapshot-id": SnapshotId;
  readonly "parent-snapshot-id"?: SnapshotId;
  /** Absent in version 1. */
  readonly "sequence-number"?: number;
  readonly "timestamp-ms": number;
  /** Absent only in old version 1 tables, which list `manifests` instead. */
  readonly "manifest-list"?: string;
  readonly manifests?: readonly string[];
  readonly summary?: SnapshotSummary;
  readonly "schema-id"?: number;
  /** Version 3. */
  readonly "first-row-id"?: number;
  /** Version 3. */
  readonly "added-rows"?: number;
  readonly "key-id"?: string;
}

export interface SnapshotRef {
  readonly "snapshot-id": SnapshotId;
  readonly type: "branch" | "tag";
  readonly "max-ref-age-ms"?: number;
  readonly "max-snapshot-age-ms"?: number;
  readonly "min-snapshots-to-keep"?: number;
}

export interface SnapshotLogEntry {
  readonly "snapshot-id": SnapshotId;
  readonly "timestamp-ms": number;
}

export interface MetadataLogEntry {
  readonly "metadata-file": string;
  readonly "timestamp-ms": number;
}

export interface StatisticsFile {
  readonly "snapshot-id": SnapshotId;
  readonly "statistics-path": string;
  readonly "file-size-in-bytes": number;
  readonly "file-footer-size-in-bytes"?: number;
  readonly "blob-metadata"?: readonly unknown[];
}

export interface TableMetadata {
  readonly "format-version": FormatVersion;
  readonly "table-uuid": string;
  /** "s3://bucket/prefix", without a slash at the end. */
  readonly location: string;
  /** 0 in version 1. */
  readonly "last-sequence-number": number;
  readonly "last-updated-ms": number;
  readonly "last-column-id": number;
  readonly schemas: readonly Schema[];
  readonly "current-schema-id": number;
  readonly "partition-specs": readonly PartitionSpec[];
  readonly "default-spec-id": number;
  /** 999 while no spec has a field. */
  readonly "last-partition-id": number;
  readonly properties: Readonly<Record<string, string>>;
  /** Absent while the table has no current snapshot. */
  readonly "current-snapshot-id"?: SnapshotId;
  readonly snapshots: readonly Snapshot[];
  readonly "snapshot-log": readonly SnapshotLogEntry[];
  readonly "metadata-log": readonly MetadataLogEntry[];
  readonly "sort-orders": readonly SortOrder[];
  readonly "default-sort-order-id": number;
  readonly refs: Readonly<Record<string, SnapshotRef>>;
  readonly statistics: readonly StatisticsFile[];
  readonly "partition-statistics": readonly StatisticsFile[];
  /** Version 3. */
  readonly "next-row-id"?: number;
}

export const MAIN_BRANCH = "main";
export const FIRST_PARTITION_FIELD_ID = 1000;
export const DEFAULT_FORMAT_VERSION: FormatVersion = 2;

// --- finding things ----------------------------------------------------------------------------------------

export function schemaById(metadata: TableMetadata, id: number): Schema | undefined {
  return metadata.schemas.find((schema) => schema["schema-id"] === id);
}

export function currentSchema(metadata: TableMetadata): Schema {
  const schema = schemaById(metadata, metadata["current-schema-id"]);
  if (schema === undefined) throw invalid(`Cannot find current schema with id ${metadata["current-schema-id"]}`);
  return schema;
}

export function specById(metadata: TableMetadata, id: number): PartitionSpec | undefined {
  return metadata["partition-specs"].find((spec) => spec["spec-id"] === id);
}

export function defaultSpec(metadata: TableMetadata): PartitionSpec {
  const spec = specById(metadata, metadata["default-spec-id"]);
  if (spec === undefined) throw invalid(`Cannot find default partition spec with id ${metadata["default-spec-id"]}`);
  return spec;
}

export function snapshotById(metadata: TableMetadata, id: SnapshotId): Snapshot | undefined {
  return metadata.snapshots.find((snapshot) => snapshot["snapshot-id"] === id);
}

/** The snapshot that a branch or tag points to, or undefined. */
export function snapshotByRef(metadata: TableMetadata, ref: string): Snapshot | undefined {
  const found = metadata.refs[ref];
  return found && snapshotById(metadata, found["snapshot-id"]);
}

/** The current snapshot, or undefined for a table without one. */
export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata["current-snapshot-id"];
  return id === undefined ? undefined : snapshotById(metadata, id);
}

// --- locations ---------------------------------------------------------------------------------------------

/** Bucket and key of "s3://bucket/key" ("s3a" and "s3n" are old spellings of the same); undefined for anything else. */
export function parseS3Location(location: string): { bucket: string; key: string } | undefined {
  const match = /^s3[an]?:\/\/([^/]+)\/(.*)$/s.exec(location);
  return match === null ? undefined : { bucket: match[1] as string, key: match[2] as string };
}

/**
 * Where the next metadata file goes: "<location>/metadata/<version>-<uuid>.metadata.json", the version one higher than
 * in the previous file's name (the reference implementation's naming).
 */
export function nextMetadataLocation(location: string, previous: string | undefined, uuid: string): string {
  const version = previous === undefined ? -1 : Number(/(?:^|\/)v?(\d{1,9})[^/]*\.metadata\.json[^/]*$/.exec(previous)?.[1] ?? -1);
  return `${location}/metadata/${String(version + 1).padStart(5, "0")}-${uuid}.metadata.json`;
}

// --- a new table -------------------------------------------------------------------------------------------

export interface NewTableMetadata {
  readonly uuid: string;
  /** Without a slash at the end. */
  readonly location: string;
  /** Field ids are assigned anew, from 1; the spec's and order's source ids refer to the ids given here. */
  readonly schema: Schema;
  readonly partitionSpec?: UnboundPartitionSpec;
  readonly sortOrder?: { readonly fields: readonly SortField[] };
  readonly properties?: Readonly<Record<string, string>>;
  /** Default 2. */
  readonly formatVersion?: FormatVersion;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Metadata of a table without snapshots; throws `invalid` when schema, spec or order break the specification. */
export function newTableMetadata(input: NewTableMetadata): TableMetadata {
  const formatVersion = input.formatVersion ?? DEFAULT_FORMAT_VERSION;
  checkNewSchema(input.schema, formatVersion);
  const { schema, newIds } = assignFreshIds(input.schema);
  const fresh = (id: number): number => newIds.get(id) ?? id;
  const { spec, lastPartitionId } = bindPartitionSpec(
    // Partition field ids start anew too: whatever the client numbered them, a new table begins at 1000.
    {
      fields: (input.partitionSpec?.fields ?? []).map(({ "field-id": _, ...field }) => ({
        ...field,
        "source-id": fresh(field["source-id"]),
      })),
    },
    { schema, specs: [], lastPartitionId: FIRST_PARTITION_FIELD_ID - 1, formatVersion },
  );
  const order = bindSortOrder(
    { fields: (input.sortOrder?.fields ?? []).map((field) => ({ ...field, "source-id": fresh(field["source-id"]) })) },
    { schema, orders: [] },
  );
  return {
    "format-version": formatVersion,
    "table-uuid": input.uuid,
    location: input.location,
    "last-sequence-number": 0,
    "last-updated-ms": input.now,
    "last-column-id": highestFieldId(schema),
    schemas: [schema],
    "current-schema-id": 0,
    "partition-specs": [spec],
    "default-spec-id": spec["spec-id"],
    "last-partition-id": lastPartitionId,
    properties: input.properties ?? {},
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
    "sort-orders": [order],
    "default-sort-order-id": order["order-id"],
    refs: {},
    statistics: [],
    "partition-statistics": [],
    ...(formatVersion >= 3 && { "next-row-id": 0 }),
  };
}

// --- the file ----------------------------------------------------------------------------------------------

/** The text of a metadata file. Version 1 also gets the single `schema` and `partition-spec` that its readers need. */
export function serializeTableMetadata(metadata: TableMetadata): string {
  const { "last-sequence-number": sequence, ...rest } = metadata;
  if (metadata["format-version"] > 1) return stringifyIcebergJson(metadata);
  return stringifyIcebergJson({
    ...rest,
    ...(sequence > 0 && { "last-sequence-number": sequence }),
    schema: currentSchema(metadata),
    "partition-spec": defaultSpec(metadata).fields,
  });
}

/** Reads a metadata file's text; throws `invalid` when it is none. Old forms are brought into the one of `TableMetadata`. */
export function parseTableMetadata(text: string): TableMetadata {
  let json: unknown;
  try {
    json = parseIcebergJson(text);
  } catch (cause) {
    throw invalid(`Cannot parse table metadata: ${(cause as Error).message}`, { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid("Cannot parse table metadata: not a JSON object");
  return normalizeTableMetadata(json as Record<string, unknown>);
}

function normalizeTableMetadata(json: Record<string, unknown>): TableMetadata {
  const version = json["format-version"];
  if (version !== 1 && version !== 2 && version !== 3) throw invalid(`Cannot read unsupported version ${String(version)}`);
  const { schema: oneSchema, "partition-spec": oneSpec, ...rest } = json;
  const schemas = (json.schemas ?? [{ "schema-id": 0, ...(oneSchema as Schema) }]) as readonly Schema[];
  const specs = (json["partition-specs"] ?? [{ "spec-id": 0, fields: numbered(oneSpec) }]) as readonly PartitionSpec[];
  const snapshots = (json.snapshots ?? []) as readonly Snapshot[];
  // -1 is the old spelling of "no current snapshot".
  const current = json["current-snapshot-id"] === -1n ? undefined : (json["current-snapshot-id"] as SnapshotId | null | undefined);
  const refs = { ...(json.refs as Record<string, SnapshotRef> | undefined) };
  if (typeof current === "bigint" && refs[MAIN_BRANCH] === undefined) refs[MAIN_BRANCH] = { "snapshot-id": current, type: "branch" };
  const { "current-snapshot-id": _, ...others } = rest;
  const metadata = {
    ...others,
    location: String(json.location ?? "").replace(/\/+$/, ""),
    "last-sequence-number": (json["last-sequence-number"] as number | undefined) ?? 0,
    schemas,
    "current-schema-id": (json["current-schema-id"] as number | undefined) ?? schemas[0]?.["schema-id"] ?? 0,
    "partition-specs": specs,
    "default-spec-id": (json["default-spec-id"] as number | undefined) ?? specs[0]?.["spec-id"] ?? 0,
    "last-partition-id": (json["last-partition-id"] as number | undefined) ?? highestPartitionId(specs),
    properties: (json.properties ?? {}) as Record<string, string>,
    ...(typeof current === "bigint" && { "current-snapshot-id": current }),
    snapshots,
    "snapshot-log": (json["snapshot-log"] ?? []) as readonly SnapshotLogEntry[],
    "metadata-log": (json["metadata-log"] ?? []) as readonly MetadataLogEntry[],
    "sort-orders": (json["sort-orders"] ?? [{ "order-id": 0, fields: [] }]) as readonly SortOrder[],
    "default-sort-order-id": (json["default-sort-order-id"] as number | undefined) ?? 0,
    refs,
    statistics: (json.statistics ?? []) as readonly StatisticsFile[],
    "partition-statistics": (json["partition-statistics"] ?? []) as readonly StatisticsFile[],
    ...(version === 3 && { "next-row-id": (json["next-row-id"] as number | undefined) ?? 0 }),
  } as unknown as TableMetadata;
  checkTableMetadata(metadata);
  return metadata;
}

/** Version 1 specs had no field ids: they count from 1000 in order. */
function numbered(fields: unknown): PartitionField[] {
  if (!Array.isArray(fields)) return [];
  return (fields as Partial<PartitionField>[]).map(
    (field, i) => ({ ...field, "field-id": field["field-id"] ?? FIRST_PARTITION_FIELD_ID + i }) as PartitionField,
  );
}

function highestPartitionId(specs: readonly PartitionSpec[]): number {
  return Math.max(FIRST_PARTITION_FIELD_ID - 1, ...specs.flatMap((spec) => spec.fields.map((field) => field["field-id"])));
}

/** The invariants that every reader relies on; throws `invalid`. */
export function checkTableMetadata(metadata: TableMetadata): void {
  const text = (key: "table-uuid" | "location"): void => {
    if (typeof metadata[key] !== "string" || metadata[key] === "") throw invalid(`Invalid table metadata: missing ${key}`);
  };
  text("table-uuid");
  text("location");
  for (const key of ["last-sequence-number", "last-updated-ms", "last-column-id", "current-schema-id", "default-spec-id"] as const)
    if (!Number.isSafeInteger(metadata[key])) throw invalid(`Invalid table metadata: ${key} is not an integer`);
  for (const key of ["schemas", "partition-specs", "sort-orders", "snapshots", "snapshot-log", "metadata-log"] as const)
    if (!Array.isArray(metadata[key])) throw invalid(`Invalid table metadata: ${key} is not a list`);
  for (const schema of metadata.schemas) checkSchema(schema, metadata["format-version"]);
  currentSchema(metadata);
  defaultSpec(metadata);
  const current = metadata["current-snapshot-id"];
  if (current !== undefined && snapshotById(metadata, current) === undefined)
    throw invalid(`Invalid table metadata: Cannot find current snapshot with id ${current}`);
  if (current !== metadata.refs[MAIN_BRANCH]?.["snapshot-id"])
    throw invalid(`Invalid table metadata: current snapshot ${current} is not that of the main branch`);
  for (const [name, ref] of Object.entries(metadata.refs))
    if (snapshotById(metadata, ref["snapshot-id"]) === undefined)
      throw invalid(`Invalid table metadata: ${name} points to unknown snapshot ${ref["snapshot-id"]}`);
}
