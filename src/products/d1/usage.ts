/**
 * Counts queries, rows and durations of each database by the hour, for `wrangler d1 info` and `insights` and the GraphQL
 * Analytics API (docs/d1/observability/metrics-analytics). Texts of queries are kept, their parameters are not.
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
import { bucketOf, microseconds } from "../../kernel/analytics/histogram.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset, Fact } from "../../kernel/product.ts";
import type { Usage } from "./protocol.worker.ts";

export interface UsageCounter {
  count(database: string, usage: Usage, batch: { readonly durationMs: number; readonly bytes: number }): void;
  /** `sizeOf` asks for the bytes of a database. */
  datasets(sizeOf: (database: string) => Promise<number>): Readonly<Record<string, Dataset>>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const HOUR = { column: "hour", ms: HOUR_MS };
const PERMISSION = ["Account Analytics Read", "D1 Read"];
/** Different texts of one database that an hour's figures tell apart: SQL with values in it would have no end of them. */
const TEXTS_MAX = 1000;
/** The same for all databases together: their texts are held in memory for the hour. */
const TEXTS_ALL_MAX = 20_000;
/** Databases that are asked for their size. */
const SIZES_MAX = 100;

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  const totals = openCounter(meta, clock, log, {
    name: "d1_usage",
    period: HOUR,
    keys: ["database"],
    sums: ["read_queries", "write_queries", "rows_read", "rows_written"],
  });
  const batches = openCounter(meta, clock, log, {
    name: "d1_batches",
    period: HOUR,
    keys: ["database", "bucket"],
    sums: ["batches", "duration_us", "bytes"],
  });
  const queries = openCounter(meta, clock, log, {
    name: "d1_queries",
    period: HOUR,
    keys: ["database", "query"],
    sums: ["runs", "duration_us", "rows_read", "rows_written", "rows_returned"],
  });
  let texts = { hour: 0, count: 0, seen: new Map<string, Set<string>>() };

  function isKept(database: string, sql: string): boolean {
    const hour = Math.floor(clock.now() / HOUR_MS);
    if (texts.hour !== hour) texts = { hour, count: 0, seen: new Map() };
    const seen = texts.seen.get(database) ?? new Set();
    if (seen.has(sql)) return true;
    if (seen.size >= TEXTS_MAX || texts.count >= TEXTS_ALL_MAX) return false;
    texts.seen.set(database, seen.add(sql));
    texts.count++;
    return true;
  }

  const analytics: Dataset = {
    description: "Queries of D1 databases, the rows that they read and wrote, and how long their batches took",
    permission: PERMISSION,
    dimensions: { databaseId: "string" },
    sum: ["readQueries", "writeQueries", "rowsRead", "rowsWritten", "queryBatchResponseBytes"],
    avg: ["queryBatchTimeMs", "queryBatchResponseBytes"],
    quantiles: ["queryBatchTimeMs", "queryBatchResponseBytes"],
    async facts(window) {
      const counted = (await totals.read(window)).map(
        (row): Fact => ({
          time: row.time,
          dimensions: { databaseId: row.database },
          count: 0,
          sum: { readQueries: row.read_queries, writeQueries: row.write_queries, rowsRead: row.rows_read, rowsWritten: row.rows_written },
        }),
      );
      const timed = (await batches.read(window)).map(
        (row): Fact => ({
          time: row.time,
          dimensions: { databaseId: row.database },
          count: row.batches,
          sum: { queryBatchTimeMs: row.duration_us / 1000, queryBatchResponseBytes: row.bytes },
        }),
      );
      return [...counted, ...timed];
    },
  };

  const texted: Dataset = {
    description: "Queries of D1 databases by their text",
    permission: PERMISSION,
    dimensions: { query: "string", databaseId: "string" },
    sum: ["queryDurationMs", "rowsRead", "rowsWritten", "rowsReturned"],
    avg: ["queryDurationMs", "rowsRead", "rowsWritten", "rowsReturned"],
    async facts(window) {
      const rows = await queries.read(window);
      return rows.map((row) => ({
        time: row.time,
        dimensions: { query: row.query, databaseId: row.database },
        count: row.runs,
        sum: {
          queryDurationMs: row.duration_us / 1000,
          rowsRead: row.rows_read,
          rowsWritten: row.rows_written,
          rowsReturned: row.rows_returned,
        },
      }));
    },
  };

  const storage = (sizeOf: (database: string) => Promise<number>): Dataset => ({
    description: "What D1 databases hold that were used in the time asked for",
    permission: PERMISSION,
    dimensions: { databaseId: "string" },
    max: ["databaseSizeBytes"],
    async facts(window) {
      // What is stored is known for now alone; there is no history to answer earlier windows from.
      const now = clock.now();
      if (window.to < now - HOUR_MS) return [];
      const used = [...new Set((await totals.read(window)).map((row) => String(row.database)))].slice(0, SIZES_MAX);
      const sizes = await Promise.all(used.map((database) => sizeOf(database)));
      return used.map((databaseId, i) => ({
        time: Math.min(now, window.to - 1),
        dimensions: { databaseId },
        max: { databaseSizeBytes: sizes[i] as number },
      }));
    },
  });

  return {
    count(database, { readQueries, writeQueries, rowsRead, rowsWritten, statements }, { durationMs, bytes }) {
      totals.add({ database }, { read_queries: readQueries, write_queries: writeQueries, rows_read: rowsRead, rows_written: rowsWritten });
      batches.add({ database, bucket: bucketOf(durationMs) }, { batches: 1, duration_us: microseconds(durationMs), bytes });
      for (const { sql, ...ran } of statements) {
        if (!isKept(database, sql)) continue;
        queries.add(
          { database, query: sql },
          {
            runs: 1,
            duration_us: microseconds(ran.durationMs),
            rows_read: ran.rowsRead,
            rows_written: ran.rowsWritten,
            rows_returned: ran.rowsReturned,
          },
        );
      }
    },
    datasets: (sizeOf) => ({
      d1AnalyticsAdaptiveGroups: analytics,
      d1QueriesAdaptiveGroups: texted,
      d1StorageAdaptiveGroups: storage(sizeOf),
    }),
    async stop() {
      await Promise.all([totals.stop(), batches.stop(), queries.stop()]);
    },
  };
}
