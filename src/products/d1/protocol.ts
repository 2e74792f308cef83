/**
 * The HTTP protocol of workerd's D1 binding (`cloudflare-internal:d1-api`): POST /query and /execute with one statement or
 * an array of them. The database comes from the capability alone. Failures are answers with `success: false`, which the
 * binding turns into "D1_ERROR: …".
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Claims } from "../../kernel/product.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import { CallFailed, type Calls } from "./calls.ts";

const BOOKMARK = "x-cf-d1-session-commit-token";
/** A batch of statements with their parameters. */
const BODY_MAX_BYTES = 64 * 1024 * 1024;

export async function serveBinding(calls: Calls, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path, query] = (request.url as string).split("?");
  const body = await bodyOf(request, BODY_MAX_BYTES);
  if (request.method === "POST" && path === "/dump") return fail(response, "dump() is only supported by databases of the alpha", 400);
  if (request.method !== "POST" || (path !== "/query" && path !== "/execute")) return fail(response, "Not found", 404);
  if (body === undefined) return fail(response, "The request is too large");
  const bookmark = request.headers[BOOKMARK];
  try {
    const answer = await calls.submit(claims.database as string, {
      kind: query === "resultsFormat=ROWS_AND_COLUMNS" ? "rows" : "objects",
      body,
      bookmarked: typeof bookmark === "string" && bookmark.trim() !== "",
      readOnly: false,
    });
    const headers = { "content-type": "application/json", "content-length": answer.text.byteLength };
    response.writeHead(200, answer.bookmark === undefined ? headers : { ...headers, [BOOKMARK]: answer.bookmark }).end(answer.text);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    fail(response, error.message);
  }
}

function fail(response: ServerResponse, error: string, status = 200): void {
  const text = JSON.stringify({ success: false, error });
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}
