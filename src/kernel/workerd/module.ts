/**
 * Loads the source of code that runs inside workerd. In a checkout it is a `*.worker.ts` file whose types are
 * stripped when the platform starts; in the package it is the `.js` that the build made of it.
 */
import { existsSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";

const cache = new Map<string, string>();

/** The JavaScript of a worker module; `path` is relative to the calling module and ends in ".worker.ts". */
export function workerModule(callerUrl: string, path: string): string {
  const file = fileURLToPath(new URL(path, callerUrl));
  const known = cache.get(file);
  if (known !== undefined) return known;
  const built = file.replace(/\.ts$/, ".js");
  const source = existsSync(built) ? readFileSync(built, "utf8") : withoutWarning(() => stripTypeScriptTypes(readFileSync(file, "utf8")));
  cache.set(file, source);
  return source;
}

/** Node marks the stripping function as experimental, although running `.ts` files is stable: the notice helps no user. */
function withoutWarning<T>(work: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}
