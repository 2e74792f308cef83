/**
 * What the driver inside a Worker's process (`driver.worker.ts`) and the engine on the Node side (`run.ts`) say to each
 * other. The engine orders a run; the driver asks before each step and tells each result, and an answer comes only when
 * it is on disk. All waiting and all clocks are the engine's.
 */

export type StepType = "do" | "sleep" | "waitForEvent" | "rollback";

/** A step of an instance: the `nth` of its type and name, from 1, in the order of one run. */
export interface StepKey {
  readonly type: StepType;
  readonly name: string;
  readonly nth: number;
}

export interface ErrorInfo {
  readonly name: string;
  readonly message: string;
}

export interface StepConfig {
  readonly retries: {
    /** Null: no limit. */
    readonly limit: number | null;
    /** "[dynamic]": a function of the user's. */
    readonly delay: number | string;
    readonly backoff?: "constant" | "linear" | "exponential";
  };
  readonly timeout: number | string;
  readonly sensitive?: "output";
}

/** What a step came to: the text of a value, a stream that is kept, or the error that it failed with. */
export type StepResult = { readonly value: string } | { readonly stream: true } | { readonly error: ErrorInfo };

/** An answer of the engine: the step's result, or the attempt that is to run now. */
export type Answer = StepResult | { readonly attempt: number };

/** An order to run an instance from its beginning. */
export interface RunOrder {
  /** Stands for this run; what comes with another one is refused. */
  readonly run: string;
  readonly className: string;
  readonly workflowName: string;
  readonly instanceId: string;
  /** Encoded. */
  readonly params: string;
  readonly timestamp: number;
  readonly schedule?: { readonly cron: string; readonly scheduledTime: number };
  readonly stepsMax: number;
  readonly valueMaxBytes: number;
  /** Results of earlier runs, so that a replay needs no question for each; not necessarily all. */
  readonly results: readonly (readonly [StepKey, StepResult])[];
  /** Set: no step runs that has not run before, and then rollbacks run for this reason. */
  readonly rollback?: ErrorInfo;
}

/** How a run ended; `rollback` when there were rollbacks to run. */
export type RunOutcome = { readonly rollback?: RollbackOutcome } & ({ readonly output: string } | { readonly error: ErrorInfo });

export interface RollbackOutcome {
  readonly outcome: "complete" | "failed";
  readonly error: ErrorInfo | null;
}

/** Questions and messages of the driver, by the path they go to. */
export interface Questions {
  /** May this step run? Answers with its result if it has one. A step that is to be retried later is answered then. */
  begin: { readonly key: StepKey; readonly config: StepConfig; readonly rollback: boolean };
  /** An attempt has succeeded. */
  succeed: { readonly key: StepKey; readonly attempt: number; readonly value: string; readonly bytes: number };
  /** An attempt has failed. `thrown`: what the step fails with unless it is retried. */
  fail: {
    readonly key: StepKey;
    readonly attempt: number;
    readonly error: ErrorInfo;
    readonly thrown: ErrorInfo;
    /** Null: no retry. */
    readonly retryInMs: number | null;
  };
  /** An attempt gave what cannot be stored: the instance fails for this reason, whatever its code would do about it. */
  abandon: { readonly key: StepKey; readonly attempt: number; readonly error: ErrorInfo; readonly reason: ErrorInfo };
  sleep: { readonly key: StepKey; readonly durationMs: number } | { readonly key: StepKey; readonly until: number };
  waitForEvent: { readonly key: StepKey; readonly eventType: string; readonly timeoutMs: number };
  /** The run has failed and its rollbacks begin. */
  undo: { readonly error: ErrorInfo };
}

/** Status of the answer to a run that has ended. */
export const RUN_OVER = 410;
export const RUN_HEADER = "x-workflow-run";
/** Where a run's stream is sent to and read from: `?key=` JSON of the key, `&attempt=`. */
export const STREAM_PATH = "/stream";

export const DEFAULT_CONFIG: StepConfig = { retries: { limit: 5, delay: 10_000, backoff: "exponential" }, timeout: "10 minutes" };
export const DYNAMIC_DELAY = "[dynamic]";
export const STEP_NAME_MAX = 256;
export const EVENT_TIMEOUT = "24 hours";
/** Documented longest sleep, and wait for an event. */
export const WAIT_MAX_MS = 365 * 24 * 60 * 60 * 1000;
