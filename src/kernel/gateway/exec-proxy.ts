/**
 * The proxy of `freehold exec`: an HTTP proxy on the loopback interface that answers for the platform's names and
 * passes everything else on untouched. For our names a CONNECT ends here (TLS under our own CA, or plain HTTP) and the
 * request goes to the gateway with its original Host; a CONNECT to any other name is a tunnel that carries bytes as
 * they are. It is not a cache and never looks into foreign TLS.
 */
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { type AddressInfo, connect, isIP, type Socket } from "node:net";
import { type Duplex, pipeline } from "node:stream";
import type { Log } from "../log.ts";
import { PrivateAddressError } from "../public-network.ts";
import { type AbsoluteTarget, type Authority, absoluteTarget, parseAuthority, toOriginForm } from "./request-target.ts";
import { serverOptions } from "./server-options.ts";
import type { CertificateAuthority } from "./tls.ts";

export interface ExecProxyOptions {
  readonly ca: CertificateAuthority;
  readonly log: Log;
  /** Whether the platform answers for this lower-case host name. Asked for each connection. */
  handles(host: string): boolean;
  /** The gateway's handlers. Requests come with their original Host, an origin-form URL and `x-forwarded-proto`. */
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Connects to a name or address that is not the platform's; absent: to every one. May throw instead. */
  dial?(host: string, port: number): Socket;
  /** 0 or absent: a free one. A port that is taken is replaced by a free one. */
  readonly port?: number;
  /** Connections at a time; further ones wait in the system's queue, then are refused. */
  readonly connectionsMax?: number;
}

export interface ExecProxy {
  readonly port: number;
  /** "http://127.0.0.1:41234". */
  readonly url: string;
  /** Lets requests in flight finish for at most `graceMs`, then ends every connection. Safe to call twice. */
  close(graceMs: number): Promise<void>;
}

const LOOPBACK = "127.0.0.1";
const CONNECTIONS_MAX = 2000;
const HEAD_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 30_000;
const TLS_HANDSHAKE_RECORD = 0x16;

/** Headers that concern one hop only (RFC 9110, 7.6.1), and what clients say to proxies. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Starts the proxy and resolves when it accepts connections. */
export async function startExecProxy(options: ExecProxyOptions): Promise<ExecProxy> {
  const { log } = options;
  // Addresses and "localhost" may be anybody's: the port decides, so they are passed on, also those of the gateway itself.
  const handles = (host: string): boolean => isIP(host) === 0 && host !== "localhost" && options.handles(host);
  const connections = new Set<Duplex>();
  const track = (socket: Duplex): void => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  };

  const dialer = options.dial ?? connectAny;
  const to: Outward = { dial: dialer, track };

  const serve = (proto: "http" | "https", request: IncomingMessage): IncomingMessage => {
    request.headers["x-forwarded-proto"] = proto;
    return request;
  };
  const settings = serverOptions(HEAD_TIMEOUT_MS);
  // These two never listen: they are handed the connections that a CONNECT for one of our names opened.
  const plain = http.createServer(settings, (request, response) => options.request(serve("http", request), response));
  const secure = https.createServer({ ...settings, ...options.ca.serverOptions([LOOPBACK, "::1", "localhost"]) }, (request, response) =>
    options.request(serve("https", request), response),
  );
  plain.on("upgrade", (request, socket, head) => options.upgrade(serve("http", request), socket, head));
  secure.on("upgrade", (request, socket, head) => options.upgrade(serve("https", request), socket, head));
  secure.on("tlsClientError", (error, socket) => {
    log.debug("exec_proxy.tls_failed", { error: error.message });
    socket.destroy();
  });

  const outer = http.createServer(settings, (request, response) => {
    const target = absoluteTarget(request.url);
    if (target === undefined) {
      refuse(
        response,
        400,
        "This is the proxy of `freehold exec`: send it CONNECT requests and absolute URLs. The platform itself is elsewhere.",
      );
      return;
    }
    if (!handles(target.host)) {
      forward(request, response, target, dialer);
      return;
    }
    toOriginForm(request, target);
    options.request(serve("http", request), response);
  });
  outer.maxConnections = options.connectionsMax ?? CONNECTIONS_MAX;
  outer.on("connection", track);
  outer.on("upgrade", (request, socket, head) => {
    const target = absoluteTarget(request.url);
    if (target === undefined) endWith(socket, 400, "Bad Request");
    else if (!handles(target.host)) forwardUpgrade(request, socket, head, target, to);
    else {
      toOriginForm(request, target);
      options.upgrade(serve("http", request), socket, head);
    }
  });
  outer.on("connect", (request, socket: Duplex, head: Buffer) => {
    const target = parseAuthority(request.url ?? "", undefined);
    if (target === undefined) endWith(socket, 400, "Bad Request");
    else if (!handles(target.host)) tunnel(socket, head, target, to);
    else terminate(socket as Socket, head, { plain, secure });
  });
  outer.on("clientError", (_error, socket) => endWith(socket, 400, "Bad Request"));

  const port = await listen(outer, options.port ?? 0);
  let closing: Promise<void> | undefined;
  return {
    port,
    url: `http://${LOOPBACK}:${port}`,
    close(graceMs) {
      closing ??= drain([outer, plain, secure], connections, graceMs);
      return closing;
    },
  };
}

async function listen(server: http.Server, port: number): Promise<number> {
  server.listen(port, LOOPBACK);
  try {
    await once(server, "listening");
  } catch (error) {
    if (port === 0 || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return listen(server, 0);
  }
  return (server.address() as AddressInfo).port;
}

async function drain(servers: http.Server[], connections: ReadonlySet<Duplex>, graceMs: number): Promise<void> {
  const [outer, ...inner] = servers as [http.Server, ...http.Server[]];
  const closed = once(outer, "close");
  outer.close();
  for (const server of inner) server.closeIdleConnections();
  const deadline = setTimeout(() => {
    for (const socket of connections) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(deadline);
}

// --- our own names -----------------------------------------------------------------------------------------

/** Answers a CONNECT for one of our names and hands the connection to the server that its first byte calls for. */
function terminate(socket: Socket, head: Buffer, servers: { plain: http.Server; secure: https.Server }): void {
  const abandon = (): void => {
    socket.destroy();
  };
  socket.on("error", abandon);
  socket.setTimeout(HEAD_TIMEOUT_MS, abandon);
  socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  const hand = (first: Buffer): void => {
    socket.setTimeout(0);
    socket.off("timeout", abandon);
    socket.off("error", abandon);
    socket.unshift(first);
    const server = first[0] === TLS_HANDSHAKE_RECORD ? servers.secure : servers.plain;
    server.emit("connection", socket);
  };
  if (head.length > 0) {
    hand(head);
    return;
  }
  socket.once("readable", function first() {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) hand(chunk);
    else if (socket.readableEnded) abandon();
    else socket.once("readable", first);
  });
}

// --- everything else ---------------------------------------------------------------------------------------

type Dialer = NonNullable<ExecProxyOptions["dial"]>;

interface Outward {
  readonly dial: Dialer;
  track(socket: Duplex): void;
}

/** Names under .localhost are this machine (RFC 6761), whether or not its resolver knows them. */
export const connectAny: Dialer = (host, port) => connect({ host: dialHost(host), port, allowHalfOpen: true, noDelay: true });

function tunnel(client: Duplex, head: Buffer, target: Authority, to: Outward): void {
  dial(client, target, to, (upstream) => {
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) upstream.write(head);
    join(client, upstream);
  });
}

function forwardUpgrade(request: IncomingMessage, client: Duplex, head: Buffer, target: AbsoluteTarget, to: Outward): void {
  dial(client, target, to, (upstream) => {
    const lines = [`${request.method} ${target.path} HTTP/1.1`, `Host: ${target.authority}`];
    for (const [name, value] of headerPairs(request.rawHeaders)) {
      const lower = name.toLowerCase();
      if (lower !== "host" && lower !== "proxy-connection" && lower !== "proxy-authorization") lines.push(`${name}: ${value}`);
    }
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
    if (head.length > 0) upstream.write(head);
    join(client, upstream);
  });
}

/** Connects to a foreign host; a failure is answered as a gateway's. */
function dial(client: Duplex, target: Authority, to: Outward, connected: (upstream: Socket) => void): void {
  let upstream: Socket;
  try {
    upstream = to.dial(target.host, target.port);
  } catch (error) {
    endUnreached(client, target, error as Error);
    return;
  }
  to.track(upstream);
  // Also when nobody waits for it any more.
  upstream.on("error", () => undefined);
  const abandon = (): void => {
    upstream.destroy();
  };
  const failed = (error: Error): void => {
    client.off("close", abandon);
    endUnreached(client, target, error);
  };
  upstream.setTimeout(CONNECT_TIMEOUT_MS, () => upstream.destroy(new Error("timed out")));
  upstream.once("error", failed);
  client.once("close", abandon);
  client.on("error", abandon);
  upstream.once("connect", () => {
    upstream.setTimeout(0);
    upstream.off("error", failed);
    client.off("close", abandon);
    client.off("error", abandon);
    connected(upstream);
  });
}

/** Carries bytes both ways; each side may end on its own, and one that breaks takes the other with it. */
function join(client: Duplex, upstream: Duplex): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    // After a clean end `pipe` has ended the other side, which may still have bytes to flush.
    from.on("close", () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}

function forward(request: IncomingMessage, response: ServerResponse, target: AbsoluteTarget, dialer: Dialer): void {
  let socket: Socket;
  try {
    socket = dialer(target.host, target.port);
  } catch (error) {
    refuseUnreached(response, target, error as Error);
    return;
  }
  const upstream = http.request({
    createConnection: () => socket,
    method: request.method,
    path: target.path,
    headers: endToEnd(request.rawHeaders, { host: target.authority, body: hasBody(request) }),
    setHost: false,
    timeout: CONNECT_TIMEOUT_MS,
  });
  socket.once("connect", () => upstream.setTimeout(0));
  // Also before the request has taken it over, and when it has been given up.
  socket.on("error", (error) => upstream.destroy(error));
  upstream.on("timeout", () => upstream.destroy(new Error("timed out")));
  upstream.on("error", (error) => {
    if (response.headersSent) response.destroy();
    else refuseUnreached(response, target, error);
  });
  upstream.on("response", (answer) => {
    response.writeHead(answer.statusCode as number, answer.statusMessage, endToEnd(answer.rawHeaders, { body: true }));
    pipeline(answer, response, (error) => {
      if (error) response.destroy();
    });
  });
  response.once("close", () => upstream.destroy());
  pipeline(request, upstream, (error) => {
    if (error) upstream.destroy();
  });
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers["transfer-encoding"] !== undefined || request.headers["content-length"] !== undefined;

/** The headers that go on to the next hop, as sent: names in their case, duplicates kept. */
function endToEnd(raw: readonly string[], options: { host?: string; body: boolean }): string[] {
  const named = new Set<string>();
  let chunked = false;
  for (const [name, value] of headerPairs(raw)) {
    const lower = name.toLowerCase();
    if (lower === "connection") for (const token of value.split(",")) named.add(token.trim().toLowerCase());
    if (lower === "transfer-encoding") chunked = true;
  }
  const kept = options.host === undefined ? [] : ["Host", options.host];
  for (const [name, value] of headerPairs(raw)) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named.has(lower) || (lower === "host" && options.host !== undefined)) continue;
    kept.push(name, value);
  }
  // The body's framing belongs to this hop: it is chunked here if it was chunked there.
  if (chunked && options.body) kept.push("Transfer-Encoding", "chunked");
  return kept;
}

function* headerPairs(raw: readonly string[]): Iterable<[string, string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i] as string, raw[i + 1] as string];
}

// --- refusals ----------------------------------------------------------------------------------

/** A failed connection: 403 where the way there is closed, and the kind of failure as RFC 9209 names it. */
function refuseUnreached(response: ServerResponse, target: Authority, error: Error): void {
  response.setHeader("Proxy-Status", proxyStatus(error));
  refuse(response, error instanceof PrivateAddressError ? 403 : 502, unreached(target, error));
}

function endUnreached(socket: Duplex, target: Authority, error: Error): void {
  const prohibited = error instanceof PrivateAddressError;
  endWith(socket, prohibited ? 403 : 502, prohibited ? "Forbidden" : "Bad Gateway", unreached(target, error));
}

const unreached = ({ host, port }: Authority, error: Error): string => `cannot reach ${host}:${port}: ${error.message}`;

const FAILURES: Readonly<Record<string, string>> = {
  ENOTFOUND: "dns_error",
  EAI_AGAIN: "dns_error",
  ECONNREFUSED: "connection_refused",
  ETIMEDOUT: "connection_timeout",
  ECONNRESET: "connection_terminated",
};

function proxyStatus(error: Error): string {
  const kind = FAILURES[(error as NodeJS.ErrnoException).code ?? ""] ?? "destination_unavailable";
  return `freehold; error=${error instanceof PrivateAddressError ? "destination_ip_prohibited" : kind}`;
}

const dialHost = (host: string): string => (host.endsWith(".localhost") ? "localhost" : host);

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(`${text}\n`);
}

/** Answers on a connection that has no `ServerResponse`, and ends it. */
function endWith(socket: Duplex, status: number, reason: string, detail = reason): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const body = `freehold proxy: ${detail}\n`;
  socket.on("error", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
