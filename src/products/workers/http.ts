/**
 * Requests from outside to Workers: finds the Worker by host name, gives the request the headers and the `request.cf` that
 * Worker code expects, passes it to the process, and renders the documented error pages. The hot path of the platform:
 * a request costs no row, no JSON and no copy of a body.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { CustomHostnames, OwnedServeOptions } from "../../kernel/capabilities.ts";
import { type ForwardOutcome, forward, forwardUpgrade } from "../../kernel/gateway/forward.ts";
import type { ConnectionPool } from "../../kernel/gateway/http-connection.ts";
import { notFoundPage, sendErrorPage } from "../../kernel/gateway/pages.ts";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";
import type { Exceeded } from "../../kernel/workerd/runtime.ts";
import type { DailyLimit } from "./daily-limit.ts";
import { errorPages } from "./error-pages.ts";
import type { HtmlRewriting } from "./html-pages.ts";
import { type Invocations, statusOf } from "./invocations.ts";
import { EXCLUSIVE_DRAIN_MS, isUncaught } from "./links.ts";
import type { Version } from "./model.ts";
import type { Origins } from "./origins.ts";
import { EXCHANGE_PATH } from "./preview-routes.ts";
import type { Previews, RunningPreview } from "./previews.ts";
import { CF_HEADER, PROTO_HEADER } from "./process.ts";
import type { Routing } from "./routing.ts";
import type { Serving, VersionLease } from "./serving.ts";
import type { LiveScript, ScriptStore } from "./store.ts";
import { hasPreview } from "./views.ts";

/** Three letters in place of the data centre's; the part of a ray id after the dash. */
const COLO = "FRE";
/** How long a process that broke off an exchange may take to die before it counts as alive. */
const SUSPECT_MS = 1_000;

/** Documented longest URL. */
const URL_MAX_BYTES = 16 * 1024;

/** Client headers that only the platform may set. */
const PLATFORM_HEADERS =
  /^(?:cf-(?:connecting-ip|connecting-ipv6|ray|visitor|worker|ipcountry|workers-preview-token)|x-real-ip|x-forwarded-proto|x-freehold-.*|true-client-ip)$/i;
/** Invocations that are left (`subrequests.worker.ts`). */
const VIA = /^([12]?\d|3[01])$/;
const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);
const FRAMING_HEADERS = new Set([
  "connection",
  "keep-alive",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "expect",
  "proxy-connection",
  "te",
  "x-forwarded-for",
]);

const rayPrefix = randomBytes(4).toString("hex");
let rayCounter = 0;
/** Unique for this run of the platform: a random half and a counter. */
const newRay = (): string => {
  rayCounter = (rayCounter + 1) >>> 0;
  return rayPrefix + rayCounter.toString(16).padStart(8, "0");
};

/** What a request leads to. */
type Found = Deployed | RunningPreview;

interface Deployed {
  readonly name: string;
  readonly live: LiveScript;
  /** The part of a preview URL before the Worker's name: the first 8 digits of a version's id, or an alias. */
  readonly preview?: string;
}

const PREVIEW_TOKEN = "cf-workers-preview-token";

/** A request whose process was ended for a limit. */
export interface Killed {
  readonly version: Version;
  readonly outcome: Exceeded;
  readonly request: IncomingMessage;
  readonly startedAt: number;
  readonly ray: string;
}

/** The ways in from outside. */
export interface Front {
  readonly hosts: readonly HostRoute[];
  /** A request or an upgrade to a Worker that its owner has found (`owned.ts`). */
  serve(live: LiveScript, request: IncomingMessage, response: ServerResponse, options?: OwnedServeOptions): Promise<void>;
  upgrade(live: LiveScript, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
}

export function workerFront(deps: {
  readonly kernel: KernelSlice;
  readonly store: ScriptStore;
  readonly serving: Serving;
  readonly pool: ConnectionPool;
  readonly subdomain: () => string;
  readonly customHostnames: CustomHostnames;
  readonly routing: Routing;
  readonly origins: Origins;
  readonly html: HtmlRewriting;
  readonly invocations: Invocations;
  readonly daily: DailyLimit;
  readonly previews: Previews;
  readonly onExceeded: (killed: Killed) => void;
}): Front {
  const { kernel, store, serving, pool, subdomain, customHostnames, routing, origins, html, invocations, daily, previews, onExceeded } =
    deps;
  const { config, log, clock } = kernel;

  /** What `request.cf.hostMetadata` has: of requests for custom hostnames. */
  const metadataOf = (request: IncomingMessage): object | undefined => customHostnames.ofHost(hostOf(request))?.metadata ?? undefined;

  /** The Worker (and, for a preview URL, the version) that a host name means. */
  function find(params: Readonly<Record<string, string>>): Deployed | undefined {
    if (params.script !== undefined) {
      const live = store.liveById(params.script);
      return live !== undefined && live.versions.length > 0 ? { name: live.script.name, live } : undefined;
    }
    if (params.subdomain !== subdomain()) return undefined;
    const name = params.worker as string;
    const live = store.live(name);
    if (live !== undefined) return live.script.subdomainEnabled && live.versions.length > 0 ? { name, live } : undefined;
    // Aliases and names may have dashes of their own.
    for (let dash = name.indexOf("-"); dash > 0; dash = name.indexOf("-", dash + 1)) {
      const previewed = store.live(name.slice(dash + 1));
      if (previewed?.script.previewsEnabled) return { name: previewed.script.name, live: previewed, preview: name.slice(0, dash) };
    }
    return undefined;
  }

  /** The preview that the request's token means; undefined when it is none for this URL. */
  function findPreview(
    token: string,
    params: Readonly<Record<string, string>>,
    request: IncomingMessage,
  ): Promise<RunningPreview | undefined> {
    const worker = params.subdomain === subdomain() ? params.worker : undefined;
    return previews.find(token, { host: hostOf(request), path: pathOf(request.url as string), worker });
  }

  /** Sockets of processes that broke off an exchange, until they are known to be dead or alive. */
  const suspects = new Map<string, Promise<void>>();

  /** A dying process still accepts connections; requests wait until it is gone, so that it takes no more than it must. */
  function suspect(lease: VersionLease): void {
    const path = lease.socket("http");
    if (suspects.has(path)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, SUSPECT_MS);
    lease.retired.addEventListener("abort", () => resolve(), { once: true });
    if (lease.retired.aborted) resolve();
    const known = promise.then(() => {
      clearTimeout(timer);
      suspects.delete(path);
    });
    suspects.set(path, known);
  }

  async function leaseFor(found: Found, request: IncomingMessage): Promise<VersionLease | undefined> {
    const lease = await findLease(found, request);
    const dying = lease && suspects.size > 0 ? suspects.get(lease.socket("http")) : undefined;
    if (lease === undefined || dying === undefined) return lease;
    lease.release();
    await dying;
    return findLease(found, request);
  }

  async function findLease(found: Found, request: IncomingMessage): Promise<VersionLease | undefined> {
    if ("lease" in found) return found.lease();
    const { live, preview } = found;
    if (preview === undefined) {
      const { name } = live.script;
      const wanted = overriddenVersion(request.headers["cloudflare-workers-version-overrides"], name);
      const version = wanted === undefined ? undefined : live.versions.find(({ id }) => id === wanted);
      if (version !== undefined && live.versions.length > 1) return serving.leaseVersion(live, version);
      const key = request.headers["cloudflare-workers-version-key"];
      return serving.lease(name, typeof key === "string" ? { key } : {});
    }
    const version = await store.previewedVersion(live.script.id, preview);
    if (version === undefined || !hasPreview(version)) return undefined;
    return serving.leaseVersion(live, version);
  }

  async function handle(params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Before any Worker is looked for: none must see a session's token.
    if (request.url?.startsWith(EXCHANGE_PATH)) return exchange(request, response);
    const token = request.headers[PREVIEW_TOKEN];
    const found = typeof token === "string" ? await findPreview(token, params, request) : find(params);
    if (found === undefined && token !== undefined) return sendErrorPage(request, response, errorPages.previewInvalid);
    if (found === undefined) {
      const scheme = (request.socket as TLSSocket).encrypted === true ? "https" : "http";
      if (params.script !== undefined && origins.has(hostOf(request))) return origins.pass(request, response, scheme);
      return notFoundPage(request, response);
    }
    return serve(found, request, response);
  }

  /** A preview in a browser, at the host name that is its own. */
  async function handlePreview({ preview }: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse) {
    const found = await previews.atHost(preview as string);
    if (found === undefined) return sendErrorPage(request, response, errorPages.previewInvalid);
    return serve(found, request, response);
  }

  async function serve(found: Found, request: IncomingMessage, response: ServerResponse, options: OwnedServeOptions = {}): Promise<void> {
    const ray = newRay();
    if ((request.url as string).length > URL_MAX_BYTES) return sendErrorPage(request, response, errorPages.uriTooLong, ray);
    if (Number(request.headers["cf-ew-via"]) < 0) return sendErrorPage(request, response, errorPages.loop, ray);
    if ("live" in found && !daily.take()) {
      if (options.overQuota !== undefined) return options.overQuota();
      return sendErrorPage(request, response, errorPages.dailyLimit, ray);
    }
    const startedAt = clock.now();
    for (let attempt = 0; attempt < 3; attempt++) {
      let lease: VersionLease | undefined;
      try {
        lease = await leaseFor(found, request);
      } catch (error) {
        log.error("worker.unavailable", { worker: found.name, ray, error });
        return sendErrorPage(request, response, errorPages.unavailable, ray);
      }
      if (lease === undefined) return notFoundPage(request, response);
      // A preview is no part of its Worker's figures.
      const begun = "live" in found ? invocations.begin(lease.version.id) : undefined;
      const outcome = await forward(pool, request, response, {
        path: lease.socket("http"),
        headers: headersFor(request, ray, metadataOf(request)),
        answerHeaders: ["cf-ray", `${ray}-${COLO}`],
        condemned: lease.condemned,
        intercept(head) {
          lease.alive();
          return isUncaught(head);
        },
        rewrite(head) {
          const rewritten = html.rewrite(request, hostOf(request), head.status, head.headers);
          if (rewritten !== undefined) head.headers.splice(0, Number.POSITIVE_INFINITY, ...rewritten.headers);
          return rewritten?.through;
        },
        bodyMaxBytes: config["gateway.body_max_bytes"],
        bodyIdleTimeoutMs: config["gateway.body_idle_timeout_ms"],
        ...(lease.exclusive && { signal: lease.retired, signalGraceMs: EXCLUSIVE_DRAIN_MS }),
      });
      if (outcome === "broken") suspect(lease);
      const ended = (): void => {
        const status = statusOf[outcome];
        if (status === undefined || begun === undefined) return;
        invocations.end({ scriptName: found.name, versionId: lease.version.id }, status, begun);
      };
      lease.release();
      if (outcome === "done" || outcome === "aborted") return ended();
      // The process was gone before it had the request.
      if (outcome === "unreachable" && !request.readableDidRead) continue;
      if (outcome === "broken") {
        const fate = await lease.fate();
        // Another request's doing; this one may be sent again where that cannot do a thing twice.
        if (fate === "innocent" && SAFE_METHODS.has(request.method as string) && !request.readableDidRead) continue;
        if (fate === "exceededCpu" || fate === "exceededMemory")
          onExceeded({ version: lease.version, outcome: fate, request, startedAt, ray });
        // The process lives on: it was the code that broke off, with a body that failed before its first byte.
        if (fate === "lost" && !lease.retired.aborted) return fail("intercepted", found.name, request, response, ray);
      }
      ended();
      return fail(outcome, found.name, request, response, ray);
    }
    fail("broken", found.name, request, response, ray);
  }

  /** Where a preview session's token is taken to the host names that its previews will have. */
  function exchange(request: IncomingMessage, response: ServerResponse): void {
    const token = new URL(request.url as string, "http://preview").searchParams.get("token") ?? "";
    if (!previews.knows(token)) {
      sendErrorPage(request, response, errorPages.previewInvalid);
      return;
    }
    const body = JSON.stringify({ token });
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body), "cache-control": "no-store" });
    response.end(body);
  }

  function fail(outcome: ForwardOutcome, worker: string, request: IncomingMessage, response: ServerResponse, ray: string): void {
    const page =
      outcome === "intercepted"
        ? errorPages.exception
        : outcome === "tooLarge"
          ? errorPages.tooLarge
          : outcome === "slow"
            ? errorPages.slow
            : errorPages.resources;
    log.warn("worker.request_failed", { worker, ray, outcome, method: request.method, url: request.url });
    // The body was not read to its end: this connection cannot carry another request.
    if (!request.complete) response.setHeader("connection", "close");
    sendErrorPage(request, response, page, ray);
  }

  async function upgrade(params: Readonly<Record<string, string>>, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const token = request.headers[PREVIEW_TOKEN];
    const found = typeof token === "string" ? await findPreview(token, params, request) : find(params);
    if (found === undefined) return refused(socket, token === undefined ? "404 Not Found" : "400 Bad Request");
    return carry(found, request, socket, head);
  }

  async function upgradePreview({ preview }: Readonly<Record<string, string>>, request: IncomingMessage, socket: Duplex, head: Buffer) {
    const found = await previews.atHost(preview as string);
    if (found === undefined) return refused(socket, "400 Bad Request");
    return carry(found, request, socket, head);
  }

  async function carry(found: Found, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const refuse = (status: string): void => refused(socket, status);
    if ("live" in found && !daily.take()) return refuse("429 Too Many Requests");
    const ray = newRay();
    let lease: VersionLease | undefined;
    try {
      lease = await leaseFor(found, request);
    } catch (error) {
      log.error("worker.unavailable", { worker: found.name, ray, error });
      return refuse("500 Internal Server Error");
    }
    if (lease === undefined) return refuse("404 Not Found");
    lease.openEnded();
    const outcome = await forwardUpgrade(request, socket, head, {
      path: lease.socket("http"),
      headers: headersFor(request, ray, metadataOf(request)),
      answerHeaders: ["cf-ray", `${ray}-${COLO}`],
      intercept: isUncaught,
      // As documented: a deploy disconnects WebSockets.
      signal: lease.retired,
    });
    lease.release();
    if (outcome === "done" || outcome === "aborted") return;
    log.warn("worker.request_failed", { worker: found.name, ray, outcome, method: "GET", url: request.url });
    refuse("500 Internal Server Error");
  }

  const ownHosts: HostRoute = {
    name: "workers",
    patterns: ["{worker}.{subdomain}.workers"],
    publicHosts: ["{worker}.{subdomain}.workers.dev"],
    wholeHost: true,
    resolve(host, target, scheme) {
      const script = routing.find(host, target === undefined ? undefined : pathOf(target), scheme ?? "http");
      if (typeof script !== "string" && !previews.serves(host)) return undefined;
      return { script: script ?? "" };
    },
    handle,
    upgrade,
  };
  const originHosts: HostRoute = {
    name: "origins",
    patterns: [],
    wholeHost: true,
    last: true,
    // Also where a route says that no Worker answers.
    resolve: (host) => (origins.has(host) || routing.find(host, undefined, "http") === null ? { script: "" } : undefined),
    handle,
    upgrade,
  };
  const previewHosts: HostRoute = {
    name: "preview",
    patterns: ["{preview}.preview"],
    wholeHost: true,
    handle: handlePreview,
    upgrade: upgradePreview,
  };
  const deployed = (live: LiveScript): Deployed => ({ name: live.script.name, live });
  return {
    hosts: [ownHosts, originHosts, previewHosts],
    serve: (live, request, response, options) => serve(deployed(live), request, response, options),
    upgrade: (live, request, socket, head) => carry(deployed(live), request, socket, head),
  };
}

const refused = (socket: Duplex, status: string): void =>
  void socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);

/** The version that `Cloudflare-Workers-Version-Overrides: name="id"` asks for; it counts only when it is deployed. */
function overriddenVersion(header: string | string[] | undefined, name: string): string | undefined {
  if (typeof header !== "string") return undefined;
  for (const member of header.split(",")) {
    const [, key, value] = /^\s*([a-z*][a-z0-9_.*-]*)\s*=\s*"([^"]*)"/.exec(member) ?? [];
    if (key === name) return value;
  }
  return undefined;
}

/** The host name that a request is for, without port. */
const hostOf = (request: IncomingMessage): string => (request.headers.host ?? "").toLowerCase().replace(/:\d+$/, "");

const pathOf = (target: string): string => {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
};

/** The request's headers as Worker code sees them on Cloudflare, with `request.cf` for workerd. */
function headersFor(request: IncomingMessage, ray: string, hostMetadata: object | undefined): string {
  const { rawHeaders, socket } = request;
  const ip = clientAddress(socket.remoteAddress);
  const https = (socket as TLSSocket).encrypted === true;
  const proto = https ? "https" : "http";
  let forwarded = "";
  let lines = "";
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lower = name.toLowerCase();
    if (FRAMING_HEADERS.has(lower)) {
      if (lower === "x-forwarded-for") forwarded += `${rawHeaders[i + 1]}, `;
      continue;
    }
    const first = lower.charCodeAt(0);
    // Only names that begin with c, t or x can be the platform's: spares most headers the test.
    if ((first === 99 || first === 116 || first === 120) && PLATFORM_HEADERS.test(lower)) continue;
    // Of a Worker that called us by our host name. Anybody may say that fewer invocations are left than there are.
    if (lower === "cf-ew-via" && !VIA.test(rawHeaders[i + 1] as string)) continue;
    lines += `${name}: ${rawHeaders[i + 1]}\r\n`;
  }
  const common = https ? cfHttps(socket as TLSSocket) : cfHttp;
  const cf = hostMetadata === undefined ? common : headerText({ ...JSON.parse(common), hostMetadata });
  // Without the header workerd takes the connection's own protocol, which is HTTP.
  const secured = https ? `${PROTO_HEADER}: https\r\n` : "";
  return `${lines}CF-Connecting-IP: ${ip}\r\nX-Real-IP: ${ip}\r\nX-Forwarded-For: ${forwarded}${ip}\r\nX-Forwarded-Proto: ${proto}\r\nCF-Ray: ${ray}\r\nCF-Visitor: {"scheme":"${proto}"}\r\n${secured}${CF_HEADER}: ${cf}\r\n`;
}

/** JSON in the characters that a header may have. */
const headerText = (value: unknown): string =>
  JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** An IPv4 address that came on an IPv6 socket is written as IPv4. */
function clientAddress(address: string | undefined): string {
  const text = address ?? "127.0.0.1";
  const v4 = text.startsWith("::ffff:") ? text.slice(7) : text;
  return isIP(v4) === 4 ? v4 : text;
}

/** `request.cf` without geography: we have no data about the client's network, and do not invent any. */
const cfCommon = {
  colo: COLO,
  country: "XX",
  timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  httpProtocol: "HTTP/1.1",
  requestPriority: "",
  edgeRequestKeepAliveStatus: 1,
  clientAcceptEncoding: "",
};
const cfHttp = JSON.stringify({ ...cfCommon, tlsVersion: "", tlsCipher: "" });
let cfHttpsCache: { key: string; json: string } | undefined;
function cfHttps(socket: TLSSocket): string {
  const cipher = socket.getCipher?.();
  const key = `${socket.getProtocol?.()} ${cipher?.name}`;
  if (cfHttpsCache?.key !== key) {
    cfHttpsCache = { key, json: JSON.stringify({ ...cfCommon, tlsVersion: socket.getProtocol?.() ?? "", tlsCipher: cipher?.name ?? "" }) };
  }
  return cfHttpsCache.json;
}
