/**
 * Rewriting of data files, seen from the platform: one job at a time in a process of low priority (`rewrite-process.ts`),
 * which is started for the first job and ended by `close`. Output files are the caller's to move or delete.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { setPriority } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DuckDbError, type DuckDbErrorKind } from "../../../kernel/duckdb/errors.ts";
import type { WrittenFile } from "../../../kernel/duckdb/parquet.ts";
import type { Log } from "../../../kernel/log.ts";

export interface RewriterSettings {
  readonly memoryMb: number;
  readonly threads: number;
  /** Directory for what does not fit in memory. */
  readonly spill: string;
}

export interface RewriteJob {
  /** A SELECT over the files. */
  readonly sql: string;
  /** Data files, local. */
  readonly data: readonly string[];
  /** Every local file that the SELECT reads. */
  readonly files: readonly string[];
  /** Where to write, in a directory of its own. */
  readonly output: string;
  readonly compression: string;
  readonly rowGroupBytes: number;
  readonly fieldIds: string;
}

export type RewriteAnswer =
  /** Undefined when no row is left. */
  | { readonly written: WrittenFile | undefined }
  /** Data files whose columns have no field ids: nothing was written. */
  | { readonly anonymous: number }
  | { readonly error: { readonly kind: DuckDbErrorKind; readonly message: string } };

/** Queries and ingest go first. */
const PRIORITY = 10;

export class Rewriter {
  readonly #settings: RewriterSettings;
  readonly #log: Log;
  #process: ChildProcess | undefined;

  /** `directory` is the caller's alone: for what does not fit in memory. */
  constructor(directory: string, memoryMb: number, threads: number, log: Log) {
    this.#settings = { memoryMb, threads, spill: join(directory, "spill") };
    this.#log = log;
  }

  /** Throws `DuckDbError`; an aborted signal ends the process, and the job as "interrupted". */
  async run(job: RewriteJob, signal: AbortSignal): Promise<Exclude<RewriteAnswer, { error: unknown }>> {
    if (signal.aborted) throw new DuckDbError("interrupted", "the rewrite was interrupted");
    await mkdir(this.#settings.spill, { recursive: true });
    this.#process ??= this.#start();
    const child = this.#process;
    const onAbort = (): void => void child.kill("SIGKILL");
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const answer = await new Promise<RewriteAnswer>((resolve, reject) => {
        const gone = (): void =>
          reject(new DuckDbError(signal.aborted ? "interrupted" : "internal", "the process that rewrites files has ended"));
        child.once("exit", gone);
        child.once("message", (message) => {
          child.off("exit", gone);
          resolve(message as RewriteAnswer);
        });
        child.send(job, (error) => error !== null && gone());
      });
      if ("error" in answer) throw new DuckDbError(answer.error.kind, answer.error.message);
      return answer;
    } catch (cause) {
      await this.close();
      throw cause;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Ends the process and removes its files. Safe to call twice. */
  async close(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    await rm(this.#settings.spill, { recursive: true, force: true });
  }

  #start(): ChildProcess {
    // The same file with another ending when the project runs from its build.
    const file = fileURLToPath(new URL(`./rewrite-process.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url));
    const child = spawn(process.execPath, ["--max-old-space-size=128", file, JSON.stringify(this.#settings)], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "advanced",
      // Nothing of the platform's environment: it may hold secrets.
      env: { PATH: process.env.PATH ?? "", TZ: "UTC" },
    });
    child.once("error", (cause) => this.#log.warn("catalog.rewriter_failed", { error: cause.message }));
    child.stderr?.on("data", (data: Buffer) => this.#log.warn("catalog.rewriter_output", { text: data.toString().slice(0, 2000) }));
    if (child.pid !== undefined) {
      setPriority(child.pid, PRIORITY);
      // When memory runs out, the system must end this process and not the platform. Where there is no such file it cannot say so.
      writeFile(`/proc/${child.pid}/oom_score_adj`, "800").catch((error: Error) =>
        this.#log.debug("catalog.rewriter_oom_score", { error: error.message }),
      );
    }
    return child;
  }
}
