/**
 * Counts operations of each namespace by the hour and by how long they took, and sums up what namespaces hold, for the
 * GraphQL Analytics API (docs/kv/observability/metrics-analytics). Counted where pairs are read and written, so that every
 * door is: a bulk operation is one for each of its keys.
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import { bucketOf, microseconds } from "../../kernel/analytics/histogram.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset, Fact } from "../../kernel/product.ts";
import type { Entries } from "./entries.ts";

type Action = "read" | "write" | "delete" | "list";

export interface UsageCounter {
  /** The same entries, with every operation counted. */
  counted(entries: Entries): Entries;
  readonly datasets: Readonly<Record<string, Dataset>>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const NAMESPACES_MAX = 10_000;
/** Pairs that one statement sums up. Values lie beside their sizes, so that a long statement would hold up everything else. */
const STEP_ROWS = 500;
const PERMISSION = ["Account Analytics Read", "Workers KV Storage Read"];

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  const counter = openCounter(meta, clock, log, {
    name: "kv_usage",
    period: { column: "hour", ms: HOUR_MS },
    keys: ["namespace", "action", "bucket"],
    sums: ["requests", "latency_us", "bytes"],
  });

  async function timed<T>(namespace: string, action: Action, work: Promise<T>, bytesOf: (result: T) => number): Promise<T> {
    const start = performance.now();
    const result = await work;
    const took = performance.now() - start;
    counter.add({ namespace, action, bucket: bucketOf(took) }, { requests: 1, latency_us: microseconds(took), bytes: bytesOf(result) });
    return result;
  }

  const operations: Dataset = {
    description: "Operations on KV namespaces, and how long they took",
    permission: PERMISSION,
    dimensions: { namespaceId: "string", actionType: "string" },
    sum: ["requests", "objectBytes"],
    avg: ["latencyMs"],
    quantiles: ["latencyMs"],
    async facts(window) {
      const rows = await counter.read(window);
      return rows.map(
        (row): Fact => ({
          time: row.time,
          dimensions: { namespaceId: row.namespace, actionType: row.action },
          count: row.requests,
          sum: { requests: row.requests, objectBytes: row.bytes, latencyMs: row.latency_us / 1000 },
        }),
      );
    },
  };

  const storage: Dataset = {
    description: "What KV namespaces hold",
    permission: PERMISSION,
    dimensions: { namespaceId: "string" },
    max: ["keyCount", "byteCount"],
    async facts({ to }) {
      // What is stored is known for now alone; there is no history to answer earlier windows from.
      const now = clock.now();
      if (to < now - HOUR_MS) return [];
      const rows = await meta.all<{ id: string }>("SELECT id FROM kv_namespaces LIMIT ?", NAMESPACES_MAX);
      const facts: Fact[] = [];
      for (const { id } of rows)
        facts.push({ time: Math.min(now, to - 1), dimensions: { namespaceId: id }, max: await storedIn(meta, id, Math.floor(now / 1000)) });
      return facts;
    },
  };

  return {
    counted: (entries) => ({
      ...entries,
      read: (namespace, key) => timed(namespace, "read", entries.read(namespace, key), (entry) => entry?.size ?? 0),
      readWhole: (namespace, key) => timed(namespace, "read", entries.readWhole(namespace, key), (entry) => entry?.size ?? 0),
      write: (namespace, key, held, attributes) =>
        timed(namespace, "write", entries.write(namespace, key, held, attributes), () => held.size),
      remove: (namespace, key) => timed(namespace, "delete", entries.remove(namespace, key), () => 0),
      list: (namespace, prefix, after, limit) => timed(namespace, "list", entries.list(namespace, prefix, after, limit), () => 0),
    }),
    datasets: { kvOperationsAdaptiveGroups: operations, kvStorageAdaptiveGroups: storage },
    stop: () => counter.stop(),
  };
}

/** Unexpired pairs of a namespace and the bytes of their keys, values and metadata. */
async function storedIn(meta: MetaStore, namespace: string, nowSeconds: number): Promise<{ keyCount: number; byteCount: number }> {
  let keyCount = 0;
  let byteCount = 0;
  for (let after: Uint8Array | null = new Uint8Array(); after !== null; ) {
    const step: { seen: number; last: Uint8Array | null; keys: number; bytes: number } | undefined = await meta.get(
      `SELECT COUNT(*) AS seen, MAX(key) AS last, COALESCE(SUM(live), 0) AS keys, COALESCE(SUM(live * bytes), 0) AS bytes FROM (
         SELECT key, expiration IS NULL OR expiration > ? AS live, size + length(key) + COALESCE(length(metadata), 0) AS bytes
         FROM kv_entries WHERE namespace = ? AND key > ? ORDER BY key LIMIT ?)`,
      nowSeconds,
      namespace,
      after,
      STEP_ROWS,
    );
    keyCount += step?.keys ?? 0;
    byteCount += step?.bytes ?? 0;
    after = step?.seen === STEP_ROWS ? step.last : null;
    // Reads answer without leaving the event loop: others get their turn here.
    await new Promise(setImmediate);
  }
  return { keyCount, byteCount };
}
