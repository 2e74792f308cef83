/** The table of dispatch namespaces. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-namespaces",
    sql: `
      CREATE TABLE workers_for_platforms_namespaces (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        trusted INTEGER NOT NULL,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL
      )`,
  },
];
