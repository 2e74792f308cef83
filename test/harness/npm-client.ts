/**
 * Clients that weigh too much for every `npm ci`, and whose dependencies are none of ours: older releases for what a newer
 * one does not do any more, frameworks, and the Agents SDK. Each has a folder here with its package.json and lock file, and is installed
 * from them on first use under `.clients` (wrangler 4.36.0: 171 MB, a workerd and an esbuild of its own among them).
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { takeLock } from "./lock.ts";
import { projectRoot, type RunOptions, type RunResult, runProcess, type TestPlatform } from "./platform.ts";
import { missingRegistry } from "./programs.ts";

const INSTALL_DEADLINE_MS = 10 * 60_000;

export type Client =
  | "sql-drivers"
  | "prisma-7"
  | "wrangler-4.36"
  | "constellation"
  | "vitest-3"
  | "frameworks"
  | "pages-plugins"
  | "agents-0.7"
  | "agents-0.32"
  | "ai-sdks"
  | "browser-clients";
type Hooks = { after(fn: () => Promise<void>): void };

/** Runs wrangler 4.36.0, the last that creates legacy pipelines, under `freehold exec`. */
export async function wrangler436(platform: TestPlatform, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return platform.exec(process.execPath, [join(await npmClient("wrangler-4.36"), "wrangler", "bin", "wrangler.js"), ...args], options);
}

/** Runs wrangler 3.57.0, the last that knows Constellation, under `freehold exec`. */
export async function wrangler357(platform: TestPlatform, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return platform.exec(process.execPath, [join(await npmClient("constellation"), "wrangler", "bin", "wrangler.js"), ...args], options);
}

/** Directory of a package among the client's. */
export async function clientPackage(name: Client, packageName: string): Promise<string> {
  return join(await npmClient(name), packageName);
}

/** Why the client cannot be had here, or false: neither installed earlier, nor a registry to install it from. */
export function missingClient(name: Client): string | false {
  if (existsSync(marker(name))) return false;
  return missingRegistry() && `the client "${name}" is not installed, and the npm registry does not answer`;
}

/** A new directory from which the client's packages are imported as from a project's own `node_modules`. Removed by `t.after`. */
export async function clientProject(t: Hooks, name: Client): Promise<string> {
  const directory = await mkdtemp(join(await npmClient(name), "..", "project-"));
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** The `node_modules` of an installed client. */
async function npmClient(name: Client): Promise<string> {
  const current = directoryOf(name);
  const modules = join(current, "node_modules");
  if (existsSync(marker(name))) return modules;
  const root = join(projectRoot, ".clients");
  await mkdir(root, { recursive: true });
  const lock = await takeLock(join(root, "lock.sqlite"), INSTALL_DEADLINE_MS);
  try {
    if (existsSync(marker(name))) return modules;
    await rm(current, { recursive: true, force: true });
    await cp(sourceOf(name), current, { recursive: true });
    await runProcess("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: current,
      timeoutMs: INSTALL_DEADLINE_MS,
    });
    await writeFile(marker(name), "");
    return modules;
  } finally {
    lock.close();
  }
}

const sourceOf = (name: Client): string => join(projectRoot, "test", "harness", name);

function directoryOf(name: Client): string {
  const hash = createHash("sha256").update(readFileSync(join(sourceOf(name), "package-lock.json")));
  return join(projectRoot, ".clients", `${name}-${hash.digest("hex").slice(0, 16)}`);
}

/** Written last: a client without it is half installed. */
const marker = (name: Client): string => join(directoryOf(name), "complete");
