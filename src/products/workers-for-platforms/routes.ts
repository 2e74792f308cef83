/** REST routes of dispatch namespaces. Those of the Workers in them come from the Workers product, under the same path. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { UserWorkers } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { platformsError } from "./errors.ts";
import type { Namespace, Namespaces } from "./namespaces.ts";

const READ = ["Workers Scripts Read", "Workers Scripts Write", "Workers Tail Read"] as const;
const WRITE = ["Workers Scripts Write"] as const;
const ALL = "/accounts/:account/workers/dispatch/namespaces";
const ONE = `${ALL}/:namespace`;
const AUTHOR = "00000000000000000000000000000000";

const createSchema = z.object({ name: z.string(), trusted_workers: z.boolean().optional() });
const updateSchema = z.object({ name: z.string().optional(), trusted_workers: z.boolean().optional() });

/** `bound`: names of the Workers that bind a namespace. */
export function namespaceRoutes(namespaces: Namespaces, workers: UserWorkers, bound: (id: string) => readonly string[]): Route[] {
  const named = (c: RequestContext): Namespace => namespaces.require(c.params.namespace as string);

  async function view({ id, name, trusted, createdOn, modifiedOn }: Namespace) {
    return {
      namespace_id: id,
      namespace_name: name,
      trusted_workers: trusted,
      script_count: await workers.count(id),
      created_on: new Date(createdOn).toISOString(),
      created_by: AUTHOR,
      modified_on: new Date(modifiedOn).toISOString(),
      modified_by: AUTHOR,
    };
  }

  return [
    {
      op: "dispatch.namespaces.list",
      method: "GET",
      path: ALL,
      permission: READ,
      handle: async (c) => numberedPage(await Promise.all(namespaces.all().map(view)), c.query, 1000, 1000),
    },
    {
      op: "dispatch.namespaces.create",
      method: "POST",
      path: ALL,
      permission: WRITE,
      async handle(c) {
        const { name, trusted_workers = false } = await c.json(createSchema);
        return view(await namespaces.create(name, trusted_workers));
      },
    },
    { op: "dispatch.namespaces.get", method: "GET", path: ONE, permission: READ, handle: async (c) => view(named(c)) },
    {
      op: "dispatch.namespaces.update",
      method: "PUT",
      path: ONE,
      permission: WRITE,
      async handle(c) {
        const { name, trusted_workers: trusted } = await c.json(updateSchema);
        return view(await namespaces.update(named(c).name, { name, trusted }));
      },
    },
    {
      op: "dispatch.namespaces.delete",
      method: "DELETE",
      path: ONE,
      permission: WRITE,
      async handle(c) {
        const { id, name } = named(c);
        const users = bound(id);
        if (users.length > 0)
          throw platformsError("inUse", `The dispatch namespace "${name}" is bound by ${users.join(", ")}: delete the binding first.`);
        // The row goes last: until then a deletion that broke off can be repeated.
        await workers.removeAll(id);
        await namespaces.remove(id);
        return null;
      },
    },
    ...workers.routes({
      op: "dispatch.scripts",
      path: `${ONE}/scripts`,
      namespace: named,
    }),
  ];
}
