/**
 * Commands that run beside a session: each in a process group of its own, which is what is killed. A process begins with the
 * directory and the exported variables that the session's shell has at that moment; it changes nothing of the session.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { StringDecoder } from "node:string_decoder";
import { RuntimeError } from "./errors.ts";
import { ProcessLog } from "./process-log.ts";
import type { CommandResult, Shell, Variables } from "./shell.ts";
import { setVariables } from "./shell.ts";

export type ProcessStatus = "running" | "completed" | "failed" | "killed";

export interface StartOptions {
  readonly cwd?: string | undefined;
  readonly env?: Variables | undefined;
  readonly stdin?: string | undefined;
  readonly processId?: string | undefined;
  /** Milliseconds after which the process is killed. */
  readonly timeoutMs?: number | undefined;
}

/** How long a process has between SIGTERM and SIGKILL. */
const GRACE_MS = 5000;
/** Ended processes are kept for their logs, the newest this many. */
const MAX_ENDED = 200;
/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SandboxProcess {
  readonly id: string;
  readonly command: string;
  readonly startTime = new Date();
  readonly log = new ProcessLog();
  readonly exited: Promise<void>;
  endTime: Date | undefined;
  exitCode: number | undefined;
  status: ProcessStatus = "running";
  readonly #child: ChildProcess;
  #killed = false;

  constructor(id: string, command: string, child: ChildProcess) {
    this.id = id;
    this.command = command;
    this.#child = child;
    for (const stream of ["stdout", "stderr"] as const) {
      const decoder = new StringDecoder("utf8");
      child[stream]?.on("data", (bytes: Buffer) => this.log.add(stream, decoder.write(bytes)));
      child[stream]?.on("end", () => this.log.add(stream, decoder.end()));
    }
    this.exited = this.#untilEnd();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** SIGTERM for the whole group, and SIGKILL for what is left of it after the grace. Resolves when the process has ended. */
  async kill(): Promise<void> {
    if (this.status !== "running") return;
    this.#killed = true;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), GRACE_MS);
    await this.exited;
    clearTimeout(timer);
    // Children that took no notice of SIGTERM do not outlive their parent.
    this.#signal("SIGKILL");
  }

  toJSON(): object {
    const { id, pid, command, status, startTime, endTime, exitCode } = this;
    return { id, pid, command, status, startTime: startTime.toISOString(), endTime: endTime?.toISOString(), exitCode };
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      if (this.pid !== undefined) process.kill(-this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async #untilEnd(): Promise<void> {
    // "exit" and not "close": a grandchild may hold the pipes for as long as it likes, and what it prints is still read.
    const [code, signal] = (await once(this.#child, "exit").catch(() => [1, null])) as [number | null, NodeJS.Signals | null];
    this.exitCode = code ?? 128 + (signal === "SIGKILL" ? 9 : signal === "SIGTERM" ? 15 : 1);
    await drained(this.#child);
    this.endTime = new Date();
    const killed = this.#killed || this.exitCode === 137 || this.exitCode === 143;
    this.status = killed ? "killed" : this.exitCode === 0 ? "completed" : "failed";
    this.log.end();
  }
}

export class Processes {
  readonly #processes = new Map<string, SandboxProcess>();

  async start(shell: Shell, command: string, options: StartOptions = {}): Promise<SandboxProcess> {
    if (command.trim() === "") throw new RuntimeError("INVALID_COMMAND", "Invalid command: empty command provided");
    const state = await shell.state();
    const cwd = options.cwd ?? state.cwd;
    const process = new SandboxProcess(
      options.processId ?? `proc_${Date.now()}_${randomBytes(3).toString("hex")}`,
      command,
      bash(command, { cwd, env: { ...state.env, ...setVariables(options.env) }, stdin: options.stdin }),
    );
    this.#processes.set(process.id, process);
    this.#forgetOldest();
    if (options.timeoutMs !== undefined && options.timeoutMs > 0) {
      const timer = setTimeout(() => void process.kill(), options.timeoutMs);
      void process.exited.then(() => clearTimeout(timer));
    }
    return process;
  }

  get(id: string): SandboxProcess {
    const process = this.#processes.get(id);
    if (!process) throw new RuntimeError("PROCESS_NOT_FOUND", `Process ${id} not found`, { processId: id });
    return process;
  }

  list(status?: string): SandboxProcess[] {
    return [...this.#processes.values()].filter((process) => status === undefined || process.status === status);
  }

  /** How many were running. */
  async killAll(): Promise<number> {
    const running = this.list("running");
    await Promise.all(running.map((process) => process.kill()));
    return running.length;
  }

  #forgetOldest(): void {
    const ended = this.list().filter(({ status }) => status !== "running");
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.#processes.delete(id);
  }
}

/** One command outside of any session: what a sandbox whose default session is off runs. */
export async function runOnce(
  command: string,
  options: { cwd: string; env?: Variables | undefined; stdin?: string | undefined; timeoutMs?: number | undefined },
): Promise<CommandResult> {
  const started = performance.now();
  const env = { ...process.env, ...setVariables(options.env) };
  const running = new SandboxProcess("once", command, bash(command, { cwd: options.cwd, env, stdin: options.stdin }));
  let timedOut = false;
  const timer = setTimeout(
    () => {
      timedOut = true;
      void running.kill();
    },
    Math.min(options.timeoutMs || MAX_TIMER_MS, MAX_TIMER_MS),
  );
  await running.exited;
  clearTimeout(timer);
  const stderr = running.log.text("stderr") + (timedOut ? `Command timed out after ${options.timeoutMs}ms\n` : "");
  return {
    exitCode: timedOut ? 124 : (running.exitCode ?? 1),
    stdout: running.log.text("stdout"),
    stderr,
    durationMs: Math.round(performance.now() - started),
  };
}

function bash(command: string, options: { cwd: string; env: NodeJS.ProcessEnv; stdin?: string | undefined }): ChildProcess {
  const child = spawn("bash", ["-c", command], { cwd: options.cwd, env: options.env, stdio: ["pipe", "pipe", "pipe"], detached: true });
  // Who does not read its input is told nothing.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.stdin ?? "");
  // A directory that is not there is told as the process's own failure.
  child.on("error", (error) => child.stderr?.push(`${error.message}\n`));
  return child;
}

/** What was printed before the end has been read, unless someone else still holds the pipes open. */
async function drained(child: ChildProcess): Promise<void> {
  const ends = [child.stdout, child.stderr].map((stream) => (!stream || stream.readableEnded ? undefined : once(stream, "end")));
  await Promise.race([Promise.all(ends), new Promise((resolve) => setTimeout(resolve, 100))]);
}
