/**
 * Custom hostnames (Cloudflare for SaaS): names of other people's domains whose traffic a zone serves, once their owners
 * have shown that they want it. Routes and origins are the Workers product's, certificates the gateway's. See README.md.
 */
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { openHostnames } from "./hostnames.ts";
import { migrations } from "./migrations.ts";
import { proofFinder } from "./proofs.ts";
import { hostnameRoutes } from "./routes.ts";
import { startValidation } from "./validation.ts";

export const customHostnames = {
  name: "custom-hostnames",
  status: "beta",
  needs: ["zones"],
  provides: ["customHostnames"],
  migrations,
  permissions: [
    { id: "7b7216b327b04b8fbc8f524e1f9b7531", name: "SSL and Certificates Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "c03055bc037c4ea9afb9a9f104b7b721", name: "SSL and Certificates Write", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  start,
} satisfies Product;

async function start({ meta, clock, log, config, get }: KernelSlice): Promise<RunningProduct> {
  const zones = get("zones");
  const hostnames = await openHostnames(meta, clock);
  const validation = startValidation({ hostnames, finder: proofFinder(config, zones), clock, log });
  return {
    routes: hostnameRoutes({ hostnames, validation, zones, log, countMax: config["custom_hostnames.count_max"] }),
    offers: {
      customHostnames: {
        ofHost(host) {
          const found = hostnames.ofHost(host);
          // A zone of the account has its own names, but for those that are custom hostnames themselves.
          if (found === undefined || zones.byId(found.zoneId) === undefined) return undefined;
          if (found.hostname !== host && zones.ofHost(host) !== undefined) return undefined;
          const { zoneId, metadata, originServer } = found;
          return { zoneId, metadata, origin: originServer ?? hostnames.fallback(zoneId)?.origin };
        },
      },
    },
    check: async () => ({ ok: true, detail: `${hostnames.all().length} custom hostnames` }),
    stop: () => validation.stop(),
  };
}
