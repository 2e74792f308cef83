/**
 * Counts queries and rows of each database by the hour, for `d1 info` and the GraphQL API. Counted in memory and written
 * once a second: a killed process loses at most the last second's counts, and no query waits for its own counting.
 */
import { DurableObject } from "cloudflare:workers";
import type { Usage } from "./protocol.worker.ts";

export interface HourlyUsage extends Usage {
  readonly database: string;
  /** Milliseconds since the epoch; the hour's start. */
  readonly hour: number;
}

const HOUR_MS = 3_600_000;
const FLUSH_MS = 1_000;
/** The real service keeps 31 days (docs/d1/observability/metrics-analytics). */
const KEEP_MS = 31 * 24 * HOUR_MS;
const READ_MAX_ROWS = 10_000;

export class D1Metrics extends DurableObject {
  readonly #sql = this.ctx.storage.sql;

  constructor(ctx: DurableObjectState, env: never) {
    super(ctx, env);
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS usage (
      hour INTEGER NOT NULL, database TEXT NOT NULL, read_queries INTEGER NOT NULL, write_queries INTEGER NOT NULL,
      rows_read INTEGER NOT NULL, rows_written INTEGER NOT NULL, PRIMARY KEY (hour, database)) WITHOUT ROWID`);
  }

  add(rows: readonly HourlyUsage[]): void {
    for (const { hour, database, readQueries, writeQueries, rowsRead, rowsWritten } of rows) {
      this.#sql.exec(
        `INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET read_queries = read_queries + excluded.read_queries,
         write_queries = write_queries + excluded.write_queries, rows_read = rows_read + excluded.rows_read,
         rows_written = rows_written + excluded.rows_written`,
        hour,
        database,
        readQueries,
        writeQueries,
        rowsRead,
        rowsWritten,
      );
    }
    this.#sql.exec("DELETE FROM usage WHERE hour < ?", Date.now() - KEEP_MS);
  }

  /** Hours that start in [from, to], of one database or of all. */
  read(from: number, to: number, database: string | null): HourlyUsage[] {
    return this.#sql
      .exec(
        `SELECT hour, database, read_queries AS readQueries, write_queries AS writeQueries, rows_read AS rowsRead,
         rows_written AS rowsWritten FROM usage WHERE hour BETWEEN ? AND ? AND (? IS NULL OR database = ?) ORDER BY hour LIMIT ?`,
        from,
        to,
        database,
        database,
        READ_MAX_ROWS,
      )
      .toArray() as unknown as HourlyUsage[];
  }
}

type Counts = { -readonly [K in keyof HourlyUsage]: HourlyUsage[K] };
let pending = new Map<string, Counts>();
let flushing = false;

/** Counts one call. `keepAlive` holds the request's context until the counts are written. */
export function count(
  database: string,
  usage: Usage,
  metrics: () => { add(rows: readonly HourlyUsage[]): Promise<void> },
  keepAlive: (work: Promise<void>) => void,
): void {
  const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const name = `${database}/${hour}`;
  const counts = pending.get(name) ?? { database, hour, readQueries: 0, writeQueries: 0, rowsRead: 0, rowsWritten: 0 };
  counts.readQueries += usage.readQueries;
  counts.writeQueries += usage.writeQueries;
  counts.rowsRead += usage.rowsRead;
  counts.rowsWritten += usage.rowsWritten;
  pending.set(name, counts);
  if (flushing) return;
  flushing = true;
  keepAlive(flush(metrics));
}

async function flush(metrics: () => { add(rows: readonly HourlyUsage[]): Promise<void> }): Promise<void> {
  try {
    await scheduler.wait(FLUSH_MS);
  } finally {
    flushing = false;
  }
  const rows = [...pending.values()];
  pending = new Map();
  await metrics().add(rows);
}

/** Writes what is counted so far, so that a reader sees its own queries. */
export async function settle(metrics: { add(rows: readonly HourlyUsage[]): Promise<void> }): Promise<void> {
  const rows = [...pending.values()];
  pending = new Map();
  if (rows.length > 0) await metrics.add(rows);
}
