/** D1's tables: what exists. The data lies in the databases themselves. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-databases",
    sql: `
      CREATE TABLE d1_databases (
        uuid TEXT PRIMARY KEY,                -- never used twice
        name TEXT NOT NULL UNIQUE,
        location_hint TEXT,
        jurisdiction TEXT,
        read_replication TEXT NOT NULL,       -- 'auto' or 'disabled'
        created_at INTEGER NOT NULL           -- milliseconds since the epoch
      );
      -- Deleted databases whose data is still to be deleted.
      CREATE TABLE d1_purges (uuid TEXT PRIMARY KEY);
      -- Files on their way in (import) or out (export), reachable by a URL that holds a secret.
      CREATE TABLE d1_transfers (
        secret_hash TEXT PRIMARY KEY,
        database TEXT NOT NULL,
        filename TEXT NOT NULL,
        etag TEXT,                            -- of an import: MD5 of the file in hex
        blob TEXT,                            -- NULL until the file is there
        expires_at INTEGER NOT NULL           -- milliseconds since the epoch
      );
    `,
  },
  {
    name: "0002-usage",
    sql: `
      CREATE TABLE d1_usage (
        database TEXT NOT NULL,
        hour INTEGER NOT NULL,                -- its start, in milliseconds since the epoch
        read_queries INTEGER NOT NULL,
        write_queries INTEGER NOT NULL,
        rows_read INTEGER NOT NULL,
        rows_written INTEGER NOT NULL,
        PRIMARY KEY (database, hour)
      );
      CREATE INDEX d1_usage_hour ON d1_usage (hour);
    `,
  },
  {
    name: "0003-figures",
    sql: `
      CREATE TABLE d1_batches (
        database TEXT NOT NULL,
        hour INTEGER NOT NULL,
        bucket INTEGER NOT NULL,              -- of the duration: see histogram.ts of the kernel
        batches INTEGER NOT NULL,
        duration_us INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (database, hour, bucket)
      );
      CREATE INDEX d1_batches_hour ON d1_batches (hour);
      CREATE TABLE d1_queries (
        database TEXT NOT NULL,
        hour INTEGER NOT NULL,
        query TEXT NOT NULL,                  -- without parameters
        runs INTEGER NOT NULL,
        duration_us INTEGER NOT NULL,
        rows_read INTEGER NOT NULL,
        rows_written INTEGER NOT NULL,
        rows_returned INTEGER NOT NULL,
        PRIMARY KEY (database, hour, query)
      );
      CREATE INDEX d1_queries_hour ON d1_queries (hour);
    `,
  },
  {
    name: "0004-transfer-sizes",
    sql: `
      ALTER TABLE d1_transfers ADD COLUMN size INTEGER;   -- bytes of a file to be fetched; NULL: not known
    `,
  },
];
