/**
 * Workflows' tables. Append-only: a released step is never edited. Times are milliseconds since the epoch; values are text
 * as `values.worker.ts` encodes them.
 */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-workflows",
    sql: `
      CREATE TABLE workflows_workflows (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        script_name TEXT NOT NULL,
        class_name TEXT NOT NULL,
        settings TEXT NOT NULL,          -- JSON
        version_id TEXT NOT NULL,        -- the newest
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
      -- Deleted workflows whose instances are still being deleted.
      CREATE TABLE workflows_removed (id TEXT PRIMARY KEY, removed_at INTEGER NOT NULL);
      CREATE TABLE workflows_versions (
        id TEXT PRIMARY KEY,
        workflow_id TEXT NOT NULL,
        class_name TEXT NOT NULL,
        language TEXT NOT NULL,          -- javascript, python
        settings TEXT NOT NULL,          -- JSON
        created_at INTEGER NOT NULL
      );
      CREATE INDEX workflows_versions_of ON workflows_versions (workflow_id, created_at);
      CREATE TABLE workflows_instances (
        workflow_id TEXT NOT NULL,
        id TEXT NOT NULL,
        version_id TEXT NOT NULL,
        status TEXT NOT NULL,
        source TEXT NOT NULL,            -- api, binding, cron
        params TEXT NOT NULL,
        schedule TEXT,                   -- JSON
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        wake_at INTEGER,                 -- to be run from then on; NULL: not by time, or it runs
        paused_at INTEGER,
        expires_at INTEGER,              -- of an ended one
        success_retention_ms INTEGER,    -- NULL: as the workflow says
        error_retention_ms INTEGER,
        output TEXT,
        error TEXT,                      -- JSON
        rollback TEXT,                   -- JSON: what became of it
        ending TEXT,                     -- status after the rollback
        terminated_by TEXT,              -- api, binding
        PRIMARY KEY (workflow_id, id)
      );
      CREATE INDEX workflows_instances_due ON workflows_instances (workflow_id, wake_at) WHERE wake_at IS NOT NULL;
      CREATE INDEX workflows_instances_by_time ON workflows_instances (workflow_id, created_at, id);
      CREATE INDEX workflows_instances_by_status ON workflows_instances (workflow_id, status, created_at, id);
      CREATE INDEX workflows_instances_expired ON workflows_instances (expires_at) WHERE expires_at IS NOT NULL;
      CREATE TABLE workflows_steps (
        workflow_id TEXT NOT NULL,
        instance_id TEXT NOT NULL,
        type TEXT NOT NULL,              -- do, sleep, waitForEvent, rollback
        name TEXT NOT NULL,
        nth INTEGER NOT NULL,            -- of its name and type, from 1
        place INTEGER NOT NULL,          -- order in which steps were first reached
        state TEXT NOT NULL,             -- open, done, failed
        config TEXT,                     -- JSON
        attempts INTEGER NOT NULL,       -- begun
        log TEXT NOT NULL,               -- JSON: the last attempts
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        due_at INTEGER,                  -- of an open one: end of the sleep, the wait or the retry's delay
        event_type TEXT,
        value TEXT,
        blob TEXT,                       -- a stream
        bytes INTEGER NOT NULL,
        error TEXT,                      -- JSON
        rollback INTEGER NOT NULL,       -- it has a rollback
        PRIMARY KEY (workflow_id, instance_id, type, name, nth)
      );
      CREATE TABLE workflows_events (
        workflow_id TEXT NOT NULL,
        instance_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        type TEXT NOT NULL,
        payload TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (workflow_id, instance_id, number)
      );
    `,
  },
];
