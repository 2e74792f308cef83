/** Runs of table maintenance: requests that wait, the run under way, and the history that the API shows. */
import { randomUUID } from "node:crypto";
import type { MetaReader } from "../../../kernel/meta/meta.ts";
import { catalogError } from "../errors.ts";
import type { Catalog } from "../model.ts";

/** Statuses of docs, "Recent runs"; a queued request is none yet. */
export type RunStatus = "queued" | "running" | "succeeded" | "failed" | "interrupted" | "timed_out";

export interface RunRow {
  readonly id: string;
  readonly table_id: string;
  /** Of a request; null for runs of the schedule. */
  readonly request_id: string | null;
  readonly configuration_type: string | null;
  readonly status: RunStatus;
  readonly queued_at: number | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly message: string | null;
  /** JSON. */
  readonly operations: string | null;
  readonly input_bytes: number;
}

export interface RunOutcome {
  readonly status: RunStatus;
  readonly message: string;
  readonly operations: Readonly<Record<string, unknown>>;
  readonly inputBytes: number;
}

/** Accepted requests of one table in a UTC day (docs, "Limits"). */
const REQUESTS_PER_DAY = 24;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** Runs of one table that are remembered. */
const HISTORY_MAX = 1000;

/**
 * Accepts a request, or gives the run that an earlier one with the same id led to. Throws `catalog.maintenanceRunning` while
 * a run of the table is under way, and `catalog.maintenanceLimit`.
 */
export async function queueRun(catalog: Catalog, tableId: string, type: string, requestId: string): Promise<RunRow> {
  const now = catalog.kernel.clock.now();
  return catalog.kernel.meta.transaction(async (tx) => {
    const same = await tx.get<RunRow>("SELECT * FROM r2_data_catalog_runs WHERE table_id = ? AND request_id = ?", tableId, requestId);
    if (same !== undefined) return same;
    const running = await tx.get("SELECT 1 FROM r2_data_catalog_runs WHERE table_id = ? AND status = 'running'", tableId);
    if (running !== undefined) throw catalogError("maintenanceRunning");
    const today = await tx.get<{ n: number }>(
      "SELECT COUNT(*) AS n FROM r2_data_catalog_runs WHERE table_id = ? AND request_id IS NOT NULL AND queued_at >= ?",
      tableId,
      Math.floor(now / DAY_MS) * DAY_MS,
    );
    if ((today?.n ?? 0) >= REQUESTS_PER_DAY) throw catalogError("maintenanceLimit");
    await tx.run(
      `INSERT INTO r2_data_catalog_runs (id, table_id, request_id, configuration_type, status, queued_at, input_bytes)
       VALUES (?, ?, ?, ?, 'queued', ?, 0)`,
      randomUUID(),
      tableId,
      requestId,
      type,
      now,
    );
    return (await tx.get<RunRow>("SELECT * FROM r2_data_catalog_runs WHERE table_id = ? AND request_id = ?", tableId, requestId)) as RunRow;
  });
}

/** Requests that wait, the first first. */
export const queuedRuns = (meta: MetaReader, limit: number): Promise<RunRow[]> =>
  meta.all<RunRow>("SELECT * FROM r2_data_catalog_runs WHERE status = 'queued' ORDER BY queued_at, id LIMIT ?", limit);

/** The run under way, of a request or of the schedule. */
export async function startRun(catalog: Catalog, tableId: string, request: RunRow | undefined): Promise<string> {
  const { meta, clock } = catalog.kernel;
  const id = request?.id ?? randomUUID();
  await meta.run(
    `INSERT INTO r2_data_catalog_runs (id, table_id, status, started_at, input_bytes) VALUES (?, ?, 'running', ?, 0)
     ON CONFLICT (id) DO UPDATE SET status = 'running', started_at = excluded.started_at`,
    id,
    tableId,
    clock.now(),
  );
  return id;
}

export async function finishRun(catalog: Catalog, id: string, tableId: string, outcome: RunOutcome): Promise<void> {
  const { meta, clock } = catalog.kernel;
  await meta.transaction(async (tx) => {
    await tx.run(
      "UPDATE r2_data_catalog_runs SET status = ?, finished_at = ?, message = ?, operations = ?, input_bytes = ? WHERE id = ?",
      outcome.status,
      clock.now(),
      outcome.message,
      JSON.stringify(outcome.operations),
      outcome.inputBytes,
      id,
    );
    await tx.run(
      `DELETE FROM r2_data_catalog_runs WHERE table_id = ? AND status <> 'queued' AND id NOT IN
         (SELECT id FROM r2_data_catalog_runs WHERE table_id = ? ORDER BY started_at DESC LIMIT ?)`,
      tableId,
      tableId,
      HISTORY_MAX,
    );
  });
}

/** A run whose process ended under it. */
export async function interruptRuns(catalog: Catalog): Promise<void> {
  const { meta, clock } = catalog.kernel;
  await meta.run(
    "UPDATE r2_data_catalog_runs SET status = 'interrupted', finished_at = ?, message = ? WHERE status = 'running'",
    clock.now(),
    "The platform stopped during the run",
  );
}

/** Newest first; `after` is the start of the last run of the page before, with its id. */
export function listRuns(
  meta: MetaReader,
  tableId: string,
  limit: number,
  after: { startedAt: number; id: string } | undefined,
): Promise<RunRow[]> {
  const { startedAt, id } = after ?? { startedAt: Number.MAX_SAFE_INTEGER, id: "" };
  return meta.all<RunRow>(
    `SELECT * FROM r2_data_catalog_runs WHERE table_id = ? AND status <> 'queued' AND (started_at < ? OR (started_at = ? AND id > ?))
     ORDER BY started_at DESC, id LIMIT ?`,
    tableId,
    startedAt,
    startedAt,
    id,
    limit,
  );
}

/** Bytes that runs of the last hour have read. Runs that a clock set back has put into the future do not count. */
export async function bytesInLastHour(catalog: Catalog, tableId: string): Promise<number> {
  const now = catalog.kernel.clock.now();
  const sum = await catalog.kernel.meta.get<{ n: number | null }>(
    "SELECT SUM(input_bytes) AS n FROM r2_data_catalog_runs WHERE table_id = ? AND started_at > ? AND started_at <= ?",
    tableId,
    now - HOUR_MS,
    now,
  );
  return sum?.n ?? 0;
}

/** When the last run began, of any table; undefined when there was none. */
export async function lastRunAt(meta: MetaReader): Promise<number | undefined> {
  return (await meta.get<{ n: number | null }>("SELECT MAX(started_at) AS n FROM r2_data_catalog_runs"))?.n ?? undefined;
}
