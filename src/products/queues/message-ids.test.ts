import assert from "node:assert/strict";
import { test } from "node:test";
import { lowestId, messageIds, timeOfId } from "./message-ids.ts";

test("ids rise and are unique, also when the clock stands still or steps back, and tell their time", () => {
  let now = 1_700_000_000_000;
  const next = messageIds({ now: () => now });
  const ids = Array.from({ length: 70_000 }, next);
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(timeOfId(ids[0] as string), now);
  // More than the counter holds: the rest belongs to the next millisecond.
  assert.equal(timeOfId(ids.at(-1) as string), now + 1);
  now -= 5000;
  assert.ok(next() > (ids.at(-1) as string));
  now += 60_000;
  const later = next();
  assert.match(later, /^[0-9a-f]{32}$/);
  assert.ok(later > lowestId(now) && later < lowestId(now + 1));
});
