import assert from "node:assert/strict";
import test from "node:test";
import { DailyLimit, dayOf } from "./daily-limit.ts";

test("the count begins anew at midnight UTC, and takes up what the day had before", () => {
  let now = Date.UTC(2026, 10, 28, 23, 59, 59);
  const limit = new DailyLimit(3, { now: () => now } as never, 2);
  assert.deepEqual([limit.take(), limit.take(), limit.take()], [true, false, false]);
  now += 1000;
  assert.deepEqual([limit.take(), limit.take(), limit.take(), limit.take()], [true, true, true, false]);
  assert.equal(dayOf(now), Date.UTC(2026, 10, 29));
});
