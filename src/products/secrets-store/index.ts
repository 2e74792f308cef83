/** Secrets Store: secrets of the account, which Workers bind and nobody reads back. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { giveSecret, secretBinding } from "./binding.ts";
import { migrations } from "./migrations.ts";
import { secretRoutes } from "./routes.ts";
import { openStores } from "./stores.ts";

export const secretsStore = {
  name: "secrets-store",
  status: "beta",
  migrations,
  // Cloudflare's ids of these groups are not known.
  permissions: [
    { id: "5ec4e757043e4a5c9d0a52f1b7c86a01", name: "Secrets Store Read", scopes: ["com.cloudflare.api.account"] },
    { id: "5ec4e757043e4a5c9d0a52f1b7c86a02", name: "Secrets Store Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const stores = openStores(kernel);
    return {
      routes: secretRoutes(stores),
      bindings: { secrets_store_secret: secretBinding(stores, kernel.mint) },
      internal: (claims, request, response) => giveSecret(stores, claims, request, response),
      stop: async () => undefined,
    };
  },
} satisfies Product;
