/**
 * At least once, through SIGKILL. Goal: every event whose request was answered 200 is in the bucket; none is there that was
 * not sent. Method: clients send events with unique ids to one legacy pipeline, which is changed meanwhile (shards,
 * compression, prefix), so that versions drain; the platform is killed at random moments, in changes and in rolls too, and
 * started again on the same data; at the end the ids in the bucket are compared with those that were sent.
 *
 * FREEHOLD_CRASH_ROUNDS sets the number of kills (2), FREEHOLD_SEED repeats a run's choices.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, inflateSync } from "node:zlib";
import { eventually, pipelinesWorld } from "../clients/pipelines-world.ts";
import { startPlatform } from "../harness/platform.ts";
import { seeded } from "../harness/seed.ts";

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2);
const SENDERS = 4;

test("every event that a legacy pipeline has acknowledged is delivered through SIGKILL and updates", async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform({ after });
  const world = await pipelinesWorld(platform);
  const bucket = await world.bucket("crash-legacy");
  const path = `/accounts/${platform.ready.account_id}/pipelines`;
  const settings = (seconds: number) => ({
    name: "crash",
    metadata: { shards: random.integer(1, 4) },
    source: [{ type: "http", format: "json" }],
    destination: {
      type: "r2",
      compression: { type: ["none", "gzip", "deflate"][random.integer(0, 2)] },
      batch: { max_duration_s: seconds, max_rows: random.integer(50, 2000) },
      path: { bucket, prefix: `p${random.integer(1, 9)}` },
      credentials: {
        endpoint: `https://${platform.ready.account_id}.r2.cloudflarestorage.com`,
        access_key_id: world.token.s3.accessKeyId,
        secret_access_key: world.token.s3.secretAccessKey,
      },
    },
  });
  const { id } = (await platform.rest("POST", path, settings(1))).body.result as { id: string };

  const acknowledged = new Set<number>();
  const sent = new Set<number>();
  let next = 0;
  let sending = true;
  let up = true;
  let updates = 0;
  /** Without an answer a request may or may not have had its effect; an answer other than 200 fails the test. */
  async function whileUp(work: () => Promise<void>): Promise<void> {
    if (!up) return void (await sleep(20));
    try {
      await work();
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    }
  }
  async function sender(): Promise<void> {
    while (sending)
      await whileUp(async () => {
        const events = Array.from({ length: random.integer(1, 60) }, () => ({ id: next++, text: "x".repeat(random.integer(0, 400)) }));
        for (const event of events) sent.add(event.id);
        const { status, body } = await world.send(platform.host("pipelines", { pipeline: id }), events);
        assert.equal(status, 200, JSON.stringify(body));
        for (const event of events) acknowledged.add(event.id);
      });
  }
  async function changer(): Promise<void> {
    while (sending)
      await whileUp(async () => {
        await sleep(random.integer(50, 600));
        // Some batches last longer than the test: only draining gets their events out.
        const { status, body } = await platform.rest("PUT", `${path}/crash`, settings(random.integer(0, 1) === 0 ? 1 : 300));
        assert.equal(status, 200, JSON.stringify(body));
        updates++;
      });
  }
  const clients = [changer(), ...Array.from({ length: SENDERS }, sender)];

  for (let round = 1; round <= ROUNDS; round++) {
    await sleep(random.integer(300, 3500));
    up = false;
    await platform.kill9();
    t.diagnostic(`round ${round}: killed with ${acknowledged.size} of ${sent.size} events acknowledged, after ${updates} updates`);
    await platform.restart();
    up = true;
  }
  await sleep(1500);
  sending = false;
  await Promise.all(clients);
  assert.ok(acknowledged.size > 100 * ROUNDS, `only ${acknowledged.size} events were acknowledged`);
  assert.ok(updates > ROUNDS, `only ${updates} updates`);
  // The last version has no reason to wait either.
  assert.equal((await platform.rest("DELETE", `${path}/crash`)).status, 200);

  const read = new Map<string, number[]>();
  await eventually(
    "all events in the bucket",
    async () => {
      for (const key of await world.keys(bucket)) {
        if (read.has(key)) continue;
        const stored = await world.object(bucket, key);
        const content = key.endsWith(".gz") ? gunzipSync(stored) : key.endsWith(".deflate") ? inflateSync(stored) : stored;
        const lines = content.toString().trimEnd().split("\n");
        read.set(
          key,
          lines.map((line) => (JSON.parse(line) as { id: number }).id),
        );
      }
      const ids = [...read.values()].flat();
      const distinct = new Set(ids);
      for (const found of distinct) assert.ok(sent.has(found), `event ${found} was never sent`);
      const missing = [...acknowledged].filter((one) => !distinct.has(one));
      assert.deepEqual(missing.slice(0, 10), [], `${missing.length} acknowledged events are missing`);
      t.diagnostic(`${ids.length - distinct.size} of ${ids.length} events were delivered again`);
    },
    60_000,
  );
});
