/**
 * The shape of a product. One product = one folder = one value of type `Product`; the kernel starts the list
 * in `src/products.ts` in the order of their needs, gives each a slice of itself, and collects what each
 * serves: REST routes, gateway hosts, bindings, engines in the system workerd. The kernel names no product,
 * and no product imports another.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { AuditLog, Change } from "./api/audit.ts";
import type { PermissionGroup, Principal } from "./api/tokens.ts";
import type { BlobStore } from "./blobs/blobs.ts";
import type { BlobLeases } from "./blobs/leases.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { JournalStore } from "./journal/journal.ts";
import type { Log } from "./log.ts";
import type { MetaStore, Migration } from "./meta/meta.ts";
import type { SecretBox } from "./secrets.ts";
import type {
  ContainerEngine,
  DurableObjectNamespace,
  ExtensionModule,
  HttpOptions,
  ServiceDesignator,
  Binding as WorkerdBinding,
  Service as WorkerdService,
} from "./workerd/config.ts";
import type { Runtime } from "./workerd/runtime.ts";

export interface Product {
  /** Folder, log scope and table prefix: "kv", "r2". */
  readonly name: string;
  readonly status: "stable" | "beta" | "experimental";
  /** Capabilities that other products offer and that this one uses; each must be in some `provides`. */
  readonly needs?: readonly (keyof Capabilities)[];
  /** Capabilities in `RunningProduct.offers`. */
  readonly provides?: readonly (keyof Capabilities)[];
  readonly migrations?: readonly Migration[];
  /** Permission groups of API tokens that this product checks, with Cloudflare's ids and names. */
  readonly permissions?: readonly PermissionGroup[];
  /** Engines that run in the system workerd. Pure: called before `start`. */
  readonly system?: (paths: SystemPaths) => SystemParts;
  /** Nothing may do I/O before `start`. A `start` that throws has cleaned up after itself. */
  start(kernel: KernelSlice): Promise<RunningProduct>;
}

/** Where the state of engines in the system workerd lies. */
export interface SystemPaths {
  /** Directory of this product's own, kept across restarts, inside the data directory. */
  readonly data: string;
}

export interface SystemParts {
  /** Services to add. A name starts with the product's name and a colon. */
  readonly services: readonly WorkerdService[];
  /**
   * The Worker of these services that answers requests of this product's capabilities. It must ask `claimsOf` of
   * `kernel/workerd/capability.worker.ts` before anything else; the kernel adds that module and the key it needs. The
   * Worker's own modules come from `workerModules`, so that it can import it.
   */
  readonly entry: string;
}

/** What a product gets. Everything is scoped to it: own log, own tables, own capabilities. */
export interface KernelSlice {
  readonly log: Log;
  readonly clock: Clock;
  readonly config: Config;
  readonly meta: MetaStore;
  readonly blobs: BlobStore;
  /** Names for blobs that must not outlive a crash before their row: see `blobs/leases.ts`. */
  readonly leases: BlobLeases;
  readonly journals: JournalStore;
  /** Encrypts what must not lie readable on disk, with a key outside the database. */
  readonly secrets: SecretBox;
  /** The one account of this installation: 32 hex digits. */
  readonly accountId: string;
  /** A directory of this product's own inside the data directory, for engines that need files. Created. */
  readonly directory: string;
  /** Where this product's engines of the system workerd keep their state: the `data` that `Product.system` was given. */
  readonly systemDirectory: string;
  readonly urls: PlatformUrls;
  readonly auth: Auth;
  readonly mint: CapabilityMint;
  readonly runtime: Runtime;
  readonly bindings: BindingRegistry;
  /** For doors that are not REST; operations of the API use `RequestContext.audit`. */
  readonly audit: Pick<AuditLog, "record">;
  /**
   * The REST API, for a product that signs people in by other means than a bearer token: answers as the principal, or
   * without one as the request's own credentials say. Serves once every product has started.
   */
  api(request: Request, principal?: Principal): Promise<Response>;
  /**
   * A proxy on the loopback interface for a program that works for users: it answers for the platform's names, as that of
   * `exec` does, and reaches public addresses besides, and those of `allow` ("host" or "host:port"). Resolves once every
   * product has started: do not wait for it before.
   */
  openProxy(allow: readonly string[]): Promise<ProgramProxy>;
  /**
   * Certificate chain and key, as PEM, of the platform's own authority for a name of the platform's. Resolves once every
   * product has started: do not wait for it before. Throws for a name that nothing serves.
   */
  certificateFor(host: string): Promise<{ readonly cert: string; readonly key: string }>;
  /** Sends a request to this product's `entry` in the system workerd, claims included. Unix socket, keep-alive. */
  system(claims: Claims, request: SystemRequest): Promise<SystemResponse>;
  /** The capability another product offers; only keys in `needs`. */
  get<K extends keyof Capabilities>(key: K): Capabilities[K];
}

export interface ProgramProxy {
  /** "http://127.0.0.1:41234". */
  readonly url: string;
  /** The key of the authority that signed the platform's names: SHA-256 of its SubjectPublicKeyInfo in base64. */
  readonly trustedKey: string;
  /** Path of that authority's certificate, in PEM. */
  readonly authorityFile: string;
  /** Ends every connection. Safe to call twice. */
  close(): Promise<void>;
}

/** What a capability stands for; a product chooses the members. Small, JSON. */
export type Claims = Readonly<Record<string, string | number | boolean | null>>;

export interface CapabilityMint {
  /**
   * A workerd service that reaches this product's `internal` handler on the Node side with these claims; bind
   * it with `kvNamespace`, `r2Bucket`, `wrapped`, `service`, … User code can neither see nor change the claims. `http`
   * names headers in which workerd says what a request line does not.
   */
  node(serviceName: string, claims: Claims, http?: Pick<HttpOptions, "cfBlobHeader" | "forwardedProtoHeader">): WorkerdService;
  /** The same for this product's `entry` in the system workerd. */
  system(serviceName: string, claims: Claims): WorkerdService;
}

export interface SystemRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
}

export interface SystemResponse {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
  json<T = unknown>(): Promise<T>;
}

export interface PlatformUrls {
  /** "freehold.localhost". */
  readonly domain: string;
  /** Base of the gateway without host routing: "http://127.0.0.1:8787". Known once the gateway listens; read it late. */
  gateway(scheme?: "http" | "https"): string;
  /** URL of a platform host: `host("abc.ingest")` gives "http://abc.ingest.freehold.localhost:8787". */
  host(name: string): string;
}

export interface Auth {
  /** The principal of `Authorization: Bearer …` or `X-Auth-Key`; throws `platform.authentication` / `platform.invalidToken`. */
  bearer(headers: IncomingMessage["headers"]): Promise<Principal>;
  /** The principal and S3 secret behind an access key id (a token's id), or undefined when unknown or revoked. */
  accessKey(accessKeyId: string): Promise<{ principal: Principal; secretAccessKey: string } | undefined>;
  /** The S3 secret that belongs to a bearer token's value: sha256 in hex. */
  s3Secret(tokenValue: string): string;
}

export interface RunningProduct {
  readonly routes?: readonly Route[];
  readonly hosts?: readonly HostRoute[];
  /** By the binding type of script metadata: "kv_namespace", "r2_bucket", "d1". */
  readonly bindings?: Readonly<Record<string, BindingCompiler>>;
  /** Requests of Workers through `mint.node` services, and of our own trusted Workers. */
  readonly internal?: (claims: Claims, request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** The same for WebSockets. */
  readonly internalUpgrade?: (claims: Claims, request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>;
  readonly offers?: Partial<Capabilities>;
  /** Datasets of the GraphQL Analytics API by name: "d1AnalyticsAdaptiveGroups". */
  readonly datasets?: Readonly<Record<string, Dataset>>;
  /** Variables that `freehold exec` adds to a client's environment. Read once the gateway listens. */
  clientEnvironment?(): Readonly<Record<string, string>>;
  check?(): Promise<Health>;
  /** The platform begins to stop: ends answers that have no end of their own, which the gateway would wait for. */
  closing?(): void;
  /** Ends all background work and waits for it. Safe to call twice. */
  stop(): Promise<void>;
}

export interface Health {
  readonly ok: boolean;
  readonly detail: string;
}

// --- analytics ---------------------------------------------------------------------------------------------

/**
 * Dated facts for the GraphQL Analytics API, which filters, groups and sums them. A dataset whose name ends in "Groups" is
 * answered in groups, another one fact by fact. What it declares is what queries may name and introspection shows.
 */
export interface Dataset {
  /** What the facts are, in a sentence: shown by introspection. */
  readonly description: string;
  /** Answered in groups although its name does not say so. */
  readonly grouped?: true;
  /** Names of permission groups of which the token needs one. */
  readonly permission: readonly string[];
  /** Dimensions besides those of time. */
  readonly dimensions: Readonly<Record<string, "string" | "uint64">>;
  /** Members of the facts' `sum` and `max`. */
  readonly sum?: readonly string[];
  readonly max?: readonly string[];
  /** Members of `sum` that are no whole numbers. */
  readonly fractions?: readonly string[];
  /** Members of the facts' `mean`: of things that last, in `avg`, the mean over the minutes in which there were any. */
  readonly means?: readonly string[];
  /** Members of `sum` that may be asked for as a mean for each counted event, and as quantiles: `requestDurationMsP50`. */
  readonly avg?: readonly string[];
  readonly quantiles?: readonly string[];
  /** Every fact of the window; some more do no harm. Bounded: throws a `QueryError` for too many. */
  facts(window: DatasetWindow): Promise<readonly Fact[]>;
}

export interface DatasetWindow {
  /** Milliseconds since the epoch; `to` is not part of the window. */
  readonly from: number;
  readonly to: number;
  /** Facts of equal dimensions may be summed up into periods of this many milliseconds (Infinity: the whole window). */
  readonly unit: number;
}

export interface Fact {
  /** Milliseconds since the epoch; the dimensions date, datetime, datetimeHour, … follow from it. */
  readonly time: number;
  readonly dimensions: Readonly<Record<string, string | number>>;
  /** Events that the fact stands for; 1 when absent. */
  readonly count?: number;
  readonly sum?: Readonly<Record<string, number>>;
  readonly max?: Readonly<Record<string, number>>;
  /** How many there were at a time, in the minute of `time`. */
  readonly mean?: Readonly<Record<string, number>>;
}

// --- REST v4 -----------------------------------------------------------------------------------------------

/** One operation of the REST API. Its id is the key of logs, metrics and coverage tables. */
export interface Route {
  /** "kv.namespaces.create". */
  readonly op: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD";
  /**
   * Path under /client/v4 in Hono's syntax: "/accounts/:account/storage/kv/namespaces/:id". The kernel checks
   * `:account` itself, and asks for the permission on the zone where the path has a `:zone`. `:key{.+}` takes the rest of the path, decoded.
   */
  readonly path: string;
  /**
   * Names of permission groups of which the token needs one ("Workers KV Storage Write"); empty = any valid token;
   * "public" = the handler authenticates by itself.
   */
  readonly permission: readonly string[] | "public";
  /** Returns a value for the v4 envelope, a `page(...)`, or a whole `Response`. */
  handle(context: RequestContext): Promise<unknown>;
}

export interface RequestContext {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly principal: Principal;
  /** Address of the client; empty when it is not known. */
  readonly ip: string;
  /** The request itself, for bodies that stream. */
  readonly request: Request;
  /** Notes a change of configuration for the audit log; it is recorded when the handler has succeeded. */
  audit(change: Change): void;
  /** The JSON body, at most `maxBytes` (default 10 MiB); throws the documented errors. `schema` is a Zod schema or any `parse`. */
  json<T>(schema: { parse(value: unknown): T }, maxBytes?: number): Promise<T>;
  /** The body in memory, at most `maxBytes`. */
  bytes(maxBytes: number): Promise<Uint8Array>;
  /** The body piece by piece, at most `maxBytes`, for what is too large for memory. */
  chunks(maxBytes: number): AsyncIterable<Uint8Array>;
}

// --- hosts of the gateway ----------------------------------------------------------------------------------

/** A family of host names that a product serves on the gateway's port. */
export interface HostRoute {
  /** Name in the ready file's `hosts`: "r2", "ingest". */
  readonly name: string;
  /** Under the platform's domain, one label per placeholder: "{bucket}.{account}.r2", "{stream}.ingest"; none for a route that only has `paths`. */
  readonly patterns: readonly string[];
  /** The real service's host names that lead here too: "{account}.r2.cloudflarestorage.com". */
  readonly publicHosts?: readonly string[];
  /** Path that follows the host in the ready file's URL template: "/{account}/{bucket}". */
  readonly template?: string;
  /** Requests with an AWS signature to the gateway's bare address (an IP, localhost) come here too, with the platform's account. */
  readonly signed?: true;
  /** Every path of these hosts belongs to the route, also /client/v4. */
  readonly wholeHost?: true;
  /**
   * Prefixes of paths that are the route's on host names that users have connected, whichever route has the names
   * otherwise: "/cdn-cgi/image/". `resolve` is asked for these paths before any other route's, and for no other path.
   */
  readonly paths?: readonly string[];
  /**
   * Host names that users have connected (custom domains, routes): the params for a lower-case name without port that no
   * pattern fits, or undefined. Asked for every such request, so it answers from memory. Without a target the question is
   * whether the name is served at all. `target` is path and query, `scheme` "http" or "https".
   */
  resolve?(host: string, target?: string, scheme?: string): Readonly<Record<string, string>> | undefined;
  /** `resolve` is asked when no other route's knows the name: for what a name leads to when nobody has it. */
  readonly last?: true;
  handle(params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): void | Promise<void>;
  /** The protocols that `upgrade` takes, as the header `Upgrade` names them, in lower case; only WebSocket when absent. */
  readonly upgrades?: readonly string[];
  upgrade?(params: Readonly<Record<string, string>>, request: IncomingMessage, socket: Duplex, head: Buffer): void | Promise<void>;
}

// --- bindings of Workers -----------------------------------------------------------------------------------

/** A binding as script metadata carries it: `{ type, name, … }`. */
export interface BindingConfig {
  readonly type: string;
  readonly name: string;
  readonly [key: string]: unknown;
}

/** The Worker that a binding is compiled for. */
export interface WorkerRef {
  readonly scriptName: string;
  readonly scriptId: string;
  readonly versionId: string;
  /** A service of that name for the Worker's configuration which leads to a socket of another Worker's process. */
  reach(serviceName: string, destination: Destination): Promise<WorkerdService>;
}

/** A way into a Worker's process, whichever serves it at the time; it is started on demand. */
export interface Destination {
  /** Equal keys are equal destinations. */
  readonly key: string;
  /** Name of the Worker, asked for each call: what a socket stands for may move from one Worker to another. */
  worker(): Promise<string>;
  /** One of the sockets that `WorkerdParts` gave the process. */
  readonly socket: string;
  /** Headers `x-freehold-…` that callers' sides say there, in lower case; others of that kind do not get through. */
  readonly headers?: readonly string[];
  /** Which of the Worker's deployed versions; without it, or when it is not deployed any more, any of them. */
  readonly version?: string;
}

/** What a binding adds to the Worker's workerd config. */
export interface WorkerdParts {
  readonly bindings: readonly WorkerdBinding[];
  /** Backing services; equal names must be equal services. */
  readonly services?: readonly WorkerdService[];
  readonly durableObjectNamespaces?: readonly DurableObjectNamespace[];
  /** Ways in for other Workers' processes, by the socket's name; see `WorkerRef.reach`. Names of at most 20 characters. */
  readonly sockets?: readonly { readonly name: string; readonly service: ServiceDesignator }[];
  /** Modules of `wrapped` bindings; equal names must be equal modules. */
  readonly extensions?: readonly ExtensionModule[];
  /** Classes of Durable Objects whose objects have a container, and where workerd asks for it. */
  readonly containers?: { readonly engine: ContainerEngine; readonly classes: readonly string[] };
  /** Environment variables of the process, for `fromEnvironment` bindings: values that must not lie on disk. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface BindingCompiler {
  /** With `raw: true`, as for the proxy Worker of wrangler's remote bindings, it still is the object that Worker code knows. */
  readonly neverRaw?: true;
  /** The Worker of the account that takes the fetch() of the Workers which the binding calls, if it names one. */
  outbound?(binding: BindingConfig): string | undefined;
  /** The id of the dispatch namespace whose Workers the binding calls: the Tail Workers of who has it hear of them, too. */
  dispatchesTo?(binding: BindingConfig): string | undefined;
  /** A method of the binding's objects that one invocation may call so often; past it the call throws an Error with the message. */
  readonly perInvocation?: { readonly method: string; readonly max: number; readonly message: string };
  /** Names of permission groups of which the token that uploads needs one, besides its right to upload. */
  readonly permission?: readonly string[];
  /** At upload: throws the documented error when the target does not exist. Returns what to store. */
  validate(binding: BindingConfig, worker: WorkerRef): Promise<BindingConfig>;
  /** When a process is configured. Deterministic for equal state, so golden files test it. */
  compile(binding: BindingConfig, worker: WorkerRef): Promise<WorkerdParts>;
}

export interface BindingRegistry {
  /** Throws `platform.notImplemented` naming the type when no product compiles it. */
  get(type: string): BindingCompiler;
}

// --- paging ------------------------------------------------------------------------------------------------

/** A list answer with the envelope's `result_info`. Made by `page` in `api/envelope.ts`. */
export interface Page<T> {
  readonly page: true;
  readonly result: readonly T[];
  readonly resultInfo: Readonly<Record<string, unknown>>;
}
