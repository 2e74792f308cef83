/**
 * Queries of an object's database by its owner, the dashboard's Data Studio among them, and the end of an object. The object itself runs them, so that
 * they are in order with what it does. Each call leaves two entries in the audit log, which share a `query_id`.
 * https://developers.cloudflare.com/durable-objects/observability/data-studio/
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { durableObjectsError } from "./errors.ts";
import { partKeys } from "./jurisdictions.ts";
import type { NamespaceRow, Namespaces } from "./namespaces.ts";
import { queryObject } from "./remote.ts";

const parameter = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.number().int().min(0).max(255))]);
const queries = z
  .array(z.object({ sql: z.string().min(1).max(100_000), params: z.array(parameter).max(100).optional() }))
  .min(1, "No queries provided")
  .max(1000);
/** By the id, or by the name that the id was made of. */
const body = z.union([
  z.object({ durable_object_id: z.string().min(1), queries }),
  z.object({ durable_object_name: z.string().min(1), queries }),
]);

/** Longest time that one call may take. */
const TIMEOUT_MS = 30_000;

/** `path` is that of a namespace. */
export function queryRoutes(kernel: KernelSlice, namespaces: Namespaces, path: string): Route[] {
  async function log(c: RequestContext, action: "query executed" | "query completed", value: Record<string, unknown>): Promise<void> {
    const resource = { type: "durable_objects.namespace", id: c.params.id as string };
    await kernel.audit.record(c, [{ info: action, type: action, resource, newValue: value }]);
  }

  async function require(id: string): Promise<NamespaceRow> {
    const row = await namespaces.byId(id);
    if (row === undefined) throw durableObjectsError("namespaceNotFound");
    if (row.sqlite !== 1) throw durableObjectsError("queryFailed", `Namespace does not use SQLite storage: ${id}`);
    return row;
  }

  const query: Route = {
    op: "durableObjects.objects.query",
    method: "POST",
    path: `${path}/query`,
    permission: ["Workers Scripts Write"],
    async handle(c) {
      const row = await require(c.params.id as string);
      const input = await c.json(body);
      const [id, name] = "durable_object_id" in input ? [input.durable_object_id, undefined] : [undefined, input.durable_object_name];
      const about = { query_id: randomUUID(), ...(id === undefined ? { durable_object_name: name } : { durable_object_id: id }) };
      await log(c, "query executed", about);
      let success = false;
      try {
        const asked = { parts: partKeys(row.id), id, name, action: { queries: input.queries } };
        const results = await namespaces.inside(row, (socket) => queryObject(socket, asked, TIMEOUT_MS));
        success = true;
        return results;
      } finally {
        await log(c, "query completed", { ...about, success });
      }
    },
  };
  const remove: Route = {
    op: "durableObjects.objects.delete",
    method: "DELETE",
    path: `${path}/objects/:object`,
    permission: ["Workers Scripts Write"],
    async handle(c) {
      const row = await require(c.params.id as string);
      const id = c.params.object as string;
      await namespaces.inside(row, (socket) => queryObject(socket, { parts: partKeys(row.id), id, action: "delete" }, TIMEOUT_MS));
      c.audit({
        info: "object deleted",
        type: "delete",
        resource: { type: "durable_objects.namespace", id: row.id },
        oldValue: { object: id },
      });
      return null;
    },
  };
  return [query, remove];
}
