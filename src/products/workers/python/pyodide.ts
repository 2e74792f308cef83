/**
 * Python for Workers: Pyodide from its npm package, made ready to run in stock workerd. Its two JavaScript files become
 * modules that take `environment.worker.ts` for their surroundings; they and the snapshot that Python starts from are made
 * once and kept in a directory, named after what they are made of.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { syncDirectory } from "../../../kernel/durable-files.ts";
import { threadProgram } from "../../../kernel/file-threads.ts";
import type { Module } from "../../../kernel/workerd/config.ts";
import { workerModule } from "../../../kernel/workerd/module.ts";

/** Directory of the modules' names, which no module of a user's can have: it would be a file name with a space. */
const FOLDER = "freehold python";
/** Its module `start`. */
export const START_MODULE = `${FOLDER}/start.js`;

/** Names that Pyodide's files take from their surroundings, and those that must not be there for it. */
const SURROUNDINGS = 'import { WebAssembly, crypto, load, read, readbuffer, self, setTimeout } from "./environment.js";';
const HIDDEN = "const process = undefined, window = undefined;";
/** By a message channel all invocations would share what runs next, and each would run the others' in its own name. */
const SHARED_WAKING = "globalThis.MessageChannel";
/** The least WebAssembly module that Pyodide compiles at its start, which stands in its loader in base64. */
const SENTINEL = /"(AGFzbQ[\w+/=]+)"/;

export interface PyodideModules {
  /** The modules that every Python Worker has. */
  modules(): Promise<readonly Module[]>;
}

export function pyodideModules(directory: string): PyodideModules {
  let made: Promise<readonly Module[]> | undefined;
  return {
    modules() {
      made ??= make(directory).catch((error: unknown) => {
        made = undefined;
        throw error;
      });
      return made;
    },
  };
}

async function make(directory: string): Promise<readonly Module[]> {
  const from = dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
  const [engine, loader, lockFile, manifest] = (await Promise.all(
    ["pyodide.asm.js", "pyodide.mjs", "pyodide-lock.json", "package.json"].map((name) => readFile(join(from, name), "utf8")),
  )) as [string, string, string, string];
  const sentinel = SENTINEL.exec(loader)?.[1];
  if (sentinel === undefined || !engine.includes(SHARED_WAKING)) throw new Error("This version of Pyodide is not one that Workers can run");
  const files = {
    "engine.js": `${SURROUNDINGS}\n${HIDDEN} const WorkerGlobalScope = true;\n${engine.replaceAll(SHARED_WAKING, "undefined")}\nexport default _createPyodideModule;\n`,
    "loader.js": `import _createPyodideModule from "./engine.js";\n${SURROUNDINGS}\n${HIDDEN}\n${loader}`,
    "sentinel.wasm": Buffer.from(sentinel, "base64"),
  };
  const { version } = JSON.parse(manifest) as { version: string };
  const key = createHash("sha256")
    .update(JSON.stringify([version, files, await readFile(snapshotProgram, "utf8")]))
    .digest("hex")
    .slice(0, 16);
  const kept = join(directory, `pyodide-${version}-${key}`);
  if (!existsSync(kept)) await keep(directory, kept, files);
  const { info } = JSON.parse(lockFile) as { info: object };
  return [
    { name: START_MODULE, esModule: workerModule(import.meta.url, "./start.worker.ts") },
    { name: `${FOLDER}/environment.js`, esModule: workerModule(import.meta.url, "./environment.worker.ts") },
    { name: `${FOLDER}/engine.js`, esModule: { file: join(kept, "engine.js") } },
    { name: `${FOLDER}/loader.js`, esModule: { file: join(kept, "loader.js") } },
    { name: `${FOLDER}/sentinel.wasm`, wasm: { file: join(kept, "sentinel.wasm") } },
    { name: `${FOLDER}/engine.wasm`, wasm: { file: join(from, "pyodide.asm.wasm") } },
    { name: `${FOLDER}/stdlib.zip`, data: { file: join(from, "python_stdlib.zip") } },
    { name: `${FOLDER}/snapshot.bin`, data: { file: join(kept, "snapshot.bin") } },
    // No package is loaded by name.
    { name: `${FOLDER}/lock.json`, json: JSON.stringify({ info, packages: {} }) },
  ];
}

const snapshotProgram = threadProgram(import.meta.url, "./snapshot-thread.ts");

/** Makes all files in a directory beside the one that is to be, which then takes its name whole, or finds that another has. */
async function keep(directory: string, kept: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  await mkdir(directory, { recursive: true });
  const scratch = await mkdtemp(join(directory, "new-"));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(scratch, name), content, { flush: true });
    const thread = new Worker(snapshotProgram, { workerData: join(scratch, "snapshot.bin") });
    const [code] = (await once(thread, "exit")) as [number];
    if (code !== 0) throw new Error(`Python's snapshot could not be made (exit code ${code})`);
    await syncDirectory(scratch);
    // The name comes last: whoever finds it finds everything, after a loss of power too.
    await rename(scratch, kept).catch((error: unknown) => {
      if (!existsSync(kept)) throw error;
    });
    await syncDirectory(directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  // Of earlier versions, and what a killed platform had begun.
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (path !== kept) await rm(path, { recursive: true, force: true });
  }
}
