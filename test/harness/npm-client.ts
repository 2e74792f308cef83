/**
 * Older releases of clients, for what a newer one does not do any more. Each has a folder here with its package.json and
 * lock file, and is installed from them on first use under `.clients`: they weigh too much for every `npm ci`, and their
 * dependencies are none of ours (wrangler 4.36.0: 171 MB, a workerd and an esbuild of its own among them).
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { takeLock } from "./lock.ts";
import { projectRoot, type RunOptions, type RunResult, runProcess, type TestPlatform } from "./platform.ts";

const INSTALL_DEADLINE_MS = 10 * 60_000;

/** Runs wrangler 4.36.0, the last that creates legacy pipelines, under `freehold exec`. */
export async function wrangler436(platform: TestPlatform, args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return platform.exec(process.execPath, [join(await npmClient("wrangler-4.36"), "wrangler", "bin", "wrangler.js"), ...args], options);
}

/** The `node_modules` of an installed client. */
async function npmClient(name: string): Promise<string> {
  const source = join(projectRoot, "test", "harness", name);
  const hash = createHash("sha256").update(await readFile(join(source, "package-lock.json")));
  const root = join(projectRoot, ".clients");
  const current = join(root, `${name}-${hash.digest("hex").slice(0, 16)}`);
  const modules = join(current, "node_modules");
  // The marker is written last: a client without it is half installed.
  const marker = join(current, "complete");
  if (existsSync(marker)) return modules;
  await mkdir(root, { recursive: true });
  const lock = await takeLock(join(root, "lock.sqlite"), INSTALL_DEADLINE_MS);
  try {
    if (existsSync(marker)) return modules;
    await rm(current, { recursive: true, force: true });
    await cp(source, current, { recursive: true });
    await runProcess("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: current,
      timeoutMs: INSTALL_DEADLINE_MS,
    });
    await writeFile(marker, "");
    return modules;
  } finally {
    lock.close();
  }
}
