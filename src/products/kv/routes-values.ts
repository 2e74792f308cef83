/** REST of a namespace's keys and values, single and in bulk. */
import { Readable } from "node:stream";
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { readBulk } from "./bulk.ts";
import type { KvEngine } from "./engine.ts";
import type { HeldValue } from "./entries.ts";
import { kvError } from "./errors.ts";
import {
  BULK_MAX_BODY_BYTES,
  BULK_MAX_PAIRS,
  checkValueSize,
  cursorAfter,
  expirationSeconds,
  keyBytes,
  keyOfCursor,
  listLimit,
  metadataText,
  prefixBytes,
  VALUE_MAX_BYTES,
} from "./limits.ts";
import { BASE, during, namespaceId, READ, WRITE } from "./rest.ts";

/** A multipart body's own bytes beside the value: boundaries, part headers, metadata. */
const MULTIPART_OVERHEAD_BYTES = 64 * 1024;
const BULK_GET_BODY_MAX_BYTES = 1024 * 1024;
/** Writes of one bulk request under way together: as many as share a commit. */
const BULK_CONCURRENCY = 200;

const anything = { parse: (value: unknown) => value };

export function valueRoutes(engine: KvEngine): Route[] {
  const { entries, namespaces } = engine;
  const values = `${BASE}/:namespace/values/:key{.+}`;
  const bulk = `${BASE}/:namespace/bulk`;
  return [
    {
      op: "kv.keys.list",
      method: "GET",
      path: `${BASE}/:namespace/keys`,
      permission: READ,
      handle: (context) => during("list keys", () => listKeys(engine, context)),
    },
    {
      op: "kv.values.get",
      method: "GET",
      path: values,
      permission: READ,
      handle: (context) => during("get", () => getValue(engine, context)),
    },
    {
      op: "kv.values.put",
      method: "PUT",
      path: values,
      permission: WRITE,
      handle: (context) => during("put", () => putValue(engine, context)),
    },
    {
      op: "kv.values.delete",
      method: "DELETE",
      path: values,
      permission: WRITE,
      handle: (context) =>
        during("remove", async () => {
          const { id } = namespaces.require(namespaceId(context));
          const key = keyOf(context);
          engine.rate.take(id, key);
          await entries.remove(id, key);
          return null;
        }),
    },
    {
      op: "kv.metadata.get",
      method: "GET",
      path: `${BASE}/:namespace/metadata/:key{.+}`,
      permission: READ,
      handle: (context) =>
        during("get", async () => {
          const entry = await entries.read(namespaces.require(namespaceId(context)).id, keyOf(context));
          if (entry === undefined) throw kvError("keyNotFound");
          return entry.metadata === null ? null : JSON.parse(entry.metadata);
        }),
    },
    {
      op: "kv.bulk.put",
      method: "PUT",
      path: bulk,
      permission: WRITE,
      handle: (context) => during("bulk put", async () => bulkPut(engine, context)),
    },
    {
      op: "kv.bulk.delete",
      method: "POST",
      path: `${bulk}/delete`,
      permission: WRITE,
      handle: (context) => during("bulk remove keys", () => bulkDelete(engine, context)),
    },
    {
      // The older form, which wrangler 4 still sends.
      op: "kv.bulk.deleteLegacy",
      method: "DELETE",
      path: bulk,
      permission: WRITE,
      handle: (context) => during("bulk remove keys", () => bulkDelete(engine, context)),
    },
    {
      op: "kv.bulk.get",
      method: "POST",
      path: `${bulk}/get`,
      permission: READ,
      handle: (context) => during("bulk get", () => bulkGet(engine, context)),
    },
  ];
}

function keyOf({ params }: RequestContext): Uint8Array {
  return keyBytes(params.key ?? "");
}

async function listKeys({ entries, namespaces }: KvEngine, context: RequestContext): Promise<unknown> {
  const { id } = namespaces.require(namespaceId(context));
  const limit = listLimit(context.query.get("limit"));
  const prefix = prefixBytes(context.query.get("prefix") ?? "");
  const rows = await entries.list(id, prefix, keyOfCursor(context.query.get("cursor")), limit + 1);
  const result = rows.slice(0, limit);
  const last = result.at(-1);
  return {
    page: true,
    result: result.map(({ key, expiration, metadata }) => ({
      name: Buffer.from(key).toString("utf8"),
      ...(expiration !== null && { expiration }),
      ...(metadata !== null && { metadata: JSON.parse(metadata) }),
    })),
    resultInfo: { count: result.length, cursor: rows.length > limit && last !== undefined ? cursorAfter(last.key) : "" },
  };
}

async function getValue({ entries, namespaces }: KvEngine, context: RequestContext): Promise<Response> {
  const entry = await entries.read(namespaces.require(namespaceId(context)).id, keyOf(context));
  if (entry === undefined) throw kvError("keyNotFound");
  const headers = new Headers({ "content-type": "application/octet-stream", "content-length": String(entry.size) });
  if (entry.expiration !== null) headers.set("expiration", String(entry.expiration));
  if (entry.blob === null) return new Response(new Uint8Array(entry.value ?? []), { headers });
  return new Response(Readable.toWeb(await entries.stream(entry.blob, entry)) as ReadableStream<Uint8Array>, { headers });
}

async function putValue(engine: KvEngine, context: RequestContext): Promise<null> {
  const { entries, namespaces, clock } = engine;
  const { id } = namespaces.require(namespaceId(context));
  const key = keyOf(context);
  const expiration = expirationSeconds(context.query.get("expiration_ttl"), context.query.get("expiration"), clock.now());
  const { held, metadata } = await receive(engine, context);
  try {
    engine.rate.take(id, key);
  } catch (error) {
    if (held.blob !== null) await engine.blobs.delete(held.blob);
    throw error;
  }
  await entries.write(id, key, held, { expiration, metadata });
  return null;
}

/** A raw body is the value; a multipart body has the parts "value" and "metadata". */
async function receive(engine: KvEngine, context: RequestContext): Promise<{ held: HeldValue; metadata: string | null }> {
  const type = context.headers.get("content-type") ?? "";
  if (!type.toLowerCase().startsWith("multipart/form-data")) {
    return { held: await engine.entries.holdBytes(await body(context, VALUE_MAX_BYTES)), metadata: null };
  }
  const bytes = await body(context, VALUE_MAX_BYTES + MULTIPART_OVERHEAD_BYTES);
  const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData().catch((cause: unknown) => {
    throw kvError("invalidBody", "could not parse the multipart form", { cause });
  });
  for (const name of form.keys()) {
    // `metadata[name]` parts, as SDKs write a nested object, would lose its types: better refused than changed.
    if (name.startsWith("metadata[")) throw kvError("invalidMetadata");
  }
  const value = form.get("value");
  if (value === null) throw kvError("invalidBody", "the multipart form has no value part");
  const metadata = form.get("metadata");
  return {
    metadata: metadataText(metadata === null ? null : typeof metadata === "string" ? metadata : await metadata.text()),
    held: await engine.entries.holdBytes(typeof value === "string" ? Buffer.from(value) : new Uint8Array(await value.arrayBuffer())),
  };
}

async function body(context: RequestContext, maxBytes: number): Promise<Uint8Array> {
  try {
    return await context.bytes(maxBytes);
  } catch (error) {
    if (!(error instanceof PlatformError) || error.code !== "platform.bodyTooLarge") throw error;
    const length = context.headers.get("content-length") ?? `more than ${VALUE_MAX_BYTES}`;
    throw kvError("valueTooLarge", `Value length of ${length} exceeds limit of ${VALUE_MAX_BYTES}.`, { cause: error });
  }
}

interface Pair {
  readonly name: string;
  readonly key: Uint8Array;
  readonly value: Buffer;
  readonly expiration: number | null;
  readonly metadata: string | null;
}

async function bulkPut(engine: KvEngine, context: RequestContext): Promise<unknown> {
  const { id } = engine.namespaces.require(namespaceId(context));
  const items = array(await context.json(anything, BULK_MAX_BODY_BYTES));
  // All of it is checked before any of it is written.
  const pairs = items.map((item) => pair(item, engine.clock.now()));
  // The last of several pairs with one key is the one that stays.
  const last = new Map(pairs.map((p) => [p.name, p]));
  return eachKey(pairs, [...last.values()], async (p) => {
    engine.rate.take(id, p.key);
    await engine.entries.write(id, p.key, await engine.entries.holdBytes(p.value), p);
  });
}

function pair(item: unknown, now: number): Pair {
  const { key, value, base64, expiration, expiration_ttl, metadata } = (item ?? {}) as Record<string, unknown>;
  if (typeof key !== "string" || typeof value !== "string") throw kvError("invalidBody", "each pair needs a key and a value, both strings");
  const bytes = base64 === true ? fromBase64(key, value) : Buffer.from(value);
  checkValueSize(bytes.byteLength);
  return {
    name: key,
    key: keyBytes(key),
    value: bytes,
    expiration: expirationSeconds(timeText(expiration_ttl), timeText(expiration), now),
    metadata: metadata === undefined ? null : metadataText(JSON.stringify(metadata)),
  };
}

/** Absent, null and 0 mean "not given" to the real API's clients. */
function timeText(value: unknown): string | null {
  return value === undefined || value === null || value === 0 ? null : String(value);
}

function fromBase64(key: string, text: string): Buffer {
  const legal = /^[A-Za-z0-9+/]*={0,2}/.exec(text)?.[0] ?? "";
  if (legal.length !== text.length || text.length % 4 !== 0)
    throw kvError(
      "invalidBody",
      `could not base64 decode value for key: "${key}", err: 'illegal base64 data at input byte ${legal.length}'`,
    );
  return Buffer.from(text, "base64");
}

async function bulkDelete(engine: KvEngine, context: RequestContext): Promise<unknown> {
  const { id } = engine.namespaces.require(namespaceId(context));
  const names = array(await context.json(anything, BULK_MAX_BODY_BYTES));
  const keys = names.map((name) => {
    // wrangler sends on what it read from a file: names, or objects with a name.
    const text = typeof name === "object" && name !== null ? (name as { name?: unknown }).name : name;
    if (typeof text !== "string") throw kvError("invalidBody", "each key must be a string");
    return { name: text, key: keyBytes(text) };
  });
  return eachKey(keys, [...new Map(keys.map((k) => [k.name, k])).values()], async ({ key }) => {
    engine.rate.take(id, key);
    await engine.entries.remove(id, key);
  });
}

function array(body: unknown): unknown[] {
  if (!Array.isArray(body)) throw kvError("invalidBody", "the body must be an array");
  if (body.length > BULK_MAX_PAIRS) throw kvError("invalidBody", `a maximum of ${BULK_MAX_PAIRS} keys is allowed, got ${body.length}`);
  return body;
}

/** Works on each distinct key; names those that failed, so that the caller can retry just them. */
async function eachKey<T extends { readonly name: string }>(
  all: readonly T[],
  distinct: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<{ successful_key_count: number; unsuccessful_keys: string[] }> {
  const failed = new Set<string>();
  let failure: unknown;
  for (let at = 0; at < distinct.length; at += BULK_CONCURRENCY) {
    const part = distinct.slice(at, at + BULK_CONCURRENCY);
    const outcomes = await Promise.allSettled(part.map(work));
    outcomes.forEach((outcome, i) => {
      if (outcome.status === "fulfilled") return;
      failed.add((part[i] as T).name);
      failure = outcome.reason;
    });
    // A full disk or a bug fails every key alike: no use in trying the rest.
    if (failed.size === distinct.length || (failure !== undefined && !(failure instanceof PlatformError))) throw failure;
  }
  const successful = all.filter((item) => !failed.has(item.name)).length;
  return { successful_key_count: successful, unsuccessful_keys: [...failed] };
}

async function bulkGet(engine: KvEngine, context: RequestContext): Promise<unknown> {
  const body = (await context.json(anything, BULK_GET_BODY_MAX_BYTES)) as Record<string, unknown> | null;
  const { keys, type, withMetadata } = body ?? {};
  if (!Array.isArray(keys)) throw kvError("invalidBody", "keys must be an array");
  const found = await readBulk(engine, namespaceId(context), keys.map(String), type ?? "text");
  const values = found.map(({ key, value, metadata, expiration }) => {
    if (value === null) return [key, null];
    const parsed: unknown = JSON.parse(value);
    if (withMetadata !== true) return [key, parsed];
    return [key, { value: parsed, metadata: metadata === null ? null : JSON.parse(metadata), ...(expiration !== null && { expiration }) }];
  });
  return { values: Object.fromEntries(values) };
}
