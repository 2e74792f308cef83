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
  /** Milliseconds since the epoch before which the process must not be stopped as idle, or undefined. */
  busyUntil?(): Promise<number | undefined>;
  /** Lines that user code printed. */
  output?(stream: "stdout" | "stderr", line: string): void;
}

/** A running process, held for one piece of work. */
export interface Lease {
  /** Path of the unix socket with this name. */
  socket(name: string): string;
  /** Aborted when a deploy retires the process or it dies: long-lived work (WebSockets, service connections) should end. */
  readonly retired: AbortSignal;
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
  /** Starts a process, waits until it serves, and stops it again: for checking an upload. Throws `runtime.startFailed`. */
  probe(spec: ProcessSpec): Promise<void>;
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
