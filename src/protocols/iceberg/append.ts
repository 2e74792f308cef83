/**
 * Planning of an append: from table metadata and new data files to the Avro files to write and the commit to send. Without
 * storage: the caller gives bytes to read, writes the planned files durably, then commits. If the commit conflicts,
 * the planned files are orphans: load the table again and plan anew (data files stay as they are).
 *
 * ```ts
 * const plan = await prepareAppend(read, { metadata, files, now, summary: { "stream.offset": "42" } });
 * for (const file of plan.files) await write(file.path, file.bytes);
 * await tables.commit(bucket, namespace, table, plan.requirements, plan.updates);
 * ```
 */
import { randomBytes, randomUUID } from "node:crypto";
import { invalid } from "./errors.ts";
import {
  type ContentFile,
  type ManifestFile,
  type NewManifestEntry,
  readManifestList,
  writeManifest,
  writeManifestList,
} from "./manifests.ts";
import { type ManifestContent, manifestsToMerge, mergeManifests } from "./merge.ts";
import {
  currentSchema,
  defaultSpec,
  MAIN_BRANCH,
  type PartitionSpec,
  type Snapshot,
  type SnapshotId,
  type SnapshotSummary,
  snapshotByRef,
  type TableMetadata,
} from "./metadata.ts";
import { summarizePartitions } from "./partition-summary.ts";
import { type IcebergType, type Primitive, parsePrimitive } from "./types.ts";
import type { TableRequirement, TableUpdate } from "./updates.ts";
import { encodeLowerBound, encodeUpperBound, type Value } from "./values.ts";

/** A data file to add, written with the table's default partition spec and current schema. Field ids are the table's. */
export type NewDataFile = Omit<
  ContentFile,
  "content" | "equalityIds" | "firstRowId" | "referencedDataFile" | "contentOffset" | "contentSizeInBytes"
>;

export interface AppendInput {
  readonly metadata: TableMetadata;
  /** At least one; every partition map must have a value (or null) for each field of the default spec. */
  readonly files: readonly NewDataFile[];
  /** Bytes of `manifestListOf(metadata, branch)`; undefined when that is undefined. */
  readonly manifestList: Uint8Array | undefined;
  /** Manifests of the list that are to become one (`manifestsToMerge`), with their bytes. */
  readonly merge?: readonly ManifestContent[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Further properties of the snapshot's summary; the counts that every engine writes are added and win. */
  readonly summary?: Readonly<Record<string, string>>;
  /** Default "main". */
  readonly branch?: string;
  /** Part of the new files' names; default a random UUID. */
  readonly commitId?: string;
  readonly snapshotId?: SnapshotId;
}

export interface PlannedFile {
  /** "s3://bucket/key". */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface AppendPlan {
  /** To be written before the commit, in any order. Small: manifests and the manifest list. */
  readonly files: readonly PlannedFile[];
  readonly snapshot: Snapshot;
  readonly requirements: readonly TableRequirement[];
  readonly updates: readonly TableUpdate[];
}

/** Entries in one new manifest; more files give more manifests, so that planners can read them in parallel. */
const MANIFEST_ENTRIES_MAX = 10_000;

/** Location of the manifest list that an append to the branch builds on, or undefined for an empty branch. */
export function manifestListOf(metadata: TableMetadata, branch: string = MAIN_BRANCH): string | undefined {
  const snapshot = snapshotByRef(metadata, branch);
  if (snapshot !== undefined && snapshot["manifest-list"] === undefined)
    throw invalid(`Cannot append to snapshot ${snapshot["snapshot-id"]}: it has no manifest list`);
  return snapshot?.["manifest-list"];
}

/** Plans an append: one new manifest beside the existing ones, of which some may be merged. Throws `invalid` for files that do not fit the table. */
export function planAppend(input: AppendInput): AppendPlan {
  const { metadata, files, branch = MAIN_BRANCH, commitId = randomUUID(), snapshotId = newSnapshotId(metadata) } = input;
  if (files.length === 0) throw invalid("Cannot append no files");
  const formatVersion = metadata["format-version"];
  const parent = snapshotByRef(metadata, branch);
  if ((parent === undefined) !== (input.manifestList === undefined))
    throw invalid("Cannot append: the manifest list is not that of the branch");
  const sequenceNumber = formatVersion === 1 ? 0 : metadata["last-sequence-number"] + 1;
  const spec = defaultSpec(metadata);
  checkPartitions(spec, files);

  const planned: PlannedFile[] = [];
  const manifests: ManifestFile[] = [];
  for (let i = 0; i * MANIFEST_ENTRIES_MAX < files.length; i++) {
    const chunk = files.slice(i * MANIFEST_ENTRIES_MAX, (i + 1) * MANIFEST_ENTRIES_MAX);
    const path = `${metadata.location}/metadata/${commitId}-m${i}.avro`;
    const { bytes, manifest } = newManifest(metadata, spec, path, snapshotId, sequenceNumber, chunk);
    planned.push({ path, bytes });
    manifests.push(manifest);
  }
  const merge = input.merge ?? [];
  if (merge.length > 0) {
    const path = `${metadata.location}/metadata/${commitId}-m${manifests.length}.avro`;
    const { bytes, manifest } = mergeManifests(metadata, merge, path, snapshotId, sequenceNumber);
    planned.push({ path, bytes });
    manifests.push(manifest);
  }
  const merged = new Set(merge.map(({ manifest }) => manifest.path));
  if (input.manifestList !== undefined)
    manifests.push(...readManifestList(input.manifestList).filter((m) => !merged.has(m.path) && hasFiles(m)));

  const rows = formatVersion >= 3 ? assignRowIds(manifests, metadata["next-row-id"] ?? 0) : undefined;
  const listPath = `${metadata.location}/metadata/snap-${snapshotId}-1-${commitId}.avro`;
  planned.push({
    path: listPath,
    bytes: writeManifestList(
      { formatVersion, snapshotId, parentSnapshotId: parent?.["snapshot-id"], sequenceNumber, ...(rows && { firstRowId: rows.first }) },
      rows?.manifests ?? manifests,
    ),
  });
  const snapshot: Snapshot = {
    "snapshot-id": snapshotId,
    ...(parent && { "parent-snapshot-id": parent["snapshot-id"] }),
    ...(formatVersion > 1 && { "sequence-number": sequenceNumber }),
    // Never before the last change: readers refuse a snapshot log that runs backwards.
    "timestamp-ms": Math.max(input.now, metadata["last-updated-ms"]),
    summary: appendSummary(spec, files, parent, input.summary ?? {}),
    "manifest-list": listPath,
    "schema-id": metadata["current-schema-id"],
    ...(rows && { "first-row-id": rows.first, "added-rows": rows.added }),
  };
  return {
    files: planned,
    snapshot,
    requirements: [
      { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
      { type: "assert-ref-snapshot-id", ref: branch, "snapshot-id": parent?.["snapshot-id"] ?? null },
    ],
    updates: [
      { action: "add-snapshot", snapshot },
      { action: "set-snapshot-ref", "ref-name": branch, type: "branch", "snapshot-id": snapshotId },
    ],
  };
}

/**
 * Plans an append with everything it reads: the branch's manifest list, and small manifests when there are enough of them
 * to be merged. `read` gives the bytes at a location, and rejects when there are none.
 */
export async function prepareAppend(
  read: (location: string) => Promise<Uint8Array>,
  input: Omit<AppendInput, "manifestList" | "merge">,
): Promise<AppendPlan> {
  const location = manifestListOf(input.metadata, input.branch);
  if (location === undefined) return planAppend({ ...input, manifestList: undefined });
  const manifestList = await read(location);
  const merge: ManifestContent[] = [];
  for (const manifest of manifestsToMerge(input.metadata, readManifestList(manifestList)))
    merge.push({ manifest, bytes: await read(manifest.path) });
  return planAppend({ ...input, manifestList, merge });
}

/** Whether a snapshot that builds on the manifest still needs it: deleted entries alone say what an earlier one did. */
export const hasFiles = ({ addedFilesCount, existingFilesCount }: ManifestFile): boolean =>
  addedFilesCount !== 0 || existingFilesCount !== 0;

/** A random snapshot id that the table does not have: positive, 63 bits. */
export function newSnapshotId(metadata: TableMetadata): SnapshotId {
  for (;;) {
    const id = randomBytes(8).readBigUInt64BE() >> 1n;
    if (id > 0n && !metadata.snapshots.some((snapshot) => snapshot["snapshot-id"] === id)) return id;
  }
}

function checkPartitions(spec: PartitionSpec, files: readonly NewDataFile[]): void {
  for (const file of files)
    for (const field of spec.fields)
      if (!file.partition.has(field["field-id"])) throw invalid(`Data file ${file.path} has no value for partition field ${field.name}`);
}

function newManifest(
  metadata: TableMetadata,
  spec: PartitionSpec,
  path: string,
  snapshotId: SnapshotId,
  sequenceNumber: number,
  files: readonly NewDataFile[],
): { bytes: Buffer; manifest: ManifestFile } {
  const schema = currentSchema(metadata);
  const entries = files.map((file): NewManifestEntry => ({ status: "added", snapshotId, file: { ...file, content: "data" } }));
  const bytes = writeManifest(
    { formatVersion: metadata["format-version"], content: "data", spec, schema, schemas: metadata.schemas },
    entries,
  );
  const manifest: ManifestFile = {
    path,
    length: bytes.length,
    partitionSpecId: spec["spec-id"],
    content: "data",
    sequenceNumber,
    minSequenceNumber: sequenceNumber,
    addedSnapshotId: snapshotId,
    addedFilesCount: files.length,
    existingFilesCount: 0,
    deletedFilesCount: 0,
    addedRowsCount: sum(files.map((file) => file.recordCount)),
    existingRowsCount: 0,
    deletedRowsCount: 0,
    partitions: summarizePartitions(metadata, spec, files),
  };
  return { bytes, manifest };
}

/** Version 3: row ids for data manifests that have none yet, from the table's next row id up. */
export function assignRowIds(
  manifests: readonly ManifestFile[],
  first: number,
): { manifests: ManifestFile[]; first: number; added: number } {
  let next = first;
  const assigned = manifests.map((manifest) => {
    if (manifest.content !== "data" || manifest.firstRowId !== undefined) return manifest;
    const firstRowId = next;
    next += (manifest.addedRowsCount ?? 0) + (manifest.existingRowsCount ?? 0);
    return { ...manifest, firstRowId };
  });
  return { manifests: assigned, first, added: next - first };
}

export const TOTALS = ["records", "files-size", "data-files", "delete-files", "position-deletes", "equality-deletes"] as const;

/** The summary that other engines write too: what was added, and running totals as far as the parent has them. */
function appendSummary(
  spec: PartitionSpec,
  files: readonly NewDataFile[],
  parent: Snapshot | undefined,
  extra: Readonly<Record<string, string>>,
): SnapshotSummary {
  const added: Partial<Record<(typeof TOTALS)[number], number>> = {
    records: sum(files.map((file) => file.recordCount)),
    "files-size": sum(files.map((file) => file.fileSize)),
    "data-files": files.length,
  };
  const tuples = new Set(files.map((file) => JSON.stringify(spec.fields.map((field) => String(file.partition.get(field["field-id"]))))));
  const totals: Record<string, string> = {};
  for (const total of TOTALS) {
    const before = parent === undefined ? "0" : parent.summary?.[`total-${total}`];
    if (before !== undefined && /^\d+$/.test(before)) totals[`total-${total}`] = String(Number(before) + (added[total] ?? 0));
  }
  return {
    ...extra,
    operation: "append",
    "added-data-files": String(files.length),
    "added-records": String(added.records),
    "added-files-size": String(added["files-size"]),
    "changed-partition-count": String(tuples.size),
    ...totals,
  };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

// --- column statistics -------------------------------------------------------------------------------------

/** Statistics of one column of a data file. Minimum and maximum in the form of `values.ts`, over values that are neither null nor NaN. */
export interface ColumnStats {
  readonly type: IcebergType;
  /** Bytes in the file. */
  readonly size?: number;
  /** Nulls and NaNs included. */
  readonly valueCount?: number;
  readonly nullCount?: number;
  readonly nanCount?: number;
  readonly min?: Value;
  readonly max?: Value;
}

/** The maps of a data file from statistics by field id; long strings and binaries are cut to 16 units. */
export function columnStatistics(
  stats: ReadonlyMap<number, ColumnStats>,
): Pick<NewDataFile, "columnSizes" | "valueCounts" | "nullValueCounts" | "nanValueCounts" | "lowerBounds" | "upperBounds"> {
  const pick = (key: "size" | "valueCount" | "nullCount" | "nanCount"): Map<number, number> => {
    const found = [...stats].flatMap(([id, column]) => (column[key] === undefined ? [] : [[id, column[key]] as const]));
    return new Map(found);
  };
  const bounds = (key: "min" | "max", encode: (type: Primitive, value: Value) => Uint8Array | undefined): Map<number, Uint8Array> => {
    const found = [...stats].flatMap(([id, column]) => {
      const type = typeof column.type === "string" ? parsePrimitive(column.type) : undefined;
      const bytes = type === undefined || column[key] === undefined ? undefined : encode(type, column[key]);
      return bytes === undefined ? [] : [[id, bytes] as const];
    });
    return new Map(found);
  };
  return {
    columnSizes: pick("size"),
    valueCounts: pick("valueCount"),
    nullValueCounts: pick("nullCount"),
    nanValueCounts: pick("nanCount"),
    lowerBounds: bounds("min", encodeLowerBound),
    upperBounds: bounds("max", encodeUpperBound),
  };
}
