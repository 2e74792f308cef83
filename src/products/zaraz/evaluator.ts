/**
 * Plans events in a thread, one at a time, so that no expression of a user's holds up the platform: a plan that takes too
 * long fails and its thread is ended; the next one starts another. Time in which a Worker is waited for is not the plan's,
 * nor is that of a thread's start. The limit is wide, for it is time on a clock: a busy machine must not fail a plan.
 */
import { Worker } from "node:worker_threads";
import { threadProgram } from "../../kernel/file-threads.ts";
import type { Log } from "../../kernel/log.ts";
import type { FromThread, ToThread } from "./evaluator-thread.ts";
import type { Plan, PlanAsk, WorkerValue } from "./plan.ts";

/** The configuration's doing, or that of too many events: no failure of the platform's. */
export class PlanError extends Error {}

export interface Evaluator {
  /** Rejects when too many wait, when the plan takes too long, and once stopped. */
  plan(ask: PlanAsk, workerValue: WorkerValue): Promise<Plan>;
  stop(): Promise<void>;
}

const WAITING_MAX = 500;

interface Job {
  readonly ask: PlanAsk;
  readonly workerValue: WorkerValue;
  resolve(plan: Plan): void;
  reject(error: Error): void;
}

/** `planMaxMs`: how long a plan may take. */
export function openEvaluator(log: Log, planMaxMs: number): Evaluator {
  const queue: Job[] = [];
  let thread: Worker | undefined;
  /** The thread has started. */
  let ready = false;
  let running: Job | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function lose(lost: Worker, error: Error): void {
    if (thread !== lost) return;
    thread = undefined;
    finish((job) => job.reject(error));
  }

  function start(): Worker {
    const worker = new Worker(threadProgram(import.meta.url, "./evaluator-thread.ts"), {
      resourceLimits: { maxOldGenerationSizeMb: 128 },
    });
    worker.on("message", (message: FromThread) => {
      if (thread !== worker) return;
      if ("ready" in message) {
        ready = true;
        if (running !== undefined) watch();
        return;
      }
      if ("plan" in message) return finish((job) => job.resolve(message.plan));
      if ("failed" in message) return finish((job) => job.reject(new PlanError(message.failed)));
      void answer(worker, message.wanted);
    });
    worker.on("error", (error) => lose(worker, error));
    worker.on("exit", () => lose(worker, new PlanError("the thread of expressions has ended")));
    worker.unref();
    ready = false;
    return worker;
  }

  async function answer(worker: Worker, variable: string): Promise<void> {
    const job = running as Job;
    clearTimeout(timer);
    const value = await job.workerValue(variable).catch((error: unknown) => {
      log.warn("zaraz.variable_failed", { variable, error });
      return "";
    });
    if (thread !== worker || running !== job) return;
    watch();
    worker.postMessage({ variable, value } satisfies ToThread);
  }

  function watch(): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const slow = thread as Worker;
      lose(slow, new PlanError("the expressions of the configuration take too long"));
      void slow.terminate();
    }, planMaxMs).unref();
  }

  function finish(settle: (job: Job) => void): void {
    clearTimeout(timer);
    const job = running;
    running = undefined;
    if (job !== undefined) settle(job);
    next();
  }

  function next(): void {
    if (running !== undefined || stopped) return;
    running = queue.shift();
    if (running === undefined) return;
    thread ??= start();
    if (ready) watch();
    thread.postMessage({ ask: running.ask } satisfies ToThread);
  }

  return {
    plan(ask, workerValue) {
      if (stopped || queue.length >= WAITING_MAX) return Promise.reject(new PlanError("too many events wait"));
      return new Promise((resolve, reject) => {
        queue.push({ ask, workerValue, resolve, reject });
        next();
      });
    },
    async stop() {
      stopped = true;
      const error = new Error("the platform stops");
      for (const job of queue.splice(0)) job.reject(error);
      const last = thread;
      thread = undefined;
      finish((job) => job.reject(error));
      await last?.terminate();
    },
  };
}
