/** Workflows in the REST API. */
import type { Tone } from "../../components/page.tsx";

export const WORKFLOWS = "/workflows";

export const STATUSES = [
  "queued",
  "running",
  "waiting",
  "paused",
  "waitingForPause",
  "rollingBack",
  "complete",
  "errored",
  "terminated",
] as const;
export type Status = (typeof STATUSES)[number];

export interface Workflow {
  readonly id: string;
  readonly name: string;
  readonly script_name: string;
  readonly class_name: string;
  readonly created_on: string;
  readonly triggered_on: string | null;
  readonly instances: Readonly<Record<Status, number>>;
  readonly schedules?: readonly { readonly cron: string; readonly next_instance: string | null }[];
  readonly script_deleted?: boolean;
}

export interface Instance {
  readonly id: string;
  readonly status: Status;
  readonly version_id: string;
  readonly trigger_source: string;
  readonly created_on: string;
  readonly started_on: string | null;
  readonly ended_on: string | null;
}

export interface Failed {
  readonly name: string;
  readonly message: string;
}

export interface Step {
  readonly type: "step" | "rollback" | "sleep" | "waitForEvent" | "termination";
  readonly name: string;
  readonly start: string;
  readonly end: string | null;
  readonly success?: boolean | null;
  readonly finished?: boolean;
  /** JSON text. */
  readonly output?: string | null;
  readonly error?: Failed | null;
  readonly event_type?: string;
  readonly trigger?: { readonly source: string };
  readonly attempts?: readonly {
    readonly start: string;
    readonly end: string | null;
    readonly success: boolean | null;
    readonly error: Failed | null;
  }[];
}

export interface InstanceDetail {
  readonly status: Status;
  readonly versionId: string;
  readonly trigger: { readonly source: string };
  readonly queued: string;
  readonly start: string | null;
  readonly end: string | null;
  readonly params: unknown;
  readonly output: unknown;
  readonly error: Failed | null;
  readonly steps: readonly Step[];
}

export const workflowPath = (name: string): string => `${WORKFLOWS}/${encodeURIComponent(name)}`;
export const instancesPath = (name: string): string => `${workflowPath(name)}/instances`;
export const instancePath = (name: string, id: string): string => `${instancesPath(name)}/${encodeURIComponent(id)}`;

const LABELS: Readonly<Partial<Record<Status, string>>> = { waitingForPause: "pausing", rollingBack: "rolling back" };
export const statusLabel = (status: Status): string => LABELS[status] ?? status;

const TONES: Readonly<Partial<Record<Status, Tone>>> = {
  complete: "good",
  running: "good",
  errored: "bad",
  terminated: "warn",
  paused: "warn",
};
export const statusTone = (status: Status): Tone => TONES[status] ?? "plain";

export const hasEnded = (status: Status): boolean => status === "complete" || status === "errored" || status === "terminated";

/** "1.2 s": between two times, the second now when there is none. */
export function took(start: string, end: string | null): string {
  const ms = Math.max(0, (end === null ? Date.now() : Date.parse(end)) - Date.parse(start));
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} days`;
}
