/** Buckets: create, find, list, change, delete. A bucket's name is unique within its jurisdiction. */
import { randomBytes } from "node:crypto";
import type { MetaReader, SqlValue } from "../../kernel/meta/meta.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { checkBucketName } from "./limits.ts";
import type { Bucket, Jurisdiction, StorageClass } from "./model.ts";
import { type BucketRow, toBucket } from "./rows.ts";

const COLUMNS = "id, jurisdiction, name, location, storage_class, created";

export async function findBucket(r2: R2, name: string, jurisdiction: Jurisdiction = "default"): Promise<Bucket | undefined> {
  const row = await r2.meta.get<BucketRow>(`SELECT ${COLUMNS} FROM r2_buckets WHERE jurisdiction = ? AND name = ?`, jurisdiction, name);
  return row && toBucket(row);
}

/** Throws `r2.noSuchBucket`. */
export async function requireBucket(r2: R2, name: string, jurisdiction: Jurisdiction = "default"): Promise<Bucket> {
  const bucket = await findBucket(r2, name, jurisdiction);
  if (bucket === undefined) throw r2Error("noSuchBucket");
  return bucket;
}

/** What subscribed queues hear of (docs/queues/event-subscriptions/events-schemas). */
export const bucketEvents = ["bucket.created", "bucket.deleted"] as const;

/** Throws `invalidBucketName`, `bucketConflict`, `tooManyBuckets`. */
export async function createBucket(
  r2: R2,
  name: string,
  options: { jurisdiction: Jurisdiction; location?: string | undefined; storageClass?: StorageClass | undefined },
): Promise<Bucket> {
  checkBucketName(name);
  const bucket: Bucket = {
    id: randomBytes(16).toString("hex"),
    name,
    jurisdiction: options.jurisdiction,
    location: options.location ?? null,
    storageClass: options.storageClass ?? "Standard",
    created: r2.clock.now(),
  };
  const announced = await r2.meta.transaction(async (tx) => {
    const count = await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM r2_buckets");
    if ((count?.n ?? 0) >= r2.config["r2.buckets_max"]) throw r2Error("tooManyBuckets");
    const { changes } = await tx.run(
      `INSERT INTO r2_buckets (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (jurisdiction, name) DO NOTHING`,
      bucket.id,
      bucket.jurisdiction,
      bucket.name,
      bucket.location,
      bucket.storageClass,
      bucket.created,
    );
    if (changes === 0) throw r2Error("bucketConflict");
    const { name, jurisdiction, location, storageClass } = bucket;
    const payload = { name, jurisdiction, ...(location !== null && { location: location.toUpperCase() }), storageClass };
    return r2.announce(tx, { type: "r2" }, "bucket.created", payload);
  });
  announced();
  return bucket;
}

/** Throws `r2.bucketNotEmpty` while there are objects or uploads in progress (as the API reference says). */
export async function deleteBucket(r2: R2, bucket: Bucket): Promise<void> {
  const announced = await r2.meta.transaction(async (tx) => {
    const used = await tx.get(
      `SELECT 1 AS used WHERE EXISTS (SELECT 1 FROM r2_objects WHERE bucket_id = ?)
         OR EXISTS (SELECT 1 FROM r2_uploads WHERE bucket_id = ? AND state = 'open')`,
      bucket.id,
      bucket.id,
    );
    if (used !== undefined) {
      throw r2Error("bucketNotEmpty", `The bucket you tried to delete (${bucket.name}) is not empty (account ${r2.accountId})`);
    }
    const { changes } = await tx.run("DELETE FROM r2_buckets WHERE id = ?", bucket.id);
    if (changes === 0) throw r2Error("noSuchBucket");
    await tx.run("DELETE FROM r2_settings WHERE bucket_id = ?", bucket.id);
    await tx.run("DELETE FROM r2_uploads WHERE bucket_id = ?", bucket.id);
    return r2.announce(tx, { type: "r2" }, "bucket.deleted", { name: bucket.name, jurisdiction: bucket.jurisdiction });
  });
  announced();
  r2.notifications.forget(bucket.id);
  r2.sippy.forget(bucket.id);
}

export interface BucketListOptions {
  readonly jurisdiction: Jurisdiction;
  readonly nameContains?: string | undefined;
  readonly prefix?: string | undefined;
  readonly startAfter?: string | undefined;
  readonly descending?: boolean | undefined;
  readonly limit: number;
}

/** In order of names; `truncated` when there are more. */
export async function listBuckets(r2: R2, options: BucketListOptions): Promise<{ buckets: Bucket[]; truncated: boolean }> {
  const where = ["jurisdiction = ?"];
  const values: SqlValue[] = [options.jurisdiction];
  if (options.startAfter) where.push(options.descending ? "name < ?" : "name > ?") && values.push(options.startAfter);
  if (options.prefix) where.push("substr(name, 1, ?) = ?") && values.push(options.prefix.length, options.prefix);
  // Names hold neither "%" nor "_"; in what is looked for they must not act as wildcards.
  if (options.nameContains) {
    const text = options.nameContains.replace(/[\\%_]/g, (char) => `\\${char}`);
    where.push("name LIKE ? ESCAPE '\\'") && values.push(`%${text}%`);
  }
  const rows = await r2.meta.all<BucketRow>(
    `SELECT ${COLUMNS} FROM r2_buckets WHERE ${where.join(" AND ")} ORDER BY name ${options.descending ? "DESC" : "ASC"} LIMIT ?`,
    ...values,
    options.limit + 1,
  );
  return { buckets: rows.slice(0, options.limit).map(toBucket), truncated: rows.length > options.limit };
}

export async function setStorageClass(r2: R2, bucket: Bucket, storageClass: StorageClass): Promise<Bucket> {
  const { changes } = await r2.meta.run("UPDATE r2_buckets SET storage_class = ? WHERE id = ?", storageClass, bucket.id);
  if (changes === 0) throw r2Error("noSuchBucket");
  return { ...bucket, storageClass };
}

// --- settings ----------------------------------------------------------------------------------------------

export type SettingKind = "cors" | "lifecycle" | "lock" | "managed" | "local-uploads" | "domains" | "notifications" | "sippy";

/** A bucket's setting as stored, or undefined. */
export async function readSetting<T>(reader: MetaReader, bucketId: string, kind: SettingKind): Promise<T | undefined> {
  const row = await reader.get<{ value: string }>("SELECT value FROM r2_settings WHERE bucket_id = ? AND kind = ?", bucketId, kind);
  return row && (JSON.parse(row.value) as T);
}

export async function writeSetting(r2: R2, bucket: Bucket, kind: SettingKind, value: unknown): Promise<void> {
  // Selecting from the bucket's row makes the write nothing when the bucket is gone.
  const { changes } = await r2.meta.run(
    `INSERT INTO r2_settings (bucket_id, kind, value) SELECT id, ?, ? FROM r2_buckets WHERE id = ?
     ON CONFLICT (bucket_id, kind) DO UPDATE SET value = excluded.value`,
    kind,
    JSON.stringify(value),
    bucket.id,
  );
  if (changes === 0) throw r2Error("noSuchBucket");
}

/** False when there was none. */
export async function deleteSetting(r2: R2, bucket: Bucket, kind: SettingKind): Promise<boolean> {
  const { changes } = await r2.meta.run("DELETE FROM r2_settings WHERE bucket_id = ? AND kind = ?", bucket.id, kind);
  return changes > 0;
}
