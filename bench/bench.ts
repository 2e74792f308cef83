/**
 * What a benchmark is: a module that exports `run` and gives figures, each with its unit and, where the design sets
 * one, its budget. Benchmarks write to a real disk, never to a file system in memory, on which an fsync costs nothing.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

export interface BenchResult {
  /** "journal.append_1KB_c64": stable, so that runs can be compared. */
  readonly name: string;
  readonly value: number;
  /** "1/s", "MB/s" and "MB" (10^6 bytes), "ms", "failed", or "ratio". */
  readonly unit: string;
  readonly note?: string;
  /** The least (for times and sizes: the most) that the design asks for. */
  readonly budget?: number;
}

/** Runs `work` in an empty directory on disk, which is removed afterwards. FREEHOLD_BENCH_DIRECTORY chooses the disk. */
export async function inBenchDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(process.env.FREEHOLD_BENCH_DIRECTORY ?? "/var/tmp", "freehold-bench-"));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Runs `work`, which names what is to be ended afterwards; it is ended in the reverse order, whatever happened. */
export async function withEnds<T>(work: (after: (end: () => Promise<void>) => void) => Promise<T>): Promise<T> {
  const ends: (() => Promise<void>)[] = [];
  try {
    return await work((end) => ends.push(end));
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** The value in the middle; of an even number the upper one. */
export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
