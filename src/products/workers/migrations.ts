/** Tables of scripts, versions, deployments and what belongs to them. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-scripts",
    sql: `
      CREATE TABLE workers_scripts (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL,
        last_deployed_from TEXT NOT NULL,
        subdomain_enabled INTEGER NOT NULL,
        previews_enabled INTEGER NOT NULL,
        settings TEXT NOT NULL
      );
      CREATE TABLE workers_versions (
        id TEXT PRIMARY KEY,
        script_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        created_on INTEGER NOT NULL,
        content TEXT NOT NULL,
        UNIQUE (script_id, number)
      );
      CREATE TABLE workers_deployments (
        id TEXT PRIMARY KEY,
        script_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        created_on INTEGER NOT NULL,
        content TEXT NOT NULL,
        UNIQUE (script_id, number)
      );
      CREATE TABLE workers_blobs (
        script_name TEXT NOT NULL,
        hash TEXT NOT NULL,
        blob TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (script_name, hash)
      );
      CREATE TABLE workers_asset_manifests (
        id TEXT PRIMARY KEY,
        script_name TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        files TEXT NOT NULL
      );
      CREATE TABLE workers_schedules (
        script_id TEXT NOT NULL,
        cron TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL,
        last_due INTEGER NOT NULL,
        PRIMARY KEY (script_id, cron)
      );
      CREATE TABLE workers_cron_runs (
        script_id TEXT NOT NULL,
        cron TEXT NOT NULL,
        scheduled_time INTEGER NOT NULL,
        started_on INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL
      );
      CREATE INDEX workers_cron_runs_by_script ON workers_cron_runs (script_id, started_on);
      CREATE TABLE workers_account (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
      )`,
  },
  {
    // Manifests of sessions that no version came of are deleted when a later one opens.
    name: "0002-used-manifests",
    sql: "ALTER TABLE workers_asset_manifests ADD COLUMN used INTEGER NOT NULL DEFAULT 1",
  },
  {
    name: "0003-routing",
    sql: `
      CREATE TABLE workers_routes (
        id TEXT PRIMARY KEY,
        zone_id TEXT NOT NULL,
        pattern TEXT NOT NULL UNIQUE,
        script_id TEXT,
        created_on INTEGER NOT NULL
      );
      CREATE TABLE workers_domains (
        id TEXT PRIMARY KEY,
        zone_id TEXT NOT NULL,
        zone_name TEXT NOT NULL,
        hostname TEXT NOT NULL UNIQUE,
        script_id TEXT NOT NULL,
        environment TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        previews_enabled INTEGER NOT NULL
      )`,
  },
  {
    name: "0004-certificates",
    sql: `
      CREATE TABLE workers_certificates (
        id TEXT PRIMARY KEY,
        name TEXT,
        ca INTEGER NOT NULL,
        certificates TEXT NOT NULL,
        private_key TEXT,
        uploaded_on INTEGER NOT NULL
      )`,
  },
  {
    name: "0005-versions-by-alias",
    sql: `CREATE INDEX workers_versions_by_alias ON workers_versions (script_id, json_extract(content, '$.annotations."workers/alias"'))`,
  },
  {
    name: "0006-invocations",
    sql: `
      CREATE TABLE workers_invocations (
        minute INTEGER NOT NULL,
        script TEXT NOT NULL,
        version TEXT NOT NULL,
        status TEXT NOT NULL,
        wall_bucket INTEGER NOT NULL,
        cpu_bucket INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        wall_us INTEGER NOT NULL,
        cpu_us INTEGER NOT NULL,
        PRIMARY KEY (minute, script, version, status, wall_bucket, cpu_bucket)
      )`,
  },
];
