/** KV's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-namespaces-and-entries",
    sql: `
      CREATE TABLE kv_namespaces (
        id TEXT PRIMARY KEY,             -- 32 hex digits, never used twice
        title TEXT NOT NULL UNIQUE,
        jurisdiction TEXT,
        created_at INTEGER NOT NULL      -- milliseconds since the epoch
      );
      CREATE TABLE kv_entries (
        namespace TEXT NOT NULL,
        key BLOB NOT NULL,               -- UTF-8: bytes compare as the list order asks
        value BLOB,                      -- a small value; else NULL, and blob names it
        blob TEXT,
        size INTEGER NOT NULL,           -- of the value, in bytes
        expiration INTEGER,              -- seconds since the epoch
        metadata TEXT,                   -- JSON
        PRIMARY KEY (namespace, key)
      );
      CREATE INDEX kv_entries_expiration ON kv_entries (expiration) WHERE expiration IS NOT NULL;
      -- Blobs that no entry names any more, deleted once due: a reader may have just read the row that named one.
      CREATE TABLE kv_garbage (
        blob TEXT PRIMARY KEY,
        due INTEGER NOT NULL             -- milliseconds since the epoch
      );
      -- Deleted namespaces whose entries are still being removed.
      CREATE TABLE kv_purges (
        namespace TEXT PRIMARY KEY,
        deleted_at INTEGER NOT NULL      -- milliseconds since the epoch
      );
    `,
  },
  {
    name: "0002-usage",
    sql: `
      CREATE TABLE kv_usage (
        namespace TEXT NOT NULL,
        hour INTEGER NOT NULL,           -- its start, in milliseconds since the epoch
        action TEXT NOT NULL,
        bucket INTEGER NOT NULL,         -- of the duration: see histogram.ts of the kernel
        requests INTEGER NOT NULL,
        latency_us INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (namespace, hour, action, bucket)
      );
      CREATE INDEX kv_usage_hour ON kv_usage (hour);
    `,
  },
  {
    name: "0003-sealed-values",
    sql: `
      -- 1: the value, or its blob, is encrypted (kernel/sealing.ts)
      ALTER TABLE kv_entries ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
    `,
  },
];
