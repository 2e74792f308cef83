/** The main module of a process with Durable Objects: the user's exports, with what the platform adds to its classes: limits, figures, resets, queries. */
import type { ObjectCode } from "../../kernel/capabilities.ts";
import type { Module } from "../../kernel/workerd/config.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { namespaceParts } from "./jurisdictions.ts";
import { ALIVE_ENTRYPOINT, type ObjectKey } from "./remote-protocol.worker.ts";
import type { OwnShare } from "./split.worker.ts";

export interface ObjectLimits {
  /** Bytes of an object's whole database. */
  readonly objectMax: number;
  /** Bytes of a value or a row. */
  readonly valueMax: number;
  /** Of calls: at a time, and in ten seconds; 0 = unlimited. */
  readonly load: { readonly callsMax: number; readonly callsPerWindowMax: number };
}

const MAIN_MODULE = "freehold-durable-objects.js";

/** Modules to put before the user's: the first one is the new main module. */
export function limitingModules(
  { main, exported, around }: ObjectCode,
  classes: readonly { readonly className: string; readonly sqlite: boolean; readonly id: string }[],
  limits: ObjectLimits,
  pending: readonly ObjectKey[],
  share?: OwnShare,
): Module[] {
  const own = workerModules(
    import.meta.url,
    "./limits.worker.ts",
    "./reset.worker.ts",
    "./queries.worker.ts",
    "./calls.worker.ts",
    "./recovery.worker.ts",
    "./usage.worker.ts",
    "./remote-protocol.worker.ts",
    "./split.worker.ts",
  );
  const [limiting, resetting, querying, shedding, recovering] = own.map(({ name }) => JSON.stringify(`./${name}`));
  const specifier = JSON.stringify(`./${main}`);
  const lines = [
    // First: it takes what is the platform's out of `env`.
    `import { recoverable, setPending } from ${recovering};`,
    `import { limited } from ${limiting};`,
    `import { Alive, resettable } from ${resetting};`,
    `import { queryable } from ${querying};`,
    `import { sheddable } from ${shedding};`,
    `import * as user from ${specifier};`,
    `export * from ${specifier};`,
    around === undefined ? "const object = (base) => base;" : `import { object } from ${JSON.stringify(`./${around}`)};`,
    `export { Alive as ${JSON.stringify(ALIVE_ENTRYPOINT)} };`,
  ];
  if (pending.length > 0) lines.push(`setPending(${JSON.stringify(pending)});`);
  if (exported.includes("default")) lines.push(`export { default } from ${specifier};`);
  for (const { className, sqlite, id } of classes) {
    if (!exported.includes(className)) continue;
    const { load: loadLimits, ...storage } = limits;
    const [options, load] = [{ legacy: !sqlite, ...storage }, loadLimits].map((value) => JSON.stringify(value));
    for (const [i, { className: part, uniqueKey }] of namespaceParts(id, className, sqlite).entries()) {
      const name = JSON.stringify(part);
      const wrapped = `recoverable(resettable(queryable(limited(user.${className}, ${options}))), ${JSON.stringify(uniqueKey)}, ${sqlite})`;
      const whole = `object(sheddable(${wrapped}, ${JSON.stringify({ name: part, uniqueKey, sqlite, own: share })}, ${load}))`;
      // A local export takes precedence over the star's. Names of parts are no identifiers.
      if (i === 0) lines.push(`export const ${className} = ${whole};`);
      else lines.push(`const ${className}_part${i} = ${whole};`, `export { ${className}_part${i} as ${name} };`);
    }
  }
  return [{ name: MAIN_MODULE, esModule: `${lines.join("\n")}\n` }, ...own];
}
