/** A platform of a demo's own, started as a user would start it, and the clients that run against it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const projectRoot = join(import.meta.dirname, "../..");
const freehold = join(projectRoot, "bin/freehold.mjs");
const READY_WITHIN_MS = 30_000;

/** The parts of the ready file that the demo uses. */
export interface Ready {
  readonly gateway: string;
  readonly account_id: string;
  readonly api_token: string;
  readonly hosts: { readonly workers: string; readonly ingest: string };
}

export interface DemoPlatform {
  readonly ready: Ready;
  /** Runs wrangler, unmodified, through `freehold exec`; resolves with what it printed. */
  wrangler(args: readonly string[], options?: { cwd?: string; input?: string }): Promise<string>;
  /** Resolves when the platform has ended by itself. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts the platform on an empty data directory. */
export async function startPlatform(dataDirectory: string, port: number): Promise<DemoPlatform> {
  await rm(dataDirectory, { recursive: true, force: true });
  await mkdir(dataDirectory, { recursive: true });
  const readyFile = join(dataDirectory, "demo-ready.json");
  const child = spawn(process.execPath, [freehold, "up", "--data", dataDirectory, "--port", String(port), "--ready-file", readyFile], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-20_000);
  });
  const ended = once(child, "exit");
  const ready = await readyWithin(readyFile, child, () => log);
  return {
    ready,
    ended,
    wrangler: (args, options = {}) => run(["exec", "--data", dataDirectory, "--", "wrangler", ...args], options),
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function readyWithin(file: string, child: ChildProcess, log: () => string): Promise<Ready> {
  for (const deadline = Date.now() + READY_WITHIN_MS; Date.now() < deadline; await sleep(50)) {
    if (child.exitCode !== null) throw new Error(`the platform did not start:\n${log()}`);
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as Ready;
  }
  throw new Error(`the platform was not ready within ${READY_WITHIN_MS / 1000} s:\n${log()}`);
}

async function run(args: readonly string[], { cwd, input }: { cwd?: string; input?: string }): Promise<string> {
  const child = spawn(process.execPath, [freehold, ...args], {
    cwd: cwd ?? projectRoot,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, CI: "true" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  child.stdin.end(input ?? "");
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${args.slice(args.indexOf("--") + 1).join(" ")} failed with exit code ${code}:\n${output}`);
  return output;
}
