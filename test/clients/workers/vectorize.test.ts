/** Vectorize by binding: what the tutorial (wrangler/vectorize.test.ts) does not show of it, and what a Worker must not reach. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker, workerProject } from "../../harness/worker-project.ts";
import { indexesPath, processed } from "../vectorize-world.ts";

const platform = await startPlatform({ after });
const base = indexesPath(platform);
for (const name of ["own", "other"]) await platform.rest("POST", base, { name, config: { dimensions: 3, metric: "cosine" } });

// Each path is one piece of Worker code; what it returns is the answer's JSON.
const source = `
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.message; } };
const code = {
  write: ({ V }) => V.upsert([
    { id: "array", values: [1, 0, 0] },
    { id: "f32", values: new Float32Array([0, 1, 0]), namespace: "n", metadata: { a: { b: 1 } } },
    { id: "f64", values: new Float64Array([0, 0.1, 1]) },
  ]),
  async read({ V }) {
    return {
      query: await V.query(new Float32Array([0, 1, 0]), { topK: 2, returnMetadata: true }),
      none: await V.query([0, 1, 0], { topK: 1, returnMetadata: false }),
      byId: await V.queryById("f64", { topK: 1, returnValues: true }),
      get: await V.getByIds(["f64", "f32"]),
      describe: await V.describe(),
    };
  },
  remove: ({ V }) => V.deleteByIds(["array"]),
  async refused({ V }) {
    return {
      dimensions: await thrown(() => V.query([1])),
      response: await thrown(() => V.query({ shape: [1, 3], data: [[1, 0, 0]] })),
      insert: await thrown(() => V.insert([{ id: "x", values: [1, 2] }])),
      batch: await thrown(() => V.upsert(Array.from({ length: 1001 }, (_, i) => ({ id: "v" + i, values: [1, 2, 3] })))),
      id: await thrown(() => V.getByIds(["x".repeat(65)])),
      metadata: await thrown(() => V.query([1, 0, 0], { returnMetadata: "some" })),
    };
  },
  // The binding's fetcher is private, but whatever a Worker could say over it names no other index.
  async elsewhere({ V }) {
    const { fetcher } = V;
    const ask = async (path, init) => (await fetcher.fetch("http://vector-search" + path, init)).status;
    return [await ask("/../other/info"), await ask("/info?index=other"), await ask("/indexes/other/info")];
  },
};
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    return Response.json((await code[name](env)) ?? null);
  },
};`;

const project = await uploadedWorker(platform, {
  files: { "index.js": source },
  config: { name: "vectors", vectorize: [{ binding: "V", index_name: "own" }] },
});
const call = async (name: string): Promise<never> => {
  const response = await platform.fetch(`${project.url}/${name}`);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as never;
};

test("a Worker writes arrays of every kind, queries, reads and deletes", async () => {
  const { mutationId } = (await call("write")) as { mutationId: string };
  const info = await processed(platform, "own", mutationId);
  const f64 = { id: "f64", values: [0, 0.10000000149011612, 1] };
  const f32 = { id: "f32", namespace: "n", values: [0, 1, 0], metadata: { a: { b: 1 } } };
  assert.deepEqual(await call("read"), {
    query: {
      count: 2,
      matches: [
        { id: "f32", score: 1, namespace: "n", metadata: { a: { b: 1 } } },
        { id: "f64", score: 0.0995037183 },
      ],
    },
    none: { count: 1, matches: [{ id: "f32", score: 1, namespace: "n" }] },
    byId: { count: 1, matches: [{ ...f64, score: 1 }] },
    get: [f64, f32],
    describe: info,
  });
  const removed = (await call("remove")) as { mutationId: string };
  assert.equal((await processed(platform, "own", removed.mutationId)).vectorCount, 2);
});

test("refusals are thrown with the operation, the code and the reason", async () => {
  assert.deepEqual(await call("refused"), {
    dimensions: "VECTOR_QUERY_ERROR (code = 40006): invalid query vector, expected 3 dimensions, and got 1 dimensions",
    response: "VECTOR_QUERY_ERROR (code = 40006): invalid query vector, expected 3 dimensions, and got 0 dimensions",
    insert: 'VECTOR_INSERT_ERROR (code = 40012): invalid vector for id="x", expected 3 dimensions, and got 2 dimensions',
    batch: "VECTOR_UPSERT_ERROR (code = 40007): too many vectors in payload; max batch size is 1000",
    id: "VECTOR_GET_ERROR (code = 40008): id too long; max is 64 bytes, got 65 bytes",
    metadata: 'Invalid returnMetadata option. Expected: true, false, "none", "indexed" or "all"; got: some',
  });
});

test("a binding leads to its own index alone, and none is made to an index that is not there", async () => {
  for (const status of (await call("elsewhere")) as number[]) assert.ok(status >= 400, `answered ${status}`);
  const missing = await workerProject(platform, {
    files: { "index.js": source },
    config: { name: "unbound", vectorize: [{ binding: "V", index_name: "nowhere" }] },
  });
  const { stdout, stderr } = await missing.wrangler(["deploy"], { code: 1 });
  assert.match(stdout + stderr, /vectorize\.index\.not_found - Index name "nowhere" \[code: 3000\]/);
});
