/** Workers as other products see them: whom they send events to, whose they are, and what runs in their processes. Interfaces only. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { BindingConfig, DatasetWindow, Fact, RequestContext, Route, WorkerdParts } from "../product.ts";
import type { EmailActions, EmailResult, IncomingEmail, QueueBatch, QueueBatchResult } from "./events.ts";
import type { OutputLine } from "./telemetry.ts";

/** Events to Workers from outside HTTP. */
export interface Dispatch {
  /** Runs the Worker's `scheduled` handler; resolves with its outcome ("ok", "exception", …). */
  scheduled(scriptName: string, event: { cron: string; scheduledTime: number }): Promise<{ outcome: string }>;
  /**
   * Runs the Worker's `queue` handler on a batch. Resolves with its outcome, "exception" also when the process died under
   * it; rejects when the batch did not reach a handler: there is no such Worker, or it does not start.
   */
  queue(scriptName: string, batch: QueueBatch): Promise<QueueBatchResult>;
  /**
   * Runs the Worker's `email` handler on a message; what the handler does with it is asked of `actions` while it runs.
   * Never rejects: whatever goes wrong is an outcome.
   */
  email(scriptName: string, message: IncomingEmail, actions: EmailActions): Promise<EmailResult>;
  /** Whether there is a Worker of that name. */
  has(scriptName: string): boolean;
  /** Names of the Workers whose current versions have a binding that matches. */
  bound(matches: (binding: BindingConfig) => boolean): string[];
  /** What the Worker's current version exports; undefined when there is no such Worker. */
  exports(scriptName: string): readonly ExportedName[] | undefined;
  /** From now on the process of every Worker also has these parts. Asked when a process is configured. */
  extend(parts: (worker: ProcessWorker) => WorkerdParts | undefined | Promise<WorkerdParts | undefined>): void;
  /** From now on the process of a script is not stopped as idle while this says that it has something going on. */
  keepAwake(busy: (scriptId: string) => boolean): void;
  /** Holds the process of the Worker's current version, which is started if needed, for work on a socket of such parts. */
  enter(scriptName: string): Promise<WorkerProcess>;
  /** Shows lines that a program of the Worker's printed outside any invocation to those who tail the Worker now. */
  showOutput(scriptId: string, origin: string, lines: readonly OutputLine[]): void;
  /** From now on a Worker is not deleted while this says that its events are wanted: the deletion fails with what it throws. */
  beforeRemoval(check: (scriptName: string) => void): void;
}

/**
 * Workers that another product owns. They run, are limited, traced and counted as the account's own, but users cannot name
 * them: they are in no list, and have no host, routes or schedules. Their owner leads requests to them. Their names begin
 * with the owner's and a colon.
 */
export interface OwnedWorkers {
  /**
   * Checks the code as an upload is, and makes it serve under a new name. `code` is the form of an upload, or its bytes;
   * `configure` gives the metadata to use for the metadata that it bears. Throws the documented errors of uploads and leaves
   * nothing behind then.
   */
  create(name: string, code: FormData | Uint8Array, configure: (metadata: Readonly<Record<string, unknown>>) => unknown): Promise<void>;
  /** Names of those that begin so. */
  names(prefix: string): string[];
  /** Deletes it with its code; a missing one is success. */
  remove(name: string): Promise<void>;
  /** Answers the request, with the documented error pages where the code does not. */
  serve(name: string, request: IncomingMessage, response: ServerResponse, options?: OwnedServeOptions): Promise<void>;
  upgrade(name: string, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /**
   * What those whose names begin so did: dimensions `scriptName` and `status`, sums `requests`, `errors`, `wallTime` and
   * `cpuTimeUs`, the times in microseconds.
   */
  invocations(prefix: string, window: DatasetWindow): Promise<readonly Fact[]>;
  /** Opens a live tail; `filters` is the body with which clients of Workers do so. */
  openTail(name: string, filters: unknown): Promise<TailSession>;
  closeTail(name: string, id: string): Promise<void>;
}

export interface OwnedServeOptions {
  /** Answers in place of the Worker when the account has used up its requests of the day. */
  overQuota?(): Promise<void>;
}

export interface TailSession {
  readonly id: string;
  /** WebSocket that speaks "trace-v1". */
  readonly url: string;
  readonly expires_at: string;
}

/** Workers that belong to a dispatch namespace instead of the account. */
export interface UserWorkers {
  /** REST operations of a namespace's Workers under a path whose parameters `namespace` reads; `op` begins their names. */
  routes(options: {
    readonly op: string;
    readonly path: string;
    namespace(context: RequestContext): DispatchNamespaceRef;
  }): readonly Route[];
  count(namespaceId: string): Promise<number>;
  /** Deletes every Worker of the namespace, and what they shared. */
  removeAll(namespaceId: string): Promise<void>;
  /** Passes the request of a dispatch Worker's binding on; what fails is an answer with the header `x-freehold-failure`. */
  call(call: UserCall, request: IncomingMessage, response: ServerResponse): Promise<void>;
  upgrade(call: UserCall, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Registers who knows the names of namespaces, for figures. */
  namedBy(nameOf: (namespaceId: string) => string | undefined): void;
}

export interface DispatchNamespaceRef {
  readonly id: string;
  readonly name: string;
  /** Whether Workers that are uploaded now are trusted. */
  readonly trusted: boolean;
}

/** One call of a user Worker by name. */
export interface UserCall {
  /** The namespace's id. */
  readonly namespace: string;
  readonly worker: string;
  readonly limits?: { readonly cpuMs?: number | undefined; readonly subRequests?: number | undefined } | undefined;
  /** The Worker of the account that takes its fetch(), with what this call tells it in `env`. */
  readonly outbound?: { readonly worker: string; readonly parameters: Readonly<Record<string, unknown>> } | undefined;
}

export interface ExportedName {
  readonly name: string;
  /** "entrypoint", "durable-object", "workflow", "object", "class". */
  readonly type: string;
}

/** The Worker that a process is configured for. */
export interface ProcessWorker {
  readonly scriptId: string;
  readonly scriptName: string;
  /** Classes of Durable Objects that its upload gave a container. */
  readonly containers: readonly string[];
  readonly exports: readonly ExportedName[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** Name of the service that has the user's code. */
  readonly user: string;
}

/** A Worker's process, held until `release`. */
export interface WorkerProcess {
  readonly scriptId: string;
  /** Path of the unix socket with this name. */
  socket(name: string): string;
  /** Aborted when another process replaces this one, or when it dies: work on it should end soon. */
  readonly retired: AbortSignal;
  release(): void;
}

/** What an event is about: the product, and for some a resource of it. */
export interface EventSource {
  readonly type: string;
  readonly [member: string]: string;
}

/** A script, by the name that users know and the id that stays. */
export interface ScriptRef {
  readonly name: string;
  readonly id: string;
}
