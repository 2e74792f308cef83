/** Answers of the doors that show images: an image with what its kind needs, or the documented error. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Log } from "../../kernel/log.ts";
import type { File } from "./encode.ts";
import { ImageError } from "./errors.ts";

/** An SVG image may be opened as a page of its own: nothing in it runs or loads. */
const CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; navigate-to 'none'; form-action 'none'";

export function answerImage(
  request: IncomingMessage,
  response: ServerResponse,
  { type, bytes }: File,
  headers: Readonly<Record<string, string>>,
): void {
  const all = {
    ...headers,
    "x-content-type-options": "nosniff",
    ...(type === "image/svg+xml" && { "content-security-policy": CSP }),
  };
  if (headers.etag !== undefined && matches(request.headers["if-none-match"], headers.etag)) {
    response.writeHead(304, all).end();
    return;
  }
  response.writeHead(200, { ...all, "content-type": type, "content-length": bytes.byteLength });
  response.end(request.method === "HEAD" ? undefined : bytes);
}

const weak = (etag: string): string => etag.trim().replace(/^W\//, "");
const matches = (list: string | undefined, etag: string): boolean =>
  list !== undefined && (list.trim() === "*" || list.split(",").some((candidate) => weak(candidate) === weak(etag)));

/** Documented: the number in `Cf-Resized`, the reason in the body. */
export function answerError(request: IncomingMessage, response: ServerResponse, error: unknown, log: Log): void {
  if (response.headersSent) return void response.destroy();
  const known = error instanceof ImageError ? error : new ImageError(9523, "the image could not be transformed", { cause: error });
  if (!(error instanceof ImageError)) log.error("images.failed", { url: request.url, error });
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "cf-resized": `err=${known.number}`,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
  response.writeHead(known.status, headers).end(request.method === "HEAD" ? undefined : known.text);
}
