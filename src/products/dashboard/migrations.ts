import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    // hash: SHA-256 of the cookie's value, hex. token_id: the API token that the session acts as. Times in milliseconds.
    name: "0001-sessions",
    sql: `CREATE TABLE dashboard_sessions (
      hash TEXT PRIMARY KEY,
      token_id TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL
    );
    CREATE INDEX dashboard_sessions_token ON dashboard_sessions (token_id, created_at)`,
  },
];
