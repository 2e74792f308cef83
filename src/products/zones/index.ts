/** Zones: the domains of the account, under which routes and custom domains live, with their origins. See README.md. */
import type { Product } from "../../kernel/product.ts";
import { migrations } from "./migrations.ts";
import { recordRoutes } from "./record-routes.ts";
import { openRecordStore } from "./records.ts";
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
    { id: "82e64a83756745bbbb1c9c2701bf816b", name: "DNS Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "4755a26eedb94da69e1066d98aa820be", name: "DNS Write", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  async start({ meta, clock, config, accountId }) {
    const store = await openZoneStore(meta, clock, config.domain, config["zones.count_max"]);
    const records = await openRecordStore(meta, clock, store.ofHost);
    return {
      routes: [...zoneRoutes(store, records, { id: accountId, name: "Freehold" }), ...recordRoutes(store, records)],
      offers: {
        zones: {
          ...store,
          records: records.of,
          manage: async (zoneId, ...rest) => records.manage(store.require(zoneId), ...rest),
          origin: (host) => (store.ofHost(host) === undefined ? undefined : records.origin(host)),
        },
      },
      stop: async () => undefined,
    };
  },
} satisfies Product;
