/**
 * Bindings with `raw: true`: instead of the object that Worker code knows they give a fetcher for the protocol beneath it.
 * The proxy Worker of wrangler's remote bindings has such: the object is made on the developer's machine, over it.
 */
import type { BindingConfig, WorkerdParts } from "../../kernel/product.ts";
import type { Binding, ServiceDesignator } from "../../kernel/workerd/config.ts";

/** A compiled binding, or with `raw` the fetcher beneath it. */
export const rawParts = (binding: BindingConfig, parts: WorkerdParts): WorkerdParts =>
  binding.raw === true ? { ...parts, bindings: parts.bindings.map(fetcherOf) } : parts;

/** A binding that has no service beneath it, or more than one, stays as it is. */
function fetcherOf(binding: Binding): Binding {
  const service = serviceOf(binding);
  return service === undefined ? binding : { name: binding.name, service };
}

function serviceOf(binding: Binding): ServiceDesignator | undefined {
  if ("kvNamespace" in binding) return binding.kvNamespace;
  if ("r2Bucket" in binding) return binding.r2Bucket;
  if ("queue" in binding) return binding.queue;
  // Beside its service a binding may have texts, which the one on the developer's machine has of its own.
  const services =
    "wrapped" in binding ? binding.wrapped.innerBindings.flatMap((inner) => ("service" in inner ? [inner.service] : [])) : [];
  return services.length === 1 ? services[0] : undefined;
}
