/**
 * Which files a query must read of one table: from the newest snapshot's manifest list to its manifests to the files,
 * leaving out at each step what the WHERE clause excludes. Reads metadata only.
 */
import { setImmediate } from "node:timers/promises";
import type { LoadedTable } from "../../../kernel/capabilities.ts";
import { checkNestedHistory } from "../../../kernel/duckdb/iceberg/columns.ts";
import { type DeletionVectorBlob, deletionVectorBlob } from "../../../protocols/iceberg/deletion-vector.ts";
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import type { ContentFile, ManifestFile } from "../../../protocols/iceberg/manifests.ts";
import { currentSchema, currentSnapshot, specById, type TableMetadata } from "../../../protocols/iceberg/metadata.ts";
import { partitionType } from "../../../protocols/iceberg/specs.ts";
import type { Schema } from "../../../protocols/iceberg/types.ts";
import { r2SqlError, supported } from "../errors.ts";
import type { ManifestStore } from "./manifest-store.ts";
import type { Predicate } from "./predicate.ts";
import { fileMayMatch, manifestMayMatch, type PartitionColumn, partitionColumns } from "./prune.ts";

/** A table of the catalog as a query sees it: one snapshot, whatever is committed meanwhile. */
export interface TableSnapshot {
  /** As people write it: "ns.t". */
  readonly name: string;
  readonly bucket: string;
  readonly metadata: TableMetadata;
  readonly schema: Schema;
}

export interface PlannedFile {
  readonly file: ContentFile;
  /** Data sequence number: deletes apply to files that are older. */
  readonly sequenceNumber: number;
}

export interface ScanPlan {
  readonly data: readonly PlannedFile[];
  readonly positionDeletes: readonly PlannedFile[];
  readonly equalityDeletes: readonly PlannedFile[];
  /** Deletion vectors by the location of their data file, which has no position deletes beside them. */
  readonly vectors: ReadonlyMap<string, DeletionVectorBlob>;
  /** Data files of the snapshot, as far as they were looked at, that the predicate excluded. */
  readonly skippedFiles: number;
  readonly skippedManifests: number;
}

export function openTable(loaded: LoadedTable, bucket: string, name: string): TableSnapshot {
  const metadata = loaded.metadata as TableMetadata;
  return { name, bucket, metadata, schema: currentSchema(metadata) };
}

const EMPTY: ScanPlan = { data: [], positionDeletes: [], equalityDeletes: [], vectors: new Map(), skippedFiles: 0, skippedManifests: 0 };

/** Files whose bounds are looked at without a pause: a few milliseconds. */
const FILES_AT_A_TIME = 2000;

/**
 * Plans one scan. `rowsWanted` ends the search when the files found have so many rows, for a LIMIT that nothing precedes;
 * `onRead` is called for each metadata file that was not in memory.
 * Throws `r2-sql.fileMissing` and `r2-sql.fileCorrupt` for metadata that cannot be read.
 */
export async function planScan(
  table: TableSnapshot,
  predicate: Predicate,
  store: ManifestStore,
  rowsWanted: number | undefined,
  signal: AbortSignal,
  onRead: () => void = () => {},
): Promise<ScanPlan> {
  const { metadata, bucket } = table;
  supported(() => checkNestedHistory(table.schema, metadata.schemas, table.name));
  const snapshot = currentSnapshot(metadata);
  if (snapshot === undefined) return EMPTY;
  const location = snapshot["manifest-list"];
  const listed = location === undefined ? (snapshot.manifests ?? []).map(unlisted) : await store.manifestList(bucket, location, onRead);
  const manifests = listed.filter(
    // Deleted entries alone: nothing to read.
    (manifest) => manifest.addedFilesCount !== 0 || manifest.existingFilesCount !== 0,
  );
  const schemas = [table.schema, ...metadata.schemas.filter((schema) => schema !== table.schema)];
  const columnsOf = partitionColumnsBySpec(metadata, schemas);
  const deletes = manifests.filter((manifest) => manifest.content === "deletes");
  // With deletes a file may have fewer rows than its manifest says.
  const enough = deletes.length > 0 ? undefined : rowsWanted;

  const plan = { data: [] as PlannedFile[], skippedFiles: 0, skippedManifests: 0 };
  let [rows, looked] = [0, 0];
  for (const manifest of manifests) {
    if (manifest.content !== "data") continue;
    signal.throwIfAborted();
    // Others have their turn between the manifests of a large table.
    if (looked > FILES_AT_A_TIME) {
      looked = 0;
      await setImmediate();
    }
    if (enough !== undefined && rows >= enough) break;
    if (!manifestMayMatch(predicate, manifest.partitions, columnsOf(manifest.partitionSpecId))) {
      plan.skippedManifests++;
      plan.skippedFiles += (manifest.addedFilesCount ?? 0) + (manifest.existingFilesCount ?? 0);
      continue;
    }
    const files = await liveFiles(bucket, manifest, schemas, store, onRead);
    looked += files.length;
    for (const planned of files) {
      if (enough !== undefined && rows >= enough) break;
      if (planned.file.recordCount === 0) continue;
      if (!fileMayMatch(predicate, planned.file, columnsOf(manifest.partitionSpecId))) {
        plan.skippedFiles++;
        continue;
      }
      checkReadable(planned.file, table);
      plan.data.push(planned);
      rows += planned.file.recordCount;
    }
  }
  const deleteFiles: PlannedFile[] = [];
  if (plan.data.length > 0)
    for (const manifest of deletes) deleteFiles.push(...(await liveFiles(bucket, manifest, schemas, store, onRead)));
  for (const { file } of deleteFiles) checkReadable(file, table);
  return {
    ...plan,
    vectors: vectorsOf(plan.data, deleteFiles),
    positionDeletes: deleteFiles.filter(({ file }) => file.content === "position-deletes" && file.format !== "PUFFIN"),
    equalityDeletes: deleteFiles.filter(({ file }) => file.content === "equality-deletes"),
  };
}

/**
 * A manifest that an old snapshot of the first format version names by itself, without a list: all of it is data, and
 * nothing is known of its partitions.
 */
const unlisted = (path: string): ManifestFile => ({
  path,
  length: 0,
  partitionSpecId: UNKNOWN_SPEC,
  content: "data",
  sequenceNumber: 0,
  minSequenceNumber: 0,
  addedSnapshotId: 0n,
  addedFilesCount: undefined,
  existingFilesCount: undefined,
  deletedFilesCount: undefined,
  addedRowsCount: undefined,
  existingRowsCount: undefined,
  deletedRowsCount: undefined,
});
const UNKNOWN_SPEC = -1;

async function liveFiles(
  bucket: string,
  manifest: ManifestFile,
  schemas: readonly Schema[],
  store: ManifestStore,
  onRead: () => void,
): Promise<PlannedFile[]> {
  const { entries } = await store.manifest(bucket, manifest, schemas, onRead);
  return entries.flatMap((entry) => (entry.status === "deleted" ? [] : [{ file: entry.file, sequenceNumber: entry.sequenceNumber }]));
}

/** Deletion vectors of the planned files; one that is for no planned file is not needed. */
function vectorsOf(data: readonly PlannedFile[], deletes: readonly PlannedFile[]): Map<string, DeletionVectorBlob> {
  const planned = new Map(data.map((one) => [one.file.path, one.sequenceNumber]));
  const vectors = new Map<string, DeletionVectorBlob>();
  for (const { file, sequenceNumber } of deletes) {
    const blob = readable(() => deletionVectorBlob(file));
    const age = blob && planned.get(blob.dataFile);
    if (blob === undefined || blob.cardinality === 0 || age === undefined || age > sequenceNumber) continue;
    if (vectors.has(blob.dataFile)) throw r2SqlError("fileCorrupt", `A data file has two deletion vectors: ${blob.dataFile}`);
    vectors.set(blob.dataFile, blob);
  }
  return vectors;
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof IcebergError)) throw cause;
    throw r2SqlError("fileCorrupt", `A file of the table cannot be read: ${cause.message}`, { cause });
  }
}

function checkReadable(file: ContentFile, table: TableSnapshot): void {
  const isVector = file.format === "PUFFIN" && file.content === "position-deletes";
  if (file.format !== "PARQUET" && !isVector)
    throw r2SqlError("notImplemented", `${table.name} has files of the format ${file.format}; R2 SQL reads Parquet`);
  if (file.keyMetadata !== undefined) throw r2SqlError("notImplemented", `${table.name} has encrypted files`);
}

/** Specs change: each manifest has that of its time. */
function partitionColumnsBySpec(metadata: TableMetadata, schemas: readonly Schema[]): (specId: number) => (PartitionColumn | undefined)[] {
  const known = new Map<number, (PartitionColumn | undefined)[]>();
  return (specId) => {
    let columns = known.get(specId);
    if (columns === undefined) {
      const spec = specById(metadata, specId);
      const types = new Map(spec === undefined ? [] : partitionType(spec, schemas).fields.map((field) => [field.id, field.type]));
      columns = spec === undefined ? [] : partitionColumns(spec.fields, (id) => types.get(id));
      known.set(specId, columns);
    }
    return columns;
  };
}
