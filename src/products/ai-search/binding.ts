/**
 * The binding types "ai_search" (one instance of the namespace `default`) and "ai_search_namespace", and what stands before
 * `env.AI` for `env.AI.aiSearch()`. Each is a small Worker of ours (`binding.worker.ts`) over a capability that names what it is for.
 */
import type { BindingFront } from "../../kernel/capabilities.ts";
import type { BindingCompiler, BindingConfig, CapabilityMint, Claims } from "../../kernel/product.ts";
import type { Service as WorkerdService } from "../../kernel/workerd/config.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { DEFAULT_NAMESPACE, type Instances } from "./instances.ts";

const COMPATIBILITY_DATE = "2026-01-01";

export function searchBindings(instances: Instances, mint: CapabilityMint) {
  /** The Worker before the platform, and the way from it. */
  function services(name: string, claims: Claims, inner?: string): WorkerdService[] {
    const door = `${name}:door`;
    return [
      mint.node(door, claims),
      {
        name,
        worker: {
          modules: workerModules(import.meta.url, "./binding.worker.ts"),
          compatibilityDate: COMPATIBILITY_DATE,
          bindings: [{ name: "PLATFORM", service: door }, ...(inner === undefined ? [] : [{ name: "INNER", service: inner }])],
        },
      },
    ];
  }

  const instance: BindingCompiler = {
    async validate(binding) {
      return {
        type: binding.type,
        name: binding.name,
        instance_name: instances.require(DEFAULT_NAMESPACE, text(binding, "instance_name")).id,
      };
    },
    async compile(binding) {
      const id = text(binding, "instance_name");
      const service = `ai-search:instance:${id}`;
      return {
        bindings: [{ name: binding.name, service: { name: service, entrypoint: "Instance" } }],
        services: services(service, { namespace: DEFAULT_NAMESPACE, instance: id }),
      };
    },
  };

  const namespace: BindingCompiler = {
    async validate(binding) {
      return { type: binding.type, name: binding.name, namespace: instances.requireNamespace(text(binding, "namespace")).name };
    },
    async compile(binding) {
      const name = text(binding, "namespace");
      const service = `ai-search:namespace:${name}`;
      return {
        bindings: [{ name: binding.name, service: { name: service, entrypoint: "Namespace" } }],
        services: services(service, { namespace: name, instance: null }),
      };
    },
  };

  const front: BindingFront = (inner) => {
    const service = "ai-search:front";
    return { service, services: services(service, { namespace: DEFAULT_NAMESPACE, instance: null }, inner) };
  };

  return { compilers: { ai_search: instance, ai_search_namespace: namespace }, front };
}

const text = (binding: BindingConfig, name: string): string => (typeof binding[name] === "string" ? (binding[name] as string) : "");
