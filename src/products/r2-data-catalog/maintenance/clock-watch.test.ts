import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockWatch } from "./clock-watch.ts";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const NOW = 1_760_000_000_000;

test("a clock that runs is trusted, also after it was set back", () => {
  const watch = new ClockWatch(NOW, 0, NOW - HOUR);
  assert.equal(watch.trusts(NOW + HOUR, HOUR), true);
  assert.equal(watch.trusts(NOW - YEAR, 2 * HOUR), true);
  assert.equal(watch.trusts(NOW - YEAR + HOUR, 3 * HOUR), true);
});

test("after a leap forward ages are not trusted for a day of time that passes", () => {
  const watch = new ClockWatch(NOW, 0, undefined);
  assert.equal(watch.trusts(NOW + YEAR, HOUR), false);
  assert.equal(watch.trusts(NOW + YEAR + 22 * HOUR, 23 * HOUR), false);
  assert.equal(watch.trusts(NOW + YEAR + 25 * HOUR, 26 * HOUR), true);
});

test("a year between two processes is a leap too, a night is none", () => {
  assert.equal(new ClockWatch(NOW, 0, NOW - YEAR).trusts(NOW + 1, 1), false);
  assert.equal(new ClockWatch(NOW, 0, NOW - 12 * HOUR).trusts(NOW + 1, 1), true);
});
