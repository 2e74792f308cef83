/**
 * What a deployment answers where no Function does: the rules of Pages for paths, missing pages, redirects and headers, as
 * one function of the deployment and a request. No bytes, no sockets: `send-asset.ts` sends what is decided here.
 * https://developers.cloudflare.com/pages/configuration/serving-pages/
 */
import type { StoredAsset } from "./model.ts";
import { applyHeaders } from "./rules/headers-file.ts";
import { findRedirect } from "./rules/redirects-file.ts";
import type { Site } from "./sites.ts";

export interface AssetRequest {
  readonly method: string;
  readonly url: URL;
  /** Value of a request header by its lower-case name. */
  header(name: string): string | undefined;
  /** The host name is one that search engines are not to list: any but the project's own and its custom domains. */
  readonly preview: boolean;
  /** What a page hints at, as a `Link` header, when that is known. */
  hintsOf(page: StoredAsset): string | undefined;
}

export interface AssetAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: StoredAsset | string | undefined;
}

const CACHE_CONTROL = "public, max-age=0, must-revalidate";

export function answerAsset(site: Site, request: AssetRequest): AssetAnswer {
  const { method, url } = request;
  const place = { host: url.hostname, path: url.pathname };
  const redirect = findRedirect(site.redirects, place);
  const answer =
    redirect === undefined || redirect.status === 200
      ? serve(site, request, redirect === undefined ? url.pathname : new URL(redirect.to, url).pathname)
      : redirected(redirect.status, locationOf(redirect.to, url));
  addDefaults(answer.headers);
  const hints = pageOf(answer) && request.hintsOf(pageOf(answer) as StoredAsset);
  if (hints !== undefined) answer.headers.set("link", hints);
  applyHeaders(site.headers, place, answer.headers);
  // Not to be kept by anybody, whatever the rules say: the page may be there a moment later.
  if (answer.status === 404) answer.headers.set("cache-control", "no-store");
  return method === "HEAD" && typeof answer.body === "string" ? { ...answer, body: undefined } : answer;
}

/** The page of HTML that an answer bears. */
export const pageOf = ({ status, body, headers }: AssetAnswer): StoredAsset | undefined =>
  status === 200 && typeof body === "object" && headers.get("content-type")?.startsWith("text/html") ? body : undefined;

function addDefaults(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("referrer-policy", "strict-origin-when-cross-origin");
  if (headers.has("content-type")) headers.set("x-content-type-options", "nosniff");
}

const plain = (status: number, body?: string, headers: Record<string, string> = {}): AssetAnswer => ({
  status,
  body,
  headers: new Headers(headers),
});

const redirected = (status: number, location: string): AssetAnswer => plain(status, undefined, { location });

/** The request's query goes along where the target has none; a target on the same host is told by its path. */
function locationOf(to: string, from: URL): string {
  const target = new URL(to, from);
  const rest = (target.search || from.search) + target.hash;
  return target.origin === from.origin ? target.pathname + rest : target.origin + target.pathname + rest;
}

function serve(site: Site, request: AssetRequest, rawPath: string): AssetAnswer {
  const { method, url } = request;
  if (method !== "GET" && method !== "HEAD") return plain(405);
  const path = decoded(rawPath);
  const has = (name: string): boolean => site.files.has(name);
  const file = (name: string): AssetAnswer => found(request, site.files.get(name) as StoredAsset);
  // One leading slash: two would name another host.
  const to = (name: string): AssetAnswer => {
    const steps = name.replace(/^[/\\]+/, "").split("/");
    return redirected(308, `/${steps.map(encodeURIComponent).join("/")}${url.search}`);
  };

  if (path.endsWith("/")) {
    if (has(`${path}index.html`)) return file(`${path}index.html`);
    if (path.endsWith("/index/")) return to(path.slice(0, -"index/".length));
    if (has(`${path.slice(0, -1)}.html`)) return to(path.slice(0, -1));
    return notFound(site, request, path);
  }
  if (has(path)) {
    if (!path.endsWith(".html")) return file(path);
    const bare = path.slice(0, -".html".length);
    if (bare.endsWith("/index")) return to(bare.slice(0, -"index".length));
    return bare === "/" || has(bare) ? file(path) : to(bare);
  }
  if (path.endsWith("/index")) return to(path.slice(0, -"index".length));
  if (has(`${path}.html`)) return file(`${path}.html`);
  if (has(`${path}/index.html`)) return to(`${path}/`);
  return notFound(site, request, path);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function found({ header, preview }: AssetRequest, asset: StoredAsset): AssetAnswer {
  const etag = `"${asset.hash}"`;
  const known = header("if-none-match");
  const headers = new Headers({ etag });
  if (header("authorization") === undefined && header("range") === undefined) headers.set("cache-control", CACHE_CONTROL);
  if (preview) headers.set("x-robots-tag", "noindex");
  if (known?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag)) return { status: 304, headers, body: undefined };
  headers.set("content-type", asset.contentType);
  return { status: 200, headers, body: asset };
}

/** The nearest `404.html` up the tree; without any the project is a single-page application. */
function notFound(site: Site, request: AssetRequest, path: string): AssetAnswer {
  for (let at = path.lastIndexOf("/"); at >= 0; at = at === 0 ? -1 : path.lastIndexOf("/", at - 1)) {
    const page = site.files.get(`${path.slice(0, at)}/404.html`);
    if (page !== undefined) return { status: 404, headers: new Headers({ "content-type": page.contentType }), body: page };
  }
  const index = site.files.get("/index.html");
  return index === undefined ? plain(404) : found(request, index);
}
