/**
 * The query API: POST /api/v1/accounts/{account}/r2-sql/query/{bucket} (and basin-sql, its newer name) with a JSON body,
 * answered by one JSON document. Rows stream: what has gone out cannot be taken back, so `success` stands at the end of
 * the document, where clients that read the whole of it find it.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { authenticate, authorize } from "./access.ts";
import type { ResultColumn } from "./engine/protocol.ts";
import { r2SqlError } from "./errors.ts";
import { type QueryDependencies, type QueryMetrics, type ResultSink, runQuery } from "./query.ts";

const ROUTE = /^\/api\/v1\/accounts\/([^/?#]+)\/(?:r2-sql|basin-sql)\/query\/([^/?#]+)\/?(?:\?.*)?$/;
/** A query's text is shorter; JSON escapes make it longer. */
const BODY_MAX_BYTES = 2 * 1024 * 1024;
/** So much of an answer waits before its head goes out: most failures happen before and get their own status. */
const HOLD_BACK_BYTES = 256 * 1024;

export function queryHandler(kernel: KernelSlice, deps: QueryDependencies) {
  return async (_params: unknown, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort(new Error("the client is gone"));
    });
    const answer = new Answer(request, response);
    try {
      await handle(kernel, deps, request, answer, gone.signal);
    } catch (cause) {
      if (gone.signal.aborted) {
        response.destroy();
        return;
      }
      const error = cause instanceof PlatformError ? cause : unexpected(cause, kernel);
      if (error.code === "r2-sql.methodNotAllowed") plain(response, error);
      else answer.fail(error);
    }
  };
}

function unexpected(cause: unknown, kernel: KernelSlice): PlatformError {
  const id = randomBytes(4).toString("hex");
  kernel.log.error("r2_sql.internal_error", { id, error: cause });
  return r2SqlError("engineFailed", `Internal error ${id}`, { cause });
}

/** As the real service does: the one answer that is no JSON. */
function plain(response: ServerResponse, error: PlatformError): void {
  response.writeHead(error.spec.status, { "content-type": "text/plain; charset=utf-8", allow: "POST" }).end(error.message);
}

async function handle(
  kernel: KernelSlice,
  deps: QueryDependencies,
  request: IncomingMessage,
  answer: Answer,
  gone: AbortSignal,
): Promise<void> {
  const route = ROUTE.exec(request.url ?? "");
  if (route === null) throw r2SqlError("notFound");
  if (request.method !== "POST") throw r2SqlError("methodNotAllowed");
  const [account, bucket] = [decode(route[1] as string), decode(route[2] as string)];
  const principal = await authenticate(kernel.auth, request.headers);
  if (account !== kernel.accountId) throw r2SqlError("invalidAccount");
  authorize(principal, account, bucket);
  const sql = await queryText(request, `${account}_${bucket}`, kernel);
  if (!(await deps.objects.bucketExists(bucket))) throw r2SqlError("notFound", `The bucket ${bucket} does not exist`);
  if (!(await deps.tables.enabled(bucket))) throw r2SqlError("catalogNotEnabled");
  await runQuery({ sql, bucket, caller: principal.tokenId, signal: gone }, answer, deps);
  await answer.end();
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw r2SqlError("notFound", undefined, { cause });
  }
}

async function queryText(request: IncomingMessage, warehouse: string, kernel: KernelSlice): Promise<string> {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") throw r2SqlError("unsupportedMediaType");
  let text: string;
  try {
    text = (await readBody(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] })).toString();
  } catch (cause) {
    if (cause instanceof PlatformError && cause.code === "platform.bodyTooLarge") throw r2SqlError("bodyTooLarge", undefined, { cause });
    throw cause;
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw r2SqlError("invalidBody", `Invalid request body: ${(cause as Error).message}`, { cause });
  }
  const { query, warehouse: named } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof query !== "string") throw r2SqlError("invalidBody", 'Invalid request body: "query" must be a string');
  if (named !== undefined && named !== null && named !== warehouse)
    throw r2SqlError("invalidBody", `Invalid request body: warehouse must be ${warehouse}`);
  return query;
}

/** One JSON document, written as its parts become known. */
class Answer implements ResultSink {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #pending: string[] = [];
  #pendingBytes = 0;
  #rows = false;
  #opened = false;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  columns(columns: readonly ResultColumn[]): void {
    this.#opened = true;
    this.#add(`{"result":{"request_id":"${randomBytes(16).toString("hex")}","schema":${JSON.stringify(columns)},"rows":[`);
  }

  async rows(json: string): Promise<void> {
    // A list inside the list of rows: without its brackets.
    this.#add((this.#rows ? "," : "") + json.slice(1, -1));
    this.#rows = true;
    if (this.#pendingBytes > HOLD_BACK_BYTES || this.#response.headersSent) await this.#flush();
  }

  done(metrics: QueryMetrics): void {
    const { requests, filesScanned, bytesScanned } = metrics;
    const json = JSON.stringify({ r2_requests_count: requests, files_scanned: filesScanned, bytes_scanned: bytesScanned });
    this.#add(`],"metrics":${json}},"success":true,"errors":[],"messages":[]}`);
  }

  async end(): Promise<void> {
    if (!this.#response.headersSent) this.#response.writeHead(200, { ...HEADERS, "content-length": this.#pendingBytes });
    this.#response.end(this.#pending.join(""));
    this.#pending = [];
  }

  fail(error: PlatformError): void {
    const errors = `"success":false,"errors":${JSON.stringify([{ code: error.spec.apiCode, message: error.message }])},"messages":[]}`;
    if (this.#response.headersSent) {
      // Rows are out: the document ends as a failure.
      this.#response.end(this.#opened ? `${this.#pending.join("")}]},${errors}` : "");
      return;
    }
    const body = `{"result":null,${errors}`;
    const retry = error.spec.retryable === true ? { "retry-after": "1" } : {};
    // A body that was refused unread would be taken for the next request of the connection.
    const close = this.#request.complete ? {} : { connection: "close" };
    const headers = { ...HEADERS, ...retry, ...close, "content-length": Buffer.byteLength(body) };
    this.#response.writeHead(error.spec.status, headers).end(body);
  }

  #add(text: string): void {
    this.#pending.push(text);
    this.#pendingBytes += Buffer.byteLength(text);
  }

  /** Holds the query back while the client is slower than it. */
  async #flush(): Promise<void> {
    if (!this.#response.headersSent) this.#response.writeHead(200, HEADERS);
    const text = this.#pending.join("");
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#response.write(text) || this.#response.destroyed) return;
    await Promise.race([once(this.#response, "drain"), once(this.#response, "close")]);
  }
}

const HEADERS = { "content-type": "application/json" };
