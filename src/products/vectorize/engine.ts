/**
 * The threads that hold the indexes, from the main thread's side. An index always lies with the same thread, which
 * answers in order; a thread that dies fails what it was asked and is started again by the next request: its indexes are
 * on disk.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { isDiskFull } from "../../kernel/durable-files.ts";
import { platformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Call, EngineIndex, Kind, Reply, Requests, ThreadData } from "./engine-protocol.ts";
import { vectorizeError } from "./errors.ts";

export interface Engine {
  /** Throws `vectorize.tooManyRequests` when too many wait already. */
  call<K extends Kind>(
    index: EngineIndex,
    kind: K,
    ask: Requests[K]["ask"],
    transfer?: readonly ArrayBuffer[],
  ): Promise<Requests[K]["answer"]>;
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** Where the files of indexes lie; nothing else does. */
  readonly directory: string;
  readonly threads: number;
  /** For all threads together. */
  readonly memoryBytes: number;
  readonly log: Log;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve(answer: never): void; reject(error: unknown): void }>;
}

/** Requests that may wait for one thread. */
const WAITING_MAX = 1000;
const SQLITE_FULL = 13;

/** `known` tells which indexes there are: files of others are what deletions left behind when they were interrupted. */
export async function openEngine({ directory, threads, memoryBytes, log }: EngineOptions, known: (id: string) => boolean): Promise<Engine> {
  for (const file of await readdir(directory)) if (!known(file.replace(/\.sqlite.*$/, ""))) await rm(join(directory, file));
  const running: (Thread | undefined)[] = [];
  let calls = 0;
  let stopped = false;

  function start(at: number): Thread {
    // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const workerData: ThreadData = { directory, memoryBytes: Math.floor(memoryBytes / threads) };
    const worker = new Worker(new URL(`./engine-thread.${extension}`, import.meta.url), { workerData });
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
      log.error("vectorize.thread_failed", { error });
      fail(error);
    });
    worker.on("exit", () => fail(new Error("the thread has ended")));
    running[at] = thread;
    return thread;
  }

  return {
    call(index, kind, ask, transfer = []) {
      if (stopped) return Promise.reject(platformError("engineLost"));
      const at = Number.parseInt(index.id.slice(0, 8), 16) % threads;
      const thread = running[at] ?? start(at);
      // What the journal holds must get in; the one loop that brings it waits for each answer.
      if (kind !== "apply" && thread.waiting.size >= WAITING_MAX) return Promise.reject(vectorizeError("tooManyRequests"));
      return new Promise((resolve, reject) => {
        const call = calls++;
        thread.worker.postMessage({ call, index, kind, ask } as Call, transfer);
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
