/**
 * The HTTP protocol that workerd's KV binding speaks (`src/workerd/api/kv.c++` there): GET, PUT and DELETE on /<key>,
 * GET /?prefix= for a page of keys, POST /bulk/get. The namespace comes from the capability alone. A refusal is a status
 * and its text, which the binding turns into "KV PUT failed: 413 Value length of …". This is the hot path of KV.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims } from "../../kernel/product.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import { readBulk } from "./bulk.ts";
import type { KvEngine } from "./engine.ts";
import { type Entries, type Entry, type HeldValue, INLINE_MAX_BYTES } from "./entries.ts";
import { kvError } from "./errors.ts";
import { checkCacheTtl, cursorAfter, expirationSeconds, keyBytes, keyOfCursor, listLimit, metadataText, prefixBytes } from "./limits.ts";

/** 100 keys of 512 bytes, escaped, and the options. */
const BULK_BODY_MAX_BYTES = 1024 * 1024;
const NO_PARAMS = new URLSearchParams();

/** Serves one request of a binding whose claims name the namespace. */
export async function serveBinding(engine: KvEngine, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const namespace = claims.namespace as string;
  try {
    await serve(engine, namespace, request, response);
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    refuse(response, error.spec.status, error.message);
  }
}

async function serve(engine: KvEngine, namespace: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const target = request.url as string;
  const question = target.indexOf("?");
  const path = question < 0 ? target : target.slice(0, question);
  const params = question < 0 ? NO_PARAMS : new URLSearchParams(target.slice(question + 1));
  switch (request.method) {
    case "GET":
      if (path === "/") return list(engine, namespace, params, response);
      return get(engine, namespace, keyBytes(decodeKey(path)), params, response);
    case "PUT":
      await put(engine, namespace, keyBytes(decodeKey(path)), params, request);
      response.writeHead(200, { "content-length": 0 }).end();
      return;
    case "DELETE": {
      const key = keyBytes(decodeKey(path));
      engine.namespaces.require(namespace);
      engine.rate.take(namespace, key);
      await engine.entries.remove(namespace, key);
      response.writeHead(200, { "content-length": 0 }).end();
      return;
    }
    case "POST":
      if (path === "/bulk/get") return bulkGet(engine, namespace, request, response);
  }
  refuse(response, 405, "Method Not Allowed");
}

async function get(engine: KvEngine, namespace: string, key: Uint8Array, params: URLSearchParams, response: ServerResponse): Promise<void> {
  checkCacheTtl(params.get("cache_ttl"));
  const entry = engine.namespaces.has(namespace) ? await engine.entries.read(namespace, key) : undefined;
  if (entry === undefined) {
    response.writeHead(404, { "cf-cache-status": "MISS", "content-length": 0 }).end();
    return;
  }
  const head = valueHead(entry);
  if (entry.blob === null) {
    response.writeHead(200, head).end(entry.value);
    return;
  }
  const stream = await engine.entries.stream(entry.blob, entry);
  response.writeHead(200, head);
  await pipeline(stream, response);
}

function valueHead(entry: Entry): Record<string, string | number> {
  const head: Record<string, string | number> = { "cf-cache-status": "MISS", "content-length": entry.size };
  // Header values are bytes: workerd reads the UTF-8 of the JSON, Node writes one byte for each of these characters.
  if (entry.metadata !== null) head["cf-kv-metadata"] = Buffer.from(entry.metadata, "utf8").toString("latin1");
  return head;
}

async function put(engine: KvEngine, namespace: string, key: Uint8Array, params: URLSearchParams, request: IncomingMessage): Promise<void> {
  const { entries, namespaces, rate, clock } = engine;
  const header = request.headers["cf-kv-metadata"];
  const held = await receive(entries, request);
  // The body is read to its end first: workerd reports a lost connection, not the refusal, when it cannot finish.
  try {
    namespaces.require(namespace);
    const metadata = metadataText(typeof header === "string" ? Buffer.from(header, "latin1").toString("utf8") : null);
    const expiration = expirationSeconds(params.get("expiration_ttl"), params.get("expiration"), clock.now());
    rate.take(namespace, key);
    await entries.write(namespace, key, held, { expiration, metadata });
  } catch (error) {
    if (error instanceof PlatformError && held.blob !== null) await engine.blobs.delete(held.blob);
    throw error;
  }
}

/** The request's body as a held value. A small body of known length is collected without the cost of a stream. */
function receive(entries: Entries, request: IncomingMessage): Promise<HeldValue> {
  const length = Number(request.headers["content-length"] ?? Number.NaN);
  if (!(length <= INLINE_MAX_BYTES)) return entries.hold(request);
  return new Promise((resolve, reject) => {
    const bytes = new Uint8Array(length);
    let at = 0;
    request.on("data", (chunk: Buffer) => {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    });
    request.once("end", () => resolve({ value: bytes, blob: null, size: length }));
    request.once("error", reject);
    request.once("close", () => {
      if (!request.complete) reject(new Error("read value: the connection ended before the body"));
    });
  });
}

async function list(engine: KvEngine, namespace: string, params: URLSearchParams, response: ServerResponse): Promise<void> {
  const limit = listLimit(params.get("key_count_limit"));
  const prefix = prefixBytes(params.get("prefix") ?? "");
  const after = keyOfCursor(params.get("cursor"));
  engine.namespaces.require(namespace);
  const rows = await engine.entries.list(namespace, prefix, after, limit + 1);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const complete = rows.length <= limit;
  const body = {
    keys: page.map(({ key, expiration, metadata }) => ({
      name: Buffer.from(key).toString("utf8"),
      ...(expiration !== null && { expiration }),
      // As JSON text: the binding parses it.
      ...(metadata !== null && { metadata }),
    })),
    list_complete: complete,
    ...(!complete && last !== undefined && { cursor: cursorAfter(last.key) }),
  };
  sendJson(response, JSON.stringify(body));
}

async function bulkGet(engine: KvEngine, namespace: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readJson(request);
  const { keys, type, withMetadata, cacheTtl } = body as Record<string, unknown>;
  checkCacheTtl(cacheTtl);
  const found = await readBulk(engine, namespace, Array.isArray(keys) ? keys.map(String) : [], type ?? "text");
  // Written by hand: a key may be "__proto__", and the order is the caller's.
  const parts = found.map(({ key, value, metadata }) => {
    const name = JSON.stringify(key);
    if (value === null) return `${name}:null`;
    return withMetadata ? `${name}:{"value":${value},"metadata":${metadata ?? "null"}}` : `${name}:${value}`;
  });
  sendJson(response, `{${parts.join(",")}}`);
}

async function readJson(request: IncomingMessage): Promise<object> {
  const body = await bodyOf(request, BULK_BODY_MAX_BYTES);
  if (body === undefined) throw kvError("bulkTooLarge");
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw kvError("invalidBody", "Invalid JSON", { cause });
  }
  throw kvError("invalidBody", "Invalid JSON");
}

function decodeKey(path: string): string {
  try {
    return decodeURIComponent(path.slice(1));
  } catch (cause) {
    throw kvError("invalidKeyEncoding", undefined, { cause });
  }
}

function sendJson(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  // A reason phrase is one line of Latin-1; a message may quote what the caller sent.
  response.writeHead(status, text.replace(/[^\t\x20-\x7e\xa0-\xff]/g, " "), { "content-length": 0 }).end();
}
