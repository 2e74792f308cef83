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
  readonly title: string;
  readonly text: string;
}

/** Sends an error page: HTML for browsers, JSON for clients that ask for it. */
export function sendErrorPage(request: IncomingMessage, response: ServerResponse, page: ErrorPage, rayId = newRayId()): void {
  request.resume();
  const wantsJson = request.headers.accept?.includes("application/json") === true;
  const body = wantsJson ? json(page, rayId) : html(page, rayId);
  response.writeHead(page.status, {
    "content-type": wantsJson ? "application/json; charset=utf-8" : "text/html; charset=UTF-8",
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

function json({ status, number, title, text }: ErrorPage, rayId: string): string {
  return JSON.stringify({ error: true, status, ...(number !== undefined && { error_code: number }), title, detail: text, ray_id: rayId });
}

function html({ number, title, text }: ErrorPage, rayId: string): string {
  const heading = number === undefined ? title : `Error ${number}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(heading)}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem}h1{font-size:1.6rem;margin:0 0 .5rem}code{opacity:.7}</style></head>
<body><h1>${escapeHtml(heading)}</h1>${number === undefined ? "" : `<h2>${escapeHtml(title)}</h2>`}<p>${escapeHtml(text)}</p><p><code>Ray ID: ${rayId}</code></p></body></html>
`;
}
