/** The content cache: what `caches` of Workers store. See README.md. */
import { join } from "node:path";
import type { ContentCache } from "../../kernel/capabilities.ts";
import type { Product } from "../../kernel/product.ts";
import { CF_HEADER, PROTO_HEADER, serveCacheApi } from "./cache-api.ts";
import { openCacheStore } from "./store.ts";

export const cache = {
  name: "cache",
  status: "beta",
  provides: ["contentCache"],
  async start({ log, clock, config, directory, mint }) {
    const store = await openCacheStore({
      directory: join(directory, "bodies"),
      clock,
      maxBytes: config["cache.max_bytes"],
      objectMaxBytes: config["cache.object_max_bytes"],
      log,
    });
    const contentCache: ContentCache = {
      service: (name, scope) => mint.node(name, { scope }, { cfBlobHeader: CF_HEADER, forwardedProtoHeader: PROTO_HEADER }),
    };
    return {
      offers: { contentCache },
      internal: (claims, request, response) => serveCacheApi(store, clock, String(claims.scope), request, response),
      stop: async () => undefined,
    };
  },
} satisfies Product;
