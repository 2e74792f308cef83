/**
 * Figures of queues for the GraphQL Analytics API (docs/queues/observability/metrics): operations as they happen, backlog
 * and concurrency by looking at them every ten seconds. Counted in memory and written once a second; no message waits.
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { Backlog, Consumer } from "./model.ts";

export type ActionType = "WriteMessage" | "ReadMessage" | "DeleteMessage";
export type Outcome = "success" | "dlq" | "fail";

export interface Operation {
  readonly action: ActionType;
  /** Of reads and deletes. */
  readonly consumer?: Consumer["type"] | undefined;
  /** Of deletes. */
  readonly outcome?: Outcome;
  /** Of each message: bytes, how long it lay in the queue, and earlier attempts. */
  readonly messages: readonly { readonly size: number; readonly lagMs?: number; readonly retries?: number }[];
}

export interface Metrics {
  count(queueId: string, operation: Operation): void;
  /** A pull that found nothing is a read all the same (docs/queues/platform/pricing). */
  countEmptyRead(queueId: string): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

/** What is looked at from time to time. */
export interface Observed {
  queueIds(): readonly string[];
  backlog(queueId: string): Promise<Backlog>;
  running(queueId: string): number;
}

/** One operation is billed for each 64 KB of a message, and for an empty one. */
const CHUNK_BYTES = 64_000;
const SAMPLE_MS = 10_000;
const MINUTE = { column: "minute", ms: 60_000 };
const PERMISSION = ["Account Analytics Read", "Queues Read"];

const chunksOf = (bytes: number): number => Math.max(1, Math.ceil(bytes / CHUNK_BYTES));

export function openMetrics(meta: MetaStore, clock: Clock, log: Log, observed: Observed): Metrics {
  const operations = openCounter(meta, clock, log, {
    name: "queues_operations",
    period: MINUTE,
    keys: ["queue_id", "action", "consumer", "outcome"],
    sums: ["messages", "billable", "bytes", "lag_ms", "retries"],
  });
  const samples = openCounter(meta, clock, log, {
    name: "queues_samples",
    period: MINUTE,
    keys: ["queue_id"],
    sums: ["samples", "messages", "bytes", "running"],
  });
  /** Queues that were not at rest when last looked at: their rest is a figure, too. */
  let busy = new Set<string>();

  async function sample(): Promise<void> {
    const now = new Set<string>();
    for (const queueId of observed.queueIds()) {
      const { count, bytes } = await observed.backlog(queueId);
      const running = observed.running(queueId);
      if (count > 0 || running > 0) now.add(queueId);
      else if (!busy.has(queueId)) continue;
      samples.add({ queue_id: queueId }, { samples: 1, messages: count, bytes, running });
    }
    busy = now;
  }
  const timer = setInterval(() => {
    sample().catch((error: unknown) => log.warn("queues.sample_failed", { error }));
  }, SAMPLE_MS).unref();

  const add = (queueId: string, { action, consumer, outcome }: Omit<Operation, "messages">, sums: Parameters<typeof operations.add>[1]) => {
    const by = consumer === undefined ? "" : consumer === "worker" ? "worker" : "http";
    operations.add({ queue_id: queueId, action, consumer: by, outcome: outcome ?? "" }, sums);
  };
  const named = (queueId: string) => ({ queueId, queueID: queueId });

  const backlog: Dataset = {
    description: "Backlog of queues: messages and bytes on average",
    permission: PERMISSION,
    dimensions: { queueId: "string", queueID: "string" },
    avg: ["messages", "bytes"],
    async facts(window) {
      const rows = await samples.read(window);
      const facts = rows.map((row) => ({
        time: row.time,
        dimensions: named(row.queue_id as string),
        count: row.samples,
        sum: { messages: row.messages, bytes: row.bytes },
      }));
      const now = clock.now();
      if (window.to < now - MINUTE.ms) return facts;
      // What has not been looked at yet is looked at now.
      const seen = new Set(rows.map((row) => row.queue_id as string));
      for (const queueId of observed.queueIds()) {
        if (seen.has(queueId)) continue;
        const { count, bytes } = await observed.backlog(queueId);
        if (count > 0)
          facts.push({ time: Math.min(now, window.to - 1), dimensions: named(queueId), count: 1, sum: { messages: count, bytes } });
      }
      return facts;
    },
  };

  return {
    count(queueId, { messages, ...kind }) {
      if (messages.length === 0) return;
      const total = { messages: messages.length, billable: 0, bytes: 0, lag_ms: 0, retries: 0 };
      for (const { size, lagMs = 0, retries = 0 } of messages) {
        total.billable += chunksOf(size);
        total.bytes += size;
        total.lag_ms += lagMs;
        total.retries += retries;
      }
      add(queueId, kind, total);
    },
    countEmptyRead: (queueId) =>
      add(queueId, { action: "ReadMessage", consumer: "http_pull" }, { messages: 0, billable: 1, bytes: 0, lag_ms: 0, retries: 0 }),
    datasets: {
      queuesBacklogAdaptiveGroups: backlog,
      // One of the page's examples spells it so.
      queueBacklogAdaptiveGroups: backlog,
      queueConsumerMetricsAdaptiveGroups: {
        description: "Concurrent invocations of queues' consumers on average",
        permission: PERMISSION,
        dimensions: { queueId: "string", queueID: "string" },
        avg: ["concurrency"],
        async facts(window) {
          const rows = await samples.read(window);
          return rows.map((row) => ({
            time: row.time,
            dimensions: named(row.queue_id as string),
            count: row.samples,
            sum: { concurrency: row.running },
          }));
        },
      },
      queueMessageOperationsAdaptiveGroups: {
        description: "Messages that were written to, read from and deleted from queues",
        permission: PERMISSION,
        dimensions: { queueId: "string", queueID: "string", actionType: "string", consumerType: "string", outcome: "string" },
        sum: ["billableOperations", "bytes"],
        avg: ["lagTime", "retryCount"],
        async facts(window) {
          const rows = await operations.read(window);
          return rows.map((row) => ({
            time: row.time,
            dimensions: {
              ...named(row.queue_id as string),
              actionType: row.action,
              consumerType: row.consumer,
              outcome: row.outcome,
            },
            count: row.messages,
            sum: { billableOperations: row.billable, bytes: row.bytes, lagTime: row.lag_ms, retryCount: row.retries },
          }));
        },
      },
    },
    async stop() {
      clearInterval(timer);
      await operations.stop();
      await samples.stop();
    },
  };
}
