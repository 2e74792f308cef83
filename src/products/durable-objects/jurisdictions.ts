/**
 * Jurisdictions: each namespace has a namespace of its own for every one of them, so that ids differ, and an id of another
 * is no id of it. All lie on this machine; see docs/durable-objects/reference/data-location.
 */
import { basename } from "node:path";
import type { WorkerdParts } from "../../kernel/product.ts";
import type { Binding, DurableObjectNamespace } from "../../kernel/workerd/config.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { ELSEWHERE, type Jurisdiction, OWN_SHARE } from "./remote-protocol.worker.ts";
import type { OwnShare } from "./split.worker.ts";

export const JURISDICTIONS = ["eu", "fedramp"] as const satisfies readonly Jurisdiction[];

/** Modules of extensions import each other by the last part of their names alone. */
const MODULES = workerModules(import.meta.url, "./namespace.worker.ts", "./remote-protocol.worker.ts", "./split.worker.ts").map(
  ({ name, esModule }) => ({ name: basename(name), esModule, internal: true }),
);

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

/** What has the objects of a namespace in a process: a class, of another service than the user's Worker where one is named. */
export interface Implementation {
  readonly className: string;
  readonly serviceName?: string;
}

/**
 * `name` in `env`: workerd's own namespace, whose `jurisdiction()` leads to its parts. `elsewhere` has the objects that are
 * another version's.
 */
export function namespaceBinding(
  name: string,
  here: Implementation,
  elsewhere?: { readonly standIns: Implementation; readonly own: OwnShare },
): WorkerdParts {
  const parts = (prefix: string, { className, serviceName }: Implementation): Binding[] =>
    [undefined, ...JURISDICTIONS].map((one) => ({
      name: `${prefix}${one ?? "whole"}`,
      durableObjectNamespace: {
        className: one === undefined ? className : partClass(className, one),
        ...(serviceName !== undefined && { serviceName }),
      },
    }));
  const innerBindings = parts("", here);
  if (elsewhere !== undefined) {
    innerBindings.push(...parts(ELSEWHERE, elsewhere.standIns), { name: OWN_SHARE, json: JSON.stringify(elsewhere.own) });
  }
  return {
    bindings: [{ name, wrapped: { moduleName: (MODULES[0] as { name: string }).name, innerBindings } }],
    extensions: MODULES,
  };
}
