/**
 * Planning of a rewrite: a snapshot "replace" that puts new data files in the place of old ones with the same rows, and takes
 * away delete files that nothing needs any more. Without storage, as `append.ts`.
 *
 * New files carry the sequence number of the snapshot that the old ones were read from: deletes that came before are in
 * them, deletes that came after still apply to them.
 */
import { randomUUID } from "node:crypto";
import { type AppendPlan, assignRowIds, hasFiles, type NewDataFile, newSnapshotId, type PlannedFile, TOTALS } from "./append.ts";
import { invalid } from "./errors.ts";
import { type ContentFile, type ManifestFile, type NewManifestEntry, writeManifest, writeManifestList } from "./manifests.ts";
import {
  currentSchema,
  MAIN_BRANCH,
  type Snapshot,
  type SnapshotSummary,
  snapshotByRef,
  specById,
  type TableMetadata,
} from "./metadata.ts";
import { summarizePartitions } from "./partition-summary.ts";
import { DeleteIndex, fileId, type LiveFile, liveFiles, type OpenManifest } from "./table-files.ts";

export interface RewrittenFile {
  readonly specId: number;
  readonly file: NewDataFile;
}

export interface RewriteInput {
  readonly metadata: TableMetadata;
  /** Every manifest of the main branch's snapshot. */
  readonly manifests: readonly OpenManifest[];
  /** Locations of data files that go. */
  readonly removed: ReadonlySet<string>;
  readonly added: readonly RewrittenFile[];
  /** Sequence number of the snapshot that the removed files were read at. */
  readonly startingSequenceNumber: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly summary?: Readonly<Record<string, string>>;
  /** Part of the new files' names; default a random UUID. */
  readonly commitId?: string;
}

/** Entries in one new manifest. */
const MANIFEST_ENTRIES_MAX = 10_000;

/**
 * Why the rewrite no longer fits the snapshot, or undefined: every file that goes must still be there, and no row of it may
 * have been deleted by position since it was read.
 */
export function rewriteConflict(
  manifests: readonly OpenManifest[],
  removed: ReadonlySet<string>,
  startingSequenceNumber: number,
): string | undefined {
  const { data, deletes } = liveFiles(manifests);
  const still = data.filter(({ file }) => removed.has(file.path));
  if (still.length < removed.size) return "a file was removed meanwhile";
  const late = deletes.filter((one) => one.file.content === "position-deletes" && one.sequenceNumber > startingSequenceNumber);
  const index = new DeleteIndex(late);
  return still.some((one) => index.appliesTo(one).length > 0) ? "rows were deleted meanwhile" : undefined;
}

export interface RewritePlan extends AppendPlan {
  /** Paths of manifests that stay as they are. */
  readonly kept: ReadonlySet<string>;
}

/** Plans the commit; throws `invalid` when there is no snapshot or a file that goes is not in it. */
export function planRewrite(input: RewriteInput): RewritePlan {
  const { metadata, manifests, removed, added, commitId = randomUUID() } = input;
  const parent = snapshotByRef(metadata, MAIN_BRANCH);
  if (parent === undefined) throw invalid("Cannot rewrite a table without a snapshot");
  const formatVersion = metadata["format-version"];
  const snapshotId = newSnapshotId(metadata);
  const sequenceNumber = formatVersion === 1 ? 0 : metadata["last-sequence-number"] + 1;
  const live = liveFiles(manifests);
  const oldFiles = live.data.filter(({ file }) => removed.has(file.path));
  if (oldFiles.length < removed.size) throw invalid("Cannot rewrite files that are not in the table");
  const newFiles = added.map(
    ({ specId, file }): LiveFile => ({
      specId,
      file: { ...file, content: "data" },
      sequenceNumber: formatVersion === 1 ? 0 : input.startingSequenceNumber,
      fileSequenceNumber: sequenceNumber,
    }),
  );
  const data = [...live.data.filter(({ file }) => !removed.has(file.path)), ...newFiles];
  const needless = needlessDeletes(live.deletes, data);
  const gone = new Set([...removed, ...needless.map(fileId)]);

  const planned: PlannedFile[] = [];
  const list: ManifestFile[] = [];
  const write = (specId: number, content: "data" | "deletes", entries: readonly NewManifestEntry[]): void => {
    const spec = specById(metadata, specId);
    if (spec === undefined) throw invalid(`Cannot find partition spec with id ${specId}`);
    for (let i = 0; i < entries.length; i += MANIFEST_ENTRIES_MAX) {
      const chunk = entries.slice(i, i + MANIFEST_ENTRIES_MAX);
      const path = `${metadata.location}/metadata/${commitId}-m${planned.length}.avro`;
      const bytes = writeManifest({ formatVersion, content, spec, schema: currentSchema(metadata), schemas: metadata.schemas }, chunk);
      planned.push({ path, bytes });
      list.push({
        path,
        length: bytes.length,
        partitionSpecId: specId,
        content,
        sequenceNumber,
        minSequenceNumber: chunk.reduce(
          (min, one) => (one.status === "deleted" ? min : Math.min(min, one.sequenceNumber ?? min)),
          sequenceNumber,
        ),
        addedSnapshotId: snapshotId,
        ...counts(chunk),
        partitions: summarizePartitions(
          metadata,
          spec,
          chunk.map((one) => one.file),
        ),
      });
    }
  };

  for (const [specId, files] of Map.groupBy(newFiles, (one) => one.specId))
    write(
      specId,
      "data",
      files.map(({ file, sequenceNumber: age }) => ({
        status: "added",
        snapshotId,
        ...(formatVersion > 1 && { sequenceNumber: age }),
        file,
      })),
    );
  const isTouched = ({ content }: OpenManifest): boolean =>
    content.entries.some((entry) => entry.status !== "deleted" && gone.has(fileId(entry)));
  const touched = manifests.filter(isTouched);
  for (const group of Map.groupBy(touched, ({ file }) => `${file.content} ${file.partitionSpecId}`).values()) {
    const { content, partitionSpecId } = (group[0] as OpenManifest).file;
    const entries = group.flatMap((manifest) => manifest.content.entries.filter((entry) => entry.status !== "deleted"));
    const staying = entries.filter((entry) => !gone.has(fileId(entry)));
    const dropped = entries.filter((entry) => gone.has(fileId(entry)));
    write(
      partitionSpecId,
      content,
      staying.map((entry) => ({ ...entry, status: "existing" })),
    );
    write(
      partitionSpecId,
      content,
      dropped.map((entry) => ({ ...entry, status: "deleted", snapshotId })),
    );
  }
  const rest = manifests.filter((manifest) => !isTouched(manifest)).map(({ file }) => file);
  const kept = rest.filter(hasFiles);
  list.push(...kept);

  const rows = formatVersion >= 3 ? assignRowIds(list, metadata["next-row-id"] ?? 0) : undefined;
  const listPath = `${metadata.location}/metadata/snap-${snapshotId}-1-${commitId}.avro`;
  planned.push({
    path: listPath,
    bytes: writeManifestList(
      { formatVersion, snapshotId, parentSnapshotId: parent["snapshot-id"], sequenceNumber, ...(rows && { firstRowId: rows.first }) },
      rows?.manifests ?? list,
    ),
  });
  const snapshot: Snapshot = {
    "snapshot-id": snapshotId,
    "parent-snapshot-id": parent["snapshot-id"],
    ...(formatVersion > 1 && { "sequence-number": sequenceNumber }),
    "timestamp-ms": Math.max(input.now, metadata["last-updated-ms"]),
    summary: summary(parent, oldFiles, needless, newFiles, input.summary ?? {}),
    "manifest-list": listPath,
    "schema-id": metadata["current-schema-id"],
    ...(rows && { "first-row-id": rows.first, "added-rows": rows.added }),
  };
  return {
    files: planned,
    kept: new Set(kept.map((manifest) => manifest.path)),
    snapshot,
    requirements: [
      { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
      { type: "assert-ref-snapshot-id", ref: MAIN_BRANCH, "snapshot-id": parent["snapshot-id"] },
    ],
    updates: [
      { action: "add-snapshot", snapshot },
      { action: "set-snapshot-ref", "ref-name": MAIN_BRANCH, ...metadata.refs[MAIN_BRANCH], type: "branch", "snapshot-id": snapshotId },
    ],
  };
}

/** Deletes that apply to none of the data files. */
function needlessDeletes(deletes: readonly LiveFile[], data: readonly LiveFile[]): LiveFile[] {
  const index = new DeleteIndex(deletes);
  const needed = new Set(data.flatMap((one) => index.appliesTo(one)));
  return deletes.filter((one) => !needed.has(one));
}

function counts(entries: readonly NewManifestEntry[]) {
  const of = (status: NewManifestEntry["status"]): ContentFile[] => entries.filter((one) => one.status === status).map((one) => one.file);
  const [added, existing, deleted] = [of("added"), of("existing"), of("deleted")];
  return {
    addedFilesCount: added.length,
    existingFilesCount: existing.length,
    deletedFilesCount: deleted.length,
    addedRowsCount: rowsIn(added),
    existingRowsCount: rowsIn(existing),
    deletedRowsCount: rowsIn(deleted),
  };
}

const rowsIn = (files: readonly ContentFile[]): number => files.reduce((sum, file) => sum + file.recordCount, 0);
const bytesIn = (files: readonly ContentFile[]): number => files.reduce((sum, file) => sum + file.fileSize, 0);

function summary(
  parent: Snapshot,
  removedData: readonly LiveFile[],
  removedDeletes: readonly LiveFile[],
  addedData: readonly LiveFile[],
  extra: Readonly<Record<string, string>>,
): SnapshotSummary {
  const [removed, deletes, added] = [removedData, removedDeletes, addedData].map((files) => files.map(({ file }) => file)) as [
    ContentFile[],
    ContentFile[],
    ContentFile[],
  ];
  const positions = deletes.filter((file) => file.content === "position-deletes");
  const equalities = deletes.filter((file) => file.content === "equality-deletes");
  const change: Record<(typeof TOTALS)[number], number> = {
    records: rowsIn(added) - rowsIn(removed),
    "files-size": bytesIn(added) - bytesIn(removed) - bytesIn(deletes),
    "data-files": added.length - removed.length,
    "delete-files": -deletes.length,
    "position-deletes": -rowsIn(positions),
    "equality-deletes": -rowsIn(equalities),
  };
  const totals: Record<string, string> = {};
  for (const total of TOTALS) {
    const before = parent.summary?.[`total-${total}`];
    if (before !== undefined && /^\d+$/.test(before)) totals[`total-${total}`] = String(Math.max(0, Number(before) + change[total]));
  }
  const counted: Readonly<Record<string, number>> = {
    "added-data-files": added.length,
    "deleted-data-files": removed.length,
    "added-records": rowsIn(added),
    "deleted-records": rowsIn(removed),
    "added-files-size": bytesIn(added),
    "removed-files-size": bytesIn(removed) + bytesIn(deletes),
    "removed-delete-files": deletes.length,
    "removed-position-deletes": rowsIn(positions),
    "removed-equality-deletes": rowsIn(equalities),
  };
  const told = Object.entries(counted).filter(([, value]) => value !== 0);
  return { ...extra, operation: "replace", ...Object.fromEntries(told.map(([key, value]) => [key, String(value)])), ...totals };
}
