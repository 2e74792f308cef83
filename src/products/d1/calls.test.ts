/** The queue before the engine, over an engine that answers as the test says: what the real one cannot be made to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { platformError } from "../../kernel/errors.ts";
import type { SystemRequest, SystemResponse } from "../../kernel/product.ts";
import { type Answer, type Calls, openCalls } from "./calls.ts";

type Engine = (bodies: string[]) => Promise<{ status?: number; text: string }>;

const usage = { readQueries: 1, writeQueries: 0, rowsRead: 0, rowsWritten: 0, statements: [] };
const answered = (texts: readonly string[]) => ({ text: [JSON.stringify(texts.map(() => ({ usage }))), ...texts].join("\n") });

function open(engine: Engine, time = { now: 0 }): { calls: Calls; batches: string[][]; counted: () => number; time: { now: number } } {
  const batches: string[][] = [];
  let counted = 0;
  const system = async (_claims: unknown, { body }: SystemRequest): Promise<SystemResponse> => {
    const [, ...bodies] = Buffer.from(body as Uint8Array)
      .toString("utf8")
      .split("\n");
    batches.push(bodies);
    const { status = 200, text } = await engine(bodies);
    return { status, bytes: async () => Buffer.from(text) } as unknown as SystemResponse;
  };
  const count = (): void => void counted++;
  return {
    calls: openCalls({ system, now: () => time.now, count, lost: () => undefined, sizeMax: 1e9 }),
    batches,
    counted: () => counted,
    time,
  };
}

const call = (text: string) => ({ kind: "rows", body: Buffer.from(text), bookmarked: false, readOnly: false }) as const;
const textOf = ({ text }: Answer): string => Buffer.from(text).toString("utf8");
const failure = (promise: Promise<Answer>) => promise.then(textOf, (error: Error) => `failed: ${error.message}`);

test("calls that wait together travel together, each database apart", async () => {
  const { calls, batches, counted } = open(async (bodies) => answered(bodies.map((body) => `[${body}]`)));
  const answers = ["a", "b", "c"].map((text) => calls.submit("one", call(text)));
  answers.push(calls.submit("two", call("d")));
  assert.deepEqual((await Promise.all(answers)).map(textOf), ["[a]", "[b]", "[c]", "[d]"]);
  assert.deepEqual(batches, [["a", "b", "c"], ["d"]]);
  assert.equal(counted(), 4);
});

test("what the engine leaves unanswered goes first next time", async () => {
  const { calls, batches } = open(async (bodies) => answered(bodies.slice(0, 2)));
  const answers = await Promise.all(["a", "b", "c", "d", "e"].map((text) => calls.submit("one", call(text))));
  assert.deepEqual(answers.map(textOf), ["a", "b", "c", "d", "e"]);
  assert.deepEqual(batches, [["a", "b", "c", "d", "e"], ["c", "d", "e"], ["e"]]);
});

test("when a commit fails, every call is tried alone", async () => {
  const { calls } = open(async (bodies) => (bodies.includes("bad") ? { status: 409, text: "constraint failed" } : answered(bodies)));
  const outcomes = await Promise.all(["a", "bad", "c"].map((text) => failure(calls.submit("one", call(text)))));
  assert.deepEqual(outcomes, ["a", "failed: constraint failed", "c"]);
});

test("a lost engine fails what was on its way, not what comes later", async () => {
  let lost = true;
  const { calls } = open(async (bodies) => {
    if (lost) throw platformError("engineLost");
    return answered(bodies);
  });
  assert.equal(await failure(calls.submit("one", call("a"))), "failed: Network connection lost.");
  lost = false;
  assert.equal(await failure(calls.submit("one", call("b"))), "b");
});

test("a read is sent again when the engine is lost, twice at most, and never what writes", async () => {
  let losses = 2;
  const { calls, batches } = open(async (bodies) => {
    if (losses-- > 0) throw platformError("engineLost");
    return answered(bodies);
  });
  const read = '{"sql":"SELECT 1"}';
  const writes = ['{"sql":"INSERT INTO t VALUES (1)"}', '[{"sql":"SELECT 1"},{"sql":"DELETE FROM t"}]', '{"sql":"PRAGMA optimize"}'];
  // Whatever a raw binding sends, nothing but its own call fails.
  writes.push("null", "7", '{"batch":3}', '{"sql":null}', "[null]", "no JSON");
  const outcomes = await Promise.all([read, ...writes].map((text) => failure(calls.submit("one", call(text)))));
  assert.deepEqual(outcomes, [read, ...Array(writes.length).fill("failed: Network connection lost.")]);
  assert.deepEqual(batches, [[read, ...writes], [read], [read]]);
  losses = 3;
  assert.equal(await failure(calls.submit("one", call(read))), "failed: Network connection lost.");
});

test("[d1-32] a flooded database refuses with the documented texts and recovers", async () => {
  const gate = Promise.withResolvers<void>();
  const { calls, time } = open(async (bodies) => {
    await gate.promise;
    return answered(bodies);
  });
  const first = calls.submit("one", call("first"));
  // The first call is on its way once the turn in which it came has ended.
  await turn();
  await turn();
  const waiting = Array.from({ length: 5000 }, (_, i) => failure(calls.submit("one", call(String(i)))));
  assert.equal(await failure(calls.submit("one", call("too many"))), "failed: D1 DB is overloaded. Too many requests queued.");
  time.now = 30_001;
  gate.resolve();
  assert.equal(textOf(await first), "first");
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["failed: D1 DB is overloaded. Requests queued for too long."]));
  assert.equal(await failure(calls.submit("one", call("again"))), "again");
});

test("line ends between a body's parts do not split it", async () => {
  const { calls, batches } = open(async (bodies) => answered(bodies));
  await calls.submit("one", call('{\n"sql":\n"select 1"}'));
  assert.deepEqual(batches, [['{ "sql": "select 1"}']]);
});
