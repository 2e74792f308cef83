/**
 * Tables of Queues. Append-only: a released step is never edited. Times are milliseconds since the epoch. A message's id
 * begins with the time at which it was sent, so that age is an order of the primary key.
 */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-queues",
    sql: `
      CREATE TABLE queues_queues (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        jurisdiction TEXT,
        settings TEXT NOT NULL,          -- JSON
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        purged_to TEXT NOT NULL,         -- messages up to this id are gone for everyone
        purged_at INTEGER
      );
      CREATE TABLE queues_consumers (
        id TEXT PRIMARY KEY,
        queue_id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,              -- worker, http_pull
        script TEXT,
        dead_letter_queue TEXT,          -- a name
        settings TEXT NOT NULL,          -- JSON
        created_at INTEGER NOT NULL
      );
      -- Deleted queues whose messages are still being deleted.
      CREATE TABLE queues_removed (id TEXT PRIMARY KEY, removed_at INTEGER NOT NULL);
      CREATE TABLE queues_messages (
        queue_id TEXT NOT NULL,
        id TEXT NOT NULL,
        ready_at INTEGER NOT NULL,       -- not handed out before: the end of a delay, or of a lease
        attempts INTEGER NOT NULL,       -- deliveries begun
        lease TEXT,                      -- the delivery under way
        content_type TEXT NOT NULL,
        source TEXT NOT NULL,
        size INTEGER NOT NULL,           -- bytes of the body
        body BLOB NOT NULL,
        PRIMARY KEY (queue_id, id)
      );
      -- Covers the choice of what is due, and the sums of a queue's backlog.
      CREATE INDEX queues_messages_due ON queues_messages (queue_id, ready_at, id, size);
    `,
  },
  {
    name: "0002-metrics",
    // Sums by the minute.
    sql: `
      CREATE TABLE queues_operations (
        minute INTEGER NOT NULL,
        queue_id TEXT NOT NULL,
        action TEXT NOT NULL,
        consumer TEXT NOT NULL,
        outcome TEXT NOT NULL,
        messages INTEGER NOT NULL,
        billable INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        lag_ms INTEGER NOT NULL,
        retries INTEGER NOT NULL,
        PRIMARY KEY (minute, queue_id, action, consumer, outcome)
      );
      CREATE TABLE queues_samples (
        minute INTEGER NOT NULL,
        queue_id TEXT NOT NULL,
        samples INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        running INTEGER NOT NULL,
        PRIMARY KEY (minute, queue_id)
      );
    `,
  },
  {
    name: "0003-subscriptions",
    sql: `
      CREATE TABLE queues_subscriptions (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        source TEXT NOT NULL,            -- JSON
        events TEXT NOT NULL,            -- JSON
        queue_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
    `,
  },
];
