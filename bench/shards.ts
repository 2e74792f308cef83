/**
 * Legacy pipelines with 1, 2 and 4 shards through the whole platform, turn by turn: one-event requests of 1 KB; 1 MB bodies
 * as fast as they are taken; and the same until the last event is in the bucket, as gzip. The requests of all shards come
 * in by one event loop, the files of several shards are compressed at a time: shards are for the last of the three. How many
 * cores the platform keeps busy meanwhile says how far more shards could go: no further than the machine's cores.
 */
import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory, median } from "./bench.ts";
import { event } from "./events.ts";
import { httpLoad, type LoadResult } from "./http-load.ts";
import { cpuSeconds } from "./process.ts";

const SHARDS = [1, 2, 4];
const TURNS = 3;
const TURN_MS = 3000;
const BUCKET = "shards";

export async function run(): Promise<BenchResult[]> {
  const cleanups: (() => Promise<void>)[] = [];
  return inBenchDirectory(async (directory) => {
    try {
      return await measure(directory, (fn) => cleanups.push(fn));
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}

async function measure(directory: string, after: (fn: () => Promise<void>) => void): Promise<BenchResult[]> {
  const platform = await startPlatform({ after }, { dir: join(directory, "data") });
  const { account_id, s3 } = platform.ready;
  await platform.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  const path = `/accounts/${account_id}/pipelines`;

  /** Creates a pipeline, or makes a new version of it, which drains the one before. */
  async function put(method: "POST" | "PUT", name: string, shards: number): Promise<{ id: string; version: number }> {
    const credentials = {
      endpoint: `https://${account_id}.r2.cloudflarestorage.com`,
      access_key_id: s3.access_key_id,
      secret_access_key: s3.secret_access_key,
    };
    const batch = { max_bytes: 16_000_000 };
    const destination = { type: "r2", batch, compression: { type: "gzip" }, path: { bucket: BUCKET }, credentials };
    const body = { name, metadata: { shards }, source: [{ type: "http", format: "json" }], destination };
    const answer = await platform.rest(method, method === "POST" ? path : `${path}/${name}`, body);
    if (answer.status !== 200) throw new Error(`${method} ${name}: ${JSON.stringify(answer.body.errors)}`);
    return answer.body.result;
  }
  async function load(id: string, bodies: readonly string[], connections: number): Promise<LoadResult> {
    const url = new URL(platform.host("pipelines", { pipeline: id }));
    return httpLoad({ host: url.host, port: Number(url.port), path: "/", connections, durationMs: TURN_MS, bodies });
  }

  const small = Array.from({ length: 200 }, (_, i) => JSON.stringify([event(i)]));
  const large = Array.from({ length: 8 }, (_, k) => JSON.stringify(Array.from({ length: 950 }, (_, i) => event(k * 950 + i))));
  const pipelines = new Map<number, string>();
  for (const shards of SHARDS) {
    const { id } = await put("POST", `shards-${shards}`, shards);
    pipelines.set(shards, id);
    // Warm before the first turn.
    await load(id, small, 64);
  }

  const results: BenchResult[] = [];
  const figures = new Map<string, number[]>();
  const note = (name: string, value: number): void => void figures.set(name, [...(figures.get(name) ?? []), value]);
  for (let turn = 0; turn < TURNS; turn++)
    for (const [shards, id] of pipelines) {
      const requests = await load(id, small, 64);
      note(`${shards}.requests_1KB`, requests.requests / requests.seconds);
      await drained(join(platform.dir, "journal"), id, () => put("PUT", `shards-${shards}`, shards));
      const [begun, cpu] = [performance.now(), cpuSeconds(platform.pid)];
      const bytes = await load(id, large, 8);
      note(`${shards}.rate_1MB`, bytes.bytes / 1e6 / bytes.seconds);
      await drained(join(platform.dir, "journal"), id, () => put("PUT", `shards-${shards}`, shards));
      const seconds = (performance.now() - begun) / 1000;
      note(`${shards}.delivered_1MB`, bytes.bytes / 1e6 / seconds);
      note(`${shards}.cores_1MB`, (cpuSeconds(platform.pid) - cpu) / seconds);
    }
  for (const [name, values] of figures) {
    const unit = name.includes("cores") ? "cores" : name.endsWith("KB") ? "1/s" : "MB/s";
    const value = unit === "cores" ? Math.round(median(values) * 100) / 100 : Math.round(median(values));
    results.push({ name: `shards.${name}`, value, unit });
  }
  return results;
}

/** Replaces the version at work and waits until the journals of the one before are gone: everything is delivered then. */
async function drained(journals: string, id: string, replace: () => Promise<{ version: number }>): Promise<void> {
  const watcher = watch(journals);
  try {
    const { version } = await replace();
    const last = (shard: number): string => join(journals, `legacy-${id}-${version - 1}-${shard}`);
    while ([0, 1, 2, 3].some((shard) => existsSync(last(shard)))) await new Promise((resolve) => watcher.once("change", resolve));
  } finally {
    watcher.close();
  }
}
