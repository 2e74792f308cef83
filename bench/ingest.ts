/**
 * Pipelines' ingest through the whole platform: one-event requests of 1 KB against the minimal server of
 * `ingest-peer.ts` in the same run (turn by turn, so that both meet the same machine), and 1 MB bodies in MB/s. Events go
 * to a structured stream: each is parsed, checked against the schema and durable when it is answered.
 */
import { join } from "node:path";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory, median } from "./bench.ts";
import { event, eventFields } from "./events.ts";
import { httpLoad, type Load, type LoadResult } from "./http-load.ts";
import { startMinimal } from "./peers.ts";
import { cpuSeconds } from "./process.ts";

const CONNECTIONS = 64;
const TURN_MS = 3000;
const TURNS = 4;

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
  const stream = async (name: string, schema: unknown): Promise<{ host: string; port: number }> => {
    const body = { name, http: { enabled: true, authentication: false }, ...(schema !== undefined && { schema }) };
    const created = await platform.rest("POST", `/accounts/${platform.ready.account_id}/pipelines/v1/streams`, body);
    const url = new URL((created.body.result as { endpoint: string }).endpoint);
    return { host: url.host, port: Number(url.port) };
  };
  const peer = await startMinimal(join(directory, "peer"), after);

  const structured = await stream("structured", { fields: eventFields });
  const small = Array.from({ length: 200 }, (_, i) => JSON.stringify([event(i)]));
  const load = (target: { host: string; port: number }, bodies: readonly string[], connections: number, more: Partial<Load> = {}) =>
    httpLoad({ ...target, path: "/", connections, durationMs: TURN_MS, bodies, ...more });
  // Both are warm before the first turn.
  await load(structured, small, CONNECTIONS);
  await load(peer, small, CONNECTIONS);
  const ours: LoadResult[] = [];
  const theirs: LoadResult[] = [];
  const cpu = { ours: 0, theirs: 0 };
  for (let turn = 0; turn < TURNS; turn++) {
    const [theirStart, ourStart] = [cpuSeconds(peer.pid), cpuSeconds(platform.pid)];
    theirs.push(await load(peer, small, CONNECTIONS));
    cpu.theirs += cpuSeconds(peer.pid) - theirStart;
    ours.push(await load(structured, small, CONNECTIONS));
    cpu.ours += cpuSeconds(platform.pid) - ourStart;
  }
  const rate = (results: readonly LoadResult[]): number => median(results.map((result) => result.requests / result.seconds));
  const ratios = ours.map((result, i) => result.requests / result.seconds / rate([theirs[i] as LoadResult]));

  const half: LoadResult[] = [];
  const theirHalf: LoadResult[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    theirHalf.push(await load(peer, small, CONNECTIONS, { perSecond: rate(theirs) / 2 }));
    half.push(await load(structured, small, CONNECTIONS, { perSecond: rate(ours) / 2 }));
  }

  const large = Array.from({ length: 8 }, (_, k) => {
    const events: string[] = [];
    for (let [i, bytes] = [k * 2000, 2]; ; i++) {
      const text = JSON.stringify(event(i));
      bytes += text.length + 1;
      if (bytes > 1_000_000) return `[${events.join(",")}]`;
      events.push(text);
    }
  });
  const unstructured = await stream("unstructured", undefined);
  const megabytes = async (target: { host: string; port: number }): Promise<number> => {
    const turns: LoadResult[] = [];
    for (let turn = 0; turn < 3; turn++) turns.push(await load(target, large, 8));
    return median(turns.map((result) => result.bytes / 1e6 / result.seconds));
  };
  return [
    { name: "ingest.requests_1KB", value: Math.round(rate(ours)), unit: "1/s", note: `${CONNECTIONS} connections, durable` },
    { name: "ingest.requests_1KB_p50", value: round(median(ours.map((result) => result.p50Ms))), unit: "ms" },
    { name: "ingest.requests_1KB_p99", value: round(median(ours.map((result) => result.p99Ms))), unit: "ms" },
    { name: "ingest.half_load_p50", value: round(median(half.map((result) => result.p50Ms))), unit: "ms", note: "at half of that rate" },
    { name: "ingest.half_load_p99", value: round(median(half.map((result) => result.p99Ms))), unit: "ms" },
    { name: "ingest.peer_half_load_p99", value: round(median(theirHalf.map((result) => result.p99Ms))), unit: "ms" },
    { name: "ingest.peer_requests_1KB", value: Math.round(rate(theirs)), unit: "1/s" },
    { name: "ingest.ratio_1KB", value: round(median(ratios)), unit: "ratio", budget: 0.6 },
    { name: "ingest.cpu_1KB", value: round(perRequest(cpu.ours, ours)), unit: "us", note: "CPU time of the platform for one request" },
    { name: "ingest.peer_cpu_1KB", value: round(perRequest(cpu.theirs, theirs)), unit: "us" },
    { name: "ingest.rate_1MB", value: Math.round(await megabytes(structured)), unit: "MB/s", budget: 100 },
    { name: "ingest.rate_1MB_unstructured", value: Math.round(await megabytes(unstructured)), unit: "MB/s", budget: 100 },
    { name: "ingest.peer_rate_1MB", value: Math.round(await megabytes(peer)), unit: "MB/s" },
  ];
}

const perRequest = (seconds: number, results: readonly LoadResult[]): number =>
  (seconds * 1e6) / results.reduce((sum, result) => sum + result.requests, 0);

const round = (value: number): number => Math.round(value * 1000) / 1000;
