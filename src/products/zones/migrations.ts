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
  {
    name: "0002-records",
    sql: `
      CREATE TABLE zones_records (
        id TEXT PRIMARY KEY,
        zone_id TEXT NOT NULL REFERENCES zones_zones (id) ON DELETE CASCADE,
        type TEXT NOT NULL,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        proxied INTEGER NOT NULL,
        comment TEXT,
        created_on INTEGER NOT NULL,
        modified_on INTEGER NOT NULL
      );
      CREATE INDEX zones_records_zone ON zones_records (zone_id)`,
  },
  {
    name: "0003-mail-records",
    sql: `
      ALTER TABLE zones_records ADD COLUMN priority INTEGER;   -- of MX records
      ALTER TABLE zones_records ADD COLUMN manager TEXT;       -- the product that keeps the record
      ALTER TABLE zones_records ADD COLUMN locked INTEGER NOT NULL DEFAULT 0`,
  },
];
