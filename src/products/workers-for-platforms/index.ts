/**
 * Workers for Platforms: dispatch namespaces, and the binding by which a dispatch Worker calls the user Workers in them. The
 * user Workers themselves (uploads, processes, limits) are the Workers product's. See README.md.
 */
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { dispatchBinding } from "./binding.ts";
import { callOf } from "./calls.ts";
import { migrations } from "./migrations.ts";
import { openNamespaces } from "./namespaces.ts";
import { namespaceRoutes } from "./routes.ts";

export const workersForPlatforms = {
  name: "workers-for-platforms",
  status: "beta",
  needs: ["dispatch", "userWorkers"],
  migrations,
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const userWorkers = kernel.get("userWorkers");
  const dispatch = kernel.get("dispatch");
  const namespaces = await openNamespaces(kernel.meta, kernel.clock, kernel.config["workers_for_platforms.namespaces_max"]);
  const bound = (id: string): readonly string[] => dispatch.bound((b) => b.type === "dispatch_namespace" && b.namespace_id === id);
  userWorkers.namedBy((id) => namespaces.byId(id)?.name);
  return {
    routes: namespaceRoutes(namespaces, userWorkers, bound),
    bindings: { dispatch_namespace: dispatchBinding(namespaces, kernel.mint, dispatch.has) },
    internal: (claims, request, response) => userWorkers.call(callOf(claims, request), request, response),
    internalUpgrade: (claims, request, socket, head) => userWorkers.upgrade(callOf(claims, request), request, socket, head),
    check: async () => ({ ok: true, detail: `${namespaces.all().length} dispatch namespaces` }),
    stop: async () => undefined,
  };
}
