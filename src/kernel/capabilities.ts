/**
 * What products offer each other. A product lists the keys it needs; the kernel hands it the implementation of
 * whichever product provides it, or refuses to start naming both sides. Interfaces only.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex, Readable } from "node:stream";
import type { Principal } from "./api/tokens.ts";
import type { BlobId } from "./blobs/blobs.ts";
import type { InvocationRecord } from "./invocation-record.ts";
import type { MetaTransaction } from "./meta/meta.ts";
import type { ObjectSplit } from "./object-split.ts";
import type { BindingConfig, DatasetWindow, Fact, RequestContext, Route, WorkerdParts, WorkerRef } from "./product.ts";
import type { DurableObjectNamespace, Module, Service as WorkerdService } from "./workerd/config.ts";

export interface Capabilities {
  readonly objects: Objects;
  readonly tables: Tables;
  readonly dispatch: Dispatch;
  readonly durableObjects: DurableObjects;
  readonly contentCache: ContentCache;
  readonly customHostnames: CustomHostnames;
  readonly imageTransforms: ImageTransforms;
  readonly notifier: Notifier;
  readonly queueSender: QueueSender;
  readonly telemetry: Telemetry;
  readonly userWorkers: UserWorkers;
  readonly zones: Zones;
  readonly models: Models;
  readonly ownedWorkers: OwnedWorkers;
  readonly certificates: Certificates;
}

/** Models of Workers AI. */
export interface Models {
  /**
   * Runs a model on the inputs that its task documents. Resolves with what `env.AI.run` gives: a value, or bytes (events of
   * `stream: true`, sound, pictures). Rejects with the documented errors, also `workersAi.noRunner` where nothing runs it.
   */
  run(model: string, inputs: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<ModelOutput>;
  /** Answers a request as HTTP has it; never rejects. For what stands before the models, as AI Gateway does. */
  answer(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer>;
  /** Files to Markdown, as `env.AI.toMarkdown`: a result for each, in their order, which may be an error. */
  toMarkdown(files: readonly MarkdownFile[], options?: MarkdownOptions | undefined, signal?: AbortSignal): Promise<MarkdownResult[]>;
  /** Extensions (with a dot) and types of the files that become Markdown. */
  readonly markdownFormats: readonly { readonly extension: string; readonly mimeType: string }[];
  /**
   * Registers who serves paths of the binding `env.AI` that belong to another product, by the first part of the path
   * ("ai-gateway", "autorag"). The requests are those that the class in workerd makes.
   */
  addBindingPaths(first: string, serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>): void;
}

export type ModelOutput = { readonly json: unknown } | { readonly type: string; readonly body: Readable };

export interface MarkdownFile {
  readonly name: string;
  /** As far as the caller knows; the file's name and content count for more. */
  readonly mimeType: string;
  readonly bytes: Uint8Array;
}

/** As documented for `conversionOptions`. */
export interface MarkdownOptions {
  readonly html?: { readonly hostname?: string; readonly cssSelector?: string };
  readonly pdf?: { readonly metadata?: boolean };
  readonly image?: { readonly descriptionLanguage?: "en" | "it" | "de" | "es" | "fr" | "pt" };
}

export type MarkdownResult = { readonly id: string; readonly name: string; readonly mimeType: string } & (
  | { readonly format: "markdown"; readonly tokens: number; readonly data: string }
  | { readonly format: "error"; readonly error: string }
);

export interface ModelRequest {
  /** "run/@cf/meta/llama-3.1-8b-instruct", "v1/chat/completions", "v1/embeddings", "v1/responses". */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly body: Buffer;
  /** The result without the v4 envelope, as the binding has it. */
  readonly bare: boolean;
}

export interface ModelAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable;
}

/** Certificates that the account has uploaded for connections to servers of others, in PEM. */
export interface Certificates {
  /** The certificate of an authority, or undefined. */
  authority(id: string): Promise<string | undefined>;
  /** A client certificate with its key, or undefined. */
  client(id: string): Promise<{ readonly certificates: string; readonly privateKey: string } | undefined>;
}

/** A domain of the account. */
export interface Zone {
  /** 32 hex digits. */
  readonly id: string;
  /** Lower case. */
  readonly name: string;
  readonly createdOn: number;
}

/** Where the requests for a host name go when no Worker answers them. */
export interface Origin {
  /** An IP address or a host name. */
  readonly address: string;
}

/** The account's domains. Every answer comes from memory. */
export interface Zones {
  all(): Zone[];
  byId(id: string): Zone | undefined;
  byName(name: string): Zone | undefined;
  /** The zone that a host name lies in: the longest name that it is or ends in. */
  ofHost(host: string): Zone | undefined;
  /** The origin of a host name, by the DNS records of its zone. */
  origin(host: string): Origin | undefined;
  /** All DNS records of a zone. */
  records(zoneId: string): readonly ZoneRecord[];
  /**
   * Makes these the zone's records that the manager keeps, adding and removing what it takes; while they are locked, nobody
   * changes them by hand. Rejects when there is no such zone.
   */
  manage(zoneId: string, manager: string, records: readonly ManagedRecord[], locked: boolean): Promise<void>;
}

export interface ZoneRecord {
  readonly type: "A" | "AAAA" | "CNAME" | "MX" | "TXT";
  /** The whole name, lower case. */
  readonly name: string;
  readonly content: string;
  /** Of MX records; the lowest is preferred. */
  readonly priority: number | null;
  /** The product that keeps it. */
  readonly manager: string | null;
}

/** A record for mail that a product keeps in a zone. */
export type ManagedRecord = Pick<ZoneRecord, "name" | "content" | "priority"> & { readonly type: "MX" | "TXT" };

/** Names outside the account's zones that a zone serves. Every answer comes from memory. */
export interface CustomHostnames {
  /** The custom hostname that a host name is, when its owner and the control of it are proven. */
  ofHost(host: string): CustomHostname | undefined;
}

export interface CustomHostname {
  /** The zone that serves it. */
  readonly zoneId: string;
  /** What `request.cf.hostMetadata` has. */
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** The host name of its origin: its own, or its zone's fallback origin. */
  readonly origin: string | undefined;
}

/** Copies of responses. */
export interface ContentCache {
  /** A workerd service of that name for `cacheApiOutbound`. Workers with another scope have other caches. */
  service(name: string, scope: string): WorkerdService;
  /** Copies that a product keeps under keys of its own. Nothing is durable, and what was used longest ago goes first. */
  open(scope: string): ContentStore;
}

export interface ContentStore {
  find(key: string): Promise<ContentCopy | undefined>;
  /** Keeps the copy for that many milliseconds. It goes when its URL is purged; one that is too large is not kept. */
  put(key: string, copy: ContentCopy, keep: { readonly url?: string; readonly forMs: number }): Promise<void>;
  /** Milliseconds for which a response may be kept as its status and headers (lower case) say; undefined: it must not be. */
  lifetimeMs(status: number, headers: ReadonlyMap<string, string>): number | undefined;
}

export interface ContentCopy {
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** What the account is told of, by its policies. */
export interface Notifier {
  /** Says what a product, by its name for people, tells of. */
  addAlerts(
    product: string,
    alerts: readonly { readonly type: string; readonly display_name: string; readonly description: string }[],
  ): void;
  /** Noted durably when it resolves, for every policy of the type; sent soon after. */
  notify(type: string, message: { readonly text: string; readonly data: object }): Promise<void>;
}

/** Images that a Worker's fetch() asks to be transformed (`cf.image`). */
export interface ImageTransforms {
  /**
   * A workerd service of that name for a Worker with routes in these zones: answers a request that asks for a
   * transformation, or 204 where it is to be sent on as any other, since no zone has transformations.
   */
  service(name: string, zones: readonly string[]): WorkerdService;
  /** What becomes of an origin's answer on a zone that has its images made smaller (Polish); undefined: nothing. */
  polish(
    url: URL,
    request: IncomingHttpHeaders,
    answer: { readonly status: number; readonly headers: IncomingHttpHeaders },
  ): ImagePolish | undefined;
}

export interface ImagePolish {
  /** Headers that the answer gets. */
  readonly headers: Readonly<Record<string, string>>;
  /** Takes the body, which is as long as the answer says, and gives another, with headers that replace the answer's. */
  take?(body: Buffer): Promise<{ readonly bytes: Buffer; readonly headers: Readonly<Record<string, string>> }>;
}

/** Object storage for other products: buckets of the account, without credentials of their own. */
export interface Objects {
  bucketExists(bucket: string): Promise<boolean>;
  /** Adds the file as an object (it is moved). Durable and visible when the promise resolves. */
  putFile(bucket: string, key: string, path: string, contentType: string): Promise<ObjectInfo>;
  put(
    bucket: string,
    key: string,
    bytes: Uint8Array,
    contentType: string,
    options?: { onlyIfAbsent?: boolean },
  ): Promise<ObjectInfo | null>;
  head(bucket: string, key: string): Promise<ObjectInfo | null>;
  /** Undefined when there is no such object. */
  bytes(bucket: string, key: string): Promise<Uint8Array | undefined>;
  read(bucket: string, key: string, range?: { offset: number; length: number }): Promise<Readable | undefined>;
  /** Objects as files on this machine, for DuckDB: all at once, because a query may read thousands. */
  localFiles(bucket: string, keys: readonly string[]): Promise<LocalFiles>;
  /** Keys in byte order under a prefix, after `startAfter`, at most `limit`. */
  list(bucket: string, prefix: string, options?: { startAfter?: string; limit?: number }): Promise<ObjectInfo[]>;
  delete(bucket: string, keys: readonly string[]): Promise<void>;
  /**
   * Names a judge of buckets whose objects are not to be changed by hand: while `managed` says so of a bucket, REST
   * writes of clients that ask first are refused with a code of their own (10081), and go through when they insist.
   */
  guard(managed: (bucket: string) => Promise<boolean>): void;
  /**
   * Short-lived S3 keys with at most the principal's rights on one bucket, for vended credentials.
   * Rights "read" or "write"; a prefix narrows them.
   */
  vend(
    principal: Principal,
    bucket: string,
    rights: "read" | "write",
    options?: { prefix?: string; ttlSeconds?: number },
  ): Promise<S3Credentials>;
}

/** Files that stay as they are until `release`, which must be called. */
export interface LocalFiles {
  /** In the order of the keys; undefined where there is no such object. */
  readonly files: readonly ({ readonly path: string; readonly size: number } | undefined)[];
  release(): Promise<void>;
}

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly uploadedAt: number;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Iceberg tables of a bucket's catalog. Table metadata is the JSON of the Iceberg specification
 * (`src/protocols/iceberg/metadata.ts` has its types; it is `unknown` here so that capabilities stay free of formats).
 */
export interface Tables {
  /** True when the bucket has an active catalog. */
  enabled(bucket: string): Promise<boolean>;
  /** Namespace paths ("a.b" is ["a", "b"]); children of `parent`, or the top level. */
  namespaces(bucket: string, parent?: readonly string[]): Promise<string[][]>;
  /** Undefined when the namespace does not exist. */
  tables(bucket: string, namespace: readonly string[]): Promise<string[] | undefined>;
  /** Current metadata, or undefined. Always the newest commit. */
  load(bucket: string, namespace: readonly string[], table: string): Promise<LoadedTable | undefined>;
  /** Creates the namespace if it is missing, then the table. Rejects with `catalog.tableExists` when there is one. */
  create(bucket: string, namespace: readonly string[], table: string, definition: NewTable): Promise<LoadedTable>;
  /**
   * Applies Iceberg updates if every requirement holds, as `POST …/tables/{t}` does; rejects with
   * `catalog.commitFailed` (409) otherwise. Visible to all readers when the promise resolves.
   */
  commit(
    bucket: string,
    namespace: readonly string[],
    table: string,
    requirements: readonly unknown[],
    updates: readonly unknown[],
  ): Promise<LoadedTable>;
}

export interface LoadedTable {
  readonly metadataLocation: string;
  /** `TableMetadata` of `src/protocols/iceberg/metadata.ts`. */
  readonly metadata: unknown;
}

export interface NewTable {
  /** Iceberg `Schema` JSON. */
  readonly schema: unknown;
  /** Iceberg `PartitionSpec` JSON. */
  readonly partitionSpec?: unknown;
  readonly properties?: Readonly<Record<string, string>>;
}

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
  extend(parts: (worker: ProcessWorker) => WorkerdParts | undefined): void;
  /** Holds the process of the Worker's current version, which is started if needed, for work on a socket of such parts. */
  enter(scriptName: string): Promise<WorkerProcess>;
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

/** A message with its envelope, as it reached one address. */
export interface IncomingEmail {
  readonly from: string;
  readonly to: string;
  readonly raw: Uint8Array;
}

/** A message that a handler hands over: in bytes, or in the builder's form with its attachments in base64. */
export type EmailReply = { readonly from: string; readonly to: string; readonly raw: Uint8Array } | { readonly builder: unknown };

/** What a handler can do with its message. A rejection's message is what the Worker sees thrown. */
export interface EmailActions {
  forward(recipient: string, headers: readonly (readonly [string, string])[]): Promise<{ readonly messageId: string }>;
  reply(reply: EmailReply): Promise<{ readonly messageId: string }>;
}

export interface EmailResult {
  /** "ok", "exception", "exceededCpu", …, and "noHandler" for a Worker without `email()`. */
  readonly outcome: string;
  /** Reason of `setReject`. */
  readonly rejectReason?: string;
}

export interface QueueBatch {
  readonly queue: string;
  readonly messages: readonly QueueBatchMessage[];
  readonly metrics: { readonly backlogCount: number; readonly backlogBytes: number; readonly oldestMessageTimestamp: number };
}

export interface QueueBatchMessage {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** Of deliveries, this one included. */
  readonly attempts: number;
  readonly contentType: "text" | "bytes" | "json" | "v8";
  readonly body: Uint8Array;
}

/** What a handler did with its batch, as workerd reports it. */
export interface QueueBatchResult {
  /** "ok", "exception", … */
  readonly outcome: string;
  readonly ackAll: boolean;
  readonly retryBatch: { readonly retry: boolean; readonly delaySeconds?: number };
  readonly explicitAcks: readonly string[];
  readonly retryMessages: readonly { readonly msgId: string; readonly delaySeconds?: number }[];
}

/** What an event is about: the product, and for some a resource of it. */
export interface EventSource {
  readonly type: string;
  readonly [member: string]: string;
}

/** Queues for other products: events of their own as messages. */
export interface QueueSender {
  /** The queue, or undefined; memory only. */
  find(queueId: string): { readonly id: string; readonly name: string } | undefined;
  /**
   * Sends JSON messages, at most 100 and 256 KB. Durable when it resolves, all or none. Rejects with `queues.queueNotFound`
   * and with the documented limits, of which those with status 429 pass by themselves.
   */
  send(queueId: string, source: "r2" | "event", bodies: readonly unknown[]): Promise<void>;
  /** Says which events of a source the product announces: "r2" and "bucket.created". Others cannot be subscribed to. */
  addEventSource(type: string, events: readonly string[]): void;
  /** Whether a queue is subscribed to the event; memory only. */
  hears(source: EventSource, event: string): boolean;
  /**
   * Tells subscribed queues of an event. Their messages are part of the transaction of the change; the function that it
   * resolves with is to be called after the commit.
   */
  announce(tx: MetaTransaction, source: EventSource, event: string, payload: unknown): Promise<() => void>;
  /** Whether the principal may write to queues: whoever sets up events for one must. */
  allows(principal: Principal): boolean;
  /** Registers who asks for the producers of a queue: a product names those of its resources that write to it. */
  addProducers(producersOf: (queueId: string) => Promise<readonly { readonly type: "r2_bucket"; readonly bucket_name: string }[]>): void;
}

/** Logs and traces of Workers, kept as their settings say. */
export interface Telemetry {
  /** What is to be gathered of a Worker with these `observability` settings; undefined when nothing is. */
  plan(settings: unknown): TelemetryRates | undefined;
  /**
   * Takes what invocations did. Durable soon after, not when it returns: like the real service it promises nothing for
   * what happened in the last moment before a crash. Never throws; what does not fit is left out and counted.
   */
  record(worker: ObservedWorker, invocations: readonly MeteredInvocation[]): void;
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

export interface MeteredInvocation extends InvocationRecord {
  /** Milliseconds; 0 where it is not known. */
  readonly cpuTimeMs: number;
}

/** A script, by the name that users know and the id that stays. */
export interface ScriptRef {
  readonly name: string;
  readonly id: string;
}

/** What an upload's metadata says of classes that implement Durable Objects: steps, or what each is to be. Not both. */
export interface ClassLifecycle {
  readonly migrations?: unknown;
  readonly exports?: unknown;
}

/** Durable Object namespaces of scripts. */
export interface DurableObjects {
  /**
   * The classes that the script would implement after an upload with this metadata. Throws the documented errors for
   * migrations that do not fit the script's state and for bindings to classes that would not exist. Changes nothing.
   */
  preview(
    script: ScriptRef,
    lifecycle: ClassLifecycle,
    bindings: readonly BindingConfig[],
  ): Promise<readonly { readonly className: string; readonly sqlite: boolean }[]>;
  /** Namespaces of such classes, as workerd configuration of a process that only checks an upload. */
  previewNamespaces(classes: readonly { readonly className: string; readonly sqlite: boolean }[]): readonly DurableObjectNamespace[];
  /**
   * Validates the migrations of an upload against the script's current tag and records their result, inside the
   * transaction that makes the version current. `exportedClasses` is undefined when it is not known. Resolves with the
   * names of the scripts that objects were transferred from or to, whose processes must follow, and for `exports` with what
   * became of them, as the upload's answer tells it.
   */
  migrate(
    tx: MetaTransaction,
    script: ScriptRef,
    lifecycle: ClassLifecycle,
    exportedClasses: readonly string[] | undefined,
  ): Promise<{ readonly others: readonly string[]; readonly reconciliation?: unknown }>;
  /** The classes that the script implements. */
  classes(script: ScriptRef): Promise<readonly { readonly className: string; readonly sqlite: boolean }[]>;
  /**
   * Every namespace that the script implements, as workerd configuration of a version's process. `user` is the service that
   * has the classes. `split`: which version has which objects, undefined when one has all. Rejects when they are not
   * arranged so.
   */
  parts(worker: WorkerRef, user: string, split: ObjectSplit | undefined): Promise<WorkerdParts>;
  /** The exclusive groups of a version's process: no other may run on the same files. */
  groups(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<readonly string[]>;
  /** What is to be done when the objects' files do not lie as the split wants them, while no process of the groups runs. */
  misplaced(
    script: ScriptRef,
    split: ObjectSplit | undefined,
  ): Promise<{ readonly groups: readonly string[]; arrange(): Promise<void> } | undefined>;
  /**
   * Modules to put before those of a Worker that implements Durable Objects, the first as the new main module: they give
   * its classes the documented limits that workerd does not enforce, and count what they use. Empty when it implements
   * none. They need AsyncLocalStorage.
   */
  modules(worker: WorkerRef, main: string, exported: readonly string[], split: ObjectSplit | undefined): Promise<readonly Module[]>;
  /**
   * Ends what runs in the objects of a process that must let go of them, with the error that the real service gives when an
   * object's code was updated. `socket` gives the path of the process's sockets.
   */
  reset(socket: (name: string) => string): Promise<void>;
  /**
   * Counts what the objects of a script's process used since the last call for the process. `cpuMs`: what the process's
   * thread ran since then.
   */
  meter(script: ScriptRef, socket: (name: string) => string, cpuMs: number): Promise<void>;
  /** Registers who reaches the process that serves a script's objects, or a version's, for what the platform itself does in them. */
  reachedBy(lease: (script: string, versionId?: string) => Promise<{ socket(name: string): string; release(): void }>): void;
  /** Registers who knows the account's scripts. */
  scriptsBy(find: (name: string) => ScriptRef | undefined): void;
  /** Tag of the last migration that was applied. */
  migrationTag(script: ScriptRef): Promise<string | undefined>;
  /** Name of the directory service in which the objects live, for `durableObjectStorage`. */
  readonly storageService: string;
  /** The next due alarm of the objects that a version has, in milliseconds since the epoch, or undefined. Reads files only. */
  nextAlarm(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<number | undefined>;
  /** Forgets that alarm; resolves with the object's id. No process of the version may run. */
  dropNextAlarm(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<string | undefined>;
  /** The script goes in this transaction, and its namespaces with it. */
  removeScript(tx: MetaTransaction, script: ScriptRef): Promise<void>;
  /** Deletes the files of namespaces that are gone. Called after the commit, when no process uses them any more. */
  sweep(script: ScriptRef): Promise<void>;
}

export type { BlobId };
