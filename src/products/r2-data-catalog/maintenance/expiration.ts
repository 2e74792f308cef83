/**
 * Snapshot expiration of one table (docs, "Table maintenance"): old snapshots leave the metadata in one commit, and files
 * that only they named are deleted afterwards. What may be deleted is written down before the commit (`garbage.ts`).
 */
import { PlatformError } from "../../../kernel/errors.ts";
import { type Expiry, expired, expiryUpdates, type Retention } from "../../../protocols/iceberg/expire.ts";
import type { TableMetadata } from "../../../protocols/iceberg/metadata.ts";
import { commitTables } from "../commits.ts";
import { catalogError } from "../errors.ts";
import { noteGarbage, removeNamed, sweep } from "./garbage.ts";
import { currentMetadata, manifest, manifestList, type Subject } from "./table-state.ts";

export interface ExpirationOptions {
  readonly retention: Omit<Retention, "limit">;
  readonly deleteFiles: boolean;
  readonly authorize: () => Promise<void>;
}

export interface ExpirationResult {
  readonly skipped?: string;
  readonly expiredSnapshots: number;
  readonly expiredRefs: number;
  readonly deletedFiles: number;
}

/** Snapshots in one run (docs, "Limits"). */
const SNAPSHOTS_MAX = 10_000;

export const expiryOf = (metadata: TableMetadata, retention: Omit<Retention, "limit">): Expiry =>
  expired(metadata, { ...retention, limit: SNAPSHOTS_MAX });

export async function expireSnapshots(subject: Subject, options: ExpirationOptions): Promise<ExpirationResult> {
  const { metadata } = await currentMetadata(subject);
  const none = { expiredSnapshots: 0, expiredRefs: 0, deletedFiles: 0 };
  if (metadata.properties["gc.enabled"]?.toLowerCase() === "false") return { skipped: "The table's property gc.enabled is false", ...none };
  const expiry = expiryOf(metadata, options.retention);
  if (expiry.snapshots.length === 0 && expiry.refs.length === 0) return { skipped: "No snapshots are to be expired", ...none };
  if (options.deleteFiles) await noteGarbage(subject, await filesOfOnly(subject, metadata, expiry));
  await options.authorize();
  await commitTables(subject.catalog, subject.warehouse, [
    {
      identifier: subject.identifier,
      requirements: [{ type: "assert-table-uuid", uuid: metadata["table-uuid"] }],
      updates: expiryUpdates(expiry),
      // A branch, a tag or a rollback of the last moment may need what was old before.
      verify: (base) => requireSame(expiry, expiryOf(base, options.retention)),
    },
  ]);
  const deletedFiles = options.deleteFiles ? await sweep(subject) : 0;
  return { expiredSnapshots: expiry.snapshots.length, expiredRefs: expiry.refs.length, deletedFiles };
}

function requireSame(planned: Expiry, now: Expiry): void {
  const [snapshots, refs] = [new Set(now.snapshots), new Set(now.refs)];
  if (!planned.snapshots.every((id) => snapshots.has(id)) || !planned.refs.every((name) => refs.has(name)))
    throw catalogError("commitFailed", "A snapshot that was to be expired is needed again");
}

/**
 * Locations that only the snapshots to be expired name, as far as they lie under the table's own location: files that
 * were added from elsewhere may belong to others too. What a damaged or missing file of theirs named is not known and stays;
 * one of a snapshot that is kept throws, for then nobody knows what is needed.
 */
async function filesOfOnly(subject: Subject, metadata: TableMetadata, expiry: Expiry): Promise<string[]> {
  const going = new Set(expiry.snapshots);
  const kept = {
    ...metadata,
    snapshots: metadata.snapshots.filter((snapshot) => !going.has(snapshot["snapshot-id"])),
    statistics: metadata.statistics.filter((file) => !going.has(file["snapshot-id"])),
    "partition-statistics": metadata["partition-statistics"].filter((file) => !going.has(file["snapshot-id"])),
  };
  const locations = new Set<string>();
  for (const file of [...metadata.statistics, ...metadata["partition-statistics"]])
    if (going.has(file["snapshot-id"])) locations.add(file["statistics-path"]);
  const seen = new Set<string>();
  for (const snapshot of metadata.snapshots) {
    const list = snapshot["manifest-list"];
    if (list === undefined || !going.has(snapshot["snapshot-id"])) continue;
    locations.add(list);
    for (const file of await orNone(subject, list, manifestList(subject, list))) {
      if (seen.has(file.path)) continue;
      seen.add(file.path);
      locations.add(file.path);
      const entries = manifest(subject, file, metadata).then((content) => content.entries);
      for (const { status, file: data } of await orNone(subject, file.path, entries)) if (status !== "deleted") locations.add(data.path);
    }
  }
  await removeNamed(subject, kept, locations);
  return [...locations].filter((location) => location.startsWith(`${metadata.location}/`));
}

/** Of a file that cannot be read, nothing. */
async function orNone<T>({ catalog }: Subject, location: string, read: Promise<readonly T[]>): Promise<readonly T[]> {
  return read.catch((error: unknown) => {
    if (!(error instanceof PlatformError)) throw error;
    catalog.kernel.log.warn("catalog.expiry_unreadable", { error: error.message, location });
    return [];
  });
}
