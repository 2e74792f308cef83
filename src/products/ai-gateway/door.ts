/**
 * The data plane: `gateway.ai.<domain>/v1/{account}/{gateway}/…` and the real service's host. Turns a request into steps
 * (`exchange.ts`): one for a provider's own endpoint and the compatible one, several for the universal one. Nothing of the
 * platform's own tokens goes on to a provider.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import type { Principal } from "../../kernel/api/tokens.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { DynamicRoutes } from "./dynamic-routes.ts";
import { gatewayError } from "./errors.ts";
import { type Caller, type Exchange, failureBody, type Sink, type Step, type Steps } from "./exchange.ts";
import { DEFAULT_GATEWAY, type Gateway, type Gateways } from "./gateways.ts";
import type { Keys } from "./keys.ts";
import type { Limiter } from "./limiter.ts";
import { type ModelRun, modelRun } from "./model-run.ts";
import { type HeaderValues, headersOf, metadataIn, type StepConfig, stepOptions } from "./options.ts";
import { bindingPath, modelOfPath, OWN } from "./own-models.ts";
import { prices } from "./prices.ts";
import { chatUrl, type Provider, type Providers, upstreamUrl } from "./providers.ts";
import { openRealtime, realtimePath, type Target } from "./realtime.ts";
import { walk } from "./route-graph.ts";
import { headersOfProtocols, openSockets } from "./sockets.ts";
import { forwardedHeaders } from "./upstream.ts";

export const RUN = ["AI Gateway Run", "AI Gateway Write"];

/** Permissions of which one opens the models of this platform. */
const MODELS = [...RUN, "Workers AI Read", "Workers AI Write"];

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
  readonly kernel: Pick<KernelSlice, "auth" | "config" | "accountId" | "log">;
  readonly gateways: Gateways;
  readonly providers: Providers;
  readonly keys: Keys;
  readonly exchange: Exchange;
  readonly dynamic: DynamicRoutes;
  readonly limiter: Limiter;
}

export type Door = ReturnType<typeof openDoor>;

export function openDoor({ kernel, gateways, providers, keys, exchange, dynamic, limiter }: DoorParts) {
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

  /** What the tokens in the request's headers open, and the headers without them. */
  async function identify(headers: HeaderValues): Promise<{ allowed: boolean; models: boolean; rest: HeaderValues }> {
    let allowed = false;
    let models = false;
    const rest: Record<string, string> = { ...headers };
    for (const name of TOKEN_HEADERS) {
      const principal = await principalOf(headers[name]);
      if (principal === undefined) continue;
      allowed ||= RUN.some((group) => principal.can(group));
      models ||= MODELS.some((group) => principal.can(group));
      delete rest[name];
    }
    return { allowed, models, rest };
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

  interface Shared {
    readonly path: string;
    readonly method: string;
    readonly headers: Record<string, string>;
    /** Headers that say how, the nearest first. */
    readonly layers: readonly HeaderValues[];
    /** Whether the caller may use the models of this platform. */
    readonly models: boolean;
    readonly config?: StepConfig;
  }

  interface Asked extends Shared {
    readonly provider: Provider;
    readonly url: string;
    readonly body: Buffer | undefined;
    readonly model: string;
  }

  async function stepOf(gateway: Gateway, asked: Asked): Promise<Step> {
    const options = stepOptions(gateway.settings, asked.layers, asked.config ?? {}, config["ai_gateway.cache_ttl_min_s"]);
    const { provider, url, method, body, path } = asked;
    if (provider.serve !== undefined && !asked.models) throw gatewayError("unauthorized");
    const model = asked.model || (provider.slug === OWN ? modelOfPath(path) : "");
    const headers = await withKey(gateway, provider, asked.headers, options.alias);
    return { request: { provider, url, method, headers, body }, options, path, model };
  }

  /** A chat completion in OpenAI's form: the model names the provider, or a dynamic route. */
  async function compatible(gateway: Gateway, body: Buffer, shared: Shared): Promise<Steps> {
    const asked = jsonOf(body);
    if (typeof asked.model !== "string") throw gatewayError("invalidRequest", "The body must have a model: provider/model");
    if (asked.model.startsWith("dynamic/")) return routed(gateway, asked.model.slice("dynamic/".length), asked, shared);
    const { provider, model } = providers.ofModel(asked.model);
    const renamed = Buffer.from(JSON.stringify({ ...asked, model }));
    return inOrder([await stepOf(gateway, { ...shared, provider, url: chatUrl(provider), model, body: renamed })]);
  }

  /** The models of a dynamic route, as far as they are asked for. */
  function routed(gateway: Gateway, name: string, asked: Record<string, unknown>, shared: Shared): Steps {
    const { id, elements } = dynamic.deployed(gateway.id, name);
    const metadata = metadataIn(shared.layers);
    const subject = { body: asked, headers: Object.assign({}, ...shared.layers.toReversed()), metadata };
    const models = walk({ elements, name: `${gateway.id}/${id}`, subject, limiter, random: Math.random });
    return async () => {
      const { value: choice, done } = models.next();
      if (done || choice === undefined) return undefined;
      const provider = providers.require(choice.provider);
      const body = Buffer.from(JSON.stringify({ ...asked, model: choice.model }));
      const config = { maxAttempts: choice.attempts, ...(choice.timeoutMs !== undefined && { requestTimeout: choice.timeoutMs }) };
      const step = await stepOf(gateway, { ...shared, provider, url: chatUrl(provider), model: choice.model, body, config });
      return { ...step, charge: choice.charge };
    };
  }

  async function universal(gateway: Gateway, request: HeaderValues, body: Buffer, mayUseModels: boolean): Promise<Steps> {
    const parsed = z.array(universalStep).min(1).max(STEPS_MAX).safeParse(parseJson(body));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw gatewayError("invalidRequest", `The body must be an array of requests: ${issue?.path.join(".")}: ${issue?.message}`);
    }
    const sources = await Promise.all(
      parsed.data.map(async (one): Promise<Steps> => {
        const own = Object.fromEntries(Object.entries(one.headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
        const { rest, models } = await identify(own);
        const headers = { "content-type": "application/json", ...forwardedHeaders(rest) };
        const query = Buffer.from(JSON.stringify(one.query ?? {}));
        const common = { path: one.endpoint, method: "POST", headers, layers: [own, request], config: one.config };
        const shared: Shared = { ...common, models: models || mayUseModels };
        if (one.provider === "compat") return compatible(gateway, query, shared);
        const provider = providers.require(one.provider);
        const url = upstreamUrl(provider, one.endpoint);
        return inOrder([await stepOf(gateway, { ...shared, provider, url, model: modelIn(query), body: query })]);
      }),
    );
    return async () => {
      for (;;) {
        const step = await sources[0]?.();
        if (step !== undefined || sources.length === 0) return step;
        sources.shift();
      }
    };
  }

  async function single(
    gateway: Gateway,
    rest: string,
    search: string,
    method: string,
    headers: HeaderValues,
    body: Buffer,
    models: boolean,
  ): Promise<Steps> {
    const [slug, ...segments] = rest.split("/");
    const path = segments.join("/");
    const shared: Shared = { path, method, headers: forwardedHeaders(headers), layers: [headers], models };
    if (slug === "compat") {
      if (!/^(v1\/)?chat\/completions$/.test(path))
        throw gatewayError("invalidRequest", `There is no endpoint compat/${path.slice(0, 100)}`);
      return compatible(gateway, body, shared);
    }
    const provider = providers.require(slug as string);
    const url = upstreamUrl(provider, `${path}${search}`);
    const asked: Asked = { ...shared, provider, url, model: modelIn(body), body: body.byteLength === 0 ? undefined : body };
    return inOrder([await stepOf(gateway, asked)]);
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
    const { allowed, rest, ...token } = await identify(given);
    const models = token.models || trusted;
    const gateway = await gatewayOf(gatewayId, allowed || trusted);
    if (gateway.settings.authentication && !allowed && !trusted) throw gatewayError("unauthorized");
    const caller: Caller = { authenticated: gateway.settings.authentication, userAgent: given["user-agent"] ?? "" };
    const { pathname, search } = new URL(target, "http://gateway");
    const path = pathname.replace(/^\/+/, "");
    if (request.method === "GET" && /^compat\/(v1\/)?models$/.test(path)) return answerModels(response);
    const body = await readBody(request, bodyLimits);
    if (path === "") return exchange.run(gateway, await universal(gateway, rest, body, models), caller, response, true);
    await exchange.run(gateway, await single(gateway, path, search, request.method as string, rest, body, models), caller, response);
  }

  /** `env.AI.run` of a Worker with the option `gateway`: a request to a model of this platform through a gateway. */
  async function runModel({ model, inputs, options }: ModelRun, given: HeaderValues, response: Sink, key = {}): Promise<void> {
    const gateway = await gatewayOf(options.id, true);
    const body = Buffer.from(JSON.stringify(inputs));
    const headers = { "content-type": "application/json" };
    const shared: Shared = { path: model, method: "POST", headers, layers: [headersOf(options), given], models: true };
    if (!model.startsWith("@")) {
      const named = Buffer.from(JSON.stringify({ ...(inputs as object), model }));
      const caller = { authenticated: gateway.settings.authentication, userAgent: "" };
      const foreign = { ...shared, path: "chat/completions", headers: { ...headers, ...key } };
      return exchange.run(gateway, await compatible(gateway, named, foreign), caller, response);
    }
    const provider = providers.require(OWN);
    const step = await stepOf(gateway, { ...shared, provider, url: upstreamUrl(provider, bindingPath(model)), model, body });
    const caller = { authenticated: gateway.settings.authentication, userAgent: "" };
    await exchange.run(gateway, inOrder([step]), caller, response);
  }

  /** A request of a socket: the token that it was opened with must still be good. */
  async function socketRequest(id: string, headers: HeaderValues, body: Buffer, sink: Sink): Promise<void> {
    const { allowed, rest } = await identify(headers);
    if (!allowed) throw gatewayError("unauthorized");
    const gateway = await gatewayOf(id, true);
    const caller: Caller = { authenticated: gateway.settings.authentication, userAgent: headers["user-agent"] ?? "" };
    await exchange.run(gateway, await universal(gateway, rest, body, true), caller, sink, true);
  }
  /** The socket of a provider that a client asks for: with the client's own key, or the one that the gateway keeps. */
  async function targetOf(gateway: Gateway, path: string, request: IncomingMessage): Promise<Target> {
    if (!limiter.take(gateway)) throw gatewayError("rateLimited");
    const [slug = "", ...segments] = path.split("/");
    const provider = providers.require(slug);
    if (provider.serve !== undefined) throw gatewayError("notImplemented", "Models of this platform have no sockets");
    const { search } = new URL(request.url ?? "/", "http://gateway");
    const url = upstreamUrl(provider, `${realtimePath(slug, segments.join("/"))}${search}`);
    const { rest } = await identify(flat(request.headers));
    const headers = Object.fromEntries(Object.entries(forwardedHeaders(rest)).filter(([name]) => !name.startsWith("sec-websocket-")));
    const given = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim());
    const protocols = given.filter((one) => one !== "" && !one.startsWith("cf-aig-"));
    return { provider, url, headers: await withKey(gateway, provider, headers), protocols };
  }

  const realtime = openRealtime(kernel.log);
  const sockets = openSockets(socketRequest, kernel.log, config["ai_gateway.request_max_bytes"]);

  return {
    handle: (_params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void> =>
      refusing(response, async () => {
        const [, account, id, rest = ""] = /^\/v1\/([^/?]+)\/([^/?]+)(.*)$/.exec(request.url ?? "") ?? [];
        if (id === undefined || account !== kernel.accountId) throw gatewayError("gatewayMissing");
        await serve(id, rest, request, response, false);
      }),
    /** A WebSocket for universal requests. Its opener needs the permission whatever the gateway asks for. */
    async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
      try {
        const { pathname } = new URL(request.url ?? "/", "http://gateway");
        const [, account, id, rest = ""] = /^\/v1\/([^/]+)\/([^/]+)\/?(.*)$/.exec(pathname) ?? [];
        if (id === undefined || account !== kernel.accountId) throw gatewayError("gatewayMissing");
        const headers = headersOfProtocols(flat(request.headers));
        const { allowed } = await identify(headers);
        if (!allowed) throw gatewayError("unauthorized");
        const gateway = await gatewayOf(id, true);
        if (rest === "") sockets.upgrade(id, headers, request, socket, head);
        else await realtime.relay(await targetOf(gateway, rest, request), request, socket, head);
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        const { status } = error.spec;
        const text = JSON.stringify(failureBody(error));
        const fields = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close`;
        socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields}\r\n\r\n${text}`);
      }
    },
    closeSockets(): void {
      sockets.close();
      realtime.close();
    },
    /** A universal request of a Worker's binding. */
    binding: (gatewayId: string, request: IncomingMessage, response: ServerResponse): Promise<void> =>
      refusing(response, () => serve(gatewayId, "/", request, response, true)),
    /** A model run of a Worker's binding, as its class writes it. */
    model: (request: IncomingMessage, response: ServerResponse): Promise<void> =>
      refusing(response, async () => runModel(modelRun(request, await readBody(request, bodyLimits)), flat(request.headers), response)),
    /** A model run of another product; `key`: a header for the provider. */
    run: (run: ModelRun, key: { authorization?: string }, response: Sink): Promise<void> => runModel(run, {}, response, key),
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

/** Steps that are known from the start. */
function inOrder(steps: readonly Step[]): Steps {
  const left = [...steps];
  return async () => left.shift();
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
