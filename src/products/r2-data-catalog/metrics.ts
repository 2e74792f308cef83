/**
 * Counts requests of the Iceberg REST API and jobs of table maintenance by minute, for the GraphQL datasets of the docs'
 * page "Metrics and analytics". Requests are counted in memory and written once a second; a job is one row, written when it
 * ends. Durations are part of the key, in whole milliseconds and coarser from 20 ms on, so that quantiles can be told.
 */

import { openCounter } from "../../kernel/analytics/counter.ts";
import { addTo, countedIn, forget, KEEP_MS, periodOf } from "../../kernel/analytics/counter-table.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import { CATALOG_READ } from "./access.ts";

export interface CatalogRequest {
  /** The warehouse's name: "<account>_<bucket>". */
  readonly warehouse: string;
  /** "load-table". */
  readonly operation: string;
  /** What the request was about, where it was about one; empty otherwise. */
  readonly namespace: readonly string[];
  readonly table: string;
  /** Of the answer. */
  readonly status: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
}

export interface MaintenanceJob {
  readonly warehouse: string;
  readonly type: "compaction" | "snapshot-expiration";
  readonly namespace: readonly string[];
  readonly table: string;
  readonly success: boolean;
  readonly filesProcessed: number;
  readonly filesOutput: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly durationMs: number;
}

export interface CatalogMetrics {
  request(request: CatalogRequest): void;
  /** Records a job that has ended; durable when it resolves. */
  job(job: MaintenanceJob): Promise<void>;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

const PERMISSION = ["Account Analytics Read", CATALOG_READ];
const minutes = { column: "minute", ms: 60_000 };
const requests = {
  name: "r2_data_catalog_request_metrics",
  period: minutes,
  keys: ["warehouse", "operation", "namespace", "table_name", "status", "duration_class"],
  sums: ["requests", "body_bytes", "duration_ms"],
} as const;
const jobs = {
  name: "r2_data_catalog_job_metrics",
  period: minutes,
  keys: ["warehouse", "type", "namespace", "table_name", "success", "duration_class"],
  sums: ["jobs", "files_processed", "files_output", "input_bytes", "output_bytes", "duration_ms"],
} as const;

const EXACT_MS_MAX = 20;
/** Durations that differ by less than a twentieth share a class. */
function durationClass(ms: number): number {
  if (ms <= EXACT_MS_MAX) return ms;
  return Math.floor(EXACT_MS_MAX * 1.05 ** Math.floor(Math.log(ms / EXACT_MS_MAX) / Math.log(1.05)));
}

export function openMetrics(meta: MetaStore, clock: Clock, log: Log): CatalogMetrics {
  const counter = openCounter(meta, clock, log, requests);
  return {
    request({ warehouse, operation, namespace, table, status, bodyBytes, durationMs }) {
      const duration = Math.round(durationMs);
      counter.add(
        { warehouse, operation, namespace: namespace.join("."), table_name: table, status, duration_class: durationClass(duration) },
        { requests: 1, body_bytes: bodyBytes, duration_ms: duration },
      );
    },
    async job({ warehouse, type, namespace, table, success, filesProcessed, filesOutput, inputBytes, outputBytes, durationMs }) {
      const duration = Math.round(durationMs);
      const now = clock.now();
      await addTo(
        meta,
        jobs,
        periodOf(jobs, now),
        {
          warehouse,
          type,
          namespace: namespace.join("."),
          table_name: table,
          success: success ? 1 : 0,
          duration_class: durationClass(duration),
        },
        {
          jobs: 1,
          files_processed: filesProcessed,
          files_output: filesOutput,
          input_bytes: inputBytes,
          output_bytes: outputBytes,
          duration_ms: duration,
        },
      );
      await forget(meta, jobs, now - KEEP_MS);
    },
    datasets: {
      r2CatalogDataOperationsAdaptiveGroups: {
        description: "Requests of the Iceberg REST API",
        permission: PERMISSION,
        dimensions: { warehouseName: "string", operation: "string", namespaceName: "string", tableName: "string", httpStatus: "uint64" },
        sum: ["requestBodyBytes", "requestDurationMs"],
        avg: ["requestDurationMs"],
        quantiles: ["requestDurationMs"],
        facts: async (window) =>
          (await counter.read(window)).map((row) => ({
            time: row.time,
            dimensions: {
              warehouseName: row.warehouse,
              operation: row.operation,
              namespaceName: row.namespace,
              tableName: row.table_name,
              httpStatus: row.status,
            },
            count: row.requests,
            sum: { requestBodyBytes: row.body_bytes, requestDurationMs: row.duration_ms },
          })),
      },
      r2CatalogTableMaintenanceAdaptiveGroups: {
        description: "Jobs of table maintenance: compaction and expiration of snapshots",
        permission: PERMISSION,
        dimensions: { warehouseName: "string", jobType: "string", namespaceName: "string", tableName: "string", success: "uint64" },
        sum: ["filesProcessed", "filesOutput", "inputBytes", "outputBytes", "jobDurationMs"],
        avg: ["jobDurationMs"],
        quantiles: ["jobDurationMs"],
        facts: async (window) =>
          (await countedIn(meta, jobs, window)).map((row) => ({
            time: row.time,
            dimensions: {
              warehouseName: row.warehouse,
              jobType: row.type,
              namespaceName: row.namespace,
              tableName: row.table_name,
              success: row.success,
            },
            count: row.jobs,
            sum: {
              filesProcessed: row.files_processed,
              filesOutput: row.files_output,
              inputBytes: row.input_bytes,
              outputBytes: row.output_bytes,
              jobDurationMs: row.duration_ms,
            },
          })),
      },
    },
    stop: () => counter.stop(),
  };
}
