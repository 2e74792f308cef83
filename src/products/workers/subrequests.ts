/**
 * The modules that stand between workerd and a Worker's own to count what each invocation calls (`subrequests.worker.ts`):
 * subrequests, connections, the 32 invocations of a chain of calls, and calls that a binding's product limits. What a user
 * Worker or an outbound Worker is told of one call comes by them, too. Scripts in service-worker syntax have no module that
 * could be stood before, and run without.
 */
import type { Config } from "../../kernel/config.ts";
import type { BindingRegistry } from "../../kernel/product.ts";
import type { Module } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { subrequestsOf } from "./limits.ts";
import type { Version } from "./model.ts";
import { mainModule } from "./python/modules.ts";

const COUNTING_MODULE = "freehold-subrequests.js";
/** The new main module. */
const MAIN_MODULE = "freehold-counted.js";

export interface Counting {
  readonly main: string;
  /** The module whose `object` stands around classes of Durable Objects. */
  readonly around: string;
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
export function countingModules(version: Version, bindings: BindingRegistry, config: Config, role: Role): Counting | undefined {
  const main = mainModule(version);
  if (main === undefined) return undefined;
  const max = subrequestsOf(version, config);
  const limited = version.bindings.flatMap(({ name, type }) => {
    const limit = bindings.get(type).perInvocation;
    return limit === undefined ? [] : [{ name, ...limit }];
  });
  const specifier = JSON.stringify(`./${main}`);
  const lines = [
    `import { entrypoint, handlers, limit, limitCalls, withoutDefaultCache } from "./${COUNTING_MODULE}";`,
    `import * as user from ${specifier};`,
    `export * from ${specifier};`,
    ...(max === undefined ? [] : [`limit(${max});`]),
    ...(role.isUserWorker && version.trusted !== true ? ["withoutDefaultCache();"] : []),
    ...limited.map(
      ({ name, method, max, message }) =>
        `limitCalls(${JSON.stringify(name)}, ${JSON.stringify(method)}, ${max}, ${JSON.stringify(message)});`,
    ),
  ];
  for (const [i, { name, type }] of version.exports.entries()) {
    if (name === "default") lines.push("export default handlers(user.default);");
    // A local export takes precedence over the star's.
    else if (type === "entrypoint")
      lines.push(`const class${i} = entrypoint(user[${JSON.stringify(name)}]);`, `export { class${i} as ${JSON.stringify(name)} };`);
  }
  return {
    main: MAIN_MODULE,
    around: COUNTING_MODULE,
    modules: [
      { name: MAIN_MODULE, esModule: `${lines.join("\n")}\n` },
      { name: COUNTING_MODULE, esModule: workerModule(import.meta.url, "./subrequests.worker.ts") },
    ],
  };
}
