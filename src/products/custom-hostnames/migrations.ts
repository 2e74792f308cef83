/** Tables of custom hostnames and of fallback origins. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-hostnames",
    sql: `
      CREATE TABLE custom_hostnames_hostnames (
        id TEXT PRIMARY KEY,
        zone_id TEXT NOT NULL,
        hostname TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL,
        content TEXT NOT NULL,
        UNIQUE (zone_id, hostname)
      );
      CREATE TABLE custom_hostnames_fallback_origins (
        zone_id TEXT PRIMARY KEY,
        origin TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL
      )`,
  },
];
