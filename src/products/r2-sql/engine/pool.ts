/**
 * The engine processes: how many, who gets one next, when they end. Queries wait in line; the line is bounded, and
 * callers take turns, so that one who sends many does not hold up the others.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../../kernel/log.ts";
import { r2SqlError } from "../errors.ts";
import { Engine } from "./engine.ts";

export interface PoolOptions {
  /** Engines at most, which is also the number of queries that run at a time. */
  readonly size: number;
  /** Queries that may wait. */
  readonly waitingMax: number;
  /** How long a query may wait for its turn. */
  readonly waitMs: number;
  readonly memoryMb: number;
  readonly threads: number;
  /** Directory for what does not fit in memory. */
  readonly scratch: string;
  /** An engine without work ends after this long. */
  readonly idleMs: number;
  readonly log: Log;
}

interface Waiter {
  readonly caller: string;
  readonly grant: (engine: Engine) => void;
  readonly refuse: (cause: Error) => void;
}

export class EnginePool {
  readonly #options: PoolOptions;
  readonly #idle: { engine: Engine; timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<Engine>();
  /** Waiting queries by caller, callers in the order of their next turn. */
  readonly #waiting = new Map<string, Waiter[]>();
  #waitingCount = 0;
  #started = 0;
  #stopped = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Queries that run and that wait. */
  get load(): { running: number; waiting: number } {
    return { running: this.#busy.size, waiting: this.#waitingCount };
  }

  /**
   * Runs `work` with an engine of its own, as soon as it is the caller's turn. Throws `r2-sql.tooManyQueries` when the line
   * is full or the wait too long, and the signal's reason when it fires while waiting.
   */
  async use<T>(caller: string, signal: AbortSignal, work: (engine: Engine) => Promise<T>): Promise<T> {
    const engine = await this.#acquire(caller, signal);
    try {
      return await work(engine);
    } finally {
      this.#release(engine);
    }
  }

  /** Ends every engine; queries that run or wait fail. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const waiter of [...this.#waiting.values()].flat()) waiter.refuse(r2SqlError("engineFailed"));
    this.#waiting.clear();
    this.#waitingCount = 0;
    const idle = this.#idle.splice(0);
    for (const { timer } of idle) clearTimeout(timer);
    await Promise.all([...idle.map(({ engine }) => engine.kill()), ...[...this.#busy].map((engine) => engine.kill())]);
  }

  #acquire(caller: string, signal: AbortSignal): Promise<Engine> {
    if (this.#stopped) return Promise.reject(r2SqlError("engineFailed"));
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#busy.size < this.#options.size && this.#waitingCount === 0) return this.#take();
    if (this.#waitingCount >= this.#options.waitingMax) return Promise.reject(r2SqlError("tooManyQueries"));
    return new Promise((resolve, reject) => {
      const giveUp = (cause: Error): void => {
        this.#leave(waiter);
        settled();
        reject(cause);
      };
      const onAbort = (): void => giveUp(signal.reason as Error);
      const timer = setTimeout(() => giveUp(r2SqlError("tooManyQueries")), this.#options.waitMs);
      const settled = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        caller,
        grant(engine) {
          settled();
          resolve(engine);
        },
        refuse(cause) {
          settled();
          reject(cause);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const line = this.#waiting.get(caller);
      if (line === undefined) this.#waiting.set(caller, [waiter]);
      else line.push(waiter);
      this.#waitingCount++;
    });
  }

  async #take(): Promise<Engine> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      clearTimeout(idle.timer);
      if (!idle.engine.usable) continue;
      this.#busy.add(idle.engine);
      return idle.engine;
    }
    const { memoryMb, threads, log } = this.#options;
    const spill = join(this.#options.scratch, `engine-${process.pid}-${this.#started++}`);
    const engine = Engine.start({ memoryMb, threads, spill }, log);
    this.#busy.add(engine);
    await mkdir(this.#options.scratch, { recursive: true });
    return engine;
  }

  #release(engine: Engine): void {
    this.#busy.delete(engine);
    if (engine.usable && !this.#stopped) {
      const timer = setTimeout(() => {
        const at = this.#idle.findIndex((idle) => idle.engine === engine);
        if (at !== -1) this.#idle.splice(at, 1);
        void engine.kill();
      }, this.#options.idleMs);
      timer.unref();
      this.#idle.push({ engine, timer });
    }
    const waiter = this.#nextWaiter();
    if (waiter !== undefined) this.#take().then(waiter.grant, waiter.refuse);
  }

  /** The first of the caller whose turn it is; that caller then goes to the end. */
  #nextWaiter(): Waiter | undefined {
    const entry = this.#waiting.entries().next();
    if (entry.done) return undefined;
    const [caller, line] = entry.value;
    const waiter = line.shift();
    this.#waiting.delete(caller);
    if (line.length > 0) this.#waiting.set(caller, line);
    this.#waitingCount--;
    return waiter;
  }

  #leave(waiter: Waiter): void {
    const line = this.#waiting.get(waiter.caller);
    const at = line?.indexOf(waiter) ?? -1;
    if (line === undefined || at === -1) return;
    line.splice(at, 1);
    if (line.length === 0) this.#waiting.delete(waiter.caller);
    this.#waitingCount--;
  }
}
