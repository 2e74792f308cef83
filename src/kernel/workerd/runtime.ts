/**
 * Supervises workerd processes: one per Worker version, started on first use, seen ready, restarted with backoff when
 * it dies, stopped when idle, replaced without a failed request.
 */
import type { WorkerdConfig } from "./config.ts";

/** What a process is made from. */
export interface ProcessPlan {
  /** Its sockets' addresses come from `plan`'s argument. The runtime adds V8's flags. */
  readonly config: WorkerdConfig;
  /** Values of `fromEnvironment` bindings. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface ProcessSpec {
  /** Names the process in logs, and its directory: "w-<version>". */
  readonly id: string;
  /** Log label: the Worker's name. */
  readonly label: string;
  /** Builds the config when a process starts; `sockets` gives the path of each named socket. */
  plan(sockets: (name: string) => string): Promise<ProcessPlan>;
  /** Another process of one of these groups may not run at the same time (they share Durable Object files). */
  readonly exclusive?: readonly string[];
  /** Told to a retired process that is still at work after a time, so that its work ends with an error of its own. */
  readonly wrapUp?: { readonly afterMs: number; run(sockets: (name: string) => string): Promise<void> };
  /** Reads what code in the process counts: from time to time, when `Runtime.readMeters` is called, and before the process is stopped. */
  readonly meter?: { readonly everyMs: number; run(sockets: (name: string) => string): Promise<void> };
  /** Milliseconds since the epoch before which the process must not be stopped as idle, or undefined. */
  busyUntil?(): Promise<number | undefined>;
  /** What user code in the process may use. Without it nothing is watched. */
  readonly limits?: ProcessLimits;
  /** Lines that user code printed. */
  output?(stream: "stdout" | "stderr", line: string): void;
}

export interface ProcessLimits {
  /** CPU time of one piece of work, in milliseconds. */
  readonly cpuMs: number;
  /** CPU time until the process serves: for checking an upload. */
  readonly startCpuMs?: number;
  /** Name of a socket that answers HTTP whenever the process's event loop turns, without user code. */
  readonly aliveSocket: string;
}

/** A limit that a process has passed; the names are the outcomes of its invocations. */
export type Exceeded = "exceededCpu" | "exceededMemory";

/** A running process, held for one piece of work. */
export interface Lease {
  /** Path of the unix socket with this name. */
  socket(name: string): string;
  /** Aborted when a deploy retires the process or it dies: long-lived work (WebSockets, service connections) should end. */
  readonly retired: AbortSignal;
  /** The process has answered something to this work. */
  alive(): void;
  /** This work may use this much CPU time instead of what the process's limits say. */
  allowCpuMs(ms: number): void;
  /** This is a connection for many invocations, one after another: its CPU time is not that of one. */
  openEnded(): void;
  /** The process has passed a limit and is being ended. */
  condemned(): boolean;
  /**
   * Why the process went away under this work; resolves when that is known. "innocent": it was ended for a limit that this
   * work cannot have passed. "lost": it went for a reason of its own, or is alive.
   */
  fate(): Promise<Exceeded | "innocent" | "lost">;
  /** Ends the work; the process may then become idle. Idempotent. */
  release(): void;
}

export interface Runtime {
  /**
   * Makes `spec` the process of its id. A process that already runs under the id with another spec is retired: it gets
   * no new leases, and stops when its leases are released or the drain time is over.
   */
  define(spec: ProcessSpec): void;
  /** Starts the process if needed, waits until it serves, and counts the caller as its user. Throws `runtime.startFailed` with workerd's words. */
  lease(id: string): Promise<Lease>;
  /** Retires the process and forgets the spec. Resolves when the process is gone. */
  remove(id: string): Promise<void>;
  /** Runs `work` when no process of these exclusive groups runs, and starts none meanwhile. Takes its turn before it returns. */
  alone<T>(groups: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Starts a process, waits until it serves, and stops it again: for checking an upload. Throws `runtime.startFailed`. */
  probe(spec: ProcessSpec): Promise<void>;
  /** Resolves when all meters have read what was counted until now, but those that failed. */
  readMeters(): Promise<void>;
  /** Running processes, for `status`. */
  list(): readonly ProcessInfo[];
  /** Ends every process and accepts no more work. */
  stop(): Promise<void>;
}

export interface ProcessInfo {
  readonly id: string;
  readonly label: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly leases: number;
  readonly restarts: number;
}
