import assert from "node:assert/strict";
import { test } from "node:test";
import { nextRun } from "./cron-expression.ts";

const next = (expression: string, after: string): string | undefined => {
  const at = nextRun(expression, Date.parse(after));
  return at === undefined ? undefined : new Date(at).toISOString();
};

test("minutes, hours and steps are in UTC", () => {
  assert.equal(next("*/1 * * * *", "2026-03-01T10:00:30Z"), "2026-03-01T10:01:00.000Z");
  assert.equal(next("*/30 * * * *", "2026-03-01T10:10:00Z"), "2026-03-01T10:30:00.000Z");
  assert.equal(next("45 * * * *", "2026-03-01T10:50:00Z"), "2026-03-01T11:45:00.000Z");
  assert.equal(next("0 17 * * SUN", "2026-03-02T00:00:00Z"), "2026-03-08T17:00:00.000Z");
});

test("weekdays count from 1 = Sunday, as in Quartz", () => {
  // 2026-03-01 is a Sunday.
  assert.equal(next("0 17 * * 1", "2026-03-02T00:00:00Z"), "2026-03-08T17:00:00.000Z");
  assert.equal(next("0 17 * * 2", "2026-03-03T00:00:00Z"), "2026-03-09T17:00:00.000Z");
  assert.equal(next("0 17 * * 7", "2026-03-01T00:00:00Z"), "2026-03-07T17:00:00.000Z");
  assert.equal(next("0 17 * * 2-6", "2026-03-06T18:00:00Z"), "2026-03-09T17:00:00.000Z");
  assert.equal(next("10 7 * * mon-fri", "2026-03-06T08:00:00Z"), "2026-03-09T07:10:00.000Z");
});

test("last day, last weekday, nth weekday and nearest weekday", () => {
  assert.equal(next("59 23 L * *", "2026-02-03T00:00:00Z"), "2026-02-28T23:59:00.000Z");
  assert.equal(next("0 18 * * 6L", "2026-03-01T00:00:00Z"), "2026-03-27T18:00:00.000Z");
  assert.equal(next("0 15 * * 2#1", "2026-03-03T00:00:00Z"), "2026-04-06T15:00:00.000Z");
  assert.equal(next("0 0 15W 8 *", "2026-01-01T00:00:00Z"), "2026-08-14T00:00:00.000Z");
});

test("what is no cron expression throws", () => {
  for (const expression of ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "0 0 * * 8", "0 0 * * 0", "a b c d e"]) {
    assert.throws(() => nextRun(expression, 0), expression);
  }
});
