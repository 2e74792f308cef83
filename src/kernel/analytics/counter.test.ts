import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openLog } from "../log.ts";
import type { MetaStore } from "../meta/meta.ts";
import { openSqliteMeta } from "../meta/sqlite.ts";
import { openCounter } from "./counter.ts";
import { countedIn } from "./counter-table.ts";
import { QueryError } from "./query-error.ts";

const table = { name: "t_usage", period: { column: "hour", ms: 3_600_000 }, keys: ["who"], sums: ["calls", "bytes"] } as const;
const HOUR = table.period.ms;
const DAY = 24 * HOUR;
const log = openLog({ json: true, level: "fatal" });

async function world(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "counter-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.db") });
  t.after(async () => {
    await meta.close();
    await rm(directory, { recursive: true });
  });
  await meta.run(
    "CREATE TABLE t_usage (hour INTEGER NOT NULL, who TEXT NOT NULL, calls INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (hour, who))",
  );
  const clock = { time: 1000 * DAY, now: () => clock.time };
  const open = (store: MetaStore = meta) => openCounter(store, clock, log, table);
  return { meta, clock, open };
}

test("what is counted is read at once, and is there after a stop", async (t) => {
  const { clock, open } = await world(t);
  const counter = open();
  counter.add({ who: "a" }, { calls: 1, bytes: 5 });
  counter.add({ who: "a" }, { calls: 1, bytes: 7 });
  clock.time += HOUR;
  counter.add({ who: "a" }, { calls: 1, bytes: 1 });
  counter.add({ who: "b" }, { calls: 1, bytes: 2 });
  const window = { from: 999 * DAY, to: 1001 * DAY, unit: 1 };
  assert.deepEqual(await counter.read(window), [
    { time: 1000 * DAY, who: "a", calls: 2, bytes: 12 },
    { time: 1000 * DAY + HOUR, who: "a", calls: 1, bytes: 1 },
    { time: 1000 * DAY + HOUR, who: "b", calls: 1, bytes: 2 },
  ]);
  counter.add({ who: "b" }, { calls: 1, bytes: 2 });
  await counter.stop();
  const again = open();
  assert.deepEqual(await again.read({ ...window, unit: DAY }), [
    { time: 1000 * DAY, who: "a", calls: 3, bytes: 13 },
    { time: 1000 * DAY, who: "b", calls: 2, bytes: 4 },
  ]);
  // A period that the window begins in counts as a whole, and within the window.
  assert.deepEqual(await again.read({ from: 1000 * DAY + HOUR + 5, to: 1001 * DAY, unit: Number.POSITIVE_INFINITY }), [
    { time: 1000 * DAY + HOUR + 5, who: "a", calls: 1, bytes: 1 },
    { time: 1000 * DAY + HOUR + 5, who: "b", calls: 2, bytes: 4 },
  ]);
  await again.stop();
});

test("while writing fails counts are kept, and written once", async (t) => {
  const { meta, open } = await world(t);
  let broken = true;
  const store: MetaStore = {
    all: (sql, ...params) => meta.all(sql, ...params),
    get: (sql, ...params) => meta.get(sql, ...params),
    run: (sql, ...params) => meta.run(sql, ...params),
    transaction: (fn) =>
      meta.transaction(async (tx) => {
        const result = await fn(tx);
        if (broken) throw new Error("the disk is full");
        return result;
      }),
  };
  const counter = open(store);
  const window = { from: 0, to: 2000 * DAY, unit: Number.POSITIVE_INFINITY };
  counter.add({ who: "a" }, { calls: 1, bytes: 5 });
  assert.deepEqual(await counter.read(window), []);
  counter.add({ who: "a" }, { calls: 1, bytes: 5 });
  broken = false;
  await counter.stop();
  assert.deepEqual(
    (await countedIn(meta, table, window)).map(({ calls, bytes }) => [calls, bytes]),
    [[2, 10]],
  );
});

test("what is older than queries reach is forgotten", async (t) => {
  const { meta, clock, open } = await world(t);
  const counter = open();
  counter.add({ who: "old" }, { calls: 1, bytes: 0 });
  await counter.stop();
  clock.time += 32 * DAY;
  const later = open();
  later.add({ who: "new" }, { calls: 1, bytes: 0 });
  await later.stop();
  assert.deepEqual(
    (await meta.all<{ who: string }>("SELECT who FROM t_usage")).map(({ who }) => who),
    ["new"],
  );
});

test("a query for more rows than can be answered is refused, not cut short", async (t) => {
  const { meta } = await world(t);
  await meta.run(
    `INSERT INTO t_usage WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT ${HOUR}, 'w' || i, 1, 1 FROM n`,
  );
  await assert.rejects(countedIn(meta, table, { from: 0, to: DAY, unit: 1 }), QueryError);
});
