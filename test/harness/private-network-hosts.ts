/**
 * The hosts of a private network, in a namespace of their own, where ports are free to choose. What they notice goes to
 * standard output; they end when standard input does. Not a test: `private-network.ts` runs it.
 *
 *   127.0.0.1, ::1   HTTP on 80, 8080 and 8081, HTTPS on 443: tell what they were asked
 *   127.0.0.1:9090   and 127.0.0.2:8080: the neighbours that nobody may reach
 *   127.0.0.3:80     HTTP, known as wiki.corp.test to the name server at 127.0.0.53 alone
 *   127.0.0.1:7000   and 7443: the platform's gateway
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import dnsPacket from "dns-packet";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { socket, method, url, headers, rawHeaders } = request;
  const [path] = (url ?? "").split("?");
  switch (path) {
    case "/echo":
      response.writeHead(200, { "content-type": "application/octet-stream" }).flushHeaders();
      request.pipe(response);
      return;
    case "/endless":
      response.once("close", () => say("the endless answer was broken off"));
      response.write("first");
      return;
    case "/elsewhere":
      // Where a fetch that follows goes is up to the binding, not to the answer.
      response.writeHead(302, { location: "http://127.0.0.1:9090/stolen" }).end();
      return;
    case "/cut":
      // As long as its connection, which breaks.
      socket.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe first half", () => socket.resetAndDestroy());
      return;
    default: {
      const body = await buffer(request);
      const { servername = null } = socket as TLSSocket;
      const at = `${socket.localAddress}:${socket.localPort}`;
      response.writeHead(200, { "content-type": "application/json", "x-served-by": at });
      response.end(JSON.stringify({ at, method, url, host: headers.host, rawHeaders, servername, body: body.toString() }));
    }
  }
}

const listening = async (server: Server | TcpServer, port: number, host: string): Promise<void> => {
  server.listen(port, host);
  await once(server, "listening");
};
const http = (): Server => createServer((request, response) => void answer(request, response));

const closable = new Map<string, Server>([["8081", http()]]);
const neighbour = (name: string): TcpServer =>
  createTcpServer((socket) => {
    say(`the neighbour ${name} was reached`);
    socket.on("error", () => undefined);
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret");
  });
const wayOut = (path: string): TcpServer =>
  createTcpServer((socket) => {
    const out = connect(path);
    socket.on("error", () => out.destroy());
    out.on("error", () => socket.destroy());
    out.once("close", () => socket.destroy());
    socket.once("close", () => out.destroy());
    socket.pipe(out).pipe(socket);
  });

const names = createSocket("udp4");
names.on("message", (message, from) => {
  const query = dnsPacket.decode(message);
  const [question] = query.questions ?? [];
  if (question === undefined) return;
  const known = question.name.toLowerCase() === "wiki.corp.test";
  const answers = known && question.type === "A" ? [{ type: "A" as const, name: question.name, ttl: 0, data: "127.0.0.3" }] : [];
  const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | (known ? 0 : 3);
  names.send(dnsPacket.encode({ type: "response", id: query.id ?? 0, flags, questions: [question], answers }), from.port, from.address);
});
names.bind(53, "127.0.0.53");

const { CERT: cert = "", KEY: key = "", WAY_PLAIN: plain = "", WAY_TLS: tls = "" } = process.env;
await Promise.all([
  ...[80, 8080].flatMap((port) => ["127.0.0.1", "::1"].map((host) => listening(http(), port, host))),
  listening(closable.get("8081") as Server, 8081, "127.0.0.1"),
  listening(
    createSecureServer({ cert, key }, (request, response) => void answer(request, response)),
    443,
    "127.0.0.1",
  ),
  listening(http(), 80, "127.0.0.3"),
  listening(neighbour("on another port"), 9090, "127.0.0.1"),
  listening(neighbour("on another address"), 8080, "127.0.0.2"),
  listening(wayOut(plain), 7000, "127.0.0.1"),
  listening(wayOut(tls), 7443, "127.0.0.1"),
  once(names, "listening"),
]);
say("ready");

const orders = createInterface({ input: process.stdin });
orders.on("line", (line) => {
  const server = closable.get(line.replace(/^close /, ""));
  server?.close(() => say(line));
  server?.closeAllConnections();
});
orders.once("close", () => process.exit());
