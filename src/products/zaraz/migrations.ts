/** Tables of Zaraz: the zones' configurations with their history, and what is counted. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-configs",
    sql: `
      CREATE TABLE zaraz_configs (
        id INTEGER PRIMARY KEY,
        zone_id TEXT NOT NULL,
        description TEXT NOT NULL,
        user_id TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        sealed TEXT NOT NULL
      );
      CREATE INDEX zaraz_configs_by_zone ON zaraz_configs (zone_id, id);
      CREATE TABLE zaraz_zones (
        zone_id TEXT PRIMARY KEY,
        workflow TEXT NOT NULL,
        latest INTEGER,
        live INTEGER
      );
      CREATE TABLE zaraz_counts (
        hour INTEGER NOT NULL,
        zone_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        status INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (hour, zone_id, kind, name, status)
      )`,
  },
];
