/**
 * The binding type "vectorize": `env.NAME` is the class that workerd ships in `cloudflare-internal:vectorize-api`, over our
 * protocol (`binding-protocol.ts`). Indexes are bound by name, as documented.
 */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import type { Indexes } from "./indexes.ts";

export function vectorizeBinding(indexes: Indexes, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      return { type: "vectorize", name: binding.name, index_name: indexes.require(indexNameOf(binding)).name };
    },
    async compile(binding) {
      const index = indexNameOf(binding);
      const service = `vectorize:${index}`;
      const innerBindings = [
        { name: "fetcher", service },
        { name: "indexId", text: index },
        { name: "indexVersion", text: "v2" },
        { name: "useNdJson", json: "true" },
      ];
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: "cloudflare-internal:vectorize-api", innerBindings } }],
        services: [mint.node(service, { index })],
      };
    },
  };
}

const indexNameOf = (binding: BindingConfig): string => (typeof binding.index_name === "string" ? binding.index_name : "");
