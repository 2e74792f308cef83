/**
 * The doors for events: `POST https://<stream>.ingest.<domain>`, `https://<pipeline>.pipelines.<domain>` of legacy
 * pipelines, and a Worker's `send()`. Who may send, by which origin, in which form; the intake behind a door commits the
 * body, and the answer goes out when the events are on stable storage.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Config } from "../../kernel/config.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Auth, HostRoute } from "../../kernel/product.ts";
import { type BodyReader, bodyReader, DRAIN_BYTES_MAX } from "./body.ts";
import { ingestError } from "./errors.ts";
import type { Http } from "./streams.ts";

/** What takes events: a stream or a legacy pipeline. */
export interface Receiver {
  readonly http: Http;
  readonly workerBinding: boolean;
}

/** What is behind a door. */
export interface Intake<T extends Receiver> {
  /** What its receivers are called; also the placeholder in the host names. */
  readonly noun: "stream" | "pipeline";
  readonly hosts: Pick<HostRoute, "name" | "patterns" | "publicHosts">;
  /** Content types other than JSON are refused. */
  readonly jsonOnly: boolean;
  find(id: string): T | undefined;
  /** Commits a body; the number of events. Durable when it resolves. */
  commit(receiver: T, body: Buffer): Promise<number>;
}

export interface Door {
  readonly host: HostRoute;
  /** Requests of the Worker binding. */
  internal(id: string, request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export interface Ingest {
  door<T extends Receiver>(intake: Intake<T>): Door;
  stop(): void;
}

const SEND = "Workers Pipelines Send";

export function openIngest(auth: Auth, config: Config, log: Log): Ingest {
  const bodies: BodyReader = bodyReader(config["pipelines.payload_max_bytes"], config["gateway.body_idle_timeout_ms"]);
  return { door: (intake) => openDoor(intake, bodies, auth, log), stop: () => bodies.stop() };
}

function openDoor<T extends Receiver>(intake: Intake<T>, bodies: BodyReader, auth: Auth, log: Log): Door {
  const { noun } = intake;
  const notFound = (): PlatformError => ingestError("notFound", `${noun === "stream" ? "Stream" : "Pipeline"} does not exist`);

  async function post(receiver: T, request: IncomingMessage, response: ServerResponse, origin: string | undefined): Promise<void> {
    if (receiver.http.authentication) await authorize(request);
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding.toLowerCase() !== "identity") throw ingestError("encoding");
    if (intake.jsonOnly && !isJson(request.headers["content-type"])) throw ingestError("mediaType");
    committed(response, await intake.commit(receiver, await bodies.read(request)), origin);
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
    const receiver = intake.find(params[noun] as string);
    const origin = receiver && allowedOrigin(receiver, request.headers.origin);
    return route(receiver, request, response, origin).catch((error: unknown) => refuse(error, request, response, origin, log));
  }

  async function route(
    receiver: T | undefined,
    request: IncomingMessage,
    response: ServerResponse,
    origin: string | undefined,
  ): Promise<void> {
    if (receiver === undefined) throw notFound();
    if (!receiver.http.enabled) throw ingestError("disabled", `HTTP ingestion is not enabled for this ${noun}`);
    if (request.method === "POST") return post(receiver, request, response, origin);
    if (request.method !== "OPTIONS") throw ingestError("method");
    if (origin === undefined) throw ingestError("originRefused", `The origin is not allowed by the ${noun}'s CORS settings`);
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
    host: { ...intake.hosts, handle },
    async internal(id, request, response) {
      try {
        const receiver = intake.find(id);
        if (receiver === undefined) throw notFound();
        if (!receiver.workerBinding) throw ingestError("bindingDisabled", `The Worker binding is not enabled for this ${noun}`);
        committed(response, await intake.commit(receiver, await bodies.read(request)), undefined);
      } catch (error) {
        refuse(error, request, response, undefined, log);
      }
    },
  };
}

/** An absent type is taken for JSON; anything else must say so. */
function isJson(type: string | undefined): boolean {
  if (type === undefined || type === "application/json") return true;
  const essence = type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return essence === "application/json" || essence === "text/json" || /^application\/[\w.-]+\+json$/.test(essence);
}

/** The value of Access-Control-Allow-Origin for the request's origin; undefined: no access for scripts of that origin. */
function allowedOrigin(receiver: Receiver, origin: string | undefined): string | undefined {
  const allowed = receiver.http.cors?.origins;
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
