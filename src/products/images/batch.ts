/**
 * The batch API: `/images/v1` and `/images/v2` on a host of their own, where a short-lived token stands for the API token
 * that asked for it and does no more than that one may, and no longer than that one lives. Each has its own rate (docs:
 * Images, Upload via batch API). Only the documented operations are there.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { failureOf } from "../../kernel/api/envelope.ts";
import type { Principal } from "../../kernel/api/tokens.ts";
import { platformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { imagesError } from "./errors.ts";

export interface BatchTokens {
  issue(principal: Principal): { token: string; expiresAt: string };
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

const LIFE_MS = 3600_000;
/** Documented. */
const PER_SECOND = 200;
/** Tokens whose rates are remembered. */
const RATES_MAX = 10_000;

const OPERATIONS: readonly (readonly [string, RegExp])[] = [
  ["POST", /^\/images\/v1$/],
  ["GET", /^\/images\/v1\/(?!(?:variants|keys|stats|config|batch_token)$)[^/]+$/],
  ["PATCH", /^\/images\/v1\/(?!config$)[^/]+$/],
  ["DELETE", /^\/images\/v1\/[^/]+$/],
  ["GET", /^\/images\/v2$/],
  ["POST", /^\/images\/v2\/direct_upload$/],
];

export function batchTokens({ secrets, clock, auth, api, accountId, log }: KernelSlice): BatchTokens {
  const key = secrets.derive("images batch tokens");
  const mac = (text: string): string => createHmac("sha256", key).update(text).digest("base64url");
  /** Requests of a token in its current second. */
  const rates = new Map<string, { second: number; count: number }>();

  /** The principal that a token stands for; throws `platform.authentication` or `platform.invalidToken`. */
  async function principalOf(header: string | undefined): Promise<{ token: string; principal: Principal }> {
    const [, token] = /^Bearer (\S+)$/i.exec(header ?? "") ?? [];
    if (token === undefined) throw platformError("authentication");
    const [body = "", signature = ""] = token.split(".");
    const [given, right] = [Buffer.from(signature), Buffer.from(mac(body))];
    if (given.length !== right.length || !timingSafeEqual(given, right)) throw platformError("invalidToken");
    const [tokenId, expires] = Buffer.from(body, "base64url").toString("utf8").split(" ") as [string, string];
    const known = Number(expires) > clock.now() ? await auth.accessKey(tokenId) : undefined;
    if (known === undefined) throw platformError("invalidToken");
    return { token, principal: known.principal };
  }

  function admit(token: string): void {
    const second = Math.floor(clock.now() / 1000);
    const rate = rates.get(token);
    if (rate?.second === second) {
      rate.count++;
      if (rate.count > PER_SECOND) throw imagesError("rateLimited");
      return;
    }
    if (rates.size >= RATES_MAX) rates.clear();
    rates.set(token, { second, count: 1 });
  }

  async function answer(request: IncomingMessage): Promise<Response> {
    const { token, principal } = await principalOf(request.headers.authorization);
    admit(token);
    const [path = "", query] = (request.url as string).split("?");
    if (!OPERATIONS.some(([method, pattern]) => method === request.method && pattern.test(path))) throw platformError("noRoute");
    const url = `http://batch/client/v4/accounts/${accountId}${path}${query === undefined ? "" : `?${query}`}`;
    const headers = new Headers();
    for (const name of ["content-type", "content-length"])
      if (request.headers[name] !== undefined) headers.set(name, String(request.headers[name]));
    const hasBody = request.method === "POST" || request.method === "PATCH";
    const init = {
      method: request.method as string,
      headers,
      ...(hasBody && { body: Readable.toWeb(request) as never, duplex: "half" as const }),
    };
    return api(new Request(url, init), principal);
  }

  return {
    issue(principal) {
      const expires = clock.now() + LIFE_MS;
      const body = Buffer.from(`${principal.tokenId} ${expires} ${randomBytes(9).toString("base64url")}`).toString("base64url");
      return { token: `${body}.${mac(body)}`, expiresAt: new Date(expires).toISOString() };
    },
    async handle(request, response) {
      const answered = await answer(request).catch((error: unknown) => failureOf(error, "images.batch", log));
      if (!request.complete) request.resume();
      response.writeHead(answered.status, Object.fromEntries(answered.headers));
      if (answered.body === null) response.end();
      else await pipeline(Readable.fromWeb(answered.body as never), response);
    },
  };
}
