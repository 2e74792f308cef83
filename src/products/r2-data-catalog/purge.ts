/**
 * Deletion of purged tables, after their grace period. One loop, woken by purges and by time; what is left over after a
 * crash is found again by its row, which goes last. Objects of a location that the catalog chose are deleted by prefix;
 * elsewhere only files that the table's metadata names, because other files may lie beside them. No purge waits for
 * another that fails.
 */

import { readManifest, readManifestList } from "../../protocols/iceberg/manifests.ts";
import { parseS3Location, parseTableMetadata, type TableMetadata } from "../../protocols/iceberg/metadata.ts";
import type { Catalog } from "./model.ts";

interface PurgeRow {
  readonly id: string;
  readonly warehouse_id: string;
  readonly bucket: string;
  readonly location: string;
  readonly metadata_location: string;
  readonly due_at: number;
}

export interface Purger {
  /** Looks for due purges now. */
  wake(): void;
  /** Ends after the deletion under way. */
  stop(): Promise<void>;
}

/** Objects deleted in one call. */
const BATCH = 1000;
/** Longest wait between two looks, which also bounds the effect of a clock that jumps. */
const WAIT_MAX_MS = 60 * 60 * 1000;
/** Wait after a failure. */
const RETRY_MS = 60 * 1000;

export function startPurger(catalog: () => Catalog): Purger {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;

  async function work(): Promise<void> {
    const { kernel } = catalog();
    for (;;) {
      if (stopped) return;
      const row = await kernel.meta.get<PurgeRow>("SELECT * FROM r2_data_catalog_purges ORDER BY due_at LIMIT 1");
      if (row === undefined) return;
      const wait = row.due_at - kernel.clock.now();
      if (wait > 0) {
        sleep(Math.min(wait, WAIT_MAX_MS));
        return;
      }
      await purge(catalog(), row).catch(async (error: unknown) => {
        kernel.log.warn("catalog.purge_failed", { error, bucket: row.bucket, location: row.location });
        // Due again later: what is due for others does not wait behind it.
        const dueAt = kernel.clock.now() + RETRY_MS;
        await kernel.meta.run("UPDATE r2_data_catalog_purges SET due_at = ? WHERE id = ?", dueAt, row.id);
      });
    }
  }

  function sleep(ms: number): void {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(wake, ms).unref();
  }

  function wake(): void {
    if (stopped) return;
    again = running !== undefined;
    if (running !== undefined) return;
    running = work()
      .catch((error: unknown) => {
        catalog().kernel.log.warn("catalog.purge_failed", { error });
        sleep(RETRY_MS);
      })
      .finally(() => {
        running = undefined;
        if (again) wake();
      });
  }

  return {
    wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

async function purge(catalog: Catalog, row: PurgeRow): Promise<void> {
  const { meta, log } = catalog.kernel;
  if (await catalog.objects.bucketExists(row.bucket)) {
    const managed = row.location.startsWith(`s3://${row.bucket}/__r2_data_catalog/${row.warehouse_id}/`);
    if (managed) await deletePrefix(catalog, row.bucket, `${parseS3Location(row.location)?.key ?? ""}/`);
    else await deleteReachable(catalog, row);
  }
  // The row goes last: a crash before it repeats the deletion, which finds less to do.
  await meta.run("DELETE FROM r2_data_catalog_purges WHERE id = ?", row.id);
  log.info("catalog.table_purged", { bucket: row.bucket, location: row.location });
}

async function deletePrefix(catalog: Catalog, bucket: string, prefix: string): Promise<void> {
  for (;;) {
    const page = await catalog.objects.list(bucket, prefix, { limit: BATCH });
    if (page.length === 0) return;
    await catalog.objects.delete(
      bucket,
      page.map((object) => object.key),
    );
  }
}

/** Deletes leaves before what names them, so that a repetition after a crash still finds the rest. */
async function deleteReachable(catalog: Catalog, row: PurgeRow): Promise<void> {
  const { files, objects } = catalog;
  const text = await files.readText(row.bucket, row.metadata_location);
  if (text === undefined) return;
  // A view owns its metadata files alone.
  if (text.includes('"view-uuid"')) return files.remove(row.bucket, [row.metadata_location]);
  const metadata = readable(catalog, row.metadata_location, () => parseTableMetadata(text));
  if (metadata === undefined) return;
  const lists = metadata.snapshots.flatMap((snapshot) => (snapshot["manifest-list"] === undefined ? [] : [snapshot["manifest-list"]]));
  for (const list of lists) {
    const listBytes = await bytesAt(catalog, row.bucket, list);
    if (listBytes === undefined) continue;
    for (const manifest of readable(catalog, list, () => readManifestList(listBytes)) ?? []) {
      const bytes = await bytesAt(catalog, row.bucket, manifest.path);
      if (bytes === undefined) continue;
      const read = () => readManifest(bytes, manifest, metadata.schemas).entries;
      const paths = (readable(catalog, manifest.path, read) ?? []).map((entry) => entry.file.path);
      for (let i = 0; i < paths.length; i += BATCH) await files.remove(row.bucket, paths.slice(i, i + BATCH));
      await files.remove(row.bucket, [manifest.path]);
    }
    await files.remove(row.bucket, [list]);
  }
  await files.remove(row.bucket, others(metadata));
  const key = parseS3Location(row.metadata_location)?.key;
  if (key !== undefined) await objects.delete(row.bucket, [key]);
}

const others = (metadata: TableMetadata): string[] => [
  ...metadata.statistics.map((file) => file["statistics-path"]),
  ...metadata["partition-statistics"].map((file) => file["statistics-path"]),
  ...metadata["metadata-log"].map((entry) => entry["metadata-file"]),
];

/** What a file says, or undefined when it is damaged: nobody can know what it named, so that stays. */
function readable<T>({ kernel }: Catalog, location: string, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    kernel.log.warn("catalog.purge_unreadable", { error, location });
    return undefined;
  }
}

async function bytesAt(catalog: Catalog, bucket: string, location: string): Promise<Uint8Array | undefined> {
  const place = parseS3Location(location);
  return place?.bucket === bucket ? catalog.objects.bytes(bucket, place.key) : undefined;
}
