/**
 * Event subscriptions: which queues hear of what happens to the account's resources (docs/queues/event-subscriptions).
 * Rows in meta, mirrored in memory. An event's messages are written in the transaction of the change itself, so that a
 * change that is visible has been announced.
 */
import { randomBytes } from "node:crypto";
import type { EventSource } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { platformError } from "../../kernel/errors.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { queuesError } from "./errors.ts";
import type { Messages } from "./messages.ts";
import type { Queues } from "./queues.ts";

export interface Subscription {
  /** 32 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly source: EventSource;
  /** "bucket.created". */
  readonly events: readonly string[];
  readonly queueId: string;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type SubscriptionContent = Pick<Subscription, "name" | "enabled" | "source" | "events" | "queueId">;

export interface Subscriptions {
  /** A product says which events of this source it announces. */
  addSource(type: string, events: readonly string[]): void;
  list(): readonly Subscription[];
  /** Throws `queues.subscriptionNotFound`. */
  require(id: string): Subscription;
  /** Throws `queues.queueNotFound`, `queues.eventUnknown`, `platform.notImplemented` for sources that nobody announces. */
  create(content: SubscriptionContent): Promise<Subscription>;
  change(id: string, content: Partial<SubscriptionContent>): Promise<Subscription>;
  remove(id: string): Promise<Subscription>;
  /** Whether an enabled subscription wants the event. */
  hears(source: EventSource, event: string): boolean;
  /** Writes the event's messages inside the caller's transaction; what is returned is to be called after its commit. */
  announce(tx: MetaTransaction, source: EventSource, event: string, payload: unknown): Promise<() => void>;
}

interface Row {
  id: string;
  name: string;
  enabled: number;
  source: string;
  events: string;
  queue_id: string;
  created_at: number;
  modified_at: number;
}

const SCHEMA_VERSION = 1;

/** A source as messages show it: names of members in camel case, where subscriptions have them with underscores. */
const shown = (source: EventSource): Record<string, string> =>
  Object.fromEntries(
    Object.entries(source).map(([name, value]) => [name.replace(/_(\w)/g, (_all, first: string) => first.toUpperCase()), value]),
  );

export async function openSubscriptions(
  meta: MetaStore,
  clock: Clock,
  accountId: string,
  queues: Queues,
  messages: Messages,
): Promise<Subscriptions> {
  const byId = new Map<string, Subscription>();
  const announced = new Map<string, readonly string[]>();
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM queues_subscriptions ORDER BY created_at, id")) {
    byId.set(row.id, {
      id: row.id,
      name: row.name,
      enabled: row.enabled === 1,
      source: JSON.parse(row.source),
      events: JSON.parse(row.events),
      queueId: row.queue_id,
      createdAt: row.created_at,
      modifiedAt: row.modified_at,
    });
  }
  /** A queue takes its subscriptions with it. */
  const alive = ({ queueId }: Subscription): boolean => queues.find(queueId) !== undefined;

  function require(id: string): Subscription {
    const found = byId.get(id);
    if (found === undefined || !alive(found)) throw queuesError("subscriptionNotFound");
    return found;
  }

  function check({ source, events, queueId }: SubscriptionContent): void {
    queues.require(queueId);
    const known = announced.get(source.type);
    if (known === undefined)
      throw platformError("notImplemented", `Events of "${source.type}" are not implemented by this version of Freehold`);
    const unknown = events.find((event) => !known.includes(event));
    if (unknown !== undefined || events.length === 0) {
      throw queuesError("eventUnknown", `"${unknown ?? ""}" is no event of ${source.type}. Its events are ${known.join(", ")}.`);
    }
  }

  async function put(subscription: Subscription): Promise<Subscription> {
    check(subscription);
    await meta.run(
      `INSERT INTO queues_subscriptions (id, name, enabled, source, events, queue_id, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, enabled = excluded.enabled, source = excluded.source,
         events = excluded.events, queue_id = excluded.queue_id, modified_at = excluded.modified_at`,
      subscription.id,
      subscription.name,
      subscription.enabled ? 1 : 0,
      JSON.stringify(subscription.source),
      JSON.stringify(subscription.events),
      subscription.queueId,
      subscription.createdAt,
      subscription.modifiedAt,
    );
    byId.set(subscription.id, subscription);
    return subscription;
  }

  /** Members of the subscription's source besides its type narrow it to one resource. */
  const hears = (subscription: Subscription, source: EventSource, event: string): boolean =>
    subscription.enabled &&
    subscription.events.includes(event) &&
    Object.entries(subscription.source).every(([name, value]) => source[name] === value);

  return {
    addSource: (type, events) => void announced.set(type, events),
    list: () => [...byId.values()].filter(alive),
    require,
    create: (content) => {
      const now = clock.now();
      return put({ ...content, id: randomBytes(16).toString("hex"), createdAt: now, modifiedAt: now });
    },
    change: (id, content) => put({ ...require(id), ...content, modifiedAt: clock.now() }),
    async remove(id) {
      const subscription = require(id);
      await meta.run("DELETE FROM queues_subscriptions WHERE id = ?", id);
      byId.delete(id);
      return subscription;
    },
    hears: (source, event) => [...byId.values()].some((subscription) => alive(subscription) && hears(subscription, source, event)),
    async announce(tx, source, event, payload) {
      const after: (() => void)[] = [];
      for (const subscription of byId.values()) {
        const queue = queues.find(subscription.queueId);
        if (queue === undefined || !hears(subscription, source, event)) continue;
        const message = {
          type: `cf.${source.type}.${event}`,
          source: shown(source),
          payload,
          metadata: {
            accountId,
            eventSubscriptionId: subscription.id,
            eventSchemaVersion: SCHEMA_VERSION,
            eventTimestamp: new Date(clock.now()).toISOString(),
          },
        };
        const body = Buffer.from(JSON.stringify(message));
        after.push(await messages.insertIn(tx, queue, [{ body, contentType: "json" }], "event"));
      }
      return () => {
        for (const then of after) then();
      };
    },
  };
}
