/**
 * Code contexts: one process each, started with the context, so that variables of one run are there for the next. Runs of one
 * context come one after the other. Events are passed on as they happen and end with `execution_complete` or `error`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { RuntimeError } from "./errors.ts";
import { setVariables, type Variables } from "./shell.ts";

export type Language = "python" | "javascript" | "typescript";

export type ExecutionEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

export interface ContextOptions {
  readonly language?: string | undefined;
  readonly cwd?: string | undefined;
  readonly env?: Variables | undefined;
}

/** Milliseconds a run may take when its caller does not say so, as documented for `runCode`. */
const TIMEOUT_MS = 60_000;
/** How long Python has to come out of an interrupted run before it is killed, and its variables with it. */
const INTERRUPTION_MS = 2000;
const MAX_CONTEXTS = 64;

const LANGUAGES: Record<string, Language> = {
  python: "python",
  python3: "python",
  javascript: "javascript",
  js: "javascript",
  node: "javascript",
  typescript: "typescript",
  ts: "typescript",
};

const PYTHON = fileURLToPath(new URL("executors/python.py", import.meta.url));
/** Source in a checkout, JavaScript in the package: as this file itself. */
const JAVASCRIPT = fileURLToPath(new URL(`executors/javascript.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url));

export class CodeContext {
  readonly id = randomUUID();
  readonly language: Language;
  readonly cwd: string;
  readonly #child: ChildProcess;
  readonly #events: AsyncIterator<string>;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(language: Language, cwd: string, env: Variables) {
    this.language = language;
    this.cwd = cwd;
    const [program, ...args] =
      language === "python" ? ["python3", "-u", PYTHON] : [process.execPath, "--disable-warning=ExperimentalWarning", JAVASCRIPT];
    this.#child = spawn(program as string, args, {
      cwd: existsSync(cwd) ? cwd : "/",
      env: { ...process.env, ...setVariables(env) },
      // What programs print past the interpreter's own streams has no place in a run's events.
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      detached: true,
    });
    (this.#child.stdio[3] as Writable).on("error", () => undefined);
    this.#events = createInterface({ input: this.#child.stdio[4] as Readable })[Symbol.asyncIterator]();
  }

  get alive(): boolean {
    return !this.#closed && this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Runs the code and tells what happens. A reader who leaves does not end the run, whose effects the next one counts on: the rest of
   * its events is read and dropped before the next run begins.
   */
  async *run(code: string, language: Language, timeoutMs: number): AsyncGenerator<ExecutionEvent> {
    const before = this.#last;
    const done = Promise.withResolvers<void>();
    this.#last = done.promise;
    await before;
    const timeout = this.#interruptAfter(timeoutMs);
    const events = this.#untilLast(timeout, timeoutMs);
    try {
      (this.#child.stdio[3] as Writable).write(`${JSON.stringify({ code, language })}\n`);
      for (let next = await events.next(); !next.done; next = await events.next()) yield next.value;
    } finally {
      void (async () => {
        while (!(await events.next()).done);
        timeout.stop();
        done.resolve();
      })();
    }
  }

  async *#untilLast(timeout: { over: boolean }, timeoutMs: number): AsyncGenerator<ExecutionEvent> {
    for (;;) {
      const { value: line, done: closed } = await this.#events.next();
      if (closed) {
        this.#closed = true;
        yield { type: "error", ...(timeout.over ? timedOut(timeoutMs) : ended) };
        return;
      }
      const { last, ...event } = JSON.parse(line);
      yield last && event.type === "error" && timeout.over ? { ...event, ...timedOut(timeoutMs) } : event;
      if (last) return;
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#signal("SIGKILL");
    await exited;
  }

  #interruptAfter(timeoutMs: number): { over: boolean; stop(): void } {
    let kill: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      timeout.over = true;
      // Python keeps its variables: the code sees a KeyboardInterrupt.
      if (this.language === "python") this.#signal("SIGINT");
      kill = setTimeout(() => this.#signal("SIGKILL"), this.language === "python" ? INTERRUPTION_MS : 0);
    }, timeoutMs);
    const timeout = {
      over: false,
      stop: () => {
        clearTimeout(timer);
        clearTimeout(kill);
      },
    };
    return timeout;
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#child.pid ?? 0), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

export class Interpreter {
  readonly #contexts = new Map<string, CodeContext>();
  readonly #workspace: string;
  readonly #timeoutMs: number;

  constructor(options: { workspace: string; timeoutMs?: number | undefined }) {
    this.#workspace = options.workspace;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  create(options: ContextOptions): CodeContext {
    const language = languageOf(options.language ?? "python");
    if (language === "python" && !pythonThere()) {
      const message = "Python interpreter not available. Use the image variant with Python, or add python3 to the image.";
      throw new RuntimeError("PYTHON_NOT_AVAILABLE", message, { originalError: message });
    }
    if (this.#contexts.size >= MAX_CONTEXTS) throw new RuntimeError("INTERNAL_ERROR", `More than ${MAX_CONTEXTS} code contexts`);
    const context = new CodeContext(language, options.cwd ?? this.#workspace, options.env ?? {});
    this.#contexts.set(context.id, context);
    return context;
  }

  list(): CodeContext[] {
    return [...this.#contexts.values()];
  }

  run(id: string, code: string, options: { language?: string | undefined; timeoutMs?: number | undefined }) {
    const context = this.#contexts.get(id);
    if (!context) throw new RuntimeError("CONTEXT_NOT_FOUND", `Context ${id} not found`, { contextId: id });
    if (!context.alive) {
      const message = "Context executor has terminated. Please delete and recreate the context.";
      throw new RuntimeError("INTERNAL_ERROR", message, { contextId: id });
    }
    const language = languageOf(options.language ?? context.language);
    return context.run(code, language, options.timeoutMs ?? this.#timeoutMs);
  }

  async delete(id: string): Promise<void> {
    const context = this.#contexts.get(id);
    if (!context) throw new RuntimeError("CONTEXT_NOT_FOUND", `Code context '${id}' not found`, { contextId: id });
    this.#contexts.delete(id);
    await context.end();
  }

  async stop(): Promise<void> {
    await Promise.all(this.list().map((context) => context.end()));
    this.#contexts.clear();
  }
}

function languageOf(name: string): Language {
  const language = LANGUAGES[name.toLowerCase()];
  if (!language) throw new RuntimeError("VALIDATION_FAILED", `Unsupported language: ${name}`, { language: name });
  return language;
}

function pythonThere(): boolean {
  return spawnSync("python3", ["--version"], { stdio: "ignore" }).status === 0;
}

const ended = { ename: "ExecutionError", evalue: "The interpreter ended", traceback: [] };

function timedOut(timeoutMs: number): { ename: string; evalue: string; traceback: string[] } {
  return { ename: "TimeoutError", evalue: `Execution timed out after ${timeoutMs}ms`, traceback: [] };
}
