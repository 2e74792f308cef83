/**
 * Calls between processes. Each destination that a binding names (a Worker's entrypoint with props, a Durable Object
 * namespace) has one unix socket here whose path stays the same; a call is passed to the process that serves the target
 * now, which is started on demand. `fetch()` arrives as HTTP, RPC as a CONNECT that opens a Cap'n Proto connection.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { forward, forwardUpgrade } from "../../kernel/gateway/forward.ts";
import type { AnswerHead, ConnectionPool } from "../../kernel/gateway/http-connection.ts";
import type { Log } from "../../kernel/log.ts";
import type { Destination } from "../../kernel/product.ts";
import type { Lease } from "../../kernel/workerd/runtime.ts";
import { type Invocations, statusOf } from "./invocations.ts";
import { CF_HEADER, PROTO_HEADER, RPC_HOST } from "./process.ts";
import { RpcMeter } from "./rpc-meter.ts";
import type { VersionLease } from "./serving.ts";

export interface Links {
  /** The socket's path for calls to the destination; made on first use. */
  open(destination: Destination): Promise<string>;
  /** Ends RPC connections to the target's former processes: those that are idle now, the others as soon as they are. */
  moved(target: string): void;
  close(): Promise<void>;
}

interface RpcConnection {
  readonly meter: RpcMeter;
  lease: Lease | undefined;
  /** Set when the target has a newer process: the connection ends when its calls have. */
  outdated: boolean;
  end(): void;
}

/** A lease, and the Worker that it is on. */
type Leased = VersionLease & { readonly worker: string };

export interface LinksOptions {
  readonly pool: ConnectionPool;
  readonly log: Log;
  /** A lease on a process that serves the Worker; throws when there is no such Worker or it does not start. */
  lease(target: string, version?: string): Promise<VersionLease>;
  readonly invocations: Pick<Invocations, "begin" | "end">;
}

/** A call's body has no limit of its own: the caller is a Worker, whose request had one. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;
const IDLE_TIMEOUT_MS = 2 ** 31 - 1;
/** Work in flight on a Worker with Durable Objects gets this long when a deploy needs its files. */
export const EXCLUSIVE_DRAIN_MS = 5_000;

export async function openLinks(options: LinksOptions): Promise<Links> {
  const { pool, log } = options;
  // Under the temporary directory, because a socket's path may have at most 107 bytes; mkdtemp makes it private.
  const directory = await mkdtemp(join(tmpdir(), "freehold-links-"));
  const servers = new Map<string, Promise<{ path: string; server: Server }>>();
  const rpc = new Map<string, Set<RpcConnection>>();

  async function listen(target: Destination): Promise<{ path: string; server: Server }> {
    const name = createHash("sha256").update(target.key).digest("hex").slice(0, 16);
    const path = join(directory, `${name}.sock`);
    const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
      void passRequest(target, request, response);
    });
    server.on("upgrade", (request, client, head) => void passUpgrade(target, request, client, head));
    server.on("connect", (request, client, head) => void passConnect(target, request, client, head));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    return { path, server };
  }

  async function leased(target: Destination): Promise<Leased | undefined> {
    try {
      const worker = await target.worker();
      return { ...(await options.lease(worker, target.version)), worker };
    } catch (error) {
      log.warn("service_binding.unreachable", { destination: target.key, error });
      return undefined;
    }
  }

  async function passRequest(target: Destination, request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const lease = await leased(target);
      if (lease === undefined) break;
      const begun = options.invocations.begin(lease.version.id);
      const outcome = await forward(pool, request, response, {
        path: lease.socket(target.socket),
        headers: headerLines(request, [CF_HEADER, PROTO_HEADER, ...(target.headers ?? [])]),
        bodyMaxBytes: UNLIMITED,
        bodyIdleTimeoutMs: IDLE_TIMEOUT_MS,
        ...(lease.exclusive && { signal: lease.retired, signalGraceMs: EXCLUSIVE_DRAIN_MS }),
        // No answer at all makes the caller's fetch() throw, as an uncaught exception in the callee does.
        condemned: lease.condemned,
        intercept(head) {
          lease.alive();
          return isUncaught(head);
        },
      });
      const status = statusOf[outcome];
      if (status !== undefined) {
        options.invocations.end({ scriptName: lease.worker, versionId: lease.version.id }, status, begun);
      }
      lease.release();
      if (outcome === "done" || outcome === "aborted") return;
      if (outcome !== "unreachable" || request.readableDidRead) break;
    }
    response.destroy();
  }

  async function passUpgrade(target: Destination, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => client.destroy());
    const lease = await leased(target);
    if (lease === undefined) return void client.destroy();
    lease.openEnded();
    const outcome = await forwardUpgrade(request, client, head, {
      path: lease.socket(target.socket),
      headers: headerLines(request, [CF_HEADER, PROTO_HEADER, ...(target.headers ?? [])]),
      signal: lease.retired,
      intercept: isUncaught,
    });
    lease.release();
    if (outcome !== "done") client.destroy();
  }

  async function passConnect(target: Destination, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => client.destroy());
    const lease = await leased(target);
    if (lease === undefined) return void client.destroy();
    lease.openEnded();
    const server = connect({ path: lease.socket(target.socket) });
    if (request.url !== RPC_HOST) return passSocket(lease, request, client, server, head);
    const connections = rpc.get(lease.worker) ?? new Set();
    rpc.set(lease.worker, connections);
    const connection: RpcConnection = {
      meter: new RpcMeter(settle),
      lease,
      outdated: lease.retired.aborted,
      end: () => {
        connections.delete(connection);
        connection.lease?.release();
        connection.lease = undefined;
        client.destroy();
        server.destroy();
      },
    };
    connections.add(connection);
    const outdate = (): void => {
      connection.outdated = true;
      settle();
      // Its successor waits for the process to be gone.
      if (lease.exclusive) setTimeout(connection.end, EXCLUSIVE_DRAIN_MS).unref();
    };
    lease.retired.addEventListener("abort", outdate);

    function settle(): void {
      if (!connection.meter.idle) {
        // Busy again: hold the process while the call runs.
        if (connection.lease === undefined) {
          void leased(target).then((again) => {
            if (connection.meter.idle || connection.lease !== undefined || client.destroyed) again?.release();
            else {
              again?.openEnded();
              connection.lease = again;
            }
          });
        }
        return;
      }
      connection.lease?.release();
      connection.lease = undefined;
      // Bytes of a next call that lie in the socket already are read before the connection ends.
      if (connection.outdated) setImmediate(() => setImmediate(() => connection.meter.idle && connection.end()));
    }

    server.on("error", connection.end);
    server.once("close", connection.end);
    client.once("close", connection.end);
    server.write(`CONNECT ${request.url} HTTP/1.1\r\n\r\n`);
    if (head.length > 0) server.write(head);
    await answered(server, client);
    metered(client, server, (chunk) => connection.meter.toServer.read(chunk));
    metered(server, client, (chunk) => connection.meter.toClient.read(chunk));
  }

  /** `connect()` on a service binding: bytes both ways until either side ends. */
  function passSocket(lease: Lease, request: IncomingMessage, client: Duplex, server: Duplex, head: Buffer): void {
    const end = (): void => {
      lease.release();
      client.destroy();
      server.destroy();
    };
    server.on("error", end);
    server.once("close", end);
    client.once("close", end);
    server.write(`CONNECT ${request.url} HTTP/1.1\r\n\r\n`);
    if (head.length > 0) server.write(head);
    client.pipe(server).pipe(client);
  }

  return {
    async open(target) {
      let server = servers.get(target.key);
      if (server === undefined) {
        server = listen(target);
        servers.set(target.key, server);
        server.catch(() => servers.delete(target.key));
      }
      return (await server).path;
    },
    moved(target) {
      for (const connection of rpc.get(target) ?? []) {
        connection.outdated = true;
        setImmediate(() => connection.meter.idle && connection.end());
      }
    },
    async close() {
      for (const connections of rpc.values()) for (const connection of connections) connection.end();
      for (const pending of servers.values()) {
        const { server } = await pending;
        server.close();
        server.closeAllConnections();
      }
      servers.clear();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/**
 * workerd's answer to an uncaught exception: exactly these headers and the body "Internal Server Error". A Response that
 * user code made has a Content-Type, or does not close the connection.
 */
export const isUncaught = ({ status, headers, close, length }: AnswerHead): boolean =>
  status === 500 && close && length === 21 && headers.length === 2;

/**
 * The headers of a request between workerd processes, as they came, without framing and without what only the platform says
 * to a Worker; `passed` are headers of workerd's own.
 */
export function headerLines(request: IncomingMessage, passed: readonly string[] = [CF_HEADER, PROTO_HEADER]): string {
  const { rawHeaders } = request;
  let lines = "";
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (/^(connection|keep-alive|content-length|transfer-encoding|upgrade|expect)$/i.test(name)) continue;
    if (/^x-freehold-/i.test(name) && !passed.includes(name.toLowerCase())) continue;
    lines += `${name}: ${rawHeaders[i + 1]}\r\n`;
  }
  return lines;
}

/** Passes on the head of the answer to CONNECT; what follows it is RPC. */
function answered(server: Duplex, client: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      buffer = Buffer.concat([buffer, chunk]);
      const end = buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      server.off("data", onData);
      server.pause();
      client.write(buffer.subarray(0, end + 4));
      if (buffer.length > end + 4) server.unshift(buffer.subarray(end + 4));
      resolve();
    };
    server.on("data", onData);
  });
}

/** Pipes with back-pressure, showing each chunk to `see` first; what is no RPC ends the connection. */
function metered(from: Duplex, to: Duplex, see: (chunk: Buffer) => void): void {
  from.on("data", (chunk: Buffer) => {
    try {
      see(chunk);
    } catch {
      from.destroy();
      to.destroy();
      return;
    }
    if (!to.write(chunk)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
  });
  from.on("end", () => to.end());
  from.resume();
}
