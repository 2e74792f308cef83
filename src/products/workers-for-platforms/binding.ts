/**
 * The binding type "dispatch_namespace": `env.NAME.get(worker, args, options)` gives a fetcher for a Worker of the namespace.
 * It is stored with the namespace's id, so that a rename is none of its business.
 */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { platformsError } from "./errors.ts";
import type { Namespaces } from "./namespaces.ts";

const MODULE = "freehold:dispatch-namespace";
/** Headers in which workerd says what a request line does not, as between the processes of Workers. */
const HTTP = { cfBlobHeader: "x-freehold-cf", forwardedProtoHeader: "x-freehold-proto" } as const;

/** `hasWorker`: whether the account has a Worker of that name. */
export function dispatchBinding(namespaces: Namespaces, mint: CapabilityMint, hasWorker: (name: string) => boolean): BindingCompiler {
  return {
    neverRaw: true,
    outbound: outboundOf,
    dispatchesTo: ({ namespace_id }) => (typeof namespace_id === "string" ? namespace_id : undefined),
    async validate(binding) {
      const { type, name, namespace } = binding;
      if (typeof namespace !== "string") throw platformsError("binding", `Binding "${name}" must have a \`namespace\`.`);
      const { id } = namespaces.require(namespace);
      const outbound = outboundOf(binding);
      if (outbound !== undefined && !hasWorker(outbound))
        throw platformsError("binding", `Binding "${name}": the outbound Worker '${outbound}' does not exist: deploy it first.`);
      return {
        type,
        name,
        namespace,
        namespace_id: id,
        ...(outbound !== undefined && {
          outbound: { worker: { service: outbound }, params: parametersOf(binding).map((parameter) => ({ name: parameter })) },
        }),
      };
    },
    async compile(binding) {
      const id = String(binding.namespace_id);
      const outbound = outboundOf(binding);
      const service = `dispatch:${binding.name}`;
      return {
        bindings: [
          {
            name: binding.name,
            wrapped: {
              moduleName: MODULE,
              innerBindings: [
                { name: "platform", service },
                { name: "parameters", json: JSON.stringify(parametersOf(binding)) },
              ],
            },
          },
        ],
        services: [mint.node(service, { namespace: id, outbound: outbound ?? null }, HTTP)],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

interface Outbound {
  readonly worker?: { readonly service?: unknown };
  readonly params?: readonly { readonly name?: unknown }[];
}

function outboundOf({ outbound }: BindingConfig): string | undefined {
  const service = (outbound as Outbound | undefined)?.worker?.service;
  return typeof service === "string" && service !== "" ? service : undefined;
}

function parametersOf({ outbound }: BindingConfig): string[] {
  const { params } = (outbound ?? {}) as Outbound;
  return Array.isArray(params) ? params.flatMap(({ name }) => (typeof name === "string" ? [name] : [])) : [];
}
