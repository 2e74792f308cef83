/**
 * A version as a workerd process. Sockets: "http" goes straight to the user's Worker (or to workerd's assets router in
 * front of it), "events" to the trusted dispatcher, and one for each entrypoint that other Workers may bind.
 * The user's code never sees the platform's own services: only what its bindings name.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type {
  ContentCache,
  Dispatch,
  DurableObjects,
  ImageTransforms,
  ProcessWorker,
  Telemetry,
  TelemetryRates,
} from "../../kernel/capabilities.ts";
import type { ObjectSplit } from "../../kernel/object-split.ts";
import type { Destination, KernelSlice, WorkerdParts, WorkerRef } from "../../kernel/product.ts";
import type {
  DurableObjectNamespace,
  Module,
  Service,
  Socket,
  TlsOptions,
  WorkerdConfig,
  WorkerService,
} from "../../kernel/workerd/config.ts";
import { workerModule, workerModules } from "../../kernel/workerd/module.ts";
import type { ProcessPlan } from "../../kernel/workerd/runtime.ts";
import type { Assets } from "./assets.ts";
import { ASSETS_SERVICE } from "./bindings.ts";
import type { Script, StoredModule, Version } from "./model.ts";
import { namespaceOf } from "./owner.ts";
import { flagsForPython, kindForPython, mainModule, PYTHON_MAIN, pythonMain } from "./python/modules.ts";
import type { PyodideModules } from "./python/pyodide.ts";
import { rawParts } from "./raw-bindings.ts";
import { contextFlags, countingModules } from "./subrequests.ts";

/** Service name of the user's Worker in its process. */
export const USER = "user";
/** Socket of the trusted dispatcher. */
export const EVENTS = "events";
const CACHE = "freehold-cache";
const OUTBOUND = "freehold-outbound";
const DISPATCHER = "freehold-dispatcher";
const OWN_COMPATIBILITY_DATE = "2026-01-01";
/** Header that carries `request.cf` to workerd, which removes it. Clients cannot send it: `http.ts` drops the prefix. */
export const CF_HEADER = "x-freehold-cf";
export const PROTO_HEADER = "x-freehold-proto";
/**
 * Host name of the CONNECT with which workerd processes open an RPC connection. Unguessable: a Worker that could name it
 * in `connect()` would speak raw RPC to the Worker it binds, with events that no binding allows.
 */
export const RPC_HOST = `rpc-${randomBytes(16).toString("hex")}`;
/** Options of the HTTP connections between Workers, on both sides. */
export const LINK_HTTP = { cfBlobHeader: CF_HEADER, forwardedProtoHeader: PROTO_HEADER, capnpConnectHost: RPC_HOST } as const;

/** One way into a Worker from others: an entrypoint with the props that the caller's binding gives. */
export interface Entry {
  readonly entrypoint?: string | undefined;
  readonly props?: unknown;
}

/** An entry of a Worker as a destination for other Workers. */
export const entryOfWorker = (worker: string, entry: Entry): Destination => ({
  key: `${worker}\n${entryName(entry)}`,
  worker: async () => worker,
  socket: entryName(entry),
});

/** Name of an entry's socket: short, since a socket's path is limited to 107 bytes. */
export const entryName = ({ entrypoint, props }: Entry): string =>
  `e${createHash("sha256")
    .update(JSON.stringify([entrypoint ?? "default", props ?? null]))
    .digest("hex")
    .slice(0, 12)}`;

/** A tail Worker, with the path of the socket that leads to it. */
interface TailWorker {
  readonly name: string;
  readonly path: string;
}

export interface PlanOptions {
  readonly script: Pick<Script, "id" | "name">;
  readonly version: Version;
  /** Entries besides the exported entrypoints without props. */
  readonly entries: readonly Entry[];
  /** How its Durable Objects are shared with another version. */
  readonly split: ObjectSplit | undefined;
  /** Whether live tails want the traces of invocations. */
  readonly tailed: boolean;
  /** Names of the zones that it has routes in: its fetch() reaches their origins. */
  readonly zones: readonly string[];
  /** What is kept of invocations. */
  readonly telemetry: TelemetryRates | undefined;
  /** Tail Workers, with the sockets that reach them. */
  readonly consumers: readonly TailWorker[];
  /** Those that hear of events as they happen. */
  readonly streamConsumers: readonly TailWorker[];
  /** Of a user Worker: the Worker of the account that its fetch() goes to. */
  readonly outbound: string | undefined;
  /** Whether other Workers' fetch() comes to this one. */
  readonly takesOutbound: boolean;
}

/** What a plan is made with. */
export interface PlanContext {
  readonly kernel: KernelSlice;
  readonly assets: Assets;
  readonly durableObjects: DurableObjects;
  readonly cache: ContentCache;
  readonly pyodide: PyodideModules;
  readonly images: ImageTransforms;
  /** The account's own part of its Workers' public host names. */
  readonly subdomain: () => string;
  readonly telemetry: Telemetry;
  /** What other products add to each process. */
  readonly extensions: readonly Parameters<Dispatch["extend"]>[0][];
  /** What keeps a script's process awake. */
  readonly awake: readonly ((scriptId: string) => boolean)[];
  /** Path of the socket that leads to the destination. */
  readonly link: (destination: Destination) => Promise<string>;
}

/** The Worker that bindings are validated and compiled for. */
export const workerRef = ({ link }: PlanContext, script: Pick<Script, "id" | "name">, versionId: string): WorkerRef => ({
  scriptName: script.name,
  scriptId: script.id,
  versionId,
  reach: async (name, destination) => ({ name, external: { address: `unix:${await link(destination)}`, http: LINK_HTTP } }),
});

/** The entrypoints that a version exports. */
export function exportedEntries(version: Version): Entry[] {
  const named = version.exports.filter((e) => e.name !== "default" && (e.type === "entrypoint" || e.type === "object"));
  return [{}, ...named.map((e) => ({ entrypoint: e.name }))];
}

/** The whole config of a version's process. */
export async function planProcess(context: PlanContext, options: PlanOptions, socket: (name: string) => string): Promise<ProcessPlan> {
  const { kernel } = context;
  const { script, version, takesOutbound } = options;
  const namespace = namespaceOf(script.name);
  const worker = workerRef(context, script, version.id);
  const objects = await context.durableObjects.parts(worker, USER, options.split);
  const parts = mergeParts([await compileBindings(context, options), objects, ...(await extensionsOf(context, options))]);
  const hasObjects = (objects.durableObjectNamespaces ?? []).length > 0;
  const services: Service[] = [internet(kernel), ...(parts.services ?? [])];
  const tails: string[] = [];
  const streamingTails: string[] = options.telemetry === undefined ? [] : ["freehold-trace"];
  for (const [kind, workers, to] of [
    ["tail", options.consumers, tails],
    ["tail-stream", options.streamConsumers, streamingTails],
  ] as const) {
    for (const { name, path } of workers) {
      services.push({ name: `${kind}:${name}`, external: { address: `unix:${path}`, http: LINK_HTTP } });
      to.push(`${kind}:${name}`);
    }
  }
  if (options.tailed) {
    services.push(...tailServices(kernel, script.id, version.id));
    tails.push("freehold-tail");
  }
  if (options.telemetry !== undefined) services.push(...traceServices(kernel, script.id, version.id, options.telemetry));
  const hasCode = version.syntax !== "none";
  if (hasCode) {
    const code = await userCode(context, version);
    const main = mainModule(version);
    const exported = version.exports.map((e) => e.name);
    const counting = countingModules(version, kernel.bindings, kernel.config, { isUserWorker: namespace !== undefined, takesOutbound });
    const objectModules =
      main !== undefined &&
      (await context.durableObjects.modules(worker, { main: counting?.main ?? main, exported, around: counting?.around }, options.split));
    const before = [...(objectModules || []), ...(counting?.modules ?? [])];
    services.push({
      name: USER,
      worker: {
        ...code,
        ...(code.modules !== undefined && { modules: [...before, ...code.modules] }),
        compatibilityFlags: [...(code.compatibilityFlags ?? []), ...(before.length > 0 ? contextFlags(version) : [])],
        bindings: parts.bindings,
        cacheApiOutbound: CACHE,
        ...egress(options),
        ...(hasObjects && {
          durableObjectNamespaces: (parts.durableObjectNamespaces ?? []).map((namespace) => withContainer(namespace, parts)),
          durableObjectStorage: context.durableObjects.storageService,
          ...(parts.containers && { containerEngine: parts.containers.engine }),
        }),
        tails,
        ...(streamingTails.length > 0 && { streamingTails }),
      },
    });
    // Workers of a namespace that trusts them share one cache.
    const cacheScope = version.trusted === true && namespace !== undefined ? namespace : script.id;
    services.push(...dispatcher(context, options), context.cache.service(CACHE, cacheScope));
    if (options.outbound !== undefined) services.push(outboundService(kernel, options.outbound));
  }
  if (version.assets !== undefined) services.push(await assetsService(context, version, hasCode));
  const front = version.assets === undefined ? USER : ASSETS_SERVICE;
  const at = (name: string, service: Socket["service"], http: Socket["http"]): Socket => ({
    name,
    address: `unix:${socket(name)}`,
    http,
    service,
  });
  // What a user Worker throws is told to its caller.
  const entrance = namespace !== undefined && hasCode ? { name: DISPATCHER, entrypoint: "Front" } : front;
  const sockets: Socket[] = [at("http", entrance, { cfBlobHeader: CF_HEADER, forwardedProtoHeader: PROTO_HEADER })];
  if (hasCode) {
    sockets.push(at(EVENTS, DISPATCHER, {}));
    for (const [name, entry] of uniqueEntries(version, options.entries)) {
      const service = {
        name: USER,
        ...(entry.entrypoint !== undefined && { entrypoint: entry.entrypoint }),
        ...(entry.props !== undefined && { props: entry.props }),
      };
      // The default entry goes through the assets, as a request from outside does.
      const target = entry.entrypoint === undefined && entry.props === undefined ? front : service;
      sockets.push(at(name, target, LINK_HTTP));
    }
  } else {
    sockets.push(at(entryName({}), front, LINK_HTTP));
  }
  for (const { name, service } of parts.sockets ?? []) sockets.push(at(name, service, LINK_HTTP));
  const config: WorkerdConfig = { services, sockets, ...(parts.extensions && { extensions: parts.extensions }) };
  return { config, environment: parts.environment ?? {} };
}

async function extensionsOf({ extensions }: PlanContext, { script, version }: PlanOptions): Promise<WorkerdParts[]> {
  const { exports, compatibilityDate, compatibilityFlags, containers = [] } = version;
  const { id: scriptId, name: scriptName } = script;
  const worker: ProcessWorker = { scriptId, scriptName, containers, exports, compatibilityDate, compatibilityFlags, user: USER };
  return (await Promise.all(extensions.map((parts) => parts(worker)))).flatMap((parts) => parts ?? []);
}

/** The image is the affair of whoever answers at the engine's socket. A jurisdiction's class is named `Class@eu`. */
const withContainer = (namespace: DurableObjectNamespace, { containers }: WorkerdParts): DurableObjectNamespace =>
  containers?.classes.includes(namespace.className.split("@")[0] as string) === true
    ? { ...namespace, container: { imageName: "current" } }
    : namespace;

function uniqueEntries(version: Version, extra: readonly Entry[]): Map<string, Entry> {
  const exported = exportedEntries(version);
  const known = new Set(exported.map((entry) => entry.entrypoint));
  // An entry that the code does not export would keep the process from starting.
  const usable = extra.filter((entry) => known.has(entry.entrypoint));
  return new Map([...exported, ...usable].map((entry) => [entryName(entry), entry]));
}

/**
 * Modules and compatibility settings; the code is read from blobs when workerd starts. `names` are those that a Python module
 * may export.
 */
export async function userCode(
  { kernel, pyodide }: Pick<PlanContext, "kernel" | "pyodide">,
  version: Version,
  names: readonly string[] = version.exports.flatMap(({ name }) => (name === "default" ? [] : name)),
): Promise<Pick<WorkerService, "modules" | "serviceWorkerScript" | "compatibilityDate" | "compatibilityFlags">> {
  const settings = { compatibilityDate: version.compatibilityDate, compatibilityFlags: version.compatibilityFlags };
  const code = version.modules.filter((module) => module.kind !== "source-map");
  if (version.syntax === "python") {
    const own = code.map((module) => ({ ...module, kind: kindForPython(module.kind) }));
    const files = own.flatMap(({ name, kind }) => (kind === "text" || kind === "data" ? name : []));
    return {
      compatibilityDate: version.compatibilityDate,
      compatibilityFlags: flagsForPython(version),
      modules: [
        { name: PYTHON_MAIN, esModule: pythonMain(version.main, files, names) },
        ...(await Promise.all(own.map((module) => moduleOf(kernel, module)))),
        ...(await pyodide.modules()),
      ],
    };
  }
  if (version.syntax === "service-worker") {
    return { ...settings, serviceWorkerScript: { file: await pathOf(kernel, (code[0] as StoredModule).blob) } };
  }
  return { ...settings, modules: await Promise.all(code.map((module) => moduleOf(kernel, module))) };
}

async function moduleOf(kernel: KernelSlice, module: StoredModule): Promise<Module> {
  const { name } = module;
  const source = { file: await pathOf(kernel, module.blob) };
  switch (module.kind) {
    case "esm":
      return { name, esModule: source };
    case "commonjs":
      return { name, commonJsModule: source };
    case "wasm":
      return { name, wasm: source };
    case "text":
      return { name, text: source };
    case "json":
      return { name, json: source };
    default:
      return { name, data: source };
  }
}

async function pathOf(kernel: KernelSlice, blob: BlobId): Promise<string> {
  const local = await kernel.blobs.localFile(blob);
  await local.release();
  return local.path;
}

/** The parts of all bindings of a version. */
export async function compileBindings(context: PlanContext, options: Pick<PlanOptions, "script" | "version">): Promise<WorkerdParts> {
  const { script, version } = options;
  const worker = workerRef(context, script, version.id);
  const compiled = version.bindings.map(async (b) => {
    const compiler = context.kernel.bindings.get(b.type);
    const parts = await compiler.compile(b, worker);
    return compiler.neverRaw === true ? parts : rawParts(b, parts);
  });
  return mergeParts([runtimeModules(), ...(await Promise.all(compiled))]);
}

/** Modules that Workers import by `cloudflare:` names and that open workerd leaves to its host. */
const runtimeModules = (): WorkerdParts => ({
  bindings: [],
  extensions: [{ name: "cloudflare-internal:email", esModule: workerModule(import.meta.url, "./email.worker.ts"), internal: true }],
});

/** Equal names are equal services; different ones under one name would be a mistake of ours. */
export function mergeParts(all: readonly WorkerdParts[]): WorkerdParts {
  const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] => [
    ...new Map(items.map((item) => [item.name, item])).values(),
  ];
  return {
    bindings: all.flatMap((part) => part.bindings),
    services: byName(all.flatMap((part) => part.services ?? [])),
    durableObjectNamespaces: all.flatMap((part) => part.durableObjectNamespaces ?? []),
    sockets: all.flatMap((part) => part.sockets ?? []),
    extensions: byName(all.flatMap((part) => part.extensions ?? [])),
    environment: Object.assign({}, ...all.map((part) => part.environment ?? {})),
    ...all.reduce<Pick<WorkerdParts, "containers">>((found, { containers }) => (containers === undefined ? found : { containers }), {}),
  };
}

/** Where `fetch()` and `connect()` of user code go: by default public addresses only. */
export const internet = (kernel: KernelSlice): Service => network(kernel, "internet");

/** The same network under another name, where servers that ask for a certificate see the given one. */
export function network({ config }: KernelSlice, name: string, keypair?: TlsOptions["keypair"]): Service {
  const trusted = config["runtime.trusted_certificates"].map((path) => readFileSync(path, "utf8"));
  const tls: TlsOptions = {
    trustBrowserCas: true,
    ...(trusted.length > 0 && { trustedCertificates: trusted }),
    ...(keypair && { keypair }),
  };
  return { name, network: { allow: config["runtime.outbound_allow"], tls } };
}

const isStrict = ({ compatibilityFlags }: Version): boolean => compatibilityFlags.includes("global_fetch_strictly_public");

/** Whether fetch() may lead to the platform. Others go out by themselves: a connect() that passes by a Worker may never end. */
const goesOut = ({ zones, version }: PlanOptions): boolean => zones.length > 0 || isStrict(version);

/** Where fetch() goes when it is not straight to the Internet. */
function egress(options: PlanOptions): Pick<WorkerService, "globalOutbound"> {
  if (options.outbound !== undefined) return { globalOutbound: OUTBOUND };
  return goesOut(options) ? { globalOutbound: { name: DISPATCHER, entrypoint: "Outbound" } } : {};
}

/** Takes HTTP alone: connect() fails, as documented for user Workers with an outbound Worker. */
const outboundService = ({ mint }: KernelSlice, worker: string): Service =>
  mint.node(OUTBOUND, { kind: "outbound", worker }, { forwardedProtoHeader: PROTO_HEADER });

/** The trusted Worker beside the user's: events come in by it, and fetch() goes out. */
function dispatcher({ kernel, subdomain, images }: PlanContext, { script, version, zones }: PlanOptions): Service[] {
  const strict = isStrict(version);
  const own = [...zones, `workers.${kernel.urls.domain}`, `${subdomain()}.workers.dev`];
  return [
    kernel.mint.node("freehold-email-actions", { kind: "email" }),
    kernel.mint.node("freehold-own-hosts", { kind: "own-host", script: script.name, strict }, { forwardedProtoHeader: PROTO_HEADER }),
    images.service("freehold-image-transforms", zones),
    {
      name: DISPATCHER,
      worker: {
        modules: workerModules(import.meta.url, "./dispatcher.worker.ts", "./outbound.worker.ts", "./front.worker.ts"),
        compatibilityDate: OWN_COMPATIBILITY_DATE,
        compatibilityFlags: ["service_binding_extra_handlers", "connect_pass_through", "rpc"],
        bindings: [
          { name: "USER", service: USER },
          ...(namespaceOf(script.name) === undefined
            ? []
            : [{ name: "FRONT", service: version.assets === undefined ? USER : ASSETS_SERVICE }]),
          { name: "ACTIONS", service: "freehold-email-actions" },
          { name: "PLATFORM", service: "freehold-own-hosts" },
          { name: "IMAGES", service: "freehold-image-transforms" },
          { name: "OWN", json: JSON.stringify(own) },
        ],
      },
    },
  ];
}

const tailServices = (kernel: KernelSlice, scriptId: string, versionId: string): Service[] => [
  kernel.mint.node("freehold-tail-sink", { kind: "tail", scriptId, versionId }),
  {
    name: "freehold-tail",
    worker: {
      modules: workerModules(import.meta.url, "./tail.worker.ts", "./outbox.worker.ts", "./platform-entrypoint.worker.ts"),
      compatibilityDate: OWN_COMPATIBILITY_DATE,
      bindings: [{ name: "SINK", service: "freehold-tail-sink" }],
    },
  },
];

const traceServices = (kernel: KernelSlice, scriptId: string, versionId: string, rates: TelemetryRates): Service[] => [
  kernel.mint.node("freehold-trace-sink", { kind: "invocations", scriptId, versionId }),
  {
    name: "freehold-trace",
    worker: {
      modules: workerModules(import.meta.url, "./trace.worker.ts", "./outbox.worker.ts", "./platform-entrypoint.worker.ts"),
      compatibilityDate: OWN_COMPATIBILITY_DATE,
      compatibilityFlags: ["streaming_tail_worker"],
      bindings: [
        { name: "SINK", service: "freehold-trace-sink" },
        { name: "RATES", json: JSON.stringify(rates) },
      ],
    },
  },
];

async function assetsService(context: PlanContext, version: Version, hasCode: boolean): Promise<Service> {
  const { manifest, config } = version.assets as NonNullable<Version["assets"]>;
  const { _headers: headers, _redirects: redirects, ...handling } = config;
  return {
    name: ASSETS_SERVICE,
    assets: {
      path: await context.assets.directory(manifest),
      config: JSON.stringify({ ...handling, headers, redirects }),
      ...(hasCode
        ? { userWorker: USER }
        : { compatibilityDate: version.compatibilityDate, compatibilityFlags: version.compatibilityFlags }),
    },
  };
}
