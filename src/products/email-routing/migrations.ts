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
  {
    name: "0002-routing",
    sql: `
      CREATE TABLE email_routing_zones (
        zone_id TEXT PRIMARY KEY,
        enabled INTEGER NOT NULL,
        locked INTEGER NOT NULL,         -- its DNS records
        skip_wizard INTEGER NOT NULL,
        subaddressing INTEGER NOT NULL,
        subdomains TEXT NOT NULL,        -- JSON: names that take mail too
        created INTEGER NOT NULL,        -- milliseconds since the epoch, as all times here
        modified INTEGER NOT NULL
      );
      CREATE TABLE email_routing_rules (
        number INTEGER PRIMARY KEY,      -- order of creation
        id TEXT NOT NULL UNIQUE,
        zone_id TEXT NOT NULL,
        name TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        address TEXT,                    -- NULL is the zone's catch-all
        action TEXT NOT NULL,            -- JSON: type and value
        source TEXT NOT NULL,            -- "api" or "wrangler"
        owner_tag TEXT                   -- of the Worker whose configuration made the rule
      );
      CREATE TABLE email_routing_addresses (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        verified INTEGER,                -- when; NULL until then
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        token_hash TEXT NOT NULL,        -- SHA-256 of the token in the link
        token_expires INTEGER NOT NULL
      );
      CREATE TABLE email_routing_keys (
        domain TEXT PRIMARY KEY,
        sealed TEXT NOT NULL             -- PEM of the DKIM key, encrypted
      );
      CREATE TABLE email_routing_activity (
        id TEXT PRIMARY KEY,
        at INTEGER NOT NULL,
        zone_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        subject TEXT NOT NULL,
        message_id TEXT NOT NULL,
        action TEXT NOT NULL,
        status TEXT NOT NULL,
        error TEXT NOT NULL,
        spf TEXT NOT NULL,
        dkim TEXT NOT NULL,
        dmarc TEXT NOT NULL
      );
      CREATE INDEX email_routing_activity_at ON email_routing_activity (at);
    `,
  },
];
