/** Search over codes against brute force in floating point, for every metric, on data with clusters as embeddings have. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { randomOf } from "../../../test/harness/seed.ts";
import { temporaryDirectory } from "../../../test/harness/temporary-directory.ts";
import { METRICS, type Metric } from "../../kernel/vectors/codes.ts";
import { dotKernel } from "../../kernel/vectors/dot-kernel.ts";
import { IndexSearch } from "./index-search.ts";
import { IndexStore } from "./index-store.ts";
import { encodeMutation, type Vector } from "./mutation.ts";

const DIMENSIONS = 67;
const COUNT = 5000;
const SEED = Number(process.env.FREEHOLD_SEED ?? 7);

const random = randomOf(SEED).next;
const gaussian = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const centers = Array.from({ length: 20 }, () => Float32Array.from({ length: DIMENSIONS }, () => gaussian() * 3));
const sample = (): Float32Array => {
  const center = centers[Math.floor(random() * centers.length)] as Float32Array;
  return center.map((value) => value + gaussian());
};

const vectors: Vector[] = Array.from({ length: COUNT }, (_, i) => ({
  id: `v${i}`,
  namespace: i % 3 === 0 ? "third" : null,
  values: sample(),
  metadata: JSON.stringify({ n: i }),
}));

function trueDistance(metric: Metric, a: Float32Array, b: Float32Array): number {
  const product = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, i) => sum + value * (y[i] as number), 0);
  if (metric === "cosine") return -product(a, b) / Math.sqrt(product(a, a) * product(b, b));
  if (metric === "dot-product") return -product(a, b);
  return Math.hypot(...a.map((value, i) => value - (b[i] as number)));
}

for (const metric of METRICS) {
  test(`${metric}: exact search is brute force, approximate search finds the same ones`, async () => {
    const store = new IndexStore(join(await temporaryDirectory("freehold-vectorize-"), "i.sqlite"));
    const search = new IndexSearch({ id: "i", dimensions: DIMENSIONS, metric }, store, dotKernel());
    const half = COUNT / 2;
    const payload = (list: readonly Vector[]) => new Uint8Array(encodeMutation("i", "m", { kind: "upsert", vectors: list }));
    store.apply(0, [payload(vectors.slice(0, half))], 1, 0, undefined);
    // One half is read from the file, the other followed.
    search.load();
    store.apply(1, [payload(vectors.slice(half))], 1, 0, search.follower);
    const found = (query: Float32Array, returnValues: boolean, namespace: string | null = null) =>
      search.search({ vector: query, topK: 10, namespace, filter: [], returnValues, returnMetadata: "none" });
    let same = 0;
    for (let round = 0; round < 5; round++) {
      const query = sample();
      const ranked = vectors.map((vector) => ({ ...vector, distance: trueDistance(metric, query, vector.values) }));
      ranked.sort((a, b) => a.distance - b.distance);
      const wanted = ranked.slice(0, 10).map(({ id }) => id);
      const exact = found(query, true);
      assert.deepEqual(
        exact.map(({ id }) => id),
        wanted,
        `seed ${SEED}`,
      );
      for (const [i, { score }] of exact.entries()) {
        const far = (ranked[i] as { distance: number }).distance;
        assert.ok(Math.abs(score - (metric === "cosine" ? -far : far)) < 1e-4, `${score} and ${far}`);
      }
      same += found(query, false).filter(({ id }) => wanted.includes(id)).length;
      const third = ranked.filter(({ namespace }) => namespace === "third");
      assert.deepEqual(
        found(query, true, "third").map(({ id }) => id),
        third.slice(0, 10).map(({ id }) => id),
      );
    }
    assert.ok(same >= 48, `approximate search found ${same} of 50`);
    // What does not fit into memory is scanned from the file, piece by piece.
    const query = sample();
    const inMemory = found(query, true);
    search.unload();
    assert.deepEqual(found(query, true), inMemory);
    store.close();
  });
}
