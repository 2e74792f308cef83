/**
 * Gathers the calls to one database that arrive while an earlier one is on its way, and sends them as one: a hop to a
 * Durable Object costs about 100 microseconds and a commit about 200, whatever they carry. Under no load a call goes
 * out at once.
 *
 * Each batch is sent by one of the requests that wait (the leader), because workerd allows I/O only on behalf of the
 * request under way; the others' promises are resolved across requests, which it supports.
 */
import type { Answer, Call } from "./protocol.worker.ts";

export interface DatabaseStub {
  run(calls: readonly Call[]): Promise<Answer[]>;
}

interface Waiting {
  readonly call: Call;
  readonly since: number;
  resolve: (outcome: Outcome) => void;
}

/** "lead": it is the receiver's turn to send what waits. */
type Outcome = { readonly answer: Answer } | { readonly error: Error } | "lead";

interface Queue {
  waiting: Waiting[];
  /** When the request that leads took over; undefined when nobody does. */
  leader: number | undefined;
}

const BATCH_MAX_CALLS = 128;
const BATCH_MAX_CHARS = 4 * 1024 * 1024;
const WAITING_MAX = 5_000;
/** docs/d1/observability/debug-d1: a request fails when it has queued for too long. */
const WAIT_MAX_MS = 30_000;
/** A leader whose request died without a trace is replaced by the next caller after this long. */
const LEADER_MAX_MS = 60_000;

const queues = new Map<string, Queue>();

/** The answer of `database` to one call. `stub` makes a stub in the calling request. Rejects with the object's error. */
export async function submit(database: string, call: Call, stub: () => DatabaseStub): Promise<Answer> {
  let queue = queues.get(database);
  if (queue === undefined) {
    queue = { waiting: [], leader: undefined };
    queues.set(database, queue);
  }
  const now = Date.now();
  if (queue.waiting.length >= WAITING_MAX) throw new Error("D1 DB is overloaded. Too many requests queued.");
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const own: Waiting = { call, since: now, resolve };
  queue.waiting.push(own);
  if (queue.leader === undefined || now - queue.leader > LEADER_MAX_MS) return lead(database, queue, own, promise, stub);
  const outcome = await promise;
  if (outcome !== "lead") return unwrap(outcome);
  const again = Promise.withResolvers<Outcome>();
  own.resolve = again.resolve;
  return lead(database, queue, own, again.promise, stub);
}

/** Sends batches until the own call is answered, then hands over to the first request that still waits. */
async function lead(database: string, queue: Queue, own: Waiting, mine: Promise<Outcome>, stub: () => DatabaseStub): Promise<Answer> {
  const object = stub();
  do {
    queue.leader = Date.now();
    const batch = take(queue);
    let outcomes: Outcome[];
    try {
      const answers = batch.length === 0 ? [] : await object.run(batch.map(({ call }) => call));
      outcomes = answers.map((answer) => ({ answer }));
    } catch (error) {
      outcomes = batch.map(() => ({ error: error as Error }));
    }
    // An object answers as much as fits into one message; the rest goes first next time.
    queue.waiting.unshift(...batch.slice(outcomes.length));
    for (const [i, outcome] of outcomes.entries()) (batch[i] as Waiting).resolve(outcome);
  } while (queue.waiting.includes(own));
  const next = queue.waiting[0];
  if (next === undefined) queues.delete(database);
  else next.resolve("lead");
  return unwrap((await mine) as Exclude<Outcome, "lead">);
}

function take(queue: Queue): Waiting[] {
  const now = Date.now();
  const late = queue.waiting.filter(({ since }) => now - since > WAIT_MAX_MS);
  for (const { resolve } of late) resolve({ error: new Error("D1 DB is overloaded. Requests queued for too long.") });
  if (late.length > 0) queue.waiting = queue.waiting.filter((one) => !late.includes(one));
  let chars = 0;
  let count = 0;
  for (const { call } of queue.waiting) {
    chars += call.body.length;
    if (count > 0 && (chars > BATCH_MAX_CHARS || count >= BATCH_MAX_CALLS)) break;
    count++;
  }
  return queue.waiting.splice(0, count);
}

function unwrap(outcome: Exclude<Outcome, "lead">): Answer {
  if ("error" in outcome) throw outcome.error;
  return outcome.answer;
}
