/** The binding type "pipelines": `env.NAME.send(records)`, by a module of ours inside the Worker's process. */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { pipelinesError } from "./errors.ts";
import type { LegacyPipelines } from "./legacy/legacy-pipelines.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Streams } from "./streams.ts";

const MODULE = "freehold:pipelines";

/** What a binding sends to: the claim of its capability. */
type Receiver = { readonly stream: string } | { readonly pipeline: string };

export function pipelinesBinding(streams: Streams, pipelines: Pipelines, legacy: LegacyPipelines, mint: CapabilityMint): BindingCompiler {
  /**
   * `stream` is a stream's id (wrangler 4.164 and later); `pipeline` may be a stream's id or name, or a pipeline's. Legacy
   * pipelines are bound by name, and have been before anything else had one.
   */
  function find(target: string): Receiver | undefined {
    const old = legacy.find(target) ?? legacy.byName(target);
    if (old !== undefined) return { pipeline: old.id };
    const pipeline = pipelines.find(target) ?? pipelines.byName(target);
    const stream = streams.find(target) ?? streams.byName(target) ?? (pipeline && streams.find(pipeline.inserts[0]?.stream ?? ""));
    return stream && { stream: stream.id };
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
      const receiver = find(target) ?? { stream: target };
      const service = `pipelines:${Object.values(receiver).join()}`;
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "stream", service }] } }],
        services: [mint.node(service, receiver)],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

function targetOf(binding: BindingConfig): string {
  const target = binding.stream ?? binding.pipeline;
  return typeof target === "string" ? target : "";
}
