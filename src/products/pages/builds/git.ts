/**
 * The program `git` for the platform itself: with no configuration but what is said here, no prompts, no hooks, and only the
 * protocols that the caller allows. What it prints is bounded. Repositories are strangers' work: nothing of them is checked
 * out here, only objects and refs are read and written.
 */
import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

export interface GitOptions {
  readonly directory: string;
  /** Further `-c` settings. */
  readonly settings?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const OUTPUT_MAX_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 60_000;

const SETTINGS = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.fsync=committed,loose-object,reference",
  "gc.autoDetach=false",
  "maintenance.autoDetach=false",
  "receive.fsckObjects=true",
  "fetch.fsckObjects=true",
  "safe.directory=*",
  "advice.detachedHead=false",
];

export const gitArguments = (settings: readonly string[] = []): string[] => [...SETTINGS, ...settings].flatMap((one) => ["-c", one]);

export const gitEnvironment = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  PATH: process.env.PATH ?? "/usr/bin:/bin",
  LANG: "C.UTF-8",
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_TERMINAL_PROMPT: "0",
  GIT_ALLOW_PROTOCOL: "none",
  ...more,
});

/** Runs git to its end and gives what it printed. Rejects with its last words. */
export async function git(args: readonly string[], { directory, settings, env, timeoutMs = TIMEOUT_MS }: GitOptions): Promise<string> {
  const child = spawn("git", [...gitArguments(settings), ...args], {
    cwd: directory,
    env: gitEnvironment(env),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([
    ended,
    collect(child.stdout, () => child.kill("SIGKILL")),
    collect(child.stderr, () => child.kill("SIGKILL")),
  ]);
  if (code !== 0) throw new Error(`git ${args[0]}: ${stderr.trim().split("\n").slice(-3).join(" ") || `ended with ${code}`}`);
  return stdout;
}

async function collect(stream: Readable, tooMuch: () => void): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > OUTPUT_MAX_BYTES) tooMuch();
    else chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** A git whose input and output are a client's; resolves with its exit code. */
export interface GitService {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly ended: Promise<number | null>;
  kill(): void;
}

export function gitService(args: readonly string[], { directory, settings, env, timeoutMs = 30 * 60_000 }: GitOptions): GitService {
  const child = spawn("git", [...gitArguments(settings), ...args], {
    cwd: directory,
    env: gitEnvironment(env),
    stdio: ["pipe", "pipe", "ignore"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  child.stdin.on("error", () => undefined); // It may end without reading; its exit code tells.
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { stdin: child.stdin, stdout: child.stdout, ended, kill: () => void child.kill("SIGKILL") };
}
