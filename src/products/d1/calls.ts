/**
 * Sends calls to databases. Calls to one database that arrive while others are on their way travel together: a request to
 * the system workerd costs about 250 microseconds there and a commit about as much, whatever they carry. Under no load a
 * call goes out at once. Each call succeeds or fails by itself.
 */
import { setTimeout as delay } from "node:timers/promises";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { AnswerHead, CallHead, Query, Usage } from "./protocol.worker.ts";
import { splitStatements, startsReadOnly } from "./statements.worker.ts";

export interface Call extends Pick<CallHead, "kind" | "bookmarked" | "readOnly"> {
  /** JSON text. */
  readonly body: Uint8Array;
}

export interface Answer {
  /** JSON text. */
  readonly text: Uint8Array;
  readonly bookmark: string | undefined;
}

export interface Calls {
  /** Rejects with `CallFailed` when the call could not be carried out as a whole; errors of SQL are answers. */
  submit(database: string, call: Call): Promise<Answer>;
  /** Resolves when the calls that are on their way to the database now have been answered. */
  settled(database: string): Promise<void>;
  /** Fails what waits and what is on its way with these words; calls that come later wait until `open` resolves, which must not fail. */
  interrupt(database: string, words: string, open: Promise<unknown>): void;
}

/** The message is a documented one, for the caller's eyes (docs/d1/observability/debug-d1). */
export class CallFailed extends Error {}

/** The commit failed, with SQLite's words: a deferred constraint, a full disk. Nothing of the batch was written. */
class NotCommitted extends Error {}

/** As in `engine.worker.ts`. */
const NOT_COMMITTED = 409;

interface Waiting {
  readonly call: Call;
  readonly since: number;
  /** How often it was sent and the engine lost. */
  lost: number;
  /** Its caller has been told that it failed. */
  interrupted: boolean;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** docs/d1: a read is tried up to two more times. */
const ATTEMPTS_MAX = 3;
const RETRY_PAUSE_MS = 100;
const BATCH_MAX_CALLS = 128;
const BATCH_MAX_BYTES = 4 * 1024 * 1024;
const WAITING_MAX = 5_000;
const WAIT_MAX_MS = 30_000;
const NEWLINE = 0x0a;

export interface CallsOptions {
  readonly system: KernelSlice["system"];
  readonly now: () => number;
  /** Told what each answered call used. */
  readonly count: (database: string, usage: Usage, batch: { readonly durationMs: number; readonly bytes: number }) => void;
  /** Told of calls whose outcome nobody knows. */
  readonly lost: (database: string) => void;
  /** Bytes past which a database takes nothing more. */
  readonly sizeMax: number;
}

export function openCalls({ system, now, count, lost, sizeMax }: CallsOptions): Calls {
  /** Databases with calls waiting or on their way. */
  const queues = new Map<string, Waiting[]>();
  /** What is on its way now; resolves when it has been answered. */
  const sent = new Map<string, { readonly batch: readonly Waiting[]; readonly done: Promise<unknown> }>();
  const closed = new Map<string, Promise<unknown>>();

  async function pump(database: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      await closed.get(database);
      const batch = take(queue, now());
      try {
        const answers = batch.length === 0 ? [] : await send(database, batch);
        // The engine answers as much as fits into one message; the rest goes first next time.
        queue.unshift(...batch.slice(answers.length).filter((one) => !one.interrupted));
        for (const [i, answer] of answers.entries()) (batch[i] as Waiting).resolve(answer);
      } catch (error) {
        if (!(error instanceof NotCommitted)) lost(database);
        if (error instanceof NotCommitted && batch.length > 1) await eachAlone(database, batch);
        else {
          const again = batch.filter((one) => !failed(one, error));
          queue.unshift(...again);
          // A lost engine is gone before that is known: at once, all attempts would end the same way.
          if (again.length > 0) await delay(RETRY_PAUSE_MS);
        }
      }
    }
    queues.delete(database);
  }

  /** Tells the caller, unless the call only reads and can be sent again (docs/d1/best-practices/retry-queries). */
  function failed(one: Waiting, error: unknown): boolean {
    if (one.interrupted) return true;
    if (isLost(error) && ++one.lost < ATTEMPTS_MAX && onlyReads(one.call.body)) return false;
    one.reject(outcomeOf(error));
    return true;
  }

  /** Nothing of the batch was written, because of one of its calls perhaps: only that one is to fail. */
  async function eachAlone(database: string, batch: readonly Waiting[]): Promise<void> {
    for (const one of batch.filter(({ interrupted }) => !interrupted)) {
      try {
        const [answer] = await send(database, [one]);
        one.resolve(answer as Answer);
      } catch (error) {
        one.reject(outcomeOf(error));
      }
    }
  }

  async function send(database: string, batch: readonly Waiting[]): Promise<Answer[]> {
    const answers = deliver(database, batch);
    const done = answers.then(
      () => undefined,
      () => undefined,
    );
    sent.set(database, { batch, done });
    return answers.finally(() => sent.delete(database));
  }

  async function deliver(database: string, batch: readonly Waiting[]): Promise<Answer[]> {
    const heads = batch.map(
      ({ call: { kind, bookmarked, readOnly }, lost }): CallHead => ({
        kind,
        bookmarked,
        // What writes after all, of a call that was taken for a reading one, is undone.
        readOnly: readOnly || lost > 0,
        attempt: lost + 1,
        sizeMax,
      }),
    );
    const lines: Uint8Array[] = [Buffer.from(JSON.stringify(heads))];
    for (const { call } of batch) lines.push(LINE_END, oneLine(call.body));
    const start = performance.now();
    const response = await system({ database, role: "platform" }, { method: "POST", path: "/calls", body: Buffer.concat(lines) });
    const bytes = Buffer.from(await response.bytes());
    if (response.status === NOT_COMMITTED) throw new NotCommitted(bytes.toString("utf8"));
    if (response.status !== 200) throw new Error(`the engine answered ${response.status}: ${bytes.toString("utf8", 0, 500)}`);
    const [first, ...texts] = splitLines(bytes);
    const durationMs = performance.now() - start;
    return (JSON.parse(String(first)) as AnswerHead[]).map(({ bookmark, usage }, i) => {
      const text = texts[i] as Buffer;
      count(database, usage, { durationMs, bytes: text.byteLength });
      return { text, bookmark };
    });
  }

  return {
    submit: (database, call) =>
      new Promise<Answer>((resolve, reject) => {
        const waiting: Waiting = { call, since: now(), lost: 0, interrupted: false, resolve, reject };
        const queue = queues.get(database);
        if (queue !== undefined) {
          if (queue.length >= WAITING_MAX) reject(new CallFailed("D1 DB is overloaded. Too many requests queued."));
          else queue.push(waiting);
          return;
        }
        const fresh = [waiting];
        queues.set(database, fresh);
        // What else has arrived in this turn of the event loop goes along. `pump` rejects calls, never itself.
        setImmediate(() => void pump(database, fresh));
      }),
    settled: async (database) => void (await sent.get(database)?.done),
    interrupt(database, words, open) {
      const waiting = queues.get(database)?.splice(0) ?? [];
      for (const one of [...waiting, ...(sent.get(database)?.batch ?? [])]) {
        one.interrupted = true;
        one.reject(new CallFailed(words));
      }
      closed.set(
        database,
        open.then(() => void closed.delete(database)),
      );
    },
  };
}

const isLost = (cause: unknown): boolean => cause instanceof PlatformError && cause.code === "platform.engineLost";

/**
 * Whether each statement of a call begins with a word that reads. A pragma may set something, so it does not count. Never
 * throws: a body is its sender's, and what cannot be read as queries is no read.
 */
function onlyReads(body: Uint8Array): boolean {
  try {
    const parsed = JSON.parse(Buffer.from(body).toString("utf8")) as Query | readonly Query[] | { readonly batch: readonly Query[] };
    const queries = Array.isArray(parsed) ? parsed : "batch" in parsed ? parsed.batch : [parsed as Query];
    const texts = queries.flatMap(({ sql }: Query) => splitStatements(sql));
    return texts.length > 0 && texts.every((text) => startsReadOnly(text) && !/^\s*pragma\b/i.test(text));
  } catch {
    // The engine says what is wrong with it, when it is back.
    return false;
  }
}

/** What a call is told when its batch failed. */
function outcomeOf(cause: unknown): Error {
  if (cause instanceof NotCommitted) return new CallFailed(cause.message, { cause });
  if (isLost(cause)) return new CallFailed("Network connection lost.", { cause });
  return new Error("run D1 queries", { cause });
}

/** The next batch, without calls that have waited too long: those are rejected. */
function take(queue: Waiting[], now: number): Waiting[] {
  while (queue[0] !== undefined && now - queue[0].since > WAIT_MAX_MS)
    queue.shift()?.reject(new CallFailed("D1 DB is overloaded. Requests queued for too long."));
  let size = 0;
  let length = 0;
  for (const { call } of queue) {
    size += call.body.byteLength;
    if (length > 0 && (size > BATCH_MAX_BYTES || length >= BATCH_MAX_CALLS)) break;
    length++;
  }
  return queue.splice(0, length);
}

const LINE_END = Buffer.of(NEWLINE);

/** JSON text without line ends: they may stand between its parts, never inside its strings. */
function oneLine(body: Uint8Array): Uint8Array {
  return body.includes(NEWLINE) ? body.map((byte) => (byte === NEWLINE ? 0x20 : byte)) : body;
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  lines.push(bytes.subarray(start));
  return lines;
}
