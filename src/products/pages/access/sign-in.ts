/**
 * `access.<domain>`: where visitors of restricted previews sign in, with an API token that may see the project. Their browser
 * is sent back to the preview's host and to no other place.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../../kernel/api/body.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { notFoundPage } from "../../../kernel/gateway/pages.ts";
import type { HostRoute, KernelSlice } from "../../../kernel/product.ts";
import type { Project } from "../model.ts";
import { type Gate, localPath, type Place, VIEWER } from "./gate.ts";

const LOGIN = /^\/cdn-cgi\/access\/login\/([^/]+)$/;
const BODY_MAX_BYTES = 10_000;

/** `previewOf` gives the project whose preview a host name is, if previews of it are restricted. */
export function signInHost(kernel: KernelSlice, gate: Gate, previewOf: (hostname: string) => Project | undefined): HostRoute {
  async function handle(_: unknown, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url as string, "http://access");
    const host = LOGIN.exec(url.pathname)?.[1];
    const preview = host === undefined ? null : URL.parse(`http://${decodeURIComponent(host)}`);
    const project = preview === null ? undefined : previewOf(preview.hostname);
    if (preview === null || project === undefined) return notFoundPage(request, response);
    const scheme = url.searchParams.get("scheme") === "https" ? "https" : "http";
    const place: Place = { scheme, host: preview.host, target: localPath(url.searchParams.get("redirect_url")) };
    if (request.method === "GET" || request.method === "HEAD") return show(response, place, undefined);
    if (request.method !== "POST") return show(response, place, "This takes GET and POST requests.", 405);
    const limits = { maxBytes: BODY_MAX_BYTES, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] };
    const token = new URLSearchParams((await readBody(request, limits)).toString("utf8")).get("token") ?? "";
    const tokenId = await signedIn(token.replace(/\s+/g, ""));
    if (tokenId === undefined) return show(response, place, `This is no API token with the permission ${VIEWER}.`, 403);
    response.writeHead(303, {
      location: gate.enter(project, place, tokenId),
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
    });
    response.end();
  }

  async function signedIn(token: string): Promise<string | undefined> {
    try {
      const principal = await kernel.auth.bearer({ authorization: `Bearer ${token}` });
      return principal.can(VIEWER) ? principal.tokenId : undefined;
    } catch (error) {
      if (error instanceof PlatformError && error.spec.status < 500) return undefined;
      throw error;
    }
  }

  return { name: "access", patterns: ["access"], wholeHost: true, handle };
}

/** `host` is that of a URL, and the rest is ours: nothing of it needs escaping. */
function show(response: ServerResponse, { host }: Place, problem: string | undefined, status = 200): void {
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Sign in</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
  form { width: min(22rem, calc(100vw - 3rem)); display: grid; gap: 1rem; }
  h1 { font-size: 1.25rem; margin: 0; } p { margin: 0; overflow-wrap: anywhere; opacity: .75; }
  label { display: grid; gap: .35rem; font-size: .875rem; }
  input, button { font: inherit; padding: .55rem .7rem; border-radius: .4rem; border: 1px solid color-mix(in srgb, currentColor 30%, transparent); background: transparent; color: inherit; }
  button { background: #c2410c; border-color: #c2410c; color: #fff; cursor: pointer; }
  [role=alert] { opacity: 1; color: light-dark(#b91c1c, #fca5a5); }
</style></head><body><form method="post">
<h1>Sign in to see this preview</h1><p>${host}</p>${problem === undefined ? "" : `<p role="alert">${problem}</p>`}
<label>API token<input name="token" type="password" required autofocus autocomplete="current-password"></label>
<button>Sign in</button></form></body></html>`;
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  });
  response.end(body);
}
