/**
 * Counts queries and rows of each database by the hour, for `wrangler d1 info` and the GraphQL Analytics API
 * (docs/d1/observability/metrics-analytics).
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { Usage } from "./protocol.worker.ts";

export interface UsageCounter {
  count(database: string, usage: Usage): void;
  readonly dataset: Dataset;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  const counter = openCounter(meta, clock, log, {
    name: "d1_usage",
    period: { column: "hour", ms: 3_600_000 },
    keys: ["database"],
    sums: ["read_queries", "write_queries", "rows_read", "rows_written"],
  });
  return {
    count: (database, { readQueries, writeQueries, rowsRead, rowsWritten }) =>
      counter.add({ database }, { read_queries: readQueries, write_queries: writeQueries, rows_read: rowsRead, rows_written: rowsWritten }),
    dataset: {
      description: "Queries of D1 databases, and the rows that they read and wrote",
      permission: ["Account Analytics Read", "D1 Read"],
      dimensions: { databaseId: "string" },
      sum: ["readQueries", "writeQueries", "rowsRead", "rowsWritten"],
      async facts(window) {
        const rows = await counter.read(window);
        return rows.map(({ time, database, read_queries, write_queries, rows_read, rows_written }) => ({
          time,
          dimensions: { databaseId: database },
          sum: { readQueries: read_queries, writeQueries: write_queries, rowsRead: rows_read, rowsWritten: rows_written },
        }));
      },
    },
    stop: () => counter.stop(),
  };
}
