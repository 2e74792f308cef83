/**
 * Threads that hold files, from the main thread's side: whoever asks about a file is answered by the same thread, in order.
 * A thread that dies fails what it was asked and is started again by the next request: what it held is on disk.
 * `serveCalls` in `thread-calls.ts` is the other side.
 */
import { Worker } from "node:worker_threads";
import { isDiskFull } from "./durable-files.ts";
import { platformError } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Asking, Call, Reply } from "./thread-calls.ts";

export interface FileThreads<R extends Asking<R>> {
  /** `id` begins with eight hex digits, which choose the thread. Rejects with `busy()` when too many wait already. */
  call<K extends keyof R & string>(id: string, kind: K, ask: R[K]["ask"], options?: CallOptions): Promise<R[K]["answer"]>;
  stop(): Promise<void>;
}

export interface CallOptions {
  /** Moved to the thread instead of copied. */
  readonly transfer?: readonly ArrayBuffer[];
  /** For callers that bound themselves: the request waits however many others do. */
  readonly always?: boolean;
}

export interface FileThreadsOptions {
  readonly program: URL;
  readonly workerData: unknown;
  readonly threads: number;
  /** Begins the names of log events. */
  readonly name: string;
  readonly log: Log;
  busy(): Error;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve(answer: never): void; reject(error: unknown): void }>;
}

/** Requests that may wait for one thread. */
const WAITING_MAX = 1000;
const SQLITE_FULL = 13;

/**
 * A thread's program beside the caller's file, whose `import.meta.url` is `base`, named as it is in a checkout ("./engine-thread.ts"):
 * TypeScript there, JavaScript in the package.
 */
export const threadProgram = (base: string, name: string): URL => new URL(base.endsWith(".ts") ? name : name.replace(/ts$/, "js"), base);

/** Threads start when they are asked. */
export function openFileThreads<R extends Asking<R>>(options: FileThreadsOptions): FileThreads<R> {
  const { program, workerData, threads, name, log, busy } = options;
  const running: (Thread | undefined)[] = [];
  let calls = 0;
  let stopped = false;

  function start(at: number): Thread {
    const worker = new Worker(program, { workerData });
    const thread: Thread = { worker, waiting: new Map() };
    worker.on("message", (reply: Reply) => {
      const waiting = thread.waiting.get(reply.call);
      thread.waiting.delete(reply.call);
      if (reply.ok) waiting?.resolve(reply.answer as never);
      else waiting?.reject(isFull(reply.error) ? platformError("storageFull", undefined, { cause: reply.error }) : reply.error);
    });
    const fail = (cause: unknown): void => {
      if (running[at] === thread) running[at] = undefined;
      for (const { reject } of thread.waiting.values()) reject(platformError("engineLost", undefined, { cause }));
      thread.waiting.clear();
    };
    worker.on("error", (error) => {
      log.error(`${name}.thread_failed`, { error });
      fail(error);
    });
    worker.on("exit", () => fail(new Error("the thread has ended")));
    running[at] = thread;
    return thread;
  }

  return {
    call(id, kind, ask, { transfer = [], always = false } = {}) {
      if (stopped) return Promise.reject(platformError("engineLost"));
      const at = Number.parseInt(id.slice(0, 8), 16) % threads;
      const thread = running[at] ?? start(at);
      if (!always && thread.waiting.size >= WAITING_MAX) return Promise.reject(busy());
      return new Promise((resolve, reject) => {
        const call = calls++;
        thread.worker.postMessage({ call, kind, ask } satisfies Call, transfer);
        thread.waiting.set(call, { resolve: resolve as (answer: never) => void, reject });
      });
    },
    async stop() {
      stopped = true;
      await Promise.all(running.map((thread) => thread?.worker.terminate()));
    },
  };
}

const isFull = (error: unknown): boolean =>
  isDiskFull(error) || (((error as { errcode?: number } | null)?.errcode ?? 0) & 0xff) === SQLITE_FULL;
