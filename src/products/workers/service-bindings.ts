/** Service bindings: `{ type: "service", service, entrypoint?, props? }`. The calls themselves: `links.ts`. */
import { platformError } from "../../kernel/errors.ts";
import type { BindingCompiler, BindingConfig } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { Version } from "./model.ts";
import { namespaceOf } from "./owner.ts";
import { type Entry, entryName, entryOfWorker, exportedEntries } from "./process.ts";
import type { ScriptStore } from "./store.ts";

/** The entry that a stored service binding names. */
export const entryOf = (binding: BindingConfig): Entry => ({
  entrypoint: binding.entrypoint as string | undefined,
  props: binding.props,
});

/** The service bindings of a version. */
export const serviceBindingsOf = (version: Version): BindingConfig[] => version.bindings.filter((b) => b.type === "service");

export function serviceBinding(store: ScriptStore): BindingCompiler {
  return {
    async validate(b, worker) {
      const { service, entrypoint, props, environment } = b;
      if (typeof service !== "string" || service === "") throw workersError("validation", `Binding "${b.name}" must have a \`service\`.`);
      // Such an entry is a socket of its own in the target's process, which is set up for those that all the account's Workers bind.
      if (props !== undefined && namespaceOf(worker.scriptName) !== undefined)
        throw platformError(
          "notImplemented",
          "Service bindings of user Workers with `props` are not implemented by this version of Freehold",
        );
      const target = store.listed(service);
      // A Worker may bind itself: it exists as soon as this upload does.
      if (service !== worker.scriptName) {
        const version = target?.versions[0];
        if (version === undefined) {
          throw workersError("serviceNotFound", `Could not resolve service binding '${b.name}'. Target script '${service}' not found.`);
        }
        if (entrypoint !== undefined && !exportedEntries(version).some((entry) => entry.entrypoint === entrypoint)) {
          throw workersError(
            "entrypointNotFound",
            `Could not resolve service binding '${b.name}'. Target script '${service}' has no entrypoint named '${String(entrypoint)}'.`,
          );
        }
      }
      return {
        type: "service",
        name: b.name,
        service,
        ...(typeof environment === "string" && { environment }),
        ...(typeof entrypoint === "string" && entrypoint !== "default" && { entrypoint }),
        ...(typeof props === "object" && props !== null && { props }),
      };
    },
    async compile(b, worker) {
      const target = b.service as string;
      const entry = entryOf(b);
      const service = `service:${target}:${entryName(entry)}`;
      return { bindings: [{ name: b.name, service }], services: [await worker.reach(service, entryOfWorker(target, entry))] };
    },
  };
}
