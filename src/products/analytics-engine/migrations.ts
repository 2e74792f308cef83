/** Tables of stored data points: which Parquet files there are, how far the journal has become such files, and the datasets. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-files",
    sql: `
      CREATE TABLE analytics_engine_files (
        blob TEXT PRIMARY KEY,
        from_ms INTEGER NOT NULL,
        to_ms INTEGER NOT NULL,
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        created_on INTEGER NOT NULL
      );
      CREATE TABLE analytics_engine_position (
        id INTEGER PRIMARY KEY,
        journal_offset INTEGER NOT NULL
      );
      CREATE TABLE analytics_engine_datasets (
        name TEXT PRIMARY KEY,
        written_on INTEGER NOT NULL
      )`,
  },
];
