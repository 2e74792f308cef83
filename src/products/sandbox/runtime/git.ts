/** `git clone` for the SDK's gitCheckout. What git says is told without the credentials that a URL may carry. */
import { basename } from "node:path";
import { type ErrorCode, invalid, RuntimeError } from "./errors.ts";
import { resolved } from "./files.ts";
import { quoted } from "./quoting.ts";
import type { Shell } from "./shell.ts";

export interface CloneOptions {
  readonly branch?: string | undefined;
  readonly targetDir?: string | undefined;
  readonly depth?: number | undefined;
  readonly timeoutMs?: number | undefined;
}

const TIMEOUT_MS = 600_000;
/** `timeout`'s own exit code. */
const TIMED_OUT = 124;

export async function clone(
  shell: Shell,
  url: string,
  workspace: string,
  options: CloneOptions,
): Promise<{ path: string; branch: string }> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  check(url, options, timeoutMs);
  const path = await resolved(shell, options.targetDir ?? `${workspace}/${repositoryName(url)}`);
  const words = [
    ...["timeout", "-k", "5", String(timeoutMs / 1000)],
    ...["git", "-c", "http.lowSpeedLimit=1024", "-c", "http.lowSpeedTime=30", "clone", "--filter=blob:none"],
    ...(options.branch === undefined ? [] : ["--branch", options.branch]),
    ...(options.depth === undefined ? [] : ["--depth", String(options.depth)]),
    ...["--", url, path],
  ];
  // Nobody is there to be asked for a password.
  const env = { GIT_TERMINAL_PROMPT: "0" };
  const cloned = await shell.run(words.map(quoted).join(" "), { env });
  if (cloned.exitCode !== 0) throw failure(url, path, cloned);
  const branch = await shell.run(`git -C ${quoted(path)} branch --show-current`);
  return { path, branch: branch.stdout.trim() || options.branch || "unknown" };
}

function check(url: string, options: CloneOptions, timeoutMs: number): void {
  if (typeof url !== "string" || !/^(https?:\/\/|ssh:\/\/|git:\/\/|file:\/\/|\/|[\w.-]+@[\w.-]+:)\S+$/.test(url) || url.includes("\0")) {
    throw new RuntimeError("INVALID_GIT_URL", `Invalid Git URL '${withoutCredentials(String(url))}'`);
  }
  if (options.branch?.startsWith("-")) throw invalid(`Invalid branch '${options.branch}'`);
  if (options.depth !== undefined && (!Number.isInteger(options.depth) || options.depth < 1)) {
    throw invalid(`Invalid clone depth '${options.depth}'. Must be a positive integer.`);
  }
  if (!Number.isInteger(timeoutMs) || timeoutMs <= 0) {
    throw invalid(`Invalid clone timeout '${timeoutMs}'. Must be a positive integer representing milliseconds.`);
  }
}

function failure(url: string, path: string, { exitCode, stderr }: { exitCode: number; stderr: string }): RuntimeError {
  const said = withoutCredentials(stderr);
  const message = `Failed to clone repository '${withoutCredentials(url)}': ${said || `exit code ${exitCode}`}`;
  const context = { repository: withoutCredentials(url), targetDir: path, exitCode, stderr: said };
  return new RuntimeError(code(said.toLowerCase(), exitCode), message, context);
}

function code(said: string, exitCode: number): ErrorCode {
  if (exitCode === TIMED_OUT) return "GIT_NETWORK_ERROR";
  if (/remote branch .* not found/.test(said)) return "GIT_BRANCH_NOT_FOUND";
  if (/authentication failed|could not read username|permission denied \(|fatal: .*access denied/.test(said)) return "GIT_AUTH_FAILED";
  if (/repository .*not found|does not exist|does not appear to be a git repository/.test(said)) return "GIT_REPOSITORY_NOT_FOUND";
  if (/could not resolve host|failed to connect|connection timed out|connection refused/.test(said)) return "GIT_NETWORK_ERROR";
  return "GIT_CLONE_FAILED";
}

function repositoryName(url: string): string {
  return basename(url.replace(/[/\\]+$/, "").replace(/\.git$/, "")).replace(/^.*:/, "") || "repository";
}

function withoutCredentials(text: string): string {
  return text.replace(/(\w+:\/\/)[^/\s@]+@/g, "$1******@");
}
