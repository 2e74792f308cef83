/** Tables of namespaces, of their former names, and of the migration tags of scripts. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-namespaces",
    sql: `
      CREATE TABLE durable_objects_namespaces (
        id TEXT PRIMARY KEY,
        script_id TEXT NOT NULL,
        script_name TEXT NOT NULL,
        class_name TEXT NOT NULL,
        sqlite INTEGER NOT NULL,
        created_on INTEGER NOT NULL,
        deleted_on INTEGER
      );
      CREATE INDEX durable_objects_namespaces_by_script ON durable_objects_namespaces (script_id);
      CREATE TABLE durable_objects_tags (
        script_id TEXT PRIMARY KEY,
        tag TEXT NOT NULL
      )`,
  },
  {
    name: "0002-moved",
    // Names that classes had before they were renamed or transferred.
    sql: `
      CREATE TABLE durable_objects_moved (
        script_name TEXT NOT NULL,
        class_name TEXT NOT NULL,
        namespace_id TEXT NOT NULL,
        PRIMARY KEY (script_name, class_name)
      )`,
  },
  {
    name: "0003-restores",
    // Objects that go back to a bookmark when they start next.
    sql: `
      CREATE TABLE durable_objects_restores (
        part TEXT NOT NULL,
        object_id TEXT NOT NULL,
        bookmark TEXT NOT NULL,
        undo TEXT NOT NULL,
        PRIMARY KEY (part, object_id)
      )`,
  },
  {
    name: "0004-usage",
    // What objects used, by the minute (`usage.ts`).
    sql: `
      CREATE TABLE durable_objects_invocations (
        minute INTEGER NOT NULL,
        script TEXT NOT NULL,
        namespace TEXT NOT NULL,
        type TEXT NOT NULL,
        status TEXT NOT NULL,
        wall_bucket INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        wall_us INTEGER NOT NULL,
        response_bytes INTEGER NOT NULL,
        PRIMARY KEY (minute, script, namespace, type, status, wall_bucket)
      ) WITHOUT ROWID;
      CREATE TABLE durable_objects_usage (
        minute INTEGER NOT NULL,
        namespace TEXT NOT NULL,
        active_us INTEGER NOT NULL,
        cpu_us INTEGER NOT NULL,
        rows_read INTEGER NOT NULL,
        rows_written INTEGER NOT NULL,
        read_units INTEGER NOT NULL,
        write_units INTEGER NOT NULL,
        deletes INTEGER NOT NULL,
        subrequests INTEGER NOT NULL,
        PRIMARY KEY (minute, namespace)
      ) WITHOUT ROWID`,
  },
  {
    name: "0005-transfers",
    // Classes that a script expects from another, which is to give them.
    sql: `
      CREATE TABLE durable_objects_transfers (
        target TEXT NOT NULL,
        class_name TEXT NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (target, class_name)
      )`,
  },
];
