/**
 * Multipart uploads: create, upload parts, list, abort (completing is in `multipart-complete.ts`). Parts are blobs
 * of their own. An upload's row outlives it for some days, so that ending it twice is told apart from ending one
 * that never was.
 */
import { randomBytes } from "node:crypto";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { ChecksumAlgorithm } from "../../protocols/s3/index.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { type Body, ingest } from "./ingest.ts";
import { checkMetadata, keyIdentity, PARTS_MAX } from "./limits.ts";
import type { Bucket, DigestName, Digests, ObjectMetadata, S3Checksum, StorageClass } from "./model.ts";
import { base64, trashBytes, trashParts } from "./objects.ts";
import { keyBytes, keyText } from "./rows.ts";
import { checkKey, keyMd5, type SsecKey } from "./ssec.ts";

export interface Upload {
  readonly uploadId: string;
  readonly bucketId: string;
  readonly key: string;
  readonly name: string;
  readonly created: number;
  readonly storageClass: StorageClass;
  readonly http: ObjectMetadata["http"];
  readonly custom: ObjectMetadata["custom"];
  readonly checksumAlgorithm: ChecksumAlgorithm | null;
  readonly checksumType: S3Checksum["type"] | null;
  readonly ssec: { readonly keyMd5: string } | null;
}

interface UploadRow {
  upload_id: string;
  bucket_id: string;
  key: Uint8Array;
  name: string;
  state: string;
  created: number;
  storage_class: string;
  http: string;
  custom: string;
  checksum_algorithm: string | null;
  checksum_type: string | null;
  ssec: string | null;
}

const toUpload = (row: UploadRow): Upload => ({
  uploadId: row.upload_id,
  bucketId: row.bucket_id,
  key: keyText(row.key),
  name: row.name,
  created: row.created,
  storageClass: row.storage_class as StorageClass,
  http: JSON.parse(row.http),
  custom: JSON.parse(row.custom),
  checksumAlgorithm: row.checksum_algorithm as ChecksumAlgorithm | null,
  checksumType: row.checksum_type as S3Checksum["type"] | null,
  ssec: row.ssec === null ? null : JSON.parse(row.ssec),
});

export interface CreateOptions extends ObjectMetadata {
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly type: S3Checksum["type"] } | undefined;
  readonly ssecKey?: SsecKey | undefined;
}

export async function createUpload(r2: R2, bucket: Bucket, name: string, options: CreateOptions): Promise<Upload> {
  const key = keyIdentity(name);
  checkMetadata(options.custom);
  const upload: Upload = {
    uploadId: randomBytes(48).toString("base64url"),
    bucketId: bucket.id,
    key,
    name,
    created: r2.clock.now(),
    storageClass: options.storageClass ?? bucket.storageClass,
    http: options.http,
    custom: options.custom,
    checksumAlgorithm: options.checksum?.algorithm ?? null,
    checksumType: options.checksum?.type ?? null,
    ssec: options.ssecKey === undefined ? null : { keyMd5: keyMd5(options.ssecKey) },
  };
  const { changes } = await r2.meta.run(
    `INSERT INTO r2_uploads (upload_id, bucket_id, key, name, state, created, storage_class, http, custom, checksum_algorithm, checksum_type, ssec)
     SELECT ?, id, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ? FROM r2_buckets WHERE id = ?`,
    upload.uploadId,
    keyBytes(key),
    name,
    upload.created,
    upload.storageClass,
    JSON.stringify(upload.http),
    JSON.stringify(upload.custom),
    upload.checksumAlgorithm,
    upload.checksumType,
    upload.ssec && JSON.stringify(upload.ssec),
    bucket.id,
  );
  if (changes === 0) throw r2Error("noSuchBucket");
  return upload;
}

type Reader = Pick<MetaTransaction, "get" | "all">;

async function readUpload(reader: Reader, bucket: Bucket, name: string, uploadId: string): Promise<UploadRow> {
  const row = await reader.get<UploadRow>("SELECT * FROM r2_uploads WHERE upload_id = ?", uploadId);
  // Another bucket's or key's upload is as good as none: an id opens nothing by itself.
  if (row === undefined || row.bucket_id !== bucket.id || keyText(row.key) !== keyIdentity(name)) throw r2Error("noSuchUpload");
  return row;
}

/** An upload in progress. Throws `r2.noSuchUpload`. */
export async function openUpload(reader: Reader, bucket: Bucket, name: string, uploadId: string): Promise<Upload> {
  const row = await readUpload(reader, bucket, name, uploadId);
  if (row.state !== "open") throw r2Error("noSuchUpload");
  return toUpload(row);
}

export interface Part {
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  /** Base64, by the upload's algorithm or the part's own. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | null;
  readonly uploaded: number;
}

export interface PartOptions {
  readonly digests?: readonly DigestName[] | undefined;
  /** Throws when the body is not what its sender said; returns the checksum to keep for the part. */
  readonly verify?: ((digests: Digests) => Part["checksum"] | undefined) | undefined;
  readonly ssecKey?: SsecKey | undefined;
}

/** Stores one part, replacing an earlier one of that number. Durable when it resolves. */
export async function uploadPart(
  r2: R2,
  bucket: Bucket,
  name: string,
  uploadId: string,
  number: number,
  body: Body,
  options: PartOptions = {},
): Promise<Part> {
  if (!Number.isInteger(number) || number < 1 || number > PARTS_MAX) {
    throw r2Error("invalidArgument", "Part number must be an integer between 1 and 10000, inclusive.");
  }
  const upload = await openUpload(r2.meta, bucket, name, uploadId);
  checkKey(upload.ssec, options.ssecKey);
  let checksum: Part["checksum"] = null;
  const { checksumAlgorithm } = upload;
  const ingested = await ingest(r2, body, {
    digests: [...new Set<DigestName>(["md5", ...(options.digests ?? []), ...(checksumAlgorithm === null ? [] : [checksumAlgorithm])])],
    maxBytes: r2.config["r2.single_put_max_bytes"],
    ssecKey: options.ssecKey,
    verify: (digests) => {
      checksum = options.verify?.(digests) ?? null;
      // What the object's checksum is made of: clients may send a part's by another algorithm, or none.
      if (checksumAlgorithm !== null) checksum = { algorithm: checksumAlgorithm, value: base64(digests[checksumAlgorithm] as string) };
    },
  });
  const etag = ingested.digests.md5 as string;
  try {
    const { uploaded, replaced } = await r2.commits.run(async (tx) => {
      await openUpload(tx, bucket, name, uploadId);
      const uploaded = r2.clock.now();
      const old = await tx.get<{ blob: string | null }>("SELECT blob FROM r2_parts WHERE upload_id = ? AND number = ?", uploadId, number);
      // From this commit on the part counts.
      await tx.run(
        `INSERT INTO r2_parts (upload_id, number, size, etag, checksum, blob, ssec, uploaded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (upload_id, number) DO UPDATE SET size = excluded.size, etag = excluded.etag, checksum = excluded.checksum,
           blob = excluded.blob, ssec = excluded.ssec, uploaded = excluded.uploaded`,
        uploadId,
        number,
        ingested.size,
        etag,
        checksum && JSON.stringify(checksum),
        ingested.blob,
        ingested.ssec && JSON.stringify(ingested.ssec),
        uploaded,
      );
      if (ingested.blob !== null) await r2.leases.settle(tx, ingested.blob);
      if (old !== undefined) await trashBytes(tx, { blob: old.blob, upload_id: null }, uploaded);
      return { uploaded, replaced: old !== undefined };
    });
    if (replaced) r2.garbage.kick();
    return { number, size: ingested.size, etag, checksum, uploaded };
  } catch (error) {
    if (ingested.blob !== null) await r2.leases.discard(ingested.blob);
    throw error;
  }
}

export interface PartRow {
  number: number;
  size: number;
  etag: string;
  checksum: string | null;
  ssec: string | null;
  uploaded: number;
}

export const toPart = (row: PartRow): Part => ({
  number: row.number,
  size: row.size,
  etag: row.etag,
  checksum: row.checksum === null ? null : JSON.parse(row.checksum),
  uploaded: row.uploaded,
});

/** Parts of an upload after a number, in order. */
export async function listParts(r2: R2, upload: Upload, after: number, limit: number): Promise<{ parts: Part[]; truncated: boolean }> {
  const rows = await r2.meta.all<PartRow>(
    "SELECT number, size, etag, checksum, ssec, uploaded FROM r2_parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
    upload.uploadId,
    after,
    limit + 1,
  );
  return { parts: rows.slice(0, limit).map(toPart), truncated: rows.length > limit };
}

/** Ends an upload and drops its parts. Ending one that has ended already is no error; one that never was is `noSuchUpload`. */
export async function abortUpload(r2: R2, bucket: Bucket, name: string, uploadId: string): Promise<void> {
  await r2.commits.run(async (tx) => {
    const row = await readUpload(tx, bucket, name, uploadId);
    if (row.state === "open") await endUpload(tx, uploadId, "aborted", r2.clock.now());
  });
  r2.garbage.kick();
}

export async function endUpload(tx: MetaTransaction, uploadId: string, state: "aborted", now: number): Promise<void> {
  await tx.run("UPDATE r2_uploads SET state = ? WHERE upload_id = ?", state, uploadId);
  await trashParts(tx, uploadId, now);
}

export interface UploadListOptions {
  readonly prefix: string;
  readonly delimiter: string;
  readonly keyMarker: string;
  readonly uploadIdMarker: string;
  readonly limit: number;
}

export interface UploadListing {
  readonly uploads: readonly Upload[];
  readonly prefixes: readonly string[];
  readonly truncated: boolean;
  readonly nextKeyMarker: string;
  readonly nextUploadIdMarker: string;
}

/** Uploads in progress by key, then id. Few in any bucket, so groups are formed while reading. */
export async function listUploads(r2: R2, bucket: Bucket, options: UploadListOptions): Promise<UploadListing> {
  const { prefix, delimiter, limit } = options;
  const uploads: Upload[] = [];
  const prefixes: string[] = [];
  let [key, id] = [keyBytes(options.keyMarker), options.uploadIdMarker];
  // Without an upload id the marker stands for every upload of its key, and for its whole group.
  let skipKey = options.uploadIdMarker === "" && options.keyMarker !== "";
  for (;;) {
    const rows = await r2.meta.all<UploadRow>(
      `SELECT * FROM r2_uploads WHERE bucket_id = ? AND state = 'open' AND (key > ? OR (key = ? AND upload_id > ? AND ? = 0))
       ORDER BY key, upload_id LIMIT 500`,
      bucket.id,
      key,
      key,
      id,
      skipKey ? 1 : 0,
    );
    for (const row of rows) {
      const name = keyText(row.key);
      [key, id, skipKey] = [Buffer.from(row.key), row.upload_id, false];
      if (!name.startsWith(prefix)) continue;
      const end = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length);
      const group = end === -1 ? undefined : name.slice(0, end + delimiter.length);
      if (group !== undefined && (prefixes.at(-1) === group || options.keyMarker.startsWith(group))) continue;
      if (uploads.length + prefixes.length === limit) return { uploads, prefixes, truncated: true, ...markers(uploads, prefixes) };
      if (group === undefined) uploads.push(toUpload(row));
      else prefixes.push(group);
    }
    if (rows.length < 500) return { uploads, prefixes, truncated: false, nextKeyMarker: "", nextUploadIdMarker: "" };
  }
}

function markers(uploads: readonly Upload[], prefixes: readonly string[]): { nextKeyMarker: string; nextUploadIdMarker: string } {
  const [upload, group] = [uploads.at(-1), prefixes.at(-1)];
  if (upload !== undefined && (group === undefined || Buffer.compare(keyBytes(upload.key), keyBytes(group)) > 0)) {
    return { nextKeyMarker: upload.key, nextUploadIdMarker: upload.uploadId };
  }
  return { nextKeyMarker: group ?? "", nextUploadIdMarker: "" };
}
