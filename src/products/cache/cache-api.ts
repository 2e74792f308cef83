/**
 * The other side of `caches.default` and `caches.open()` of Workers: workerd sends GET with `only-if-cached` for match, PUT
 * with a whole HTTP response as its body for put, and PURGE for delete. Each Worker has caches of its own.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../kernel/clock.ts";
import { answerTo } from "./answer.ts";
import { type Headers, lifetime, storedHeaders } from "./freshness.ts";
import type { CacheStore, Stored } from "./store.ts";

export const CF_HEADER = "x-freehold-cf";
export const PROTO_HEADER = "x-freehold-proto";
/** A response's head is no longer than what a Worker may send. */
const HEAD_MAX_BYTES = 128 * 1024;

export async function serveCacheApi(
  store: CacheStore,
  clock: Clock,
  scope: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const key = keyOf(scope, request);
  // The Worker sees the answer's headers: none of this connection's belong among them.
  response.removeHeader("connection");
  response.sendDate = false;
  if (request.method === "GET") return match(store, clock, key, request, response);
  if (request.method === "PURGE") {
    request.resume();
    return void response.writeHead((await store.delete(key)) ? 200 : 404).end();
  }
  if (request.method !== "PUT") return void response.writeHead(405).end();
  response.writeHead((await put(store, clock, key, request)) ? 204 : 413).end();
}

/** The scope, the cache's name and the request's URL, or what `cf.cacheKey` says instead of it. */
function keyOf(scope: string, { headers, url }: IncomingMessage): string {
  const cf = typeof headers[CF_HEADER] === "string" ? (JSON.parse(headers[CF_HEADER]) as { cacheKey?: unknown }) : {};
  const address = `${String(headers[PROTO_HEADER] ?? "http")}://${headers.host ?? ""}${url ?? "/"}`;
  return JSON.stringify([scope, headers["cf-cache-namespace"] ?? "", typeof cf.cacheKey === "string" ? cf.cacheKey : address]);
}

async function match(store: CacheStore, clock: Clock, key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const stored = store.find(key);
  if (stored === undefined) return void response.writeHead(504, { "cf-cache-status": "MISS" }).end();
  const answer = answerTo(request.headers, stored.byName, stored.status, stored.size);
  const headers = [...stored.headers.flat(), "CF-Cache-Status", "HIT", "Age", String(ageOf(stored, clock))];
  if (answer.kind === "notModified") return void response.writeHead(304, headers).end();
  if (answer.kind === "unsatisfiable") {
    return void response.writeHead(416, ["Content-Range", `bytes */${stored.size}`, "CF-Cache-Status", "HIT"]).end();
  }
  const range = answer.kind === "range" ? answer : undefined;
  const body = stored.size === 0 ? undefined : await store.body(key, stored, range);
  if (body === undefined && stored.size > 0) return void response.writeHead(504, { "cf-cache-status": "MISS" }).end();
  if (range !== undefined) headers.push("Content-Range", `bytes ${range.offset}-${range.offset + range.length - 1}/${stored.size}`);
  headers.push("Content-Length", String(range?.length ?? stored.size));
  response.writeHead(range === undefined ? stored.status : 206, range === undefined ? stored.statusText : "Partial Content", headers);
  if (body === undefined) response.end();
  else await pipeline(body, response);
}

const ageOf = (stored: Stored, clock: Clock): number => Math.max(0, Math.floor((clock.now() - stored.storedAt) / 1000));

async function put(store: CacheStore, clock: Clock, key: string, request: IncomingMessage): Promise<boolean> {
  const { head, body } = await splitResponse(request);
  const { status, statusText, headers } = parseHead(head);
  const byName = new Map(headers.map(([name, value]) => [name.toLowerCase(), value]));
  const seconds = lifetime(status, byName, clock.now());
  if (seconds === undefined) {
    for await (const _chunk of body);
    return false;
  }
  const kept = storedHeaders(headers);
  const keptByName: Headers = new Map(kept.map(([name, value]) => [name.toLowerCase(), value]));
  const expiresAt = clock.now() + seconds * 1000;
  const stored = await store.put(key, { status, statusText, headers: kept, byName: keptByName, expiresAt }, body);
  // What was too large is still to be read, so that the connection can go on.
  request.resume();
  return stored;
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [string, string])[];
}

function parseHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.\d (\d{3}) ?(.*)$/.exec(first);
  if (status === null) throw new Error(`read cached response: its first line is ${JSON.stringify(first)}`);
  const headers = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { status: Number(status[1]), statusText: status[2] as string, headers };
}

/** The head up to the empty line, and the rest as it comes. */
async function splitResponse(request: IncomingMessage): Promise<{ head: string; body: AsyncIterable<Uint8Array> }> {
  const chunks = (request as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let buffer = Buffer.alloc(0);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end >= 0) return { head: buffer.toString("latin1", 0, end), body: rest(buffer.subarray(end + 4), chunks) };
    if (buffer.length > HEAD_MAX_BYTES) throw new Error("read cached response: its head is too long");
    const { value, done } = await chunks.next();
    if (done) throw new Error("read cached response: it ended in its head");
    buffer = Buffer.concat([buffer, value]);
  }
}

async function* rest(first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
}
