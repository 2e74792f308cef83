/**
 * Connectors that are dialled in now. A connector opens one connection to the host "tunnel", proves itself by the tunnel's token,
 * and becomes an HTTP/2 server on it: the platform, its client, asks for TCP connections by CONNECT. The private network
 * needs no way in. Nothing here is state: after a restart the connectors come again.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import type { KernelSlice } from "../../kernel/product.ts";
import { UnreachableError } from "./errors.ts";
import { TunnelStream } from "./tunnel-stream.ts";
import type { Tunnels } from "./tunnels.ts";

/** The upgrade that a connector asks for. */
export const PROTOCOL = "freehold-tunnel";
/** Which resolvers the connector is to ask for a name: addresses with commas between them. */
const RESOLVERS_HEADER = "x-freehold-resolvers";
/** The connector's words for why there is no connection. */
const REASON_HEADER = "x-freehold-reason";
/** A connector that leaves a ping unanswered until the next one is gone. */
const PING_MS = 15_000;
/** What may be on its way to us on one stream, and on all of a connector. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

export interface Target {
  readonly tunnel: string;
  /** Tried one after another: addresses, or one name. */
  readonly hosts: readonly string[];
  readonly port: number;
  /** Whom the connector asks for the name; its own resolver when empty. */
  readonly resolvers: readonly string[];
}

export interface Connection {
  readonly id: string;
  readonly clientId: string;
  readonly version: string;
  readonly arch: string;
  readonly originIp: string;
  readonly openedAt: number;
  readonly session: ClientHttp2Session;
  /** TCP connections that it has open for us, or is making. */
  streams: number;
}

export type Connectors = ReturnType<typeof openConnectors>;

export function openConnectors({ clock, config, log }: KernelSlice, tunnels: Tunnels) {
  const live = new Map<string, Connection[]>();
  const of = (tunnel: string): readonly Connection[] => live.get(tunnel) ?? [];
  const writes = new Set<Promise<void>>();
  const isUp = ({ session }: Connection): boolean => !session.closed && !session.destroyed;

  /** Times of a tunnel are for people to read: nobody waits for their writing. */
  function note(write: Promise<void>): void {
    const done = write.catch((error: unknown) => log.error("workers_vpc.note_failed", { error })).finally(() => writes.delete(done));
    writes.add(done);
  }

  function leave(tunnel: string, connection: Connection): void {
    const left = of(tunnel).filter((one) => one !== connection);
    if (left.length > 0) return void live.set(tunnel, left);
    live.delete(tunnel);
    note(tunnels.disconnected(tunnel));
  }

  function enter(tunnel: string, request: IncomingMessage, socket: Duplex): void {
    const session = connectHttp2("http://connector", {
      createConnection: () => socket,
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
    });
    const said = (name: string): string => String(request.headers[name] ?? "").slice(0, 100);
    const connection: Connection = {
      id: randomUUID(),
      clientId: said("x-freehold-client"),
      version: said("x-freehold-version"),
      arch: said("x-freehold-arch"),
      originIp: request.socket.remoteAddress ?? "",
      openedAt: clock.now(),
      session,
      streams: 0,
    };
    let answered = true;
    const pings = setInterval(() => {
      if (!answered) return session.destroy();
      answered = false;
      session.ping(() => {
        answered = true;
      });
    }, PING_MS).unref();
    session.once("connect", () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    session.on("error", (error) => log.debug("workers_vpc.connector_failed", { tunnel, error }));
    session.once("close", () => {
      clearInterval(pings);
      leave(tunnel, connection);
      log.info("workers_vpc.connector_left", { tunnel, connection: connection.id });
    });
    live.set(tunnel, [connection, ...of(tunnel)]);
    // The tunnel may have been deleted while its token was looked up.
    note(tunnels.connected(tunnel).then((exists) => void (exists || session.destroy())));
    log.info("workers_vpc.connector_came", { tunnel, connection: connection.id, ip: connection.originIp });
  }

  return {
    of,
    async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
      const tunnel = await tunnels.byToken(/^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "");
      if (tunnel === undefined) return refuse(socket, "401 Unauthorized");
      if (of(tunnel.id).length >= config["workers_vpc.connectors_max"]) return refuse(socket, "429 Too Many Requests");
      if (socket.destroyed) return;
      socket.unshift(head);
      // HTTP/2 takes over what is beneath the socket, where nothing may be on its way any more: Node would abort.
      const answer = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n\r\n`;
      await new Promise((written) => socket.write(answer, written));
      if (!socket.destroyed) enter(tunnel.id, request, socket);
    },
    /**
     * A TCP connection in the private network, by the connector that came last; by another one when that one is gone or has its
     * hands full. Rejects with an `UnreachableError`.
     */
    async dial(target: Target): Promise<TunnelStream> {
      let last = new UnreachableError("the tunnel has no connector");
      for (const connection of of(target.tunnel)) {
        if (connection.streams >= config["workers_vpc.streams_max"]) {
          last = new UnreachableError("the tunnel's connectors have as many connections open as they may have");
          continue;
        }
        for (const host of target.hosts) {
          if (!isUp(connection)) break;
          try {
            return await open(connection, host, target, config["workers_vpc.connect_timeout_ms"]);
          } catch (error) {
            last = error as UnreachableError;
          }
        }
        // It is there and has said no: another replica of the network would say the same.
        if (isUp(connection)) break;
      }
      throw last;
    },
    /** Ends a tunnel's connections, or those of one of its connectors. */
    end(tunnel: string, clientId?: string): void {
      for (const { session, clientId: id } of of(tunnel)) if (clientId === undefined || clientId === id) session.destroy();
    },
    async stop(): Promise<void> {
      const sessions = [...live.values()].flat().map(({ session }) => session);
      await Promise.all(
        sessions.map(
          (session) =>
            new Promise<void>((resolve) => {
              session.once("close", resolve);
              session.destroy();
            }),
        ),
      );
      await Promise.all(writes);
    },
  };
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}

function open(connection: Connection, host: string, { port, resolvers }: Target, timeoutMs: number): Promise<TunnelStream> {
  const { promise, resolve, reject } = Promise.withResolvers<TunnelStream>();
  connection.streams++;
  const stream = connection.session.request(
    {
      ":method": "CONNECT",
      ":authority": `${isIPv6(host) ? `[${host}]` : host}:${port}`,
      ...(resolvers.length > 0 && { [RESOLVERS_HEADER]: resolvers.join(",") }),
    },
    { endStream: false },
  );
  const fail = (reason: string, cause?: unknown): void => {
    reject(new UnreachableError(reason, { cause }));
    stream.destroy();
  };
  const timeout = setTimeout(() => fail("the connector does not answer in time"), timeoutMs);
  stream.once("response", (headers) => {
    clearTimeout(timeout);
    if (headers[":status"] === 200) resolve(new TunnelStream(stream));
    else fail(String(headers[REASON_HEADER] ?? "the connector has refused"));
  });
  stream.on("error", (error) => reject(new UnreachableError(error.message, { cause: error })));
  stream.once("close", () => {
    connection.streams--;
    clearTimeout(timeout);
    reject(new UnreachableError("the connector is gone"));
  });
  return promise;
}
