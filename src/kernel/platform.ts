/**
 * Boot and shutdown. Opens the state, starts the system workerd and the products in the order of their needs, and opens
 * the port last, so that whoever can connect is served. Knows products only as values of `Product`.
 */
import { type Boot, urlHost } from "./boot/boot.ts";
import { type Late, openDoors } from "./boot/doors.ts";
import { startProducts } from "./boot/products.ts";
import { openState } from "./boot/state.ts";
import { startWorkerdParts } from "./boot/workerd.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Gateway } from "./gateway/gateway.ts";
import type { CertificateAuthority } from "./gateway/tls.ts";
import type { Log } from "./log.ts";
import type { KernelSlice, PlatformUrls, Product, RunningProduct } from "./product.ts";
import { startOrder } from "./product-order.ts";

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
  /** Variables for clients besides those that follow from the addresses. */
  readonly clientEnvironment: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly address: PlatformAddress;
  /** Drains and ends everything; what was acknowledged is on disk. Safe to call twice. */
  stop(): Promise<void>;
}

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
  const clock = systemClock;
  const boot: Boot = { options, clock, startedAt: clock.now(), order: startOrder(options.products), onStop };
  const state = await openState(boot);
  const running = new Map<string, RunningProduct>();
  const workerd = await startWorkerdParts(boot, running);
  const authority = Promise.withResolvers<CertificateAuthority>();
  const proxies = Promise.withResolvers<KernelSlice["openProxy"]>();
  const late: Late = { authority: authority.resolve, proxies: proxies.resolve };
  const urls = platformUrls(options, late);
  await startProducts(boot, {
    state,
    workerd,
    urls,
    running,
    async api(request, principal) {
      if (late.api === undefined) throw new Error("the API serves only after every product has started");
      return principal === undefined ? late.api.fetch(request) : late.api.fetchAs(principal, request);
    },
    openProxy: async (allow) => (await proxies.promise)(allow),
    certificateFor: async (name) => (await authority.promise).certificateFor(name),
  });
  return openDoors(boot, { state, workerd, urls, running, late });
}

function platformUrls({ host, config }: PlatformOptions, late: Late): PlatformUrls {
  const ports = (): Gateway => {
    if (late.gateway === undefined) throw new Error("the gateway's address is known only after every product has started");
    return late.gateway;
  };
  return {
    domain: config.domain,
    gateway: (scheme = "http") => `${scheme}://${urlHost(host)}:${scheme === "https" ? ports().tlsPort : ports().port}`,
    host: (name) => `http://${name}.${config.domain}:${ports().port}`,
  };
}
