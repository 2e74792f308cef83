/** The main module of a process with Durable Objects: the user's exports, with its classes under the documented limits. */
import type { Module } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";

const LIMITS_MODULE = "freehold-durable-object-limits.js";
const MAIN_MODULE = "freehold-durable-objects.js";

/** Modules to put before the user's: the first one is the new main module. */
export function limitingModules(
  main: string,
  exported: readonly string[],
  classes: readonly { readonly className: string; readonly sqlite: boolean }[],
): Module[] {
  const specifier = JSON.stringify(`./${main}`);
  const lines = [`import { limited } from "./${LIMITS_MODULE}";`, `import * as user from ${specifier};`, `export * from ${specifier};`];
  if (exported.includes("default")) lines.push(`export { default } from ${specifier};`);
  for (const { className, sqlite } of classes) {
    // A local export takes precedence over the star's.
    if (exported.includes(className)) lines.push(`export const ${className} = limited(user.${className}, ${!sqlite});`);
  }
  return [
    { name: MAIN_MODULE, esModule: `${lines.join("\n")}\n` },
    { name: LIMITS_MODULE, esModule: workerModule(import.meta.url, "./limits.worker.ts") },
  ];
}
