/** What Workflows are made of, as the tables hold it. Times are milliseconds since the epoch. */
import type { ErrorInfo, RollbackOutcome, StepConfig, StepType } from "./protocol.worker.ts";

export interface Workflow {
  readonly id: string;
  readonly name: string;
  readonly scriptName: string;
  readonly className: string;
  readonly settings: WorkflowSettings;
  readonly versionId: string;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export interface WorkflowSettings {
  /** Most steps of a run. */
  readonly steps?: number;
  /** Most instances that run at a time. */
  readonly concurrency?: number;
  readonly crons?: readonly string[];
  readonly successRetentionMs?: number;
  readonly errorRetentionMs?: number;
  readonly jurisdiction?: string;
}

/** A version is what one deploy made of the workflow. */
export interface WorkflowVersion {
  readonly id: string;
  readonly workflowId: string;
  readonly className: string;
  readonly language: "javascript" | "python";
  readonly settings: WorkflowSettings;
  readonly createdAt: number;
}

export const STATUSES = [
  "queued",
  "running",
  "paused",
  "errored",
  "terminated",
  "complete",
  "waitingForPause",
  "waiting",
  "rollingBack",
] as const;
export type Status = (typeof STATUSES)[number];

const ENDED: ReadonlySet<Status> = new Set(["errored", "terminated", "complete"]);
export const hasEnded = (status: Status): boolean => ENDED.has(status);

export type TriggerSource = "api" | "binding" | "cron";

export interface Schedule {
  readonly cron: string;
  readonly scheduledTime: number;
}

export interface InstanceRow {
  readonly workflow_id: string;
  readonly id: string;
  readonly version_id: string;
  readonly status: Status;
  readonly source: TriggerSource;
  readonly params: string;
  readonly schedule: string | null;
  readonly created_at: number;
  readonly modified_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly wake_at: number | null;
  readonly paused_at: number | null;
  readonly expires_at: number | null;
  readonly success_retention_ms: number | null;
  readonly error_retention_ms: number | null;
  readonly output: string | null;
  readonly error: string | null;
  readonly rollback: string | null;
  readonly ending: Status | null;
  readonly terminated_by: TriggerSource | null;
}

/** An instance as it is looked up: names one row. */
export interface InstanceRef {
  readonly workflowId: string;
  readonly id: string;
}

export interface StepRow {
  readonly workflow_id: string;
  readonly instance_id: string;
  readonly type: StepType;
  readonly name: string;
  readonly nth: number;
  readonly place: number;
  readonly state: "open" | "done" | "failed";
  readonly config: string | null;
  readonly attempts: number;
  readonly log: string;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly due_at: number | null;
  readonly event_type: string | null;
  readonly value: string | null;
  readonly blob: string | null;
  readonly bytes: number;
  readonly error: string | null;
  readonly rollback: number;
}

/** One attempt in a step's log; without an end it runs. */
export interface Attempt {
  readonly start: number;
  readonly end?: number;
  readonly error?: ErrorInfo;
}

export const parsed = <T>(json: string | null): T | null => (json === null ? null : (JSON.parse(json) as T));
export const configOf = (row: StepRow): StepConfig | null => parsed(row.config);
export const logOf = (row: StepRow): Attempt[] => JSON.parse(row.log) as Attempt[];
export const errorOf = (row: { readonly error: string | null }): ErrorInfo | null => parsed(row.error);
export const rollbackOf = (row: InstanceRow): RollbackOutcome | null => parsed(row.rollback);
