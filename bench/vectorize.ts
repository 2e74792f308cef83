/**
 * Vectorize over HTTP beside an exact scan of DuckDB in this process, on 100,000 vectors of 768 dimensions with clusters as
 * embeddings have; recall against brute force. FREEHOLD_BENCH_FAISS names a Python that has faiss-cpu and numpy: then its flat
 * and HNSW indexes answer the same queries, each on one thread, for the table in docs/benchmarks.md.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import duckdb from "@duckdb/node-api";
import { indexesPath, processed } from "../test/clients/vectorize-world.ts";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { randomOf } from "../test/harness/seed.ts";
import { type BenchResult, inBenchDirectory, median, withEnds } from "./bench.ts";

const COUNT = 100_000;
const DIMENSIONS = 768;
const CLUSTERS = 500;
const QUERIES = 100;
const BATCH = 5000;
const TOP = 10;

interface Timed {
  readonly ms: number;
  readonly ids: readonly number[];
}

export function run(): Promise<BenchResult[]> {
  return inBenchDirectory((directory) =>
    withEnds(async (after) => {
      const { next } = randomOf(1);
      const gaussian = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
      const centers = Array.from({ length: CLUSTERS }, () => Float32Array.from({ length: DIMENSIONS }, gaussian));
      const sample = (): Float32Array => (centers[Math.floor(next() * CLUSTERS)] as Float32Array).map((value) => value + gaussian());
      const vectors = Array.from({ length: COUNT }, sample);
      const queries = Array.from({ length: QUERIES }, sample);
      const truth = queries.map((query) => bruteForce(vectors, query));
      const recall = (found: readonly Timed[]): number =>
        found.reduce((sum, { ids }, i) => sum + ids.filter((id) => truth[i]?.includes(id)).length, 0) / (QUERIES * TOP);
      const time = (found: readonly Timed[]): number => median(found.map(({ ms }) => ms));

      const platform = await startPlatform({ after }, { dir: join(directory, "platform") });
      const seconds = await load(platform, vectors);
      const approximate = await ask(platform, queries, false);
      const exact = await ask(platform, queries, true);
      const scanned = await duckdbScan(directory, vectors, queries.slice(0, 20));
      const results: BenchResult[] = [
        { name: "vectorize.load_vectors", value: COUNT / seconds, unit: "1/s", note: "uploads of 5,000 until they can be found" },
        { name: "vectorize.query_p50", value: time(approximate), unit: "ms", note: "over HTTP, as documented by default" },
        { name: "vectorize.query_recall_at_10", value: recall(approximate), unit: "ratio", budget: 0.95 },
        { name: "vectorize.exact_p50", value: time(exact), unit: "ms", note: "with returnValues" },
        { name: "vectorize.exact_recall_at_10", value: recall(exact), unit: "ratio", budget: 1 },
        { name: "vectorize.duckdb_scan_p50", value: time(scanned), unit: "ms", note: "both cores, in this process" },
        { name: "vectorize.query_to_duckdb_scan", value: time(approximate) / time(scanned), unit: "ratio", budget: 0.5 },
      ];
      return [...results, ...(await faiss(directory, vectors, queries, truth))];
    }),
  );
}

/** Ids of the nearest by cosine, the nearest first. */
function bruteForce(vectors: readonly Float32Array[], query: Float32Array): number[] {
  const scores = vectors.map((vector, id) => {
    let dot = 0;
    let squares = 0;
    for (let i = 0; i < DIMENSIONS; i++) {
      const value = vector[i] as number;
      dot += value * (query[i] as number);
      squares += value * value;
    }
    return { id, score: dot / Math.sqrt(squares) };
  });
  return scores
    .sort((a, b) => b.score - a.score)
    .slice(0, TOP)
    .map(({ id }) => id);
}

/** Seconds until all of them can be found. */
async function load(platform: TestPlatform, vectors: readonly Float32Array[]): Promise<number> {
  const base = indexesPath(platform);
  await platform.rest("POST", base, { name: "bench", config: { dimensions: DIMENSIONS, metric: "cosine" } });
  const headers = { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/x-ndjson" };
  const started = performance.now();
  let mutation: string | undefined;
  for (let from = 0; from < COUNT; from += BATCH) {
    const lines = vectors.slice(from, from + BATCH).map((values, i) => JSON.stringify({ id: String(from + i), values: [...values] }));
    const url = `${platform.ready.api}${base}/bench/upsert`;
    const answer = await platform.fetch(url, { method: "POST", headers, body: lines.join("\n") });
    mutation = ((await answer.json()) as { result: { mutationId: string } }).result.mutationId;
  }
  await processed(platform, "bench", mutation);
  return (performance.now() - started) / 1000;
}

async function ask(platform: TestPlatform, queries: readonly Float32Array[], returnValues: boolean): Promise<Timed[]> {
  const timed: Timed[] = [];
  // The first one reads the index into memory.
  for (const query of [queries[0] as Float32Array, ...queries]) {
    const started = performance.now();
    const { body } = await platform.rest("POST", `${indexesPath(platform)}/bench/query`, { vector: [...query], topK: TOP, returnValues });
    const ids = (body.result.matches as { id: string }[]).map(({ id }) => Number(id));
    timed.push({ ms: performance.now() - started, ids });
  }
  return timed.slice(1);
}

async function duckdbScan(directory: string, vectors: readonly Float32Array[], queries: readonly Float32Array[]): Promise<Timed[]> {
  const connection = await (await duckdb.DuckDBInstance.create(":memory:")).connect();
  // Through a file: the driver keeps millions of appended numbers as objects until it is closed.
  const file = createWriteStream(join(directory, "vectors.ndjson"));
  for (const [id, values] of vectors.entries()) if (!file.write(`${JSON.stringify({ id, e: [...values] })}\n`)) await once(file, "drain");
  file.end();
  await finished(file);
  const columns = `{ id: 'INTEGER', e: 'FLOAT[${DIMENSIONS}]' }`;
  await connection.run(`CREATE TABLE v AS FROM read_json('${join(directory, "vectors.ndjson")}', columns = ${columns})`);
  const timed: Timed[] = [];
  for (const query of queries) {
    const started = performance.now();
    const sql = `SELECT id FROM v ORDER BY array_cosine_similarity(e, [${query.join(",")}]::FLOAT[${DIMENSIONS}]) DESC LIMIT ${TOP}`;
    const rows = await (await connection.runAndReadAll(sql)).getRows();
    timed.push({ ms: performance.now() - started, ids: rows.map(([id]) => Number(id)) });
  }
  connection.closeSync();
  return timed;
}

const FAISS = `
import json, sys, time, faiss, numpy as np
directory, d, k = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.fromfile(directory + "/vectors.f32", dtype="float32").reshape(-1, d)
q = np.fromfile(directory + "/queries.f32", dtype="float32").reshape(-1, d)
truth = np.array(json.load(open(directory + "/truth.json")))
faiss.normalize_L2(x); faiss.normalize_L2(q)
hnsw = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
hnsw.hnsw.efConstruction = 80
out = {}
for name, index in {"flat": faiss.IndexFlatIP(d), "hnsw": hnsw}.items():
    faiss.omp_set_num_threads(2)
    start = time.time(); index.add(x); built = time.time() - start
    faiss.omp_set_num_threads(1)
    if name == "hnsw": hnsw.hnsw.efSearch = 64
    times, hits = [], 0
    for i in range(len(q)):
        start = time.time(); _, found = index.search(q[i:i+1], k); times.append((time.time() - start) * 1000)
        hits += len(set(found[0]) & set(truth[i]))
    out[name] = {"p50": sorted(times)[len(times) // 2], "recall": hits / (len(q) * k), "built": built}
print(json.dumps(out))
`;

async function faiss(
  directory: string,
  vectors: readonly Float32Array[],
  queries: readonly Float32Array[],
  truth: readonly (readonly number[])[],
): Promise<BenchResult[]> {
  const python = process.env.FREEHOLD_BENCH_FAISS;
  if (python === undefined) return [];
  for (const [name, list] of Object.entries({ vectors, queries })) {
    const file = createWriteStream(join(directory, `${name}.f32`));
    for (const { buffer } of list) file.write(Buffer.from(buffer));
    file.end();
    await finished(file);
  }
  await writeFile(join(directory, "truth.json"), JSON.stringify(truth));
  const text = execFileSync(python, ["-c", FAISS, directory, String(DIMENSIONS), String(TOP)], { encoding: "utf8" });
  const found = JSON.parse(text) as Record<string, { p50: number; recall: number; built: number }>;
  return Object.entries(found).flatMap(([name, { p50, recall, built }]): BenchResult[] => [
    { name: `vectorize.faiss_${name}_p50`, value: p50, unit: "ms", note: `in its own process, one thread; built in ${built.toFixed(0)} s` },
    { name: `vectorize.faiss_${name}_recall_at_10`, value: recall, unit: "ratio" },
  ]);
}
