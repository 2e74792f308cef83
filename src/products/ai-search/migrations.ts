/** AI Search's tables. Append-only: a released step is never edited. Items and chunks lie in a file for each instance (`store/`). */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-instances",
    sql: `
      CREATE TABLE ai_search_tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        cf_api_id TEXT NOT NULL,
        key TEXT NOT NULL,               -- sealed: what the token's value gives as its S3 secret
        legacy INTEGER NOT NULL,
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, here and below
        modified_at INTEGER NOT NULL
      );
      CREATE TABLE ai_search_namespaces (
        name TEXT PRIMARY KEY,
        description TEXT,
        created_at INTEGER NOT NULL
      );
      CREATE TABLE ai_search_instances (
        uid TEXT PRIMARY KEY,            -- 32 hex digits, never used twice: the name of its file
        namespace TEXT NOT NULL,
        id TEXT NOT NULL,
        config TEXT NOT NULL,            -- JSON
        secrets TEXT,                    -- sealed JSON: headers for the crawler
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        synced_at INTEGER NOT NULL,      -- when the last job was made
        UNIQUE (namespace, id)
      );
      CREATE TABLE ai_search_jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        instance TEXT NOT NULL,
        source TEXT NOT NULL,            -- user, schedule
        description TEXT,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        seen_at INTEGER,
        ended_at INTEGER,
        end_reason TEXT
      );
      CREATE INDEX ai_search_jobs_instance ON ai_search_jobs (instance, number);
      CREATE TABLE ai_search_job_logs (
        job TEXT NOT NULL,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        type INTEGER NOT NULL,           -- 0 information, 1 error
        message TEXT NOT NULL,
        PRIMARY KEY (job, number)
      );
      CREATE TABLE ai_search_queries (
        at INTEGER NOT NULL,
        instance TEXT NOT NULL,
        kind TEXT NOT NULL,              -- search, chat
        results INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL
      );
      CREATE INDEX ai_search_queries_at ON ai_search_queries (at);
      CREATE TABLE ai_search_retrievals (
        at INTEGER NOT NULL,             -- start of the hour
        instance TEXT NOT NULL,
        item TEXT NOT NULL,              -- the item's key
        retrievals INTEGER NOT NULL,
        PRIMARY KEY (at, instance, item)
      );
    `,
  },
];
