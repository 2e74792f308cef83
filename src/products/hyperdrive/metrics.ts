/** Counts queries by minute for the dataset of the docs' metrics page. A killed process loses the last second's counts. */
import { openCounter } from "../../kernel/analytics/counter.ts";
import { microseconds } from "../../kernel/analytics/histogram.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { QueryEvent } from "./backend.ts";

export interface Metrics {
  count(configId: string, event: QueryEvent): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

export function openMetrics(meta: MetaStore, clock: Clock, log: Log): Metrics {
  const counter = openCounter(meta, clock, log, {
    name: "hyperdrive_queries",
    period: { column: "minute", ms: 60_000 },
    keys: ["config_id", "cache_status", "event_status"],
    sums: ["queries", "query_bytes", "result_bytes", "query_us", "connection_us"],
  });
  return {
    count(configId, event) {
      counter.add(
        { config_id: configId, cache_status: event.cacheStatus, event_status: event.failed ? "error" : "complete" },
        {
          queries: 1,
          query_bytes: event.queryBytes,
          result_bytes: event.resultBytes,
          query_us: microseconds(event.queryMs),
          connection_us: microseconds(event.connectionMs),
        },
      );
    },
    datasets: {
      hyperdriveQueriesAdaptiveGroups: {
        description: "Queries that Workers sent through Hyperdrive",
        permission: ["Account Analytics Read", "Hyperdrive Read"],
        dimensions: { configId: "string", cacheStatus: "string", eventStatus: "string" },
        sum: ["queryBytes", "resultBytes"],
        avg: ["queryLatency", "connectionLatency"],
        async facts(window) {
          return (await counter.read(window)).map((row) => ({
            time: row.time,
            dimensions: { configId: row.config_id, cacheStatus: row.cache_status, eventStatus: row.event_status },
            count: row.queries,
            sum: {
              queryBytes: row.query_bytes,
              resultBytes: row.result_bytes,
              queryLatency: row.query_us / 1000,
              connectionLatency: row.connection_us / 1000,
            },
          }));
        },
      },
    },
    stop: () => counter.stop(),
  };
}
