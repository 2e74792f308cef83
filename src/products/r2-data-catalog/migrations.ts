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
];
