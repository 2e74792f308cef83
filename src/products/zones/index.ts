/** Zones: the domains of the account, under which routes and custom domains live. See README.md. */
import type { Product } from "../../kernel/product.ts";
import { migrations } from "./migrations.ts";
import { zoneRoutes } from "./routes.ts";
import { openZoneStore } from "./store.ts";

export const zones = {
  name: "zones",
  status: "beta",
  provides: ["zones"],
  migrations,
  permissions: [
    { id: "c8fed203ed3043cba015a93ad1616f1f", name: "Zone Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "e6d2666161e84845a636613608cee8d5", name: "Zone Write", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  async start({ meta, clock, config, accountId }) {
    const store = await openZoneStore(meta, clock, config.domain, config["zones.count_max"]);
    return {
      routes: zoneRoutes(store, { id: accountId, name: "Freehold" }),
      offers: { zones: store },
      stop: async () => undefined,
    };
  },
} satisfies Product;
