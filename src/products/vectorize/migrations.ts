/** Vectorize's tables. Append-only: a released step is never edited. Vectors lie in files of their own (`index-store.ts`). */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-indexes",
    sql: `
      CREATE TABLE vectorize_indexes (
        id TEXT PRIMARY KEY,             -- 32 hex digits, never used twice
        name TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        metric TEXT NOT NULL,
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch
        modified_at INTEGER NOT NULL
      );
      -- One row: up to where the journal of mutations has been brought to the indexes.
      CREATE TABLE vectorize_state (
        id INTEGER PRIMARY KEY,
        position INTEGER NOT NULL
      );
    `,
  },
];
