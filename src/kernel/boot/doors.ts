/** The last stage: the REST API of all products, the gateway's port and the proxy of `exec`. Whoever can connect is served. */
import type { Socket } from "node:net";
import { graphqlRoute } from "../analytics/graphql.ts";
import { accountRoutes } from "../api/account-routes.ts";
import { auditRoutes } from "../api/audit-routes.ts";
import { type Api, createApi } from "../api/router.ts";
import { s3Secret } from "../api/tokens.ts";
import { connectAny, startExecProxy } from "../gateway/exec-proxy.ts";
import { type Gateway, startGateway } from "../gateway/gateway.ts";
import { type CertificateAuthority, openCertificateAuthority } from "../gateway/tls.ts";
import type { PlatformAddress } from "../platform.ts";
import type { KernelSlice, PlatformUrls, Route, RunningProduct } from "../product.ts";
import { connectPublic } from "../public-network.ts";
import { type Boot, dataDirectory } from "./boot.ts";
import type { State } from "./state.ts";
import type { Workerd } from "./workerd.ts";

/** Time that requests in flight get when the platform stops. */
const SHUTDOWN_GRACE_MS = 10_000;

interface DoorsOptions {
  readonly state: State;
  readonly workerd: Workerd;
  readonly urls: PlatformUrls;
  readonly running: ReadonlyMap<string, RunningProduct>;
  /** What products may call from now on. */
  readonly late: Late;
}

/** What exists only after every product has started. */
export interface Late {
  api?: Api;
  gateway?: Gateway;
  /** Told of the authority when the gateway serves. */
  readonly authority: (authority: CertificateAuthority) => void;
  /** Told how proxies for programs are opened, likewise. */
  readonly proxies: (open: KernelSlice["openProxy"]) => void;
}

/** Opens the port, last of all; gives the address of everything. */
export async function openDoors(boot: Boot, options: DoorsOptions): Promise<PlatformAddress> {
  const { state, urls, running, late } = options;
  const { host, port, proxyPort, config, log } = boot.options;
  const { clock, onStop } = boot;
  const routes = [...running.values()].flatMap((product) => product.hosts ?? []);
  const hosts = (): Record<string, string> =>
    Object.fromEntries(
      routes
        .filter(({ patterns }) => patterns.length > 0)
        .map((route) => [route.name, `${urls.host(String(route.patterns.at(-1)))}${route.template ?? ""}`]),
    );
  const api = openApi(boot, options, hosts);
  late.api = api;
  const ca = await openCertificateAuthority({
    directory: await dataDirectory(boot, "tls"),
    clock,
    allows: (name) => late.gateway?.handles(name) ?? isLocal(name, host),
  });
  const gateway = await startGateway({ host, port, config, accountId: state.who.accountId, api, routes, ca, log: log.scope("gateway") });
  late.gateway = gateway;
  late.authority(ca);
  const { request, upgrade, handles, close } = gateway;
  onStop(() => close(SHUTDOWN_GRACE_MS));
  const proxy = await startExecProxy({ ca, log: log.scope("proxy"), handles, request, upgrade, port: proxyPort ?? 0 });
  onStop(() => proxy.close(SHUTDOWN_GRACE_MS));
  late.proxies(async (allow) => {
    const dial = (name: string, to: number): Socket =>
      allow.includes(name) || allow.includes(`${name}:${to}`) ? connectAny(name, to) : connectPublic(name, to);
    const { url, close } = await startExecProxy({ ca, log: log.scope("proxy"), handles, request, upgrade, dial });
    return { url, trustedKey: ca.keyHash, authorityFile: ca.file, close: () => close(0) };
  });
  onStop(async () => {
    for (const product of running.values()) product.closing?.();
  });
  return {
    domain: config.domain,
    gateway: urls.gateway(),
    gatewayTls: urls.gateway("https"),
    api: `${urls.gateway()}/client/v4`,
    accountId: state.who.accountId,
    apiToken: state.root.value,
    proxy: proxy.url,
    caFile: ca.file,
    s3: { endpoint: urls.gateway(), accessKeyId: state.root.id, secretAccessKey: s3Secret(state.root.value) },
    hosts: hosts(),
    clientEnvironment: Object.assign({}, ...[...running.values()].map((product) => product.clientEnvironment?.() ?? {})),
  };
}

/** The REST API of the products that run. */
function openApi(boot: Boot, { state, workerd, running }: DoorsOptions, hosts: () => Record<string, string>): Api {
  const { options, clock } = boot;
  const { accountId, userId, createdAt } = state.who;
  const routes: Route[] = [];
  const accountName = "Freehold";
  const status = statusOf(boot, workerd, running);
  routes.push(
    ...accountRoutes({ accountId, accountName, userId, createdAt, tokens: state.tokens, status, hosts, routes }),
    ...auditRoutes({ audit: state.audit, accountId, accountName }),
    ...[...running.values()].flatMap((product) => product.routes ?? []),
    graphqlRoute({
      datasets: Object.assign({}, ...[...running.values()].map((product) => product.datasets ?? {})),
      accountId,
      clock,
    }),
  );
  return createApi({ routes, accountId, auth: state.auth, audit: state.audit, config: options.config, log: options.log.scope("api") });
}

function statusOf({ startedAt, order }: Boot, { system, runtime }: Workerd, running: ReadonlyMap<string, RunningProduct>) {
  return async () => ({
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
}

/** Before the gateway is up only its own address may be certified. */
const isLocal = (host: string, listening: string): boolean => host === "localhost" || host === listening;
