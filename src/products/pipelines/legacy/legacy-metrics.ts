/**
 * What legacy pipelines took and delivered, by minute: the datasets of the older documentation (Metrics and analytics).
 * Deliveries are counted in the transaction that moves a shard's position; requests are counted in memory beside it, so that
 * none waits for its counting.
 */
import { openCounter } from "../../../kernel/analytics/counter.ts";
import { addTo, countedIn, forget, KEEP_MS, periodOf } from "../../../kernel/analytics/counter-table.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { Log } from "../../../kernel/log.ts";
import type { MetaStore, MetaTransaction } from "../../../kernel/meta/meta.ts";
import type { Dataset } from "../../../kernel/product.ts";

export interface LegacyMetrics {
  /** Counts a request that was taken. */
  ingested(pipeline: string, records: number, bytes: number): void;
  /** Counts a file, inside the caller's transaction. */
  delivered(tx: MetaTransaction, pipeline: string, bytes: number): Promise<void>;
  readonly datasets: Readonly<Record<string, Dataset>>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

const FORGET_EVERY_MS = 3_600_000;
const PERMISSION = ["Account Analytics Read", "Workers Pipelines Read"];

const minutes = { column: "minute", ms: 60_000 };
const ingestion = {
  name: "pipelines_legacy_ingestion",
  period: minutes,
  keys: ["pipeline"],
  sums: ["requests", "records", "bytes"],
} as const;
const delivery = { name: "pipelines_legacy_delivery", period: minutes, keys: ["pipeline"], sums: ["files", "bytes"] } as const;

export function openLegacyMetrics(meta: MetaStore, clock: Clock, log: Log): LegacyMetrics {
  const counter = openCounter(meta, clock, log, ingestion);
  let forgotten = Number.NEGATIVE_INFINITY;
  return {
    ingested: (pipeline, records, bytes) => counter.add({ pipeline }, { requests: 1, records, bytes }),
    async delivered(tx, pipeline, bytes) {
      const now = clock.now();
      await addTo(tx, delivery, periodOf(delivery, now), { pipeline }, { files: 1, bytes });
      if (now - forgotten < FORGET_EVERY_MS) return;
      await forget(tx, delivery, now - KEEP_MS);
      forgotten = now;
    },
    datasets: {
      pipelinesIngestionAdaptiveGroups: {
        description: "What legacy pipelines took",
        permission: PERMISSION,
        dimensions: { pipelineId: "string" },
        sum: ["ingestedBytes", "ingestedRecords"],
        facts: async (window) =>
          (await counter.read(window)).map(({ time, pipeline, requests, records, bytes }) => ({
            time,
            dimensions: { pipelineId: pipeline },
            count: requests,
            sum: { ingestedBytes: bytes, ingestedRecords: records },
          })),
      },
      pipelinesDeliveryAdaptiveGroups: {
        description: "Files that legacy pipelines delivered",
        permission: PERMISSION,
        dimensions: { pipelineId: "string" },
        sum: ["deliveredBytes"],
        facts: async (window) =>
          (await countedIn(meta, delivery, window)).map(({ time, pipeline, files, bytes }) => ({
            time,
            dimensions: { pipelineId: pipeline },
            count: files,
            sum: { deliveredBytes: bytes },
          })),
      },
    },
    stop: () => counter.stop(),
  };
}
