/**
 * Loads the source of code that runs inside workerd. In a checkout it is a `*.worker.ts` file whose types are
 * stripped when the platform starts; in the package it is the `.js` that the build made of it.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { getCompileCacheDir, stripTypeScriptTypes } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const cache = new Map<string, string>();

/** The JavaScript of a worker module; `path` is relative to the calling module and ends in ".worker.ts". */
export function workerModule(callerUrl: string, path: string): string {
  const file = fileURLToPath(new URL(path, callerUrl));
  const known = cache.get(file);
  if (known !== undefined) return known;
  const built = file.replace(/\.ts$/, ".js");
  const source = existsSync(built) ? readFileSync(built, "utf8") : stripped(readFileSync(file, "utf8"));
  cache.set(file, source);
  return source;
}

/**
 * Worker modules that import each other by relative paths: each is named by its own path in the source tree, so that the
 * same specifier leads to the same file for the compiler and for workerd. The first is the main module.
 */
export function workerModules(callerUrl: string, ...paths: readonly string[]): { readonly name: string; readonly esModule: string }[] {
  const tree = fileURLToPath(new URL("../..", import.meta.url));
  const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
  return paths.map((path) => ({
    name: relative(tree, fileURLToPath(new URL(path, callerUrl))).replace(/\.ts$/, extension),
    esModule: workerModule(callerUrl, path),
  }));
}

/**
 * The source without its types. Where Node keeps what it compiles (NODE_COMPILE_CACHE), this is kept too, by its content:
 * loading the stripping compiler is a fifth of what a start takes.
 */
function stripped(source: string): string {
  const compileCache = getCompileCacheDir();
  if (compileCache === undefined) return withoutWarning(() => stripTypeScriptTypes(source));
  const kept = join(compileCache, "stripped", `${createHash("sha256").update(source).digest("hex")}.js`);
  if (existsSync(kept)) return readFileSync(kept, "utf8");
  const made = withoutWarning(() => stripTypeScriptTypes(source));
  mkdirSync(dirname(kept), { recursive: true });
  // Other processes may be writing the same: each renames a file of its own into place.
  writeFileSync(`${kept}.${process.pid}`, made);
  renameSync(`${kept}.${process.pid}`, kept);
  return made;
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
