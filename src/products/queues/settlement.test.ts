/** What becomes of a batch's messages, from what workerd reports of the handler. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { QueueBatchResult } from "../../kernel/capabilities.ts";
import { concurrency } from "./concurrency.ts";
import { settlementOf } from "./delivery.ts";
import type { LeasedMessage } from "./model.ts";

const message = (id: string): LeasedMessage => ({
  id,
  body: new Uint8Array(),
  contentType: "json",
  source: "worker",
  attempts: 1,
  lease: "push-1",
});
const batch = ["a", "b", "c"].map(message);
const quiet: QueueBatchResult = { outcome: "ok", ackAll: false, retryBatch: { retry: false }, explicitAcks: [], retryMessages: [] };
const settle = (result: Partial<QueueBatchResult>) => {
  const { acks, retries } = settlementOf(batch, { ...quiet, ...result });
  return { acks, retries: retries.map(({ id, delaySeconds }) => [id, delaySeconds]) };
};

test("a handler that returns acknowledges everything, one that throws nothing", () => {
  assert.deepEqual(settle({}), { acks: ["a", "b", "c"], retries: [] });
  const all = ["a", "b", "c"].map((id) => [id, undefined]);
  assert.deepEqual(settle({ outcome: "exception" }), { acks: [], retries: all });
  assert.deepEqual(settle({ outcome: "exceededCpu" }), { acks: [], retries: all });
});

test("a message's own ack or retry goes before the batch's, and that before the outcome", () => {
  const own = { explicitAcks: ["a"], retryMessages: [{ msgId: "b", delaySeconds: 7 }] };
  assert.deepEqual(settle({ ...own, retryBatch: { retry: true, delaySeconds: 3 } }), {
    acks: ["a"],
    retries: [
      ["b", 7],
      ["c", 3],
    ],
  });
  assert.deepEqual(settle({ ...own, ackAll: true, outcome: "exception" }), { acks: ["a", "c"], retries: [["b", 7]] });
  assert.deepEqual(settle({ ...own, outcome: "exception" }), {
    acks: ["a"],
    retries: [
      ["b", 7],
      ["c", undefined],
    ],
  });
});

test("concurrency doubles under a backlog up to its bound, halves with each failure, and falls when nothing waits", () => {
  const one = concurrency();
  for (let i = 0; i < 12; i++) one.ended(false, "more");
  assert.equal(one.current(250), 250);
  assert.equal(one.current(3), 3);
  one.ended(false, "some");
  assert.equal(one.current(250), 250);
  for (let i = 0; i < 9; i++) one.ended(true, "more");
  assert.equal(one.current(250), 1);
  one.ended(false, "more");
  one.ended(false, "more");
  one.ended(false, "none");
  assert.equal(one.current(250), 3);
});
