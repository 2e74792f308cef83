/**
 * Durable Objects: namespaces with stable ids, class migrations, the binding, and the REST lists. The objects themselves
 * run in the process of the Worker that implements them, with workerd's own storage; see README.md.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { numberedPage, page } from "../../kernel/api/envelope.ts";
import type { KernelSlice, Product, Route, RunningProduct } from "../../kernel/product.ts";
import { type Arrangement, openArrangement } from "./arrangement.ts";
import { objectBinding } from "./binding.ts";
import { durableObjectsError } from "./errors.ts";
import { storingIds } from "./files.ts";
import { partKeys } from "./jurisdictions.ts";
import { migrations } from "./migrations.ts";
import { type NamespaceRow, openNamespaces } from "./namespaces.ts";
import { queryRoutes } from "./query-routes.ts";
import { openRecovery } from "./recovery.ts";
import { storageDataset } from "./storage-dataset.ts";
import { openUsage } from "./usage.ts";

export const durableObjects = {
  name: "durable-objects",
  status: "beta",
  provides: ["durableObjects"],
  migrations,
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const directory = join(kernel.directory, "objects");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const arrangement = await openArrangement(directory);
  const recovery = await openRecovery(kernel, arrangement);
  const usage = openUsage(kernel);
  const namespaces = await openNamespaces(kernel, arrangement, recovery, usage);
  return {
    routes: [...routes(kernel, arrangement), ...queryRoutes(kernel, namespaces, `${NAMESPACES}/:id`)],
    bindings: { durable_object_namespace: objectBinding(namespaces) },
    offers: { durableObjects: namespaces.capability },
    internal: recovery.serve,
    datasets: { ...usage.datasets, durableObjectsStorageGroups: storageDataset(kernel.meta, kernel.clock, arrangement) },
    async stop() {
      await usage.stop();
      await recovery.stop();
    },
  };
}

const READ = ["Workers Scripts Read", "Workers Scripts Write"] as const;
const NAMESPACES = "/accounts/:account/workers/durable_objects/namespaces";
const OBJECTS_PER_PAGE = 1000;

function routes(kernel: KernelSlice, { directoriesOf }: Arrangement): Route[] {
  const { meta } = kernel;
  const view = (row: NamespaceRow) => ({
    id: row.id,
    name: `${row.script_name}_${row.class_name}`,
    script: row.script_name,
    class: row.class_name,
    use_sqlite: row.sqlite === 1,
  });

  async function require(id: string): Promise<NamespaceRow> {
    const row = await meta.get<NamespaceRow & Record<string, never>>(
      "SELECT * FROM durable_objects_namespaces WHERE id = ? AND deleted_on IS NULL",
      id,
    );
    if (row === undefined) throw durableObjectsError("namespaceNotFound");
    return row;
  }

  return [
    {
      op: "durableObjects.namespaces.list",
      method: "GET",
      path: NAMESPACES,
      permission: READ,
      async handle(c) {
        const rows = await meta.all<NamespaceRow & Record<string, never>>(
          "SELECT * FROM durable_objects_namespaces WHERE deleted_on IS NULL ORDER BY script_name, class_name LIMIT 100000",
        );
        return numberedPage(rows.map(view), c.query);
      },
    },
    {
      op: "durableObjects.namespaces.get",
      method: "GET",
      path: `${NAMESPACES}/:id`,
      permission: READ,
      handle: async (c) => view(await require(c.params.id as string)),
    },
    {
      op: "durableObjects.objects.list",
      method: "GET",
      path: `${NAMESPACES}/:id/objects`,
      permission: READ,
      async handle(c) {
        const { id } = await require(c.params.id as string);
        const limit = z.coerce
          .number()
          .int()
          .min(10)
          .max(10_000)
          .catch(OBJECTS_PER_PAGE)
          .parse(c.query.get("limit") ?? OBJECTS_PER_PAGE);
        const after = c.query.get("cursor") ?? "";
        const ids = await storingIds(partKeys(id).flatMap(directoriesOf), after, limit + 1);
        const result = ids.slice(0, limit);
        const cursor = ids.length > limit ? (result.at(-1) as string) : "";
        return page(
          result.map((object) => ({ id: object, hasStoredData: true })),
          { count: result.length, per_page: limit, cursor },
        );
      },
    },
  ];
}
