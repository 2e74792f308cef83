/** Vectorize by wrangler: every command, and the tutorial of the documentation with its Worker. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { type IndexInfo, indexesPath, processed } from "../vectorize-world.ts";

const platform = await startPlatform({ after });
const base = indexesPath(platform);
const wrangler = async (...args: string[]): Promise<string> => (await platform.wrangler(["vectorize", ...args])).stdout;
const jsonOf = (text: string): never => JSON.parse(text.slice(text.search(/^[[{]/m))) as never;

/** The mutation's id in a text of wrangler's. */
const mutationIn = (text: string): string => /identifier: ([0-9a-f-]{36})/.exec(text)?.[1] as string;

// The vectors of docs/vectorize/get-started/intro.
const tutorial = [
  [
    0.12, 0.45, 0.67, 0.89, 0.23, 0.56, 0.34, 0.78, 0.12, 0.9, 0.24, 0.67, 0.89, 0.35, 0.48, 0.7, 0.22, 0.58, 0.74, 0.33, 0.88, 0.66, 0.45,
    0.27, 0.81, 0.54, 0.39, 0.76, 0.41, 0.29, 0.83, 0.55,
  ],
  [
    0.14, 0.23, 0.36, 0.51, 0.62, 0.47, 0.59, 0.74, 0.33, 0.89, 0.41, 0.53, 0.68, 0.29, 0.77, 0.45, 0.24, 0.66, 0.71, 0.34, 0.86, 0.57,
    0.62, 0.48, 0.78, 0.52, 0.37, 0.61, 0.69, 0.28, 0.8, 0.53,
  ],
  [
    0.21, 0.33, 0.55, 0.67, 0.8, 0.22, 0.47, 0.63, 0.31, 0.74, 0.35, 0.53, 0.68, 0.45, 0.55, 0.7, 0.28, 0.64, 0.71, 0.3, 0.77, 0.6, 0.43,
    0.39, 0.85, 0.55, 0.31, 0.69, 0.52, 0.29, 0.72, 0.48,
  ],
  [
    0.17, 0.29, 0.42, 0.57, 0.64, 0.38, 0.51, 0.72, 0.22, 0.85, 0.39, 0.66, 0.74, 0.32, 0.53, 0.48, 0.21, 0.69, 0.77, 0.34, 0.8, 0.55, 0.41,
    0.29, 0.7, 0.62, 0.35, 0.68, 0.53, 0.3, 0.79, 0.49,
  ],
  [
    0.11, 0.46, 0.68, 0.82, 0.27, 0.57, 0.39, 0.75, 0.16, 0.92, 0.28, 0.61, 0.85, 0.4, 0.49, 0.67, 0.19, 0.58, 0.76, 0.37, 0.83, 0.64, 0.53,
    0.3, 0.77, 0.54, 0.43, 0.71, 0.36, 0.26, 0.8, 0.53,
  ],
].map((values, i) => ({ id: String(i + 1), values, metadata: { url: `/products/sku/${i + 1}` } }));
const question = [
  0.13, 0.25, 0.44, 0.53, 0.62, 0.41, 0.59, 0.68, 0.29, 0.82, 0.37, 0.5, 0.74, 0.46, 0.57, 0.64, 0.28, 0.61, 0.73, 0.35, 0.78, 0.58, 0.42,
  0.32, 0.77, 0.65, 0.49, 0.54, 0.31, 0.29, 0.71, 0.57,
];

test("[vectorize-01] wrangler creates, lists, shows and deletes an index; REST answers 201", async () => {
  const created = await wrangler("create", "first", "--dimensions", "32", "--metric", "euclidean", "--description", "of wrangler");
  assert.match(created, /Successfully created a new Vectorize index: 'first'/);
  assert.match(await wrangler("list"), /first.*32.*euclidean.*of wrangler/);
  assert.match(await wrangler("get", "first"), /first.*32.*euclidean/);
  const answer = await platform.rest("POST", base, { name: "second", description: "d", config: { dimensions: 1024, metric: "euclidean" } });
  assert.equal(answer.status, 201);
  assert.deepEqual(answer.body.result.config, { dimensions: 1024, metric: "euclidean" });
  assert.deepEqual(
    (jsonOf(await wrangler("list", "--json")) as { name: string }[]).map(({ name }) => name),
    ["first", "second"],
  );
  const twice = await platform.wrangler(["vectorize", "create", "first", "--dimensions", "3", "--metric", "cosine"], { code: 1 });
  assert.match(twice.stderr + twice.stdout, /vectorize\.index\.duplicate_name.*\[code: 3002\]/);
  assert.match(await wrangler("delete", "second", "-y"), /Deleted index second/);
  const gone = await platform.wrangler(["vectorize", "get", "second"], { code: 1 });
  assert.match(gone.stderr + gone.stdout, /vectorize\.index\.not_found.*\[code: 3000\]/);
});

test("[vectorize-02, vectorize-04, vectorize-14, vectorize-25] the tutorial: a Worker inserts, info follows, the query finds what it should", async () => {
  await wrangler("create", "tutorial-index", "--dimensions=32", "--metric=euclidean");
  const project = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const { pathname } = new URL(request.url);
        if (pathname === "/insert") return Response.json(await env.VECTORIZE.insert(${JSON.stringify(tutorial)}));
        if (pathname === "/describe") return Response.json(await env.VECTORIZE.describe());
        return Response.json(await env.VECTORIZE.query(${JSON.stringify(question)}, { topK: 3, returnValues: true, returnMetadata: "all" }));
      } };`,
    },
    config: { name: "vectorize-tutorial", vectorize: [{ binding: "VECTORIZE", index_name: "tutorial-index" }] },
  });
  const call = async (path: string) => (await (await platform.fetch(`${project.url}${path}`)).json()) as never;
  const { mutationId } = (await call("/insert")) as { mutationId: string };
  assert.match(mutationId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal((await processed(platform, "tutorial-index", mutationId)).vectorCount, 5);
  assert.match(await wrangler("info", "tutorial-index"), new RegExp(`32.*5.*${mutationId}`));
  const { count, matches } = (await call("")) as {
    count: number;
    matches: { id: string; score: number; values: number[]; metadata: unknown }[];
  };
  assert.equal(count, 3);
  // The true distances of the tutorial's vectors; what its page prints is within half a percent.
  for (const [i, [id, score]] of (
    [
      ["4", 0.46335731],
      ["3", 0.52782571],
      ["2", 0.63190189],
    ] as const
  ).entries()) {
    assert.equal(matches[i]?.id, id);
    assert.ok(Math.abs((matches[i]?.score as number) - score) < 1e-6, `${matches[i]?.score} is not ${score}`);
    assert.deepEqual(matches[i]?.metadata, { url: `/products/sku/${id}` });
    assert.equal(matches[i]?.values.length, 32);
  }
  // Once more the same ids: a mutation, and nothing new.
  const again = ((await call("/insert")) as { mutationId: string }).mutationId;
  assert.notEqual(again, mutationId);
  const info = await processed(platform, "tutorial-index", again);
  assert.equal(info.vectorCount, 5);
  assert.deepEqual(await call("/describe"), info);
});

test("[vectorize-23, vectorize-26] every command of wrangler works, and --json prints JSON alone", async () => {
  const directory = await temporaryDirectory("freehold-vectorize-");
  const file = join(directory, "vectors.ndjson");
  assert.deepEqual(
    (jsonOf(await wrangler("create", "base", "--preset", "@cf/baai/bge-base-en-v1.5", "--json")) as { config: object }).config,
    {
      dimensions: 768,
      metric: "cosine",
    },
  );
  await wrangler("create", "small", "--dimensions", "3", "--metric", "cosine");
  assert.match(await wrangler("info", "small"), /3.*0/);
  const enqueued = await wrangler("create-metadata-index", "small", "--propertyName", "kind", "--type", "string");
  assert.match(enqueued, /Successfully enqueued metadata index creation request/);
  await processed(platform, "small", mutationIn(enqueued));
  assert.match(await wrangler("list-metadata-index", "small"), /kind.*String/);
  assert.deepEqual(jsonOf(await wrangler("list-metadata-index", "small", "--json")), [{ propertyName: "kind", indexType: "String" }]);
  const vectors = [
    { id: "a", values: [1, 0, 0], metadata: { kind: "x", year: 2001 } },
    { id: "b", values: [0, 1, 0], namespace: "n", metadata: { kind: "y", year: 2002 } },
    { id: "c", values: [0, 0.5, 0.5] },
  ];
  await writeFile(file, `${vectors.map((vector) => JSON.stringify(vector)).join("\n")}\n`);
  const inserted = await wrangler("insert", "small", "--file", file);
  assert.match(inserted, /Successfully enqueued 3 vectors/);
  await processed(platform, "small", mutationIn(inserted));
  assert.deepEqual(JSON.parse(await wrangler("upsert", "small", "--file", file, "--json")), { index: "small", count: 3 });
  const byVector = await wrangler(
    "query",
    "small",
    "--vector",
    "1",
    "0.1",
    "0",
    "--top-k",
    "2",
    "--return-metadata",
    "all",
    "--filter",
    '{"kind":"x"}',
  );
  assert.deepEqual(
    (jsonOf(byVector) as { matches: { id: string; metadata: unknown }[] }).matches.map(({ id, metadata }) => ({ id, metadata })),
    [{ id: "a", metadata: { kind: "x", year: 2001 } }],
  );
  const byId = jsonOf(await wrangler("query", "small", "--vector-id", "b", "--namespace", "n", "--return-values")) as { matches: object[] };
  assert.deepEqual(byId.matches, [{ id: "b", score: 1, namespace: "n", values: [0, 1, 0] }]);
  assert.deepEqual(jsonOf(await wrangler("get-vectors", "small", "--ids", "c", "nobody", "a")), [
    { id: "c", values: [0, 0.5, 0.5] },
    { id: "a", values: [1, 0, 0], metadata: { kind: "x", year: 2001 } },
  ]);
  const listed = JSON.parse(await wrangler("list-vectors", "small", "--count", "2", "--json")) as { nextCursor: string; vectors: object[] };
  assert.deepEqual(listed.vectors, [{ id: "a" }, { id: "b" }]);
  assert.match(await wrangler("list-vectors", "small", "--cursor", listed.nextCursor), /c[\s\S]*Showing 1 of 3 total vectors/);
  const deleted = await wrangler("delete-vectors", "small", "--ids", "a", "c");
  assert.equal((await processed(platform, "small", mutationIn(deleted))).vectorCount, 1);
  const dropped = await wrangler("delete-metadata-index", "small", "--propertyName", "kind");
  await processed(platform, "small", mutationIn(dropped));
  assert.deepEqual(jsonOf(await wrangler("list-metadata-index", "small", "--json")), []);
  assert.equal((JSON.parse(await wrangler("info", "small", "--json")) as IndexInfo).vectorCount, 1);
  assert.equal((JSON.parse(await wrangler("get", "small", "--json")) as { name: string }).name, "small");
});

test("[vectorize-17] wrangler upserts 20,000 vectors in batches of 5,000", async () => {
  const file = join(await temporaryDirectory("freehold-vectorize-"), "many.ndjson");
  const lines = Array.from({ length: 20_000 }, (_, i) =>
    JSON.stringify({ id: `n${i}`, values: [Math.sin(i), Math.cos(i), i / 20_000, 1] }),
  );
  await writeFile(file, lines.join("\n"));
  await wrangler("create", "many", "--dimensions", "4", "--metric", "euclidean");
  const text = await wrangler("upsert", "many", "--file", file);
  assert.match(text, /Successfully enqueued 20000 vectors/);
  const mutations = [...text.matchAll(/Enqueued (\d+) vectors.*identifier: ([0-9a-f-]{36})/g)].map(([, count, id]) => ({ count, id }));
  assert.deepEqual(
    mutations.map(({ count }) => count),
    ["5000", "5000", "5000", "5000"],
  );
  assert.equal((await processed(platform, "many", mutations.at(-1)?.id as string)).vectorCount, 20_000);
  const found = jsonOf(await wrangler("query", "many", "--vector-id", "n12345", "--top-k", "1")) as {
    matches: { id: string; score: number }[];
  };
  assert.deepEqual(found.matches, [{ id: "n12345", score: 0 }]);
});
