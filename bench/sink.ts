/**
 * Pipelines' sinks: a stream's journal is filled with events of 1 KB, then a pipeline is made and timed until all of them
 * lie in the bucket: parsing, SQL, Parquet, the object's way into R2, the commit. Faster than ingest at 100 MB/s is the
 * budget: a sink that is slower falls behind for ever. One of them filters and computes columns.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { event, eventFields } from "./events.ts";
import { cpuSeconds } from "./process.ts";

const EVENTS_BYTES = 600 * 1e6;
const BODY_BYTES = 990_000;
const PASSTHROUGH = "SELECT * FROM events";
const TRANSFORM =
  "SELECT *, upper(event_type) AS kind, amount * 1.1 AS with_tax, date_trunc('hour', at) AS hour FROM events WHERE quantity > 1 AND url LIKE '%path%'";

export async function run(): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const sinks = [
    { name: "parquet_zstd", type: "r2", format: { type: "parquet", compression: "zstd" }, select: PASSTHROUGH },
    { name: "transform", type: "r2", format: { type: "parquet", compression: "zstd" }, select: TRANSFORM },
    { name: "json", type: "r2", format: { type: "json" }, select: PASSTHROUGH },
    { name: "catalog", type: "r2_data_catalog", format: { type: "parquet", compression: "zstd" }, select: PASSTHROUGH },
  ] as const;
  for (const sink of sinks) {
    const cleanups: (() => Promise<void>)[] = [];
    const measured = inBenchDirectory(async (directory) => {
      try {
        const platform = await startPlatform({ after: (fn) => cleanups.push(fn) }, { dir: join(directory, "data") });
        return await measure(platform, sink.name, sink);
      } finally {
        for (const cleanup of cleanups.reverse()) await cleanup();
      }
    });
    results.push(...(await measured));
  }
  return results;
}

async function measure(
  platform: TestPlatform,
  name: string,
  sink: { type: string; format: unknown; select: string },
): Promise<BenchResult[]> {
  const account = `/accounts/${platform.ready.account_id}`;
  const create = async (path: string, body?: unknown) => {
    const answer = await platform.rest("POST", `${account}/${path}`, body);
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    return answer.body.result;
  };
  await platform.s3().send(new CreateBucketCommand({ Bucket: "bench" }));
  const token = await platform.token(["Workers R2 Storage Write", "Workers R2 Data Catalog Write"]);
  const destination =
    sink.type === "r2"
      ? { credentials: { access_key_id: token.s3.accessKeyId, secret_access_key: token.s3.secretAccessKey } }
      : { namespace: "default", table_name: "events", token: token.value };
  if (sink.type !== "r2") await create("r2-catalog/bench/enable");
  const stream = (await create("pipelines/v1/streams", {
    name: "events",
    http: { enabled: true, authentication: false },
    schema: { fields: eventFields },
  })) as { endpoint: string };
  await create("pipelines/v1/sinks", {
    name: "sink",
    type: sink.type,
    format: sink.format,
    config: { bucket: "bench", rolling_policy: { interval_seconds: 1 }, ...destination },
  });
  const { bytes, events } = await fill(platform, stream.endpoint);

  const cpuBefore = cpuSeconds(platform.pid);
  const started = performance.now();
  await create("pipelines/v1/pipelines", { name: "bench", sql: `INSERT INTO sink ${sink.select}` });
  const rows = new DatabaseSync(join(platform.dir, "meta.sqlite"), { readOnly: true });
  const position = rows.prepare("SELECT position FROM pipelines_readers");
  while ((position.get() as { position: number }).position < events) await sleep(20);
  const seconds = (performance.now() - started) / 1000;
  const cpu = cpuSeconds(platform.pid) - cpuBefore;
  rows.close();
  return [
    {
      name: `sink.${name}`,
      value: Math.round(bytes / 1e6 / seconds),
      unit: "MB/s",
      budget: 100,
      note: `${Math.round(events / 1000)}k events`,
    },
    { name: `sink.${name}_cpu`, value: Math.round((cpu / bytes) * 1e11) / 100, unit: "s", note: "CPU time for 1 GB of events" },
  ];
}

/** Fills the stream with EVENTS_BYTES of events. */
async function fill(platform: TestPlatform, endpoint: string): Promise<{ bytes: number; events: number }> {
  let [bytes, events] = [0, 0];
  const sender = async (): Promise<void> => {
    while (bytes < EVENTS_BYTES) {
      const batch: string[] = [];
      let size = 2;
      for (let i = events; size < BODY_BYTES; i++) {
        const text = JSON.stringify(event(i));
        size += text.length + 1;
        batch.push(text);
      }
      events += batch.length;
      bytes += size;
      const response = await platform.fetch(endpoint, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: `[${batch.join(",")}]`,
      });
      if (response.status !== 200) throw new Error(await response.text());
      await response.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: 4 }, sender));
  return { bytes, events };
}
