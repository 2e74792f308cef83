/**
 * Counts queries and rows of each database by the hour, for `wrangler d1 info` and the GraphQL Analytics API
 * (docs/d1/observability/metrics-analytics). Counted in memory and written once a second: a killed process loses at most
 * the last second's counts, and no query waits for its own counting.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { Usage } from "./protocol.worker.ts";

export interface UsageCounter {
  count(database: string, usage: Usage): void;
  readonly dataset: Dataset;
  /** Forgets what is older than the datasets reach; called by the housekeeping. */
  expire(): Promise<void>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

interface Row extends Usage {
  readonly database: string;
  /** Milliseconds since the epoch: the hour's start. */
  readonly hour: number;
}

const HOUR_MS = 3_600_000;
const FLUSH_MS = 1_000;
const KEEP_MS = 31 * 24 * HOUR_MS;
const FACTS_MAX = 100_000;

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  let pending = new Map<string, { -readonly [K in keyof Row]: Row[K] }>();
  let timer: NodeJS.Timeout | undefined;
  let flushing = Promise.resolve();

  async function write(rows: readonly Row[]): Promise<void> {
    const writes = rows.map(({ database, hour, readQueries, writeQueries, rowsRead, rowsWritten }) =>
      meta.run(
        `INSERT INTO d1_usage (database, hour, read_queries, write_queries, rows_read, rows_written) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (database, hour) DO UPDATE SET read_queries = d1_usage.read_queries + excluded.read_queries,
           write_queries = d1_usage.write_queries + excluded.write_queries, rows_read = d1_usage.rows_read + excluded.rows_read,
           rows_written = d1_usage.rows_written + excluded.rows_written`,
        database,
        hour,
        readQueries,
        writeQueries,
        rowsRead,
        rowsWritten,
      ),
    );
    await Promise.all(writes);
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const rows = [...pending.values()];
    pending = new Map();
    // One after the other: a reader that waits for the last sees all.
    flushing = flushing.then(() => write(rows)).catch((error: unknown) => log.error("d1.usage_lost", { error, databases: rows.length }));
    return flushing;
  }

  return {
    count(database, usage) {
      const hour = Math.floor(clock.now() / HOUR_MS) * HOUR_MS;
      const name = `${database}/${hour}`;
      let row = pending.get(name);
      if (row === undefined) {
        row = { database, hour, readQueries: 0, writeQueries: 0, rowsRead: 0, rowsWritten: 0 };
        pending.set(name, row);
      }
      row.readQueries += usage.readQueries;
      row.writeQueries += usage.writeQueries;
      row.rowsRead += usage.rowsRead;
      row.rowsWritten += usage.rowsWritten;
      timer ??= setTimeout(() => void flush(), FLUSH_MS).unref();
    },
    dataset: {
      permission: ["Account Analytics Read", "D1 Read"],
      async facts({ from, to }) {
        await flush();
        const rows = await meta.all<Row>(
          `SELECT database, hour, read_queries AS "readQueries", write_queries AS "writeQueries", rows_read AS "rowsRead",
             rows_written AS "rowsWritten" FROM d1_usage WHERE hour >= ? AND hour <= ? ORDER BY hour LIMIT ?`,
          from,
          to,
          FACTS_MAX,
        );
        return rows.map(({ hour, database, ...sum }) => ({ time: hour, dimensions: { databaseId: database }, sum }));
      },
    },
    async expire() {
      await meta.run("DELETE FROM d1_usage WHERE hour < ?", clock.now() - KEEP_MS);
    },
    stop: flush,
  };
}
