/**
 * The Iceberg REST door: finds the catalog and the operation of a request, checks who asks before anything is looked up,
 * and renders answers and errors. Operations are `operations.ts`.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../../kernel/api/body.ts";
import type { Principal } from "../../../kernel/api/tokens.ts";
import { PlatformError, platformError } from "../../../kernel/errors.ts";
import { parseIcebergJson, stringifyIcebergJson } from "../../../protocols/iceberg/json.ts";
import { authenticate, authorize, Refusal, type Right } from "../access.ts";
import { asCatalogError, catalogError, icebergType } from "../errors.ts";
import type { CatalogRequest } from "../metrics.ts";
import type { Catalog, Warehouse } from "../model.ts";
import { decodeSegment, LEVEL_SEPARATOR } from "../names.ts";
import { activeWarehouse } from "../warehouses.ts";
import { RETRY_AFTER_S, rateLimits } from "./rate-limits.ts";

export interface Call {
  readonly catalog: Catalog;
  readonly warehouse: Warehouse;
  readonly principal: Principal;
  /** Placeholders of the endpoint, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The body as Iceberg JSON through the schema; throws `catalog.badRequest`. */
  body<T>(schema: { parse(value: unknown): T }): Promise<T>;
}

/** What an operation answers: JSON (200), text that is JSON already, or nothing (204). */
export type Reply = { readonly json: unknown } | { readonly jsonText: string } | undefined;

export interface Operation {
  /** As clients know it: "GET /v1/{prefix}/namespaces". Listed by `GET /v1/config`. */
  readonly endpoint: string;
  /** "catalog.namespaces.list": key of log lines. */
  readonly op: string;
  /** "list-namespaces": its name in the metrics. */
  readonly metric: string;
  readonly right: Right;
  handle(call: Call): Promise<Reply>;
}

const BODY_MAX_BYTES = 32 * 1024 * 1024;

interface Endpoint<T> {
  readonly method: string;
  readonly parts: readonly string[];
  readonly target: T;
}

const endpointOf = <T>(text: string, target: T): Endpoint<T> => {
  const [method, path] = text.split(" ") as [string, string];
  return { method, parts: path.split("/").slice(1), target };
};

/** The handler of the catalog's hosts. `unsupported` are endpoints of the specification that answer 501 by name. */
export function icebergRest(catalog: Catalog, operations: readonly Operation[], unsupported: readonly string[]) {
  const { kernel } = catalog;
  const endpoints = [
    ...operations.map((operation) => endpointOf<Operation | undefined>(operation.endpoint, operation)),
    ...unsupported.map((text) => endpointOf<Operation | undefined>(text, undefined)),
  ];

  const limits = rateLimits(kernel.clock, kernel.config["r2_data_catalog.rate_limits"]);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "/";
    const [path = "", query = ""] = url.split(/\?(.*)/s);
    const [, account = "", bucket = "", ...rest] = path.split("/");
    let op = "catalog.request";
    const begun = performance.now();
    let counted: Counted | undefined;
    response.once("finish", () => {
      if (counted !== undefined) catalog.metrics.request(measured(counted, response.statusCode, performance.now() - begun));
    });
    try {
      const principal = await authenticate(kernel, request.headers);
      if (account !== kernel.accountId) throw new Refusal(403);
      const name = decodeSegment(bucket);
      const found = find(endpoints, request.method ?? "GET", rest);
      authorize(principal, kernel.accountId, name, found?.target?.right ?? "read");
      const warehouse = await activeWarehouse(catalog, name);
      if (found === undefined) throw new PlatformError("catalog.noRoute", { status: 404, apiCode: 40400, message: "No such endpoint" });
      if (found.target === undefined) throw platformError("notImplemented", `${request.method} ${found.endpoint} is not supported`);
      op = found.target.op;
      const asked: Counted = { warehouse, metric: found.target.metric, params: found.params, bodyBytes: 0, body: undefined };
      counted = asked;
      checkPrefix(warehouse, found.params.prefix);
      limits.take(warehouse, found.target, found.params);
      const reply = await found.target.handle({
        catalog,
        warehouse,
        principal,
        params: found.params,
        query: new URLSearchParams(query),
        body: (schema) => readJson(request, schema, kernel.config["gateway.body_idle_timeout_ms"], asked),
      });
      send(response, reply);
    } catch (error) {
      sendError(catalog, response, asCatalogError(error), op);
    }
  }
  return handle;
}

interface Found {
  readonly endpoint: string;
  readonly target: Operation | undefined;
  readonly params: Readonly<Record<string, string>>;
}

function find(endpoints: readonly Endpoint<Operation | undefined>[], method: string, path: readonly string[]): Found | undefined {
  for (const { method: wanted, parts, target } of endpoints) {
    if (wanted !== method || parts.length !== path.length) continue;
    if (!parts.every((part, i) => part.startsWith("{") || part === path[i])) continue;
    const params = parts.flatMap((part, i) => (part.startsWith("{") ? [[part.slice(1, -1), decodeSegment(path[i] as string)]] : []));
    return { endpoint: `/${parts.join("/")}`, target, params: Object.fromEntries(params) as Record<string, string> };
  }
  return undefined;
}

/** The prefix that `GET /v1/config` gave; another one belongs to another catalog. */
function checkPrefix(warehouse: Warehouse, prefix: string | undefined): void {
  if (prefix !== undefined && prefix !== warehouse.id)
    throw catalogError("catalogNotFound", `The prefix ${prefix} does not belong to the catalog ${warehouse.name}`);
}

/** What is known of a request whose operation and catalog are found. */
interface Counted {
  readonly warehouse: Warehouse;
  readonly metric: string;
  readonly params: Readonly<Record<string, string>>;
  bodyBytes: number;
  body: unknown;
}

/** Names are told for what exists: a client that asks for names at random must not make as many rows. */
function measured({ warehouse, metric, params, bodyBytes, body }: Counted, status: number, durationMs: number): CatalogRequest {
  const named = status < 400 || status === 409;
  const inBody = typeof body === "object" && body !== null && "name" in body && typeof body.name === "string" ? body.name : "";
  return {
    warehouse: warehouse.name,
    operation: metric,
    namespace: named && params.namespace !== undefined ? params.namespace.split(LEVEL_SEPARATOR) : [],
    table: named ? (params.table ?? params.view ?? inBody) : "",
    status,
    bodyBytes,
    durationMs,
  };
}

async function readJson<T>(
  request: IncomingMessage,
  schema: { parse(value: unknown): T },
  idleTimeoutMs: number,
  counted: Counted,
): Promise<T> {
  const bytes = await readBody(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs });
  counted.bodyBytes = bytes.byteLength;
  let value: unknown;
  try {
    value = parseIcebergJson(bytes.toString("utf8"));
    counted.body = value;
  } catch (cause) {
    throw catalogError("badRequest", `The request body is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  try {
    return schema.parse(value);
  } catch (cause) {
    const issues = (cause as { issues?: readonly { path: readonly PropertyKey[]; message: string }[] }).issues;
    if (issues === undefined) throw cause;
    const text = issues.map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.map(String).join(".")}: ${issue.message}`));
    throw catalogError("badRequest", `Invalid request body: ${text.join("; ")}`, { cause });
  }
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply === undefined) {
    response.writeHead(204).end();
    return;
  }
  const text = "jsonText" in reply ? reply.jsonText : stringifyIcebergJson(reply.json);
  sendText(response, 200, "application/json", text);
}

function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  const bytes = Buffer.from(text, "utf8");
  response.writeHead(status, { "content-type": type, "content-length": bytes.length }).end(bytes);
}

function sendError(catalog: Catalog, response: ServerResponse, error: unknown, op: string): void {
  const { log } = catalog.kernel;
  if (error instanceof Refusal) {
    sendText(response, error.status, "text/plain; charset=utf-8", error.message);
    return;
  }
  if (error instanceof PlatformError) {
    const { status } = error.spec;
    if (status === 429) response.setHeader("retry-after", String(RETRY_AFTER_S));
    if (status >= 500 && status !== 501) log.warn("catalog.failed", { op, code: error.code, message: error.message, cause: error.cause });
    sendIcebergError(response, status, error.code === "catalog.noRoute" ? "NotFoundException" : icebergType(error), error.message);
    return;
  }
  const id = randomBytes(4).toString("hex");
  log.error("catalog.internal_error", { op, id, error });
  sendIcebergError(response, 500, "InternalServerError", `Internal error ${id}`);
}

function sendIcebergError(response: ServerResponse, status: number, type: string, message: string): void {
  sendText(response, status, "application/json", JSON.stringify({ error: { message, type, code: status, stack: [] } }));
}
