/** Secrets Store's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-stores-and-secrets",
    sql: `
      CREATE TABLE secrets_store_stores (
        id TEXT PRIMARY KEY,             -- 32 hex digits
        name TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, as all times here
        modified_at INTEGER NOT NULL
      );
      CREATE TABLE secrets_store_secrets (
        id TEXT PRIMARY KEY,             -- 32 hex digits
        store_id TEXT NOT NULL,
        name TEXT NOT NULL,
        comment TEXT NOT NULL,
        scopes TEXT NOT NULL,            -- JSON: names of services
        sealed TEXT NOT NULL,            -- the value; opens for this id alone
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        UNIQUE (store_id, name)
      );
    `,
  },
];
