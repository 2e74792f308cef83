/**
 * Tables of R2. Keys are bytes, so that both databases order them as S3 does: by UTF-8, not by locale or UTF-16.
 * A row of `r2_objects` or `r2_parts` owns the blob it names; whoever removes or replaces it puts the blob
 * into `r2_trash` in the same transaction.
 */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-objects",
    sql: `
      CREATE TABLE r2_buckets (
        id TEXT PRIMARY KEY,
        jurisdiction TEXT NOT NULL,
        name TEXT NOT NULL,
        location TEXT,
        storage_class TEXT NOT NULL,
        created INTEGER NOT NULL,
        UNIQUE (jurisdiction, name)
      );
      CREATE TABLE r2_settings (
        bucket_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (bucket_id, kind)
      );
      CREATE TABLE r2_objects (
        bucket_id TEXT NOT NULL,
        key BLOB NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        uploaded INTEGER NOT NULL,
        storage_class TEXT NOT NULL,
        http TEXT NOT NULL,
        custom TEXT NOT NULL,
        checksums TEXT NOT NULL,
        blob TEXT,
        upload_id TEXT,
        part_size INTEGER NOT NULL,
        part_count INTEGER NOT NULL,
        ssec TEXT,
        PRIMARY KEY (bucket_id, key)
      );
      CREATE TABLE r2_uploads (
        upload_id TEXT PRIMARY KEY,
        bucket_id TEXT NOT NULL,
        key BLOB NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        created INTEGER NOT NULL,
        storage_class TEXT NOT NULL,
        http TEXT NOT NULL,
        custom TEXT NOT NULL,
        checksum_algorithm TEXT,
        checksum_type TEXT,
        ssec TEXT
      );
      CREATE INDEX r2_uploads_by_key ON r2_uploads (bucket_id, key, upload_id);
      CREATE TABLE r2_parts (
        upload_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        checksum TEXT,
        blob TEXT,
        ssec TEXT,
        uploaded INTEGER NOT NULL,
        PRIMARY KEY (upload_id, number)
      );
      CREATE TABLE r2_trash (
        blob TEXT PRIMARY KEY,
        added INTEGER NOT NULL
      );
    `,
  },
  {
    name: "0002-inline",
    // Bytes of small objects; last, so that lists do not read past them.
    sql: "ALTER TABLE r2_objects ADD COLUMN inline BLOB",
  },
  {
    name: "0003-usage",
    sql: `
      CREATE TABLE r2_usage (
        hour INTEGER NOT NULL,
        bucket TEXT NOT NULL,
        action TEXT NOT NULL,
        status INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (hour, bucket, action, status)
      )
    `,
  },
  {
    name: "0004-leases",
    sql: "CREATE TABLE r2_leases (blob TEXT PRIMARY KEY)",
  },
  {
    name: "0005-leases-of-the-kernel",
    sql: "INSERT INTO kernel_blob_leases SELECT blob FROM r2_leases; DROP TABLE r2_leases",
  },
  {
    name: "0006-events",
    // Event notifications that are not with their queue yet.
    sql: "CREATE TABLE r2_events (queue_id TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (queue_id, id))",
  },
];
