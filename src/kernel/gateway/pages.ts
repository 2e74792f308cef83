/** Pages that the gateway itself shows: plain, small, light and dark. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

/** Escapes text for HTML. */
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

/** A ray id as Cloudflare writes it: 16 hex digits; the part after the dash would be the data centre. */
export const newRayId = (): string => randomBytes(8).toString("hex");

export interface ErrorPage {
  readonly status: number;
  /** Cloudflare's error number, shown as "Error 1101"; absent for a plain 404. */
  readonly number?: number;
  /** The number's machine-readable name, "worker_threw_exception"; its first word is the error's category. */
  readonly name?: string;
  /** Whether the same request may succeed later. */
  readonly retryable?: boolean;
  readonly title: string;
  readonly text: string;
}

/** Types that ask for JSON; the answer bears the one that was asked for. */
const JSON_TYPES = ["application/json", "application/problem+json"];

/**
 * Sends an error page: HTML for browsers, problem details (RFC 9457) for clients that ask for JSON
 * (changelog of the documentation, 2026-03-11).
 */
export function sendErrorPage(request: IncomingMessage, response: ServerResponse, page: ErrorPage, rayId = newRayId()): void {
  request.resume();
  const accepted = (request.headers.accept ?? "").split(",").map((range) => (range.split(";")[0] as string).trim().toLowerCase());
  const jsonType = accepted.find((type) => JSON_TYPES.includes(type) || type === "text/html");
  const wantsJson = jsonType !== undefined && jsonType !== "text/html";
  const body = wantsJson ? json(page, rayId, request.headers.host ?? "") : html(page, rayId);
  response.writeHead(page.status, {
    "content-type": wantsJson ? `${jsonType}; charset=utf-8` : "text/html; charset=UTF-8",
    "content-length": Buffer.byteLength(body),
    "cache-control": "private, no-store",
    "cf-ray": rayId,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** For a host name that belongs to nothing here. */
export function notFoundPage(request: IncomingMessage, response: ServerResponse): void {
  sendErrorPage(request, response, {
    status: 404,
    title: "There is nothing here yet",
    text: "If you expect something to be here, it may take some time. Please check back again later.",
  });
}

function json({ status, number, name, title, text, retryable = false }: ErrorPage, rayId: string, host: string): string {
  const numbered = number !== undefined && {
    type: `https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-${number}/`,
    error_code: number,
    ...(name !== undefined && { error_name: name, error_category: name.slice(0, name.indexOf("_")) }),
    cloudflare_error: true,
    retryable,
  };
  return JSON.stringify({
    title: number === undefined ? title : `Error ${number}: ${title}`,
    status,
    detail: text,
    instance: rayId,
    ...numbered,
    ray_id: rayId,
    timestamp: new Date().toISOString(),
    zone: host.replace(/:\d+$/, ""),
  });
}

function html({ number, title, text }: ErrorPage, rayId: string): string {
  const heading = number === undefined ? title : `Error ${number}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(heading)}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem}h1{font-size:1.6rem;margin:0 0 .5rem}code{opacity:.7}</style></head>
<body><h1>${escapeHtml(heading)}</h1>${number === undefined ? "" : `<h2>${escapeHtml(title)}</h2>`}<p>${escapeHtml(text)}</p><p><code>Ray ID: ${rayId}</code></p></body></html>
`;
}
