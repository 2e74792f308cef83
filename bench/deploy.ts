/**
 * Deploys: from the upload of a Worker of 1 MB to the first answer of its new code, and deploys one after another under a
 * steady load of requests, of which none may fail. The load is open: a request is sent when its time has come, whatever
 * became of those before.
 */
import { randomBytes } from "node:crypto";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, median } from "./bench.ts";
import { uploadWorker } from "./upload.ts";

const DEPLOYS = 9;
const RATE = 200;
const ROLLING_MS = 15_000;

export async function run(): Promise<BenchResult[]> {
  const ends: (() => Promise<void>)[] = [];
  try {
    const platform = await startPlatform({ after: (end) => ends.push(end) });
    return [...(await firstResponses(platform)), ...(await rolling(platform))];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Modules of 1 MB that do not compress, all of them reached from the handler. */
function bigWorker(generation: number): Record<string, string> {
  const functions = Array.from(
    { length: 1000 },
    (_, i) => `export function f${i}(x) { return x + ${JSON.stringify(randomBytes(740).toString("base64"))}; }`,
  );
  const index = `import * as big from "./big.js";
    export default { fetch: (request) => new Response(request.url.endsWith("/all") ? String(Object.keys(big).length) : "${generation}") };`;
  return { "index.js": index, "big.js": functions.join("\n") };
}

async function firstResponses(platform: TestPlatform): Promise<BenchResult[]> {
  const times: number[] = [];
  const modules = Array.from({ length: DEPLOYS }, (_, i) => bigWorker(i));
  for (const [generation, sources] of modules.entries()) {
    const started = performance.now();
    const host = await uploadWorker(platform, "big", { modules: sources });
    const body = await (await platform.fetch(`http://${host}/`)).text();
    times.push(performance.now() - started);
    if (body !== String(generation)) throw new Error(`the first answer after deploy ${generation} came from version ${body}`);
  }
  return [
    {
      name: "deploy.first_response_1MB",
      value: median(times),
      unit: "ms",
      budget: 1000,
      note: `slowest ${Math.max(...times).toFixed(0)} ms; without wrangler's own time`,
    },
  ];
}

async function rolling(platform: TestPlatform): Promise<BenchResult[]> {
  const source = (generation: number): Record<string, string> => ({
    "index.js": `export default { async fetch() { await scheduler.wait(20); return new Response("${generation}"); } };`,
  });
  const host = await uploadWorker(platform, "rolling", { modules: source(0) });
  const latencies: number[] = [];
  const failures: string[] = [];
  const ask = async (): Promise<void> => {
    const sent = performance.now();
    try {
      const response = await platform.fetch(`http://${host}/`);
      const body = await response.text();
      if (response.status !== 200) failures.push(`${response.status} ${body.slice(0, 200)}`);
      latencies.push(performance.now() - sent);
    } catch (error) {
      failures.push(String(error));
    }
  };
  const started = performance.now();
  const asked: Promise<void>[] = [];
  const load = (async () => {
    for (let i = 0; performance.now() - started < ROLLING_MS; i++) {
      const wait = started + (i * 1000) / RATE - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      asked.push(ask());
    }
  })();
  let deploys = 0;
  while (performance.now() - started < ROLLING_MS - 1000) await uploadWorker(platform, "rolling", { modules: source(++deploys) });
  await load;
  await Promise.all(asked);
  for (const failure of failures.slice(0, 5)) process.stderr.write(`${failure}\n`);
  latencies.sort((a, b) => a - b);
  return [
    {
      name: "deploy.rolling_failed_requests",
      value: failures.length,
      unit: "failed",
      budget: 0,
      note: `of ${asked.length} at ${RATE}/s while ${deploys} deploys went on; p99 ${(latencies[Math.floor(latencies.length * 0.99)] as number).toFixed(0)} ms`,
    },
  ];
}
