/**
 * Requests over one WebSocket (docs/ai-gateway/usage/websockets-api/non-realtime-api): messages `universal.create` are requests
 * of the universal endpoint, side by side, and their answers come back with the event's id; pieces of streams as they come.
 * A socket needs a token with AI Gateway Run, which is looked at again for each request. It knows nothing of providers.
 */
import type { IncomingMessage } from "node:http";
import { type Duplex, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { type WebSocket, WebSocketServer } from "ws";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import { gatewayError } from "./errors.ts";
import { failureBody, type Sink } from "./exchange.ts";
import type { HeaderValues } from "./options.ts";

const SOCKETS_MAX = 1000;
/** Requests of one socket at a time. */
const AT_ONCE_MAX = 50;
/** Of an answer that is no stream. */
const ANSWER_MAX_BYTES = 100 * 1024 * 1024;

/** Answers one request of the universal endpoint. Throws what is to be told its sender. */
export type AnswerRequest = (gateway: string, headers: HeaderValues, body: Buffer, sink: Sink) => Promise<void>;

export interface Sockets {
  upgrade(gateway: string, headers: HeaderValues, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends all sockets. */
  close(): void;
}

/** The token that a browser can send only as a protocol: `cf-aig-authorization.TOKEN`. */
export function headersOfProtocols(headers: HeaderValues): HeaderValues {
  const protocols = (headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim());
  const token = protocols.find((one) => one.startsWith("cf-aig-authorization."))?.slice("cf-aig-authorization.".length);
  const { "sec-websocket-protocol": _, ...rest } = headers;
  return token === undefined ? rest : { "cf-aig-authorization": `Bearer ${token}`, ...rest };
}

export function openSockets(answer: AnswerRequest, log: Log, messageMaxBytes: number): Sockets {
  const server = new WebSocketServer({ noServer: true, maxPayload: messageMaxBytes, perMessageDeflate: false, clientTracking: true });

  function serve(gateway: string, headers: HeaderValues, socket: WebSocket): void {
    const sinks = new Set<EventSink>();
    socket.on("error", () => socket.terminate());
    socket.on("close", () => {
      for (const sink of sinks) sink.destroy();
    });
    socket.on("message", (data) => {
      const sink = new EventSink(socket);
      if (sinks.size >= AT_ONCE_MAX)
        return sink.refuse(gatewayError("rateLimited", `A socket has at most ${AT_ONCE_MAX} requests at a time`));
      sinks.add(sink);
      void one(gateway, headers, Buffer.from(data as Buffer), sink).finally(() => sinks.delete(sink));
    });
  }

  async function one(gateway: string, headers: HeaderValues, message: Buffer, sink: EventSink): Promise<void> {
    try {
      const { body, eventId } = requestOf(message);
      sink.eventId = eventId ?? "";
      await answer(gateway, headers, body, sink);
    } catch (error) {
      if (!(error instanceof PlatformError)) log.error("ai_gateway.socket_failed", { error });
      sink.refuse(error instanceof PlatformError ? error : gatewayError("unreachable", "Internal error"));
    }
  }

  return {
    upgrade(gateway, headers, request, socket, head) {
      if (server.clients.size >= SOCKETS_MAX)
        return void socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      server.handleUpgrade(request, socket, head, (opened) => serve(gateway, headers, opened));
    },
    close() {
      for (const socket of server.clients) socket.close(1001, "the platform stops");
    },
  };
}

/** A message as a request of the universal endpoint. Throws `aiGateway.invalidRequest`. */
function requestOf(message: Buffer): { body: Buffer; eventId: string | undefined } {
  let given: { type?: unknown; request?: { eventId?: unknown; headers?: object } } | null;
  try {
    given = JSON.parse(message.toString("utf8"));
  } catch (cause) {
    throw gatewayError("invalidRequest", "A message must be JSON", { cause });
  }
  if (given?.type !== "universal.create" || typeof given.request !== "object" || given.request === null)
    throw gatewayError("invalidRequest", "A message must be of the type universal.create and have a request");
  const { eventId, headers, ...request } = given.request;
  const id = typeof eventId === "string" ? eventId : undefined;
  const own = { ...headers, ...(id !== undefined && { "cf-aig-event-id": id }) };
  return { body: Buffer.from(JSON.stringify([{ ...request, headers: own }])), eventId: id };
}

/** Takes an answer as HTTP has it and sends it as events. */
class EventSink extends Writable implements Sink {
  headersSent = false;
  eventId = "";
  readonly #socket: WebSocket;
  #metadata: Record<string, unknown> = {};
  #streaming = false;
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  #size = 0;
  #whole: Buffer[] = [];

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    // Whoever writes hears of it; it ends with its socket.
    this.on("error", () => undefined);
  }

  writeHead(_status: number, headers: Readonly<Record<string, string | number>>): this {
    this.headersSent = true;
    const contentType = String(headers["content-type"] ?? "");
    this.eventId ||= String(headers["cf-aig-event-id"] ?? "");
    this.#streaming = contentType.includes("text/event-stream");
    this.#metadata = {
      cacheStatus: headers["cf-aig-cache-status"] ?? "MISS",
      eventId: this.eventId,
      logId: headers["cf-aig-log-id"],
      step: String(headers["cf-aig-step"] ?? 0),
      contentType,
    };
    if (this.#streaming) void this.#send({ type: "universal.created", metadata: this.#metadata });
    return this;
  }

  /** The head went with the first event. */
  flushHeaders(): void {}

  refuse(error: PlatformError): void {
    void this.#send({ type: "error", metadata: { eventId: this.eventId }, response: failureBody(error) });
    this.destroy();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#streaming) void this.#pieces(this.#decoder.write(chunk)).then(() => done(), done);
    else if (this.#size + chunk.byteLength > ANSWER_MAX_BYTES) done(new Error("the answer is too large for a message"));
    else {
      this.#size += chunk.byteLength;
      this.#whole.push(chunk);
      done();
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    void this.#end().then(() => done(), done);
  }

  async #end(): Promise<void> {
    const metadata = this.#metadata;
    if (!this.#streaming)
      return this.#send({ type: "universal.created", metadata, response: jsonOr(Buffer.concat(this.#whole).toString("utf8")) });
    await this.#piece(this.#rest);
    await this.#send({ type: "universal.done", metadata });
  }

  /** Resolves when the socket takes more: so far is the provider ahead of the reader. */
  async #pieces(text: string): Promise<void> {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() as string;
    for (const line of lines) await this.#piece(line);
  }

  async #piece(line: string): Promise<void> {
    const data = line.startsWith("data:") ? line.slice("data:".length).trim() : "";
    if (data !== "" && data !== "[DONE]")
      await this.#send({ type: "universal.stream", metadata: { eventId: this.eventId }, response: jsonOr(data) });
  }

  /** Resolves when the socket has taken it, also when it has closed. */
  #send(event: object): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return Promise.resolve();
    return new Promise((resolve) => this.#socket.send(JSON.stringify(event), () => resolve()));
  }
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // Not every provider answers with JSON.
  }
}
