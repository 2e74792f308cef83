/**
 * The one port. Finds out by host name whom a request is for, and hands it over untouched: REST at /client/v4, the hosts
 * of the products, S3 requests that are signed for the bare address. Knows nothing of what lies behind the hosts.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, isIP } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { getRequestListener } from "@hono/node-server";
import { API_PREFIX, type Api } from "../api/router.ts";
import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import type { HostRoute } from "../product.ts";
import { type HostMatch, hostTable } from "./hosts.ts";
import { notFoundPage } from "./pages.ts";
import { normalizeTarget } from "./request-target.ts";
import { serverOptions, upgradeOf, WEBSOCKET } from "./server-options.ts";
import type { CertificateAuthority } from "./tls.ts";

export interface GatewayOptions {
  readonly host: string;
  readonly port: number;
  readonly config: Config;
  readonly accountId: string;
  readonly api: Api;
  readonly routes: readonly HostRoute[];
  readonly ca: CertificateAuthority;
  readonly log: Log;
}

export interface Gateway {
  readonly port: number;
  readonly tlsPort: number;
  /** The handlers, for the proxy of `exec`. */
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Whether a name belongs to the platform: for certificates and the proxy. */
  handles(host: string): boolean;
  /** Accepts no more connections, lets requests in flight finish for at most `graceMs`, then ends them. */
  close(graceMs: number): Promise<void>;
}

/** Public names of the API, which belongs to no product. */
const API_HOSTS = new Set(["api.cloudflare.com"]);

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log } = options;
  const hosts = hostTable(config.domain, options.routes, API_HOSTS);
  const signedRoute = options.routes.find((route) => route.signed === true);
  const api = getRequestListener((request, { incoming }) => options.api.fetch(request, incoming.socket.remoteAddress), {
    overrideGlobalObjects: false,
  });

  function destination(request: IncomingMessage): HostMatch | "api" | undefined {
    const host = hostName(request.headers.host);
    const url = request.url ?? "/";
    const match = hosts.match(host, url, (request.socket as TLSSocket).encrypted === true ? "https" : "http");
    if (match?.route.wholeHost !== true && (url.startsWith(`${API_PREFIX}/`) || API_HOSTS.has(host))) return "api";
    if (match !== undefined) return match;
    if (signedRoute !== undefined && isBare(host) && isSigned(request))
      return { route: signedRoute, params: { account: options.accountId } };
    return undefined;
  }
  const isBare = (host: string): boolean => host === "localhost" || host === config.domain || isIP(host.replace(/^\[|\]$/g, "")) !== 0;

  // Node hands on what a client sent behind a request before the answer to that request has closed the connection.
  const refused = new WeakSet<Duplex>();

  function request(incoming: IncomingMessage, response: ServerResponse): void {
    if (refused.has(incoming.socket)) return;
    if (!normalizeTarget(incoming)) {
      refused.add(incoming.socket);
      response.writeHead(400, { "content-type": "text/plain; charset=utf-8", connection: "close" }).end("Bad Request\n");
      return;
    }
    if (hasBody(incoming)) {
      // Kept now: an answer with "Connection: close" takes the socket away from its request.
      const { socket } = incoming;
      response.once("finish", () => endUnread(incoming, socket));
    }
    const to = destination(incoming);
    if (to === undefined || to === "api") {
      if (to === undefined) notFoundPage(incoming, response);
      else void api(incoming, response);
      return;
    }
    try {
      const done = to.route.handle(to.params, incoming, response);
      if (done !== undefined) done.catch((error: unknown) => failed(error, to.route.name, incoming, response));
    } catch (error) {
      failed(error, to.route.name, incoming, response);
    }
  }

  /** Answered before its body had come: the client may finish sending, but not keep the connection by never doing so. */
  function endUnread(incoming: IncomingMessage, socket: Duplex): void {
    if (incoming.complete || socket.destroyed) return;
    const timer = setTimeout(() => {
      if (!incoming.complete) socket.destroy();
    }, config["gateway.body_idle_timeout_ms"]);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  }

  function failed(error: unknown, route: string, incoming: IncomingMessage, response: ServerResponse): void {
    const id = randomBytes(4).toString("hex");
    // A client that went away is no failure of ours.
    if (!incoming.destroyed || incoming.complete) log.error("gateway.internal_error", { route, id, url: incoming.url, error });
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { "content-type": "text/plain; charset=utf-8" }).end(`Internal error ${id}\n`);
  }

  // Node forgets connections that were upgraded: without this a WebSocket would keep the platform from stopping.
  const upgraded = new Set<Duplex>();

  function upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    upgraded.add(socket);
    socket.once("close", () => upgraded.delete(socket));
    socket.on("error", () => socket.destroy());
    if (!normalizeTarget(incoming)) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const to = destination(incoming);
    if (to === undefined || to === "api" || to.route.upgrade === undefined || !takesUpgrade(to.route, incoming)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const { name } = to.route;
    Promise.resolve(to.route.upgrade(to.params, incoming, socket, head)).catch((error: unknown) => {
      log.error("gateway.upgrade_failed", { route: name, url: incoming.url, error });
      socket.destroy();
    });
  }

  const takesUpgrade = ({ upgrades = [WEBSOCKET] }: HostRoute, incoming: IncomingMessage): boolean =>
    upgrades.includes(upgradeOf(incoming) ?? "");

  const settings = serverOptions(config["gateway.header_timeout_ms"], (incoming) => {
    const match = hosts.match(hostName(incoming.headers.host));
    return match !== undefined && takesUpgrade(match.route, incoming);
  });
  const plain = createServer(settings, request).on("upgrade", upgrade);
  const tls = createTlsServer({ ...settings, ...options.ca.serverOptions([options.host, "localhost"]) }, (incoming, response) => {
    incoming.headers["x-forwarded-proto"] = "https";
    request(incoming, response);
  }).on("upgrade", upgrade);
  const port = await listen(plain, options.host, options.port);
  let tlsPort: number;
  try {
    tlsPort = await listen(tls, options.host, config["gateway.tls_port"]);
  } catch (error) {
    plain.close();
    throw error;
  }

  return {
    port,
    tlsPort,
    request,
    upgrade,
    handles: (host) =>
      API_HOSTS.has(host) || host === config.domain || host === "localhost" || host === options.host || hosts.match(host) !== undefined,
    async close(graceMs) {
      const ended = Promise.all([end(plain, graceMs), end(tls, graceMs)]);
      for (const socket of upgraded) socket.destroy();
      await ended;
    },
  };
}

/** The host name of a Host header: lower case, without port. */
function hostName(header: string | undefined): string {
  const host = (header ?? "").toLowerCase();
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] !== undefined && headers["content-length"] !== "0");

function isSigned(request: IncomingMessage): boolean {
  if (request.headers.authorization?.startsWith("AWS4-") === true) return true;
  return /[?&]X-Amz-(Algorithm|Credential)=/i.test(request.url ?? "");
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function end(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
