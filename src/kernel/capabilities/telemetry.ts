/** What is known of invocations: traces, meters, figures. Interfaces only. */
import type { InvocationRecord } from "../invocation-record.ts";

/** Logs and traces of Workers, kept as their settings say. */
export interface Telemetry {
  /** What is to be gathered of a Worker with these `observability` settings; undefined when nothing is. */
  plan(settings: unknown): TelemetryRates | undefined;
  /**
   * Takes what invocations did. Durable soon after, not when it returns: like the real service it promises nothing for
   * what happened in the last moment before a crash. Never throws; what does not fit is left out and counted.
   */
  record(worker: ObservedWorker, invocations: readonly MeteredInvocation[]): void;
  /** Takes lines that a program of a Worker's printed outside any invocation; kept whatever the Worker's own settings say. */
  recordOutput(origin: OutputOrigin, lines: readonly OutputLine[]): void;
  /** Registers who is asked for the Workers and their settings. */
  addWorkers(list: () => readonly Pick<ObservedWorker, "scriptName" | "settings">[]): void;
}

/** Shares of invocations, from 0 to 1, decided as each begins. */
export interface TelemetryRates {
  readonly logs: number;
  readonly traces: number;
}

export interface ObservedWorker {
  readonly scriptName: string;
  readonly versionId: string;
  readonly versionTag?: string | undefined;
  /** The Worker's `observability` settings. */
  readonly settings: unknown;
}

/** A program that belongs to a Worker. */
export interface OutputOrigin {
  readonly scriptName: string;
  /** What of the platform runs it: "containers". */
  readonly cloudService: string;
  /** Groups the lines, as a request's id does those of an invocation. */
  readonly requestId: string;
  /** What else is known of it; found by `$workers.<name>`. */
  readonly details: Readonly<Record<string, string | number>>;
}

export interface OutputLine {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** "log" or "error". */
  readonly level: string;
  readonly text: string;
}

export interface MeteredInvocation extends InvocationRecord {
  /** Milliseconds; 0 where it is not known. */
  readonly cpuTimeMs: number;
}
