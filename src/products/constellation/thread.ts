/**
 * A model's thread, from the platform's side. It answers one thing at a time: that it has loaded the model, then each run. What it
 * does not answer in time, or dies of, ends it.
 */
import type { PlatformError } from "../../kernel/errors.ts";
import { constellationError } from "./errors.ts";
import type { Reply, ThreadData } from "./model-thread.ts";
import type { Models, RemoteThread } from "./models.ts";

export interface Timeouts {
  readonly loadMs: number;
  readonly runMs: number;
}

interface Waiting {
  resolve(body: Uint8Array<ArrayBuffer>): void;
  reject(error: Error): void;
}

export class ModelThread {
  readonly #remote: RemoteThread;
  readonly #timeouts: Timeouts;
  #waiting: Waiting | undefined;
  #ended: Error | undefined;

  private constructor(models: Models, data: ThreadData, timeouts: Timeouts) {
    this.#timeouts = timeouts;
    this.#remote = models.start(data, {
      replied: (reply) => this.#answered(reply),
      lost: (why) => this.end(constellationError("runEnded", `The run was ended: ${why}`)),
    });
  }

  /** Resolves when the model is loaded. Throws `constellation.badModel`, `.noRuntime` or `.runEnded`; then there is no thread. */
  static async start(models: Models, data: ThreadData, timeouts: Timeouts): Promise<ModelThread> {
    const thread = new ModelThread(models, data, timeouts);
    try {
      await thread.#answer(timeouts.loadMs);
      return thread;
    } catch (error) {
      thread.end();
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
    this.#remote.run(body);
    return answer;
  }

  /** Fails the run that is under way with the given error. Safe to call twice. */
  end(error: Error = constellationError("runEnded")): void {
    this.#ended ??= error;
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
    this.#remote.end();
  }

  async #answer(timeoutMs: number): Promise<Uint8Array<ArrayBuffer>> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#waiting = { resolve, reject };
    const late = (): void => this.end(constellationError("runEnded", `The run was ended: it took longer than ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #answered(reply: Reply): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (reply.ok) {
      waiting?.resolve(reply.body);
    } else if (reply.kind === "model") waiting?.reject(constellationError("runInvalid", reply.message));
    else if (reply.kind === "runtime") waiting?.reject(constellationError("noRuntime"));
    else {
      this.#waiting = waiting;
      this.end(constellationError("runEnded", `The run was ended: ${reply.message}`));
    }
  }
}
