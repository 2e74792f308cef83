/** The event store on its real parts with a clock of its own. A crash is played by opening it again on what is on disk. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { HOUR_MS, timelineParts } from "../../../test/harness/timeline-parts.ts";
import { migrations } from "./migrations.ts";
import { type EventStore, openEventStore } from "./store.ts";
import { type Row, rowOf, sharedOf } from "./telemetry-event.ts";

async function open(t: TestContext, settings: Record<string, unknown> = {}) {
  const parts = await timelineParts(t, migrations, settings);
  const start = (): Promise<EventStore> => parts.start(openEventStore);
  const files = async () =>
    (await parts.meta.all<{ events: number }>("SELECT events FROM observability_files ORDER BY from_ms")).map(({ events }) => events);
  return { clock: parts.clock, start, files, store: await start() };
}

function event(time: number, message: string): Row {
  const shared = sharedOf({ service: "w", requestId: `r-${message}` });
  return rowOf(shared, { dataset: "cloudflare-workers", timestamp: time, source: { message }, metadata: { message }, sampleInterval: 1 });
}

async function messages(store: EventStore): Promise<string[]> {
  const sources = await store.sources(0, Number.MAX_SAFE_INTEGER);
  try {
    const stored = sources.items.map((item) => `SELECT * FROM ${item}`).join(" UNION ALL ");
    const rows = await sources.connection.all<{ message: string }>(`SELECT s['message'] AS message FROM (${stored}) ORDER BY id`);
    return rows.map(({ message }) => message);
  } finally {
    await sources.release();
  }
}

test("events are found at once, become a file for each hour that is over, and are found there", async (t) => {
  const { clock, store, files } = await open(t);
  store.add([event(clock.time, "one"), event(clock.time + 1, "two")]);
  assert.deepEqual(await messages(store), ["one", "two"]);
  clock.time += HOUR_MS;
  store.add([event(clock.time, "three")]);
  await store.tend();
  assert.deepEqual(await files(), [2, 1]);
  store.add([event(clock.time + 2, "four")]);
  assert.deepEqual(await messages(store), ["one", "two", "three", "four"]);
});

test("a start after a crash finds what was in memory and what was in files, each once", async (t) => {
  const { clock, store, start, files } = await open(t);
  store.add([event(clock.time, "rolled")]);
  clock.time += HOUR_MS;
  await store.tend();
  store.add([event(clock.time, "recent")]);
  await store.stop();
  const again = await start();
  assert.deepEqual(await messages(again), ["rolled", "recent"]);
  clock.time += HOUR_MS;
  await again.tend();
  assert.deepEqual(await files(), [1, 1]);
  await again.stop();
  assert.deepEqual(await messages(await start()), ["rolled", "recent"]);
});

test("files go when their events are past retention, and the oldest when there are too many bytes", async (t) => {
  const { clock, store, files } = await open(t, { "observability.retention_days": 3 });
  store.add([event(clock.time, "old")]);
  clock.time += HOUR_MS;
  await store.tend();
  clock.time += 2 * 24 * HOUR_MS;
  store.add([event(clock.time, "newer")]);
  clock.time += 24 * HOUR_MS;
  await store.tend();
  assert.deepEqual(await files(), [1]);
  assert.deepEqual(await messages(store), ["newer"]);

  const small = await open(t, { "observability.stored_max_bytes": 1 });
  small.store.add([event(small.clock.time, "x")]);
  small.clock.time += HOUR_MS;
  await small.store.tend();
  assert.deepEqual(await small.files(), []);
});

test("past the day's limit one invocation in a hundred is kept and stands for the others; the next day begins anew", async (t) => {
  const { clock, store } = await open(t, { "observability.daily_events_max": 10 });
  store.add(Array.from({ length: 10 }, (_, i) => event(clock.time, `within-${i}`)));
  store.add(Array.from({ length: 2_000 }, (_, i) => event(clock.time, `past-${i}`)));
  const kept = (await messages(store)).filter((message) => message.startsWith("past"));
  assert(kept.length > 0 && kept.length < 100, String(kept.length));
  clock.time += 24 * HOUR_MS;
  store.add(Array.from({ length: 10 }, (_, i) => event(clock.time, `next-${i}`)));
  assert.equal((await messages(store)).filter((message) => message.startsWith("next")).length, 10);
});

test("events that the disk does not take are bounded: more are lost, not held", async (t) => {
  const { clock, store } = await open(t, { "observability.pending_max_bytes": 4_000 });
  for (let i = 0; i < 100; i++) store.add([event(clock.time, `m${i}`)]);
  const kept = await messages(store);
  assert(kept.length > 0 && kept.length < 20, String(kept.length));
});

test("a message that is no well-formed text is stored with what can be stored of it, and holds up no other", async (t) => {
  const { clock, store } = await open(t);
  store.add([event(clock.time, "half \ud83d of a pair"), event(clock.time + 1, "\\ud83d in words, \u{1f600} whole, \0 zero")]);
  assert.deepEqual(await messages(store), ["half \ufffd of a pair", "\\ud83d in words, \u{1f600} whole, \0 zero"]);
});

test("a log with more fields than are kept, or with the platform's own names, does not touch what the platform says of it", async (t) => {
  const { clock, store } = await open(t);
  const source = {
    message: "many",
    "a.b": 1,
    a: { b: 2 },
    "$metadata.service": "spoofed",
    $metadata: { service: "spoofed", requestId: "spoofed" },
    $workers: { outcome: "spoofed" },
    ...Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`f${i}`, i])),
  };
  const shared = sharedOf({ service: "w", requestId: "r" });
  store.add([
    rowOf(shared, { dataset: "cloudflare-workers", timestamp: clock.time, source, metadata: { message: "m" }, sampleInterval: 1 }),
  ]);
  const sources = await store.sources(0, Number.MAX_SAFE_INTEGER);
  try {
    const columns = [
      "s['$metadata.service'] AS service",
      "s['$workers.outcome'] AS outcome",
      "n['a.b'] AS b",
      "len(map_keys(n)) < 500 AS bounded",
      "event->'source'->>'message' AS message",
    ];
    const [row] = await sources.connection.all(`SELECT ${columns.join(", ")} FROM ${sources.items[0]}`);
    assert.deepEqual({ ...row }, { service: "w", outcome: null, b: 2, bounded: true, message: "many" });
  } finally {
    await sources.release();
  }
});
