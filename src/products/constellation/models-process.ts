/**
 * The process in which models' threads live: V8 ends the whole process when a thread's heap is full at the wrong moment, and that
 * must not be the platform's. Passes messages between the platform and the threads; ends with the platform.
 */
import { Worker } from "node:worker_threads";
import { threadProgram } from "../../kernel/file-threads.ts";
import type { Reply, ThreadData } from "./model-thread.ts";

/** About the thread of that number. */
export type ToModels = { readonly thread: number } & (
  | { readonly start: ThreadData }
  | { readonly run: Uint8Array }
  | { readonly end: true }
);
export type FromModels = { readonly thread: number } & ({ readonly reply: Reply } | { readonly lost: string });

/** JavaScript's memory of a thread: the JSON of tensors, and XGBoost's trees. ONNX has its own beside it. */
const HEAP_MB = 512;

const threads = new Map<number, Worker>();
/** ONNX Runtime, compiled by the first thread that needed it. */
let compiled: object | undefined;

const tell = (message: FromModels): void => void process.send?.(message);

function start(thread: number, data: ThreadData): void {
  const worker = new Worker(threadProgram(import.meta.url, "./model-thread.ts"), {
    ...{ workerData: { ...data, compiled }, env: {}, resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } },
    // What a runtime prints is about a model, of which the answer tells.
    ...{ stdout: true, stderr: true },
  });
  threads.set(thread, worker);
  worker.stdout.resume();
  worker.stderr.resume();
  const lost = (why: string): void => {
    if (threads.delete(thread)) tell({ thread, lost: why });
  };
  worker.on("message", (reply: Reply) => {
    if (!reply.ok || reply.compiled === undefined) return tell({ thread, reply });
    compiled ??= reply.compiled;
    tell({ thread, reply: { ok: true, body: reply.body } });
  });
  worker.on("error", (error: NodeJS.ErrnoException) =>
    lost(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "it took too much memory" : error.message),
  );
  worker.on("exit", () => lost("the thread has ended"));
}

process.on("message", (message: ToModels) => {
  if ("start" in message) return start(message.thread, message.start);
  const worker = threads.get(message.thread);
  if ("run" in message) return worker?.postMessage(message.run);
  threads.delete(message.thread);
  void worker?.terminate();
});
process.on("disconnect", () => process.exit());
