/**
 * Merging of small manifests during an append. A stream that commits every few seconds adds one manifest each time;
 * readers open every manifest, so once many are small they become one (table property `commit.manifest-merge.enabled`,
 * as in the reference implementation). Which ones is a question of the manifest list alone; their bytes are the caller's
 * to fetch.
 */
import { type ManifestFile, type NewManifestEntry, readManifest, writeManifest } from "./manifests.ts";
import { currentSchema, defaultSpec, type SnapshotId, type TableMetadata } from "./metadata.ts";
import { summarizePartitions } from "./partition-summary.ts";

/** Defaults of the reference implementation. */
const MIN_COUNT = 100;
const TARGET_BYTES = 8 * 1024 * 1024;

/**
 * Manifests of the list that an append should merge into one; empty while there are too few small ones. Only data
 * manifests of the default partition spec, oldest last as the list has them.
 */
export function manifestsToMerge(metadata: TableMetadata, manifests: readonly ManifestFile[]): ManifestFile[] {
  const { properties } = metadata;
  if (properties["commit.manifest-merge.enabled"]?.toLowerCase() === "false") return [];
  const minCount = positive(properties["commit.manifest.min-count-to-merge"], MIN_COUNT);
  const target = positive(properties["commit.manifest.target-size-bytes"], TARGET_BYTES);
  const specId = metadata["default-spec-id"];
  const small = manifests.filter((m) => m.content === "data" && m.partitionSpecId === specId && m.length < target / 2);
  if (small.length < Math.max(2, minCount)) return [];
  const chosen: ManifestFile[] = [];
  let bytes = 0;
  for (const manifest of small) {
    if (bytes + manifest.length > target) break;
    bytes += manifest.length;
    chosen.push(manifest);
  }
  return chosen.length < 2 ? [] : chosen;
}

function positive(text: string | undefined, fallback: number): number {
  const value = Number(text);
  return text !== undefined && Number.isSafeInteger(value) && value > 0 ? value : fallback;
}

/** A manifest to be merged, with its content. */
export interface ManifestContent {
  readonly manifest: ManifestFile;
  readonly bytes: Uint8Array;
}

/** The live entries of the manifests in one new manifest. Files keep the sequence numbers and row ids that they have. */
export function mergeManifests(
  metadata: TableMetadata,
  parts: readonly ManifestContent[],
  path: string,
  snapshotId: SnapshotId,
  sequenceNumber: number,
): { bytes: Buffer; manifest: ManifestFile } {
  const schema = currentSchema(metadata);
  const spec = defaultSpec(metadata);
  const schemas = [schema, ...metadata.schemas];
  const entries = parts.flatMap(({ manifest, bytes }) =>
    readManifest(bytes, manifest, schemas)
      .entries.filter((entry) => entry.status !== "deleted")
      .map((entry): NewManifestEntry => ({ ...entry, status: "existing" })),
  );
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
    minSequenceNumber: entries.reduce((min, entry) => Math.min(min, entry.sequenceNumber ?? 0), sequenceNumber),
    addedSnapshotId: snapshotId,
    addedFilesCount: 0,
    existingFilesCount: entries.length,
    deletedFilesCount: 0,
    addedRowsCount: 0,
    existingRowsCount: entries.reduce((sum, entry) => sum + entry.file.recordCount, 0),
    deletedRowsCount: 0,
    partitions: summarizePartitions(
      metadata,
      spec,
      entries.map((entry) => entry.file),
    ),
  };
  return { bytes, manifest };
}
