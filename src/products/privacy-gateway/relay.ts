/**
 * The relay: an encapsulated request comes in, goes to the one gateway of its application, and the encapsulated answer
 * goes back. What leaves here is made from nothing, so that the gateway learns of the client no more than that there is
 * one: no address, no cookie, no browser. A request is read whole before the gateway is asked, so that a client that is slow
 * or stands still holds no connection to it; answers stream. Nothing of either is kept, cached or logged.
 *
 * The contract with clients (method, type, 400 "Invalid request") is that of the published relay Worker.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { Agent, request as send } from "undici";
import { bodyChunks } from "../../kernel/api/body.ts";
import type { Config } from "../../kernel/config.ts";
import { PlatformError } from "../../kernel/errors.ts";
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
/** Of all requests that are being read or passed on. */
const HELD_BYTES_MAX = 256 * 1024 * 1024;

export function openRelay(applications: Applications, metrics: Metrics, config: Config): Relay {
  const bodyMax = config["privacy_gateway.body_max_bytes"];
  const silenceMs = config["privacy_gateway.timeout_ms"];
  const idleTimeoutMs = config["gateway.body_idle_timeout_ms"];
  let held = 0;
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
    const chunks: Uint8Array[] = [];
    try {
      if (!isEncapsulated(request)) throw new Refusal(400);
      for await (const chunk of bodyChunks(request, { maxBytes: bodyMax, idleTimeoutMs })) {
        relayed.toGateway += chunk.byteLength;
        held += chunk.byteLength;
        if (held > HELD_BYTES_MAX) throw new Refusal(503);
        chunks.push(chunk);
      }
      const answered = await send(gateway, {
        method: "POST",
        headers: { "content-type": REQUEST_TYPE },
        body: Buffer.concat(chunks),
        dispatcher: gateways,
        signal: gone.signal,
      });
      relayed.gatewayStatus = relayed.relayStatus = answered.statusCode;
      response.writeHead(answered.statusCode, passed(answered.headers));
      // A client that does not read holds a connection to the gateway no longer than one that does not send.
      response.setTimeout(idleTimeoutMs, () => response.destroy());
      await pipeline(answered.body, (parts: AsyncIterable<Buffer>) => counting(parts, (bytes) => (relayed.toClient += bytes)), response, {
        signal: gone.signal,
      });
    } catch (cause) {
      if (relayed.gatewayStatus !== 0) return void response.destroy();
      relayed.relayStatus = statusOf(cause);
      answer(response, relayed.relayStatus, TEXTS[relayed.relayStatus] as string);
    } finally {
      held -= relayed.toGateway;
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

function isEncapsulated({ method, headers }: IncomingMessage): boolean {
  return method === "POST" && headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase() === REQUEST_TYPE;
}

const TEXTS: Readonly<Record<number, string>> = {
  400: "Invalid request",
  408: "The request was not received in time",
  413: "The request is too large",
  499: "The client went away",
  502: "The application's gateway could not be reached",
  503: "The relay cannot take more requests at the moment",
  504: "The application's gateway did not answer in time",
};

class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(TEXTS[status]);
    this.status = status;
  }
}

/** What a request is answered that did not get to its gateway. */
function statusOf(cause: unknown): number {
  if (cause instanceof Refusal) return cause.status;
  if (cause instanceof PlatformError) return cause.spec.status;
  const { code, name } = cause as { code?: string; name?: string };
  if (name === "AbortError") return 499;
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_CONNECT_TIMEOUT" ? 504 : 502;
}

/** Of the gateway's answer the client gets its type and length: other headers could tell clients apart, as a cookie does. */
function passed(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const kept: Record<string, string> = { "cache-control": "no-store" };
  for (const name of ["content-type", "content-length", "retry-after"]) {
    const value = headers[name];
    if (typeof value === "string") kept[name] = value;
  }
  return kept;
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
