/**
 * Checks and encodes the bodies of ingest requests: small ones here and now, large ones on threads, so that a machine
 * with more cores takes more events. A body of 1 MB costs some 5 ms; while the threads have enough to do, the main
 * thread encodes as well, which is what slows senders down. Threads start with the first large body and do not keep
 * the process alive.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { EncodingAnswer, EncodingRequest } from "./encoding-thread.ts";
import { ingestError } from "./errors.ts";
import type { Field } from "./fields.ts";
import type { RecordCheck } from "./record-check.ts";
import { type Batch, encodeBatch, type LineForm } from "./records.ts";

/** What events must be like. Both undefined: any JSON value. */
export interface Schema {
  readonly fields: readonly Field[] | undefined;
  /** `recordCheck(fields)`. */
  readonly check: RecordCheck | undefined;
}

export interface Encoder {
  /**
   * As `encodeBatch`, with its errors. The body is no longer the caller's: it may be gone.
   *
   * @param time of ingest, milliseconds since the epoch
   */
  encode(body: Buffer, schema: Schema, time: number, form?: LineForm): Promise<Batch | undefined>;
  /** Ends the threads; what they work on is rejected. */
  stop(): Promise<void>;
}

export interface EncoderOptions {
  /** One less than the machine's cores, and at most this; the main thread is the one left. */
  readonly threadsMax?: number;
  /** Bodies from this size on are worth the way to a thread and back, some 0.1 ms. */
  readonly threadBytesMin?: number;
}

interface Waiting {
  resolve(batch: Batch | undefined): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

/** The one that is encoded, and one that waits so that the thread need not. */
const BODIES_PER_THREAD = 2;

export function openEncoder({ threadsMax = 4, threadBytesMin = 64 * 1024 }: EncoderOptions = {}): Encoder {
  const threads = new Set<Thread>();
  const most = Math.min(threadsMax, availableParallelism() - 1);
  let nextId = 1;

  function start(): Thread {
    // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./encoding-thread.${extension}`, import.meta.url));
    const thread: Thread = { worker, waiting: new Map() };
    worker.unref();
    worker.on("message", (answer: EncodingAnswer) => {
      const waiting = thread.waiting.get(answer.id) as Waiting;
      thread.waiting.delete(answer.id);
      if (answer.kind === "encoded") waiting.resolve(answer.batch);
      else waiting.reject(answer.kind === "refused" ? refusal(answer) : new Error(`encode events: ${answer.message}`));
    });
    const fail = (error: Error): void => {
      threads.delete(thread);
      for (const waiting of thread.waiting.values()) waiting.reject(error);
      thread.waiting.clear();
    };
    worker.on("error", fail);
    worker.on("exit", () => fail(new Error("the encoding thread has ended")));
    threads.add(thread);
    return thread;
  }

  /** A thread that takes one body more, if there is one or may be. */
  function free(): Thread | undefined {
    const [least] = [...threads].sort((a, b) => a.waiting.size - b.waiting.size);
    if (least !== undefined && (least.waiting.size === 0 || threads.size >= most)) {
      return least.waiting.size < BODIES_PER_THREAD ? least : undefined;
    }
    return threads.size < most ? start() : undefined;
  }

  return {
    async encode(body, { fields, check }, time, form = "timed") {
      const whole = body.byteLength === body.buffer.byteLength;
      const thread = whole && body.byteLength >= threadBytesMin ? free() : undefined;
      if (thread === undefined) return encodeBatch(body, check, time, form);
      const id = nextId++;
      const memory = new Uint8Array(body.buffer as ArrayBuffer);
      return new Promise((resolve, reject) => {
        thread.waiting.set(id, { resolve, reject });
        thread.worker.postMessage({ id, body: memory, fields, time, form } satisfies EncodingRequest, [memory.buffer]);
      });
    },
    async stop() {
      await Promise.all([...threads].map(({ worker }) => worker.terminate()));
    },
  };
}

const refusal = ({ code, message }: { readonly code: string; readonly message: string }): Error =>
  ingestError(code.slice("pipelines.ingest.".length) as Parameters<typeof ingestError>[0], message);
