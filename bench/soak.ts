/**
 * A day of events through one pipeline, shortened: 24 hours at 5 MB/s, the documented rate of a stream, are 432 GB; this run
 * sends FREEHOLD_SOAK_GB of them (3: ten minutes of that day) at FREEHOLD_SOAK_MB_PER_S (25: five times as fast), to a
 * Parquet sink that rolls every 10 s, while a consumer takes the files away. Nothing in it depends on the clock: the number
 * of events, rolls and requests is that of the day's part, only the pauses are shorter. `432` at `25` is the whole day in
 * under five hours.
 *
 * What is measured is what must not grow: memory and disk of the platform, sampled every second, each as its highest value
 * and as the last third's median against the first third's. The first tenth is left out: the platform warms up in it.
 */
import { type Dirent, readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, DeleteObjectsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { event, eventFields } from "./events.ts";

const TOTAL_BYTES = Number(process.env.FREEHOLD_SOAK_GB ?? 3) * 1e9;
const BYTES_PER_S = Number(process.env.FREEHOLD_SOAK_MB_PER_S ?? 25) * 1e6;
const SAMPLE_MS = 1000;
const CONSUME_MS = 3000;
const SENDERS = 4;
const BUCKET = "soak";

export async function run(): Promise<BenchResult[]> {
  const cleanups: (() => Promise<void>)[] = [];
  return inBenchDirectory(async (directory) => {
    try {
      return await measure(await startPlatform({ after: (fn) => cleanups.push(fn) }, { dir: join(directory, "data") }));
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}

interface Sample {
  readonly memory: number;
  readonly disk: number;
}

async function measure(platform: TestPlatform): Promise<BenchResult[]> {
  const endpoint = await pipeline(platform);
  const samples: Sample[] = [];
  const done = new AbortController();
  const watching = repeat(SAMPLE_MS, done.signal, async () => {
    samples.push({ memory: memoryOf(platform.pid), disk: await diskOf(platform.dir) });
  });
  const consuming = repeat(CONSUME_MS, done.signal, () => consume(platform));
  const begun = performance.now();
  const events = await send(platform, endpoint);
  const sent = performance.now();
  await delivered(platform, events);
  const ended = performance.now();
  done.abort();
  await Promise.all([watching, consuming]);

  const steady = samples.slice(Math.ceil(samples.length / 10));
  const third = Math.floor(steady.length / 3);
  const growth = (of: (sample: Sample) => number): number =>
    Math.round((median(steady.slice(-third).map(of)) / median(steady.slice(0, third).map(of))) * 100) / 100;
  const highest = (of: (sample: Sample) => number): number => Math.round(Math.max(...samples.map(of)) / 1e6);
  const day = `${TOTAL_BYTES / 1e9} GB, ${Math.round(events / 1000)}k events, of a day's 432 GB`;
  return [
    { name: "soak.rate", value: Math.round(TOTAL_BYTES / 1e6 / ((sent - begun) / 1000)), unit: "MB/s", note: day },
    {
      name: "soak.behind",
      value: Math.round((ended - sent) / 100) / 10,
      unit: "s",
      note: "from the last answer to the last event in the bucket",
    },
    { name: "soak.memory_max", value: highest(({ memory }) => memory), unit: "MB", note: "resident" },
    { name: "soak.memory_growth", value: growth(({ memory }) => memory), unit: "ratio" },
    { name: "soak.disk_max", value: highest(({ disk }) => disk), unit: "MB", note: "the whole data directory" },
    { name: "soak.disk_growth", value: growth(({ disk }) => disk), unit: "ratio" },
  ];
}

/** A stream, a sink and a pipeline between them; the stream's ingest endpoint. */
async function pipeline(platform: TestPlatform): Promise<string> {
  await platform.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  const { s3, account_id } = platform.ready;
  const create = async (kind: string, body: unknown): Promise<{ endpoint: string }> => {
    const answer = await platform.rest("POST", `/accounts/${account_id}/pipelines/v1/${kind}`, body);
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    return answer.body.result;
  };
  const { endpoint } = await create("streams", {
    name: "events",
    http: { enabled: true, authentication: false },
    schema: { fields: eventFields },
  });
  await create("sinks", {
    name: "sink",
    type: "r2",
    format: { type: "parquet", compression: "zstd" },
    config: {
      bucket: BUCKET,
      rolling_policy: { interval_seconds: 10 },
      credentials: { access_key_id: s3.access_key_id, secret_access_key: s3.secret_access_key },
    },
  });
  await create("pipelines", { name: "soak", sql: "INSERT INTO sink SELECT * FROM events" });
  return endpoint;
}

/** Sends at the wanted rate, or as fast as it is taken; the number of events. */
async function send(platform: TestPlatform, endpoint: string): Promise<number> {
  const bodies = Array.from({ length: 16 }, (_, k) => Array.from({ length: 900 }, (_, i) => event(k * 900 + i)));
  const texts = bodies.map((body) => JSON.stringify(body));
  const begun = performance.now();
  let [turn, bytes, events] = [0, 0, 0];
  const sender = async (): Promise<void> => {
    while (bytes < TOTAL_BYTES) {
      const k = turn++ % texts.length;
      const text = texts[k] as string;
      const dueMs = (bytes / BYTES_PER_S) * 1000;
      bytes += text.length;
      await sleep(Math.max(0, begun + dueMs - performance.now()));
      const headers = { "content-type": "application/json" };
      for (;;) {
        const response = await platform.fetch(endpoint, { method: "POST", headers, body: text });
        const answer = await response.text();
        if (response.status === 200) break;
        if (response.status !== 429) throw new Error(answer);
        await sleep(1000);
      }
      events += (bodies[k] as unknown[]).length;
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return events;
}

/** Waits until the pipeline has passed that many events; each must have been written. */
async function delivered(platform: TestPlatform, events: number): Promise<void> {
  const rows = new DatabaseSync(join(platform.dir, "meta.sqlite"), { readOnly: true });
  const position = rows.prepare("SELECT position FROM pipelines_readers");
  while ((position.get() as { position: number }).position < events) await sleep(100);
  const { written } = rows.prepare("SELECT sum(records_written) AS written FROM pipelines_sink_metrics").get() as { written: number };
  rows.close();
  if (written !== events) throw new Error(`${written} of ${events} events were written`);
}

/** Deletes every file of the sink, as who reads and archives them does. */
async function consume(platform: TestPlatform): Promise<void> {
  const s3 = platform.s3();
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  const Objects = Contents.map(({ Key }) => ({ Key }));
  if (Objects.length > 0) await s3.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects } }));
  s3.destroy();
}

async function repeat(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work();
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }
}

/** Resident bytes of a process. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** Bytes that the files below a directory take on disk. Files may go while it looks. */
async function diskOf(directory: string): Promise<number> {
  const files = await readdir(directory, { withFileTypes: true, recursive: true }).catch((): Dirent[] => []);
  const sizes = files
    .filter((file) => file.isFile())
    .map(async (file) => {
      const found = await stat(join(file.parentPath, file.name)).catch(() => undefined);
      return (found?.blocks ?? 0) * 512;
    });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
