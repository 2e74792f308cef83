/**
 * Digests on threads of their own. MD5, which every object needs, runs at less than the speed of a disk: on the main
 * thread one large upload would hold up every other request for most of its time. Threads start with the first large
 * upload and do not keep the process alive.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { HashAnswer, HashRequest } from "./hash-thread.ts";
import type { DigestName, Digests } from "./model.ts";

/** The digests of one body. Calls follow one another: a new one only when the last has resolved. */
export interface HashLane {
  /** Resolves when the memory may be written to again. */
  update(memory: SharedArrayBuffer, length: number): Promise<void>;
  /** Ends the lane. */
  digest(): Promise<Digests>;
  /** Ends the lane without a result. Does nothing after `digest`. */
  drop(): void;
}

export interface HashPool {
  open(names: readonly DigestName[]): HashLane;
  stop(): Promise<void>;
}

interface Waiting {
  resolve(answer: HashAnswer): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  lanes: number;
}

const THREADS_MAX = 4;

export function hashPool(): HashPool {
  const threads: Thread[] = [];
  const most = Math.max(1, Math.min(THREADS_MAX, availableParallelism() - 1));
  let nextLane = 1;

  function start(): Thread {
    // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./hash-thread.${extension}`, import.meta.url));
    const thread: Thread = { worker, waiting: new Map(), lanes: 0 };
    worker.unref();
    worker.on("message", (answer: HashAnswer) => {
      const waiting = thread.waiting.get(answer.lane);
      thread.waiting.delete(answer.lane);
      waiting?.resolve(answer);
    });
    const fail = (error: Error) => {
      const at = threads.indexOf(thread);
      if (at !== -1) threads.splice(at, 1);
      for (const waiting of thread.waiting.values()) waiting.reject(error);
      thread.waiting.clear();
    };
    worker.on("error", fail);
    worker.on("exit", () => fail(new Error("the hashing thread has ended")));
    threads.push(thread);
    return thread;
  }

  return {
    open(names) {
      const idle = threads.find((thread) => thread.lanes === 0);
      const least = threads.toSorted((a, b) => a.lanes - b.lanes)[0];
      const thread = idle ?? (threads.length < most || least === undefined ? start() : least);
      const lane = nextLane++;
      let open = true;
      thread.lanes++;
      const send = (request: HashRequest) => thread.worker.postMessage(request);
      const ask = (request: HashRequest) =>
        new Promise<HashAnswer>((resolve, reject) => {
          if (!threads.includes(thread)) return reject(new Error("the hashing thread has ended"));
          thread.waiting.set(lane, { resolve, reject });
          send(request);
        });
      const end = () => {
        open = false;
        thread.lanes--;
      };
      send({ kind: "open", lane, names });
      return {
        async update(memory, length) {
          await ask({ kind: "update", lane, memory, length });
        },
        async digest() {
          const { digests } = await ask({ kind: "digest", lane });
          end();
          return digests as Digests;
        },
        drop() {
          if (!open) return;
          end();
          send({ kind: "drop", lane });
        },
      };
    },
    async stop() {
      await Promise.all(threads.map((thread) => thread.worker.terminate()));
    },
  };
}
