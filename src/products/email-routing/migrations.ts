/** Email Routing's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-sent",
    sql: `
      CREATE TABLE email_routing_sent (
        number INTEGER PRIMARY KEY,      -- order of sending
        id TEXT NOT NULL UNIQUE,         -- 32 hex digits
        worker TEXT NOT NULL,
        sender TEXT NOT NULL,            -- of the envelope, as the next
        recipients TEXT NOT NULL,        -- JSON: addresses
        subject TEXT NOT NULL,
        message_id TEXT NOT NULL,
        size INTEGER NOT NULL,           -- of the message, in bytes
        blob TEXT NOT NULL,              -- the message as RFC 5322 has it
        sent_at INTEGER NOT NULL         -- milliseconds since the epoch
      );
    `,
  },
];
