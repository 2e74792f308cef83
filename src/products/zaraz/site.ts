/**
 * A zone's endpoints, at the paths that its configuration names: the two scripts, where the script sends events to, and the
 * HTTP Events API. Which configuration answers is the host's zone's matter, and for who has its debug key as a cookie the
 * one that is not yet published.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { z } from "zod";
import type { Zone, Zones } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import type { HostRoute } from "../../kernel/product.ts";
import type { Configs, Numbered } from "./configs.ts";
import { cookiesOf, type Sender, systemSchema } from "./context.ts";
import type { CookieScope } from "./cookies.ts";
import { PlanError } from "./evaluator.ts";
import type { EventGiven, Events, Processed } from "./events.ts";
import { DEFAULT_PATHS, isActive, type ZarazConfig } from "./model.ts";
import { initScript, pageScript } from "./scripts.ts";

export const PREVIEW_COOKIE = "zarazPreview";
const DEBUG_COOKIE = "zarazDebug";
const BODY_MAX_BYTES = 1024 * 1024;
/** Of one call of the HTTP Events API. */
const EVENTS_MAX = 500;

const clientSchema = z.record(z.string(), z.unknown());
const eventSchema = z.object({
  client: clientSchema,
  system: systemSchema.optional().default({}),
});
const trackSchema = eventSchema.extend({
  fired: z.array(z.string()).max(500).default([]),
  purposes: z.array(z.string()).max(100).optional(),
});
const batchSchema = z.object({ events: z.array(eventSchema).max(EVENTS_MAX) });

type Endpoint = "init" | "script" | "track" | "events";

export interface Site {
  readonly route: HostRoute;
  /** What a request of a visitor gets: the live configuration, or the newest for who may preview it; undefined: nothing. */
  configFor(zone: Zone, request: Pick<IncomingMessage, "headers">): Numbered | undefined;
}

export function zarazSite(deps: {
  readonly zones: Zones;
  readonly configs: Configs;
  readonly events: Events;
  readonly log: Log;
  /** Whether the month's events are not used up: then there is no Zaraz until the next one. */
  hasRoom(): boolean;
}): Site {
  const { zones, configs, events, log, hasRoom } = deps;

  function configFor(zone: Zone, { headers }: Pick<IncomingMessage, "headers">): Numbered | undefined {
    const key = headers.cookie?.includes(PREVIEW_COOKIE) ? cookiesOf(headers.cookie)[PREVIEW_COOKIE] : undefined;
    const latest = key === undefined ? undefined : configs.latest(zone.id);
    const found = latest !== undefined && isKey(key, latest.config) ? latest : configs.live(zone.id);
    return found !== undefined && isActive(found.config) && hasRoom() ? found : undefined;
  }

  const route: HostRoute = {
    name: "zaraz",
    patterns: [],
    // A zone may have its endpoints anywhere.
    paths: ["/"],
    resolve(host, target) {
      const zone = zones.ofHost(host);
      if (zone === undefined || target === undefined) return undefined;
      const path = pathOf(target);
      const known = [configs.live(zone.id), configs.latest(zone.id)].some(
        (one) => one !== undefined && isActive(one.config) && endpointOf(one.config, path) !== undefined,
      );
      return known ? { zone: zone.id } : undefined;
    },
    async handle({ zone: id }, request, response) {
      const zone = zones.byId(id as string);
      const numbered = zone && configFor(zone, request);
      const endpoint = numbered && endpointOf(numbered.config, pathOf(request.url as string));
      if (zone === undefined || numbered === undefined || endpoint === undefined) return end(response, 404, "Not found");
      try {
        await serve[endpoint](zone, numbered, request, response);
      } catch (error) {
        if (response.headersSent) return void response.destroy();
        if (error instanceof Refusal) return end(response, error.status, error.message);
        if (error instanceof PlanError) log.warn("zaraz.event_failed", { zone: zone.id, endpoint, error });
        else log.error("zaraz.failed", { zone: zone.id, endpoint, error });
        end(response, 503, "The event could not be processed");
      }
    },
  };

  const serve: Record<Endpoint, (zone: Zone, numbered: Numbered, request: IncomingMessage, response: ServerResponse) => Promise<void>> = {
    async init(_zone, { config }, request, response) {
      script(request, response, initScript(config));
    },
    async script(zone, { config }, request, response) {
      script(request, response, pageScript(config, languagesOf(request), config.settings.cookieDomain || zone.name));
    },
    async track(zone, numbered, request, response) {
      if (request.method !== "POST") throw new Refusal(405, "POST only");
      refuseOthers(zone, request);
      const given = parsed(trackSchema, await body(request));
      const { result, waiting, log: notes } = await process(zone, numbered, { ...given, purposes: given.purposes }, request);
      const debug = isKey(cookiesOf(request.headers.cookie)[DEBUG_COOKIE], numbered.config);
      const { cookies, ...shown } = result;
      const answer = JSON.stringify({ ...shown, waiting, ...(debug && { debug: masked(notes, numbered.config) }) });
      response.writeHead(200, { ...headers("application/json"), ...(cookies.length > 0 && { "set-cookie": cookies }) }).end(answer);
    },
    async events(zone, numbered, request, response) {
      if (request.method !== "POST") throw new Refusal(405, "POST only");
      const { events: given } = parsed(batchSchema, await body(request));
      const results: object[] = [];
      // One after another: the results are in the order of the events, and a batch takes no more than its share.
      for (const { client, system } of given)
        results.push((await process(zone, numbered, { client, system, fired: [], purposes: undefined }, request)).result);
      response.writeHead(200, headers("application/json")).end(JSON.stringify({ results }));
    },
  };

  /** Nobody else's pages may say what happens on these. */
  function refuseOthers(zone: Zone, { headers: { origin } }: IncomingMessage): void {
    if (origin === undefined) return;
    const host = URL.parse(origin)?.hostname;
    if (host === undefined || zones.ofHost(host)?.id !== zone.id) throw new Refusal(403, "Events come from pages of the same zone");
  }

  function process(zone: Zone, numbered: Numbered, given: EventGiven, request: IncomingMessage): Promise<Processed> {
    const { settings } = numbered.config;
    const secure = (request.socket as TLSSocket).encrypted === true;
    const host = hostOf(request);
    const cookies: CookieScope = { host, domain: settings.cookieDomain || zone.name, secure };
    return events.process(zone.id, numbered, given, senderOf(request, `${secure ? "https" : "http"}://${request.headers.host}/`), cookies);
  }

  return { route, configFor };
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

function endpointOf({ settings }: ZarazConfig, path: string): Endpoint | undefined {
  if (path === (settings.initPath ?? DEFAULT_PATHS.initPath)) return "init";
  if (path === (settings.scriptPath ?? DEFAULT_PATHS.scriptPath)) return "script";
  if (path === (settings.trackPath ?? DEFAULT_PATHS.trackPath)) return "track";
  return settings.eventsApiPath && path === settings.eventsApiPath ? "events" : undefined;
}

/** In constant time, so that no stranger finds it out piece by piece. */
function isKey(given: string | undefined, { debugKey }: ZarazConfig): boolean {
  if (given === undefined || debugKey === "") return false;
  const digest = (value: string): Buffer => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(given), digest(debugKey));
}

/** Values of secret variables are for tools alone. */
function masked(notes: Processed["log"], { variables }: ZarazConfig): unknown {
  let text = JSON.stringify(notes);
  for (const variable of Object.values(variables))
    if (variable.type === "secret" && variable.value) text = text.replaceAll(JSON.stringify(variable.value).slice(1, -1), "••••");
  return JSON.parse(text);
}

async function body(request: IncomingMessage): Promise<string> {
  let size = 0;
  request.on("data", (piece: Buffer) => {
    size += piece.length;
    if (size > BODY_MAX_BYTES) request.destroy();
  });
  if (Number(request.headers["content-length"] ?? 0) > BODY_MAX_BYTES) throw new Refusal(413, "The body is too large");
  try {
    return await text(request);
  } catch (cause) {
    // Cut off, by us or by whoever sent it.
    throw new Refusal(size > BODY_MAX_BYTES ? 413 : 400, "The body did not come whole", { cause });
  }
}

function parsed<T>(schema: z.ZodType<T>, given: string): T {
  let value: unknown;
  try {
    value = JSON.parse(given);
  } catch {
    throw new Refusal(400, "The body is not JSON");
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Refusal(400, `${issue?.path.join(".")}: ${issue?.message}`);
}

function senderOf(request: IncomingMessage, url: string): Sender {
  const address = request.socket.remoteAddress ?? "127.0.0.1";
  return {
    ip: address.startsWith("::ffff:") ? address.slice(7) : address,
    userAgent: request.headers["user-agent"] ?? "",
    language: languagesOf(request)[0] ?? "",
    cookies: cookiesOf(request.headers.cookie),
    url,
  };
}

/** By preference. */
function languagesOf({ headers: { "accept-language": header } }: IncomingMessage): string[] {
  return (header ?? "")
    .split(",")
    .map((part) => {
      const [tag = "", weight] = part.trim().split(/;\s*q=/);
      return { tag, weight: weight === undefined ? 1 : Number(weight) };
    })
    .filter(({ tag, weight }) => /^[a-z]{2,3}(-[a-z0-9]+)*$/i.test(tag) && weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, 20)
    .map(({ tag }) => tag.toLowerCase());
}

const headers = (type: string): Record<string, string> => ({
  "content-type": `${type}; charset=utf-8`,
  "cache-control": "private, no-store",
  "x-content-type-options": "nosniff",
  // As documented: the endpoints are in no search index.
  "x-robots-tag": "noindex",
});

function script(request: IncomingMessage, response: ServerResponse, source: string): void {
  request.resume();
  if (request.method !== "GET" && request.method !== "HEAD") throw new Refusal(405, "GET and HEAD only");
  const etag = `"${createHash("sha256").update(source).digest("base64url").slice(0, 22)}"`;
  const all = { ...headers("text/javascript"), "cache-control": "private, no-cache", etag, vary: "accept-language, cookie" };
  if (request.headers["if-none-match"] === etag) return void response.writeHead(304, all).end();
  response.writeHead(200, all).end(request.method === "HEAD" ? undefined : source);
}

function end(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { ...headers("text/plain"), connection: "close" }).end(`${message}\n`);
}

const hostOf = (request: IncomingMessage): string => (request.headers.host ?? "").toLowerCase().replace(/:\d+$/, "");

const pathOf = (target: string): string => {
  const at = target.search(/[?#]/);
  return at < 0 ? target : target.slice(0, at);
};
