/**
 * The binding `durable_object_namespace`: to a class of the Worker itself, or with `script_name` to one of another Worker.
 * What it leads to is the namespace, not the name: renames and transfers of the class leave the binding intact.
 */
import type { BindingCompiler, BindingConfig } from "../../kernel/product.ts";
import { durableObjectsError } from "./errors.ts";
import { isForeign, type Namespaces } from "./namespaces.ts";
import { remoteParts } from "./remote.ts";

export function objectBinding(namespaces: Namespaces): BindingCompiler {
  /** A namespace that is named by its id alone, as the settings of Pages do. */
  async function byNamespace({ type, name }: BindingConfig, id: string): Promise<BindingConfig> {
    const row = await namespaces.byId(id);
    if (row === undefined) throw durableObjectsError("namespaceNotFound");
    return { type, name, class_name: row.class_name, script_name: row.script_name, namespace_id: row.id };
  }

  return {
    async validate(b, worker) {
      const { class_name: className, script_name: scriptName, environment } = b;
      if (className === undefined && typeof b.namespace_id === "string") return byNamespace(b, b.namespace_id);
      if (typeof className !== "string" || className === "") {
        throw durableObjectsError("invalidMigration", `Binding "${b.name}" must have a \`class_name\`.`);
      }
      // A class of the Worker itself may come into being with this upload: `preview` checks it.
      if (!isForeign(scriptName, { name: worker.scriptName })) return { type: b.type, name: b.name, class_name: className };
      const script = typeof environment === "string" && environment !== "" ? `${String(scriptName)}-${environment}` : String(scriptName);
      const row = await namespaces.find(script, className);
      if (row === undefined) {
        throw durableObjectsError(
          "unknownClass",
          `Cannot create binding for class '${className}' of script '${script}' because it is not currently configured to implement Durable Objects. Did you forget to deploy that script with a migration for the class?`,
        );
      }
      return { type: b.type, name: b.name, class_name: className, script_name: script, namespace_id: row.id };
    },
    async compile(b, worker) {
      const className = b.class_name as string;
      const id = b.namespace_id as string | undefined;
      const row = id === undefined ? await namespaces.find(worker.scriptName, className) : await namespaces.byId(id);
      // Without a row it is a class of an upload that is being checked, or a namespace that was deleted.
      if (id === undefined && (row === undefined || row.script_id === worker.scriptId)) {
        return namespaces.ownBinding(b.name, className, row?.id, worker);
      }
      if (row?.script_id === worker.scriptId) return namespaces.ownBinding(b.name, row.class_name, row.id, worker);
      const namespaceId = (row?.id ?? id) as string;
      return remoteParts(b.name, namespaceId, worker, async () => {
        const owner = await namespaces.byId(namespaceId);
        if (owner === undefined) throw durableObjectsError("namespaceNotFound");
        return owner.script_name;
      });
    },
  };
}
