/**
 * Exactly once, through SIGKILL. Goal: every event whose request was answered 200 is in the sink once; an event whose
 * request got no answer is there once or not at all. Method: clients send events with unique ids to one stream while its
 * readers roll every second into a bucket (Parquet) and into an Iceberg table; the platform is killed at random moments, in
 * rolls too, and started again on the same data; at the end the ids in both sinks are compared with those that were sent.
 *
 * FREEHOLD_CRASH_ROUNDS sets the number of kills (2), FREEHOLD_SEED repeats a run's choices. Needs Python.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, pipelinesWorld } from "../clients/pipelines-world.ts";
import { lake } from "../clients/pyiceberg/lake.ts";
import { startPlatform } from "../harness/platform.ts";
import { seeded } from "../harness/seed.ts";

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2);
const SENDERS = 6;
const fields = [
  { name: "id", type: "int64", required: true },
  { name: "text", type: "string" },
];

test("[pipelines-06, pipelines-31] every acknowledged event is delivered exactly once through SIGKILL", async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform({ after });
  // Readers that a restart finds at work may log what the kill left half done; that is what is tested.
  const world = await pipelinesWorld(platform);
  const files = await world.bucket("crash-files");
  const { bucket, py } = await lake(platform, "crash-table");
  const { id: streamId } = await world.stream("crash_stream", fields);
  await world.r2Sink("crash_files", files);
  await world.catalogSink("crash_table", bucket, "default", "events");
  await world.pipeline(
    "crash",
    "INSERT INTO crash_files SELECT * FROM crash_stream; INSERT INTO crash_table SELECT id, text FROM crash_stream",
  );
  const endpoint = () => platform.host("ingest", { stream: streamId });

  const acknowledged = new Set<number>();
  const sent = new Set<number>();
  let next = 0;
  let sending = true;
  let up = true;
  async function sender(): Promise<void> {
    while (sending) {
      if (!up) {
        await sleep(20);
        continue;
      }
      const events = Array.from({ length: random.integer(1, 60) }, () => ({ id: next++, text: "x".repeat(random.integer(0, 400)) }));
      for (const { id } of events) sent.add(id);
      try {
        const { status, body } = await world.send(endpoint(), events);
        assert.equal(status, 200, JSON.stringify(body));
        for (const { id } of events) acknowledged.add(id);
      } catch (error) {
        // Without an answer the events may or may not be there. An answer other than 200 is a failure of the test.
        if (error instanceof assert.AssertionError) throw error;
      }
    }
  }
  const senders = Array.from({ length: SENDERS }, sender);

  for (let round = 1; round <= ROUNDS; round++) {
    await sleep(random.integer(300, 3500));
    up = false;
    await platform.kill9();
    t.diagnostic(`round ${round}: killed with ${acknowledged.size} of ${sent.size} events acknowledged`);
    await platform.restart();
    up = true;
  }
  await sleep(1500);
  sending = false;
  await Promise.all(senders);
  assert.ok(acknowledged.size > 100 * ROUNDS, `only ${acknowledged.size} events were acknowledged`);

  const judge = (ids: readonly number[]): void => {
    const distinct = new Set(ids);
    assert.equal(ids.length, distinct.size, "events are there twice");
    for (const id of distinct) assert.ok(sent.has(id), `event ${id} was never sent`);
    const missing = [...acknowledged].filter((id) => !distinct.has(id));
    assert.deepEqual(missing.slice(0, 10), [], `${missing.length} acknowledged events are missing`);
  };
  await eventually(
    "all events in the bucket",
    async () => judge((await world.parquetRows(files, "id")).map((row) => Number(row.id))),
    60_000,
  );
  await eventually(
    "all events in the table",
    async () => {
      const { stdout } = await py(
        `import json\nprint("IDS" + json.dumps([r["id"] for r in catalog.load_table("default.events").scan(selected_fields=("id",)).to_arrow().to_pylist()]))`,
      );
      judge(JSON.parse(/IDS(\[.*\])/.exec(stdout)?.[1] ?? "[]") as number[]);
    },
    120_000,
  );
  // And no more comes: a repeated roll would show up within its interval.
  const before = (await world.keys(files)).length;
  await sleep(2500);
  assert.equal((await world.keys(files)).length, before);
  judge((await world.parquetRows(files, "id")).map((row) => Number(row.id)));
});
