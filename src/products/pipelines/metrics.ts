/**
 * What each pipeline read, dropped and wrote, by minute: the datasets of docs/pipelines/observability/metrics. Added to in
 * the transaction that moves a reader's position, so that the figures are as exact as the delivery: a roll that a crash
 * interrupted is counted once.
 */
import { addTo, type CounterTable, countedIn, forget, KEEP_MS, periodOf } from "../../kernel/analytics/counter-table.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaReader, MetaTransaction } from "../../kernel/meta/meta.ts";
import type { Dataset, DatasetWindow } from "../../kernel/product.ts";
import type { Dropped } from "./drop-tally.ts";

export interface RollMetrics {
  /** Events read, dropped ones included. */
  readonly records: number;
  /** Of these events as they were sent. */
  readonly bytes: number;
  readonly dropped: readonly Dropped[];
  /** Undefined when no event got through. */
  readonly written:
    | { readonly rows: number; readonly bytes: number; readonly rowGroups: number; readonly uncompressedBytes: number }
    | undefined;
}

export interface Metrics {
  /** Counts a roll of one INSERT, inside the caller's transaction. */
  add(
    tx: MetaTransaction,
    ids: { readonly pipeline: string; readonly stream: string; readonly sink: string },
    roll: RollMetrics,
  ): Promise<void>;
  readonly datasets: Readonly<Record<string, Dataset>>;
}

const DAY_MS = 86_400_000;
const FORGET_EVERY_MS = 3_600_000;
const FAMILY = "deserialization";
const PERMISSION = ["Account Analytics Read", "Workers Pipelines Read"];

const minutes = { column: "minute", ms: 60_000 };
const operators = {
  name: "pipelines_operator_metrics",
  period: minutes,
  keys: ["pipeline", "stream"],
  sums: ["records_in", "bytes_in", "decode_errors"],
} as const;
const sinks = {
  name: "pipelines_sink_metrics",
  period: minutes,
  keys: ["pipeline", "sink"],
  sums: ["records_written", "bytes_written", "files_written", "row_groups_written", "uncompressed_bytes_written"],
} as const;
const errors = { name: "pipelines_user_errors", period: minutes, keys: ["pipeline", "family", "type"], sums: ["count"] } as const;
/** "Detailed error descriptions within the last 24 hours". */
const texts = { name: "pipelines_error_texts", period: minutes, keys: ["pipeline", "family", "type", "message"], sums: ["count"] } as const;
const kept: readonly [CounterTable<string, string>, number][] = [
  [operators, KEEP_MS],
  [sinks, KEEP_MS],
  [errors, KEEP_MS],
  [texts, DAY_MS],
];

export function openMetrics(meta: MetaReader, clock: Clock): Metrics {
  let forgotten = Number.NEGATIVE_INFINITY;

  return {
    async add(tx, { pipeline, stream, sink }, { records, bytes, dropped, written }) {
      const now = clock.now();
      const minute = periodOf(operators, now);
      const drops = dropped.reduce((sum, { count }) => sum + count, 0);
      await addTo(tx, operators, minute, { pipeline, stream }, { records_in: records, bytes_in: bytes, decode_errors: drops });
      if (written !== undefined)
        await addTo(
          tx,
          sinks,
          minute,
          { pipeline, sink },
          {
            records_written: written.rows,
            bytes_written: written.bytes,
            files_written: 1,
            row_groups_written: written.rowGroups,
            uncompressed_bytes_written: written.uncompressedBytes,
          },
        );
      for (const { type, message, count } of dropped) {
        await addTo(tx, errors, minute, { pipeline, family: FAMILY, type }, { count });
        await addTo(tx, texts, minute, { pipeline, family: FAMILY, type, message }, { count });
      }
      if (now - forgotten < FORGET_EVERY_MS) return;
      for (const [table, keepMs] of kept) await forget(tx, table, now - keepMs);
      forgotten = now;
    },

    datasets: {
      pipelinesOperatorAdaptiveGroups: {
        description: "What pipelines read from streams",
        permission: PERMISSION,
        dimensions: { pipelineId: "string", streamId: "string" },
        sum: ["bytesIn", "recordsIn", "decodeErrors"],
        facts: async (window) =>
          (await countedIn(meta, operators, window)).map((row) => ({
            time: row.time,
            dimensions: { pipelineId: row.pipeline, streamId: row.stream },
            sum: { bytesIn: row.bytes_in, recordsIn: row.records_in, decodeErrors: row.decode_errors },
          })),
      },
      pipelinesSinkAdaptiveGroups: {
        description: "What pipelines wrote to sinks",
        permission: PERMISSION,
        dimensions: { pipelineId: "string", sinkId: "string" },
        sum: ["bytesWritten", "recordsWritten", "filesWritten", "rowGroupsWritten", "uncompressedBytesWritten"],
        facts: async (window) =>
          (await countedIn(meta, sinks, window)).map((row) => ({
            time: row.time,
            dimensions: { pipelineId: row.pipeline, sinkId: row.sink },
            sum: {
              bytesWritten: row.bytes_written,
              recordsWritten: row.records_written,
              filesWritten: row.files_written,
              rowGroupsWritten: row.row_groups_written,
              uncompressedBytesWritten: row.uncompressed_bytes_written,
            },
          })),
      },
      pipelinesUserErrorsAdaptiveGroups: {
        description: "Events that were dropped because they do not fit their stream's schema",
        permission: PERMISSION,
        dimensions: { pipelineId: "string", errorFamily: "string", errorType: "string" },
        facts: async (window) =>
          (await countedIn(meta, errors, window)).map(({ time, pipeline, family, type, count }) => ({
            time,
            dimensions: { pipelineId: pipeline, errorFamily: family, errorType: type },
            count,
          })),
      },
      pipelinesUserErrorsAdaptive: {
        description: "Dropped events of the last 24 hours one by one, with what was wrong with each",
        permission: PERMISSION,
        dimensions: { pipelineId: "string", errorFamily: "string", errorType: "string", errorMessage: "string" },
        facts: async ({ from, to, unit }: DatasetWindow) =>
          (await countedIn(meta, texts, { from: Math.max(from, clock.now() - DAY_MS), to, unit })).map((row) => ({
            time: row.time,
            dimensions: { pipelineId: row.pipeline, errorFamily: row.family, errorType: row.type, errorMessage: row.message },
            count: row.count,
          })),
      },
    },
  };
}
