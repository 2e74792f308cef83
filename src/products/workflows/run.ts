/**
 * One run of an instance, on the Node side: answers the driver's questions (`protocol.worker.ts`), keeps what steps come
 * to, and waits for sleeps, retries and events. An answer goes out only when what it says is on disk. A run that is over
 * answers nothing more and writes nothing more; `end` makes it so at once.
 */
import { randomBytes } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { type Attempt, configOf, type InstanceRef, logOf, type StepRow, type Workflow } from "./model.ts";
import type { Answer, ErrorInfo, Questions, StepKey, StepResult } from "./protocol.worker.ts";
import { ATTEMPTS_KEPT, resultOf, type Steps } from "./steps.ts";
import { decode, encode } from "./values.worker.ts";

export interface RunOptions {
  readonly ref: InstanceRef;
  readonly workflow: Workflow;
  /** The Worker whose process runs it. */
  readonly scriptId: string;
  readonly meta: MetaStore;
  readonly steps: Steps;
  readonly clock: Clock;
  /** Bytes that all results of an instance may have. */
  readonly storedMaxBytes: number;
  readonly host: RunHost;
}

/** What a run asks of the engine that holds it. Nothing of it is called once the run is over. */
export interface RunHost {
  /** Nothing of the run works; it waits, first of all until `due` (milliseconds since the epoch). The engine may end it. */
  resting(due: number): void;
  /** It goes on; resolves when it may. */
  working(): Promise<void>;
  /** It was to stop and has nothing in hand any more. */
  stopped(why: StopReason): void;
  /** The instance fails, whatever its code would say. */
  abandoned(reason: ErrorInfo): void;
  /** Its rollbacks begin. */
  undo(reason: ErrorInfo): Promise<void>;
}

/** A step's stream as a blob; `settle` is part of the commit that names it. */
export interface KeptStream {
  readonly blob: BlobId;
  readonly bytes: number;
  settle(tx: MetaTransaction): Promise<void>;
}

/** Why a run is to stop at the end of the steps that it has in hand. */
export type StopReason = "pause" | "move";

/** Thrown to the driver's questions when the run is over. */
export class RunEnded extends Error {}

interface Wait {
  readonly due: number;
  readonly eventType: string | undefined;
  wake(why: "due" | "event"): void;
  end(error: Error): void;
}

const TIMER_MAX_MS = 2 ** 31 - 1;
/** How long nothing but waits must be in hand before the run counts as resting: user code may be about to go on. */
const QUIET_MS = 500;
const NOTHING = encode(undefined).text;
const LOST: ErrorInfo = { name: "WorkflowInternalError", message: "Attempt failed due to internal workflows error" };

export class InstanceRun {
  readonly token = randomBytes(16).toString("hex");
  readonly ref: InstanceRef;
  readonly workflow: Workflow;
  readonly scriptId: string;
  readonly #options: RunOptions;
  readonly #waits = new Set<Wait>();
  /** Questions that are not answered while the run is to stop. */
  readonly #held = new Set<{ go(): void; end(error: Error): void }>();
  #active = 0;
  #quiet: NodeJS.Timeout | undefined;
  #resting = false;
  #stop: StopReason | undefined;
  #over = false;
  /** Steps that have not run before do not run: only rollbacks do. */
  #undoing = false;
  #place = 1;
  #bytes = 0;
  #progressed = false;

  constructor(options: RunOptions) {
    this.ref = options.ref;
    this.workflow = options.workflow;
    this.scriptId = options.scriptId;
    this.#options = options;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether a step has got its result in this run. */
  get progressed(): boolean {
    return this.#progressed;
  }

  /** Attempts in hand. */
  get active(): number {
    return this.#active;
  }

  /** Reads what is stored already. Before the first question. */
  async open(undoing: boolean): Promise<void> {
    this.#undoing = undoing;
    const { place, bytes } = await this.#options.steps.totals(this.ref);
    this.#place = place;
    this.#bytes = bytes;
  }

  /** The answer to a question; rejects with `RunEnded` when the run is over. */
  async answer<K extends keyof Questions>(question: K, content: Questions[K]): Promise<Answer> {
    this.#check();
    const questions: { readonly [Q in keyof Questions]: (content: Questions[Q]) => Promise<Answer> } = {
      begin: (asked) => this.#begin(asked),
      succeed: ({ key, attempt, value, bytes }) => this.#succeed(key, attempt, { value, bytes }),
      fail: (asked) => this.#fail(asked),
      abandon: (asked) => this.#abandon(asked),
      sleep: (asked) => this.#sleep(asked),
      waitForEvent: (asked) => this.#waitForEvent(asked),
      undo: ({ error }) => this.#undo(error),
    };
    return questions[question](content);
  }

  /** An attempt gave a stream, which is stored already. */
  async keepStream(key: StepKey, attempt: number, stream: KeptStream): Promise<Answer> {
    this.#check();
    return this.#succeed(key, attempt, stream);
  }

  /** Stops at the end of the attempts in hand; no other begins. */
  stop(why: StopReason): void {
    if (this.#over) return;
    this.#stop = why;
    this.#settle();
  }

  /** Takes a `stop` back. */
  goOn(): void {
    this.#stop = undefined;
    for (const { go } of this.#held) go();
    this.#held.clear();
  }

  /** An event was sent: whoever waits for its type looks. */
  event(type: string): void {
    for (const wait of [...this.#waits]) if (wait.eventType === type) wait.wake("event");
  }

  /** Over, at once: what is in hand ends without an answer. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#quiet);
    const error = new RunEnded();
    for (const item of [...this.#held, ...this.#waits]) item.end(error);
    this.#held.clear();
    this.#waits.clear();
  }

  #check(): void {
    if (this.#over) throw new RunEnded();
  }

  /** A run that only undoes ends its replay at the first step without a result. */
  #checkForward(): void {
    if (this.#undoing) throw new RunEnded();
  }

  // --- steps that run code -----------------------------------------------------------------------------------

  async #begin({ key, config, rollback }: Questions["begin"]): Promise<Answer> {
    const { steps, clock } = this.#options;
    const row = await steps.get(this.ref, key);
    const known = row && resultOf(row);
    if (known !== undefined) return known;
    if (key.type !== "rollback") this.#checkForward();
    if (row !== undefined) return this.#next(key, row);
    await this.#mayStart();
    return this.#started(async () => {
      const log = [{ start: clock.now() }];
      await steps.insert(this.ref, key, { place: this.#place++, config, attempts: 1, log, rollback });
      return 1;
    });
  }

  /** The next attempt of a step that has had some, when it is due. */
  async #next(key: StepKey, row: StepRow): Promise<Answer> {
    const { steps, clock, meta } = this.#options;
    const log = logOf(row);
    const last = log.at(-1);
    if (last !== undefined && last.end === undefined) {
      // The process ended with it. It counts as failed, and the next one need not wait.
      log[log.length - 1] = { ...last, end: clock.now(), error: LOST };
      const limit = configOf(row)?.retries.limit ?? null;
      if (limit !== null && row.attempts > limit) {
        const error: ErrorInfo = { ...LOST, message: `Attempt ${row.attempts} of step "${key.name}" did not finish` };
        await steps.change(meta, this.ref, key, failure(error, log, clock.now()));
        this.#check();
        return { error };
      }
    } else if (row.due_at !== null && row.due_at > clock.now()) {
      await this.#wait(row.due_at);
    }
    await this.#mayStart();
    return this.#started(async () => {
      const attempts = row.attempts + 1;
      const kept = [...log, { start: clock.now() }].slice(-ATTEMPTS_KEPT);
      await steps.change(meta, this.ref, key, { attempts, log: JSON.stringify(kept), due_at: null });
      return attempts;
    });
  }

  /** Counts an attempt as in hand from before its row is written. */
  async #started(write: () => Promise<number>): Promise<Answer> {
    this.#active++;
    clearTimeout(this.#quiet);
    try {
      const attempt = await write();
      this.#check();
      return { attempt };
    } catch (error) {
      this.#active--;
      throw error;
    }
  }

  async #succeed(key: StepKey, attempt: number, result: { readonly value: string; readonly bytes: number } | KeptStream): Promise<Answer> {
    const { steps, clock, meta, storedMaxBytes, host } = this.#options;
    const { row, log } = await this.#attempt(key, attempt);
    if (log === undefined) return resultOf(row) as StepResult;
    if (this.#bytes + result.bytes > storedMaxBytes) {
      host.abandoned({ name: "WorkflowFatalError", message: "The instance has exceeded the 1GiB storage limit" });
      throw new RunEnded();
    }
    this.#bytes += result.bytes;
    this.#progressed = true;
    const done = { state: "done", log: closed(log, clock.now()), ended_at: clock.now(), bytes: result.bytes } as const;
    // With this commit the step has its result for ever: nothing runs it again.
    if ("value" in result) await steps.change(meta, this.ref, key, { ...done, value: result.value });
    else {
      await meta.transaction(async (tx) => {
        await result.settle(tx);
        await steps.change(tx, this.ref, key, { ...done, blob: result.blob });
      });
    }
    this.#finished();
    return "value" in result ? { value: result.value } : { stream: true };
  }

  async #fail({ key, attempt, error, thrown, retryInMs }: Questions["fail"]): Promise<Answer> {
    const { steps, clock, meta } = this.#options;
    const { row, log } = await this.#attempt(key, attempt);
    if (log === undefined) return resultOf(row) as StepResult;
    const now = clock.now();
    const ended = closed(log, now, error);
    if (retryInMs === null) {
      await steps.change(meta, this.ref, key, failure(thrown, JSON.parse(ended) as Attempt[], now));
      this.#finished();
      return { error: thrown };
    }
    await steps.change(meta, this.ref, key, { log: ended, due_at: now + Math.ceil(retryInMs) });
    this.#finished();
    return this.#next(key, (await steps.get(this.ref, key)) as StepRow);
  }

  async #abandon({ key, attempt, error, reason }: Questions["abandon"]): Promise<Answer> {
    const { steps, clock, meta, host } = this.#options;
    const { log } = await this.#attempt(key, attempt);
    if (log !== undefined)
      await steps.change(meta, this.ref, key, failure(error, JSON.parse(closed(log, clock.now(), error)), clock.now()));
    this.#check();
    host.abandoned(reason);
    throw new RunEnded();
  }

  /** The step's row, and its log while this attempt is the one that runs. One that was given up (a timeout) comes to nothing. */
  async #attempt(key: StepKey, attempt: number): Promise<{ row: StepRow; log: Attempt[] | undefined }> {
    const row = await this.#options.steps.get(this.ref, key);
    if (row === undefined) throw new RunEnded();
    if (row.state !== "open") return { row, log: undefined };
    const log = logOf(row);
    if (row.attempts !== attempt || log.at(-1)?.end !== undefined) throw new RunEnded();
    return { row, log };
  }

  #finished(): void {
    this.#active--;
    this.#settle();
    this.#check();
  }

  async #undo(reason: ErrorInfo): Promise<Answer> {
    this.#undoing = true;
    await this.#options.host.undo(reason);
    this.#check();
    return { value: NOTHING };
  }

  // --- steps that wait ---------------------------------------------------------------------------------------

  async #sleep(asked: Questions["sleep"]): Promise<Answer> {
    const { steps, clock, meta } = this.#options;
    const { key } = asked;
    const row = await steps.get(this.ref, key);
    const known = row && resultOf(row);
    if (known !== undefined) return known;
    const now = clock.now();
    this.#checkForward();
    const due = row?.due_at ?? ("until" in asked ? asked.until : now + asked.durationMs);
    if (row === undefined) {
      if (due < now) return { error: { name: "Error", message: "You can't sleep until a time in the past, time-traveler" } };
      await this.#mayStart();
      await steps.insert(this.ref, key, { place: this.#place++, dueAt: Math.ceil(due) });
      this.#check();
    }
    if (due > clock.now()) await this.#wait(due);
    await this.#mayStart();
    await steps.change(meta, this.ref, key, { state: "done", ended_at: clock.now(), value: NOTHING });
    this.#check();
    return { value: NOTHING };
  }

  async #waitForEvent({ key, eventType, timeoutMs }: Questions["waitForEvent"]): Promise<Answer> {
    const { steps, clock, meta } = this.#options;
    const row = await steps.get(this.ref, key);
    const known = row && resultOf(row);
    if (known !== undefined) return known;
    this.#checkForward();
    const due = row?.due_at ?? clock.now() + timeoutMs;
    if (row === undefined) {
      await this.#mayStart();
      await steps.insert(this.ref, key, { place: this.#place++, dueAt: due, eventType });
      this.#check();
    }
    for (;;) {
      await this.#mayStart();
      const value = await this.#takeEvent(key, eventType);
      if (value !== undefined) return { value };
      if (due <= clock.now()) break;
      await this.#wait(due, eventType);
    }
    const error: ErrorInfo = { name: "WorkflowTimeoutError", message: `Execution timed out after ${timeoutMs}ms` };
    await steps.change(meta, this.ref, key, failure(error, [], clock.now()));
    this.#check();
    return { error };
  }

  /** Gives the oldest event of the type to the step: taken and kept in one commit. */
  async #takeEvent(key: StepKey, type: string): Promise<string | undefined> {
    const { steps, clock, meta } = this.#options;
    if ((await steps.nextEvent(meta, this.ref, type)) === undefined) return undefined;
    const taken = await meta.transaction(async (tx) => {
      this.#check();
      // Another branch may have taken it since.
      const event = await steps.nextEvent(tx, this.ref, type);
      if (event === undefined) return undefined;
      const value = encode({ payload: decode(event.payload), timestamp: new Date(event.receivedAt), type });
      await steps.removeEvent(tx, this.ref, event.number);
      await steps.change(tx, this.ref, key, { state: "done", ended_at: clock.now(), value: value.text, bytes: value.bytes });
      return value;
    });
    this.#check();
    this.#bytes += taken?.bytes ?? 0;
    return taken?.text;
  }

  /** Until `due`, or until an event of the type was sent. */
  async #wait(due: number, eventType?: string): Promise<void> {
    const { clock } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      const leave = (then: () => void): void => {
        clearTimeout(timer);
        this.#waits.delete(wait);
        then();
      };
      const wait: Wait = { due, eventType, wake: () => leave(resolve), end: (error) => leave(() => reject(error)) };
      const arm = (): void => {
        const left = due - clock.now();
        if (left <= 0) wait.wake("due");
        else timer = setTimeout(arm, Math.min(left, TIMER_MAX_MS)).unref();
      };
      this.#waits.add(wait);
      arm();
      this.#settle();
    });
    this.#check();
  }

  // --- stopping and resting ----------------------------------------------------------------------------------

  /** While the run is to stop, whoever wants to begin something is held until it may, or the run is over. */
  async #mayStart(): Promise<void> {
    this.#check();
    while (this.#stop !== undefined) {
      await new Promise<void>((go, end) => {
        this.#held.add({ go, end });
        this.#settle();
      });
      this.#check();
    }
    clearTimeout(this.#quiet);
    if (this.#resting) {
      this.#resting = false;
      await this.#options.host.working();
      this.#check();
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#over) return;
    clearTimeout(this.#quiet);
    if (this.#active > 0) return;
    const { host } = this.#options;
    if (this.#stop !== undefined) {
      host.stopped(this.#stop);
      return;
    }
    if (this.#waits.size === 0 || this.#resting) return;
    this.#quiet = setTimeout(() => {
      if (this.#over || this.#active > 0 || this.#waits.size === 0) return;
      this.#resting = true;
      host.resting(Math.min(...[...this.#waits].map(({ due }) => due)));
    }, QUIET_MS);
    this.#quiet.unref();
  }
}

/** A log whose last attempt ends now, as JSON. */
const closed = (log: readonly Attempt[], end: number, error?: ErrorInfo): string =>
  JSON.stringify([...log.slice(0, -1), { ...log.at(-1), end, ...(error !== undefined && { error }) }]);

const failure = (error: ErrorInfo, log: readonly Attempt[], endedAt: number) =>
  ({ state: "failed", error: JSON.stringify(error), log: JSON.stringify(log), ended_at: endedAt, due_at: null }) as const;
