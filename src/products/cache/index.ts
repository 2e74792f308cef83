/** The content cache: what `caches` of Workers store. See README.md. */
import { join } from "node:path";
import type { ContentCache } from "../../kernel/capabilities.ts";
import type { Product } from "../../kernel/product.ts";
import { CF_HEADER, PROTO_HEADER, serveCacheApi } from "./cache-api.ts";
import { openCopies } from "./copies.ts";
import { purgeRoute } from "./purge-route.ts";
import { openCacheStore } from "./store.ts";

export const cache = {
  name: "cache",
  status: "beta",
  needs: ["zones"],
  provides: ["contentCache"],
  permissions: [{ id: "e17beae8b8cb423a99b1730f21238bed", name: "Cache Purge", scopes: ["com.cloudflare.api.account.zone"] }],
  async start({ log, clock, config, directory, mint, get }) {
    const store = await openCacheStore({
      directory: join(directory, "bodies"),
      clock,
      maxBytes: config["cache.max_bytes"],
      objectMaxBytes: config["cache.object_max_bytes"],
      log,
    });
    const contentCache: ContentCache = {
      service: (name, scope) => mint.node(name, { scope }, { cfBlobHeader: CF_HEADER, forwardedProtoHeader: PROTO_HEADER }),
      open: (scope) => openCopies(store, clock, scope),
    };
    return {
      routes: [purgeRoute(store, get("zones"))],
      offers: { contentCache },
      internal: (claims, request, response) => serveCacheApi(store, clock, String(claims.scope), request, response),
      stop: async () => undefined,
    };
  },
} satisfies Product;
