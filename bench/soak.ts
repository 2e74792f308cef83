/**
 * A day of events through one stream, scaled down. 24 hours at 5 MB/s, the documented rate of a stream, are 432 GB. What
 * could grow over such a day grows with something that is counted, so each of these happens as often as in the day, or the
 * run says how much of the day it was:
 *
 *                         a day                          this run
 *     time                24 h at 5 MB/s                 ÷ 100: 14.4 minutes at 25 MB/s
 *     rolls of a sink     288, one in 5 minutes          288, one in 3 seconds
 *     commits of a table  288                            288
 *     journal segments    6,600 of 64 MiB                6,600 of 3.2 MiB, made and trimmed
 *     events, requests    485 million, 540,000           a twentieth: 21.6 GB; FREEHOLD_SOAK_GB
 *
 * FREEHOLD_SOAK_GB (2.16, a tenth of all of it) is how much is sent, FREEHOLD_SOAK_MB_PER_S (25) how fast. `432` is the
 * whole day's volume, in under five hours. Two INSERTs read the stream: everything into Parquet files, which a consumer takes
 * away, and one event in a hundred into a table, which keeps them.
 *
 * What is measured is what must not grow: memory of the platform's processes and disk, sampled every second. The first tenth
 * is left out, the platform warms up in it; the median of each tenth is printed, and the slope of the straight line through the
 * rest. FREEHOLD_SOAK_SAMPLES names a file that all samples are written to.
 */
import { type Dirent, readFileSync } from "node:fs";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, DeleteObjectsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory, median } from "./bench.ts";
import { event, eventFields } from "./events.ts";

const DAY_BYTES = 432e9;
const TOTAL_BYTES = Number(process.env.FREEHOLD_SOAK_GB ?? 2.16) * 1e9;
const BYTES_PER_S = Number(process.env.FREEHOLD_SOAK_MB_PER_S ?? 25) * 1e6;
/** A twentieth of the volume in a hundredth of the time, at five times the rate. */
const SEGMENT_BYTES = Math.round((64 * 1024 * 1024) / 20);
const ROLL_S = 3;
const SAMPLE_MS = 1000;
const CONSUME_MS = 3000;
const SENDERS = 4;
const BUCKET = "soak";
const CATALOG = "soak-tables";
/** Of so many events the table keeps one. */
const KEPT_OF = 100;

export async function run(): Promise<BenchResult[]> {
  const cleanups: (() => Promise<void>)[] = [];
  return inBenchDirectory(async (directory) => {
    const config = { "journal.segment_bytes": SEGMENT_BYTES };
    try {
      return await measure(await startPlatform({ after: (fn) => cleanups.push(fn) }, { dir: join(directory, "data"), config }));
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}

interface Sample {
  readonly seconds: number;
  /** Resident bytes of the platform's processes. */
  readonly memory: number;
  /** Bytes on disk: of the whole data directory, and of the journals and files being written in it. */
  readonly disk: number;
  readonly inFlight: number;
}

async function measure(platform: TestPlatform): Promise<BenchResult[]> {
  const endpoint = await pipeline(platform);
  const samples: Sample[] = [];
  const done = new AbortController();
  const begun = performance.now();
  const watching = repeat(SAMPLE_MS, done.signal, async () => {
    const disk = await diskOf(platform.dir);
    const inFlight = (await diskOf(join(platform.dir, "journal"))) + (await diskOf(join(platform.dir, "blobs", "scratch")));
    samples.push({ seconds: (performance.now() - begun) / 1000, memory: memoryOf(platform.pid), disk, inFlight });
  });
  const consuming = repeat(CONSUME_MS, done.signal, () => consume(platform));
  const events = await send(platform, endpoint);
  const sent = performance.now();
  await delivered(platform, events);
  const ended = performance.now();
  done.abort();
  await Promise.all([watching, consuming]);
  const rolls = counts(platform);
  const folders = await foldersOf(platform.dir);
  const { FREEHOLD_SOAK_SAMPLES: file } = process.env;
  if (file !== undefined) await writeFile(file, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(""));

  const seconds = (sent - begun) / 1000;
  const steady = samples.filter((sample) => sample.seconds > seconds / 10 && sample.seconds < seconds);
  const part = TOTAL_BYTES / DAY_BYTES;
  /** The highest value, its course, and what it grew by. */
  const figures = (what: string, of: (sample: Sample) => number): BenchResult[] => [
    { name: `soak.${what}_max`, value: megabytes(Math.max(...samples.map(of))), unit: "MB", note: tenths(samples, seconds, of) },
    { name: `soak.${what}_slope`, value: megabytes(slope(steady, of) * 60), unit: "MB", note: "in a minute of the run" },
  ];
  const note = `${TOTAL_BYTES / 1e9} GB, ${Math.round(events / 1000)}k events (${Math.round(part * 1000) / 10} % of a day), ${rolls.files} files, ${rolls.commits} commits`;
  return [
    { name: "soak.rate", value: megabytes(TOTAL_BYTES / seconds), unit: "MB/s", note },
    { name: "soak.behind", value: Math.round((ended - sent) / 100) / 10, unit: "s", note: "from the last answer to the last delivery" },
    ...figures("memory", ({ memory }) => memory),
    ...figures("disk", ({ disk }) => disk),
    ...Object.entries(folders).map(([name, bytes]) => ({
      name: `soak.end_${name}`,
      value: megabytes(bytes),
      unit: "MB",
      note: "on disk at the end",
    })),
    ...figures("in_flight", ({ inFlight }) => inFlight),
  ];
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;

/** Medians of the run's tenths, in MB. */
function tenths(samples: readonly Sample[], seconds: number, of: (sample: Sample) => number): string {
  const parts = Array.from({ length: 10 }, (_, i) =>
    median(samples.filter((sample) => Math.floor((sample.seconds / seconds) * 10) === i).map(of)),
  );
  return `tenths of the run: ${parts.map((value) => Math.round(value / 1e6)).join(" ")}`;
}

/** Bytes a second of the straight line that fits the samples best. */
function slope(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(samples.map((sample) => sample.seconds)), mean(samples.map(of))];
  const covariance = mean(samples.map((sample) => (sample.seconds - x) * (of(sample) - y)));
  return covariance / mean(samples.map((sample) => (sample.seconds - x) ** 2));
}

/** A stream, two sinks and a pipeline between them; the stream's ingest endpoint. */
async function pipeline(platform: TestPlatform): Promise<string> {
  const { s3, account_id, api_token } = platform.ready;
  const create = async (path: string, body?: unknown): Promise<{ endpoint: string }> => {
    const answer = await platform.rest("POST", `/accounts/${account_id}/${path}`, body);
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    return answer.body.result;
  };
  for (const Bucket of [BUCKET, CATALOG]) await platform.s3().send(new CreateBucketCommand({ Bucket }));
  await create(`r2-catalog/${CATALOG}/enable`);
  const { endpoint } = await create("pipelines/v1/streams", {
    name: "events",
    http: { enabled: true, authentication: false },
    schema: { fields: eventFields },
  });
  const rolling_policy = { interval_seconds: ROLL_S };
  const credentials = { access_key_id: s3.access_key_id, secret_access_key: s3.secret_access_key };
  await create("pipelines/v1/sinks", {
    name: "files",
    type: "r2",
    format: { type: "parquet", compression: "zstd" },
    config: { bucket: BUCKET, rolling_policy, credentials },
  });
  await create("pipelines/v1/sinks", {
    name: "table",
    type: "r2_data_catalog",
    format: { type: "parquet", compression: "zstd" },
    config: { bucket: CATALOG, namespace: "soak", table_name: "events", token: api_token, rolling_policy },
  });
  const sql = `INSERT INTO files SELECT * FROM events;
    INSERT INTO "table" SELECT seq, user_id, event_type, amount FROM events WHERE seq % ${KEPT_OF} = 0`;
  await create("pipelines/v1/pipelines", { name: "soak", sql });
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

/** Waits until both INSERTs have passed that many events; each of the first must have been written. */
async function delivered(platform: TestPlatform, events: number): Promise<void> {
  const rows = new DatabaseSync(join(platform.dir, "meta.sqlite"), { readOnly: true });
  const position = rows.prepare("SELECT min(position) AS position FROM pipelines_readers");
  while ((position.get() as { position: number }).position < events) await sleep(100);
  const written = rows.prepare(
    "SELECT max(total) AS written FROM (SELECT sum(records_written) AS total FROM pipelines_sink_metrics GROUP BY sink)",
  );
  const found = (written.get() as { written: number }).written;
  rows.close();
  if (found !== events) throw new Error(`${found} of ${events} events were written`);
}

/** How often the two sinks were written to. */
function counts(platform: TestPlatform): { files: number; commits: number } {
  const rows = new DatabaseSync(join(platform.dir, "meta.sqlite"), { readOnly: true });
  const [files, commits] = rows.prepare("SELECT rolls FROM pipelines_readers ORDER BY ordinal").all() as { rolls: number }[];
  rows.close();
  return { files: files?.rolls ?? 0, commits: commits?.rolls ?? 0 };
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

/** Resident bytes of a process and those that it has started. A process may end while it looks. */
function memoryOf(pid: number): number {
  try {
    const own = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    return children.reduce((sum, child) => sum + memoryOf(Number(child)), own);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return 0;
    throw error;
  }
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

/** What is on disk, by the first name below the directory; what is less than a megabyte is left out. */
async function foldersOf(directory: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { name } of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, name);
    const size = (await stat(path)).isDirectory() ? await diskOf(path) : (await stat(path)).blocks * 512;
    if (size > 1e6) found[name] = size;
  }
  return found;
}
