/**
 * Objects: put, head, get, copy, delete. The blob is durable before the row that names it; the row's commit is
 * what makes a write visible, to every door at once. Rules that look at what is there (conditions, locks) are
 * checked inside that commit.
 */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import type { BlobId, BlobRange } from "../../kernel/blobs/blobs.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import { type Condition, evaluate } from "./conditions.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { type Body, type Ingested, ingest } from "./ingest.ts";
import { checkMetadata, DELETE_MAX, INLINE_MAX_BYTES, keyIdentity } from "./limits.ts";
import { checkUnlocked, isLocked, lockRules } from "./locks.ts";
import type { Bucket, DigestName, Digests, ObjectMetadata, ReadableObject, S3Checksum, StoredObject } from "./model.ts";
import { openObject } from "./reader.ts";
import { keyBytes, keyText, OBJECT_COLUMNS, type ObjectRow, objectValues, READABLE_COLUMNS, toObject, UPSERT_OBJECT } from "./rows.ts";
import { sniffContentType } from "./sniff.ts";
import { checkKey, type SsecKey } from "./ssec.ts";

export interface PutOptions extends ObjectMetadata {
  readonly condition?: Condition | undefined;
  /** Digests to compute beside MD5; all are kept. */
  readonly digests?: readonly DigestName[] | undefined;
  /** Throws when the body is not what its sender said; returns the checksum that S3 shows. */
  readonly verify?: ((digests: Digests) => S3Checksum | undefined) | undefined;
  readonly maxBytes?: number | undefined;
  readonly ssecKey?: SsecKey | undefined;
  /** The bytes are a copy of this object of the account. */
  readonly copiedFrom?: { readonly bucket: string; readonly object: string } | undefined;
  /** Guess the content type from the body when none is given, as the S3 door does. */
  readonly sniff?: boolean | undefined;
}

export const newVersion = (): string => randomBytes(16).toString("hex");

/** Stores an object. Visible and durable when it resolves. */
export async function putObject(r2: R2, bucket: Bucket, name: string, body: Body, options: PutOptions): Promise<StoredObject> {
  const key = keyIdentity(name);
  checkMetadata(options.custom);
  let shown: S3Checksum | undefined;
  const ingested = await ingest(r2, body, {
    digests: ["md5", ...(options.digests ?? []).filter((digest) => digest !== "md5")],
    maxBytes: options.maxBytes ?? r2.config["r2.single_put_max_bytes"],
    inlineMaxBytes: INLINE_MAX_BYTES,
    ssecKey: options.ssecKey,
    verify: (digests) => {
      shown = options.verify?.(digests);
    },
  });
  const object = { ...newObject(bucket, key, name, ingested, options), ...(shown && withChecksum(ingested, shown)) };
  return commitObject(r2, object, ingested.inline, options.condition, options.copiedFrom);
}

const withChecksum = (ingested: Ingested, s3: S3Checksum) => ({ checksums: { digests: ingested.digests, s3 } });

function newObject(bucket: Bucket, key: string, name: string, ingested: Ingested, options: PutOptions): StoredObject {
  const sniffed = options.sniff && options.http.contentType === undefined ? sniffContentType(ingested.head) : undefined;
  return {
    bucketId: bucket.id,
    key,
    name,
    version: newVersion(),
    size: ingested.size,
    etag: ingested.digests.md5 as string,
    uploaded: 0,
    storageClass: options.storageClass ?? bucket.storageClass,
    http: sniffed === undefined ? options.http : { ...options.http, contentType: sniffed },
    custom: options.custom,
    checksums: { digests: ingested.digests },
    blob: ingested.blob,
    uploadId: null,
    partSize: 0,
    partCount: 0,
    ssec: ingested.ssec,
  };
}

/**
 * Makes an object of a blob that is durable already, or of bytes for its row. Takes the blob over: it is deleted when the
 * commit fails.
 */
export async function commitObject(
  r2: R2,
  object: StoredObject,
  inline: Uint8Array | null,
  condition: Condition | undefined,
  copiedFrom?: PutOptions["copiedFrom"],
): Promise<StoredObject> {
  try {
    const { stored, replaced, noted } = await r2.commits.run(async (tx) => {
      const stored: StoredObject = { ...object, uploaded: r2.clock.now() };
      const existing = await replaceable(tx, r2, stored.bucketId, stored.key, condition);
      // From this row's commit on the object is visible.
      await tx.run(UPSERT_OBJECT, ...objectValues(stored, inline));
      if (stored.blob !== null) await r2.leases.settle(tx, stored.blob);
      if (existing !== undefined) await trashBytes(tx, existing, stored.uploaded);
      const noted = await r2.notifications.record(tx, stored.bucketId, {
        action: copiedFrom === undefined ? "PutObject" : "CopyObject",
        key: stored.name,
        time: stored.uploaded,
        object: stored,
        copySource: copiedFrom,
      });
      return { stored, replaced: existing !== undefined, noted };
    });
    if (replaced) r2.garbage.kick();
    if (noted) r2.notifications.kick();
    return stored;
  } catch (error) {
    if (object.blob !== null) await r2.leases.discard(object.blob);
    throw error;
  }
}

export interface Existing {
  readonly etag: string;
  readonly uploaded: number;
  readonly blob: string | null;
  readonly upload_id: string | null;
}

/** What lies under the key, if it may be replaced. Throws `noSuchBucket`, `preconditionFailed`, `objectLocked`, `tooManyRequests`. */
export async function replaceable(
  tx: MetaTransaction,
  r2: R2,
  bucketId: string,
  key: string,
  condition: Condition | undefined,
): Promise<Existing | undefined> {
  r2.rate.take(bucketId, key);
  const row = await tx.get<{ etag: string | null; uploaded: number; blob: string | null; upload_id: string | null; locks: string | null }>(
    `SELECT o.etag AS etag, o.uploaded AS uploaded, o.blob AS blob, o.upload_id AS upload_id,
       (SELECT value FROM r2_settings s WHERE s.bucket_id = b.id AND s.kind = 'lock') AS locks
     FROM r2_buckets b LEFT JOIN r2_objects o ON o.bucket_id = b.id AND o.key = ? WHERE b.id = ?`,
    keyBytes(key),
    bucketId,
  );
  if (row === undefined) throw r2Error("noSuchBucket");
  const existing = row.etag === null ? undefined : { ...row, etag: row.etag };
  if (condition !== undefined && evaluate(condition, existing) !== "holds") throw r2Error("preconditionFailed");
  if (existing !== undefined) checkUnlocked(row.locks, key, existing.uploaded, r2.clock.now());
  return existing;
}

/** Gives the bytes of a replaced or deleted object to the collector. */
export async function trashBytes(tx: MetaTransaction, old: { blob: string | null; upload_id: string | null }, now: number): Promise<void> {
  if (old.blob !== null) await tx.run("INSERT INTO r2_trash (blob, added) VALUES (?, ?) ON CONFLICT (blob) DO NOTHING", old.blob, now);
  if (old.upload_id !== null) await trashParts(tx, old.upload_id, now);
}

export async function trashParts(tx: MetaTransaction, uploadId: string, now: number): Promise<void> {
  await tx.run(
    "INSERT INTO r2_trash (blob, added) SELECT blob, ? FROM r2_parts WHERE upload_id = ? AND blob IS NOT NULL ON CONFLICT (blob) DO NOTHING",
    now,
    uploadId,
  );
  await tx.run("DELETE FROM r2_parts WHERE upload_id = ?", uploadId);
}

/** The object, or undefined. Throws `r2.invalidObjectName`. */
export async function headObject(r2: R2, bucket: Bucket, name: string): Promise<StoredObject | undefined> {
  const row = await r2.meta.get<ObjectRow>(
    `SELECT ${OBJECT_COLUMNS} FROM r2_objects WHERE bucket_id = ? AND key = ?`,
    bucket.id,
    keyBytes(keyIdentity(name)),
  );
  return row && toObject(row);
}

async function readableObject(r2: R2, bucket: Bucket, name: string): Promise<ReadableObject | undefined> {
  const row = await r2.meta.get<ObjectRow & { inline: Uint8Array | null }>(
    `SELECT ${READABLE_COLUMNS} FROM r2_objects WHERE bucket_id = ? AND key = ?`,
    bucket.id,
    keyBytes(keyIdentity(name)),
  );
  return row && { ...toObject(row), inline: row.inline };
}

export interface Opened {
  readonly object: StoredObject;
  readonly range: BlobRange;
  readonly body: Readable;
}

/** The object may be replaced between its row and its bytes; then the new one is looked at, this often. */
const ATTEMPTS_MAX = 10;

/**
 * Opens an object for reading. `choose` sees the object and returns the range to read, or undefined to read
 * nothing; it may throw. Undefined when there is no object.
 */
export async function getObject(
  r2: R2,
  bucket: Bucket,
  name: string,
  choose: (object: StoredObject) => BlobRange | undefined,
  key?: SsecKey,
): Promise<Opened | { object: StoredObject; body: undefined } | undefined> {
  for (let attempt = 1; ; attempt++) {
    const object = await readableObject(r2, bucket, name);
    if (object === undefined) return undefined;
    const range = choose(object);
    if (range === undefined) return { object, body: undefined };
    checkKey(object.ssec, key);
    try {
      return { object, range, body: await openObject(r2, object, range, key) };
    } catch (error) {
      const replaced = error instanceof PlatformError && error.code === "blobs.notFound";
      if (!replaced || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

export const wholeObject = (object: StoredObject): BlobRange => ({ offset: 0, length: object.size });

/** Deletes up to 1,000 keys, all in one commit; keys without an object are no error. Locked ones stay and are returned. */
export async function deleteObjects(
  r2: R2,
  bucket: Bucket,
  names: readonly string[],
  action: "DeleteObject" | "LifecycleDeletion" = "DeleteObject",
): Promise<{ locked: string[] }> {
  if (names.length > DELETE_MAX) throw r2Error("invalidArgument", "You can't delete more than 1000 keys at once.");
  const keys = new Map(names.map((name) => [keyIdentity(name), name]));
  if (keys.size === 0) return { locked: [] };
  const { deleted, locked, noted } = await r2.commits.run(async (tx) => {
    const now = r2.clock.now();
    const setting = await tx.get<{ locks: string | null }>(
      "SELECT (SELECT value FROM r2_settings s WHERE s.bucket_id = b.id AND s.kind = 'lock') AS locks FROM r2_buckets b WHERE b.id = ?",
      bucket.id,
    );
    if (setting === undefined) throw r2Error("noSuchBucket");
    const rules = lockRules(setting.locks);
    const locked: string[] = [];
    let deleted = 0;
    let noted = false;
    for (const batch of batches([...keys.keys()], 100)) {
      const rows = await tx.all<{ key: Uint8Array; uploaded: number; blob: string | null; upload_id: string | null }>(
        `SELECT key, uploaded, blob, upload_id FROM r2_objects WHERE bucket_id = ? AND key IN (${marks(batch)})`,
        bucket.id,
        ...batch.map(keyBytes),
      );
      const free = rows.filter((row) => {
        const key = Buffer.from(row.key).toString("utf8");
        if (!isLocked(rules, key, row.uploaded, now)) return true;
        locked.push(keys.get(key) as string);
        return false;
      });
      if (free.length === 0) continue;
      deleted += free.length;
      // From this commit on the objects are gone; their bytes follow.
      await tx.run(`DELETE FROM r2_objects WHERE bucket_id = ? AND key IN (${marks(free)})`, bucket.id, ...free.map((row) => row.key));
      const blobs = free.flatMap((row): SqlValue[] => (row.blob === null ? [] : [row.blob, now]));
      if (blobs.length > 0) {
        const values = blobs.flatMap((_, i) => (i % 2 === 0 ? ["(?, ?)"] : [])).join(", ");
        await tx.run(`INSERT INTO r2_trash (blob, added) VALUES ${values} ON CONFLICT (blob) DO NOTHING`, ...blobs);
      }
      for (const row of free) {
        if (row.upload_id !== null) await trashParts(tx, row.upload_id, now);
        const key = keys.get(keyText(row.key)) as string;
        noted = (await r2.notifications.record(tx, bucket.id, { action, key, time: now })) || noted;
      }
    }
    return { deleted, locked, noted };
  });
  if (deleted > 0) r2.garbage.kick();
  if (noted) r2.notifications.kick();
  return { locked };
}

const marks = (items: readonly unknown[]): string => items.map(() => "?").join(", ");

function* batches<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

export interface CopyOptions extends Omit<PutOptions, "http" | "custom" | "sniff" | "digests" | "verify" | "copiedFrom"> {
  /** Metadata of the copy, from that of the source. */
  readonly metadata: (source: StoredObject) => Pick<ObjectMetadata, "http" | "custom">;
  /** On the source, as it is when it is opened. */
  readonly sourceCondition?: Condition | undefined;
  readonly sourceKey?: SsecKey | undefined;
}

/** Copies an object, its bytes included. The copy is one blob whatever the source was, so its ETag is the MD5. */
export async function copyObject(
  r2: R2,
  from: { bucket: Bucket; name: string },
  to: { bucket: Bucket; name: string },
  options: CopyOptions,
): Promise<{ source: StoredObject; copy: StoredObject }> {
  const opened = await getObject(
    r2,
    from.bucket,
    from.name,
    (object) => {
      if (options.sourceCondition && evaluate(options.sourceCondition, object) !== "holds") throw r2Error("preconditionFailed");
      return wholeObject(object);
    },
    options.sourceKey,
  );
  if (opened?.body === undefined) throw r2Error("noSuchKey");
  const { object: source, body } = opened;
  const algorithm = source.checksums.s3?.algorithm;
  try {
    const copy = await putObject(
      r2,
      to.bucket,
      to.name,
      { chunks: body, length: source.size },
      {
        ...options.metadata(source),
        condition: options.condition,
        ssecKey: options.ssecKey,
        copiedFrom: { bucket: from.bucket.name, object: source.name },
        ...(options.storageClass && { storageClass: options.storageClass }),
        digests: algorithm && [algorithm],
        verify: algorithm && ((digests) => ({ algorithm, type: "FULL_OBJECT", value: base64(digests[algorithm] as string) })),
      },
    );
    return { source, copy };
  } finally {
    body.destroy();
  }
}

export const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64");

/** An object from a file of this machine, which is moved into the blob store. For other products. */
export async function putBlob(
  r2: R2,
  bucket: Bucket,
  name: string,
  ingested: { blob: BlobId | null; size: number; digests: Digests },
  options: Pick<PutOptions, "http" | "condition">,
): Promise<StoredObject> {
  const key = keyIdentity(name);
  const whole: Ingested = { ...ingested, inline: null, head: new Uint8Array(0), ssec: null };
  return commitObject(r2, newObject(bucket, key, name, whole, { ...options, custom: {} }), null, options.condition);
}
