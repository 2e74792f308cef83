/**
 * One bash that lives as long as its session: `cd`, `export` and functions of one command are there for the next. Commands run
 * one after the other. Each one's output goes to files of its own, so that what it leaves running in the background can neither
 * hold up its answer nor get into the next one's output; its exit code comes back on descriptor 3, which commands do not inherit.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { RuntimeError } from "./errors.ts";
import { isVariableName, quoted } from "./quoting.ts";

export type Variables = Readonly<Record<string, string | null | undefined>>;

export interface CommandOptions {
  readonly cwd?: string | undefined;
  readonly env?: Variables | undefined;
  readonly stdin?: string | undefined;
  /** Milliseconds to wait for the command, which itself runs on when they are over. */
  readonly timeoutMs?: number | undefined;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/** What one command may print: it is answered in one JSON document. */
const MAX_OUTPUT_BYTES = 128 * 1024 * 1024;

export class Shell {
  readonly id: string;
  readonly #timeoutMs: number | undefined;
  readonly #bash: ChildProcess;
  readonly #directory: Promise<string>;
  readonly #waiting = new Map<string, (exitCode: number) => void>();
  readonly #ended: Promise<never>;
  #destroyed = false;
  #exitCode: number | null | undefined;
  #told = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(id: string, options: { cwd: string; env?: Variables | undefined; timeoutMs?: number | undefined }) {
    this.id = id;
    this.#timeoutMs = options.timeoutMs;
    this.#directory = mkdtemp(join(tmpdir(), "sandbox-session-"));
    this.#bash = spawn("bash", ["--norc", "--noprofile"], {
      cwd: existsSync(options.cwd) ? options.cwd : homedir(),
      env: { ...process.env, LANG: "C.UTF-8", LC_ALL: "C.UTF-8", ...setVariables(options.env) },
      stdio: ["pipe", "ignore", "ignore", "pipe"],
      // A group of its own: destroying the session ends what runs in the foreground too.
      detached: true,
    });
    // Writing to a bash that has just ended is told by its end.
    this.#bash.stdin?.on("error", () => undefined);
    createInterface({ input: this.#bash.stdio[3] as Readable }).on("line", (line) => {
      const [command = "", code] = line.split(" ");
      this.#waiting.get(command)?.(Number(code));
    });
    this.#ended = this.#untilEnd();
    this.#ended.catch(() => undefined);
  }

  get alive(): boolean {
    return this.#exitCode === undefined && !this.#destroyed;
  }

  /** Whether its end has been told to someone. */
  get told(): boolean {
    return this.#told;
  }

  /** Runs the command after those that came before it. Fails with SESSION_TERMINATED when it ends the shell itself. */
  run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    const result = this.#last.then(() => this.#run(command, options));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Where the shell stands and what it exports: what a process that is started beside it begins with. */
  async state(): Promise<{ cwd: string; env: Record<string, string> }> {
    const { stdout } = await this.run("pwd; env -0");
    const end = stdout.indexOf("\n");
    const env: Record<string, string> = {};
    for (const entry of stdout.slice(end + 1).split("\0")) {
      const at = entry.indexOf("=");
      if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
    }
    return { cwd: stdout.slice(0, end), env };
  }

  async destroy(): Promise<void> {
    this.#destroyed = true;
    try {
      process.kill(-(this.#bash.pid ?? 0), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await this.#ended.catch(() => undefined);
  }

  async #run(command: string, options: CommandOptions): Promise<CommandResult> {
    if (command.includes("\0")) throw new RuntimeError("INVALID_COMMAND", "Command contains null bytes");
    const id = randomUUID();
    const base = join(await this.#directory, id);
    const files = { out: `${base}.out`, err: `${base}.err`, in: `${base}.in` };
    const started = performance.now();
    if (options.stdin !== undefined) await writeFile(files.in, options.stdin);
    const exited = new Promise<number>((resolve) => this.#waiting.set(id, resolve));
    let timer: NodeJS.Timeout | undefined;
    try {
      this.#bash.stdin?.write(script(id, command, { ...files, in: options.stdin === undefined ? "/dev/null" : files.in }, options));
      const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
      const timeout = new Promise<never>((_, reject) => {
        if (timeoutMs === undefined || timeoutMs <= 0) return;
        const message = `Failed to execute command '${command}' in session '${this.id}': Command timeout after ${timeoutMs}ms`;
        timer = setTimeout(() => reject(new RuntimeError("COMMAND_EXECUTION_ERROR", message, { command, timeoutMs })), timeoutMs);
      });
      const exitCode = await Promise.race([exited, timeout, this.#ended]);
      const [stdout, stderr] = await Promise.all([output(files.out), output(files.err)]);
      return {
        exitCode,
        stdout,
        stderr,
        durationMs: Math.round(performance.now() - started),
      };
    } catch (error) {
      this.#told ||= !this.alive;
      throw error;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
      await Promise.all(Object.values(files).map((file) => rm(file, { force: true })));
    }
  }

  async #untilEnd(): Promise<never> {
    const [code] = await once(this.#bash, "exit").catch(() => [null]);
    this.#exitCode = code;
    await rm(await this.#directory, { recursive: true, force: true });
    throw this.#destroyed
      ? new RuntimeError("SESSION_DESTROYED", `Session '${this.id}' was destroyed during command execution`, { sessionId: this.id })
      : this.termination();
  }

  /** The error of a session whose shell has ended by itself; whoever was told of it may have the session anew. */
  termination(): RuntimeError {
    const message = `Session '${this.id}' shell exited (exit code: ${this.#exitCode ?? "unknown"})`;
    return new RuntimeError("SESSION_TERMINATED", message, { sessionId: this.id, exitCode: this.#exitCode ?? null });
  }
}

/** Variables that have a value: null and undefined leave a variable as it is. */
export function setVariables(variables: Variables = {}): Record<string, string> {
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) if (value !== undefined && value !== null) set[name] = value;
  return set;
}

/** The lines that run a command in the shell itself and then tell its exit code. A directory and variables are for it alone. */
function script(id: string, command: string, files: { in: string; out: string; err: string }, options: CommandOptions): string {
  const before: string[] = [];
  const after: string[] = [];
  for (const [index, [name, value]] of Object.entries(setVariables(options.env)).entries()) {
    if (!isVariableName(name)) throw new RuntimeError("VALIDATION_FAILED", `Invalid environment variable name: ${name}`, { key: name });
    before.push(`__sandbox_${index}=\${${name}-}; __sandbox_had_${index}=\${${name}+set}; export ${name}=${quoted(value)}`);
    after.push(
      `if [ -n "$__sandbox_had_${index}" ]; then ${name}=$__sandbox_${index}; else unset ${name}; fi; unset __sandbox_${index} __sandbox_had_${index}`,
    );
  }
  const redirections = `<${quoted(files.in)} >${quoted(files.out)} 2>${quoted(files.err)} 3>&-`;
  const run = [...before, `eval ${quoted(command)}`, "__sandbox_code=$?", ...after].join("\n");
  const body =
    options.cwd === undefined
      ? `{ ${run}\n} ${redirections}`
      : `__sandbox_pwd=$PWD; if cd -- ${quoted(options.cwd)} 2>${quoted(files.err)}; then { ${run}\n} ${redirections}; cd -- "$__sandbox_pwd"; else __sandbox_code=1; fi`;
  return `${body}\nprintf '${id} %s\\n' "$__sandbox_code" >&3\n`;
}

async function output(path: string): Promise<string> {
  const size = await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
  if (size > MAX_OUTPUT_BYTES) {
    throw new RuntimeError("COMMAND_EXECUTION_ERROR", `The command printed ${size} bytes, more than ${MAX_OUTPUT_BYTES}`, { size });
  }
  return size === 0 ? "" : readFile(path, "utf8");
}
