import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-zones",
    sql: `
      CREATE TABLE zones_zones (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_on INTEGER NOT NULL
      )`,
  },
];
