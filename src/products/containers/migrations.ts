/** Containers' tables. Append-only: a released step is never edited. Times are milliseconds since the epoch. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-registry",
    sql: `
      CREATE TABLE containers_blobs (
        digest TEXT PRIMARY KEY,         -- "sha256:…"
        blob TEXT NOT NULL,
        size INTEGER NOT NULL,
        created_at INTEGER NOT NULL
      );
      CREATE TABLE containers_manifests (
        repository TEXT NOT NULL,        -- without the account before it
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        content TEXT NOT NULL,           -- the manifest's own bytes, which are JSON
        created_at INTEGER NOT NULL,
        PRIMARY KEY (repository, digest)
      );
      CREATE TABLE containers_tags (
        repository TEXT NOT NULL,
        tag TEXT NOT NULL,
        digest TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (repository, tag)
      );`,
  },
  {
    name: "0002-applications",
    sql: `
      CREATE TABLE containers_applications (
        id TEXT PRIMARY KEY,             -- UUID
        name TEXT NOT NULL UNIQUE,
        namespace_id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,        -- grows with each change of the configuration
        configuration TEXT NOT NULL,     -- JSON: image, vcpu, memory_mib, disk …
        settings TEXT NOT NULL,          -- JSON: everything else that clients give
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
      );
      CREATE TABLE containers_instances (
        id TEXT PRIMARY KEY,             -- UUID
        application_id TEXT NOT NULL,
        script_id TEXT NOT NULL,
        object_key TEXT NOT NULL,        -- key of the namespace's part, and the object's id
        version INTEGER NOT NULL,        -- of the application
        vcpu REAL NOT NULL,
        memory_mib INTEGER NOT NULL,
        disk_mb INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        stopped_at INTEGER,              -- NULL while it runs
        exit_code INTEGER,
        reason TEXT
      );
      CREATE INDEX containers_instances_by_application ON containers_instances (application_id, started_at);`,
  },
  {
    name: "0003-rollouts",
    sql: `
      CREATE TABLE containers_rollouts (
        id TEXT PRIMARY KEY,             -- UUID
        application_id TEXT NOT NULL,
        status TEXT NOT NULL,            -- progressing, completed, reverted, replaced
        kind TEXT NOT NULL,              -- full_auto, full_manual
        description TEXT NOT NULL,
        steps TEXT NOT NULL,             -- JSON: percentages, ascending, the last one 100
        step INTEGER NOT NULL,           -- steps that are done
        previous TEXT NOT NULL,          -- JSON: the configuration before
        previous_version INTEGER NOT NULL,
        target_version INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
      );
      CREATE INDEX containers_rollouts_by_application ON containers_rollouts (application_id, created_at);`,
  },
  {
    name: "0004-usage",
    sql: `
      CREATE TABLE containers_usage (
        at INTEGER NOT NULL,
        application TEXT NOT NULL,
        instance TEXT NOT NULL,
        object TEXT NOT NULL,
        uptime_ms INTEGER NOT NULL,      -- since the instance's last row
        cpu_ms REAL NOT NULL,            -- since the instance's last row
        memory_mib INTEGER NOT NULL,     -- provisioned
        disk_mb INTEGER NOT NULL,        -- provisioned
        memory_bytes INTEGER NOT NULL    -- taken at that time; 0 in the last row
      );
      CREATE INDEX containers_usage_at ON containers_usage (at);`,
  },
];
