/**
 * The host `rtc` (`rtc.live.cloudflare.com`): what applications' servers call with an app's secret or a TURN key's, and
 * sample pages from browsers too. A secret reaches only its own app or key. Failures are `{ errorCode, errorDescription }`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";
import { RtcError } from "./errors.ts";

export interface RtcRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The JSON body; `{}` when there is none. */
  readonly body: unknown;
  /** What the caller proved itself with. */
  readonly secret: string;
}

export interface RtcOperation {
  readonly method: "GET" | "POST" | "PUT";
  /** "/apps/{app}/sessions/new": one segment for each placeholder, after `/v1`. */
  readonly path: string;
  /** Whether the secret is that of the app or key in the path. */
  authorize(params: Readonly<Record<string, string>>, secret: string): Promise<boolean>;
  /** The answer's status (200 when absent) and body. */
  handle(request: RtcRequest): Promise<{ readonly status?: number; readonly body: unknown }>;
}

/** Descriptions of sessions with hundreds of tracks. */
const BODY_MAX_BYTES = 4 * 1024 * 1024;
const CORS = { "access-control-allow-origin": "*", vary: "Origin" };

export function rtcHost({ config, log }: Pick<KernelSlice, "config" | "log">, operations: readonly RtcOperation[]): HostRoute {
  const idleTimeoutMs = config["gateway.body_idle_timeout_ms"];
  const table = operations.map((operation) => ({ operation, segments: operation.path.split("/") }));

  function find(path: string) {
    const given = path.replace(/^\/v1(?=\/)/, "").split("/");
    const found = table.flatMap(({ operation, segments }) => {
      const params = paramsOf(segments, given);
      return params === undefined ? [] : [{ operation, params }];
    });
    if (found.length === 0) throw new RtcError(404, "not_found", "There is nothing at this path");
    return found;
  }

  async function answer(request: IncomingMessage): Promise<{ readonly status?: number; readonly body: unknown }> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://rtc");
    const found = find(pathname).find(({ operation }) => operation.method === request.method);
    if (found === undefined) throw new RtcError(405, "invalid_params", "The method is not allowed");
    const { operation, params } = found;
    const secret = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    // What does not exist and what is another's cannot be told apart.
    if (secret === undefined || !(await operation.authorize(params, secret))) throw new RtcError(401, "unauthorized", "Unauthorized");
    const bytes = request.method === "GET" ? Buffer.alloc(0) : await readBody(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs });
    return operation.handle({ params, query: searchParams, body: parse(bytes), secret });
  }

  return {
    name: "rtc",
    patterns: ["rtc"],
    publicHosts: ["rtc.live.cloudflare.com"],
    template: "/v1",
    wholeHost: true,
    async handle(_params, request, response) {
      if (request.method === "OPTIONS") return preflight(response);
      try {
        const { status = 200, body } = await answer(request);
        respond(response, status, body);
      } catch (error) {
        const { status, code, description } = failureOf(error);
        if (status === 500) log.error("rtc.internal_error", { url: request.url, error });
        respond(response, status, { errorCode: code, errorDescription: description });
      }
    },
  };
}

function paramsOf(segments: readonly string[], given: readonly string[]): Record<string, string> | undefined {
  if (segments.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, segment] of segments.entries()) {
    const value = given[at] as string;
    if (segment.startsWith("{")) {
      if (!/^[\w-]{1,512}$/.test(value)) return undefined;
      params[segment.slice(1, -1)] = value;
    } else if (segment !== value) return undefined;
  }
  return params;
}

function parse(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new RtcError(400, "decoding_error", "The body is no JSON");
  }
}

function failureOf(error: unknown): { status: number; code: string; description: string } {
  if (error instanceof RtcError) return { status: error.status, code: error.code, description: error.message };
  if (error instanceof PlatformError) return { status: error.spec.status, code: "invalid_params", description: error.message };
  return { status: 500, code: "internal_error", description: "Internal error" };
}

function preflight(response: ServerResponse): void {
  response.writeHead(204, {
    ...CORS,
    "access-control-allow-methods": "GET, POST, PUT, OPTIONS",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "86400",
  });
  response.end();
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { ...CORS, "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

/** Names of TURN and STUN, so that they can have certificates. Their ports are others: HTTP finds nothing here. */
export const turnNames: HostRoute = {
  name: "turn",
  patterns: ["stun", "turn"],
  wholeHost: true,
  handle(_params, _request, response) {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("This name is TURN's: its ports are in the answer of generate-ice-servers");
  },
};
