/**
 * The built web app as files. An installed package brings it built, in dist/dashboard; a checkout has its sources there
 * (src/dashboard) and builds them when a page is opened and the last build is of other sources. Nothing is downloaded:
 * what the build needs are the checkout's development packages.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { glob, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "../../kernel/log.ts";

export interface AppFile {
  readonly bytes: Buffer;
  readonly type: string;
}

/** Where the app's files are, or what the build said when it failed. */
export type BuiltApp = { readonly directory: string } | { readonly failed: string };

export interface App {
  /** The app of the present sources; in a checkout whose sources have changed after a second or two, when it is built. */
  built(): Promise<BuiltApp>;
  /** A file of the app by its path ("/assets/index-1a2b.js"), or undefined. */
  file(directory: string, path: string): Promise<AppFile | undefined>;
  stop(): Promise<void>;
}

const BUILD_TIMEOUT_MS = 120_000;
const OUTPUT_MAX = 20_000;

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Beside this product both in the sources and in the package. */
const beside = fileURLToPath(new URL("../../dashboard", import.meta.url));

export function openApp(log: Log): App {
  const fromSources = existsSync(join(beside, "main.tsx"));
  const builder = fromSources ? sourceBuilder(log) : undefined;
  return {
    built: async () => builder?.built() ?? { directory: beside },
    async file(directory, path) {
      const type = types[extname(path)];
      // Names that the build makes; nothing that could leave the directory.
      if (type === undefined || !/^(\/[\w-]+(\.[\w-]+)*){1,2}$/.test(path)) return undefined;
      try {
        return { bytes: await readFile(join(directory, path)), type };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    stop: async () => builder?.stop(),
  };
}

/** Builds the checkout's sources into a directory that is named after their content, so that equal sources are built once. */
function sourceBuilder(log: Log) {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const cache = join(root, "node_modules", ".cache", "freehold-dashboard");
  const script = join(root, "scripts", "build-dashboard.ts");
  let running: { readonly child: ChildProcess; readonly done: Promise<BuiltApp> } | undefined;

  async function sourceVersion(): Promise<string> {
    const names: string[] = [];
    for await (const name of glob("src/dashboard/**/*.*", { cwd: root })) names.push(name);
    const hash = createHash("sha256");
    for (const name of [...names.sort(), "package-lock.json", "scripts/build-dashboard.ts"]) {
      hash.update(`${name}\0`).update(await readFile(join(root, name)));
    }
    return hash.digest("hex").slice(0, 16);
  }

  function start(target: string): NonNullable<typeof running> {
    const scratch = `${target}.${process.pid}`;
    const child = spawn(process.execPath, [script, scratch], { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: BUILD_TIMEOUT_MS });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output = `${output}${chunk}`.slice(-OUTPUT_MAX);
      });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { child, done: finish(ended, scratch, target, () => output.trim()) };
  }

  async function finish(ended: Promise<number | null>, scratch: string, target: string, output: () => string): Promise<BuiltApp> {
    const started = performance.now();
    try {
      const code = await ended;
      if (code !== 0) throw new Error(output() || `the build ended with ${code}`);
      await publish(scratch, target);
      log.info("dashboard.built", { ms: Math.round(performance.now() - started) });
      return { directory: target };
    } catch (error) {
      log.warn("dashboard.build_failed", { error });
      return { failed: (error as Error).message };
    } finally {
      await rm(scratch, { recursive: true, force: true });
      running = undefined;
    }
  }

  /** From here on the build is the one that is served. Another platform of this checkout may have been faster. */
  async function publish(scratch: string, target: string): Promise<void> {
    await rename(scratch, target).catch((error: unknown) => {
      if (!existsSync(target)) throw error;
    });
    for (const name of await readdir(cache)) {
      // Builds of other sources; not those that are under way.
      if (/^[0-9a-f]{16}$/.test(name) && join(cache, name) !== target) await rm(join(cache, name), { recursive: true, force: true });
    }
  }

  return {
    async built(): Promise<BuiltApp> {
      const target = join(cache, await sourceVersion());
      if (existsSync(target)) return { directory: target };
      try {
        await mkdir(cache, { recursive: true });
      } catch (error) {
        return { failed: `The checkout cannot be written to: ${(error as Error).message}` };
      }
      running ??= start(target);
      return running.done;
    },
    async stop(): Promise<void> {
      running?.child.kill("SIGKILL");
      await running?.done;
    },
  };
}
