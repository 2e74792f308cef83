/** Constellation's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-projects-and-models",
    sql: `
      CREATE TABLE constellation_projects (
        id TEXT PRIMARY KEY,             -- a UUID
        name TEXT NOT NULL UNIQUE,
        runtime TEXT NOT NULL,           -- "ONNX" or "XGBoost"
        created_at INTEGER NOT NULL      -- milliseconds since the epoch, as all times here
      );
      CREATE TABLE constellation_models (
        id TEXT PRIMARY KEY,             -- a UUID
        project_id TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        blob TEXT NOT NULL,              -- the file
        size INTEGER NOT NULL,           -- bytes
        created_at INTEGER NOT NULL,
        UNIQUE (project_id, name)
      );
    `,
  },
];
