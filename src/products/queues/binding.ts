/** The binding type "queue": `env.NAME` is workerd's own Queue class over our protocol (`binding-protocol.ts`). */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { queuesError } from "./errors.ts";
import { messageDelay } from "./limits.ts";
import type { Queues } from "./queues.ts";

export function queueBinding(queues: Queues, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const name = queueNameOf(binding);
      if (queues.byName(name) === undefined) throw queuesError("queueNotFound", `Queue "${name}" does not exist (binding ${binding.name})`);
      const delay = messageDelay(binding.delivery_delay);
      return { type: "queue", name: binding.name, queue_name: name, ...(delay !== undefined && { delivery_delay: delay }) };
    },
    async compile(binding) {
      const queue = queueNameOf(binding);
      const delay = (binding.delivery_delay as number | undefined) ?? null;
      const service = `queue:${queue}:${delay ?? ""}`;
      return { bindings: [{ name: binding.name, queue: service }], services: [mint.node(service, { queue, delay })] };
    },
  };
}

export function queueNameOf(binding: BindingConfig): string {
  return typeof binding.queue_name === "string" ? binding.queue_name : "";
}
