/**
 * The SFU from the platform's thread: starts its thread with the first session, and passes calls. A thread that dies takes
 * all sessions with it; the next call starts another on the same port.
 */
import { Worker } from "node:worker_threads";
import type { KernelSlice } from "../../../kernel/product.ts";
import { RtcError } from "../errors.ts";
import type { FromSfu, Operation, SfuSettings, ToSfu } from "./sfu-protocol.ts";

export interface Engine {
  /** The answer's body. Throws an `RtcError`. */
  call(app: string, session: string, operation: Operation, body: unknown): Promise<unknown>;
  closeApp(app: string): void;
  /** Where media is taken: "127.0.0.1:41234"; empty when there was none yet. */
  readonly address: string;
  stop(): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, { resolve(body: unknown): void; reject(error: unknown): void }>;
}

/** Calls that may wait; each may wait for a connection for five seconds. */
const WAITING_MAX = 10_000;

export function openEngine({ config, log }: Pick<KernelSlice, "config" | "log">): Engine {
  let started: Promise<Thread> | undefined;
  let port = config["realtime.sfu_port"];
  let address = "";
  let calls = 0;
  let stopped = false;

  function start(): Promise<Thread> {
    const workerData: SfuSettings = {
      host: config["realtime.sfu_host"],
      port,
      addresses: config["realtime.sfu_addresses"],
      sessionsMax: config["realtime.sfu_sessions_max"],
      trackTimeoutMs: config["realtime.sfu_track_timeout_ms"],
      bitsPerS: config["realtime.sfu_session_bits_per_s"],
    };
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./sfu-thread.${extension}`, import.meta.url), { workerData });
    const thread: Thread = { worker, waiting: new Map() };
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void => {
        started = undefined;
        reject(cause);
        for (const waiting of thread.waiting.values()) waiting.reject(new RtcError(503, "internal_error", "The SFU was restarted"));
        thread.waiting.clear();
      };
      worker.on("message", (message: FromSfu) => {
        if (message.type === "listening") {
          port = message.candidates[0]?.port ?? port;
          address = message.candidates.map((one) => `${one.address}:${one.port}`).join(", ");
          log.info("sfu.listening", { address });
          resolve(thread);
        } else if (message.type === "failed") reject(new Error(`the SFU cannot listen: ${message.message}`));
        else if (message.type === "mishap") log.warn("sfu.client_failed", { error: message.error });
        else settle(thread, message);
      });
      worker.on("error", (error) => {
        if (!stopped) log.error("sfu.thread_failed", { error });
        fail(error);
      });
      worker.on("exit", () => fail(new Error("the thread of the SFU has ended")));
    });
  }

  function settle({ waiting }: Thread, message: FromSfu): void {
    if (!("call" in message)) return;
    const waits = waiting.get(message.call);
    waiting.delete(message.call);
    if (message.type === "answer") waits?.resolve(message.body);
    else if (message.type === "refusal")
      waits?.reject(new RtcError(message.failure.status, message.failure.code, message.failure.description));
    else waits?.reject(message.error);
  }

  return {
    get address() {
      return address;
    },
    async call(app, session, operation, body) {
      if (stopped) throw new RtcError(503, "internal_error", "The platform stops");
      started ??= start();
      const { worker, waiting } = await started;
      if (waiting.size >= WAITING_MAX) throw new RtcError(503, "internal_error", "Too many calls wait for the SFU");
      return new Promise((resolve, reject) => {
        const call = calls++;
        waiting.set(call, { resolve, reject });
        worker.postMessage({ type: "call", call, app, session, operation, body } satisfies ToSfu);
      });
    },
    closeApp(app) {
      void started?.then(({ worker }) => worker.postMessage({ type: "closeApp", app } satisfies ToSfu)).catch(() => undefined);
    },
    async stop() {
      stopped = true;
      const thread = await started?.catch(() => undefined);
      if (thread === undefined) return;
      const ended = new Promise<void>((resolve) => thread.worker.once("exit", () => resolve()));
      thread.worker.postMessage({ type: "stop" } satisfies ToSfu);
      await ended;
    },
  };
}
