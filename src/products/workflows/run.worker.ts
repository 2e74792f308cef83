/**
 * One run of an instance, as the driver sees it: counts the steps, runs callbacks with their timeouts, decides about
 * retries, and remembers rollbacks. What it may do next is the engine's answer; a result counts once the engine has it.
 */
import { milliseconds } from "./durations.worker.ts";
import {
  type Answer,
  type ErrorInfo,
  EVENT_TIMEOUT,
  type Questions,
  type RollbackOutcome,
  RUN_HEADER,
  type RunOrder,
  type RunOutcome,
  STREAM_PATH,
  type StepKey,
  type StepResult,
  type StepType,
  WAIT_MAX_MS,
} from "./protocol.worker.ts";
import { type Callback, checkName, contextConfig, fatal, type Settings, settingsOf, stepArguments } from "./step-config.worker.ts";
import { decode, encode, NotSerialisable } from "./values.worker.ts";

export interface DriverEnv {
  readonly ENGINE: Fetcher;
  /** Compatibility flag of the user's Worker: errors of NonRetryableError keep their words. */
  readonly PRESERVE_ERRORS: boolean;
}

/** The engine has ended this run; whatever it still does counts for nothing. */
export class RunOver extends Error {}

/** The way to the engine, for one run. */
export class Engine {
  readonly #fetcher: Fetcher;
  readonly #run: string;

  constructor(fetcher: Fetcher, run: string) {
    this.#fetcher = fetcher;
    this.#run = run;
  }

  async ask<K extends keyof Questions>(question: K, content: Questions[K]): Promise<Answer> {
    const response = await this.#send(`/${question}`, { method: "POST", body: JSON.stringify(content) });
    return (await response.json()) as Answer;
  }

  async keepStream(key: StepKey, attempt: number, body: ReadableStream): Promise<Answer> {
    const response = await this.#send(streamPath(key, attempt), { method: "PUT", body });
    return (await response.json()) as Answer;
  }

  async stream(key: StepKey): Promise<ReadableStream> {
    const response = await this.#send(streamPath(key), { method: "GET" });
    return response.body as ReadableStream;
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const response = await this.#fetcher.fetch(`http://engine${path}`, { ...init, headers: { [RUN_HEADER]: this.#run } });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new RunOver();
  }
}

const streamPath = (key: StepKey, attempt = 0): string =>
  `${STREAM_PATH}?key=${encodeURIComponent(JSON.stringify(key))}&attempt=${attempt}`;

/** Longest time of one timer. */
const TIMER_MAX_MS = 2 ** 31 - 1;
const DELAY_FUNCTION_MS = 5_000;
/** Characters that are kept of an error. */
const ERROR_MAX = 16 * 1024;
/** Most sleeps and waits of a run, which no limit of steps counts. */
const WAITS_MAX = 100_000;

interface Undo {
  readonly key: StepKey;
  readonly call: (input: object) => Promise<unknown>;
  readonly settings: Settings;
  readonly context: object;
  result: StepResult | undefined;
}

export class Run {
  readonly #order: RunOrder;
  readonly #engine: Engine;
  readonly #preserveErrors: boolean;
  readonly #results: Map<string, StepResult>;
  readonly #counts = new Map<string, number>();
  /** By when they finished, the oldest first; those that have not are at the end. */
  readonly #undos: Undo[] = [];
  #reached = 0;
  #waited = 0;

  constructor(order: RunOrder, engine: Engine, preserveErrors: boolean) {
    this.#order = order;
    this.#engine = engine;
    this.#preserveErrors = preserveErrors;
    this.#results = new Map(order.results.map(([key, result]) => [nameOf(key), result]));
  }

  async do(name: string, rest: readonly unknown[]): Promise<unknown> {
    const { config, callback, rollback } = stepArguments(name, rest);
    this.#count();
    const key = this.#key("do", name);
    const settings = settingsOf(name, config);
    const undo: Undo | undefined = rollback && {
      key,
      // The stub ends with this call unless it is duplicated.
      call: rollback.rollback.dup?.() ?? rollback.rollback,
      settings: settingsOf(name, rollback.rollbackConfig ?? {}),
      context: contextOf(key, settings, 1),
      result: undefined,
    };
    if (undo !== undefined) this.#undos.push(undo);
    const result = await this.#toResult(key, settings, callback, undo !== undefined).catch((error: unknown) => {
      // It was never reached.
      if (undo !== undefined) this.#undos.splice(this.#undos.indexOf(undo), 1);
      throw error;
    });
    if (undo !== undefined) {
      undo.result = result;
      // What finishes later is undone earlier.
      this.#undos.push(...this.#undos.splice(this.#undos.indexOf(undo), 1));
    }
    return this.#give(key, result);
  }

  async #toResult(key: StepKey, settings: Settings, callback: Callback, rollback: boolean): Promise<StepResult> {
    let answer: Answer = this.#known(key) ?? (await this.#engine.ask("begin", { key, config: settings.shown, rollback }));
    while ("attempt" in answer) answer = await this.#attempt(key, settings, callback, answer.attempt);
    return answer;
  }

  /** Runs the callback once; the engine's answer to what came of it. */
  async #attempt(key: StepKey, settings: Settings, callback: Callback, attempt: number): Promise<Answer> {
    const context = contextOf(key, settings, attempt);
    let value: unknown;
    try {
      return await within(settings.timeoutMs, async () => {
        value = await callback(context);
        if (value instanceof ReadableStream) return this.#engine.keepStream(key, attempt, value);
        const { text, bytes } = this.#encoded(key, value);
        return this.#engine.ask("succeed", { key, attempt, value: text, bytes });
      });
    } catch (error) {
      if (error instanceof RunOver) throw error;
      if (error instanceof NotSerialisable) return this.#refuseValue(key, attempt);
      return this.#fail(key, settings, context, attempt, error);
    } finally {
      (value as Disposable | undefined)?.[Symbol.dispose]?.();
    }
  }

  #encoded(key: StepKey, value: unknown): { text: string; bytes: number } {
    const encoded = encode(value);
    if (encoded.bytes <= this.#order.valueMaxBytes) return encoded;
    throw Object.assign(new Error(`Step ${key.name}-${key.nth} output is too large. Maximum allowed size is 1MiB.`), {
      name: "WorkflowInternalError",
    });
  }

  /** A value that cannot be stored ends the whole instance: no retry would change it. */
  async #refuseValue(key: StepKey, attempt: number): Promise<never> {
    await this.#engine.ask("abandon", {
      key,
      attempt,
      error: infoOf(fatal(`Value returned from step "${key.name}" is not serialisable`)),
      reason: infoOf(
        fatal(
          `The execution of the Workflow instance was terminated, as the step "${key.name}" returned a value which is not serialisable`,
        ),
      ),
    });
    throw new RunOver();
  }

  async #fail(key: StepKey, settings: Settings, context: object, attempt: number, failure: unknown): Promise<Answer> {
    const thrown = infoOf(failure);
    const final = isNonRetryable(thrown);
    const error = final ? this.#nonRetryable(thrown, `Step threw a NonRetryableError with message "${thrown.message}"`) : thrown;
    if (final || attempt > settings.limit) return this.#engine.ask("fail", { key, attempt, error, thrown, retryInMs: null });
    try {
      const retryInMs = await delayOf(key, settings, context, attempt, failure);
      return await this.#engine.ask("fail", { key, attempt, error, thrown, retryInMs });
    } catch (cause) {
      if (cause instanceof RunOver) throw cause;
      return this.#engine.ask("fail", { key, attempt, error, thrown: infoOf(cause), retryInMs: null });
    }
  }

  async sleep(name: string, duration: unknown): Promise<void> {
    const durationMs = milliseconds(duration);
    if (!(durationMs <= WAIT_MAX_MS)) throw fatal(`Step "${name}": "${String(duration)}" is no duration of at most 365 days`);
    await this.#wait(this.#key("sleep", name), (key) => this.#engine.ask("sleep", { key, durationMs }));
  }

  async sleepUntil(name: string, time: unknown): Promise<void> {
    const until = time instanceof Date ? time.getTime() : Number(time);
    if (!Number.isFinite(until)) throw fatal(`Step "${name}": "${String(time)}" is no time`);
    await this.#wait(this.#key("sleep", name), (key) => this.#engine.ask("sleep", { key, until }));
  }

  async waitForEvent(name: string, options: unknown): Promise<unknown> {
    const { type, timeout = EVENT_TIMEOUT } = (options ?? {}) as { type?: unknown; timeout?: unknown };
    if (typeof type !== "string" || type === "") throw fatal(`Step "${name}" must name the \`type\` of the event it waits for`);
    const timeoutMs = milliseconds(timeout);
    if (!(timeoutMs > 0 && timeoutMs <= WAIT_MAX_MS)) throw fatal(`Step "${name}": the timeout must lie above 0 and be at most 365 days`);
    return this.#wait(this.#key("waitForEvent", name), (key) => this.#engine.ask("waitForEvent", { key, eventType: type, timeoutMs }));
  }

  async #wait(key: StepKey, ask: (key: StepKey) => Promise<Answer>): Promise<unknown> {
    if (++this.#waited > WAITS_MAX) throw fatal(`The limit of ${WAITS_MAX} sleeps and waits has been reached.`);
    return this.#give(key, this.#known(key) ?? ((await ask(key)) as StepResult));
  }

  /** `run()` has thrown: what the instance fails with, after its rollbacks. */
  async failed(error: unknown): Promise<RunOutcome> {
    if (error instanceof RunOver) throw error;
    const thrown = infoOf(error);
    const reason = isNonRetryable(thrown)
      ? this.#nonRetryable(
          thrown,
          "The execution of the Workflow instance was terminated, as a step threw an NonRetryableError and it was not handled",
        )
      : thrown;
    if (this.#undos.length === 0) return { error: reason };
    await this.#engine.ask("undo", { error: reason });
    return { error: reason, rollback: await this.undo(reason) };
  }

  /** Runs the rollbacks of the steps that were reached, the last finished first, until one fails. */
  async undo(reason: ErrorInfo): Promise<RollbackOutcome> {
    for (const { key, call, settings, context, result } of this.#undos.toReversed()) {
      const undoKey: StepKey = { type: "rollback", name: key.name, nth: key.nth };
      const ended = await this.#toResult(
        undoKey,
        settings,
        async () => {
          const output = result === undefined || "error" in result ? undefined : await this.#give(key, result);
          await call({ ctx: context, error: errorOf(reason), output, stepName: `${key.name}-${key.nth}` });
        },
        false,
      );
      if ("error" in ended) return { outcome: "failed", error: ended.error };
    }
    return { outcome: "complete", error: null };
  }

  #count(): void {
    const { stepsMax } = this.#order;
    if (++this.#reached <= stepsMax) return;
    throw fatal(`The limit of ${stepsMax} steps has been reached. This limit can be changed in your worker configuration.`);
  }

  #key(type: StepType, name: string): StepKey {
    checkName(name);
    const nth = (this.#counts.get(`${type}:${name}`) ?? 0) + 1;
    this.#counts.set(`${type}:${name}`, nth);
    return { type, name, nth };
  }

  /** The step's result from an earlier run, if it came with the order. */
  #known(key: StepKey): StepResult | undefined {
    return this.#results.get(nameOf(key));
  }

  async #give(key: StepKey, result: StepResult): Promise<unknown> {
    if ("error" in result) throw errorOf(result.error);
    return "stream" in result ? this.#engine.stream(key) : decode(result.value);
  }

  #nonRetryable(thrown: ErrorInfo, words: string): ErrorInfo {
    if (!this.#preserveErrors) return { name: "WorkflowFatalError", message: words };
    return { name: "NonRetryableError", message: thrown.message.replace(/^NonRetryableError:?\s*/, "") };
  }
}

const nameOf = ({ type, name, nth }: StepKey): string => `${type}:${nth}:${name}`;

const contextOf = ({ name, nth }: StepKey, settings: Settings, attempt: number): object => ({
  step: { name, count: nth },
  attempt,
  config: contextConfig(settings),
});

const errorOf = ({ name, message }: ErrorInfo): Error => Object.assign(new Error(message), { name });

function infoOf(error: unknown): ErrorInfo {
  const { name, message } =
    error instanceof Error ? error : { name: "Error", message: String((error as { message?: unknown } | undefined)?.message ?? error) };
  return { name: name.slice(0, ERROR_MAX), message: message.slice(0, ERROR_MAX) };
}

/** RPC may carry the name of an error only in its message. */
const isNonRetryable = ({ name, message }: ErrorInfo): boolean => name === "NonRetryableError" || message.startsWith("NonRetryableError");

/** What `work` gives, unless it takes too long. */
async function within<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const timeout = scheduler.wait(Math.min(timeoutMs, TIMER_MAX_MS), { signal: over.signal }).then(() => {
    throw Object.assign(new Error(`Execution timed out after ${timeoutMs}ms`), { name: "WorkflowTimeoutError" });
  });
  // Ended by the abort below, which is no failure.
  timeout.catch(() => undefined);
  const working = work();
  // What comes of it after its time is nobody's.
  working.catch(() => undefined);
  try {
    return await Promise.race([working, timeout]);
  } finally {
    over.abort();
  }
}

/** Milliseconds until the next attempt. Throws when the user's delay function does not give a delay. */
async function delayOf(key: StepKey, { delay, backoff }: Settings, ctx: object, attempt: number, failure: unknown): Promise<number> {
  const base =
    typeof delay === "function" ? await delayByFunction(key, () => delay({ ctx, error: failure as Error })) : milliseconds(delay);
  if (typeof delay === "function") return base;
  if (backoff === "linear") return base * attempt;
  return backoff === "exponential" ? base * 2 ** (attempt - 1) : base;
}

async function delayByFunction({ name, nth }: StepKey, call: () => unknown): Promise<number> {
  const refuse = (why: string): Error =>
    Object.assign(new Error(`The delay function for step "${name}-${nth}" ${why}`), { name: "NonRetryableDelayError" });
  let delay: unknown;
  try {
    delay = await within(DELAY_FUNCTION_MS, async () => call());
  } catch (error) {
    const { name: kind, message } = infoOf(error);
    throw refuse(kind === "WorkflowTimeoutError" ? "did not return within 5 seconds" : `threw an error: ${message}`);
  }
  const ms = milliseconds(delay);
  if (Number.isFinite(ms)) return ms;
  throw refuse('returned an invalid delay value (expected a number of ms or a duration string like "30 seconds")');
}
