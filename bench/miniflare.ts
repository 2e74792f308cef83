/**
 * One Worker on the platform and on Miniflare, side by side: the same code, the same disk, turns about, so that whatever
 * else the machine does slows both. The Worker itself repeats an operation with 16 under way, so that the figure is the
 * binding's and not the HTTP front's.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { COMPATIBILITY_DATE, deployWorker } from "../test/harness/worker-project.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";

interface Comparison {
  /** "kv": prefix of the figures' names. */
  readonly name: string;
  /** Paths of the Worker, in the order in which they are measured. */
  readonly operations: readonly string[];
  /** A statement for each operation, in the scope of `env` and `i`, that returns a promise. */
  readonly work: Readonly<Record<string, string>>;
  /** Statements that run once. */
  readonly setup: string;
  /** Creates the resource on the platform: the wrangler configuration of its binding. */
  readonly binding: (platform: TestPlatform) => Promise<Readonly<Record<string, unknown>>>;
  /** The same for Miniflare. */
  readonly miniflare: Readonly<Record<string, unknown>>;
}

/** Design: KV get/put and D1 read/write at least 1.5 times Miniflare. */
const BUDGET = 1.5;
const ROUNDS = 9;
const OPERATIONS = 1000;
const UNDER_WAY = 16;

export async function againstMiniflare(comparison: Comparison): Promise<BenchResult[]> {
  const cleanups: (() => Promise<void>)[] = [];
  const after = (fn: () => Promise<void>): void => void cleanups.unshift(fn);
  try {
    return await inBenchDirectory(async (directory) => {
      const platform = await startPlatform({ after }, { dir: join(directory, "platform") });
      const script = source(comparison);
      const config = { name: `bench-${comparison.name}`, ...(await comparison.binding(platform)) };
      const project = await deployWorker(platform, { files: { "index.js": script }, config });
      const ours = async (path: string) => (await platform.fetch(`${project.url}/${path}`)).text();

      const miniflare = await startMiniflare(script, comparison.miniflare, join(directory, "miniflare"));
      after(() => miniflare.dispose());
      const base = await miniflare.ready;
      const theirs = async (path: string) => (await fetch(new URL(path, base))).text();

      const results: BenchResult[] = [];
      for (const side of [ours, theirs]) await expectOk(side, "setup");
      for (const operation of comparison.operations) {
        const [our, their]: [number[], number[]] = [[], []];
        for (let round = 0; round <= ROUNDS; round++) {
          for (const [side, rates] of [
            [ours, our],
            [theirs, their],
          ] as const) {
            const started = performance.now();
            await expectOk(side, operation);
            // The first round warms up.
            if (round > 0) rates.push((OPERATIONS * 1000) / (performance.now() - started));
          }
        }
        const ratio = median(our.map((rate, i) => rate / (their[i] as number)));
        const name = `${comparison.name}.${operation}_c${UNDER_WAY}`;
        results.push(
          { name, value: Math.round(median(our)), unit: "1/s", note: `Miniflare ${Math.round(median(their))}` },
          { name: `${name}_vs_miniflare`, value: Number(ratio.toFixed(2)), unit: "ratio", budget: BUDGET },
        );
      }
      return results;
    });
  } finally {
    for (const cleanup of cleanups) await cleanup();
  }
}

async function expectOk(side: (path: string) => Promise<string>, path: string): Promise<void> {
  const answer = await side(path);
  if (answer !== "ok") throw new Error(`${path}: ${answer}`);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

function source({ work, setup }: Comparison): string {
  const cases = Object.entries(work).map(([name, statement]) => `"/${name}": (env, i) => { ${statement} }`);
  return `
const work = { ${cases.join(",\n")} };
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    try {
      if (pathname === "/setup") { ${setup} return new Response("ok"); }
      let next = 0;
      await Promise.all(Array.from({ length: ${UNDER_WAY} }, async () => {
        for (let i = next++; i < ${OPERATIONS}; i = next++) await work[pathname](env, i);
      }));
      return new Response("ok");
    } catch (error) { return new Response(error.stack, { status: 500 }); }
  },
};`;
}

interface Miniflare {
  readonly ready: Promise<URL>;
  dispose(): Promise<void>;
}

/** The Miniflare that wrangler brings along. */
async function startMiniflare(script: string, options: object, resourcePersistencePath: string): Promise<Miniflare> {
  const wrangler = createRequire(import.meta.resolve("wrangler/package.json"));
  const { Miniflare: Class, convertV4MiniflareOptions } = wrangler("miniflare") as {
    Miniflare: new (options: unknown) => Miniflare;
    convertV4MiniflareOptions(options: object): unknown;
  };
  const { version } = JSON.parse(await readFile(wrangler.resolve("miniflare/package.json"), "utf8")) as { version: string };
  process.stdout.write(`  against Miniflare ${version}\n`);
  return new Class(
    convertV4MiniflareOptions({ modules: true, script, compatibilityDate: COMPATIBILITY_DATE, resourcePersistencePath, ...options }),
  );
}
