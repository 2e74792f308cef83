import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-relays",
    sql: `
      CREATE TABLE moq_relays (
        uid TEXT PRIMARY KEY,             -- 32 hex digits
        name TEXT NOT NULL,
        created INTEGER NOT NULL,         -- milliseconds since the epoch, each once: lists are paged by it
        modified INTEGER NOT NULL
      );
      CREATE UNIQUE INDEX moq_relays_created ON moq_relays (created);
      CREATE TABLE moq_tokens (
        jti TEXT PRIMARY KEY,             -- 32 hex digits
        relay TEXT NOT NULL,
        secret_hash TEXT NOT NULL UNIQUE, -- SHA-256 in hex; the secret itself is shown once and kept nowhere
        operations TEXT NOT NULL,         -- publish,subscribe
        label TEXT,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
      );
      CREATE INDEX moq_tokens_relay ON moq_tokens (relay, created);
    `,
  },
];
