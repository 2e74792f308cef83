/**
 * The private network's end of a tunnel. It dials out to the platform, becomes an HTTP/2 server on that connection, and makes
 * the TCP connections that the platform asks for by CONNECT: nothing has to reach in. It dials again, with growing pauses,
 * until it is stopped or the platform says that the token is none.
 */

import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { get as getPlain } from "node:http";
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from "node:http2";
import { get as getSecure } from "node:https";
import { connect, isIP, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** As `connectors.ts` of the product expects them. */
const PROTOCOL = "freehold-tunnel";
const RESOLVERS_HEADER = "x-freehold-resolvers";
const REASON_HEADER = "x-freehold-reason";
const DIAL_TIMEOUT_MS = 10_000;
const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 10_000;
/** A connection that held so long was a good one: the next attempt comes soon. */
const STEADY_MS = 30_000;
/** The platform pings more often than this. */
const SILENCE_MAX_MS = 45_000;
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Of one connection: the platform asks for fewer by itself. */
const STREAMS_MAX = 1000;

export interface ConnectorOptions {
  readonly token: string;
  /** Where the platform's gateway answers: "http://10.0.0.1:8787". */
  readonly platform: URL;
  /** The host name by which the gateway knows tunnels. */
  readonly host: string;
  /** PEM of the authorities that are trusted for https; the system's without it. */
  readonly ca?: string | undefined;
  /** The same on each dial-in: tells connectors apart. */
  readonly client: string;
  readonly version: string;
  readonly signal: AbortSignal;
  /** Told to whoever watches. */
  say(line: string): void;
}

/** The platform does not take this connector, and will not take it next time. */
export class RefusedError extends Error {}

/** Runs until `signal` aborts. Rejects with a `RefusedError`. */
export async function runConnector(options: ConnectorOptions): Promise<void> {
  let pause = PAUSE_MIN_MS;
  while (!options.signal.aborted) {
    try {
      const socket = await dialIn(options);
      const since = performance.now();
      options.say(`connected to ${options.platform.origin}`);
      await serve(socket, options.signal);
      if (performance.now() - since > STEADY_MS) pause = PAUSE_MIN_MS;
      if (!options.signal.aborted) options.say("the connection to the platform has ended");
    } catch (error) {
      if (options.signal.aborted) return;
      if (error instanceof RefusedError) throw error;
      options.say(`cannot connect to ${options.platform.origin}: ${(error as Error).message}`);
    }
    // Not all connectors of a platform that starts again at one moment.
    await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: options.signal }).catch(() => undefined);
    pause = Math.min(PAUSE_MAX_MS, pause * 2);
  }
}

/** The connection to the platform, once it has accepted the token. */
async function dialIn({ token, platform, host, ca, client, version, signal }: ConnectorOptions): Promise<Socket> {
  const get = platform.protocol === "https:" ? getSecure : getPlain;
  const request = get(platform, {
    agent: false,
    signal,
    timeout: DIAL_TIMEOUT_MS,
    ...(ca !== undefined && { ca }),
    ...(platform.protocol === "https:" && { servername: host.replace(/:\d+$/, "") }),
    headers: {
      ...{ host, connection: "Upgrade", upgrade: PROTOCOL, authorization: `Bearer ${token}` },
      ...{ "x-freehold-client": client, "x-freehold-version": version, "x-freehold-arch": `${process.platform}_${process.arch}` },
    },
  });
  request.once("timeout", () => request.destroy(new Error("no answer in time")));
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  request.once("error", reject);
  request.once("response", (answer) => {
    answer.resume();
    if (answer.statusCode === 401) reject(new RefusedError("the token is not one of a tunnel of this platform"));
    else reject(new Error(`the platform answered ${answer.statusCode}`));
    request.destroy();
  });
  request.once("upgrade", (_answer, socket, head) => {
    socket.setTimeout(0);
    if (head.byteLength > 0) socket.unshift(head);
    resolve(socket as Socket);
  });
  return promise;
}

/** Serves the platform on the connection until either side ends it. */
async function serve(socket: Socket, signal: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const stop = () => socket.destroy();
  socket.on("error", stop);
  signal.addEventListener("abort", stop, { once: true });
  const session = performServerHandshake(socket, {
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: STREAMS_MAX },
  });
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  session.on("error", stop);
  session.on("stream", (stream: ServerHttp2Stream, headers) => void answer(stream, headers));
  const silence = setTimeout(stop, SILENCE_MAX_MS);
  session.on("ping", () => void silence.refresh());
  await closed;
  clearTimeout(silence);
  signal.removeEventListener("abort", stop);
}

/** One connection that the platform asks for. */
async function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  stream.on("error", () => stream.destroy());
  try {
    if (headers[":method"] !== "CONNECT") throw new Error("only CONNECT is served");
    const { host, port } = targetOf(headers[":authority"] as string | undefined);
    const socket = await dial(host, port, String(headers[RESOLVERS_HEADER] ?? ""));
    if (stream.destroyed) return void socket.destroy();
    socket.setKeepAlive(true);
    stream.respond({ ":status": 200 });
    join(stream, socket);
  } catch (error) {
    if (stream.destroyed) return;
    const reason = (error as Error).message.replace(/[^\x20-\x7e]/g, "?");
    stream.respond({ ":status": 502, [REASON_HEADER]: reason }, { endStream: true });
  }
}

function targetOf(authority = ""): { host: string; port: number } {
  const { hostname, port } = new URL(`tcp://${authority}`);
  if (hostname === "" || port === "") throw new Error("the request names no host and port");
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** `resolvers` are addresses with commas between them: those are asked for the name, not the machine's own. */
async function dial(host: string, port: number, resolvers: string): Promise<Socket> {
  const addresses = isIP(host) !== 0 || resolvers === "" ? [host] : await resolve(host, resolvers.split(","));
  let last = new Error(`${host} has no address`);
  for (const address of addresses) {
    const socket = connect({ host: address, port, noDelay: true, allowHalfOpen: true, timeout: DIAL_TIMEOUT_MS });
    socket.once("timeout", () => socket.destroy(new Error(`connect to ${address}:${port} takes too long`)));
    try {
      await once(socket, "connect");
      socket.setTimeout(0);
      return socket;
    } catch (error) {
      last = error as Error;
    }
  }
  throw last;
}

async function resolve(host: string, servers: readonly string[]): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers(servers);
  const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = found.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  if (addresses.length === 0) throw (found[0] as PromiseRejectedResult).reason;
  return addresses;
}

/** Passes bytes both ways, each end as it comes; one side's fault ends both, and the platform hears that it was one. */
function join(stream: ServerHttp2Stream, socket: Socket): void {
  // Not by `close`, which ends the stream before it resets it.
  socket.on("error", (error) => stream.destroy(error));
  socket.once("close", () => stream.destroyed || stream.end());
  stream.once("close", () => socket.destroy());
  stream.pipe(socket);
  socket.pipe(stream);
}
