/**
 * The modules of a Python Worker: its own files and Pyodide's behind a main module of ours, which exports by name what the
 * Python module has. For workerd and everything that stands around a Worker it is a Worker of ES modules.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ModuleKind, Version } from "../model.ts";
import { START_MODULE } from "./pyodide.ts";

/** The main module's name. */
export const PYTHON_MAIN = "freehold-python.js";

const SDK = fileURLToPath(new URL("./sdk", import.meta.url));
const sdk = globSync("**/*.py", { cwd: SDK })
  .sort()
  .map((path) => [path, readFileSync(join(SDK, path), "utf8")]);

/** The main module's text: `files` are names of modules whose content Python finds as files, `names` what it may export. */
export function pythonMain(main: string, files: readonly string[], names: readonly string[]): string {
  const lines = [`import { start } from ${JSON.stringify(`./${START_MODULE}`)};`];
  for (const [i, file] of files.entries()) lines.push(`import file${i} from ${JSON.stringify(`./${file}`)};`);
  const list = files.map((file, i) => `[${JSON.stringify(file)}, file${i}]`).join(", ");
  lines.push(`const exported = await start(${JSON.stringify(main)}, [${list}], ${JSON.stringify(sdk)});`);
  lines.push('export default exported("default");');
  for (const [i, name] of names.entries()) {
    lines.push(`const name${i} = exported(${JSON.stringify(name)});`, `export { name${i} as ${JSON.stringify(name)} };`);
  }
  return `${lines.join("\n")}\n`;
}

/** The kind that workerd gets a module as: what Python is to find as files is text or bytes, whatever it means to JavaScript. */
export function kindForPython(kind: ModuleKind): ModuleKind {
  if (kind === "python" || kind === "json") return "text";
  return kind === "wasm" ? "data" : kind;
}

/** Dates from which a Worker has what Pyodide needs anyway, and the flags for older ones. */
const NEEDED: readonly (readonly [from: string, flag: string])[] = [
  ["2025-05-05", "enable_weak_ref"],
  ["2025-06-01", "allow_eval_during_startup"],
];

/** Compatibility flags for workerd. Those of its own Python say nothing to ours. */
export function flagsForPython({
  compatibilityDate,
  compatibilityFlags,
}: Pick<Version, "compatibilityDate" | "compatibilityFlags">): string[] {
  const given = compatibilityFlags.filter((flag) => !flag.includes("python"));
  const needed = NEEDED.flatMap(([from, flag]) => (compatibilityDate < from && !given.includes(flag) ? [flag] : []));
  return [...given, ...needed];
}

/** The module that workerd starts with; undefined where there is none (service-worker syntax, assets alone). */
export function mainModule({ syntax, main }: Pick<Version, "syntax" | "main">): string | undefined {
  if (syntax === "python") return PYTHON_MAIN;
  return syntax === "modules" ? main : undefined;
}
