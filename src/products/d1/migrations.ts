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
];
