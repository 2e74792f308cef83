/** Vectorize by the official SDK; plain requests for options that it does not name and for forms. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import Cloudflare from "cloudflare";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { noPython, python } from "../../harness/python.ts";
import { indexesPath, processed } from "../vectorize-world.ts";

const platform = await startPlatform({ after }, { config: { "vectorize.cursor_ttl_s": 2 } });
const account_id = platform.ready.account_id;
const base = indexesPath(platform);
const { indexes } = platform.sdk().vectorize;

interface Vector {
  readonly id: string;
  readonly values: readonly number[];
  readonly namespace?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}
interface Match {
  readonly id: string;
  readonly score: number;
  readonly namespace?: string;
  readonly values?: number[];
  readonly metadata?: unknown;
}
type Metric = "cosine" | "euclidean" | "dot-product";

const ndjson = (vectors: readonly unknown[]): Buffer => Buffer.from(vectors.map((vector) => JSON.stringify(vector)).join("\n"));

async function create(name: string, dimensions = 2, metric: Metric = "euclidean"): Promise<string> {
  await indexes.create({ account_id, name, config: { dimensions, metric } });
  return name;
}

async function put(name: string, vectors: readonly Vector[], kind: "insert" | "upsert" = "upsert") {
  const answer = await indexes[kind](name, { account_id, body: ndjson(vectors) as never });
  return processed(platform, name, answer?.mutationId);
}

async function property(name: string, propertyName: string, indexType: "string" | "number" | "boolean"): Promise<void> {
  const answer = await indexes.metadataIndex.create(name, { account_id, propertyName, indexType });
  await processed(platform, name, answer?.mutationId);
}

/** A query with everything that may be said in one. */
async function query(name: string, options: Readonly<Record<string, unknown>>): Promise<Match[]> {
  const { status, body } = await platform.rest("POST", `${base}/${name}/query`, options);
  assert.equal(status, 200, JSON.stringify(body.errors));
  assert.equal(body.result.count, body.result.matches.length);
  return body.result.matches as Match[];
}

const idsOf = (matches: readonly { id: string }[]): string[] => matches.map(({ id }) => id);

/** The SDK's call is refused so. */
const refused = (work: Promise<unknown>, code: number, message: RegExp): Promise<void> =>
  assert.rejects(work, (error) => {
    assert.ok(error instanceof Cloudflare.APIError);
    assert.equal(error.errors[0]?.code, code);
    assert.match(error.errors[0]?.message ?? "", message);
    return true;
  });

test("[vectorize-34] the SDK makes, lists and deletes indexes; a deleted name is free again, without the old vectors", async () => {
  await create("again");
  assert.equal((await put("again", [{ id: "old", values: [1, 2] }])).vectorCount, 1);
  const names: (string | undefined)[] = [];
  for await (const index of indexes.list({ account_id })) names.push(index.name);
  assert.ok(names.includes("again"));
  await refused(create("again"), 3002, /duplicate_name/);
  await indexes.delete("again", { account_id });
  await refused(indexes.get("again", { account_id }), 3000, /not_found - Index name "again"/);
  await create("again", 3, "cosine");
  const info = await indexes.info("again", { account_id });
  assert.deepEqual({ count: info?.vectorCount, dimensions: info?.dimensions }, { count: 0, dimensions: 3 });
});

test("[vectorize-03, vectorize-05, vectorize-15] upsert replaces all of a vector; deleted ones are gone once processed", async () => {
  const name = await create("life");
  await put(name, [
    { id: "a", values: [0, 0], namespace: "n", metadata: { old: true } },
    { id: "b", values: [3, 4], metadata: { kept: 1 } },
  ]);
  assert.deepEqual(await query(name, { vector: [0, 0], returnMetadata: "all" }), [
    { id: "a", score: 0, namespace: "n", metadata: { old: true } },
    { id: "b", score: 5, metadata: { kept: 1 } },
  ]);
  await put(name, [{ id: "a", values: [6, 8], metadata: { fresh: "ja" } }]);
  await put(name, [{ id: "b", values: [9, 9] }], "insert");
  assert.deepEqual(await indexes.getByIDs(name, { account_id, ids: ["b", "nobody", "a"] }), [
    { id: "b", values: [3, 4], metadata: { kept: 1 } },
    { id: "a", values: [6, 8], metadata: { fresh: "ja" } },
  ]);
  const { mutationId } = (await indexes.deleteByIDs(name, { account_id, ids: ["a", "nobody"] })) as { mutationId: string };
  assert.equal((await processed(platform, name, mutationId)).vectorCount, 1);
  assert.deepEqual(await indexes.getByIDs(name, { account_id, ids: ["a"] }), []);
  assert.deepEqual(idsOf(await query(name, { vector: [6, 8] })), ["b"]);
});

test("[vectorize-06, vectorize-07] scores of the three metrics, nearest first; a query by id is one with the stored vector", async () => {
  const vectors = [
    { id: "same", values: [3, 4] },
    { id: "twice", values: [6, 8] },
    { id: "across", values: [-4, 3] },
    { id: "against", values: [-3, -4] },
  ];
  const expected: Record<Metric, [string, number][]> = {
    cosine: [
      ["same", 1],
      ["twice", 1],
      ["across", 0],
      ["against", -1],
    ],
    euclidean: [
      ["same", 0],
      ["twice", 5],
      ["across", 7.07106781],
      ["against", 10],
    ],
    "dot-product": [
      ["twice", -50],
      ["same", -25],
      ["across", 0],
      ["against", 25],
    ],
  };
  for (const [metric, scores] of Object.entries(expected) as [Metric, [string, number][]][]) {
    const name = await create(`metric-${metric}`, 2, metric);
    await put(name, vectors);
    const found = await query(name, { vector: [3, 4] });
    assert.deepEqual(
      found.map(({ id, score }) => [id, score]),
      scores,
    );
    assert.deepEqual(await query(name, { vectorId: "same" }), found);
    assert.deepEqual(await query(name, { vectorId: "nobody" }), []);
  }
});

test("[vectorize-08] topK is 5 unless said, at most 100, and 20 with values or all metadata", async () => {
  const name = await create("top");
  await put(
    name,
    Array.from({ length: 150 }, (_, i) => ({ id: `v${i}`, values: [i, 0] })),
  );
  const ask = (options: object) => indexes.query(name, { account_id, vector: [0, 0], ...options });
  assert.equal((await ask({}))?.count, 5);
  assert.deepEqual(
    idsOf((await ask({ topK: 100 }))?.matches as Match[]),
    Array.from({ length: 100 }, (_, i) => `v${i}`),
  );
  assert.equal((await ask({ topK: 100, returnMetadata: "indexed" }))?.count, 100);
  assert.equal((await ask({ topK: 20, returnValues: true }))?.count, 20);
  await refused(ask({ topK: 101 }), 40025, /between 1 and 100, but got 101/);
  await refused(ask({ topK: 0 }), 40025, /but got 0/);
  await refused(ask({ topK: 21, returnValues: true }), 40025, /max top K is 20, but got 21/);
  await refused(ask({ topK: 21, returnMetadata: "all" }), 40025, /max top K is 20, but got 21/);
});

test("[vectorize-09, vectorize-22] what a query returns: nothing, indexed or all metadata, and values as 32-bit floats", async () => {
  const name = await create("returns");
  await property(name, "text", "string");
  await property(name, "pandas.nice", "number");
  const text = `${"é".repeat(31)}€ and more`; // The 64th byte lies inside the euro sign.
  const metadata = { text, pandas: { nice: 42, other: 1 }, more: [1, 2] };
  await put(name, [{ id: "a", values: [58.8, 6.7], metadata }]);
  const one = async (options: object) => (await query(name, { vector: [58, 6], ...options }))[0] as Match;
  assert.deepEqual(Object.keys(await one({})), ["id", "score"]);
  assert.deepEqual(Object.keys(await one({ returnMetadata: false })), ["id", "score"]);
  assert.deepEqual((await one({ returnMetadata: "indexed" })).metadata, { text: "é".repeat(31), pandas: { nice: 42 } });
  assert.deepEqual((await one({ returnMetadata: "all" })).metadata, metadata);
  assert.deepEqual((await one({ returnMetadata: true })).metadata, metadata);
  assert.deepEqual((await one({ returnValues: true })).values, [58.79999923706055, 6.699999809265137]);
});

test("[vectorize-10] a query in a namespace sees that namespace alone, one without sees all", async () => {
  const name = await create("spaces");
  await put(name, [
    { id: "1", values: [1, 0], namespace: "text" },
    { id: "2", values: [2, 0], namespace: "images" },
    { id: "3", values: [3, 0] },
    { id: "4", values: [4, 0], namespace: "images" },
  ]);
  assert.deepEqual(idsOf(await query(name, { vector: [0, 0], namespace: "images" })), ["2", "4"]);
  assert.deepEqual(idsOf(await query(name, { vector: [0, 0], namespace: "nowhere" })), []);
  assert.deepEqual(idsOf(await query(name, { vector: [0, 0] })), ["1", "2", "3", "4"]);
  await put(name, [{ id: "2", values: [2, 0], namespace: "text" }]);
  assert.deepEqual(idsOf(await query(name, { vector: [0, 0], namespace: "images" })), ["4"]);
});

test("[vectorize-11] a metadata index covers what is written after it, and ends with its deletion", async () => {
  const name = await create("lifecycle");
  await put(name, [{ id: "before", values: [1, 1], metadata: { kind: "x" } }]);
  await property(name, "kind", "string");
  assert.deepEqual((await indexes.metadataIndex.list(name, { account_id }))?.metadataIndexes, [
    { propertyName: "kind", indexType: "String" },
  ]);
  await put(name, [{ id: "later", values: [2, 2], metadata: { kind: "x" } }]);
  const filtered = async (): Promise<string[]> => idsOf(await query(name, { vector: [0, 0], filter: { kind: "x" } }));
  assert.deepEqual(await filtered(), ["later"]);
  await put(name, [{ id: "before", values: [1, 1], metadata: { kind: "x" } }]);
  assert.deepEqual(await filtered(), ["before", "later"]);
  await refused(property(name, "kind", "number"), 40110, /exists/);
  const gone = await indexes.metadataIndex.delete(name, { account_id, propertyName: "kind" });
  await processed(platform, name, gone?.mutationId);
  assert.deepEqual(await filtered(), []);
  // A new index of the property does not know what the old one knew.
  await property(name, "kind", "string");
  assert.deepEqual(await filtered(), []);
  for (let i = 0; i < 9; i++) await property(name, `p${i}`, "number");
  await refused(property(name, "p9", "number"), 40112, /at most 10/);
  await refused(indexes.metadataIndex.delete(name, { account_id, propertyName: "p9" }) as Promise<unknown>, 40111, /no metadata index/);
});

test("[vectorize-12] every filter operator, nested keys, several conditions, prefixes", async () => {
  const name = await create("filters");
  await property(name, "platform", "string");
  await property(name, "pandas.nice", "number");
  await property(name, "free", "boolean");
  await put(name, [
    { id: "1", values: [1, 0], metadata: { platform: "netflix", pandas: { nice: 1 }, free: true } },
    { id: "2", values: [2, 0], metadata: { platform: "hbo", pandas: { nice: 42 }, free: false } },
    { id: "3", values: [3, 0], metadata: { platform: "nest", pandas: { nice: 43.5 } } },
    { id: "4", values: [4, 0], metadata: { platform: "amazon", pandas: { nice: "42" }, free: true } },
    { id: "5", values: [5, 0], metadata: { platform: "a".repeat(100) } },
    { id: "6", values: [6, 0] },
  ]);
  const cases: [filter: object, ids: string][] = [
    [{ platform: "netflix" }, "1"],
    [{ platform: { $eq: "hbo" } }, "2"],
    [{ platform: { $ne: "hbo" } }, "13456"],
    [{ platform: { $in: ["hbo", "netflix"] } }, "12"],
    [{ platform: { $nin: ["hbo", "netflix"] } }, "3456"],
    [{ "pandas.nice": 42 }, "2"],
    [{ "pandas.nice": { $lt: 42 } }, "1"],
    [{ "pandas.nice": { $lte: 42 } }, "12"],
    [{ "pandas.nice": { $gt: 42 } }, "3"],
    [{ "pandas.nice": { $gte: 42 } }, "23"],
    [{ "pandas.nice": { $gte: 1, $lt: 43.5 } }, "12"],
    [{ platform: { $gte: "net", $lt: "neu" } }, "1"],
    [{ platform: { $gte: "ne", $lt: "nf" }, "pandas.nice": { $gt: 1 } }, "3"],
    [{ free: true }, "14"],
    [{ free: { $ne: true } }, "2356"],
    [{ free: null }, "356"],
    [{ platform: "a".repeat(100) }, "5"],
    [{ platform: "a".repeat(64) }, "5"],
    [{ unknown: "x" }, ""],
  ];
  for (const [filter, ids] of cases)
    assert.equal(idsOf(await query(name, { vector: [0, 0], topK: 10, filter })).join(""), ids, JSON.stringify(filter));
  const viaSdk = await indexes.query(name, { account_id, vector: [0, 0], filter: { platform: "hbo", free: false } });
  assert.deepEqual(idsOf(viaSdk?.matches as Match[]), ["2"]);
});

test("[vectorize-13] filters that break a documented rule are refused", async () => {
  const name = await create("refused-filters");
  const cases: unknown[] = [
    {},
    [],
    "x",
    { k: { $in: Array.from({ length: 500 }, () => "abc") } },
    { k: "v".repeat(2041) }, // 2,049 bytes
    { k: { $gt: 1, $gte: 2 } },
    { k: { $lt: 1, $lte: 2 } },
    { k: { $gt: 1, $ne: 2 } },
    { k: { $like: "x" } },
    { k: {} },
    { k: [] },
    { k: { $in: "x" } },
    { k: { $eq: { a: 1 } } },
    { k: { $lt: true } },
    { "": 1 },
    { $k: 1 },
    { 'a"b': 1 },
    { "a|b": 1 },
    { ["k".repeat(513)]: 1 },
  ];
  for (const filter of cases)
    await refused(indexes.query(name, { account_id, vector: [0, 0], filter }) as Promise<unknown>, 40103, /invalid query filter/);
  await query(name, { vector: [0, 0], filter: { k: "v".repeat(2039) } }); // 2,047 bytes
});

test("[vectorize-16] NDJSON comes as it is from the SDK and as the file of a form", async () => {
  const name = await create("uploads");
  assert.equal((await put(name, [{ id: "raw", values: [1, 1] }], "insert")).vectorCount, 1);
  const form = new FormData();
  form.append(
    "vectors",
    new File([`${ndjson([{ id: "f1", values: [1, 2] }])}\r\n\r\n${ndjson([{ id: "f2", values: [1, 3] }])}`], "v.ndjson"),
  );
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  const url = `${platform.ready.api}${base}/${name}/insert`;
  const answer = (await (await platform.fetch(url, { method: "POST", headers, body: form })).json()) as { result: { mutationId: string } };
  assert.equal((await processed(platform, name, answer.result.mutationId)).vectorCount, 3);
  const broken = Buffer.from('{"id":"ok","values":[1,4]}\nno json\n');
  await refused(indexes.insert(name, { account_id, body: broken as never }) as Promise<unknown>, 40023, /line 2/);
  const discarded = await indexes.insert(name, { account_id, body: broken as never, "unparsable-behavior": "discard" });
  assert.equal((await processed(platform, name, discarded?.mutationId)).vectorCount, 4);
});

test("[vectorize-18] a hundred files of 2,500 vectors each are found, all 250,000 of them", async () => {
  const [files, perFile, dimensions] = [100, 2500, 16];
  await create("large", dimensions);
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.round((seed / 2 ** 32) * 1000) / 100;
  };
  const samples: Vector[] = [];
  let mutation: string | undefined;
  for (let file = 0; file < files; file++) {
    const vectors = Array.from({ length: perFile }, (_, i) => ({
      id: `v${file * perFile + i}`,
      values: Array.from({ length: dimensions }, next),
    }));
    mutation = (await indexes.insert("large", { account_id, body: ndjson(vectors) as never }))?.mutationId;
    if (file % 33 === 0) samples.push(vectors[file * 7] as Vector);
  }
  assert.equal((await processed(platform, "large", mutation)).vectorCount, files * perFile);
  assert.equal(samples.length, 4);
  for (const { id, values } of samples) {
    const [nearest] = await query("large", { vector: values, topK: 1, returnValues: true });
    assert.deepEqual({ id: nearest?.id, score: nearest?.score }, { id, score: 0 });
  }
  await indexes.delete("large", { account_id });
});

test("[vectorize-33] an index has 50,000 namespaces, an account many indexes; each holds its own", async () => {
  const count = 50_000;
  await create("namespaces");
  let mutation: string | undefined;
  for (let from = 0; from < count; from += 5000) {
    const vectors = Array.from({ length: 5000 }, (_, i) => ({ id: `v${from + i}`, namespace: `of-${from + i}`, values: [from + i, 1] }));
    mutation = (await indexes.insert("namespaces", { account_id, body: ndjson(vectors) as never }))?.mutationId;
  }
  assert.equal((await processed(platform, "namespaces", mutation)).vectorCount, count);
  for (const at of [0, 31_234, count - 1])
    assert.deepEqual(idsOf(await query("namespaces", { vector: [1, 1], topK: 3, namespace: `of-${at}` })), [`v${at}`]);
  const names = Array.from({ length: 200 }, (_, i) => `one-of-many-${i}`);
  await Promise.all(names.map((name) => create(name)));
  const listed = new Set<string | undefined>();
  for await (const { name } of indexes.list({ account_id })) listed.add(name);
  assert.deepEqual(
    names.filter((name) => !listed.has(name)),
    [],
  );
  const written = await Promise.all(
    names.map((name, i) => indexes.insert(name, { account_id, body: ndjson([{ id: name, values: [i, i] }]) as never })),
  );
  await Promise.all(names.map((name, i) => processed(platform, name, written[i]?.mutationId)));
  for (const name of names) assert.deepEqual(idsOf(await query(name, { vector: [0, 0], topK: 5 })), [name]);
});

test("[vectorize-19, vectorize-20] a list shows the index as it was at its first page; its cursor expires", async () => {
  const name = await create("lists");
  const all = Array.from({ length: 5 }, (_, i) => `v${i}`);
  await put(
    name,
    all.map((id) => ({ id, values: [0, 0] })),
  );
  const page = (cursor?: string | null) => indexes.listVectors(name, { account_id, count: 2, ...(cursor && { cursor }) });
  const first = await page();
  assert.deepEqual({ count: first?.count, total: first?.totalCount, more: first?.isTruncated }, { count: 2, total: 5, more: true });
  await put(name, [{ id: "new", values: [1, 1] }]);
  const gone = await indexes.deleteByIDs(name, { account_id, ids: ["v3"] });
  await processed(platform, name, gone?.mutationId);
  const second = await page(first?.nextCursor);
  const third = await page(second?.nextCursor);
  assert.deepEqual(idsOf([first, second, third].flatMap((one) => one?.vectors ?? [])), all);
  assert.deepEqual([third?.isTruncated, third?.nextCursor, third?.totalCount], [false, null, 5]);
  assert.deepEqual(idsOf((await indexes.listVectors(name, { account_id }))?.vectors ?? []), ["v0", "v1", "v2", "v4", "new"]);
  await refused(page("made-up") as Promise<unknown>, 40105, /cursor/);
  await create("other-list");
  const elsewhere = indexes.listVectors("other-list", { account_id, cursor: first?.nextCursor as string });
  await refused(elsewhere as Promise<unknown>, 40105, /cursor/);
  await refused(indexes.listVectors(name, { account_id, count: 1001 }) as Promise<unknown>, 40026, /between 1 and 1000/);
  while (Date.now() <= Date.parse(first?.cursorExpirationTimestamp as string)) await delay(50);
  await refused(page(first?.nextCursor) as Promise<unknown>, 40106, /expired/);
});

test("[vectorize-21] wrong dimensions, ids, namespaces and metadata are refused in words, and nothing is written", async () => {
  const name = await create("strict", 3);
  const fine = { id: "fine", values: [1, 2, 3] };
  const cases: [vector: unknown, code: number, message: RegExp][] = [
    [{ id: "short", values: [1] }, 40012, /invalid vector for id="short", expected 3 dimensions, and got 1 dimensions/],
    [{ id: "text", values: [1, "2", 3] }, 40012, /position 1/],
    [{ id: "huge", values: [1, 2, 1e300] }, 40012, /position 2/],
    [{ id: "i".repeat(65), values: [1, 2, 3] }, 40008, /id too long; max is 64 bytes, got 65 bytes/],
    [{ values: [1, 2, 3] }, 40023, /must have an id/],
    [{ id: "n", values: [1, 2, 3], namespace: "n".repeat(65) }, 40009, /namespace too long/],
    [{ id: "m", values: [1, 2, 3], metadata: { text: "x".repeat(10 * 1024) } }, 40102, /max is 10240 bytes/],
    [{ id: "k", values: [1, 2, 3], metadata: { "a.b": 1 } }, 40018, /invalid metadata key "a.b"/],
    [{ id: "k", values: [1, 2, 3], metadata: { deep: { $x: 1 } } }, 40018, /invalid metadata key "\$x"/],
    [[1, 2], 40023, /must be an object/],
  ];
  for (const [vector, code, message] of cases)
    await refused(indexes.upsert(name, { account_id, body: ndjson([fine, vector]) as never }) as Promise<unknown>, code, message);
  const most = ndjson(Array.from({ length: 5001 }, (_, i) => ({ ...fine, id: `${i}` })));
  await refused(indexes.upsert(name, { account_id, body: most as never }) as Promise<unknown>, 40007, /max batch size is 5000/);
  await refused(indexes.query(name, { account_id, vector: [1] }) as Promise<unknown>, 40006, /expected 3 dimensions, and got 1 dimensions/);
  await refused(create("wide", 1537), 40100, /between 1 and 1536/);
  await refused(create("no spaces please"), 40100, /invalid index name/);
  const longest = { id: "i".repeat(64), values: [1, 2, 3], namespace: "n".repeat(64), metadata: { text: "x".repeat(10 * 1024 - 11) } };
  assert.equal((await put(name, [longest])).vectorCount, 1);
});

test("[vectorize-32] with returnValues the scores are those of brute force over all vectors", async () => {
  const name = await create("exact", 24, "cosine");
  const vectors = Array.from({ length: 3000 }, (_, i) => ({
    id: `v${i}`,
    values: Array.from({ length: 24 }, (_, d) => Math.fround(Math.sin(i * 12.9898 + d * 78.233) + Math.cos(i * d))),
  }));
  await put(name, vectors);
  const norm = (a: readonly number[]): number => Math.hypot(...a);
  for (const wanted of [7, 1234, 2999]) {
    const vector = (vectors[wanted] as (typeof vectors)[0]).values.map((value, i) => Math.fround(value + Math.sin(i)));
    const scored = vectors.map(({ id, values }) => ({
      id,
      score: values.reduce((sum, value, i) => sum + value * (vector[i] as number), 0) / norm(values) / norm(vector),
    }));
    scored.sort((a, b) => b.score - a.score);
    const found = await query(name, { vector, topK: 20, returnValues: true });
    assert.deepEqual(idsOf(found), idsOf(scored.slice(0, 20)));
    for (const [i, { score }] of found.entries()) assert.ok(Math.abs(score - (scored[i] as { score: number }).score) < 1e-6);
  }
});

test("[vectorize-35] a queue hears of indexes that are created and deleted", async () => {
  const { queue_id } = (await platform.sdk().queues.create({ account_id, queue_name: "vectorize-events" })) as { queue_id: string };
  await platform.sdk().queues.consumers.create(queue_id, { account_id, type: "http_pull" });
  const subscription = {
    name: "vectorize",
    enabled: true,
    source: { type: "vectorize" },
    destination: { type: "queues.queue", queue_id },
    events: ["index.created", "index.deleted"],
  };
  await platform.sdk().queues.subscriptions.create({ account_id, ...subscription } as never);
  await indexes.create({ account_id, name: "announced", description: "d", config: { dimensions: 8, metric: "cosine" } });
  const created = await indexes.get("announced", { account_id });
  await indexes.delete("announced", { account_id });
  const pulled = await platform.sdk().queues.messages.pull(queue_id, { account_id, batch_size: 10 });
  const events = (pulled?.messages ?? []).map(({ body }) => JSON.parse(Buffer.from(body as string, "base64").toString()));
  assert.deepEqual(
    events.map(({ type, source, payload }) => ({ type, source, payload })),
    [
      {
        type: "cf.vectorize.index.created",
        source: { type: "vectorize" },
        payload: {
          name: "announced",
          description: "d",
          createdAt: created?.created_on,
          modifiedAt: created?.modified_on,
          dimensions: 8,
          metric: "cosine",
        },
      },
      { type: "cf.vectorize.index.deleted", source: { type: "vectorize" }, payload: { name: "announced" } },
    ],
  );
});

test("a token without Vectorize's permissions sees no index, and one that reads writes nothing", async () => {
  const none = await platform.token(["Workers KV Storage Write"]);
  const reads = await platform.token(["Vectorize Read"]);
  await create("guarded");
  const status = async (method: string, path: string, token: string, body?: unknown): Promise<number> =>
    (await platform.rest(method, `${base}${path}`, body, token)).status;
  assert.equal(await status("GET", "", none.value), 403);
  assert.equal(await status("POST", "/guarded/query", none.value, { vector: [0, 0] }), 403);
  assert.equal(await status("POST", "/guarded/query", reads.value, { vector: [0, 0] }), 200);
  for (const path of ["/guarded/insert", "/guarded/delete_by_ids", "/guarded/metadata_index/create"])
    assert.equal(await status("POST", path, reads.value, { ids: ["a"] }), 403);
  assert.equal(await status("DELETE", "/guarded", reads.value), 403);
});

test("[vectorize-24] the Python SDK, and requests with a form, as the documentation shows them", { skip: noPython }, async () => {
  const { stdout } = await python(
    platform,
    `
import json, os, sys, time, requests
from cloudflare import Cloudflare
api, account, token = sys.argv[1:]
client = Cloudflare(api_token=token, base_url=api)
indexes = client.vectorize.indexes
index = indexes.create(account_id=account, name="python", config={"dimensions": 3, "metric": "cosine"})
def wait(mutation):
    while indexes.info("python", account_id=account).processed_up_to_mutation != mutation: time.sleep(0.02)
wait(indexes.metadata_index.create("python", account_id=account, index_type="string", property_name="kind").mutation_id)
line = lambda id, values, kind: json.dumps({"id": id, "values": values, "metadata": {"kind": kind}})
wait(indexes.insert("python", account_id=account, body=line("a", [1, 0, 0], "x").encode()).mutation_id)
wait(indexes.upsert("python", account_id=account, body=line("b", [0, 1, 0], "y").encode()).mutation_id)
form = requests.post(f"{api}/accounts/{account}/vectorize/v2/indexes/python/insert", headers={"Authorization": f"Bearer {token}"},
    files={"vectors": ("embeddings.ndjson", line("c", [0, 0, 1], "y"), "application/x-ndjson")})
wait(form.json()["result"]["mutationId"])
found = indexes.query("python", account_id=account, vector=[0, 1, 0.5], filter={"kind": "y"}, return_metadata="all", top_k=2)
listed = indexes.metadata_index.list("python", account_id=account)
out = {"metric": index.config.metric, "names": [i.name for i in indexes.list(account_id=account) if i.name == "python"],
  "get": indexes.get("python", account_id=account).config.dimensions,
  "matches": [[m.id, m.metadata] for m in found.matches], "properties": [p.property_name for p in listed.metadata_indexes],
  "vectors": indexes.get_by_ids("python", account_id=account, ids=["c"])}
wait(indexes.delete_by_ids("python", account_id=account, ids=["a"]).mutation_id)
out["left"] = indexes.info("python", account_id=account).vector_count
wait(indexes.metadata_index.delete("python", account_id=account, property_name="kind").mutation_id)
indexes.delete("python", account_id=account)
print(json.dumps(out))
`,
    { args: [platform.ready.api, account_id, platform.ready.api_token] },
  );
  assert.deepEqual(JSON.parse(stdout), {
    metric: "cosine",
    names: ["python"],
    get: 3,
    matches: [
      ["b", { kind: "y" }],
      ["c", { kind: "y" }],
    ],
    properties: ["kind"],
    vectors: [{ id: "c", values: [0, 0, 1], metadata: { kind: "y" } }],
    left: 2,
  });
});
