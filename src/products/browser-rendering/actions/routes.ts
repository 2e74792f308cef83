/** The REST actions: `POST /accounts/{account}/browser-rendering/{action}`. */
import { randomUUID } from "node:crypto";
import { parseJson, parseWith } from "../../../kernel/api/body.ts";
import { failure } from "../../../kernel/api/envelope.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import type { KernelSlice, RequestContext, Route } from "../../../kernel/product.ts";
import { browserError } from "../errors.ts";
import { fillRate } from "../fill-rate.ts";
import type { ActionResult } from "./actions.ts";
import { type CachedAnswer, cacheKey, openAnswerCache } from "./cache.ts";
import type { Desk } from "./desk.ts";
import { extract, NotJson } from "./extract.ts";
import { type ActionName, actionNames, type Options, schemaOf } from "./options.ts";
import type { Badge } from "./requests.ts";

export const PERMISSION = ["Browser Rendering Write"];
export const BASE = "/accounts/:account/browser-rendering";
/** Documented for PDFs of given HTML. */
const BODY_MAX_BYTES = 50 * 1024 * 1024;
const CACHE_BYTES = 64 * 1024 * 1024;
const CACHE_TTL_S = 5;
const CACHE_TTL_MAX_S = 86_400;

/** `sign` gives the headers that show a request to be this platform's. */
export function actionRoutes(kernel: KernelSlice, desk: Desk, sign: Badge): Route[] {
  const { clock, config } = kernel;
  const minds = { models: kernel.get("models"), gateway: kernel.get("modelGateway") };
  const cache = openAnswerCache(clock, CACHE_BYTES);
  const rate = fillRate(clock, config["browser_rendering.actions_per_min"]);

  const handle = async (name: ActionName, context: RequestContext): Promise<Response> => {
    const body = await bodyOf(context);
    const options = parseWith(schemaOf(name), body);
    const ttl = ttlOf(context.query.get("cacheTTL") ?? options.cacheTTL);
    const key = options.html === undefined ? cacheKey(name, { ...options, cacheTTL: undefined }) : undefined;
    const known = key === undefined || ttl === 0 ? undefined : cache.find(key);
    if (known !== undefined) return answer(known, 0);
    const wait = rate.take();
    if (wait > 0) return tooMany(wait);
    const { result, browserMs } = await desk.run(name, options, badge(sign));
    const made = answerOf(name === "json" ? await extracted(result, options as Options<"json">) : result);
    if (key !== undefined) cache.keep(key, made, ttl);
    return answer(made, browserMs);
  };
  async function extracted(page: ActionResult, options: Options<"json">): Promise<ActionResult> {
    const { result, meta } = page as Extract<ActionResult, { meta: unknown }>;
    return { result: await extract(minds, config["browser_rendering.json_model"], result as string, options), meta };
  }

  return actionNames.map((name) => ({
    op: `browserRendering.${name}`,
    method: "POST",
    path: `${BASE}/${name}`,
    permission: PERMISSION,
    handle: (context) => handle(name, context).catch(withRawAnswer),
  }));
}

async function bodyOf(context: RequestContext): Promise<unknown> {
  try {
    return parseJson(Buffer.from(await context.bytes(BODY_MAX_BYTES)).toString("utf8"));
  } catch (error) {
    if (error instanceof PlatformError && error.code === "platform.bodyTooLarge") throw browserError("bodyTooLarge");
    throw error;
  }
}

/** Says to whoever is asked that it was this platform, and which request. */
function badge(sign: Badge): Badge {
  const headers = { "cf-brapi-request-id": randomUUID(), "cf-biso-devtools": "1" };
  return (url) => ({ ...headers, ...sign(url) });
}

/** What a model has said stands beside the error that it is no JSON (docs/browser-rendering/changelog). */
function withRawAnswer(error: unknown): Response {
  if (!(error instanceof PlatformError && error.cause instanceof NotJson)) throw error;
  const { status, apiCode } = error.spec;
  const { rawAiResponse } = error.cause;
  const body = { result: null, success: false, errors: [{ code: apiCode, message: error.message }], messages: [], rawAiResponse };
  return Response.json(body, { status });
}

function ttlOf(value: string | number | undefined | null): number {
  const seconds = value === undefined || value === null ? CACHE_TTL_S : Number(value);
  if (!(seconds >= 0)) throw browserError("badOptions", "Cache ttl minimum is 0s");
  if (seconds > CACHE_TTL_MAX_S) throw browserError("badOptions", "Cache ttl maximum is 24h");
  return seconds;
}

function answerOf(result: ActionResult): CachedAnswer {
  if ("bytes" in result) return { type: result.type, body: new Uint8Array(result.bytes) };
  const json = JSON.stringify({ success: true, errors: [], messages: [], ...result });
  return { type: "application/json", body: new TextEncoder().encode(json) };
}

const answer = ({ type, body }: CachedAnswer, browserMs: number): Response =>
  new Response(body, { headers: { "content-type": type, "x-browser-ms-used": String(browserMs) } });

function tooMany(waitMs: number): Response {
  const { spec } = browserError("rateLimited");
  return failure(429, [{ code: spec.apiCode, message: spec.message }], { "retry-after": String(Math.ceil(waitMs / 1000)) });
}
