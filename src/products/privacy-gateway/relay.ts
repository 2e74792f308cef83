/**
 * The relay: an encapsulated request comes in, goes to the one gateway of its application, and the encapsulated answer
 * goes back. What leaves here is made from nothing, so that the gateway learns of the client no more than that there is
 * one: no address, no cookie, no browser. Bodies stream; nothing of them is kept, cached or logged.
 *
 * The contract with clients (method, type, 400 "Invalid request") is that of the published relay Worker.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher, request as send } from "undici";
import type { Config } from "../../kernel/config.ts";
import type { HostRoute } from "../../kernel/product.ts";
import type { Applications } from "./applications.ts";
import type { Metrics, Relayed } from "./metrics.ts";

export interface Relay {
  readonly host: HostRoute;
  stop(): Promise<void>;
}

const REQUEST_TYPE = "message/ohttp-req";
const CONNECT_TIMEOUT_MS = 10_000;
const CONNECTIONS_MAX = 128;

export function openRelay(applications: Applications, metrics: Metrics, config: Config): Relay {
  const bodyMax = config["privacy_gateway.body_max_bytes"];
  const silenceMs = config["privacy_gateway.timeout_ms"];
  // One pool for all clients: a connection of its own would tell the gateway which requests come from one client.
  const gateways = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    connections: CONNECTIONS_MAX,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
  });

  async function relay(gateway: URL, endpoint: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const relayed = { endpoint, relayStatus: 0, gatewayStatus: 0, toGateway: 0, toClient: 0 } satisfies Relayed;
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      const refused = refusal(request, bodyMax);
      if (refused !== undefined) {
        relayed.relayStatus = refused;
        return answer(response, refused, refused === 413 ? "The request is too large" : "Invalid request");
      }
      let answered: Dispatcher.ResponseData;
      try {
        answered = await send(gateway, {
          method: "POST",
          headers: { "content-type": REQUEST_TYPE, ...lengthOf(request) },
          body: Readable.from(
            counted(request, bodyMax, (bytes) => (relayed.toGateway += bytes)),
            { objectMode: false },
          ),
          dispatcher: gateways,
          signal: gone.signal,
        });
      } catch (cause) {
        const status = failureStatus(cause);
        relayed.relayStatus = status;
        return answer(response, status, FAILURES[status] as string);
      }
      relayed.gatewayStatus = relayed.relayStatus = answered.statusCode;
      response.writeHead(answered.statusCode, passed(answered.headers));
      await pipeline(answered.body, (chunks: AsyncIterable<Buffer>) => counting(chunks, (bytes) => (relayed.toClient += bytes)), response, {
        signal: gone.signal,
      }).catch(() => response.destroy());
    } finally {
      metrics.add(relayed);
    }
  }

  return {
    host: {
      name: "privacy_gateway",
      patterns: ["{application}.privacy-gateway"],
      publicHosts: ["{application}.privacy-gateway.cloudflare.com"],
      wholeHost: true,
      async handle({ application = "" }, request, response) {
        const gateway = applications.get(application);
        if (gateway === undefined) return answer(response, 404, "There is no such application");
        await relay(gateway, application, request, response);
      },
    },
    stop: () => gateways.destroy(),
  };
}

/** The status of a request that is none of Oblivious HTTP's, or announces too much. */
function refusal(request: IncomingMessage, bodyMax: number): 400 | 413 | undefined {
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (request.method !== "POST" || type !== REQUEST_TYPE) return 400;
  return Number(request.headers["content-length"] ?? 0) > bodyMax ? 413 : undefined;
}

const FAILURES: Readonly<Record<number, string>> = {
  413: "The request is too large",
  502: "The application's gateway could not be reached",
  504: "The application's gateway did not answer in time",
};

class TooLarge extends Error {}

function failureStatus(cause: unknown): 413 | 502 | 504 {
  const { code, cause: inner } = cause as { code?: string; cause?: unknown };
  if (cause instanceof TooLarge || inner instanceof TooLarge) return 413;
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_CONNECT_TIMEOUT" ? 504 : 502;
}

const lengthOf = ({ headers }: IncomingMessage): Record<string, string> =>
  headers["content-length"] === undefined ? {} : { "content-length": headers["content-length"] };

/** Of the gateway's answer the client gets its type and length: other headers could tell clients apart, as a cookie does. */
function passed(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const kept: Record<string, string> = { "cache-control": "no-store" };
  for (const name of ["content-type", "content-length", "retry-after"]) {
    const value = headers[name];
    if (typeof value === "string") kept[name] = value;
  }
  return kept;
}

async function* counted(chunks: AsyncIterable<Buffer>, max: number, count: (bytes: number) => number): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    if (count(chunk.length) > max) throw new TooLarge();
    yield chunk;
  }
}

async function* counting(chunks: AsyncIterable<Buffer>, count: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    count(chunk.length);
    yield chunk;
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent || response.destroyed) return;
  // What is left of the request is not worth reading.
  response.writeHead(status, { "content-type": "text/plain", "content-length": Buffer.byteLength(text), connection: "close" });
  response.end(text);
}
