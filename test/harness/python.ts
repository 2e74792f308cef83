/**
 * Python clients (boto3, pyiceberg, pyarrow, duckdb, requests) in one virtual environment under `.venv`, made on first
 * use and again when requirements.txt changes. Test files run in parallel, so making it is guarded by a lock.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { takeLock } from "./lock.ts";
import { projectRoot, type RunOptions, type RunResult, runProcess, type TestPlatform } from "./platform.ts";

const REQUIREMENTS = new URL("./requirements.txt", import.meta.url);
const INSTALL_DEADLINE_MS = 10 * 60_000;

/** Why Python clients cannot run here, or false: for `test(…, { skip: noPython })`. */
export const noPython: string | false =
  spawnSync("python3", ["-c", "import ensurepip, sys, venv; assert sys.version_info >= (3, 11)"]).status !== 0 &&
  "python3 (3.11 or newer) with venv is not installed";

let interpreter: Promise<string> | undefined;

/** Runs a Python program under `freehold exec`; rejects with all its output when it fails. */
export async function python(
  platform: TestPlatform,
  script: string,
  options: RunOptions & { args?: readonly string[] } = {},
): Promise<RunResult> {
  const { args = [], ...runOptions } = options;
  return platform.exec(await pythonInterpreter(), ["-c", script, ...args], runOptions);
}

/** The environment's interpreter, with everything in requirements.txt installed. */
export function pythonInterpreter(): Promise<string> {
  interpreter ??= prepare();
  return interpreter;
}

async function prepare(): Promise<string> {
  const wanted = createHash("sha256")
    .update(await readFile(REQUIREMENTS))
    .digest("hex");
  const root = join(projectRoot, ".venv");
  const current = join(root, wanted.slice(0, 16));
  const program = join(current, "bin", "python");
  // The marker is written last: an environment without it is half made.
  const marker = join(current, "complete");
  if (existsSync(marker)) return program;
  await mkdir(root, { recursive: true });
  const lock = await takeLock(join(root, "lock.sqlite"), INSTALL_DEADLINE_MS);
  try {
    if (existsSync(marker)) return program;
    for (const old of await readdir(root)) if (!old.startsWith("lock")) await rm(join(root, old), { recursive: true, force: true });
    await runProcess("python3", ["-m", "venv", current]);
    const requirements = new URL(REQUIREMENTS).pathname;
    await runProcess(program, ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement", requirements], {
      timeoutMs: INSTALL_DEADLINE_MS,
    });
    await writeFile(`${marker}.new`, wanted);
    await rename(`${marker}.new`, marker);
    return program;
  } finally {
    lock.close();
  }
}
