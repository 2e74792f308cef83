/**
 * The way into one object's container. workerd expects a helper container beside each container, to which it speaks HTTP at
 * a port of the loopback interface: CONNECT leads to a port of the container, PUT /egress says what the container may reach.
 * This listener is that helper, without a container of its own; it dials the address which the container has now.
 */
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";

export interface Ingress {
  readonly port: number;
  /** Whether the next start is to have the Internet. */
  readonly internet: boolean;
  close(): void;
}

/** Where the object's container is now, or why there is none. */
export type Target = { readonly address: string } | { readonly failure: string };

const DIAL_TIMEOUT_MS = 5_000;
const EGRESS_MAX_BYTES = 64 * 1024;

export async function openIngress(target: () => Target): Promise<Ingress> {
  let internet = false;
  const server = createServer(async (request, response) => {
    if (request.method === "PUT" && request.url === "/egress") {
      internet = (await egressOf(request))?.internet?.enabled ?? internet;
      return response.end();
    }
    // Without a certificate of its own no HTTPS is intercepted.
    if (request.method === "GET" && request.url === "/ca") return response.end();
    response.writeHead(404).end();
  });
  const connections = new Set<Duplex>();

  server.on("connect", (request: IncomingMessage, client: Duplex, head: Buffer) => {
    connections.add(client);
    client.on("close", () => connections.delete(client));
    client.on("error", () => client.destroy());
    const found = target();
    if ("failure" in found) return void client.end(answer(503, found.failure));
    const port = Number(/:(\d{1,5})$/.exec(request.url ?? "")?.[1]);
    const out = connect({ host: found.address, port, timeout: DIAL_TIMEOUT_MS });
    let connected = false;
    out.on("timeout", () => out.destroy());
    out.on("error", () => client.destroy());
    out.on("close", () => {
      // 400 is how workerd is told that nobody listens there.
      if (!connected && !client.destroyed) client.end(answer(400, "not listening"));
    });
    out.removeAllListeners("error").on("error", () => connected && client.destroy());
    out.on("connect", () => {
      connected = true;
      out.setTimeout(0);
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      if (head.length > 0) out.write(head);
      client.pipe(out).pipe(client);
      client.on("close", () => out.destroy());
    });
  });

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    get internet() {
      return internet;
    },
    close() {
      server.close();
      server.closeAllConnections();
      for (const connection of connections) connection.destroy();
    },
  };
}

const answer = (status: number, text: string): string =>
  `HTTP/1.1 ${status} ${status === 400 ? "Bad Request" : "Service Unavailable"}\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

async function egressOf(request: IncomingMessage): Promise<{ internet?: { enabled?: boolean } } | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > EGRESS_MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8")) as { internet?: { enabled?: boolean } };
}
