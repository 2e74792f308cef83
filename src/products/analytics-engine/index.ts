/**
 * Workers Analytics Engine: data points that Workers write by a binding, and the SQL API that sums them up. README.md has
 * the dialect and what is promised.
 */
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { datasetBinding, takePoints } from "./binding.ts";
import { migrations } from "./migrations.ts";
import { openPoints } from "./points.ts";
import { openQueries } from "./query.ts";
import { sqlRoutes } from "./routes.ts";

export const analyticsEngine = {
  name: "analytics-engine",
  status: "beta",
  migrations,
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const points = await openPoints(kernel);
  return {
    routes: sqlRoutes(openQueries(points, kernel.clock, kernel.config)),
    bindings: { analytics_engine: datasetBinding(kernel.mint) },
    internal: (claims, request, response) => takePoints(points, claims, request, response),
    stop: points.stop,
  };
}
