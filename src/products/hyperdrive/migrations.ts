/** Hyperdrive's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-configs",
    sql: `
      CREATE TABLE hyperdrive_configs (
        id TEXT PRIMARY KEY,             -- 32 hex digits
        name TEXT NOT NULL UNIQUE,
        settings TEXT NOT NULL,          -- JSON: Settings of configs.ts, without the password
        sealed TEXT NOT NULL,            -- the password; opens for this id alone
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, as all times here
        modified_at INTEGER NOT NULL,
        restarted_at INTEGER             -- when the pool was last restarted by hand
      );
      CREATE TABLE hyperdrive_queries (
        minute INTEGER NOT NULL,
        config_id TEXT NOT NULL,
        cache_status TEXT NOT NULL,
        event_status TEXT NOT NULL,      -- "complete" or "error"
        queries INTEGER NOT NULL,
        query_bytes INTEGER NOT NULL,
        result_bytes INTEGER NOT NULL,
        query_us INTEGER NOT NULL,       -- microseconds, summed up
        connection_us INTEGER NOT NULL,
        PRIMARY KEY (minute, config_id, cache_status, event_status)
      );
    `,
  },
];
