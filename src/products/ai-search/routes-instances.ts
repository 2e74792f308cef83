/** REST of instances under both of their paths: create, list, get, change, delete, figures. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { changed, newInstance } from "./config-input.ts";
import { searchError } from "./errors.ts";
import type { Instance } from "./instances.ts";
import { bodyOf, INSTANCE_BASES, instanceOf, namespaceOf, READ, type SearchApi, WRITE } from "./rest.ts";
import { indexMethod, instanceView, stamp } from "./views.ts";

export async function viewOf({ engine, jobs, kernel }: SearchApi, instance: Instance): Promise<Record<string, unknown>> {
  const { counts } = await engine.call("stats", { uid: instance.uid });
  const waiting = (counts.queued ?? 0) + (counts.running ?? 0) + (counts.outdated ?? 0);
  const busy = waiting > 0 || (await jobs.unfinished(instance.uid)) !== undefined;
  const status = instance.config.paused === true ? "paused" : busy ? "indexing" : "ready";
  return instanceView(instance, status, kernel.config["ai_search.sync_interval_s"]);
}

/** What takes effect only when everything is indexed again. */
const remade = (instance: Instance): string => {
  const { chunk_size, chunk_overlap, custom_metadata } = instanceView(instance, "", 0);
  return JSON.stringify([chunk_size, chunk_overlap, custom_metadata, indexMethod(instance)]);
};

export function instanceRoutes(api: SearchApi): Route[] {
  const { instances, engine, indexer, jobs, metrics, tokens } = api;
  const resource = (id: string) => ({ type: "ai_search.instance", id });

  async function create(context: RequestContext): Promise<Record<string, unknown>> {
    const namespace = instances.requireNamespace(namespaceOf(context)).name;
    const { id, config: given } = await newInstance(await bodyOf(context), api.isBucket);
    const token_id = given.token_id ?? (given.type === null ? null : await tokens.standard());
    const config = { ...given, token_id };
    await api.admit({ config });
    const instance = await instances.create(namespace, id, config);
    if (config.type !== null) await jobs.schedule(instance, "First sync");
    indexer.kick(instance.uid);
    const view = await viewOf(api, instance);
    context.audit({ info: "instance created", type: "create", resource: resource(id), newValue: view });
    return view;
  }

  async function update(context: RequestContext): Promise<Record<string, unknown>> {
    const old = instanceOf(api, context);
    const config = changed(old.config, await bodyOf(context));
    if (config.token_id !== old.config.token_id || config.ai_gateway_id !== old.config.ai_gateway_id) await api.admit({ config });
    const oldValue = await viewOf(api, old);
    const instance = await instances.update(old, config);
    if (remade(instance) !== remade(old)) await engine.call("outdate", { uid: instance.uid, item: null });
    // What is under way goes on with the new settings, or not at all.
    indexer.interrupt(instance.uid);
    indexer.kick(instance.uid);
    const newValue = await viewOf(api, instance);
    context.audit({ info: "instance updated", type: "update", resource: resource(instance.id), oldValue, newValue });
    return newValue;
  }

  async function remove(context: RequestContext): Promise<Record<string, unknown>> {
    const instance = instanceOf(api, context);
    const view = await viewOf(api, instance);
    await instances.remove(instance);
    indexer.interrupt(instance.uid);
    await engine.call("drop", { uid: instance.uid });
    context.audit({ info: "instance deleted", type: "delete", resource: resource(instance.id), oldValue: view });
    return view;
  }

  async function stats(context: RequestContext): Promise<Record<string, unknown>> {
    const instance = instanceOf(api, context);
    const { counts, vectors, dimensions, bytes, files } = await engine.call("stats", { uid: instance.uid });
    return {
      ...{ queued: 0, running: 0, completed: 0, error: 0, skipped: 0, outdated: 0, ...counts },
      last_activity: stamp(instance.syncedAt),
      engine: {
        vectorize: { vectorsCount: vectors, dimensions },
        r2: { payloadSizeBytes: bytes, metadataSizeBytes: 0, objectCount: files },
      },
    };
  }

  return INSTANCE_BASES.flatMap(({ op, path }): Route[] => [
    {
      op: `${op}.list`,
      method: "GET",
      path,
      permission: READ,
      async handle(context) {
        const { query } = context;
        // Without a namespace in the path: all of the account, or those of one.
        const namespace = context.params.namespace ?? query.get("namespace") ?? undefined;
        if (context.params.namespace !== undefined) instances.requireNamespace(context.params.namespace);
        const search = (query.get("search") ?? "").toLowerCase();
        const found = instances.list(namespace).filter(({ id }) => id.includes(search));
        if (query.get("order_by_direction") === "desc") found.reverse();
        const page = numberedPage(found, query, 100, 20);
        return { ...page, result: await Promise.all(page.result.map((instance) => viewOf(api, instance))) };
      },
    },
    { op: `${op}.create`, method: "POST", path, permission: WRITE, handle: create },
    { op: `${op}.get`, method: "GET", path: `${path}/:id`, permission: READ, handle: (context) => viewOf(api, instanceOf(api, context)) },
    { op: `${op}.update`, method: "PUT", path: `${path}/:id`, permission: WRITE, handle: update },
    { op: `${op}.delete`, method: "DELETE", path: `${path}/:id`, permission: WRITE, handle: remove },
    { op: `${op}.stats`, method: "GET", path: `${path}/:id/stats`, permission: READ, handle: stats },
    {
      op: `${op}.metrics`,
      method: "GET",
      path: `${path}/:id/metrics`,
      permission: READ,
      async handle(context) {
        const days = Number(context.query.get("days") ?? 7);
        if (!Number.isInteger(days) || days < 1 || days > 31) throw searchError("invalid", "days: must be from 1 to 31");
        return metrics.summary(instanceOf(api, context), days);
      },
    },
  ]);
}
