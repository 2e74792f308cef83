/** Rows of `r2_buckets` and `r2_objects` to values and back: the only place that knows the columns' encodings. */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { SqlValue } from "../../kernel/meta/meta.ts";
import type { Bucket, Jurisdiction, StorageClass, StoredObject } from "./model.ts";

export interface BucketRow {
  id: string;
  jurisdiction: string;
  name: string;
  location: string | null;
  storage_class: string;
  created: number;
}

export const toBucket = (row: BucketRow): Bucket => ({
  id: row.id,
  name: row.name,
  jurisdiction: row.jurisdiction as Jurisdiction,
  location: row.location,
  storageClass: row.storage_class as StorageClass,
  created: row.created,
});

export interface ObjectRow {
  bucket_id: string;
  key: Uint8Array;
  name: string;
  version: string;
  size: number;
  etag: string;
  uploaded: number;
  storage_class: string;
  http: string;
  custom: string;
  checksums: string;
  blob: string | null;
  upload_id: string | null;
  part_size: number;
  part_count: number;
  ssec: string | null;
}

export const OBJECT_COLUMNS =
  "bucket_id, key, name, version, size, etag, uploaded, storage_class, http, custom, checksums, blob, upload_id, part_size, part_count, ssec";

/** What reading an object's bytes needs besides. */
export const READABLE_COLUMNS = `${OBJECT_COLUMNS}, inline`;

export const keyBytes = (key: string): Buffer => Buffer.from(key, "utf8");

export const keyText = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");

export const toObject = (row: ObjectRow): StoredObject => ({
  bucketId: row.bucket_id,
  key: keyText(row.key),
  name: row.name,
  version: row.version,
  size: row.size,
  etag: row.etag,
  uploaded: row.uploaded,
  storageClass: row.storage_class as StorageClass,
  http: JSON.parse(row.http),
  custom: JSON.parse(row.custom),
  checksums: JSON.parse(row.checksums),
  blob: row.blob as BlobId | null,
  uploadId: row.upload_id,
  partSize: row.part_size,
  partCount: row.part_count,
  ssec: row.ssec === null ? null : JSON.parse(row.ssec),
});

/** Values in the order of `READABLE_COLUMNS`. */
export const objectValues = (object: StoredObject, inline: Uint8Array | null): SqlValue[] => [
  object.bucketId,
  keyBytes(object.key),
  object.name,
  object.version,
  object.size,
  object.etag,
  object.uploaded,
  object.storageClass,
  JSON.stringify(object.http),
  JSON.stringify(object.custom),
  JSON.stringify(object.checksums),
  object.blob,
  object.uploadId,
  object.partSize,
  object.partCount,
  object.ssec === null ? null : JSON.stringify(object.ssec),
  inline,
];

const columns = READABLE_COLUMNS.split(", ");

/** Inserts an object or replaces the one under its key. */
export const UPSERT_OBJECT = `INSERT INTO r2_objects (${READABLE_COLUMNS}) VALUES (${columns.map(() => "?").join(", ")})
  ON CONFLICT (bucket_id, key) DO UPDATE SET ${columns
    .slice(2)
    .map((column) => `${column} = excluded.${column}`)
    .join(", ")}`;
