/** The tables of Notifications. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-notifications",
    sql: `
      CREATE TABLE notifications_webhooks (
        id TEXT PRIMARY KEY,             -- 32 hex digits
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        sealed TEXT,                     -- the secret; opens for this id alone
        created INTEGER NOT NULL,        -- milliseconds since the epoch, as all times here
        last_success INTEGER,
        last_failure INTEGER
      );
      CREATE TABLE notifications_policies (
        id TEXT PRIMARY KEY,             -- 32 hex digits
        name TEXT NOT NULL,
        alert_type TEXT NOT NULL,
        settings TEXT NOT NULL,          -- JSON: description, enabled, mechanisms, filters, alert_interval
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL
      );
      CREATE TABLE notifications_outbox (
        id TEXT PRIMARY KEY,
        webhook TEXT NOT NULL,
        body TEXT NOT NULL,              -- JSON
        attempts INTEGER NOT NULL,
        due INTEGER NOT NULL
      );
      CREATE INDEX notifications_outbox_due ON notifications_outbox (due);
    `,
  },
];
