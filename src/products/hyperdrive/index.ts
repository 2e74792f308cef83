/** Hyperdrive: pooled connections and cached reads for Workers whose data lies in PostgreSQL or MySQL. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { hyperdriveBinding } from "./binding.ts";
import { openConfigs } from "./configs.ts";
import { openDoors, protocolOf } from "./doors.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { hyperdriveRoutes } from "./routes.ts";

export const hyperdrive = {
  name: "hyperdrive",
  status: "beta",
  needs: ["certificates"],
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "4d7e0d21a0c14c7f8d1a52f1b7c86a01", name: "Hyperdrive Read", scopes: ["com.cloudflare.api.account"] },
    { id: "4d7e0d21a0c14c7f8d1a52f1b7c86a02", name: "Hyperdrive Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const metrics = openMetrics(kernel.meta, kernel.clock, kernel.log);
    const configs = openConfigs(kernel, kernel.get("certificates"), {
      async test(config, address) {
        (await protocolOf(config).connect(address, () => performance.now())).close();
      },
      changed: (config) => doors.changed(config),
      removed: (id) => doors.remove(id),
    });
    const doors = await openDoors({ kernel, address: configs.address, count: metrics.count });
    return {
      routes: hyperdriveRoutes(configs, doors.restart),
      bindings: { hyperdrive: hyperdriveBinding(configs, doors) },
      datasets: metrics.datasets,
      async stop() {
        await doors.close();
        await metrics.stop();
      },
    };
  },
} satisfies Product;
