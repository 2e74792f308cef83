import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-apps-and-turn",
    sql: `
      CREATE TABLE realtime_items (
        uid TEXT PRIMARY KEY,             -- 32 hex digits
        kind TEXT NOT NULL,               -- app (of the SFU), turn_key
        name TEXT NOT NULL,
        secret_hash TEXT NOT NULL,        -- SHA-256 in hex; the secret itself is shown once and kept nowhere
        created INTEGER NOT NULL,         -- milliseconds since the epoch
        modified INTEGER NOT NULL
      );
      CREATE INDEX realtime_items_kind ON realtime_items (kind, created);
      CREATE TABLE realtime_turn_credentials (
        username TEXT PRIMARY KEY,        -- 96 hex digits; the password follows from it and the platform's key
        key_uid TEXT NOT NULL,
        identifier TEXT NOT NULL,         -- customIdentifier, or empty
        expires INTEGER NOT NULL
      );
      CREATE INDEX realtime_turn_credentials_expires ON realtime_turn_credentials (expires);
      CREATE INDEX realtime_turn_credentials_key ON realtime_turn_credentials (key_uid);
      CREATE TABLE realtime_turn_usage (
        minute INTEGER NOT NULL,          -- its start, milliseconds since the epoch
        key_uid TEXT NOT NULL,
        identifier TEXT NOT NULL,
        username TEXT NOT NULL,
        ingress INTEGER NOT NULL,         -- bytes from clients
        egress INTEGER NOT NULL,          -- bytes to clients
        seconds INTEGER NOT NULL,         -- of allocations, added up
        PRIMARY KEY (minute, key_uid, identifier, username)
      );
    `,
  },
  {
    name: "0002-kit",
    sql: `
      CREATE TABLE realtime_kit_objects (
        id TEXT PRIMARY KEY,              -- a UUID
        kind TEXT NOT NULL,               -- app, meeting, preset, participant, session, peer
        app TEXT NOT NULL,                -- its app's id; an app's own
        parent TEXT NOT NULL,             -- the app of meetings and presets, the meeting of participants and sessions, the session of peers
        name TEXT NOT NULL,               -- what a search finds; unique among the presets of an app
        settings TEXT NOT NULL,           -- JSON
        created INTEGER NOT NULL,         -- milliseconds since the epoch
        updated INTEGER NOT NULL
      );
      CREATE INDEX realtime_kit_objects_parent ON realtime_kit_objects (kind, parent, created);
      CREATE INDEX realtime_kit_objects_app ON realtime_kit_objects (app, kind, created);
    `,
  },
];
