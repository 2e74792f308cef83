/**
 * Which Workers have their subrequests counted, and the modules that do it (`subrequests.worker.ts`): those that set
 * `limits.subrequests`, those that can call Workers, since a chain of calls is limited to 32 invocations, those with a
 * binding whose product limits calls per invocation, user Workers, whose limits come with each call, and outbound Workers,
 * whose parameters do. All others run exactly as they were uploaded.
 */
import type { BindingRegistry } from "../../kernel/product.ts";
import type { Module } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { subrequestsOf } from "./limits.ts";
import type { Version } from "./model.ts";
import { serviceBindingsOf } from "./service-bindings.ts";

const COUNTING_MODULE = "freehold-subrequests.js";
/** The new main module. */
const MAIN_MODULE = "freehold-counted.js";

export interface Counting {
  readonly main: string;
  /** To be put before the user's modules, the main one first. */
  readonly modules: readonly Module[];
}

/** Compatibility flags that modules of ours need which keep what belongs to an invocation in an AsyncLocalStorage. */
export const contextFlags = ({ compatibilityFlags }: Version): readonly string[] =>
  compatibilityFlags.some((flag) => /^nodejs_(als|compat|compat_v2)$/.test(flag)) ? [] : ["nodejs_als"];

/** What is told of single invocations from outside. */
export interface Role {
  readonly isUserWorker: boolean;
  readonly takesOutbound: boolean;
}

/** Undefined for a Worker that is not counted. */
export function countingModules(version: Version, bindings: BindingRegistry, role: Role): Counting | undefined {
  const own = subrequestsOf(version);
  const limited = version.bindings.flatMap(({ name, type }) => {
    const limit = bindings.get(type).perInvocation;
    return limit === undefined ? [] : [{ name, ...limit }];
  });
  const told = role.isUserWorker || role.takesOutbound;
  const needed = told || own !== undefined || serviceBindingsOf(version).length > 0 || limited.length > 0;
  if (version.syntax !== "modules" || !needed) return undefined;
  const specifier = JSON.stringify(`./${version.main}`);
  const lines = [
    `import { entrypoint, handlers, limit, limitCalls, withoutDefaultCache } from "./${COUNTING_MODULE}";`,
    `import * as user from ${specifier};`,
    `export * from ${specifier};`,
    ...(own === undefined ? [] : [`limit(${own});`]),
    ...(role.isUserWorker && version.trusted !== true ? ["withoutDefaultCache();"] : []),
    ...limited.map(
      ({ name, method, max, message }) =>
        `limitCalls(${JSON.stringify(name)}, ${JSON.stringify(method)}, ${max}, ${JSON.stringify(message)});`,
    ),
  ];
  for (const [i, { name, type }] of version.exports.entries()) {
    if (name === "default") lines.push("export default handlers(user.default);");
    // A local export takes precedence over the star's.
    else if (type === "entrypoint" || type === "durable-object")
      lines.push(`const class${i} = entrypoint(user[${JSON.stringify(name)}]);`, `export { class${i} as ${JSON.stringify(name)} };`);
  }
  return {
    main: MAIN_MODULE,
    modules: [
      { name: MAIN_MODULE, esModule: `${lines.join("\n")}\n` },
      { name: COUNTING_MODULE, esModule: workerModule(import.meta.url, "./subrequests.worker.ts") },
    ],
  };
}
