import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openLog } from "../log.ts";
import type { MetaStore } from "../meta/meta.ts";
import { openSqliteMeta } from "../meta/sqlite.ts";
import { openEventLog } from "./event-log.ts";

const log = openLog({ json: true, level: "fatal" });

async function world(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "event-log-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.db") });
  t.after(async () => {
    await meta.close();
    await rm(directory, { recursive: true });
  });
  await meta.run("CREATE TABLE t_events (at INTEGER NOT NULL, who TEXT NOT NULL)");
  const clock = { time: 1_000_000_000, now: () => clock.time };
  const open = (store: MetaStore = meta) => openEventLog(store, clock, log, { name: "t_events", columns: ["who"], keepMs: 10_000 });
  const rows = async () => (await meta.all<{ who: string }>("SELECT who FROM t_events ORDER BY at, rowid")).map(({ who }) => who);
  return { meta, clock, open, rows };
}

test("events are in the table after a flush or a stop, and gone after their time", async (t) => {
  const { clock, open, rows } = await world(t);
  const events = open();
  events.add({ who: "a" });
  await events.flush();
  assert.deepEqual(await rows(), ["a"]);
  events.add({ who: "b" });
  await events.stop();
  assert.deepEqual(await rows(), ["a", "b"]);
  clock.time += 3_600_000;
  const later = open();
  later.add({ who: "c" });
  await later.stop();
  assert.deepEqual(await rows(), ["c"]);
});

test("while writing fails events are kept within a bound, and written once", async (t) => {
  const { meta, open, rows } = await world(t);
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
  const events = open(store);
  for (let i = 0; i < 10_001; i++) events.add({ who: `${i}` });
  await events.flush();
  assert.deepEqual(await rows(), []);
  broken = false;
  await events.stop();
  const written = await rows();
  assert.deepEqual([written.length, written[0], written.at(-1)], [10_000, "0", "9999"]);
});
