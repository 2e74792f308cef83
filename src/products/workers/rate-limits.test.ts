import assert from "node:assert/strict";
import { test } from "node:test";
import type { CapabilityMint } from "../../kernel/product.ts";
import { rateLimits } from "./rate-limits.ts";

function counting() {
  const clock = { time: 1_000_000, now: () => clock.time };
  const { count } = rateLimits(clock, {} as CapabilityMint);
  return { clock, count: (key: string, namespace = "1") => count(namespace, key, 2, 10_000) };
}

test("the call past the limit fails until the key's window is over; other keys and namespaces have their own", () => {
  const { clock, count } = counting();
  assert.deepEqual([count("a"), count("a"), count("a")], [true, true, false]);
  assert.deepEqual([count("b"), count("a", "2")], [true, true]);
  clock.time += 9_999;
  assert.equal(count("a"), false);
  clock.time += 1;
  assert.deepEqual([count("a"), count("a"), count("a")], [true, true, false]);
});

test("a clock that is set back does not lock a key out", () => {
  const { clock, count } = counting();
  assert.deepEqual([count("a"), count("a"), count("a")], [true, true, false]);
  clock.time -= 3_600_000;
  assert.equal(count("a"), true);
});

test("very many keys are forgotten, oldest first, instead of kept", () => {
  const { count } = counting();
  assert.deepEqual([count("first"), count("first"), count("first")], [true, true, false]);
  for (let i = 0; i < 200_000; i++) count(`key-${i}`);
  assert.equal(count("first"), true);
  assert.deepEqual([count("key-199999"), count("key-199999")], [true, false]);
});
