/** The binding type "d1": `env.NAME` is workerd's own D1 class over our protocol. */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import type { Databases } from "./databases.ts";
import { d1Error } from "./errors.ts";

export function d1Binding(databases: Databases, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const uuid = databaseOf(binding);
      await databases.require(uuid);
      return { type: "d1", name: binding.name, id: uuid };
    },
    async compile(binding) {
      const uuid = databaseOf(binding);
      const service = `d1:${uuid}`;
      return {
        bindings: [
          {
            name: binding.name,
            wrapped: { moduleName: "cloudflare-internal:d1-api", innerBindings: [{ name: "fetcher", service }] },
          },
        ],
        services: [mint.node(service, { database: uuid })],
      };
    },
  };
}

/** wrangler sends `id`; the multipart API also knows `database_id`. */
function databaseOf(binding: BindingConfig): string {
  const id = binding.id ?? binding.database_id;
  if (typeof id !== "string") throw d1Error("invalidProperty", "Invalid property: databaseId => Invalid uuid");
  return id;
}
