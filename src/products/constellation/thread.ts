/**
 * A model's thread, from the platform's side. It answers one thing at a time: that it has loaded the model, then each run. What it
 * does not answer in time, or dies of, ends it.
 */
import { Worker } from "node:worker_threads";
import type { PlatformError } from "../../kernel/errors.ts";
import { threadProgram } from "../../kernel/file-threads.ts";
import { constellationError } from "./errors.ts";
import type { Reply, ThreadData } from "./model-thread.ts";

/** JavaScript's memory of a thread: the JSON of tensors, and XGBoost's trees. ONNX has its own beside it. */
const HEAP_MB = 512;

export interface Timeouts {
  readonly loadMs: number;
  readonly runMs: number;
}

interface Waiting {
  resolve(body: Uint8Array<ArrayBuffer>): void;
  reject(error: Error): void;
}

export class ModelThread {
  readonly #worker: Worker;
  readonly #timeouts: Timeouts;
  #waiting: Waiting | undefined;
  #ended: Error | undefined;
  /** The runtime as this thread has compiled it, for later ones' `ThreadData`. */
  compiled: object | undefined;

  private constructor(data: ThreadData, timeouts: Timeouts) {
    this.#timeouts = timeouts;
    this.#worker = new Worker(threadProgram(import.meta.url, "./model-thread.ts"), {
      ...{ workerData: data, env: {}, resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } },
      // What a runtime prints is about a model, of which the answer tells.
      ...{ stdout: true, stderr: true },
    });
    this.#worker.stdout.resume();
    this.#worker.stderr.resume();
    this.#worker.on("message", (reply: Reply) => this.#answered(reply));
    this.#worker.on("error", (cause) => this.#lost(cause));
    this.#worker.on("exit", () => this.#lost(new Error("the thread has ended")));
  }

  /** Resolves when the model is loaded. Throws `constellation.badModel`, `.noRuntime` or `.runEnded`; then there is no thread. */
  static async start(data: ThreadData, timeouts: Timeouts): Promise<ModelThread> {
    const thread = new ModelThread(data, timeouts);
    try {
      await thread.#answer(timeouts.loadMs);
      return thread;
    } catch (error) {
      await thread.end();
      const { code, message } = error as PlatformError;
      throw code === "constellation.runInvalid" ? constellationError("badModel", message) : error;
    }
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** The answer's body. Only when the last run has been answered. Throws `constellation.runInvalid` or `.runEnded`. */
  run(body: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const answer = this.#answer(this.#timeouts.runMs);
    this.#worker.postMessage(body);
    return answer;
  }

  /** Fails the run that is under way with the given error. Safe to call twice. */
  async end(error: Error = constellationError("runEnded")): Promise<void> {
    this.#ended ??= error;
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
    await this.#worker.terminate();
  }

  async #answer(timeoutMs: number): Promise<Uint8Array<ArrayBuffer>> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#waiting = { resolve, reject };
    const late = (): void => void this.end(constellationError("runEnded", `The run was ended: it took longer than ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #answered(reply: Reply): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (reply.ok) {
      this.compiled ??= reply.compiled;
      waiting?.resolve(reply.body);
    } else if (reply.kind === "model") waiting?.reject(constellationError("runInvalid", reply.message));
    else if (reply.kind === "runtime") waiting?.reject(constellationError("noRuntime"));
    else {
      this.#waiting = waiting;
      void this.end(constellationError("runEnded", `The run was ended: ${reply.message}`));
    }
  }

  #lost(cause: Error): void {
    const why = (cause as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY" ? "it took too much memory" : cause.message;
    void this.end(constellationError("runEnded", `The run was ended: ${why}`, { cause }));
  }
}
