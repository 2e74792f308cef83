/** Tables of stored telemetry: which Parquet files there are, and how far the journal has become such files. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-files",
    sql: `
      CREATE TABLE observability_files (
        blob TEXT PRIMARY KEY,
        from_ms INTEGER NOT NULL,
        to_ms INTEGER NOT NULL,
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        created_on INTEGER NOT NULL
      );
      CREATE TABLE observability_position (
        id INTEGER PRIMARY KEY,
        journal_offset INTEGER NOT NULL
      );
      CREATE TABLE observability_queries (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        content TEXT NOT NULL
      );
      CREATE TABLE observability_destinations (
        slug TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        dataset TEXT NOT NULL,
        url TEXT NOT NULL,
        headers TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        updated_on INTEGER NOT NULL
      )`,
  },
];
