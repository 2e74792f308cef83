/**
 * Manifest lists and manifests: reading files of any writer (versions 1 to 3, by field id, with inheritance of snapshot
 * ids, sequence numbers and row ids) and writing our own. Bytes in, bytes out; fetching them is the caller's.
 */

import { type AvroFile, openAvroFile, readAvroFile, writeAvroFile } from "./avro.ts";
import { Pairs } from "./avro-reader.ts";
import { corrupt } from "./errors.ts";
import { stringifyIcebergJson } from "./json.ts";
import { idName, manifestListSchema, manifestSchema, nameByFieldId } from "./manifest-schema.ts";
import type { PartitionField, PartitionSpec, SnapshotId } from "./metadata.ts";
import { partitionType } from "./specs.ts";
import { type IcebergType, type Primitive, parsePrimitive, primitive, type Schema } from "./types.ts";
import { decimalSize, decodeValue, fromTwosComplement, paddedTwosComplement, uuidBytes, uuidText, type Value } from "./values.ts";

// --- manifest lists ----------------------------------------------------------------------------------------

/** Values of one partition field over all files of a manifest. Bounds are in binary form, of the partition field's type. */
export interface FieldSummary {
  readonly containsNull: boolean;
  readonly containsNan?: boolean;
  readonly lowerBound?: Uint8Array;
  readonly upperBound?: Uint8Array;
}

/** One line of a manifest list. Counts are undefined where an old writer left them out ("assume non-zero"). */
export interface ManifestFile {
  /** "s3://bucket/key". */
  readonly path: string;
  /** Bytes. */
  readonly length: number;
  readonly partitionSpecId: number;
  readonly content: "data" | "deletes";
  /** 0 for version 1 manifests. */
  readonly sequenceNumber: number;
  readonly minSequenceNumber: number;
  readonly addedSnapshotId: SnapshotId;
  readonly addedFilesCount: number | undefined;
  readonly existingFilesCount: number | undefined;
  readonly deletedFilesCount: number | undefined;
  readonly addedRowsCount: number | undefined;
  readonly existingRowsCount: number | undefined;
  readonly deletedRowsCount: number | undefined;
  /** One summary for each field of the spec, in its order. */
  readonly partitions?: readonly FieldSummary[];
  readonly keyMetadata?: Uint8Array;
  /** Version 3, data manifests. */
  readonly firstRowId?: number;
}

/** Reads a manifest list; throws `corrupt`. */
export function readManifestList(bytes: Uint8Array): ManifestFile[] {
  return readAvroFile(bytes, nameByFieldId).records.map((record) => {
    const count = (id: number): number | undefined => asOptionalNumber(at(record, id));
    const partitions = at(record, 507) as Record<string, unknown>[] | null | undefined;
    const keyMetadata = at(record, 519) as Uint8Array | null | undefined;
    const firstRowId = count(520);
    return {
      path: required(record, 500, "manifest_path") as string,
      length: Number(required(record, 501, "manifest_length")),
      partitionSpecId: Number(required(record, 502, "partition_spec_id")),
      content: at(record, 517) === 1 ? "deletes" : "data",
      sequenceNumber: count(515) ?? 0,
      minSequenceNumber: count(516) ?? 0,
      addedSnapshotId: BigInt((at(record, 503) as number | bigint | null | undefined) ?? 0),
      addedFilesCount: count(504),
      existingFilesCount: count(505),
      deletedFilesCount: count(506),
      addedRowsCount: count(512),
      existingRowsCount: count(513),
      deletedRowsCount: count(514),
      ...(partitions != null && { partitions: partitions.map(readFieldSummary) }),
      ...(keyMetadata != null && { keyMetadata }),
      ...(firstRowId !== undefined && { firstRowId }),
    };
  });
}

function readFieldSummary(record: Record<string, unknown>): FieldSummary {
  const [nan, lower, upper] = [at(record, 518), at(record, 510), at(record, 511)];
  return {
    containsNull: at(record, 509) === true,
    ...(typeof nan === "boolean" && { containsNan: nan }),
    ...(lower instanceof Uint8Array && { lowerBound: lower }),
    ...(upper instanceof Uint8Array && { upperBound: upper }),
  };
}

export interface ManifestListHeader {
  readonly formatVersion: number;
  readonly snapshotId: SnapshotId;
  readonly parentSnapshotId: SnapshotId | undefined;
  readonly sequenceNumber: number;
  /** Version 3: row id of the snapshot's first row. */
  readonly firstRowId?: number;
}

/** The bytes of a manifest list. */
export function writeManifestList(header: ManifestListHeader, manifests: readonly ManifestFile[]): Buffer {
  const { formatVersion } = header;
  const metadata: Record<string, string> = {
    "snapshot-id": String(header.snapshotId),
    "parent-snapshot-id": header.parentSnapshotId === undefined ? "null" : String(header.parentSnapshotId),
    ...(formatVersion > 1 && { "sequence-number": String(header.sequenceNumber) }),
    ...(formatVersion >= 3 && { "first-row-id": String(header.firstRowId ?? 0) }),
    "format-version": String(formatVersion),
  };
  const records = manifests.map((m) => ({
    manifest_path: m.path,
    manifest_length: m.length,
    partition_spec_id: m.partitionSpecId,
    content: m.content === "deletes" ? 1 : 0,
    sequence_number: m.sequenceNumber,
    min_sequence_number: m.minSequenceNumber,
    added_snapshot_id: m.addedSnapshotId,
    // Version 2 requires the counts; unknown ones of upgraded tables become "some", which readers must assume anyway.
    added_files_count: m.addedFilesCount ?? 1,
    existing_files_count: m.existingFilesCount ?? 1,
    deleted_files_count: m.deletedFilesCount ?? 1,
    added_rows_count: m.addedRowsCount ?? 1,
    existing_rows_count: m.existingRowsCount ?? 1,
    deleted_rows_count: m.deletedRowsCount ?? 1,
    partitions:
      m.partitions?.map((p) => ({
        contains_null: p.containsNull,
        contains_nan: p.containsNan ?? null,
        lower_bound: asBuffer(p.lowerBound),
        upper_bound: asBuffer(p.upperBound),
      })) ?? null,
    key_metadata: asBuffer(m.keyMetadata),
    first_row_id: m.firstRowId ?? null,
  }));
  return writeAvroFile(manifestListSchema(formatVersion), metadata, records);
}

// --- manifests ---------------------------------------------------------------------------------------------

export type FileContent = "data" | "position-deletes" | "equality-deletes";

/** A data or delete file as a manifest describes it. Maps are by column field id. */
export interface ContentFile {
  readonly content: FileContent;
  /** "s3://bucket/key". */
  readonly path: string;
  /** Upper case: "PARQUET", "AVRO", "ORC", "PUFFIN". */
  readonly format: string;
  /** Partition value (form of `values.ts`) by partition field id. */
  readonly partition: ReadonlyMap<number, Value | null>;
  readonly recordCount: number;
  /** Bytes. */
  readonly fileSize: number;
  readonly columnSizes?: ReadonlyMap<number, number>;
  /** Values of the column, nulls and NaNs included. */
  readonly valueCounts?: ReadonlyMap<number, number>;
  readonly nullValueCounts?: ReadonlyMap<number, number>;
  readonly nanValueCounts?: ReadonlyMap<number, number>;
  /** Binary form; decode with `columnBounds`. */
  readonly lowerBounds?: ReadonlyMap<number, Uint8Array>;
  readonly upperBounds?: ReadonlyMap<number, Uint8Array>;
  readonly keyMetadata?: Uint8Array;
  readonly splitOffsets?: readonly number[];
  /** Equality deletes: field ids that rows are compared by. */
  readonly equalityIds?: readonly number[];
  readonly sortOrderId?: number;
  readonly firstRowId?: number;
  /** Position deletes of one file, and deletion vectors. */
  readonly referencedDataFile?: string;
  /** Deletion vectors: where the blob lies in the Puffin file. */
  readonly contentOffset?: number;
  readonly contentSizeInBytes?: number;
}

export interface ManifestEntry {
  readonly status: "existing" | "added" | "deleted";
  readonly snapshotId: SnapshotId;
  /** Data sequence number, which deletes are compared by; inherited where the file leaves it out. */
  readonly sequenceNumber: number;
  readonly fileSequenceNumber: number;
  readonly file: ContentFile;
}

export interface Manifest<Entries = readonly ManifestEntry[]> {
  readonly formatVersion: number;
  readonly content: "data" | "deletes";
  readonly partitionSpecId: number;
  /** The spec's fields as the manifest carries them. */
  readonly partitionFields: readonly PartitionField[];
  /** Every entry, deleted ones included. */
  readonly entries: Entries;
}

/**
 * Reads a manifest. `manifest` is its line in the manifest list, from which entries inherit; `schemas` are those of the
 * table metadata, the current one first (they give the types of partition values). Throws `corrupt`.
 */
export function readManifest(bytes: Uint8Array, manifest: ManifestFile, schemas: readonly Schema[]): Manifest {
  const opened = openManifest(bytes, manifest, schemas);
  return { ...opened, entries: Array.from(opened.entries, withOwnMaps) };
}

/**
 * The same, with entries that are decoded, once, as they are taken: for whoever must not hold the event loop for long. What
 * they say by column are views of the manifest (`Pairs`), read when it is asked.
 */
export function openManifest(bytes: Uint8Array, manifest: ManifestFile, schemas: readonly Schema[]): Manifest<Generator<ManifestEntry>> {
  const file = openAvroFile(bytes, nameByFieldId);
  const partitionFields = headerPartitionFields(file);
  const types = partitionType({ "spec-id": manifest.partitionSpecId, fields: partitionFields }, schemas).fields.map(
    (field) => [field.id, primitive(field.type)] as const,
  );
  return {
    formatVersion: Number(file.metadata.get("format-version") ?? 1),
    content: manifest.content,
    partitionSpecId: manifest.partitionSpecId,
    partitionFields,
    entries: readEntries(file.records, manifest, types),
  };
}

function* readEntries(
  records: Iterable<Record<string, unknown>>,
  manifest: ManifestFile,
  types: readonly (readonly [number, Primitive])[],
): Generator<ManifestEntry> {
  let nextRowId = manifest.content === "data" ? manifest.firstRowId : undefined;
  for (const record of records) {
    const status = STATUSES[Number(required(record, 0, "status"))];
    if (status === undefined) throw corrupt(`A manifest entry has the unknown status ${String(at(record, 0))}`);
    const content = readContentFile(required(record, 2, "data_file") as Record<string, unknown>, types);
    const inherited = status === "added" ? manifest.sequenceNumber : 0;
    let { firstRowId } = content;
    if (firstRowId === undefined && nextRowId !== undefined && status !== "deleted") {
      firstRowId = nextRowId;
      nextRowId += content.recordCount;
    }
    yield {
      status,
      snapshotId: BigInt((at(record, 1) as number | bigint | null | undefined) ?? manifest.addedSnapshotId),
      sequenceNumber: asOptionalNumber(at(record, 3)) ?? inherited,
      fileSequenceNumber: asOptionalNumber(at(record, 4)) ?? inherited,
      file: firstRowId === undefined ? content : { ...content, firstRowId },
    };
  }
}

const STATUSES = ["existing", "added", "deleted"] as const;
const CONTENTS = ["data", "position-deletes", "equality-deletes"] as const;

function headerPartitionFields(file: Pick<AvroFile, "metadata">): PartitionField[] {
  const text = file.metadata.get("partition-spec");
  if (text === undefined) throw corrupt("A manifest has no partition-spec in its header");
  const parsed = JSON.parse(text) as PartitionField[] | { fields: PartitionField[] };
  const fields = Array.isArray(parsed) ? parsed : parsed.fields;
  return fields.map((field, i) => ({ ...field, "field-id": field["field-id"] ?? 1000 + i }));
}

function readContentFile(record: Record<string, unknown>, types: readonly (readonly [number, Primitive])[]): ContentFile {
  const content = CONTENTS[Number(at(record, 134) ?? 0)];
  if (content === undefined) throw corrupt(`A manifest entry has the unknown content ${String(at(record, 134))}`);
  const tuple = (at(record, 102) ?? {}) as Record<string, unknown>;
  const text = (id: number): string | undefined => at(record, id) as string | undefined;
  return dropUndefined({
    content,
    path: required(record, 100, "file_path") as string,
    format: String(required(record, 101, "file_format")).toUpperCase(),
    partition: new Map(types.map(([id, type]) => [id, fromAvro(type, at(tuple, id))])),
    recordCount: Number(required(record, 103, "record_count")),
    fileSize: Number(required(record, 104, "file_size_in_bytes")),
    columnSizes: asPairs(at(record, 108)),
    valueCounts: asPairs(at(record, 109)),
    nullValueCounts: asPairs(at(record, 110)),
    nanValueCounts: asPairs(at(record, 137)),
    lowerBounds: asPairs(at(record, 125)),
    upperBounds: asPairs(at(record, 128)),
    keyMetadata: (at(record, 131) as Uint8Array | null | undefined) ?? undefined,
    splitOffsets: numbers(at(record, 132)),
    equalityIds: numbers(at(record, 135)),
    sortOrderId: asOptionalNumber(at(record, 140)),
    firstRowId: asOptionalNumber(at(record, 142)),
    referencedDataFile: text(143) ?? undefined,
    contentOffset: asOptionalNumber(at(record, 144)),
    contentSizeInBytes: asOptionalNumber(at(record, 145)),
  });
}

/** Bounds of one column of a file, decoded; a side that is missing or has no meaning is undefined. */
export function columnBounds(file: ContentFile, fieldId: number, type: IcebergType): { lower?: Value; upper?: Value } {
  const parsed = typeof type === "string" ? parsePrimitive(type) : undefined;
  if (parsed === undefined) return {};
  const [lower, upper] = [file.lowerBounds?.get(fieldId), file.upperBounds?.get(fieldId)];
  return dropUndefined({ lower: lower && decodeValue(parsed, lower), upper: upper && decodeValue(parsed, upper) });
}

/** An entry to write. Sequence numbers are undefined for added files, which inherit them from the snapshot. */
export interface NewManifestEntry {
  readonly status: "existing" | "added" | "deleted";
  readonly snapshotId: SnapshotId;
  readonly sequenceNumber?: number | undefined;
  readonly fileSequenceNumber?: number | undefined;
  readonly file: ContentFile;
}

export interface ManifestHeader {
  readonly formatVersion: number;
  readonly content: "data" | "deletes";
  readonly spec: PartitionSpec;
  /** The table's current schema; goes into the header. */
  readonly schema: Schema;
  /** Further schemas in which columns of the spec may be found. */
  readonly schemas?: readonly Schema[];
}

/** The bytes of a manifest. All files must be of the header's spec. */
export function writeManifest(header: ManifestHeader, entries: readonly NewManifestEntry[]): Buffer {
  const { formatVersion, spec, schema } = header;
  const partition = partitionType(spec, [schema, ...(header.schemas ?? [])]);
  const avroSchema = manifestSchema(formatVersion, partition);
  const avroNames = partitionMemberNames(avroSchema);
  const types = partition.fields.map((field, i) => [field.id, avroNames[i] as string, primitive(field.type)] as const);
  const metadata = {
    schema: stringifyIcebergJson(schema),
    "schema-id": String(schema["schema-id"] ?? 0),
    "partition-spec": stringifyIcebergJson(spec.fields),
    "partition-spec-id": String(spec["spec-id"]),
    "format-version": String(formatVersion),
    ...(formatVersion > 1 && { content: header.content }),
  };
  const records = entries.map((entry) => ({
    status: STATUSES.indexOf(entry.status),
    snapshot_id: entry.snapshotId,
    sequence_number: entry.sequenceNumber ?? null,
    file_sequence_number: entry.fileSequenceNumber ?? null,
    data_file: writeContentFile(entry.file, types),
  }));
  return writeAvroFile(avroSchema, metadata, records);
}

function partitionMemberNames(schema: unknown): string[] {
  type Record_ = { fields: { "field-id": number; name: string; type: unknown }[] };
  const member = (record: unknown, id: number): unknown => (record as Record_).fields.find((field) => field["field-id"] === id)?.type;
  return (member(member(schema, 2), 102) as Record_).fields.map((field) => field.name);
}

function writeContentFile(file: ContentFile, types: readonly (readonly [number, string, Primitive])[]): object {
  return {
    content: CONTENTS.indexOf(file.content),
    file_path: file.path,
    file_format: file.format,
    partition: Object.fromEntries(types.map(([id, name, type]) => [name, toAvro(type, file.partition.get(id) ?? null)])),
    record_count: file.recordCount,
    file_size_in_bytes: file.fileSize,
    // Version 1 requires it; the specification says to write a default.
    block_size_in_bytes: 64 * 1024 * 1024,
    column_sizes: keyValues(file.columnSizes),
    value_counts: keyValues(file.valueCounts),
    null_value_counts: keyValues(file.nullValueCounts),
    nan_value_counts: keyValues(file.nanValueCounts),
    lower_bounds: keyBytes(file.lowerBounds),
    upper_bounds: keyBytes(file.upperBounds),
    key_metadata: asBuffer(file.keyMetadata),
    split_offsets: file.splitOffsets ?? null,
    equality_ids: file.equalityIds ?? null,
    sort_order_id: file.sortOrderId ?? null,
    first_row_id: file.firstRowId ?? null,
    referenced_data_file: file.referencedDataFile ?? null,
    content_offset: file.contentOffset ?? null,
    content_size_in_bytes: file.contentSizeInBytes ?? null,
  };
}

// --- partition values in Avro ------------------------------------------------------------------------------

function fromAvro(type: Primitive, value: unknown): Value | null {
  if (value === null || value === undefined) return null;
  switch (type.kind) {
    case "int":
    case "date":
    case "float":
    case "double":
      return Number(value);
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz":
    case "timestamp_ns":
    case "timestamptz_ns":
      return BigInt(value as number | bigint);
    case "decimal":
      return value instanceof Uint8Array ? fromTwosComplement(value) : BigInt(value as number);
    case "uuid":
      return value instanceof Uint8Array ? uuidText(value) : String(value).toLowerCase();
    default:
      return value as Value;
  }
}

function toAvro(type: Primitive, value: Value | null): unknown {
  if (value === null) return null;
  switch (type.kind) {
    case "decimal":
      return paddedTwosComplement(value as bigint, decimalSize(type.precision));
    case "uuid":
      return uuidBytes(value as string);
    case "fixed":
    case "binary":
      return asBuffer(value as Uint8Array);
    default:
      return value;
  }
}

// --- small shapes ------------------------------------------------------------------------------------------

/** Names of members by field id: a manifest asks for some of them a million times. */
const MEMBERS = Array.from({ length: 600 }, (_, id) => idName(id));

const at = (record: Record<string, unknown>, id: number): unknown => record[MEMBERS[id] ?? idName(id)];

function required(record: Record<string, unknown>, id: number, name: string): unknown {
  const value = at(record, id);
  if (value === undefined || value === null) throw corrupt(`A manifest misses ${name} (field ${id})`);
  return value;
}

const asOptionalNumber = (value: unknown): number | undefined => (value === null || value === undefined ? undefined : Number(value));

const asBuffer = (bytes: Uint8Array | undefined): Buffer | null =>
  bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const numbers = (value: unknown): number[] | undefined => (Array.isArray(value) ? value.map(Number) : undefined);

const asPairs = <Value>(value: unknown): Pairs<Value> | undefined => (value instanceof Pairs ? value : undefined);

/** Maps of their own in place of views of what was read. */
function withOwnMaps(entry: ManifestEntry): ManifestEntry {
  const { columnSizes, valueCounts, nullValueCounts, nanValueCounts, lowerBounds, upperBounds } = entry.file;
  const maps = { columnSizes, valueCounts, nullValueCounts, nanValueCounts, lowerBounds, upperBounds };
  const own = Object.entries(dropUndefined(maps)).map(([name, map]) => [name, new Map<number, unknown>(map)]);
  return { ...entry, file: { ...entry.file, ...Object.fromEntries(own) } };
}

const keyValues = (map: ReadonlyMap<number, number> | undefined): object[] | null =>
  map === undefined ? null : [...map].map(([key, value]) => ({ key, value }));

const keyBytes = (map: ReadonlyMap<number, Uint8Array> | undefined): object[] | null =>
  map === undefined ? null : [...map].map(([key, value]) => ({ key, value: asBuffer(value) }));

/** The object without members that are undefined, as `exactOptionalPropertyTypes` wants it. Deleting them would make it slow. */
function dropUndefined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = {} as { [K in keyof T]: Exclude<T[K], undefined> };
  for (const key in object) if (object[key] !== undefined) kept[key] = object[key] as Exclude<T[typeof key], undefined>;
  return kept;
}
