/**
 * Event notifications: the rules of all buckets in memory, and the events on their way to queues. An event is a row of
 * `r2_events`, written in the transaction that changes the object, so that a change that is visible has its event; the
 * row goes only after the queue has the message. Buckets without rules pay nothing. At least once: a crash between the
 * two repeats the message.
 */
import { randomBytes } from "node:crypto";
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import type { Bucket } from "./model.ts";
import { type Action, checkNotificationRules, matches, type NotificationRule } from "./notification-rules.ts";

export interface ObjectEvent {
  readonly action: Action;
  /** The key as it was spelled. */
  readonly key: string;
  readonly time: number;
  /** Absent for deletions. */
  readonly object?: { readonly size: number; readonly etag: string };
  readonly copySource?: { readonly bucket: string; readonly object: string } | undefined;
}

export interface Notifications {
  rules(bucketId: string): readonly NotificationRule[];
  /** Adds rules of one queue. Throws `r2.notificationOverlap`, `r2.tooManyNotificationRules`. */
  add(bucket: Bucket, rules: readonly NotificationRule[]): Promise<void>;
  /** Removes the queue's rules, or only those named. */
  remove(bucket: Bucket, queueId: string, ruleIds: readonly string[] | undefined): Promise<void>;
  /** The bucket is gone. */
  forget(bucketId: string): void;
  /** Notes an event for the rules that match, in the transaction of the change. True: call `kick` after its commit. */
  record(tx: MetaTransaction, bucketId: string, event: ObjectEvent): Promise<boolean>;
  /** There may be events to send. Returns at once. */
  kick(): void;
  stop(): Promise<void>;
}

export interface NotificationDeps {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly accountId: string;
  readonly queues: Pick<QueueSender, "find" | "send" | "addProducers">;
}

interface BucketRules {
  readonly name: string;
  readonly rules: readonly NotificationRule[];
}

/** What one send takes: less than a queue's batch, whatever the keys. */
const SEND_MAX = 100;
const SEND_MAX_BYTES = 200_000;
const QUEUES_MAX = 1000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 60_000;

export async function openNotifications({ meta, clock, log, accountId, queues }: NotificationDeps): Promise<Notifications> {
  const byBucket = new Map<string, BucketRules>();
  const stored = await meta.all<{ bucket_id: string; value: string; name: string }>(
    `SELECT s.bucket_id AS bucket_id, s.value AS value, b.name AS name FROM r2_settings s JOIN r2_buckets b ON b.id = s.bucket_id
     WHERE s.kind = 'notifications' LIMIT 1000000`,
  );
  for (const { bucket_id, value, name } of stored) byBucket.set(bucket_id, { name, rules: JSON.parse(value) as NotificationRule[] });
  queues.addProducers(async (queueId) =>
    [...byBucket.values()]
      .filter(({ rules }) => rules.some((rule) => rule.queueId === queueId))
      .map(({ name }) => ({ type: "r2_bucket", bucket_name: name })),
  );

  let last: Promise<unknown> = Promise.resolve();
  /** Changes of rules one after another: each is checked against what the one before it left. */
  function change(bucket: Bucket, next: (rules: readonly NotificationRule[]) => readonly NotificationRule[]): Promise<void> {
    const turn = last.then(async () => {
      const rules = next(byBucket.get(bucket.id)?.rules ?? []);
      checkNotificationRules(rules);
      await meta.run(
        `INSERT INTO r2_settings (bucket_id, kind, value) SELECT id, 'notifications', ? FROM r2_buckets WHERE id = ?
         ON CONFLICT (bucket_id, kind) DO UPDATE SET value = excluded.value`,
        JSON.stringify(rules),
        bucket.id,
      );
      if (rules.length === 0) byBucket.delete(bucket.id);
      else byBucket.set(bucket.id, { name: bucket.name, rules });
    });
    last = turn.catch(() => undefined);
    return turn;
  }

  let counter = 0;
  /** In the order of events within this process. */
  function eventId(): string {
    counter = (counter + 1) % 0x1_0000_0000;
    return `${clock.now().toString(16).padStart(12, "0")}${counter.toString(16).padStart(8, "0")}${randomBytes(4).toString("hex")}`;
  }

  function message(bucket: string, { action, key, time, object, copySource }: ObjectEvent): string {
    return JSON.stringify({
      account: accountId,
      action,
      bucket,
      object: { key, ...(object && { size: object.size, eTag: object.etag }) },
      eventTime: new Date(time).toISOString(),
      ...(copySource && { copySource }),
    });
  }

  let stopped = false;
  let wanted = false;
  let working: Promise<void> | undefined;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;

  /** Sends what there is for one queue; false when the queue does not take it now. */
  async function drain(queueId: string): Promise<boolean> {
    while (!stopped) {
      const rows = await meta.all<{ id: string; body: string }>(
        `SELECT id, body FROM r2_events WHERE queue_id = ? ORDER BY id LIMIT ${SEND_MAX}`,
        queueId,
      );
      if (rows.length === 0) return true;
      let bytes = 0;
      const batch = rows.filter(({ body }, i) => {
        bytes += Buffer.byteLength(body);
        return i === 0 || bytes <= SEND_MAX_BYTES;
      });
      try {
        const bodies = batch.map(({ body }) => JSON.parse(body) as unknown);
        await queues.send(queueId, "r2", bodies);
      } catch (error) {
        if (!(error instanceof PlatformError && error.code === "queues.queueNotFound")) {
          log.warn("r2.notifications_delayed", { queue: queueId, error });
          return false;
        }
        log.warn("r2.notifications_dropped", { queue: queueId, events: batch.length, reason: "the queue is deleted" });
      }
      const ids = batch.map(({ id }) => id);
      await meta.run(`DELETE FROM r2_events WHERE queue_id = ? AND id IN (${ids.map(() => "?").join(", ")})`, queueId, ...ids);
    }
    return true;
  }

  async function drainAll(): Promise<boolean> {
    const rows = await meta.all<{ queue_id: string }>(`SELECT DISTINCT queue_id FROM r2_events LIMIT ${QUEUES_MAX}`);
    let all = true;
    // A queue that takes nothing holds up no other.
    for (const { queue_id } of rows) all = (await drain(queue_id)) && all;
    return all;
  }

  async function work(): Promise<void> {
    while (wanted && !stopped) {
      wanted = false;
      const done = await drainAll().catch((error: unknown) => {
        log.error("r2.notifications_failed", { error });
        return false;
      });
      clearTimeout(retry);
      if (done) failures = 0;
      else retry = setTimeout(kick, Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** failures++)).unref();
    }
  }

  function kick(): void {
    wanted = true;
    if (working !== undefined || stopped) return;
    working = work().finally(() => {
      working = undefined;
      // A kick that came after the last look, while `working` still stood.
      if (wanted) kick();
    });
  }
  kick();

  return {
    rules: (bucketId) => byBucket.get(bucketId)?.rules ?? [],
    add: (bucket, added) => change(bucket, (rules) => [...rules, ...added]),
    remove: (bucket, queueId, ruleIds) =>
      change(bucket, (rules) =>
        rules.filter((rule) => rule.queueId !== queueId || (ruleIds !== undefined && !ruleIds.includes(rule.ruleId))),
      ),
    forget: (bucketId) => void byBucket.delete(bucketId),
    async record(tx, bucketId, event) {
      const bucket = byBucket.get(bucketId);
      if (bucket === undefined) return false;
      const queueIds = bucket.rules.filter((rule) => matches(rule, event.action, event.key)).map((rule) => rule.queueId);
      for (const queueId of queueIds) {
        await tx.run("INSERT INTO r2_events (queue_id, id, body) VALUES (?, ?, ?)", queueId, eventId(), message(bucket.name, event));
      }
      return queueIds.length > 0;
    },
    kick,
    async stop() {
      stopped = true;
      clearTimeout(retry);
      await working;
    },
  };
}
