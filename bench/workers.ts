/**
 * Many Workers: a call from one to another beside the same call within one process, and the memory of a platform with a
 * hundred Workers that have answered and are idle.
 */
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, median } from "./bench.ts";
import { treeMegabytes } from "./process.ts";
import { uploadWorker } from "./upload.ts";

const ROUNDS = 7;
const CALLS = 2_000;
const IDLE_WORKERS = 100;
const STOP_DEADLINE_MS = 60_000;

export async function run(): Promise<BenchResult[]> {
  return [...(await inPlatform(rpc)), ...(await inPlatform(idle, { "runtime.idle_timeout_s": 1, "log.level": "info" }))];
}

async function inPlatform(
  work: (platform: TestPlatform) => Promise<BenchResult[]>,
  config: Record<string, unknown> = {},
): Promise<BenchResult[]> {
  const ends: (() => Promise<void>)[] = [];
  try {
    return await work(await startPlatform({ after: (end) => ends.push(end) }, { config }));
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** One call at a time, and 32 at a time: the first is the way there and back, the second what it costs. */
async function rpc(platform: TestPlatform): Promise<BenchResult[]> {
  const adder = `import { WorkerEntrypoint } from "cloudflare:workers";
    export class Adder extends WorkerEntrypoint { add(a, b) { return a + b; } }`;
  await uploadWorker(platform, "callee", { modules: { "index.js": `${adder}\nexport default { fetch: () => new Response() };` } });
  const caller = `${adder}
    export default { async fetch(request, env, ctx) {
      const { searchParams } = new URL(request.url);
      const target = searchParams.get("target") === "other" ? env.CALLEE : ctx.exports.Adder;
      const width = Number(searchParams.get("width"));
      for (let i = 0; i < Number(searchParams.get("calls")); i += width)
        await Promise.all(Array.from({ length: width }, (_, j) => target.add(i, j)));
      return new Response("done");
    } };`;
  const bindings = [{ type: "service", name: "CALLEE", service: "callee", entrypoint: "Adder" }];
  const host = await uploadWorker(platform, "caller", { modules: { "index.js": caller }, bindings });
  const microseconds = async (target: string, width: number): Promise<number> => {
    const started = performance.now();
    const body = await (await platform.fetch(`http://${host}/?target=${target}&width=${width}&calls=${CALLS}`)).text();
    if (body !== "done") throw new Error(body);
    return ((performance.now() - started) * 1000) / CALLS;
  };
  const results: BenchResult[] = [];
  for (const width of [1, 32]) {
    const times = { other: [] as number[], same: [] as number[] };
    for (const target of ["other", "same"] as const) await microseconds(target, width);
    for (let round = 0; round < ROUNDS; round++)
      for (const target of ["other", "same"] as const) times[target].push(await microseconds(target, width));
    const [across, within] = [median(times.other), median(times.same)];
    const note = `${across.toFixed(0)} µs ÷ ${within.toFixed(0)} µs a call`;
    results.push({ name: `workers.rpc_across_vs_within_c${width}`, value: across / within, unit: "ratio", note });
  }
  return results;
}

async function idle(platform: TestPlatform): Promise<BenchResult[]> {
  const before = treeMegabytes(platform.pid);
  const hosts: string[] = [];
  for (let i = 0; i < IDLE_WORKERS; i++)
    hosts.push(
      await uploadWorker(platform, `idle-${i}`, { modules: { "index.js": `export default { fetch: () => new Response("${i}") };` } }),
    );
  for (const host of hosts) await (await platform.fetch(`http://${host}/`)).text();
  const running = (): number => {
    const count = (msg: string): number =>
      platform.log.filter((line) => line.msg === msg && String(line.worker).startsWith("idle-")).length;
    return count("worker.started") - count("worker.stopped");
  };
  const deadline = Date.now() + STOP_DEADLINE_MS;
  while (running() > 0) {
    if (Date.now() > deadline) throw new Error(`${running()} Workers did not stop as idle`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return [
    {
      name: "workers.platform_with_100_idle",
      value: treeMegabytes(platform.pid),
      unit: "MB",
      budget: 400,
      note: `all processes, shared pages once; ${before.toFixed(0)} MB without the Workers`,
    },
  ];
}
