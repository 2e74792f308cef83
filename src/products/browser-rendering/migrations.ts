/** Browser Rendering's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-sessions",
    sql: `
      CREATE TABLE browser_rendering_sessions (
        id TEXT PRIMARY KEY,             -- UUID
        started_at INTEGER NOT NULL,     -- milliseconds since the epoch
        ended_at INTEGER,                -- null while it runs
        close_reason INTEGER,
        close_reason_text TEXT
      );
      CREATE INDEX browser_rendering_sessions_by_start ON browser_rendering_sessions (started_at);
    `,
  },
];
