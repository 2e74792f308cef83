/**
 * The binding type "secrets_store_secret": `await env.NAME.get()`. The value is read at each call, so that a changed secret
 * needs no deploy, and goes to the Workers alone that bind it.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { BindingCompiler, BindingConfig, CapabilityMint, Claims } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { secretsError } from "./errors.ts";
import type { Stores } from "./stores.ts";

const MODULE = "freehold:secrets-store";

export function secretBinding(stores: Stores, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const { store, secret } = targetOf(binding);
      if ((await stores.value(store, secret)) === undefined) {
        throw secretsError("binding", `Binding "${binding.name}": store '${store}' has no secret '${secret}' with the scope "workers".`);
      }
      return { type: binding.type, name: binding.name, store_id: store, secret_name: secret };
    },
    async compile(binding) {
      const { store, secret } = targetOf(binding);
      const service = `secret:${store}:${secret}`;
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "secret", service }] } }],
        services: [mint.node(service, { store, secret })],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

function targetOf(binding: BindingConfig): { store: string; secret: string } {
  const { store_id: store, secret_name: secret } = binding;
  return { store: typeof store === "string" ? store : "", secret: typeof secret === "string" ? secret : "" };
}

/** Answers `get()`: the value, or 404 with the text of the error. */
export async function giveSecret(stores: Stores, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  const value = await stores.value(claims.store as string, claims.secret as string);
  const text = value ?? `Secret "${String(claims.secret)}" not found`;
  response.writeHead(value === undefined ? 404 : 200, { "content-length": Buffer.byteLength(text) }).end(text);
}
