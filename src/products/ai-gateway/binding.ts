/**
 * Gateways of the binding `env.AI`, whose other paths are Workers AI's: `env.AI.gateway(id)` with `run`, `getUrl`, `getLog` and
 * `patchLog`, and `env.AI.run` with the option `gateway`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Door } from "./door.ts";
import { gatewayError } from "./errors.ts";
import { failureBody } from "./exchange.ts";
import { checked, type Gateways } from "./gateways.ts";
import type { Logs } from "./logs.ts";

export const logChange = z.object({
  feedback: z.union([z.literal(-1), z.literal(0), z.literal(1)]).nullish(),
  score: z.number().int().min(0).max(100).nullish(),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).nullish(),
});

/** A change of a log as its columns have it. */
export function columnsOf(body: unknown): { feedback?: number | null; score?: number | null; metadata?: string | null } {
  const { feedback, score, metadata } = checked(logChange, body);
  return {
    ...(feedback !== undefined && { feedback }),
    ...(score !== undefined && { score }),
    ...(metadata !== undefined && { metadata: metadata === null ? null : JSON.stringify(metadata) }),
  };
}

export interface AiDoor {
  readonly door: Door;
  readonly gateways: Gateways;
  readonly logs: Logs;
  url(gateway: string, provider: string): string;
}

const BODY = { maxBytes: 1024 * 1024, idleTimeoutMs: 30_000 };

/** Serves what the binding's class asks of `https://workers-binding.ai`. */
export async function serveAi({ door, gateways, logs, url }: AiDoor, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url as string, "http://ai");
  const answer = (status: number, body: unknown): void => {
    const text = JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  };
  const universal = /^\/ai-gateway\/universal\/run\/([^/]+)$/.exec(pathname);
  if (universal !== null) return door.binding(decodeURIComponent(universal[1] as string), request, response);
  if (pathname === "/ai-gateway/run") return door.model(request, response);
  try {
    const [, id, kind, last] = /^\/ai-gateway\/gateways\/([^/]+)\/(url|logs)\/([^/]+)$/.exec(pathname) ?? [];
    if (id === undefined) throw gatewayError("notImplemented", `${pathname} is not implemented by this version of Freehold`);
    const gateway = gateways.require(decodeURIComponent(id));
    if (kind === "url") return answer(200, { success: true, result: { url: url(gateway.id, last as string) } });
    if (request.method !== "PATCH") return answer(200, { success: true, result: await logs.get(gateway.id, last as string) });
    const change = columnsOf(JSON.parse((await readBody(request, BODY)).toString("utf8")));
    await logs.patch(gateway.id, last as string, change);
    answer(200, { success: true, result: {} });
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    request.resume();
    answer(error.spec.status, failureBody(error));
  }
}
