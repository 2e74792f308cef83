/** The binding type "pipelines": `env.NAME.send(records)`, by a module of ours inside the Worker's process. */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { pipelinesError } from "./errors.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Stream, Streams } from "./streams.ts";

const MODULE = "freehold:pipelines";

export function pipelinesBinding(streams: Streams, pipelines: Pipelines, mint: CapabilityMint): BindingCompiler {
  /** `stream` is a stream's id (wrangler 4.164 and later); `pipeline` may be a stream's id or name, or a pipeline's. */
  function find(target: string): Stream | undefined {
    const pipeline = pipelines.find(target) ?? pipelines.byName(target);
    return streams.find(target) ?? streams.byName(target) ?? (pipeline && streams.find(pipeline.inserts[0]?.stream ?? ""));
  }
  return {
    async validate(binding) {
      if (find(targetOf(binding)) === undefined)
        throw pipelinesError("streamNotFound", `Stream "${targetOf(binding)}" does not exist (binding ${binding.name})`);
      return binding;
    },
    async compile(binding) {
      const target = targetOf(binding);
      // A stream that is gone answers each send with "Stream does not exist".
      const id = find(target)?.id ?? target;
      const service = `pipelines:${id}`;
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "stream", service }] } }],
        services: [mint.node(service, { stream: id })],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

function targetOf(binding: BindingConfig): string {
  const target = binding.stream ?? binding.pipeline;
  return typeof target === "string" ? target : "";
}
