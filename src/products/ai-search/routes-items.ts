/** REST of items under both paths of instances: list, upload, index again, look into, download, delete. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import { page } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { searchError } from "./errors.ts";
import { parseFilter } from "./filter.ts";
import type { Instance } from "./instances.ts";
import { pageOf } from "./jobs.ts";
import { KEY_MAX } from "./limits.ts";
import { typed } from "./prepare.ts";
import { fieldsOf } from "./requests.ts";
import { bodyOf, INSTANCE_BASES, instanceOf, param, READ, type SearchApi, WRITE } from "./rest.ts";
import { BUILT_IN, sourceName } from "./source.ts";
import type { Item } from "./store/protocol.ts";
import { stamp } from "./views.ts";

/** Documented for `wait_for_completion`. */
const WAIT_MS = 40_000;
const FORM_EXTRA_BYTES = 256 * 1024;
const STATUSES = ["queued", "running", "completed", "error", "skipped", "outdated"] as const;

const sync = z.object({ next_action: z.literal("INDEX"), wait_for_completion: z.boolean().optional() });
const place = sync.extend({ key: z.string().min(1).max(1024) });
const custom = z.record(z.string().min(1).max(64), z.union([z.string().max(4096), z.number(), z.boolean()]));
const itemsQuery = z.object({ status: z.enum(STATUSES).optional(), sort_by: z.enum(["status", "modified_at"]).optional() });

export function itemView(instance: Instance, item: Item): Record<string, unknown> {
  return {
    id: item.id,
    key: item.key,
    status: item.status,
    next_action: item.status === "queued" || item.status === "outdated" || item.status === "running" ? "INDEX" : null,
    ...(item.error !== null && { error: item.error }),
    checksum: item.etag ?? "",
    namespace: instance.namespace,
    chunks_count: item.chunks,
    file_size: item.size,
    source_id: item.source,
    created_at: stamp(item.created),
    last_seen_at: stamp(item.seen),
    metadata: {
      folder: item.key.slice(0, item.key.lastIndexOf("/") + 1),
      filename: item.key,
      timestamp: Math.floor(item.modified / 1000) * 1000,
      ...(item.metadata !== null && (JSON.parse(item.metadata) as object)),
    },
  };
}

export async function listItems({ engine }: SearchApi, instance: Instance, query: URLSearchParams, perPageMax: number) {
  const given = parseWith(
    itemsQuery,
    Object.fromEntries(["status", "sort_by"].flatMap((name) => (query.has(name) ? [[name, query.get(name)]] : []))),
  );
  const { number, perPage, offset } = pageOf(query, 20, perPageMax);
  const filter = query.get("metadata_filter");
  const text = (name: string): string | undefined => query.get(name) ?? undefined;
  const exact = { search: text("search"), key: text("key"), id: text("item_id"), source: text("source"), status: given.status };
  const { items, total } = await engine.call("items", {
    uid: instance.uid,
    query: {
      ...(Object.fromEntries(Object.entries(exact).filter(([, value]) => value !== undefined)) as object),
      filter: filter === null ? [] : parseFilter(parseJson(filter), fieldsOf(instance)),
      byTime: given.sort_by === "modified_at",
      ...{ offset, limit: perPage },
    },
  });
  return page(
    items.map((item) => itemView(instance, item)),
    { count: items.length, page: number, per_page: perPage, total_count: total },
  );
}

export function itemRoutes(api: SearchApi): Route[] {
  const { engine, indexer, kernel } = api;
  const fileMax = kernel.config["ai_search.file_max_bytes"];

  async function itemOf(context: RequestContext): Promise<{ instance: Instance; item: Item }> {
    const instance = instanceOf(api, context);
    const item = await engine.call("item", { uid: instance.uid, item: param(context, "item") });
    if (item === null) throw searchError("itemNotFound");
    return { instance, item };
  }

  /** The item as it is when it has been worked on, if that is asked for. */
  async function working(instance: Instance, item: Item, wait: boolean): Promise<Record<string, unknown>> {
    const settled = wait ? indexer.settled(instance.uid, item.id, WAIT_MS) : undefined;
    indexer.kick(instance.uid);
    await settled;
    return itemView(instance, (await engine.call("item", { uid: instance.uid, item: item.id })) ?? item);
  }

  async function upload(context: RequestContext): Promise<Record<string, unknown>> {
    const instance = instanceOf(api, context);
    if (instance.config.type !== null) throw searchError("notManaged");
    const { file, metadata, wait } = await formOf(context, fileMax);
    const { n } = {
      n: (await engine.call("items", { uid: instance.uid, query: { filter: [], byTime: false, offset: 0, limit: 1 } })).total,
    };
    if (n >= kernel.config["ai_search.items_max"])
      throw searchError("tooMany", `The instance's limit of ${kernel.config["ai_search.items_max"]} files is reached`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const now = kernel.clock.now();
    const noted = Object.keys(metadata).length === 0 ? null : JSON.stringify(typed(instance, metadata));
    const item = await engine.call("add", {
      ...{ uid: instance.uid, now, source: BUILT_IN, metadata: noted },
      found: {
        key: file.name,
        size: bytes.byteLength,
        etag: createHash("sha256")
          .update(bytes)
          .update(noted ?? "")
          .digest("hex"),
        modified: now,
        rank: 0,
      },
      file: { type: file.type, bytes },
    });
    return working(instance, item, wait);
  }

  async function createOrUpdate(context: RequestContext): Promise<Record<string, unknown>> {
    const instance = instanceOf(api, context);
    const { key, wait_for_completion: wait } = parseWith(place, await bodyOf(context));
    const { items } = await engine.call("items", {
      uid: instance.uid,
      query: { key, source: sourceName(instance), filter: [], byTime: false, offset: 0, limit: 1 },
    });
    const [known] = items;
    if (known === undefined && instance.config.type !== "r2") throw searchError("itemNotFound");
    const found = { key, size: null, etag: null, modified: kernel.clock.now(), rank: 0 };
    const item =
      known ??
      (await engine.call("add", { uid: instance.uid, now: kernel.clock.now(), source: sourceName(instance), found, metadata: null }));
    await engine.call("outdate", { uid: instance.uid, item: item.id });
    return working(instance, item, wait ?? false);
  }

  async function again(context: RequestContext): Promise<Record<string, unknown>> {
    const { instance, item } = await itemOf(context);
    const { wait_for_completion: wait } = parseWith(sync, await bodyOf(context));
    await engine.call("outdate", { uid: instance.uid, item: item.id });
    return working(instance, item, wait ?? false);
  }

  async function download(context: RequestContext): Promise<Response> {
    const { instance, item } = await itemOf(context);
    const file = await engine.call("file", { uid: instance.uid, item: item.id });
    if (file === null) throw searchError("notManaged", "The file lies in its source");
    return new Response(new Uint8Array(file.bytes), {
      headers: {
        // Somebody else's content under the API's name: never shown, always saved.
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(item.key)}`,
        "x-content-type-options": "nosniff",
      },
    });
  }

  async function chunks(context: RequestContext) {
    const { instance, item } = await itemOf(context);
    const whole = (name: string, fallback: number, most: number): number => {
      const value = Number(context.query.get(name) ?? fallback);
      return Number.isInteger(value) && value >= 0 ? Math.min(value, most) : fallback;
    };
    const [limit, offset] = [whole("limit", 20, 100), whole("offset", 0, Number.MAX_SAFE_INTEGER)];
    const found = await engine.call("chunks", { uid: instance.uid, item: item.id, offset, limit });
    const about = { key: item.key, timestamp: item.modified, metadata: itemView(instance, item).metadata };
    const result = found.chunks.map(({ id, text, start, end }) => ({ id, text, start_byte: start, end_byte: end, item: about }));
    return page(result, { count: result.length, total: found.total, limit, offset });
  }

  async function logs(context: RequestContext) {
    const { instance, item } = await itemOf(context);
    const limit = Math.min(100, Math.max(1, Number(context.query.get("limit")) || 20));
    const before = Number(context.query.get("cursor")) || null;
    const found = await engine.call("logs", { uid: instance.uid, item: item.id, before, limit });
    const result = found.logs.map(({ at, action, message, errorType, chunks: count, tookMs }) => ({
      ...{
        timestamp: new Date(at).toISOString(),
        action,
        message,
        fileKey: item.key,
        chunkCount: count,
        processingTimeMs: tookMs,
        errorType,
      },
    }));
    return page(result, {
      count: result.length,
      per_page: limit,
      cursor: found.next === null ? null : String(found.next),
      truncated: found.next !== null,
    });
  }

  async function remove(context: RequestContext): Promise<{ key: string }> {
    const { instance, item } = await itemOf(context);
    if (item.source !== BUILT_IN) throw searchError("notManaged");
    await engine.call("remove", { uid: instance.uid, item: item.id });
    return { key: item.key };
  }

  return INSTANCE_BASES.flatMap(({ op, path }): Route[] => {
    const items = `${path}/:id/items`;
    const one = `${items}/:item`;
    return [
      {
        op: `${op}.items.list`,
        method: "GET",
        path: items,
        permission: READ,
        handle: (context) => listItems(api, instanceOf(api, context), context.query, 100),
      },
      { op: `${op}.items.upload`, method: "POST", path: items, permission: WRITE, handle: upload },
      { op: `${op}.items.createOrUpdate`, method: "PUT", path: items, permission: WRITE, handle: createOrUpdate },
      {
        op: `${op}.items.get`,
        method: "GET",
        path: one,
        permission: READ,
        async handle(context) {
          const { instance, item } = await itemOf(context);
          return itemView(instance, item);
        },
      },
      { op: `${op}.items.sync`, method: "PATCH", path: one, permission: WRITE, handle: again },
      { op: `${op}.items.delete`, method: "DELETE", path: one, permission: WRITE, handle: remove },
      { op: `${op}.items.download`, method: "GET", path: `${one}/download`, permission: READ, handle: download },
      { op: `${op}.items.chunks`, method: "GET", path: `${one}/chunks`, permission: READ, handle: chunks },
      { op: `${op}.items.logs`, method: "GET", path: `${one}/logs`, permission: READ, handle: logs },
    ];
  });
}

/** The form of an upload: a file with its name, metadata as JSON text, whether to wait. */
async function formOf(context: RequestContext, fileMax: number): Promise<{ file: File; metadata: z.infer<typeof custom>; wait: boolean }> {
  const bytes = await context.bytes(fileMax + FORM_EXTRA_BYTES);
  let form: FormData;
  try {
    form = await new Response(new Uint8Array(bytes), { headers: { "content-type": context.headers.get("content-type") ?? "" } }).formData();
  } catch (cause) {
    throw searchError("invalid", "The body must be a form with a file", { cause });
  }
  // SDKs put the members of an object in brackets.
  const part = (name: string) => form.get(name) ?? form.get(`file[${name}]`);
  const file = part("file");
  if (!(file instanceof File)) throw searchError("invalid", "file: is needed");
  if (file.name === "" || file.name.length > KEY_MAX) throw searchError("invalid", `file: its name must have 1 to ${KEY_MAX} characters`);
  if (file.size > fileMax) throw searchError("tooLarge", `The file is larger than the limit of ${fileMax / 1_000_000} MB`);
  const given = part("metadata");
  const metadata = typeof given === "string" && given.trim() !== "" ? parseWith(custom, parseJson(given)) : {};
  return { file, metadata, wait: String(part("wait_for_completion") ?? "false") === "true" };
}
