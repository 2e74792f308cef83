import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOf, openQueryCache } from "./query-cache.ts";

const rules = { maxAgeMs: 60_000, staleMs: 15_000 };

function world(bytesMax = 10_000, resultBytesMax = 1_000) {
  const clock = { time: 0, now: () => clock.time };
  const cache = openQueryCache(clock, { bytesMax, resultBytesMax });
  const put = (key: string, bytes: number): boolean => {
    const capture = cache.capture();
    capture.add(Buffer.alloc(bytes));
    capture.keep(key);
    return !capture.overflown;
  };
  return { clock, cache, put };
}

test("a result is fresh, then stale for one caller to fetch it anew, then gone", () => {
  const { clock, cache, put } = world();
  put("a", 10);
  clock.time = 59_999;
  assert.equal(cache.find("a", rules)?.revalidate, false);
  clock.time = 60_000;
  assert.deepEqual([cache.find("a", rules)?.revalidate, cache.find("a", rules)?.revalidate], [true, false]);
  cache.revalidated("a");
  assert.equal(cache.find("a", rules)?.revalidate, true);
  clock.time = 75_000;
  assert.equal(cache.find("a", rules), undefined);
});

test("results that are too large are not kept, and the least recently used make room", () => {
  const { cache, put } = world(3_000);
  assert.equal(put("large", 1_001), false);
  assert.equal(cache.find("large", rules), undefined);
  put("a", 1_000);
  put("b", 1_000);
  cache.find("a", rules);
  put("c", 1_000);
  assert.deepEqual(
    ["a", "b", "c"].map((key) => cache.find(key, rules) !== undefined),
    [true, false, true],
  );
});

test("what is being gathered counts", () => {
  const { cache, put } = world(2_500);
  put("a", 1_000);
  const captures = [cache.capture(), cache.capture(), cache.capture()];
  for (const capture of captures) capture.add(Buffer.alloc(900));
  assert.deepEqual(
    captures.map(({ overflown }) => overflown),
    [false, false, true],
  );
  assert.equal(cache.find("a", rules), undefined);
});

test("keys tell parts apart that are equal when put together", () => {
  assert.notEqual(keyOf("c", ["ab", "c"]), keyOf("c", ["a", "bc"]));
  assert.notEqual(keyOf("c", ["a"]), keyOf("d", ["a"]));
});
