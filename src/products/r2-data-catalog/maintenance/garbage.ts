/**
 * Files that may have become nobody's: outputs of a compaction before it is committed, files of expired snapshots. Each is
 * written down before it can become garbage, and deleted once no snapshot of the table names it. So a crash at any
 * moment leaves either files that are in use, or rows by which the next run finds what to delete.
 */
import type { TableMetadata } from "../../../protocols/iceberg/metadata.ts";
import { lockKey } from "../commits.ts";
import { currentMetadata, keyOf, manifest, manifestList, type Subject } from "./table-state.ts";

/** Rows looked at in one go. */
const BATCH = 10_000;
const DELETE_BATCH = 1000;

/** Durable when it resolves. */
export async function noteGarbage({ catalog, row }: Subject, locations: readonly string[]): Promise<void> {
  await catalog.kernel.meta.transaction(async (tx) => {
    for (const location of locations)
      await tx.run("INSERT INTO r2_data_catalog_garbage (table_id, location) VALUES (?, ?) ON CONFLICT DO NOTHING", row.id, location);
  });
}

/** The files are in use now. */
export async function keepFiles({ catalog, row }: Subject, locations: readonly string[]): Promise<void> {
  await catalog.kernel.meta.transaction(async (tx) => {
    for (const location of locations)
      await tx.run("DELETE FROM r2_data_catalog_garbage WHERE table_id = ? AND location = ?", row.id, location);
  });
}

/** Deletes what was written down of the table and is in no snapshot; gives the number of files. No job of the table may be writing. */
export async function sweep(subject: Subject): Promise<number> {
  const { catalog, row, warehouse, identifier } = subject;
  let deleted = 0;
  for (;;) {
    const rows = await catalog.kernel.meta.all<{ location: string }>(
      "SELECT location FROM r2_data_catalog_garbage WHERE table_id = ? LIMIT ?",
      row.id,
      BATCH,
    );
    if (rows.length === 0) return deleted;
    const locations = rows.map(({ location }) => location);
    const seen = await currentMetadata(subject);
    const unused = new Set(locations);
    await removeNamed(subject, seen.metadata, unused);
    // Under the table's lock no commit can bring a file back between the look and the deletion.
    const swept = await catalog.locks.run([lockKey(warehouse, identifier)], async () => {
      if ((await currentMetadata(subject)).metadataLocation !== seen.metadataLocation) return false;
      const keys = [...unused].map((location) => keyOf(warehouse, location));
      for (let i = 0; i < keys.length; i += DELETE_BATCH) await catalog.objects.delete(warehouse.bucket, keys.slice(i, i + DELETE_BATCH));
      return true;
    });
    if (!swept) continue;
    deleted += unused.size;
    // Rows go last: a crash before this repeats the deletion.
    await keepFiles(subject, locations);
  }
}

/** Takes every location that a snapshot of the metadata names out of the set. */
export async function removeNamed(subject: Subject, metadata: TableMetadata, locations: Set<string>): Promise<void> {
  const seen = new Set<string>();
  for (const file of [...metadata.statistics, ...metadata["partition-statistics"]]) locations.delete(file["statistics-path"]);
  for (const snapshot of metadata.snapshots) {
    const list = snapshot["manifest-list"];
    if (list === undefined) continue;
    locations.delete(list);
    for (const file of await manifestList(subject, list)) {
      if (seen.has(file.path)) continue;
      seen.add(file.path);
      locations.delete(file.path);
      for (const { status, file: data } of (await manifest(subject, file, metadata)).entries)
        if (status !== "deleted") locations.delete(data.path);
    }
  }
}
