/**
 * The binding type "hyperdrive". workerd has it: it gives the Worker's drivers a host name of its own and brings their
 * connections to the configuration's door.
 */
import type { BindingCompiler, BindingConfig } from "../../kernel/product.ts";
import type { Configs } from "./configs.ts";
import type { Doors } from "./doors.ts";
import { hyperdriveError } from "./errors.ts";

const idOf = ({ id }: BindingConfig): string => (typeof id === "string" ? id.replaceAll("-", "").toLowerCase() : "");

export function hyperdriveBinding(configs: Configs, doors: Doors): BindingCompiler {
  return {
    async validate(binding) {
      const config = await configs.find(idOf(binding));
      if (config === undefined)
        throw hyperdriveError("binding", `Binding "${binding.name}": there is no Hyperdrive configuration "${String(binding.id)}".`);
      return { type: binding.type, name: binding.name, id: config.id };
    },
    async compile(binding) {
      const config = await configs.find(idOf(binding));
      const service = `hyperdrive:${idOf(binding)}`;
      // A configuration that is gone leaves the Worker's other bindings alone: only connections to it fail.
      const door = config && (await doors.open(config));
      const { user, database, scheme } = config?.origin ?? { user: "", database: "", scheme: "postgresql" };
      return {
        bindings: [{ name: binding.name, hyperdrive: { designator: service, user, database, scheme, password: door?.password ?? "" } }],
        services: [{ name: service, external: { address: door?.path ?? doors.nowhere } }],
      };
    },
  };
}
