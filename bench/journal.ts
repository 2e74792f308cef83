/**
 * Appends to one journal from many callers at once, each waiting for its acknowledgement, and reads of what was
 * appended. The hot path of ingest: everything that the HTTP side costs comes on top.
 */

import { openSegmentJournals } from "../src/kernel/journal/segments.ts";
import { openLog } from "../src/kernel/log.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";

const durationMs = 3000;

interface Load {
  readonly name: string;
  readonly appenders: number;
  readonly entryBytes: number;
}

const loads: readonly Load[] = [
  { name: "1KB_c64", appenders: 64, entryBytes: 1000 },
  { name: "1KB_c256", appenders: 256, entryBytes: 1000 },
  { name: "1MB_c16", appenders: 16, entryBytes: 1_000_000 },
];

export async function run(): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  for (const load of loads) results.push(...(await inBenchDirectory((directory) => measure(directory, load))));
  return results;
}

async function measure(directory: string, load: Load): Promise<BenchResult[]> {
  const log = openLog({ level: "warn" });
  const journals = await openSegmentJournals({ directory, segmentBytes: 64 * 2 ** 20, pendingMaxBytes: 64 * 2 ** 20, log });
  const journal = await journals.open("bench");
  const payload = Buffer.alloc(load.entryBytes, "x");
  const latencies: number[] = [];
  const cpuBefore = process.cpuUsage();
  const started = performance.now();
  const until = started + durationMs;
  let appends = 0;
  const appender = async (): Promise<void> => {
    for (let now = performance.now(); now < until; ) {
      await journal.append(payload, 1);
      const done = performance.now();
      latencies.push(done - now);
      now = done;
      appends++;
    }
  };
  await Promise.all(Array.from({ length: load.appenders }, appender));
  const seconds = (performance.now() - started) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  latencies.sort((a, b) => a - b);

  const readStarted = performance.now();
  let read = 0;
  for (let offset = 0; offset < journal.end; ) {
    const entries = await journal.read(offset, 4 * 2 ** 20);
    const last = entries[entries.length - 1];
    if (last === undefined) throw new Error(`nothing to read at offset ${offset} of ${journal.end}`);
    for (const entry of entries) read += entry.payload.byteLength;
    offset = last.offset + last.count;
  }
  const readSeconds = (performance.now() - readStarted) / 1000;
  if (read !== appends * load.entryBytes) throw new Error(`read ${read} bytes of ${appends * load.entryBytes}`);
  await journals.close();

  const name = (what: string): string => `journal.${what}_${load.name}`;
  const megabytes = (appends * load.entryBytes) / 1e6;
  return [
    { name: name("appends"), value: Math.round(appends / seconds), unit: "1/s", ...(load.entryBytes === 1000 && { budget: 30_000 }) },
    { name: name("append_rate"), value: Math.round(megabytes / seconds), unit: "MB/s", ...(load.entryBytes > 1000 && { budget: 100 }) },
    { name: name("append_p50"), value: quantile(latencies, 0.5), unit: "ms" },
    { name: name("append_p99"), value: quantile(latencies, 0.99), unit: "ms" },
    {
      name: name("append_cpu"),
      value: round((cpu.user + cpu.system) / appends),
      unit: "us",
      note: "CPU time of the process for one append, kernel included",
    },
    { name: name("read_rate"), value: Math.round(read / 1e6 / readSeconds), unit: "MB/s", note: "from the page cache" },
  ];
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
const quantile = (sorted: readonly number[], q: number): number =>
  round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0);
