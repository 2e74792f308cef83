/**
 * Boot and shutdown. Opens the state, starts the system workerd and the products in the order of their needs, and opens
 * the port last, so that whoever can connect is served. Knows products only as values of `Product`.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import { graphqlRoute } from "./analytics/graphql.ts";
import { accountPermissions, accountRoutes } from "./api/account-routes.ts";
import { createAuth } from "./api/auth.ts";
import { type Api, createApi } from "./api/router.ts";
import { s3Secret, tokenMigrations, tokenStore } from "./api/tokens.ts";
import { openDirectoryBlobs } from "./blobs/directory.ts";
import { leaseMigrations, openBlobLeases } from "./blobs/leases.ts";
import type { Capabilities } from "./capabilities.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { platformError } from "./errors.ts";
import { startExecProxy } from "./gateway/exec-proxy.ts";
import { type Gateway, startGateway } from "./gateway/gateway.ts";
import { openCertificateAuthority } from "./gateway/tls.ts";
import { encryptionKey, identity, identityMigrations, rootToken } from "./identity.ts";
import { openSegmentJournals } from "./journal/segments.ts";
import type { Log } from "./log.ts";
import { openSqliteMeta } from "./meta/sqlite.ts";
import { migrate } from "./migrations.ts";
import type { BindingCompiler, HostRoute, KernelSlice, PlatformUrls, Product, Route, RunningProduct } from "./product.ts";
import { startOrder } from "./product-order.ts";
import { secretBox } from "./secrets.ts";
import { capabilityKey, capabilityMint } from "./workerd/capability.ts";
import { startInternalServer } from "./workerd/internal-server.ts";
import { openRunDirectory } from "./workerd/run-directory.ts";
import { createSupervisor } from "./workerd/supervisor.ts";
import { startSystemWorkerd } from "./workerd/system.ts";

export interface PlatformOptions {
  /** Exists, and is held by this process alone. */
  readonly dataDirectory: string;
  /** Address to listen on. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** The proxy of `exec` takes this port if it is free: shells that hold its address outlive a restart. */
  readonly proxyPort?: number;
  readonly config: Config;
  readonly products: readonly Product[];
  readonly log: Log;
}

/** How to reach a running platform: the content of the ready file. */
export interface PlatformAddress {
  readonly domain: string;
  readonly gateway: string;
  readonly gatewayTls: string;
  readonly api: string;
  readonly accountId: string;
  readonly apiToken: string;
  readonly proxy: string;
  readonly caFile: string;
  readonly s3: { readonly endpoint: string; readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly hosts: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly address: PlatformAddress;
  /** Drains and ends everything; what was acknowledged is on disk. Safe to call twice. */
  stop(): Promise<void>;
}

/** Time that requests in flight get when the platform stops. */
const SHUTDOWN_GRACE_MS = 10_000;

/** Brings the platform up; when it throws, everything that had started is stopped again. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  // What was started is ended in the reverse order, whether the start fails half-way or the platform stops.
  const ends: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const end of ends.splice(0).reverse())
        await end().catch((error: unknown) => options.log.error("platform.stop_failed", { error }));
    })();
    return stopping;
  };
  try {
    return { address: await boot(options, (end) => ends.push(end)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function boot(options: PlatformOptions, onStop: (end: () => Promise<void>) => void): Promise<PlatformAddress> {
  const { dataDirectory, config, log } = options;
  const clock = systemClock;
  const startedAt = clock.now();
  const inData = async (name: string): Promise<string> => {
    const directory = join(dataDirectory, name);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return directory;
  };

  // State.
  const secrets = secretBox(await encryptionKey(dataDirectory));
  const meta = await openSqliteMeta({ path: join(dataDirectory, "meta.sqlite") });
  onStop(() => meta.close());
  const order = startOrder(options.products);
  const sets = order.map((product) => ({ scope: product.name, migrations: product.migrations ?? [] }));
  await migrate(meta, [{ scope: "kernel", migrations: [...tokenMigrations, ...identityMigrations, ...leaseMigrations] }, ...sets], clock);
  const blobs = await openDirectoryBlobs({ directory: await inData("blobs") });
  const leases = await openBlobLeases(meta, blobs, log.scope("blobs"));
  const journals = await openSegmentJournals({
    directory: await inData("journal"),
    segmentBytes: config["journal.segment_bytes"],
    pendingMaxBytes: config["journal.pending_max_bytes"],
    log: log.scope("journal"),
  });
  onStop(() => journals.close());

  // Identity.
  const who = await identity(meta, clock);
  const groups = [...accountPermissions, ...order.flatMap((product) => product.permissions ?? [])];
  const tokens = tokenStore(meta, secrets, clock, groups, who.accountId);
  const root = await rootToken(meta, secrets, tokens);
  const auth = createAuth(tokens);

  // workerd.
  const runDirectory = await openRunDirectory(dataDirectory);
  onStop(() => rm(runDirectory, { recursive: true, force: true }));
  const key = capabilityKey(randomBytes(32));
  const running = new Map<string, RunningProduct>();
  const nodeSocket = join(runDirectory, "node.sock");
  const internal = await startInternalServer(nodeSocket, key, (product) => running.get(product)?.internal, log.scope("internal"));
  onStop(() => closeServer(internal));
  const system = await startSystemWorkerd({
    runDirectory,
    stateDirectory: await inData("system"),
    products: order,
    key,
    log: log.scope("system"),
    hangTimeoutMs: config["runtime.system_hang_timeout_ms"],
  });
  onStop(() => system.stop());
  const runtime = createSupervisor({
    runDirectory,
    log: log.scope("runtime"),
    clock,
    idleTimeoutMs: config["runtime.idle_timeout_s"] * 1000,
    startTimeoutMs: config["runtime.start_timeout_ms"],
    drainTimeoutMs: config["runtime.drain_timeout_ms"],
    memoryMb: config["runtime.memory_mb"],
    processesMax: config["runtime.processes_max"],
  });
  onStop(() => runtime.stop());

  // Products.
  let gateway: Gateway | undefined;
  let api: Api | undefined;
  const port = (): number => {
    if (gateway === undefined) throw new Error("the gateway's address is known only after every product has started");
    return gateway.port;
  };
  const urls: PlatformUrls = {
    domain: config.domain,
    gateway: () => `http://${urlHost(options.host)}:${port()}`,
    host: (name) => `http://${name}.${config.domain}:${port()}`,
  };
  const offered: Partial<Capabilities> = {};
  const compilers = new Map<string, BindingCompiler>();
  for (const product of order) {
    const { name } = product;
    const slice: KernelSlice = {
      log: log.scope(name),
      clock,
      config,
      meta,
      blobs,
      leases,
      journals,
      secrets,
      accountId: who.accountId,
      directory: await inData(name),
      urls,
      auth,
      mint: capabilityMint(name, key, { node: nodeSocket, system: system.socket(name) }),
      runtime,
      bindings: {
        get(type) {
          const compiler = compilers.get(type);
          if (compiler === undefined)
            throw platformError("notImplemented", `Bindings of type "${type}" are not implemented by this version of Freehold`);
          return compiler;
        },
      },
      async api(request, principal) {
        if (api === undefined) throw new Error("the API serves only after every product has started");
        return principal === undefined ? api.fetch(request) : api.fetchAs(principal, request);
      },
      system: (claims, request) => system.request(name, claims, request),
      get(capability) {
        if (!product.needs?.includes(capability)) throw new Error(`Product "${name}" uses "${capability}" without listing it in "needs"`);
        return offered[capability] as NonNullable<(typeof offered)[typeof capability]>;
      },
    };
    const started = await product.start(slice);
    running.set(name, started);
    onStop(() => started.stop());
    Object.assign(offered, started.offers);
    for (const key of product.provides ?? []) {
      if (offered[key] === undefined) throw new Error(`Product "${name}" says that it provides "${key}", but does not offer it`);
    }
    for (const [type, compiler] of Object.entries(started.bindings ?? {})) compilers.set(type, compiler);
  }

  // The port, last.
  const routes: HostRoute[] = [...running.values()].flatMap((product) => product.hosts ?? []);
  const status = async () => ({
    started_at: new Date(startedAt).toISOString(),
    system_pid: system.pid() ?? null,
    processes: runtime.list(),
    products: await Promise.all(
      order.map(async ({ name, status: maturity }) => ({
        name,
        status: maturity,
        ...((await running.get(name)?.check?.()) ?? { ok: true, detail: "" }),
      })),
    ),
  });
  const hosts = (): Record<string, string> =>
    Object.fromEntries(
      routes.map((route) => [route.name, `http://${route.patterns.at(-1)}.${config.domain}:${port()}${route.template ?? ""}`]),
    );
  const restRoutes: Route[] = [];
  restRoutes.push(
    ...accountRoutes({
      accountId: who.accountId,
      accountName: "Freehold",
      userId: who.userId,
      createdAt: who.createdAt,
      tokens,
      status,
      hosts,
      routes: restRoutes,
    }),
    ...[...running.values()].flatMap((product) => product.routes ?? []),
    graphqlRoute({
      datasets: Object.assign({}, ...[...running.values()].map((product) => product.datasets ?? {})),
      accountId: who.accountId,
      clock,
    }),
  );
  api = createApi({
    routes: restRoutes,
    accountId: who.accountId,
    auth,
    config,
    log: log.scope("api"),
  });
  const ca = await openCertificateAuthority({
    directory: await inData("tls"),
    clock,
    allows: (host) => gateway?.handles(host) ?? isLocal(host, options.host),
  });
  gateway = await startGateway({
    host: options.host,
    port: options.port,
    config,
    accountId: who.accountId,
    api,
    routes,
    ca,
    log: log.scope("gateway"),
  });
  const { port: gatewayPort, tlsPort, request, upgrade, handles, close } = gateway;
  onStop(() => close(SHUTDOWN_GRACE_MS));
  const proxy = await startExecProxy({ ca, log: log.scope("proxy"), handles, request, upgrade, port: options.proxyPort ?? 0 });
  onStop(() => proxy.close(SHUTDOWN_GRACE_MS));
  onStop(async () => {
    for (const product of running.values()) product.closing?.();
  });

  const base = `http://${urlHost(options.host)}:${gatewayPort}`;
  return {
    domain: config.domain,
    gateway: base,
    gatewayTls: `https://${urlHost(options.host)}:${tlsPort}`,
    api: `${base}/client/v4`,
    accountId: who.accountId,
    apiToken: root.value,
    proxy: proxy.url,
    caFile: ca.file,
    s3: { endpoint: base, accessKeyId: root.id, secretAccessKey: s3Secret(root.value) },
    hosts: hosts(),
  };
}

/** Before the gateway is up only its own address may be certified. */
const isLocal = (host: string, listening: string): boolean => host === "localhost" || host === listening;

/** An address inside a URL: clients on this machine cannot connect to "any". */
function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
