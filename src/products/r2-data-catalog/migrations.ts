/**
 * Tables of the catalog. The pointer of a table is `metadata_location`: it changes by compare-and-swap alone, after the
 * file that it names is durable in the bucket. Paths of namespaces are their levels joined by U+001F; `parent` is the
 * path without the last level, "" at the top.
 */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-catalogs",
    sql: `
      CREATE TABLE r2_data_catalog_warehouses (
        id TEXT PRIMARY KEY,
        bucket TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        credential TEXT,
        maintenance TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
      );
      CREATE TABLE r2_data_catalog_namespaces (
        id TEXT PRIMARY KEY,
        warehouse_id TEXT NOT NULL,
        path TEXT NOT NULL,
        parent TEXT NOT NULL,
        properties TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER,
        UNIQUE (warehouse_id, path)
      );
      CREATE INDEX r2_data_catalog_namespaces_parent ON r2_data_catalog_namespaces (warehouse_id, parent, path);
      CREATE TABLE r2_data_catalog_tables (
        id TEXT PRIMARY KEY,
        warehouse_id TEXT NOT NULL,
        namespace_id TEXT NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        uuid TEXT NOT NULL,
        location TEXT NOT NULL,
        metadata_location TEXT NOT NULL,
        maintenance TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER,
        UNIQUE (namespace_id, name)
      );
      CREATE INDEX r2_data_catalog_tables_warehouse ON r2_data_catalog_tables (warehouse_id, uuid);
      CREATE TABLE r2_data_catalog_purges (
        id TEXT PRIMARY KEY,
        warehouse_id TEXT NOT NULL,
        bucket TEXT NOT NULL,
        location TEXT NOT NULL,
        metadata_location TEXT NOT NULL,
        due_at INTEGER NOT NULL
      );
      CREATE INDEX r2_data_catalog_purges_due ON r2_data_catalog_purges (due_at)`,
  },
  {
    name: "0002-metrics",
    sql: `
      -- Sums by minute (its start in milliseconds since the epoch).
      CREATE TABLE r2_data_catalog_request_metrics (
        minute INTEGER NOT NULL,
        warehouse TEXT NOT NULL,
        operation TEXT NOT NULL,
        namespace TEXT NOT NULL,
        table_name TEXT NOT NULL,
        status INTEGER NOT NULL,
        duration_class INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        body_bytes INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        PRIMARY KEY (minute, warehouse, operation, namespace, table_name, status, duration_class)
      );
      CREATE TABLE r2_data_catalog_job_metrics (
        minute INTEGER NOT NULL,
        warehouse TEXT NOT NULL,
        type TEXT NOT NULL,
        namespace TEXT NOT NULL,
        table_name TEXT NOT NULL,
        success INTEGER NOT NULL,
        duration_class INTEGER NOT NULL,
        jobs INTEGER NOT NULL,
        files_processed INTEGER NOT NULL,
        files_output INTEGER NOT NULL,
        input_bytes INTEGER NOT NULL,
        output_bytes INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        PRIMARY KEY (minute, warehouse, type, namespace, table_name, success, duration_class)
      )`,
  },
  {
    name: "0003-maintenance",
    sql: `
      -- Files that a job may have left or made useless (maintenance/garbage.ts).
      CREATE TABLE r2_data_catalog_garbage (
        table_id TEXT NOT NULL,
        location TEXT NOT NULL,
        PRIMARY KEY (table_id, location)
      );
      CREATE TABLE r2_data_catalog_schedule (
        table_id TEXT PRIMARY KEY,
        next_at INTEGER NOT NULL,
        -- The table's metadata after its last run: unchanged tables have no work.
        seen TEXT
      );
      CREATE TABLE r2_data_catalog_runs (
        id TEXT PRIMARY KEY,
        table_id TEXT NOT NULL,
        request_id TEXT,
        configuration_type TEXT,
        status TEXT NOT NULL,
        queued_at INTEGER,
        started_at INTEGER,
        finished_at INTEGER,
        message TEXT,
        operations TEXT,
        input_bytes INTEGER NOT NULL
      );
      CREATE INDEX r2_data_catalog_runs_table ON r2_data_catalog_runs (table_id, started_at);
      CREATE UNIQUE INDEX r2_data_catalog_runs_request ON r2_data_catalog_runs (table_id, request_id);
      CREATE INDEX r2_data_catalog_runs_status ON r2_data_catalog_runs (status, queued_at)`,
  },
];
