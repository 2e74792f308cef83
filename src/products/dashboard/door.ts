/**
 * What answers at dash.<domain>: the app's pages and files, signing in and out, and the REST API as the session's token.
 *
 * Hosts of users' Workers are the same *site* as this one, so SameSite alone does not keep them out. What may act or read
 * with the cookie must prove that it is a page of this origin: a header that no other origin can send without a preflight
 * (none is ever answered), and the browser's own Origin and Sec-Fetch-Site wherever it sends them.
 */
import { z } from "zod";
import { parseJson, parseWith, readBody } from "../../kernel/api/body.ts";
import { failureOf } from "../../kernel/api/envelope.ts";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { App } from "./app.ts";
import { dashboardError } from "./errors.ts";
import { failedPage } from "./pages.ts";
import type { Sessions } from "./sessions.ts";

/** Sent by the app with every request. */
const PAGE_HEADER = "x-freehold-dashboard";
const SIGN_IN = "/sign-in";
const SIGN_IN_BODY_MAX = 4096;

const signInBody = z.object({ token: z.string().min(1).max(1000).optional(), code: z.string().min(1).max(1000).optional() });

const BASE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
];

/** Who is not signed in reaches this origin alone. */
const SIGN_IN_POLICY = [...BASE_POLICY, "connect-src 'self'"].join("; ");

/** The app frames previews of Workers, each on a host of its own, hears their tails, and frames the player of videos. */
function appPolicy(request: Request): string {
  const { host } = new URL(request.url);
  const beside = host.replace(/^dash\./, "");
  const [http, ws] = isSecure(request) ? ["https", "wss"] : ["http", "ws"];
  return [
    ...BASE_POLICY,
    `connect-src 'self' ${ws}://tail.${beside}`,
    `frame-src ${http}://*.preview.${beside} ${http}://*.cloudflarestream.${beside}`,
  ].join("; ");
}

/** On every answer of this host. */
const GUARDS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

export interface Door {
  fetch(request: Request): Promise<Response>;
}

export function createDoor(kernel: KernelSlice, sessions: Sessions, app: App): Door {
  // The account's own name for the cookie: browsers keep cookies of two platforms on one machine, whose ports differ, together.
  const cookieName = (request: Request): string => `${isSecure(request) ? "__Host-" : ""}freehold_${kernel.accountId.slice(0, 8)}`;

  const principalOf = async (request: Request): Promise<Principal | undefined> => {
    const value = cookieOf(request, cookieName(request));
    return value === undefined ? undefined : sessions.principal(value);
  };

  const setCookie = (request: Request, value: string, maxAgeS: number): string =>
    `${cookieName(request)}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeS}${isSecure(request) ? "; Secure" : ""}`;

  /** POST: a token or a link's code for a session. DELETE: ends it. */
  async function session(request: Request): Promise<Response> {
    requireOwnPage(request);
    if (request.method === "POST") {
      const tokenId = await signedIn(request);
      const value = await sessions.open(tokenId);
      const maxAge = kernel.config["dashboard.session_ttl_s"];
      return new Response(null, { status: 204, headers: { "set-cookie": setCookie(request, value, maxAge) } });
    }
    if (request.method === "DELETE") {
      const value = cookieOf(request, cookieName(request));
      if (value !== undefined) await sessions.close(value);
      return new Response(null, { status: 204, headers: { "set-cookie": setCookie(request, "", 0) } });
    }
    return new Response(null, { status: 405, headers: { allow: "POST, DELETE" } });
  }

  async function signedIn(request: Request): Promise<string> {
    const limits = { maxBytes: SIGN_IN_BODY_MAX, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] };
    const { token, code } = parseWith(signInBody, parseJson((await readBody(request.body, limits)).toString("utf8")));
    if (code !== undefined) return sessions.redeem(code);
    if (token === undefined) throw dashboardError("noCredentials");
    // Terminals break long lines where they are copied from.
    return (await kernel.auth.bearer({ authorization: `Bearer ${token.replace(/\s+/g, "")}` })).tokenId;
  }

  async function rest(request: Request): Promise<Response> {
    // A client with credentials of its own: this is one of the names that the API has.
    if (request.headers.has("authorization") || request.headers.has("x-auth-key")) return kernel.api(request);
    const principal = await principalOf(request);
    if (principal === undefined) return kernel.api(request);
    requireOwnPage(request);
    return kernel.api(request, principal);
  }

  /**
   * GET of an API path as a file to keep: what a link can do and a header cannot accompany. Reads only, is never shown on
   * this origin, and another origin neither sees its bytes nor can embed them (Cross-Origin-Resource-Policy).
   */
  async function download(request: Request, url: URL): Promise<Response> {
    if (request.method !== "GET") return new Response(null, { status: 405, headers: { allow: "GET" } });
    const site = request.headers.get("sec-fetch-site");
    if (site !== null && site !== "same-origin") throw dashboardError("foreignOrigin");
    const principal = await principalOf(request);
    const path = url.pathname.slice("/download".length);
    // R2 wants it in a header, which a link cannot carry.
    const jurisdiction = url.searchParams.get("jurisdiction");
    const asked = new Request(`${url.origin}/client/v4${path}`, {
      headers: jurisdiction === null ? {} : { "cf-r2-jurisdiction": jurisdiction },
      signal: request.signal,
    });
    const answer = await kernel.api(asked, principal);
    if (!answer.ok) return answer;
    const headers = new Headers({ "content-type": "application/octet-stream", "content-security-policy": "sandbox; default-src 'none'" });
    const length = answer.headers.get("content-length");
    if (length !== null) headers.set("content-length", length);
    // A key's own slashes are escaped in the path.
    const name = path.split(/\/|%2f/i).at(-1) || "download";
    headers.set(
      "content-disposition",
      `attachment; filename*=UTF-8''${name.replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`,
    );
    return new Response(answer.body, { headers });
  }

  async function page(request: Request, url: URL): Promise<Response> {
    if (request.method !== "GET" && request.method !== "HEAD") return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
    const isAsset = url.pathname.startsWith("/assets/") || url.pathname === "/icon.svg";
    if (!isAsset && url.pathname !== SIGN_IN && (await principalOf(request)) === undefined) {
      const to = url.pathname === "/" ? "" : `?to=${encodeURIComponent(`${url.pathname}${url.search}`)}`;
      return new Response(null, { status: 303, headers: { location: `${SIGN_IN}${to}`, "cache-control": "no-store" } });
    }
    const built = await app.built();
    if ("failed" in built) {
      const headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'",
        "cache-control": "no-store",
      };
      return new Response(failedPage(built.failed), { status: 503, headers });
    }
    const file = await app.file(built.directory, isAsset ? url.pathname : "/index.html");
    if (file === undefined) return new Response("Not found\n", { status: 404 });
    return new Response(new Uint8Array(file.bytes), {
      headers: {
        "content-type": file.type,
        "content-security-policy": url.pathname === SIGN_IN ? SIGN_IN_POLICY : appPolicy(request),
        // Names of assets change with their content.
        "cache-control": url.pathname.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-store",
      },
    });
  }

  async function answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/client/v4/")) return rest(request);
    if (url.pathname === "/session") return session(request);
    if (url.pathname.startsWith("/download/")) return download(request, url);
    return page(request, url);
  }

  return {
    async fetch(request) {
      let response: Response;
      try {
        response = await answer(request);
      } catch (error) {
        response = failureOf(error, "dashboard", kernel.log);
      }
      for (const [name, value] of Object.entries(GUARDS)) response.headers.set(name, value);
      return response;
    },
  };
}

/** Throws `dashboard.foreignOrigin` unless the request was made by a page of this origin. */
function requireOwnPage({ headers }: Request): void {
  const host = headers.get("host");
  const origin = headers.get("origin");
  const site = headers.get("sec-fetch-site");
  const own = origin === null || origin === `http://${host}` || origin === `https://${host}`;
  if (headers.get(PAGE_HEADER) === null || !own || (site !== null && site !== "same-origin")) throw dashboardError("foreignOrigin");
}

/** Over our own TLS, or over that of a server in front of us. */
const isSecure = ({ url, headers }: Request): boolean => url.startsWith("https:") || headers.get("x-forwarded-proto") === "https";

/** The cookie's value. Undefined also when there are two: another host of the domain has planted one, and we cannot tell which. */
function cookieOf(request: Request, name: string): string | undefined {
  const values = (request.headers.get("cookie") ?? "")
    .split(/;\s*/)
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 && values[0] !== "" ? values[0] : undefined;
}
