/**
 * Counts operations by hour, bucket, action and status, and sums up what buckets hold, for the GraphQL Analytics API
 * and `wrangler r2 bucket info` (docs/r2/platform/metrics-analytics).
 */
import { openCounter } from "../../kernel/analytics/counter.ts";
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
  /** Writes what is counted. */
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const FACTS_MAX = 100_000;
const PERMISSION = ["Account Analytics Read", groups.storageRead];

/** How the datasets name a bucket: jurisdictions stand before the name. */
export const usageName = (bucket: { jurisdiction: string; name: string }): string =>
  bucket.jurisdiction === "default" ? bucket.name : `${bucket.jurisdiction}_${bucket.name}`;

export function openUsage(meta: MetaStore, clock: Clock, log: Log): UsageCounter {
  const counter = openCounter(meta, clock, log, {
    name: "r2_usage",
    period: { column: "hour", ms: HOUR_MS },
    keys: ["bucket", "action", "status"],
    sums: ["requests", "bytes"],
  });

  const operations: Dataset = {
    description: "Operations on R2 buckets",
    permission: PERMISSION,
    dimensions: { bucketName: "string", actionType: "string", actionStatus: "string", responseStatusCode: "uint64" },
    sum: ["requests", "responseObjectSize"],
    async facts(window) {
      const rows = await counter.read(window);
      return rows.map(({ time, bucket, action, status, requests, bytes }): Fact => {
        const code = Number(status);
        return {
          time,
          dimensions: {
            bucketName: bucket,
            actionType: action,
            actionStatus: code < 400 ? "success" : code < 500 ? "userError" : "internalError",
            responseStatusCode: code,
          },
          count: requests,
          sum: { requests, responseObjectSize: bytes },
        };
      });
    },
  };

  const storage: Dataset = {
    description: "What R2 buckets hold",
    permission: PERMISSION,
    dimensions: { bucketName: "string" },
    max: ["objectCount", "uploadCount", "payloadSize", "metadataSize"],
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
          time: Math.min(now, to - 1),
          dimensions: { bucketName: usageName(row) },
          max: { objectCount: row.objects, uploadCount: row.uploads, payloadSize: row.payload ?? 0, metadataSize: row.metadata ?? 0 },
        }),
      );
    },
  };

  return {
    count: ({ bucket, action, status, bytes }) => counter.add({ bucket, action, status }, { requests: 1, bytes }),
    datasets: { r2OperationsAdaptiveGroups: operations, r2StorageAdaptiveGroups: storage },
    stop: () => counter.stop(),
  };
}
