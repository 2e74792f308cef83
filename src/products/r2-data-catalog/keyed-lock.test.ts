import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { keyedLock } from "./keyed-lock.ts";

test("holders of one key take turns, holders of different keys do not wait", async () => {
  const lock = keyedLock();
  const events: string[] = [];
  const work = (name: string, keys: string[]) =>
    lock.run(keys, async () => {
      events.push(`${name}+`);
      await turn();
      events.push(`${name}-`);
    });
  await Promise.all([work("a", ["x"]), work("b", ["x"]), work("c", ["y"])]);
  assert.ok(events.indexOf("a-") < events.indexOf("b+"), events.join(" "));
  assert.ok(events.indexOf("c+") < events.indexOf("a-"), events.join(" "));
});

test("holders of several keys never wait in a circle", async () => {
  const lock = keyedLock();
  let running = 0;
  const work = (keys: string[]) =>
    lock.run(keys, async () => {
      assert.equal(++running, 1);
      await turn();
      running--;
    });
  await Promise.all([work(["x", "y"]), work(["y", "x"]), work(["x", "y", "x"])]);
});

test("a failure frees the key and reaches its own caller alone", async () => {
  const lock = keyedLock();
  const failing = lock.run(["x"], () => Promise.reject(new Error("failed")));
  const next = lock.run(["x"], async () => "done");
  await assert.rejects(failing, /failed/);
  assert.equal(await next, "done");
});
