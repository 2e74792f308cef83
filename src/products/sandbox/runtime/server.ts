/**
 * The runtime's door: HTTP with JSON and Server-Sent Events, one WebSocket for many requests (`/ws`), and one for each terminal
 * (`/ws/pty`). It trusts whoever reaches it: that is the sandbox's own Durable Object, and programs inside the same container.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { serveControl } from "./control-socket.ts";
import { asRuntimeError, invalid } from "./errors.ts";
import { EventStream, Runtime, type RuntimeOptions } from "./routes.ts";
import { Terminals } from "./terminals.ts";

/** Bodies are JSON documents; a file's contents in base64 is the largest of them. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export interface RuntimeServer {
  readonly port: number;
  stop(): Promise<void>;
}

export async function serve(options: RuntimeOptions & { port: number; host: string }): Promise<RuntimeServer> {
  const runtime = new Runtime(options);
  const terminals = new Terminals();
  // A command may take as long as it likes before its answer begins.
  const server = createServer(
    { requestTimeout: 0, keepAliveTimeout: 75_000 },
    (request, response) => void answer(runtime, request, response),
  );
  upgrade(server, runtime, terminals);
  server.listen(options.port, options.host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.close();
      await Promise.all([terminals.stop(), runtime.stop()]);
      server.closeAllConnections();
    },
  };
}

async function answer(runtime: Runtime, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  try {
    const { pathname: path, searchParams: query } = new URL(request.url ?? "/", "http://sandbox");
    const body = await json(request);
    const result = await runtime.handle({ method: request.method ?? "GET", path, query, body, signal: gone.signal });
    if (result instanceof EventStream) await sendEvents(response, result, gone.signal);
    else send(response, 200, result);
  } catch (error) {
    const failure = asRuntimeError(error);
    if (response.headersSent) response.destroy();
    else send(response, failure.status, failure);
  }
}

function send(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
}

async function sendEvents(response: ServerResponse, { events }: EventStream, signal: AbortSignal): Promise<void> {
  const iterator = events[Symbol.asyncIterator]();
  // The first event decides whether there is a stream at all: until then a failure still has a status of its own.
  let next = await iterator.next();
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.flushHeaders();
  try {
    for (; !next.done && !signal.aborted; next = await iterator.next()) {
      if (!response.write(`data: ${JSON.stringify(next.value)}\n\n`)) {
        await once(response, "drain", { signal }).catch(() => undefined);
      }
    }
  } finally {
    await iterator.return?.();
  }
  response.end();
}

async function json(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw invalid(`Request body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return parseBody(Buffer.concat(chunks).toString("utf8"));
}

export function parseBody(text: string): Record<string, unknown> {
  if (text === "") return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw invalid(`Failed to parse request body: ${(error as Error).message}`);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw invalid("Request body must be a JSON object");
  return body as Record<string, unknown>;
}

function upgrade(server: Server, runtime: Runtime, terminals: Terminals): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_BODY_BYTES });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://sandbox");
    const refuse = (status: string) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    if (pathname === "/ws" || pathname === "/api/ws") {
      return sockets.handleUpgrade(request, socket, head, (connection) => serveControl(connection, runtime));
    }
    if (pathname !== "/ws/pty") return refuse("404 Not Found");
    const sessionId = searchParams.get("sessionId");
    if (!sessionId) return refuse("400 Bad Request");
    const size = { cols: dimension(searchParams.get("cols"), 80), rows: dimension(searchParams.get("rows"), 24) };
    sockets.handleUpgrade(request, socket, head, (connection) => {
      connection.on("error", () => connection.terminate());
      // What is typed before the terminal is there is not lost.
      connection.pause();
      void (async () => {
        try {
          await terminals.connect(connection, runtime.sessions.get(sessionId), searchParams.get("shell") ?? "bash", size);
        } catch (error) {
          connection.resume();
          connection.send(JSON.stringify({ type: "error", message: (error as Error).message }));
          connection.close(1011);
        }
      })();
    });
  });
}

function dimension(value: string | null, otherwise: number): number {
  const number = Number(value);
  return Number.isInteger(number) && number > 0 && number <= 10_000 ? number : otherwise;
}
