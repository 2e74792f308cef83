/**
 * Pushes messages to consumer Workers. Each queue with such a consumer is looked at when messages arrive, when a batch
 * ends, and when the next message is due; a batch goes when it is full or when its first message has waited long enough.
 * The lease is durable before the handler runs, so that the attempt counts even when the platform dies under it, and the
 * message is deleted only after the handler acknowledged it: at least once, never lost.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatch, QueueBatchResult } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { type Concurrency, concurrency } from "./concurrency.ts";
import { timeOfId } from "./message-ids.ts";
import type { Messages, Settlement } from "./messages.ts";
import type { Consumer, LeasedMessage, Queue } from "./model.ts";
import type { Queues } from "./queues.ts";

export interface Delivery {
  /** Something about the queue may have changed: it is looked at soon. */
  look(queueId: string): void;
  /** Invocations that run now. */
  running(queueId: string): number;
  /** Takes nothing new up and waits a while for what runs. */
  stop(): Promise<void>;
}

export interface DeliveryOptions {
  readonly queues: Queues;
  readonly messages: Messages;
  readonly dispatch: Dispatch;
  readonly clock: Clock;
  readonly log: Log;
  /** Most invocations of one consumer at a time. */
  readonly concurrencyMax: number;
  /** Wall time of a consumer's handler. */
  readonly handlerMaxMs: number;
}

type PushConsumer = Consumer & { readonly type: "worker" };

/** One queue with a push consumer. */
interface Feed {
  readonly concurrency: Concurrency;
  running: number;
  timer: NodeJS.Timeout | undefined;
  /** A look is scheduled or under way. */
  looking: boolean;
  /** Another look is wanted after the one under way. */
  again: boolean;
  /** Batches that could not be delivered since the last that was. */
  failures: number;
  /** Nothing is delivered before this time. */
  notBefore: number;
}

/** By how much a lease outlives its handler, so that a slow settlement is not a second delivery. */
const LEASE_GRACE_MS = 60_000;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** Longest wait of one timer; also how late a change of the system's clock is noticed. */
const TIMER_MAX_MS = 60_000;
const STOP_GRACE_MS = 5_000;

export function createDelivery({ queues, messages, dispatch, clock, log, concurrencyMax, handlerMaxMs }: DeliveryOptions): Delivery {
  const leaseMs = handlerMaxMs + LEASE_GRACE_MS;
  const feeds = new Map<string, Feed>();
  const inFlight = new Set<Promise<void>>();
  const stopping = new AbortController();

  function feedOf(queueId: string): Feed {
    let feed = feeds.get(queueId);
    if (feed === undefined) {
      feed = { concurrency: concurrency(), running: 0, timer: undefined, looking: false, again: false, failures: 0, notBefore: 0 };
      feeds.set(queueId, feed);
    }
    return feed;
  }

  function look(queueId: string): void {
    if (stopping.signal.aborted) return;
    const consumer = queues.find(queueId)?.consumer;
    if (consumer?.type !== "worker" && !feeds.has(queueId)) return;
    const feed = feedOf(queueId);
    if (feed.looking) {
      feed.again = true;
      return;
    }
    feed.looking = true;
    // Not at once: all that arrives in one turn is one look.
    setImmediate(() => void lookNow(queueId, feed));
  }

  /** Never rejects. */
  async function lookNow(queueId: string, feed: Feed): Promise<void> {
    feed.again = false;
    try {
      await take(queueId, feed);
    } catch (error) {
      log.error("queues.look_failed", { queue: queueId, error });
      wakeAt(queueId, feed, clock.now() + BACKOFF_MIN_MS);
    }
    feed.looking = false;
    if (feed.again) look(queueId);
  }

  /** Starts a batch as often as one is due and may run, then sets the timer for the next. */
  async function take(queueId: string, feed: Feed): Promise<void> {
    clearTimeout(feed.timer);
    while (!stopping.signal.aborted) {
      const queue = queues.find(queueId);
      const consumer = queue?.consumer;
      if (queue === undefined || consumer?.type !== "worker") {
        if (feed.running === 0) feeds.delete(queueId);
        return;
      }
      if (queue.settings.delivery_paused) return;
      const max = Math.min(consumer.settings.max_concurrency ?? concurrencyMax, concurrencyMax);
      // The end of a batch looks again.
      if (feed.running >= feed.concurrency.current(max)) return;
      const at = await nextBatchAt(queue, consumer, feed);
      if (at === undefined) return;
      if (at > clock.now()) return wakeAt(queueId, feed, at);
      const batch = await messages.lease(queue, "push", consumer.settings.batch_size, leaseMs, await deadLetters(consumer));
      if (batch.length > 0) start(queue, consumer, feed, batch);
    }
  }

  /** When a batch is to go: undefined when there is no message. */
  async function nextBatchAt(queue: Queue, { settings }: PushConsumer, feed: Feed): Promise<number | undefined> {
    const due = await messages.due(queue, settings.batch_size);
    const first = due[0];
    if (first === undefined) return undefined;
    const full = due.length === settings.batch_size ? (due.at(-1) as number) : Number.POSITIVE_INFINITY;
    return Math.max(feed.notBefore, Math.min(full, first + settings.max_wait_time_ms));
  }

  function wakeAt(queueId: string, feed: Feed, time: number): void {
    clearTimeout(feed.timer);
    feed.timer = setTimeout(() => look(queueId), Math.max(1, Math.min(TIMER_MAX_MS, time - clock.now())));
    feed.timer.unref();
  }

  function start(queue: Queue, consumer: PushConsumer, feed: Feed, batch: readonly LeasedMessage[]): void {
    feed.running++;
    const work = deliver(queue, consumer, feed, batch)
      // The leases end by themselves, or with the next start; until then this batch rests.
      .catch((error: unknown) => log.error("queues.batch_failed", { queue: queue.name, error }))
      .finally(() => {
        feed.running--;
        inFlight.delete(work);
        look(queue.id);
      });
    inFlight.add(work);
  }

  async function deliver(queue: Queue, consumer: PushConsumer, feed: Feed, batch: readonly LeasedMessage[]): Promise<void> {
    const leasedUntil = clock.now() + leaseMs;
    const { count, bytes, oldest } = await messages.backlog.of(queue.id);
    let result: QueueBatchResult;
    try {
      result = await dispatch.queue(consumer.script, {
        queue: queue.name,
        messages: batch.map(({ id, attempts, contentType, body }) => ({ id, timestamp: timeOfId(id), attempts, contentType, body })),
        metrics: { backlogCount: count, backlogBytes: bytes, oldestMessageTimestamp: oldest },
      });
    } catch (error) {
      const pause = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** feed.failures++);
      feed.notBefore = clock.now() + pause;
      log.warn("queues.not_delivered", { queue: queue.name, worker: consumer.script, retryInMs: pause, error });
      // Settings may have changed since: what holds now decides.
      await messages.release(queues.find(queue.id) ?? queue, batch, 0);
      return;
    }
    feed.failures = 0;
    feed.notBefore = 0;
    const settlement = settlementOf(batch, result);
    await settle(queue, consumer, settlement, leasedUntil);
    feed.concurrency.ended(result.outcome !== "ok", await waiting(queue, consumer, feed.concurrency.current(concurrencyMax)));
    log.debug("queues.batch", {
      queue: queue.name,
      outcome: result.outcome,
      acked: settlement.acks.length,
      retried: settlement.retries.length,
    });
  }

  /**
   * Repeats the settlement until it is written, for a disk that is full, say: what the handler acknowledged must not come
   * again, and what it gave back is due after its delay and not when the lease ends. Meanwhile the batch counts as one that
   * runs, so that no more is handed out than can be settled.
   */
  async function settle(queue: Queue, consumer: PushConsumer, settlement: Settlement, leasedUntil: number): Promise<void> {
    for (let pause = BACKOFF_MIN_MS; ; pause = Math.min(2 * pause, BACKOFF_MAX_MS)) {
      try {
        await messages.settle(queues.find(queue.id) ?? queue, settlement, await deadLetters(consumer));
        return;
      } catch (error) {
        if (clock.now() + pause >= leasedUntil) throw error;
        log.error("queues.settle_failed", { queue: queue.name, retryInMs: pause, error });
        await sleep(pause, undefined, { signal: stopping.signal });
      }
    }
  }

  /** What waits beside so many invocations. */
  async function waiting(queue: Queue, { settings }: PushConsumer, invocations: number): Promise<"none" | "some" | "more"> {
    if (!(await messages.atLeast(queue, settings.batch_size))) return "none";
    return (await messages.atLeast(queue, settings.batch_size * (invocations + 1))) ? "more" : "some";
  }

  const deadLetters = async ({ deadLetterQueue }: Consumer): Promise<Queue | undefined> =>
    deadLetterQueue === null ? undefined : queues.ensure(deadLetterQueue);

  return {
    look,
    running: (queueId) => feeds.get(queueId)?.running ?? 0,
    async stop() {
      stopping.abort();
      for (const { timer } of feeds.values()) clearTimeout(timer);
      const grace = AbortSignal.timeout(STOP_GRACE_MS);
      const over = new Promise<void>((resolve) => grace.addEventListener("abort", () => resolve(), { once: true }));
      await Promise.race([Promise.allSettled(inFlight), over]);
    },
  };
}

/** What becomes of each message of the batch: a call on the message itself goes before one on the batch, and both before the outcome. */
export function settlementOf(batch: readonly LeasedMessage[], result: QueueBatchResult): Settlement {
  const acked = new Set(result.explicitAcks);
  const retried = new Map(result.retryMessages.map(({ msgId, delaySeconds }) => [msgId, delaySeconds]));
  const retryRest = !result.ackAll && (result.retryBatch.retry || result.outcome !== "ok");
  const acks: string[] = [];
  const retries: { id: string; lease: string; delaySeconds?: number | undefined }[] = [];
  for (const { id, lease } of batch) {
    if (acked.has(id)) acks.push(id);
    else if (retried.has(id)) retries.push({ id, lease, delaySeconds: retried.get(id) });
    else if (retryRest) retries.push({ id, lease, delaySeconds: result.retryBatch.delaySeconds });
    else acks.push(id);
  }
  return { acks, retries };
}
