import assert from "node:assert/strict";
import { test } from "node:test";
import { rateLimit } from "./rate-limit.ts";

test("a stream takes a second's worth and then what time gives back, also when the clock jumps", () => {
  let now = 1_000_000;
  const admit = rateLimit(1000, { now: () => now });
  assert.equal(admit("s", 900), true);
  assert.equal(admit("s", 200), false);
  assert.equal(admit("other", 900), true);
  now += 500;
  assert.equal(admit("s", 200), true);
  // Set back by a day: the stream must not wait for that day.
  now -= 86_400_000;
  assert.equal(admit("s", 900), false);
  now += 1000;
  assert.equal(admit("s", 900), true);
  // Set forth: no more than a second's worth at once.
  now += 86_400_000;
  assert.equal(admit("s", 1000), true);
  assert.equal(admit("s", 1), false);
});
