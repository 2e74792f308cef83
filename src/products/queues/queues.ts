/**
 * The account's queues and their consumers: rows in meta, mirrored in memory, because every message asks for its queue.
 * All changes go through this object, one after another, so the mirror is the tables.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { queuesError } from "./errors.ts";
import { checkName, RETENTION_DEFAULT_S } from "./limits.ts";
import type { Consumer, Queue, QueueSettings } from "./model.ts";

export interface Queues {
  /** In the order in which they were created. */
  list(): readonly Queue[];
  find(id: string): Queue | undefined;
  byName(name: string): Queue | undefined;
  /** Throws `queues.queueIdMalformed`, `queues.queueNotFound`. */
  require(id: string): Queue;
  /** Throws `queues.invalidName`, `queues.nameTaken`, `queues.tooManyQueues`. */
  create(name: string, settings?: Partial<QueueSettings>, jurisdiction?: string): Promise<Queue>;
  /** The queue of that name, which is created when there is none. */
  ensure(name: string): Promise<Queue>;
  change(id: string, settings: Partial<QueueSettings>): Promise<Queue>;
  /** Hides every message up to this id. */
  purge(id: string, upTo: string): Promise<Queue>;
  /** Throws `queues.consumerExists`. */
  addConsumer(id: string, consumer: NewConsumer): Promise<Consumer>;
  /** Throws `queues.consumerNotFound`. */
  changeConsumer(id: string, consumerId: string, consumer: NewConsumer): Promise<Consumer>;
  removeConsumer(id: string, consumerId: string): Promise<void>;
  /** Gone for every reader when this resolves; its messages are deleted in the background. */
  remove(id: string): Promise<void>;
}

/** A consumer without what the platform gives it. */
export type NewConsumer = Consumer extends infer C ? (C extends Consumer ? Omit<C, "id" | "createdAt"> : never) : never;

interface QueueRow {
  id: string;
  name: string;
  jurisdiction: string | null;
  settings: string;
  created_at: number;
  modified_at: number;
  purged_to: string;
  purged_at: number | null;
}

interface ConsumerRow {
  id: string;
  queue_id: string;
  type: string;
  script: string | null;
  dead_letter_queue: string | null;
  settings: string;
  created_at: number;
}

const toConsumer = (row: ConsumerRow): Consumer =>
  ({
    id: row.id,
    createdAt: row.created_at,
    deadLetterQueue: row.dead_letter_queue,
    type: row.type,
    ...(row.script !== null && { script: row.script }),
    settings: JSON.parse(row.settings),
  }) as Consumer;

export const defaultSettings: QueueSettings = {
  delivery_delay: 0,
  message_retention_period: RETENTION_DEFAULT_S,
  delivery_paused: false,
};

const newId = (): string => randomBytes(16).toString("hex");

/** Loads the queues; `max` bounds their number, `changed` hears of each that is not what it was. */
export async function openQueues(meta: MetaStore, clock: Clock, max: number, changed: (queueId: string) => void): Promise<Queues> {
  const byId = new Map<string, Queue>();
  const byName = new Map<string, Queue>();
  const keep = (queue: Queue): Queue => {
    byId.set(queue.id, queue);
    byName.set(queue.name, queue);
    changed(queue.id);
    return queue;
  };
  const consumers = new Map<string, Consumer>();
  for (const row of await meta.all<ConsumerRow & Record<string, never>>("SELECT * FROM queues_consumers"))
    consumers.set(row.queue_id, toConsumer(row));
  for (const row of await meta.all<QueueRow & Record<string, never>>("SELECT * FROM queues_queues ORDER BY created_at, id")) {
    const queue: Queue = {
      id: row.id,
      name: row.name,
      jurisdiction: row.jurisdiction,
      settings: JSON.parse(row.settings) as QueueSettings,
      createdAt: row.created_at,
      modifiedAt: row.modified_at,
      purgedTo: row.purged_to,
      purgedAt: row.purged_at,
      consumer: consumers.get(row.id) ?? null,
    };
    byId.set(queue.id, queue);
    byName.set(queue.name, queue);
  }

  let last: Promise<unknown> = Promise.resolve();
  /** One change at a time: each begins from what the one before it has committed. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  }

  function require(id: string): Queue {
    if (!/^[0-9a-f]{32}$/i.test(id)) throw queuesError("queueIdMalformed");
    const queue = byId.get(id.toLowerCase());
    if (queue === undefined) throw queuesError("queueNotFound");
    return queue;
  }

  async function insert(name: string, settings: Partial<QueueSettings>, jurisdiction: string | null): Promise<Queue> {
    checkName(name);
    if (byName.has(name))
      throw queuesError("nameTaken", `Queue name '${name}' is already taken. Please use a different name and try again.`);
    if (byId.size >= max) throw queuesError("tooManyQueues");
    const now = clock.now();
    const queue: Queue = {
      id: newId(),
      name,
      jurisdiction,
      settings: { ...defaultSettings, ...settings },
      createdAt: now,
      modifiedAt: now,
      purgedTo: "",
      purgedAt: null,
      consumer: null,
    };
    await meta.run(
      "INSERT INTO queues_queues (id, name, jurisdiction, settings, created_at, modified_at, purged_to) VALUES (?, ?, ?, ?, ?, ?, '')",
      queue.id,
      name,
      jurisdiction,
      JSON.stringify(queue.settings),
      now,
      now,
    );
    return keep(queue);
  }

  async function putConsumer(queue: Queue, consumer: Consumer): Promise<Consumer> {
    await meta.run(
      `INSERT INTO queues_consumers (id, queue_id, type, script, dead_letter_queue, settings, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET script = excluded.script, dead_letter_queue = excluded.dead_letter_queue, settings = excluded.settings`,
      consumer.id,
      queue.id,
      consumer.type,
      consumer.type === "worker" ? consumer.script : null,
      consumer.deadLetterQueue,
      JSON.stringify(consumer.settings),
      consumer.createdAt,
    );
    keep({ ...queue, consumer });
    return consumer;
  }

  function consumerOf(queue: Queue, consumerId: string): Consumer {
    if (queue.consumer === null || queue.consumer.id !== consumerId) throw queuesError("consumerNotFound");
    return queue.consumer;
  }

  return {
    list: () => [...byId.values()],
    find: (id) => byId.get(id),
    byName: (name) => byName.get(name),
    require,
    create: (name, settings = {}, jurisdiction) => inTurn(() => insert(name, settings, jurisdiction ?? null)),
    ensure: (name) => {
      const known = byName.get(name);
      return known !== undefined ? Promise.resolve(known) : inTurn(async () => byName.get(name) ?? insert(name, {}, null));
    },
    change: (id, settings) =>
      inTurn(async () => {
        const before = require(id);
        const queue = { ...before, settings: { ...before.settings, ...settings }, modifiedAt: clock.now() };
        const text = JSON.stringify(queue.settings);
        await meta.run("UPDATE queues_queues SET settings = ?, modified_at = ? WHERE id = ?", text, queue.modifiedAt, queue.id);
        return keep(queue);
      }),
    purge: (id, upTo) =>
      inTurn(async () => {
        const queue = { ...require(id), purgedTo: upTo, purgedAt: clock.now() };
        // From this commit on no reader sees what was purged.
        await meta.run("UPDATE queues_queues SET purged_to = ?, purged_at = ? WHERE id = ?", upTo, queue.purgedAt, queue.id);
        return keep(queue);
      }),
    addConsumer: (id, consumer) =>
      inTurn(async () => {
        const queue = require(id);
        if (queue.consumer !== null) throw queuesError("consumerExists");
        return putConsumer(queue, { ...consumer, id: newId(), createdAt: clock.now() } as Consumer);
      }),
    changeConsumer: (id, consumerId, consumer) =>
      inTurn(async () => {
        const queue = require(id);
        const before = consumerOf(queue, consumerId);
        if (before.type !== consumer.type) throw queuesError("consumerSettings", "A consumer's type cannot be changed.");
        return putConsumer(queue, { ...consumer, id: before.id, createdAt: before.createdAt } as Consumer);
      }),
    removeConsumer: (id, consumerId) =>
      inTurn(async () => {
        const queue = require(id);
        const consumer = consumerOf(queue, consumerId);
        await meta.run("DELETE FROM queues_consumers WHERE id = ?", consumer.id);
        keep({ ...queue, consumer: null });
      }),
    remove: (id) =>
      inTurn(async () => {
        const queue = require(id);
        // Refused to senders first: what they write now would only be deleted again.
        byId.delete(queue.id);
        byName.delete(queue.name);
        try {
          await meta.transaction(async (tx) => {
            await tx.run("DELETE FROM queues_consumers WHERE queue_id = ?", queue.id);
            await tx.run("DELETE FROM queues_subscriptions WHERE queue_id = ?", queue.id);
            await tx.run("DELETE FROM queues_queues WHERE id = ?", queue.id);
            await tx.run("INSERT INTO queues_removed (id, removed_at) VALUES (?, ?)", queue.id, clock.now());
          });
        } catch (error) {
          keep(queue);
          throw error;
        }
        changed(queue.id);
      }),
  };
}
