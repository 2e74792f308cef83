/**
 * The binding type "workflow": `env.NAME` is workerd's own Workflow class. It leads to the workflow of that name, in
 * whichever Worker; a deploy registers its workflows after its upload, so that the name may be nobody's yet.
 */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { workflowsError } from "./errors.ts";

const COMPATIBILITY_DATE = "2026-01-01";

export function workflowBinding(mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const { class_name, script_name } = binding;
      const workflow = workflowOf(binding);
      if (workflow === "") throw workflowsError("invalidBody", `Binding "${binding.name}" must have a \`workflow_name\`.`);
      return {
        type: binding.type,
        name: binding.name,
        workflow_name: workflow,
        ...(typeof class_name === "string" && { class_name }),
        ...(typeof script_name === "string" && { script_name }),
      };
    },
    async compile(binding) {
      const workflow = workflowOf(binding);
      const service = `workflows:binding:${workflow}`;
      const engine = `workflows:door:${workflow}`;
      return {
        bindings: [
          {
            name: binding.name,
            wrapped: { moduleName: "cloudflare-internal:workflows-api", innerBindings: [{ name: "fetcher", service }] },
          },
        ],
        services: [
          mint.node(engine, { kind: "binding", workflow }),
          {
            name: service,
            worker: {
              modules: workerModules(import.meta.url, "./binding.worker.ts", "./values.worker.ts"),
              compatibilityDate: COMPATIBILITY_DATE,
              bindings: [{ name: "ENGINE", service: engine }],
            },
          },
        ],
      };
    },
  };
}

export const workflowOf = (binding: BindingConfig): string => (typeof binding.workflow_name === "string" ? binding.workflow_name : "");
