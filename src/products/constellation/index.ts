/** Constellation: small models of one's own, run for Workers. README.md has the surface, ADR 0011 how models run. */
import type { Product } from "../../kernel/product.ts";
import { constellationBinding, constellationServer } from "./binding.ts";
import { openCatalog } from "./catalog.ts";
import { openEngine } from "./engine.ts";
import { migrations } from "./migrations.ts";
import { openProjects } from "./projects.ts";
import { constellationRoutes } from "./routes.ts";

export const constellation = {
  name: "constellation",
  status: "beta",
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "c0257e11a710404f8d1a52f1b7c86a01", name: "Constellation Read", scopes: ["com.cloudflare.api.account"] },
    { id: "c0257e11a710404f8d1a52f1b7c86a02", name: "Constellation Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const catalog = await openCatalog(kernel.config["constellation.catalog"]);
    const engine = openEngine(kernel);
    const projects = openProjects(kernel, engine);
    return {
      routes: constellationRoutes(projects, catalog, kernel.config),
      bindings: { constellation: constellationBinding(projects, kernel.mint) },
      internal: constellationServer({ kernel, projects, catalog, engine }),
      check: async () => ({ ok: true, detail: `${await projects.count()} models` }),
      stop: engine.stop,
    };
  },
} satisfies Product;
