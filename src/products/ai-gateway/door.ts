/**
 * The data plane: `gateway.ai.<domain>/v1/{account}/{gateway}/…` and the real service's host. Turns a request into steps
 * (`exchange.ts`): one for a provider's own endpoint and the compatible one, several for the universal one. Nothing of the
 * platform's own tokens goes on to a provider.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import type { Principal } from "../../kernel/api/tokens.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { gatewayError } from "./errors.ts";
import { type Caller, type Exchange, failureBody, type Step } from "./exchange.ts";
import { DEFAULT_GATEWAY, type Gateway, type Gateways } from "./gateways.ts";
import type { Keys } from "./keys.ts";
import { type HeaderValues, type StepConfig, stepOptions } from "./options.ts";
import { prices } from "./prices.ts";
import { chatUrl, type Provider, type Providers, upstreamUrl } from "./providers.ts";
import { forwardedHeaders } from "./upstream.ts";

export const RUN = ["AI Gateway Run", "AI Gateway Write"];

/** Headers in which a client of a provider may carry the platform's token instead. */
const TOKEN_HEADERS = ["cf-aig-authorization", "authorization", "x-api-key", "x-goog-api-key", "api-key", "xi-api-key"];
const STEPS_MAX = 20;

const universalStep = z.object({
  provider: z.string(),
  endpoint: z.string().default(""),
  headers: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  query: z.unknown(),
  config: z
    .object({
      requestTimeout: z.number().min(0).optional(),
      maxAttempts: z.number().optional(),
      retryDelay: z.number().min(0).optional(),
      backoff: z.enum(["constant", "linear", "exponential"]).optional(),
    })
    .default({}),
});

export interface DoorParts {
  readonly kernel: Pick<KernelSlice, "auth" | "config" | "accountId">;
  readonly gateways: Gateways;
  readonly providers: Providers;
  readonly keys: Keys;
  readonly exchange: Exchange;
}

export type Door = ReturnType<typeof openDoor>;

export function openDoor({ kernel, gateways, providers, keys, exchange }: DoorParts) {
  const { auth, config } = kernel;
  const bodyLimits = { maxBytes: config["ai_gateway.request_max_bytes"], idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };

  async function principalOf(value: string | undefined): Promise<Principal | undefined> {
    const token = value?.replace(/^Bearer /i, "").trim();
    if (token === undefined || token === "") return undefined;
    try {
      return await auth.bearer({ authorization: `Bearer ${token}` });
    } catch (error) {
      // A provider's key, in most cases.
      if (error instanceof PlatformError) return undefined;
      throw error;
    }
  }

  /** Whoever the request's headers name, and the headers without the platform's tokens. */
  async function identify(headers: HeaderValues): Promise<{ allowed: boolean; rest: HeaderValues }> {
    let allowed = false;
    const rest: Record<string, string> = { ...headers };
    for (const name of TOKEN_HEADERS) {
      const principal = await principalOf(headers[name]);
      if (principal === undefined) continue;
      allowed ||= RUN.some((group) => principal.can(group));
      delete rest[name];
    }
    return { allowed, rest };
  }

  async function gatewayOf(id: string, allowed: boolean): Promise<Gateway> {
    const found = gateways.find(id);
    if (found !== undefined) return found;
    if (id === DEFAULT_GATEWAY && allowed) return gateways.ensureDefault();
    throw gatewayError("gatewayMissing");
  }

  /** The provider's key that the gateway keeps, when the client sent none of its own. */
  async function withKey(
    gateway: Gateway,
    provider: Provider,
    headers: Record<string, string>,
    alias?: string,
  ): Promise<Record<string, string>> {
    const { header, prefix } = provider.key;
    const own = headers[header] ?? headers.authorization;
    if (own !== undefined && own.replace(/^Bearer\s*/i, "") !== "" && alias === undefined) return headers;
    const secret = await keys.secret(gateway.id, provider.slug, alias);
    if (secret === undefined) {
      if (alias !== undefined) throw gatewayError("unauthorized", `The gateway has no key "${alias.slice(0, 64)}" of ${provider.slug}`);
      return headers;
    }
    const { authorization: _, ...others } = headers;
    return { ...others, [header]: `${prefix}${secret}` };
  }

  interface Asked {
    readonly provider: Provider;
    readonly url: string;
    readonly path: string;
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body: Buffer | undefined;
    readonly model: string;
    /** Headers that say how, the nearest first. */
    readonly layers: readonly HeaderValues[];
    readonly config?: StepConfig;
  }

  async function stepOf(gateway: Gateway, asked: Asked): Promise<Step> {
    const options = stepOptions(gateway.settings, asked.layers, asked.config ?? {}, config["ai_gateway.cache_ttl_min_s"]);
    const { provider, url, method, body, path, model } = asked;
    const headers = await withKey(gateway, provider, asked.headers, options.alias);
    return { request: { provider, url, method, headers, body }, options, path, model };
  }

  /** A chat completion in OpenAI's form: the model names the provider. */
  function compatible(body: Buffer): { provider: Provider; url: string; model: string; body: Buffer } {
    const asked = jsonOf(body);
    if (typeof asked.model !== "string") throw gatewayError("invalidRequest", "The body must have a model: provider/model");
    if (asked.model.startsWith("dynamic/"))
      throw gatewayError("notImplemented", "Dynamic routes are not implemented by this version of Freehold");
    const { provider, model } = providers.ofModel(asked.model);
    return { provider, url: chatUrl(provider), model, body: Buffer.from(JSON.stringify({ ...asked, model })) };
  }

  async function universal(gateway: Gateway, request: HeaderValues, body: Buffer): Promise<Step[]> {
    const parsed = z.array(universalStep).min(1).max(STEPS_MAX).safeParse(parseJson(body));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw gatewayError("invalidRequest", `The body must be an array of requests: ${issue?.path.join(".")}: ${issue?.message}`);
    }
    return Promise.all(
      parsed.data.map(async (one) => {
        const own = Object.fromEntries(Object.entries(one.headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
        const { rest } = await identify(own);
        const headers = { "content-type": "application/json", ...forwardedHeaders(rest) };
        const query = Buffer.from(JSON.stringify(one.query ?? {}));
        const shared = { method: "POST", headers, layers: [own, request], config: one.config };
        if (one.provider === "compat") return stepOf(gateway, { ...compatible(query), path: one.endpoint, ...shared });
        const provider = providers.require(one.provider);
        const url = upstreamUrl(provider, one.endpoint);
        return stepOf(gateway, { provider, url, path: one.endpoint, model: modelIn(query), body: query, ...shared });
      }),
    );
  }

  async function single(
    gateway: Gateway,
    rest: string,
    search: string,
    method: string,
    headers: HeaderValues,
    body: Buffer,
  ): Promise<Step> {
    const shared = { method, headers: forwardedHeaders(headers), layers: [headers] };
    const [slug, ...segments] = rest.split("/");
    const path = segments.join("/");
    if (slug === "compat") {
      if (!/^(v1\/)?chat\/completions$/.test(path))
        throw gatewayError("invalidRequest", `There is no endpoint compat/${path.slice(0, 100)}`);
      return stepOf(gateway, { ...compatible(body), path, ...shared });
    }
    const provider = providers.require(slug as string);
    const url = upstreamUrl(provider, `${path}${search}`);
    return stepOf(gateway, { provider, url, path, model: modelIn(body), body: body.byteLength === 0 ? undefined : body, ...shared });
  }

  /** Answers a request for what stands behind the gateway in its URL. `trusted`: it came by a Worker's binding. */
  async function serve(
    gatewayId: string,
    target: string,
    request: IncomingMessage,
    response: ServerResponse,
    trusted: boolean,
  ): Promise<void> {
    const given = flat(request.headers);
    const { allowed, rest } = await identify(given);
    const gateway = await gatewayOf(gatewayId, allowed || trusted);
    if (gateway.settings.authentication && !allowed && !trusted) throw gatewayError("unauthorized");
    const caller: Caller = { authenticated: gateway.settings.authentication, userAgent: given["user-agent"] ?? "" };
    const { pathname, search } = new URL(target, "http://gateway");
    const path = pathname.replace(/^\/+/, "");
    if (request.method === "GET" && /^compat\/(v1\/)?models$/.test(path)) return answerModels(response);
    const body = await readBody(request, bodyLimits);
    if (path === "") return exchange.run(gateway, await universal(gateway, rest, body), caller, response, true);
    await exchange.run(gateway, [await single(gateway, path, search, request.method as string, rest, body)], caller, response);
  }

  return {
    handle: (_params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void> =>
      refusing(response, async () => {
        const [, account, id, rest = ""] = /^\/v1\/([^/?]+)\/([^/?]+)(.*)$/.exec(request.url ?? "") ?? [];
        if (id === undefined || account !== kernel.accountId) throw gatewayError("gatewayMissing");
        await serve(id, rest, request, response, false);
      }),
    /** A universal request of a Worker's binding. */
    binding: (gatewayId: string, request: IncomingMessage, response: ServerResponse): Promise<void> =>
      refusing(response, () => serve(gatewayId, "/", request, response, true)),
  };
}

async function refusing(response: ServerResponse, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    const text = JSON.stringify(failureBody(error));
    response.writeHead(error.spec.status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  }
}

function answerModels(response: ServerResponse): void {
  const data = Object.entries(prices).map(([model, [provider, input, output]]) => ({
    id: `${provider}/${model}`,
    object: "model",
    owned_by: provider,
    cost_in: input / 1e6,
    cost_out: output / 1e6,
  }));
  const text = JSON.stringify({ object: "list", data });
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

const flat = (headers: IncomingMessage["headers"]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw gatewayError("invalidRequest", "The body must be JSON", { cause });
  }
}

function jsonOf(body: Buffer): Record<string, unknown> {
  const value = parseJson(body);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw gatewayError("invalidRequest", "The body must be a JSON object");
  return value as Record<string, unknown>;
}

/** The model that a provider's own request names; empty when it does not say. */
function modelIn(body: Buffer): string {
  try {
    const { model } = JSON.parse(body.toString("utf8")) as { model?: unknown };
    return typeof model === "string" ? model : "";
  } catch {
    return ""; // Not every request is JSON.
  }
}
