/**
 * One engine process seen from the platform: starts it, sends one request at a time, hands on its answers. A process that
 * does not answer to a cancellation, takes too much memory or ends by itself is killed and never used again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { DuckDbError } from "../../../kernel/duckdb/errors.ts";
import { readTree, type SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import type { Log } from "../../../kernel/log.ts";
import { r2SqlError } from "../errors.ts";
import { lines } from "./lines.ts";
import type { ColumnSet, EngineMessage, EngineMetrics, EngineRequest, EngineSettings, ResultColumn } from "./protocol.ts";

/** How long an engine may take to stop after a cancellation. */
const CANCEL_GRACE_MS = 2000;
const MEMORY_CHECK_MS = 250;
const PAGE_BYTES = 4096;
/** What a process needs besides the memory of its query: code, the JavaScript heap, the result in flight. */
const OVERHEAD_BYTES = 384 * 1024 * 1024;

/** What runs: see `EngineRequest`. */
export type EngineQuery = Pick<EngineRequest & { op: "run" }, "sql" | "scope" | "files" | "stopsEarlyAt">;

/** Rows of a running query. */
export interface EngineRows {
  readonly columns: readonly ResultColumn[];
  /** JSON texts, each a list of rows. Read to the end; only then `metrics` resolves. */
  batches(): AsyncGenerator<string>;
  metrics(): EngineMetrics;
}

export class Engine {
  readonly #process: ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  readonly #settings: EngineSettings;
  readonly #log: Log;
  readonly #exited: Promise<void>;
  #watch: NodeJS.Timeout | undefined;
  #dead = false;
  #tooMuchMemory = false;

  private constructor(settings: EngineSettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
    // The same file with another ending when the project runs from its build.
    const file = fileURLToPath(new URL(`./engine-process.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url));
    this.#process = spawn(process.execPath, ["--max-old-space-size=256", file, JSON.stringify(settings)], {
      stdio: ["pipe", "ignore", "pipe", "pipe"],
      // Nothing of the platform's environment: it may hold secrets.
      env: { PATH: process.env.PATH ?? "", TZ: "UTC" },
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        if (!this.#dead) log.warn("r2_sql.engine_exited", { code, signal });
        this.#dead = true;
        resolve();
      });
      this.#process.once("error", (cause) => {
        if (!this.#dead) log.warn("r2_sql.engine_failed", { error: cause.message });
        this.#dead = true;
        resolve();
      });
    });
    // A pipe to a process that has ended: `#exited` already says so.
    this.#process.stdin?.on("error", () => {});
    this.#process.stderr?.on("data", (data: Buffer) => log.warn("r2_sql.engine_output", { text: data.toString().slice(0, 2000) }));
    this.#lines = lines(this.#process.stdio[3] as Readable);
    // When memory runs out, the system must end an engine and not the platform.
    if (this.#process.pid !== undefined) writeFile(`/proc/${this.#process.pid}/oom_score_adj`, "800").catch(() => {});
  }

  static start(settings: EngineSettings, log: Log): Engine {
    return new Engine(settings, log);
  }

  get usable(): boolean {
    return !this.#dead;
  }

  /** The syntax tree of each statement; throws `SqlSyntaxError`. */
  async parse(sql: string, signal: AbortSignal): Promise<SyntaxNode[]> {
    const message = await this.#request({ op: "parse", sql }, signal, () => this.#next());
    if (!("tree" in message)) throw new Error("parse: the engine answered something else");
    return readTree(message.tree);
  }

  /** The columns of files. */
  async columns(scope: string, files: readonly string[], signal: AbortSignal): Promise<readonly ColumnSet[]> {
    const message = await this.#request({ op: "columns", scope, files }, signal, () => this.#next());
    if (!("columnSets" in message)) throw new Error("columns: the engine answered something else");
    return message.columnSets;
  }

  /** DuckDB's plan of the query as JSON text. */
  async explain(query: EngineQuery, signal: AbortSignal): Promise<string> {
    const request = { op: "run", ...query, explain: true } as const;
    const message = await this.#request(request, signal, () => this.#next());
    if (!("plan" in message)) throw new Error("explain: the engine answered something else");
    return message.plan;
  }

  /**
   * Runs a query and gives its rows to `consume`; resolves with what that returns. Throws `DuckDbError`, or
   * `r2-sql.engineFailed` and `r2-sql.outOfMemory` when the process ended. An aborted signal ends it as "interrupted".
   */
  async run<T>(query: EngineQuery, signal: AbortSignal, consume: (rows: EngineRows) => Promise<T>): Promise<T> {
    return this.#request({ op: "run", ...query }, signal, async () => {
      const head = await this.#next();
      if (!("columns" in head)) throw new Error("run: the engine answered something else");
      let metrics: EngineMetrics | undefined;
      const next = (): Promise<string | EngineMetrics> => this.#nextRows();
      return consume({
        columns: head.columns,
        async *batches() {
          for (;;) {
            const message = await next();
            if (typeof message !== "string") {
              metrics = message;
              return;
            }
            yield message;
          }
        },
        metrics: () => {
          if (metrics === undefined) throw new Error("metrics: not all rows were read");
          return metrics;
        },
      });
    });
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    this.#dead = true;
    clearInterval(this.#watch);
    this.#process.kill("SIGKILL");
    await this.#exited;
    await rm(this.#settings.spill, { recursive: true, force: true });
  }

  /** Whatever happens, the engine is idle afterwards or will not be used again. */
  async #request<T>(request: EngineRequest, signal: AbortSignal, answer: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw new DuckDbError("interrupted", "the query was cancelled");
    let grace: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      this.#send({ op: "cancel" });
      grace = setTimeout(() => void this.kill(), CANCEL_GRACE_MS);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#watch = setInterval(() => this.#checkMemory(), MEMORY_CHECK_MS);
    let answered = false;
    try {
      this.#send(request);
      const result = await answer();
      answered = true;
      return result;
    } catch (cause) {
      // An error that the engine itself reported leaves it idle.
      answered = cause instanceof DuckDbError;
      throw cause;
    } finally {
      clearInterval(this.#watch);
      clearTimeout(grace);
      signal.removeEventListener("abort", onAbort);
      // Rows that nobody took are still on their way: a fresh process is cheaper than reading them.
      if (!answered) await this.kill();
    }
  }

  #send(request: EngineRequest): void {
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (!done) return value as string;
    this.#dead = true;
    if (this.#tooMuchMemory) throw r2SqlError("outOfMemory");
    throw r2SqlError("engineFailed");
  }

  async #next(): Promise<Exclude<EngineMessage, { error: unknown }>> {
    const message = JSON.parse(await this.#line()) as EngineMessage;
    if ("error" in message) throw new DuckDbError(message.error.kind, message.error.message);
    return message;
  }

  async #nextRows(): Promise<string | EngineMetrics> {
    const line = await this.#line();
    if (line.startsWith("[")) return line;
    const message = JSON.parse(line) as EngineMessage;
    if ("error" in message) throw new DuckDbError(message.error.kind, message.error.message);
    if (!("done" in message)) throw new Error("run: the engine answered something else");
    return message.done;
  }

  /** DuckDB bounds what it knows of; some functions allocate beside it. */
  #checkMemory(): void {
    const resident = residentBytes(this.#process.pid);
    if (resident <= this.#settings.memoryMb * 1024 * 1024 + OVERHEAD_BYTES) return;
    this.#tooMuchMemory = true;
    this.#log.warn("r2_sql.engine_memory", { resident, limit_mb: this.#settings.memoryMb });
    void this.kill();
  }
}

/** Memory of a process, without what it shares with files; 0 where the system does not tell. */
function residentBytes(pid: number | undefined): number {
  try {
    const [, resident = "0", shared = "0"] = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ");
    return (Number(resident) - Number(shared)) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
