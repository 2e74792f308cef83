/**
 * Jurisdictions: each namespace has a namespace of its own for every one of them, so that ids differ, and an id of another
 * is no id of it. All lie on this machine; see docs/durable-objects/reference/data-location.
 */
import type { WorkerdParts } from "../../kernel/product.ts";
import type { Binding, DurableObjectNamespace } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import type { Jurisdiction } from "./remote-protocol.worker.ts";

export const JURISDICTIONS = ["eu", "fedramp"] as const satisfies readonly Jurisdiction[];

const MODULE = "freehold:durable-object-namespace";

/** The part of a namespace: key of its ids and name of its directory. The namespace itself has no jurisdiction. */
export const partKey = (namespaceId: string, jurisdiction: string | undefined): string =>
  jurisdiction === undefined ? namespaceId : `${namespaceId}-${jurisdiction}`;

/** Directories of a namespace's objects, that without a jurisdiction first. */
export const partKeys = (namespaceId: string): string[] => [undefined, ...JURISDICTIONS].map((one) => partKey(namespaceId, one));

/** Under which name a process exports the class for objects of a jurisdiction. No user can write it as a class's name. */
export const partClass = (className: string, jurisdiction: string): string => `${className}@${jurisdiction}`;

/** A class's namespaces in a process that implements it. */
export const namespaceParts = (key: string, className: string, sqlite: boolean): DurableObjectNamespace[] =>
  [undefined, ...JURISDICTIONS].map((one) => ({
    className: one === undefined ? className : partClass(className, one),
    uniqueKey: partKey(key, one),
    enableSql: sqlite,
  }));

/** `name` in `env`: workerd's own namespace, whose `jurisdiction()` leads to its parts. */
export function namespaceBinding(name: string, className: string, serviceName?: string): WorkerdParts {
  const part = (partName: string, partClassName: string): Binding => ({
    name: partName,
    durableObjectNamespace: { className: partClassName, ...(serviceName !== undefined && { serviceName }) },
  });
  const innerBindings = [part("whole", className), ...JURISDICTIONS.map((one) => part(one, partClass(className, one)))];
  return {
    bindings: [{ name, wrapped: { moduleName: MODULE, innerBindings } }],
    extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./namespace.worker.ts"), internal: true }],
  };
}
