/** Pipelines' tables. Append-only: a released step is never edited. Times are milliseconds since the epoch. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-streams-sinks-pipelines",
    sql: `
      CREATE TABLE pipelines_streams (
        id TEXT PRIMARY KEY,             -- 32 hex digits, never used twice; names the journal and the host
        name TEXT NOT NULL UNIQUE,
        format TEXT NOT NULL,            -- JSON, as the client sent it, with defaults
        schema TEXT,                     -- JSON; NULL for an unstructured stream
        http TEXT NOT NULL,              -- JSON
        worker_binding INTEGER NOT NULL,
        released INTEGER NOT NULL,       -- records before this offset were processed by some pipeline
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
      -- Deleted streams whose journal is still being removed.
      CREATE TABLE pipelines_removed_streams (id TEXT PRIMARY KEY);
      CREATE TABLE pipelines_sinks (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,              -- as the client named it: r2, r2_data_catalog, basin_catalog
        format TEXT NOT NULL,            -- JSON
        config TEXT NOT NULL,            -- JSON without secrets
        secrets TEXT NOT NULL,           -- sealed JSON
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
      CREATE TABLE pipelines_pipelines (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        sql TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
      -- One INSERT of a pipeline: reads a stream by offset, writes to a sink.
      CREATE TABLE pipelines_readers (
        pipeline TEXT NOT NULL,
        ordinal INTEGER NOT NULL,        -- place of the INSERT in the SQL, from 0
        stream TEXT NOT NULL,
        sink TEXT NOT NULL,
        plan TEXT NOT NULL,              -- JSON of the compiled statement
        position INTEGER NOT NULL,       -- records before this offset are in the sink, exactly once
        rolls INTEGER NOT NULL,          -- files written so far
        intent TEXT,                     -- JSON of the roll that is being written: a crash repeats exactly that
        PRIMARY KEY (pipeline, ordinal)
      );
      CREATE INDEX pipelines_readers_stream ON pipelines_readers (stream);
      CREATE INDEX pipelines_readers_sink ON pipelines_readers (sink);
      -- What was read, dropped and written, by minute. Added to in the transaction that moves the position.
      CREATE TABLE pipelines_operator_metrics (
        pipeline TEXT NOT NULL,
        stream TEXT NOT NULL,
        minute INTEGER NOT NULL,
        records_in INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        decode_errors INTEGER NOT NULL,
        PRIMARY KEY (pipeline, stream, minute)
      );
      CREATE TABLE pipelines_sink_metrics (
        pipeline TEXT NOT NULL,
        sink TEXT NOT NULL,
        minute INTEGER NOT NULL,
        records_written INTEGER NOT NULL,
        bytes_written INTEGER NOT NULL,
        files_written INTEGER NOT NULL,
        row_groups_written INTEGER NOT NULL,
        uncompressed_bytes_written INTEGER NOT NULL,
        PRIMARY KEY (pipeline, sink, minute)
      );
      CREATE TABLE pipelines_user_errors (
        pipeline TEXT NOT NULL,
        family TEXT NOT NULL,            -- deserialization
        type TEXT NOT NULL,              -- missing_field, type_mismatch, parse_failure, null_value
        minute INTEGER NOT NULL,
        count INTEGER NOT NULL,
        example TEXT NOT NULL,           -- text of one of them
        PRIMARY KEY (pipeline, family, type, minute)
      );
    `,
  },
  {
    name: "0002-error-texts",
    sql: `
      -- Texts of dropped events, kept for a day; the counts by type stay in pipelines_user_errors.
      CREATE TABLE pipelines_error_texts (
        pipeline TEXT NOT NULL,
        family TEXT NOT NULL,
        type TEXT NOT NULL,
        message TEXT NOT NULL,
        minute INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (pipeline, family, type, message, minute)
      );
      ALTER TABLE pipelines_user_errors DROP COLUMN example;
      CREATE INDEX pipelines_operator_metrics_minute ON pipelines_operator_metrics (minute);
      CREATE INDEX pipelines_sink_metrics_minute ON pipelines_sink_metrics (minute);
      CREATE INDEX pipelines_user_errors_minute ON pipelines_user_errors (minute);
      CREATE INDEX pipelines_error_texts_minute ON pipelines_error_texts (minute);
    `,
  },
  {
    name: "0003-legacy-pipelines",
    sql: `
      CREATE TABLE pipelines_legacy (
        id TEXT PRIMARY KEY,             -- 32 hex digits, never used twice; names the host
        name TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL         -- the instance that takes events
      );
      -- Versions of pipelines. Those that are not their pipeline's current one, or whose pipeline is gone, drain.
      CREATE TABLE pipelines_legacy_instances (
        pipeline TEXT NOT NULL,
        version INTEGER NOT NULL,
        config TEXT NOT NULL,            -- JSON as the client sent it, with defaults, without credentials
        secrets TEXT NOT NULL,           -- sealed JSON
        created_at INTEGER NOT NULL,
        PRIMARY KEY (pipeline, version)
      );
      CREATE TABLE pipelines_legacy_shards (
        pipeline TEXT NOT NULL,
        version INTEGER NOT NULL,
        shard INTEGER NOT NULL,          -- from 0; names a journal
        position INTEGER NOT NULL,       -- records before this offset are delivered
        rolls INTEGER NOT NULL,          -- files written so far
        intent TEXT,                     -- JSON of the roll that is being written: a crash repeats exactly that
        PRIMARY KEY (pipeline, version, shard)
      );
      CREATE TABLE pipelines_legacy_ingestion (
        minute INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        requests INTEGER NOT NULL,
        records INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (minute, pipeline)
      );
      CREATE TABLE pipelines_legacy_delivery (
        minute INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (minute, pipeline)
      );
    `,
  },
];
