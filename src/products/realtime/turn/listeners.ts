/**
 * The sockets of TURN: UDP, TCP and TLS, each on any number of ports. UDP clients that have no allocation are not
 * remembered, so that an address that is made up costs nothing; connections that do not become an allocation are ended.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { frameLength } from "./stun.ts";
import type { TurnPorts, TurnSettings } from "./turn-protocol.ts";
import type { Client, TurnServer } from "./turn-server.ts";

/** A connection without an allocation is ended when it says nothing for so long. */
const IDLE_MS = 30_000;
/** What may wait for a client that does not read; more is dropped, as datagrams would be. */
const UNSENT_MAX = 1024 * 1024;
/** RFC 7443. */
const ALPN = ["stun.turn", "stun.nat-discovery"];
/** In the order of the real service's list, as far as today's OpenSSL has them. TLS 1.1 is left out. */
const CIPHERS =
  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256:AES128-SHA:AES256-SHA";

export interface Listeners {
  readonly ports: TurnPorts;
  close(): Promise<void>;
}

/** Opens every port; on failure those that are open are closed again. */
export async function openListeners(settings: TurnSettings, server: TurnServer, failed: (error: unknown) => void): Promise<Listeners> {
  const closers: (() => Promise<void>)[] = [];
  const connections = new Set<Socket>();
  const close = async (): Promise<void> => {
    for (const connection of connections) connection.destroy();
    await Promise.all(closers.splice(0).map((closer) => closer()));
  };
  const receive = (client: Client, bytes: Buffer): void => {
    server.receive(client, bytes).catch(failed);
  };

  async function openUdp(port: number): Promise<number> {
    const socket = createSocket({ type: settings.host.includes(":") ? "udp6" : "udp4", recvBufferSize: 1024 * 1024 });
    const clients = new Map<string, Client>();
    socket.on("message", (bytes, { address, port: from }) => {
      const name = `${address}:${from}`;
      const client = clients.get(name) ?? udpClient(socket, clients, name, { address, port: from });
      receive(client, bytes);
    });
    socket.bind(port, settings.host);
    await once(socket, "listening");
    socket.on("error", failed);
    closers.push(async () => {
      socket.close();
    });
    return socket.address().port;
  }

  async function openStream(listener: Server, port: number): Promise<number> {
    listener.listen(port, settings.host);
    await once(listener, "listening");
    closers.push(async () => {
      listener.close();
      await once(listener, "close");
    });
    return (listener.address() as { port: number }).port;
  }

  const accept = (socket: Socket): void => {
    if (connections.size >= settings.limits.connectionsMax) return void socket.destroy();
    connections.add(socket);
    const client = streamClient(socket);
    let rest: Buffer = Buffer.alloc(0);
    socket.setNoDelay(true);
    socket.setTimeout(IDLE_MS, () => {
      if (client.allocation === undefined) socket.destroy();
    });
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      try {
        for (let length = frameLength(rest); length !== undefined && rest.length >= length; length = frameLength(rest)) {
          receive(client, rest.subarray(0, length));
          rest = rest.subarray(length);
        }
      } catch {
        // Where the next message begins cannot be told any more.
        socket.destroy();
      }
    });
    // What went wrong with a connection is told by its end.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      connections.delete(socket);
      server.gone(client);
    });
  };

  try {
    const ports = { udp: [] as number[], tcp: [] as number[], tls: [] as number[] };
    for (const port of settings.ports.udp) ports.udp.push(await openUdp(port));
    for (const port of settings.ports.tcp) ports.tcp.push(await openStream(createTcpServer(accept), port));
    const options = { ...settings.tls, ciphers: CIPHERS, ALPNProtocols: ALPN, handshakeTimeout: IDLE_MS };
    for (const port of settings.ports.tls) ports.tls.push(await openStream(createTlsServer(options, accept), port));
    return { ports, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function udpClient(socket: UdpSocket, clients: Map<string, Client>, name: string, remote: Client["remote"]): Client {
  let allocation: Client["allocation"];
  return {
    remote,
    stream: false,
    send: (bytes) => socket.send(bytes, remote.port, remote.address, () => undefined),
    close: () => undefined,
    get allocation() {
      return allocation;
    },
    // Known for as long as there is an allocation.
    set allocation(value) {
      allocation = value;
      if (value === undefined) clients.delete(name);
      else clients.set(name, this);
    },
  };
}

function streamClient(socket: Socket): Client {
  const waiting: Buffer[] = [];
  let writing = false;
  let unsent = 0;
  // One message a write: clients there are that take what comes in one record of TLS for one message.
  const writeNext = (): void => {
    const bytes = waiting.shift();
    writing = bytes !== undefined;
    if (bytes === undefined) return;
    socket.write(bytes, () => {
      unsent -= bytes.length;
      writeNext();
    });
  };
  return {
    remote: { address: socket.remoteAddress ?? "0.0.0.0", port: socket.remotePort ?? 0 },
    stream: true,
    send(bytes) {
      if (unsent >= UNSENT_MAX) return;
      unsent += bytes.length;
      waiting.push(bytes);
      if (!writing) writeNext();
    },
    close: () => void socket.destroy(),
    allocation: undefined,
  };
}
