/**
 * Counts operations by hour, bucket, action and status, and sums up what buckets hold, for the GraphQL Analytics API
 * and `wrangler r2 bucket info` (docs/r2/platform/metrics-analytics). Operations are counted in memory and written once a
 * second: a killed process loses at most the last second's counts, and no request waits for its own counting.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset, Fact } from "../../kernel/product.ts";
import { groups } from "./permissions.ts";

export interface Operation {
  /** Jurisdiction and name; operations on no bucket have an empty one. */
  readonly bucket: string;
  /** S3's name: "GetObject". */
  readonly action: string;
  /** Status of the answer. */
  readonly status: number;
  /** Bytes of an object that were sent. */
  readonly bytes: number;
}

export interface UsageCounter {
  count(operation: Operation): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  /** Forgets what is older than the datasets reach. */
  expire(): Promise<void>;
  /** Writes what is counted. */
  stop(): Promise<void>;
}

interface Counted {
  hour: number;
  bucket: string;
  action: string;
  status: number;
  requests: number;
  bytes: number;
}

const HOUR_MS = 3_600_000;
const FLUSH_MS = 1_000;
const KEEP_MS = 31 * 24 * HOUR_MS;
const FACTS_MAX = 100_000;
const PERMISSION = ["Account Analytics Read", groups.storageRead];

/** How the datasets name a bucket: jurisdictions stand before the name. */
export const usageName = (bucket: { jurisdiction: string; name: string }): string =>
  bucket.jurisdiction === "default" ? bucket.name : `${bucket.jurisdiction}_${bucket.name}`;

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  let pending = new Map<string, Counted>();
  let timer: NodeJS.Timeout | undefined;
  let flushing = Promise.resolve();

  async function write(rows: readonly Counted[]): Promise<void> {
    const writes = rows.map(({ hour, bucket, action, status, requests, bytes }) =>
      meta.run(
        `INSERT INTO r2_usage (hour, bucket, action, status, requests, bytes) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (hour, bucket, action, status) DO UPDATE SET requests = r2_usage.requests + excluded.requests,
           bytes = r2_usage.bytes + excluded.bytes`,
        hour,
        bucket,
        action,
        status,
        requests,
        bytes,
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
    flushing = flushing
      .then(() => write(rows))
      .catch((error: unknown) => log.warn("r2.usage_lost", { error: String(error), rows: rows.length }));
    return flushing;
  }

  const operations: Dataset = {
    permission: PERMISSION,
    async facts({ from, to }) {
      await flush();
      const rows = await meta.all<Counted>(
        "SELECT hour, bucket, action, status, requests, bytes FROM r2_usage WHERE hour >= ? AND hour <= ? ORDER BY hour LIMIT ?",
        Math.floor(from / HOUR_MS) * HOUR_MS,
        to,
        FACTS_MAX,
      );
      return rows.map(
        (row): Fact => ({
          // The current hour began before a window that starts in it.
          time: Math.min(Math.max(row.hour, from), row.hour + HOUR_MS - 1),
          dimensions: {
            bucketName: row.bucket,
            actionType: row.action,
            actionStatus: row.status < 400 ? "success" : row.status < 500 ? "userError" : "internalError",
            responseStatusCode: row.status,
          },
          count: row.requests,
          sum: { requests: row.requests, responseObjectSize: row.bytes },
        }),
      );
    },
  };

  const storage: Dataset = {
    permission: PERMISSION,
    async facts({ to }) {
      // What is stored is known for now alone; there is no history to answer earlier windows from.
      const now = clock.now();
      if (to < now - HOUR_MS) return [];
      const rows = await meta.all<{
        jurisdiction: string;
        name: string;
        objects: number;
        payload: number | null;
        metadata: number | null;
        uploads: number;
      }>(
        `SELECT b.jurisdiction AS jurisdiction, b.name AS name, COUNT(o.version) AS objects, SUM(o.size) AS payload,
           SUM(length(o.http) + length(o.custom) - 4) AS metadata,
           (SELECT COUNT(*) FROM r2_uploads u WHERE u.bucket_id = b.id AND u.state = 'open') AS uploads
         FROM r2_buckets b LEFT JOIN r2_objects o ON o.bucket_id = b.id GROUP BY b.id LIMIT ?`,
        FACTS_MAX,
      );
      return rows.map(
        (row): Fact => ({
          time: Math.min(now, to),
          dimensions: { bucketName: usageName(row) },
          max: { objectCount: row.objects, uploadCount: row.uploads, payloadSize: row.payload ?? 0, metadataSize: row.metadata ?? 0 },
        }),
      );
    },
  };

  return {
    count({ bucket, action, status, bytes }) {
      const hour = Math.floor(clock.now() / HOUR_MS) * HOUR_MS;
      const name = `${hour}/${bucket}/${action}/${status}`;
      let row = pending.get(name);
      if (row === undefined) {
        row = { hour, bucket, action, status, requests: 0, bytes: 0 };
        pending.set(name, row);
      }
      row.requests++;
      row.bytes += bytes;
      timer ??= setTimeout(() => void flush(), FLUSH_MS).unref();
    },
    datasets: { r2OperationsAdaptiveGroups: operations, r2StorageAdaptiveGroups: storage },
    async expire() {
      await meta.run("DELETE FROM r2_usage WHERE hour < ?", clock.now() - KEEP_MS);
    },
    stop: () => flush(),
  };
}
