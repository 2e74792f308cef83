/**
 * What each pipeline read, dropped and wrote, by minute: the numbers behind the GraphQL datasets of
 * docs/pipelines/observability/metrics. Added to in the transaction that moves a reader's position, so that they are as
 * exact as the delivery.
 */
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import { errorTypes, type RecordError } from "./record-check.ts";

export interface RollMetrics {
  /** Events read, dropped ones included. */
  readonly records: number;
  readonly bytes: number;
  /** By type, in the order of `errorTypes`. */
  readonly dropped: readonly number[];
  readonly example: RecordError | undefined;
  /** Undefined when no event got through. */
  readonly written:
    | { readonly rows: number; readonly bytes: number; readonly rowGroups: number; readonly uncompressedBytes: number }
    | undefined;
}

const MINUTE_MS = 60_000;
/** Minutes older than this are deleted. */
const KEPT_MS = 31 * 86_400_000;

export async function addMetrics(
  tx: MetaTransaction,
  ids: { readonly pipeline: string; readonly stream: string; readonly sink: string },
  roll: RollMetrics,
  now: number,
): Promise<void> {
  const minute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  const errors = roll.dropped.reduce((sum, count) => sum + count, 0);
  await tx.run(
    `INSERT INTO pipelines_operator_metrics (pipeline, stream, minute, records_in, bytes_in, decode_errors) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (pipeline, stream, minute) DO UPDATE SET records_in = pipelines_operator_metrics.records_in + excluded.records_in,
       bytes_in = pipelines_operator_metrics.bytes_in + excluded.bytes_in,
       decode_errors = pipelines_operator_metrics.decode_errors + excluded.decode_errors`,
    ids.pipeline,
    ids.stream,
    minute,
    roll.records,
    roll.bytes,
    errors,
  );
  if (roll.written !== undefined) {
    await tx.run(
      `INSERT INTO pipelines_sink_metrics (pipeline, sink, minute, records_written, bytes_written, files_written, row_groups_written,
         uncompressed_bytes_written) VALUES (?, ?, ?, ?, ?, 1, ?, ?)
       ON CONFLICT (pipeline, sink, minute) DO UPDATE SET records_written = pipelines_sink_metrics.records_written + excluded.records_written,
         bytes_written = pipelines_sink_metrics.bytes_written + excluded.bytes_written,
         files_written = pipelines_sink_metrics.files_written + 1,
         row_groups_written = pipelines_sink_metrics.row_groups_written + excluded.row_groups_written,
         uncompressed_bytes_written = pipelines_sink_metrics.uncompressed_bytes_written + excluded.uncompressed_bytes_written`,
      ids.pipeline,
      ids.sink,
      minute,
      roll.written.rows,
      roll.written.bytes,
      roll.written.rowGroups,
      roll.written.uncompressedBytes,
    );
  }
  for (const [i, type] of errorTypes.entries()) {
    const count = roll.dropped[i] ?? 0;
    if (count === 0) continue;
    await tx.run(
      `INSERT INTO pipelines_user_errors (pipeline, family, type, minute, count, example) VALUES (?, 'deserialization', ?, ?, ?, ?)
       ON CONFLICT (pipeline, family, type, minute) DO UPDATE SET count = pipelines_user_errors.count + excluded.count`,
      ids.pipeline,
      type,
      minute,
      count,
      roll.example?.type === type ? roll.example.message : "",
    );
  }
  for (const table of ["pipelines_operator_metrics", "pipelines_sink_metrics", "pipelines_user_errors"])
    await tx.run(`DELETE FROM ${table} WHERE pipeline = ? AND minute < ?`, ids.pipeline, minute - KEPT_MS);
}
