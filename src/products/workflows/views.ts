/** What the REST API shows (`cloudflare` SDK 7.3.0, wrangler 4.164): rows as JSON, times as ISO 8601. */
import type { StepRow, Workflow, WorkflowVersion } from "./model.ts";
import { configOf, errorOf, type InstanceRow, logOf, parsed, rollbackOf, type Schedule, STATUSES, type Status } from "./model.ts";
import { asJson } from "./values.worker.ts";

/** Largest output of a step in an instance's answer, which has thousands of them; `…/step` gives each whole. */
export const OUTPUT_SHOWN_BYTES = 16 * 1024;
const TRUNCATED = "[truncated output]";
export const REDACTED = "[REDACTED]";

export const iso = (at: number): string => new Date(at).toISOString();
export const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at));

export interface WorkflowFacts {
  readonly counts: Partial<Record<Status, number>>;
  readonly triggeredAt: number | null;
  readonly scriptDeleted: boolean;
  /** The next time of each cron expression. */
  readonly nextRuns: readonly { readonly cron: string; readonly at: number | undefined }[];
}

export function workflowView(workflow: Workflow, { counts, triggeredAt, scriptDeleted, nextRuns }: WorkflowFacts) {
  const { id, name, scriptName, className, settings, createdAt, modifiedAt } = workflow;
  return {
    id,
    name,
    script_name: scriptName,
    class_name: className,
    created_on: iso(createdAt),
    modified_on: iso(modifiedAt),
    triggered_on: isoOrNull(triggeredAt),
    instances: Object.fromEntries(STATUSES.map((status) => [status, counts[status] ?? 0])),
    ...(nextRuns.length > 0 && {
      schedules: nextRuns.map(({ cron, at }) => ({ cron, next_instance: at === undefined ? null : iso(at) })),
    }),
    ...(settings.jurisdiction !== undefined && { jurisdiction: settings.jurisdiction }),
    ...(scriptDeleted && { script_deleted: true }),
  };
}

/** The answer to a PUT. */
export const putView = (workflow: Workflow, triggeredAt: number | null) => ({
  id: workflow.id,
  name: workflow.name,
  script_name: workflow.scriptName,
  class_name: workflow.className,
  created_on: iso(workflow.createdAt),
  modified_on: iso(workflow.modifiedAt),
  triggered_on: isoOrNull(triggeredAt),
  version_id: workflow.versionId,
  is_deleted: 0,
  terminator_running: 0,
});

export function versionView({ id, workflowId, className, language, settings, createdAt }: WorkflowVersion) {
  const { steps, concurrency, successRetentionMs, errorRetentionMs } = settings;
  return {
    id,
    workflow_id: workflowId,
    class_name: className,
    created_on: iso(createdAt),
    modified_on: iso(createdAt),
    language,
    has_dag: false,
    ...(steps !== undefined && { limits: { steps } }),
    ...(concurrency !== undefined && { concurrency: { limit: concurrency } }),
    ...((successRetentionMs ?? errorRetentionMs) !== undefined && {
      default_retention: {
        ...(successRetentionMs !== undefined && { success_retention: successRetentionMs }),
        ...(errorRetentionMs !== undefined && { error_retention: errorRetentionMs }),
      },
    }),
  };
}

/** The answer to a creation. */
export const createdView = (row: InstanceRow) => ({
  id: row.id,
  status: row.status,
  version_id: row.version_id,
  workflow_id: row.workflow_id,
  trigger_source: row.source,
});

/** A row of the list. */
export const instanceView = (row: InstanceRow) => ({
  ...createdView(row),
  created_on: iso(row.created_at),
  modified_on: iso(row.modified_at),
  started_on: isoOrNull(row.started_at),
  ended_on: isoOrNull(row.ended_at),
});

export interface DetailOptions {
  /** Newest steps first. */
  readonly descending: boolean;
  /** Without steps. */
  readonly simple: boolean;
}

/** One instance with its steps. */
export function detailView(row: InstanceRow, steps: readonly StepRow[], { descending, simple }: DetailOptions) {
  const error = row.status === "rollingBack" ? null : errorOf(row);
  const schedule = parsed<Schedule>(row.schedule);
  const shown: object[] = simple ? [] : steps.map(stepView);
  if (row.status === "terminated") shown.push({ type: "termination", trigger: { source: row.terminated_by ?? "unknown" } });
  return {
    versionId: row.version_id,
    status: row.status,
    trigger: { source: row.source },
    queued: iso(row.created_at),
    start: isoOrNull(row.started_at),
    end: isoOrNull(row.ended_at),
    success: row.ended_at === null ? null : row.status === "complete",
    params: asJson(row.params) ?? null,
    output: row.output === null ? null : (asJson(row.output) ?? null),
    error,
    rollback: rollbackOf(row),
    step_count: steps.length,
    steps: descending ? shown.toReversed() : shown,
    ...(schedule !== null && { schedule }),
  };
}

function stepView(row: StepRow): object {
  const name = `${row.name}-${row.nth}`;
  const times = { start: iso(row.started_at), end: isoOrNull(row.ended_at) };
  if (row.type === "sleep") {
    return {
      type: "sleep",
      name,
      start: times.start,
      end: isoOrNull(row.ended_at ?? row.due_at),
      finished: row.state !== "open",
      error: errorOf(row),
    };
  }
  if (row.type === "waitForEvent") {
    return {
      type: "waitForEvent",
      name,
      start: times.start,
      end: isoOrNull(row.ended_at ?? row.due_at),
      finished: row.state !== "open",
      error: errorOf(row),
      event_type: row.event_type,
      ...(row.state === "done" && { output: outputText(row) }),
    };
  }
  return {
    type: row.type === "rollback" ? "rollback" : "step",
    name,
    ...times,
    success: row.state === "open" ? null : row.state === "done",
    output: row.state === "done" ? outputText(row) : null,
    config: configOf(row),
    attempts: logOf(row).map(({ start, end, error }) => ({
      start: iso(start),
      end: isoOrNull(end ?? null),
      success: end === undefined ? null : error === undefined,
      error: error ?? null,
    })),
  };
}

/** The output as JSON text, or what stands for one that is not shown here. Null: there is none. */
function outputText(row: StepRow): string | null {
  if (configOf(row)?.sensitive === "output") return REDACTED;
  if (row.blob !== null) return `[ReadableStream: ${row.bytes} bytes]`;
  if (row.value === null) return TRUNCATED;
  return JSON.stringify(asJson(row.value)) ?? null;
}

/** One step's state with its whole output. */
export function stepOutputView(row: StepRow) {
  const last = logOf(row).at(-1);
  const status = row.state === "done" ? "complete" : row.state === "failed" ? "errored" : row.type === "do" ? "running" : "waiting";
  const redacted = configOf(row)?.sensitive === "output";
  return {
    status,
    error: errorOf(row) ?? (row.state === "open" ? (last?.error ?? null) : null),
    output: row.state !== "done" || row.value === null ? null : redacted ? REDACTED : (asJson(row.value) ?? null),
    ...(row.event_type !== null && { event_type: row.event_type }),
  };
}
