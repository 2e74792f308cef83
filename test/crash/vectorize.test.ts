/**
 * Goal: a mutation that was acknowledged takes effect, whole and once, whenever the platform is killed.
 * Method: clients insert batches and overwrite a vector each without pause; the platform gets SIGKILL at a moment that the
 * seed decides, between acknowledgement and effect as likely as anywhere; afterwards the index must hold every acknowledged
 * batch, of the one that was under way all or nothing, and count no vector twice.
 *
 * FREEHOLD_CRASH_ROUNDS sets the rounds, FREEHOLD_SEED repeats the choices of a run.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type IndexInfo, indexesPath } from "../clients/vectorize-world.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";
import { seeded } from "../harness/seed.ts";

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 2);
const ROUND_DEADLINE_MS = 60_000;
const WRITERS = 4;
const BATCH = 20;
const DIMENSIONS = 32;

interface Stored {
  readonly id: string;
  readonly values: readonly number[];
}

/** One client: batch after batch until a request fails. */
class Writer {
  readonly name: string;
  sent = 0;
  acknowledged = 0;

  constructor(name: string) {
    this.name = name;
  }

  ids(batch: number): string[] {
    return Array.from({ length: BATCH }, (_, i) => `${this.name}-${batch}-${i}`);
  }

  async run(platform: TestPlatform): Promise<void> {
    for (;;) {
      const batch = this.sent++;
      const values = new Array<number>(DIMENSIONS).fill(batch);
      const inserted = this.ids(batch).map((id) => JSON.stringify({ id, values }));
      if (!(await upload(platform, "insert", inserted))) return;
      if (!(await upload(platform, "upsert", [JSON.stringify({ id: this.name, values })]))) return;
      this.acknowledged = this.sent;
    }
  }
}

/** Whether it was acknowledged. */
async function upload(platform: TestPlatform, kind: string, lines: readonly string[]): Promise<boolean> {
  const headers = { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/x-ndjson" };
  const url = `${platform.ready.api}${indexesPath(platform)}/crash/${kind}`;
  const answer = await platform.fetch(url, { method: "POST", headers, body: lines.join("\n") }).catch(() => undefined);
  if (answer === undefined) return false;
  // The head may come and the rest be lost with the process.
  const text = await answer.text().catch(() => undefined);
  if (text === undefined) return false;
  assert.equal(answer.status, 200, text);
  return true;
}

test("[vectorize-36] an acknowledged mutation survives SIGKILL and takes effect whole", {
  timeout: 60_000 + ROUNDS * ROUND_DEADLINE_MS,
}, async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  const platform = await startPlatform(t);
  const base = indexesPath(platform);
  const config = { dimensions: DIMENSIONS, metric: "euclidean" };
  assert.equal((await platform.rest("POST", base, { name: "crash", config })).status, 201);
  const get = async (ids: readonly string[]): Promise<Stored[]> =>
    (await platform.rest("POST", `${base}/crash/get_by_ids`, { ids })).body.result as Stored[];
  const writers: Writer[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const fresh = Array.from({ length: WRITERS }, (_, i) => new Writer(`r${round}w${i}`));
    writers.push(...fresh);
    const running = fresh.map((writer) => writer.run(platform));
    while (fresh.some(({ acknowledged }) => acknowledged === 0)) await sleep(5);
    await sleep(random.integer(0, 400));
    await platform.kill9();
    await Promise.all(running);
    await platform.restart();
    // A last mutation has taken effect only after all before it.
    const last = await platform.rest("POST", `${base}/crash/delete_by_ids`, { ids: ["nobody"] });
    let info: IndexInfo;
    do info = (await platform.rest("GET", `${base}/crash/info`)).body.result as IndexInfo;
    while (info.processedUpToMutation !== last.body.result.mutationId && (await sleep(20)) === undefined);
    let vectors = 0;
    for (const writer of writers) {
      for (let batch = 0; batch < writer.sent; batch++) {
        const found = await get(writer.ids(batch));
        vectors += found.length;
        if (batch < writer.acknowledged || found.length > 0) assert.equal(found.length, BATCH, `${writer.name}, batch ${batch}`);
        for (const { values } of found) assert.ok(values.every((value) => value === batch));
      }
      const [register] = await get([writer.name]);
      const value = register?.values[0] as number;
      assert.ok(value >= writer.acknowledged - 1 && value < writer.sent, `${writer.name} is ${value} of ${writer.acknowledged}`);
      vectors++;
    }
    assert.equal(info.vectorCount, vectors);
    t.diagnostic(`round ${round + 1}: ${vectors} vectors`);
  }
});
