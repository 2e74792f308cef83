/** The binding type "kv_namespace": `env.NAME` is workerd's own KV class over our protocol. */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { kvError } from "./errors.ts";
import type { Namespaces } from "./namespaces.ts";

export function kvBinding(namespaces: Namespaces, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const id = namespaceOf(binding);
      // Texts and codes that wrangler users see at deploy.
      if (!/^[0-9a-f]{32}$/.test(id)) throw kvError("bindingInvalid", `KV namespace '${id}' is not valid.`);
      if (!namespaces.has(id)) throw kvError("bindingNotFound", `KV namespace '${id}' not found.`);
      return { type: "kv_namespace", name: binding.name, namespace_id: id };
    },
    async compile(binding) {
      const id = namespaceOf(binding);
      const service = `kv:${id}`;
      return { bindings: [{ name: binding.name, kvNamespace: service }], services: [mint.node(service, { namespace: id })] };
    },
  };
}

function namespaceOf(binding: BindingConfig): string {
  return typeof binding.namespace_id === "string" ? binding.namespace_id : "";
}
