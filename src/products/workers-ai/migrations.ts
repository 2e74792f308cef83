/** Workers AI's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-batches",
    sql: `
      CREATE TABLE workers_ai_batches (
        id TEXT PRIMARY KEY,             -- a UUID: the request_id
        model TEXT NOT NULL,             -- name
        status TEXT NOT NULL,            -- "queued", "running", "done"
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, as all times here
        ended_at INTEGER
      );
      CREATE INDEX workers_ai_batches_by_end ON workers_ai_batches (ended_at);
      CREATE TABLE workers_ai_items (
        batch_id TEXT NOT NULL,
        position INTEGER NOT NULL,       -- in the request
        inputs TEXT NOT NULL,            -- JSON; empty once it is answered
        answer TEXT,                     -- JSON of the response's element
        success INTEGER NOT NULL DEFAULT 0,
        tokens_in INTEGER NOT NULL DEFAULT 0,
        tokens_out INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (batch_id, position)
      );
    `,
  },
  {
    name: "0002-finetunes",
    sql: `
      CREATE TABLE workers_ai_finetunes (
        id TEXT PRIMARY KEY,             -- a UUID
        model TEXT NOT NULL,
        name TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL,
        created_at INTEGER NOT NULL
      );
      CREATE TABLE workers_ai_assets (
        finetune_id TEXT NOT NULL,
        name TEXT NOT NULL,              -- of the file
        blob TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (finetune_id, name)
      );
    `,
  },
];
