/**
 * Images from elsewhere, transformed: by URL, `/cdn-cgi/image/{options}/{image}` on a zone that has transformations on, and
 * by a Worker's fetch() with `cf.image`. What comes out is kept in the content cache under its image's URL, for an hour or
 * as long as the image itself may be, so that a purge of the image takes everything made of it.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import type { ContentStore, Zone, Zones } from "../../kernel/capabilities.ts";
import { notFoundPage } from "../../kernel/gateway/pages.ts";
import type { Claims, KernelSlice } from "../../kernel/product.ts";
import { answerError, answerImage } from "./answer.ts";
import { ImageError } from "./errors.ts";
import { REMOTE_MAX_BYTES } from "./limits.ts";
import { type Accepted, acceptedBy, type ClientHeaders, resolved } from "./negotiation.ts";
import { type Fetched, fetchOptionsOf, type Overlay, type Requested } from "./options.ts";
import { isOurs, type Source, type Sources } from "./source.ts";
import { type Job, rendered } from "./transformation.ts";
import type { Turns } from "./turns.ts";
import { urlOptionsOf } from "./url-options.ts";
import type { Usage } from "./usage.ts";
import type { ZoneSettings } from "./zone-settings.ts";

export const TRANSFORM_PREFIX = "/cdn-cgi/image/";
/** Headers in which workerd says what a request line does not. */
export const CF_HEADER = "x-freehold-cf";
export const PROTO_HEADER = "x-freehold-proto";

const HOUR_MS = 3600_000;
/** Documented headers that reach an origin with `"origin-auth": "share-publicly"`. */
const AUTHORIZATION = [
  ...["authorization", "cookie", "x-amz-content-sha256", "x-amz-date", "x-ms-date", "x-ms-version", "x-sa-date"],
  ...["cf-access-client-id", "cf-access-client-secret"],
];

/** A transformation that was asked for. */
interface Wanted {
  readonly url: URL;
  readonly options: Job["options"];
  readonly overlays: readonly Overlay[];
  readonly accepted: Accepted;
  /** For the image's own server. */
  readonly sourceHeaders: Readonly<Record<string, string>>;
}

interface Made {
  readonly type: string;
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly hit: boolean;
}

export function imageTransforms(deps: {
  readonly kernel: KernelSlice;
  readonly zones: Zones;
  readonly settings: ZoneSettings;
  readonly sources: Sources;
  readonly cache: ContentStore;
  readonly turns: Turns;
  readonly usage: Usage;
}) {
  const { kernel, zones, settings, sources, cache, turns, usage } = deps;
  /** What is being made: who asks for the same meanwhile gets the same. */
  const making = new Map<string, Promise<Made>>();

  async function made(wanted: Wanted): Promise<Made> {
    const { url, options, overlays, accepted } = wanted;
    const { format, ...counted } = options;
    const identity = JSON.stringify([url.href, sorted(counted), overlays]);
    const key = JSON.stringify(["result", identity, format ?? "", format === "auto" ? accepted : null]);
    const kept = await cache.find(key);
    const room = await usage.note(identity);
    if (kept !== undefined) {
      const { "content-type": type, ...headers } = kept.headers as { "content-type": string } & Record<string, string>;
      return { type, bytes: kept.bytes, headers: ownHeaders(headers), hit: true };
    }
    if (!room) throw new ImageError(9422, "Free unique transformations by account has been exhausted");
    const running = making.get(key);
    if (running !== undefined) return running;
    const work = make(key, wanted).finally(() => making.delete(key));
    making.set(key, work);
    return work;
  }

  async function make(key: string, { url, options, overlays, accepted, sourceHeaders }: Wanted): Promise<Made> {
    const source = await sources.fetch(url, { maxBytes: REMOTE_MAX_BYTES, headers: sourceHeaders });
    const layers: Awaited<ReturnType<typeof layerOf>>[] = [];
    for (const overlay of overlays) layers.push(await layerOf(overlay));
    const { type, bytes } = await turns.take(() => rendered({ bytes: source.bytes, options, overlays: layers, accepted }));
    const headers = resultHeaders(source, key);
    const revalidates = /must-revalidate|no-store/.test(source.cacheControl ?? "");
    const forMs = Math.max(source.freshMs ?? 0, revalidates ? 0 : HOUR_MS);
    if (forMs > 0) await cache.put(key, { headers: { ...headers, "content-type": type }, bytes }, { url: url.href, forMs });
    return { type, bytes, headers, hit: false };
  }

  async function layerOf({ url, opacity, repeat, composite, top, left, bottom, right, ...transform }: Overlay) {
    const { bytes } = await sources.fetch(imageUrl(url), { maxBytes: REMOTE_MAX_BYTES });
    return { bytes, transform, draw: { opacity, repeat, composite, top, left, bottom, right } };
  }

  function show(request: IncomingMessage, response: ServerResponse, { hit, headers, ...file }: Made, format: Requested["format"]): void {
    answerImage(request, response, file, {
      ...headers,
      ...(format === "auto" && { vary: "Accept" }),
      "cf-cache-status": hit ? "HIT" : "MISS",
      "cf-resized": "internal=ok",
    });
  }

  /** A transformation's URL on a zone. */
  async function handleUrl(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const base = `${(request.socket as TLSSocket).encrypted === true ? "https" : "http"}://${request.headers.host}`;
    const zone = zones.ofHost(URL.parse(base)?.hostname ?? "");
    if (zone === undefined || settings.value(zone.id, "transformations") === "off") return notFoundPage(request, response);
    let fallback: URL | undefined;
    try {
      if (request.method !== "GET" && request.method !== "HEAD") throw new ImageError(9401, "GET and HEAD only", { status: 405 });
      if (isOurs(request.headers.via)) throw new ImageError(9403, "a request loop: the image is transformed already");
      const { options, url } = parsedTarget(request.url as string, base);
      if (options.onerror === "redirect" && zones.ofHost(url.hostname)?.id === zone.id) fallback = url;
      if (!settings.allows(zone, url)) throw new ImageError(9401, "Transformation origin is not in allowed origins list", { status: 403 });
      if (isTransformation(url)) throw new ImageError(9403, "a request loop: the URL is itself a transformation's");
      const { headers } = request;
      const wanted = { url, options: resolved(options, headers), overlays: [], accepted: acceptedBy(headers), sourceHeaders: {} };
      show(request, response, await made(wanted), options.format);
    } catch (error) {
      if (fallback !== undefined && error instanceof ImageError) {
        const head = { location: fallback.href, "cf-resized": `err=${error.number}`, "cache-control": "no-store" };
        return void response.writeHead(307, head).end();
      }
      answerError(request, response, error, kernel.log);
    }
  }

  const isTransformation = (url: URL): boolean => url.pathname.startsWith(TRANSFORM_PREFIX) && zones.ofHost(url.hostname) !== undefined;

  /** A Worker's fetch() with `cf.image`. */
  async function handleFetch(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const own = String(claims.zones)
      .split(" ")
      .map((name) => zones.byName(name))
      .filter((zone): zone is Zone => zone !== undefined);
    if (!own.some((zone) => settings.value(zone.id, "transformations") !== "off")) return void response.writeHead(204).end();
    // The Worker sees the answer's headers: none of this connection's belong among them.
    response.removeHeader("connection");
    try {
      if (isOurs(request.headers.via)) throw new ImageError(9403, "a request loop: the image is transformed already");
      const { options, draw = [], "origin-auth": auth } = askedOf(request);
      const url = imageUrl(`${String(request.headers[PROTO_HEADER] ?? "http")}://${request.headers.host}${request.url}`);
      if (isTransformation(url)) throw new ImageError(9403, "a request loop: the URL is itself a transformation's");
      const sourceHeaders = auth === undefined ? {} : passedOn(request.headers);
      const { headers } = request;
      show(
        request,
        response,
        await made({ url, options: resolved(options, headers), overlays: draw, accepted: acceptedBy(headers), sourceHeaders }),
        options.format,
      );
    } catch (error) {
      answerError(request, response, error, kernel.log);
    }
  }

  return { handleUrl, handleFetch };
}

function askedOf({ headers }: IncomingMessage): Pick<Fetched, "draw" | "origin-auth"> & { options: Requested } {
  const { image } = JSON.parse(String(headers[CF_HEADER] ?? "{}")) as { image?: unknown };
  const { draw, "origin-auth": auth, ...options } = fetchOptionsOf(image);
  return { options, draw, "origin-auth": auth };
}

function passedOn(headers: ClientHeaders): Record<string, string> {
  return Object.fromEntries(AUTHORIZATION.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])));
}

/** `/cdn-cgi/image/{options}/{image}`. Throws `ImageError`. */
function parsedTarget(target: string, base: string): { options: Requested; url: URL } {
  const rest = target.slice(TRANSFORM_PREFIX.length);
  const slash = rest.indexOf("/");
  if (slash < 0) throw new ImageError(9401, "the URL has no image");
  const options = urlOptionsOf(rest.slice(0, slash));
  const image = rest.slice(slash + 1);
  if (image === "") throw new ImageError(9404, "the URL has no image");
  // Servers on the way make one slash of two.
  const absolute = /^(https?):\/+(.+)$/i.exec(image);
  if (absolute !== null) return { options, url: imageUrl(`${absolute[1]}://${absolute[2]}`) };
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(image)) throw new ImageError(9406, "the image's URL is none of https");
  return { options, url: imageUrl(`${base}/${image}`) };
}

/** Throws 9406 and 9419 for URLs that no image is fetched from. */
function imageUrl(text: string): URL {
  if (/[^\x21-\x7e]/.test(text)) throw new ImageError(9419, "the image's URL has spaces or characters that are not escaped");
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw new ImageError(9406, "the image's URL is none of https");
  url.hash = "";
  return url;
}

/** The same options in whatever order they were given. */
const sorted = (options: object): unknown =>
  JSON.parse(
    JSON.stringify(options, (_key, value: unknown) =>
      isRecord(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value,
    ),
  );
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** Documented: `cf-…:` and the image's own ETag, so that one can tell whether it is up to date. */
function resultHeaders({ etag, lastModified, cacheControl }: Source, key: string): Record<string, string> {
  const inner = etag?.replace(/^W\//, "").replace(/^"|"$/g, "") ?? "";
  return {
    etag: `"cf-${createHash("sha256").update(key).digest("hex").slice(0, 24)}:${inner}"`,
    "cache-control": cacheControl ?? "public, max-age=3600",
    ...(lastModified !== undefined && { "last-modified": lastModified }),
  };
}

const ownHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("x-freehold-")));
