/**
 * The door for events: `POST https://<stream>.ingest.<domain>` and a Worker's `send()`. The hot path of the product:
 * body, check, one append to the stream's journal, answer when the events are on stable storage. Requests of one moment
 * share an fsync in the journal.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../kernel/clock.ts";
import type { Config } from "../../kernel/config.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Auth, Claims, HostRoute } from "../../kernel/product.ts";
import { type BodyReader, bodyReader, DRAIN_BYTES_MAX } from "./body.ts";
import { ingestError } from "./errors.ts";
import { rateLimit } from "./rate-limit.ts";
import { encodeBatch } from "./records.ts";
import type { Stream, Streams } from "./streams.ts";

export interface Ingest {
  readonly host: HostRoute;
  /** Requests of the Worker binding. */
  internal(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void>;
  stop(): void;
}

const SEND = "Workers Pipelines Send";

export function openIngest(streams: Streams, auth: Auth, clock: Clock, config: Config, log: Log): Ingest {
  const bodies: BodyReader = bodyReader(config["pipelines.payload_max_bytes"], config["gateway.body_idle_timeout_ms"]);
  const admit = rateLimit(config["pipelines.rate_max_bytes_per_s"], clock);
  const bufferMax = config["pipelines.buffer_max_bytes"];

  /** Commits a body to the stream; the number of events. */
  async function commit(stream: Stream, body: Buffer): Promise<number> {
    if (!admit(stream.id, body.length)) throw ingestError("rateLimited");
    if (stream.journal.bytes > bufferMax) throw ingestError("bufferFull");
    const batch = encodeBatch(body, stream.check, clock.now());
    if (batch === undefined) return 0;
    try {
      // Durable when it resolves: from here on the events are delivered, whatever happens to this process.
      await stream.journal.append(batch.payload, batch.count);
    } catch (cause) {
      throw journalFailure(cause);
    }
    return batch.count;
  }

  async function post(stream: Stream, request: IncomingMessage, response: ServerResponse, origin: string | undefined): Promise<void> {
    if (stream.http.authentication) await authorize(request);
    if (!isJson(request.headers["content-type"])) throw ingestError("mediaType");
    committed(response, await commit(stream, await bodies.read(request)), origin);
  }

  async function authorize(request: IncomingMessage): Promise<void> {
    let allowed: boolean;
    try {
      allowed = (await auth.bearer(request.headers)).can(SEND);
    } catch (cause) {
      if (!(cause instanceof PlatformError) || cause.spec.status >= 500) throw cause;
      throw ingestError("unauthenticated", undefined, { cause });
    }
    if (!allowed) throw ingestError("forbidden");
  }

  function handle(params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const stream = streams.find(params.stream as string);
    const origin = stream && allowedOrigin(stream, request.headers.origin);
    return route(stream, request, response, origin).catch((error: unknown) => refuse(error, request, response, origin, log));
  }

  async function route(
    stream: Stream | undefined,
    request: IncomingMessage,
    response: ServerResponse,
    origin: string | undefined,
  ): Promise<void> {
    if (stream === undefined) throw ingestError("notFound");
    if (!stream.http.enabled) throw ingestError("disabled");
    if (request.method === "POST") return post(stream, request, response, origin);
    if (request.method !== "OPTIONS") throw ingestError("method");
    if (origin === undefined) throw ingestError("originRefused");
    response.writeHead(204, {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "POST, OPTIONS",
      "access-control-allow-headers": "content-type, authorization",
      "access-control-max-age": "86400",
      vary: "origin",
    });
    response.end();
  }

  return {
    host: { name: "ingest", patterns: ["{stream}.ingest"], publicHosts: ["{stream}.ingest.cloudflare.com"], handle },
    async internal(claims, request, response) {
      try {
        const stream = streams.find(String(claims.stream));
        if (stream === undefined) throw ingestError("notFound");
        if (!stream.workerBinding) throw ingestError("bindingDisabled");
        committed(response, await commit(stream, await bodies.read(request)), undefined);
      } catch (error) {
        refuse(error, request, response, undefined, log);
      }
    },
    stop: () => bodies.stop(),
  };
}

/** An absent type is taken for JSON; anything else must say so. */
function isJson(type: string | undefined): boolean {
  if (type === undefined || type === "application/json") return true;
  const essence = type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return essence === "application/json" || essence === "text/json" || /^application\/[\w.-]+\+json$/.test(essence);
}

/** The value of Access-Control-Allow-Origin for the request's origin; undefined: no access for scripts of that origin. */
function allowedOrigin(stream: Stream, origin: string | undefined): string | undefined {
  const allowed = stream.http.cors?.origins;
  if (origin === undefined || allowed === undefined) return undefined;
  if (allowed.includes("*")) return "*";
  return allowed.some((one) => one.toLowerCase() === origin.toLowerCase()) ? origin : undefined;
}

/**
 * After an answer Node reads on what is left of the body and drops it, if the connection is kept. Closing it on a client
 * that still sends would lose the answer; but a body that stands still, is endless or huge is not worth waiting for.
 */
function willBeDrained(request: IncomingMessage, status: number): boolean {
  const announced = request.headers["content-length"];
  return status !== 408 && announced !== undefined && Number(announced) <= DRAIN_BYTES_MAX;
}

function journalFailure(cause: unknown): unknown {
  if (!(cause instanceof PlatformError)) return cause;
  if (cause.code === "journal.overloaded") return ingestError("overloaded", undefined, { cause });
  if (cause.code === "journal.full") return ingestError("diskFull", undefined, { cause });
  // The stream was deleted meanwhile.
  if (cause.code === "journal.closed") return ingestError("notFound", undefined, { cause });
  return cause;
}

function committed(response: ServerResponse, count: number, origin: string | undefined): void {
  const body = `{"success":true,"result":{"committed":${count}}}`;
  if (origin === undefined) response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  else
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": body.length,
      "access-control-allow-origin": origin,
      vary: "origin",
    });
  response.end(body);
}

function refuse(error: unknown, request: IncomingMessage, response: ServerResponse, origin: string | undefined, log: Log): void {
  if (response.headersSent || response.socket?.destroyed !== false) {
    response.destroy();
    return;
  }
  const known = error instanceof PlatformError ? error : undefined;
  if (known === undefined || known.spec.status >= 500) log.error("ingest.failed", { error });
  const status = known?.spec.status ?? 500;
  const errors = [{ code: known?.spec.apiCode ?? 10500, message: known?.message ?? "Internal error" }];
  const body = JSON.stringify({ success: false, errors, messages: [], result: null });
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(status === 429 && { "retry-after": "1" }),
    ...(status === 405 && { allow: "POST, OPTIONS" }),
    ...(status === 401 && { "www-authenticate": "Bearer" }),
    ...(origin !== undefined && { "access-control-allow-origin": origin, vary: "origin" }),
    ...(!request.complete && !willBeDrained(request, status) && { connection: "close" }),
  });
  response.end(body);
}
