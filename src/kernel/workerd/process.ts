/**
 * One workerd process: writes its config, starts it, sees it ready, passes on what it prints, stops it. Who starts
 * how many of them, and when, is the supervisor's affair.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { PlatformError } from "../errors.ts";
import { renderConfig, type WorkerdConfig } from "./config.ts";
import { mainThreadCpuMs } from "./process-usage.ts";

export interface ProcessOptions {
  /** A directory for this process alone; created, and removed when the process is gone. Short: it holds unix sockets. */
  readonly directory: string;
  readonly config: WorkerdConfig;
  readonly environment: Readonly<Record<string, string>>;
  readonly startTimeoutMs: number;
  /** CPU time that it may take until it serves. */
  readonly startCpuMs?: number;
  readonly output: (stream: "stdout" | "stderr", line: string) => void;
}

export interface WorkerdProcess {
  readonly pid: number;
  /** Resolves when the process has ended, with what is known about why. */
  readonly exited: Promise<string>;
  /** SIGTERM, then SIGKILL after the grace time. Resolves when it has ended. */
  stop(graceMs?: number): Promise<void>;
  /** SIGKILL: what it does now is not to go on. */
  kill(): void;
}

const STDERR_TAIL_LINES = 30;
const STOP_GRACE_MS = 5_000;
const CPU_LOOK_MS = 50;

/** Starts workerd and resolves when all its sockets listen. Throws `runtime.startFailed` with workerd's own words. */
export async function startWorkerd(options: ProcessOptions): Promise<WorkerdProcess> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const configPath = join(options.directory, "config.capnp");
  // 0600: the config holds capabilities.
  await writeFile(configPath, renderConfig(options.config), { mode: 0o600 });
  // The import path lets `embed` take absolute paths.
  const args = ["serve", "--import-path=/", configPath, "config", "--experimental", "--control-fd=3"];
  const [command, prefix] = parentDeathPrefix();
  const child = spawn(command, [...prefix, workerdBinary(), ...args], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "", TZ: "UTC", ...options.environment },
  });
  const lastWords: string[] = [];
  readLines(child.stdout as Readable, (line) => options.output("stdout", line));
  readLines(child.stderr as Readable, (line) => {
    if (lastWords.push(line) > STDERR_TAIL_LINES) lastWords.shift();
    options.output("stderr", line);
  });
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`workerd could not be started: ${error.message}`));
    // "close" comes after the pipes are drained, so that the last words are complete.
    child.once("close", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  }).finally(() => rm(options.directory, { recursive: true, force: true }));

  const starting = new AbortController();
  const started = await Promise.race([
    listening(child, options.config.sockets.length).then(() => true),
    exited.then(() => false),
    timeout(options.startTimeoutMs),
    cpuUsed(child, options.startCpuMs, starting.signal),
  ]);
  starting.abort();
  if (started !== true) {
    child.kill("SIGKILL");
    const end = await exited;
    if (started === "cpu") throw startFailed("Script startup exceeded CPU time limit.");
    const why = started === false ? end : `it did not serve within ${options.startTimeoutMs} ms`;
    throw startFailed(lastWords.length === 0 ? why : lastWords.join("\n"));
  }
  return {
    pid: child.pid as number,
    exited,
    kill: () => void child.kill("SIGKILL"),
    async stop(graceMs = STOP_GRACE_MS) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** The message is what workerd printed: the first thing that a Worker's author needs to see. */
export const startFailed = (words: string): PlatformError =>
  new PlatformError("runtime.startFailed", { status: 500, apiCode: 10021, message: "The Worker's process could not be started" }, words);

function listening(child: ChildProcess, sockets: number): Promise<void> {
  return new Promise((resolve) => {
    let seen = 0;
    readLines(child.stdio[3] as Readable, (line) => {
      if ((JSON.parse(line) as { event: string }).event === "listen" && ++seen === sockets) resolve();
    });
  });
}

function readLines(stream: Readable, each: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", each);
}

function timeout(ms: number): Promise<"timeout"> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms, "timeout").unref();
  });
}

/** Resolves when the process has used more CPU time than it may, looking until the signal; never without a limit. */
function cpuUsed({ pid }: ChildProcess, limitMs: number | undefined, signal: AbortSignal): Promise<"cpu"> {
  return new Promise((resolve) => {
    if (limitMs === undefined || pid === undefined) return;
    const timer = setInterval(() => {
      if ((mainThreadCpuMs(pid) ?? 0) > limitMs) resolve("cpu");
    }, CPU_LOOK_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
  });
}

let binary: string | undefined;

/** The workerd binary inside its npm package: no install script is needed to find it. */
export function workerdBinary(): string {
  if (binary !== undefined) return binary;
  const require = createRequire(import.meta.url);
  const platform = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
  const fromWorkerd = createRequire(require.resolve("workerd/package.json"));
  binary = fromWorkerd.resolve(`@cloudflare/workerd-${platform}/bin/workerd`);
  return binary;
}

/**
 * Where the host has setpriv, the kernel kills workerd when our process dies, even by SIGKILL. Elsewhere the next start
 * sweeps such orphans (`run-directory.ts`).
 */
function parentDeathPrefix(): [command: string, prefix: string[]] {
  for (const setpriv of ["/usr/bin/setpriv", "/bin/setpriv"]) {
    if (process.platform === "linux" && existsSync(setpriv)) return [setpriv, ["--pdeathsig", "KILL", "--"]];
  }
  return ["/usr/bin/env", []];
}
