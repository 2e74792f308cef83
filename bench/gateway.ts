/**
 * What the way through the platform costs a Worker: requests a second through the gateway against the same Worker on bare
 * workerd and under `wrangler dev`, the first request to an idle Worker, and the memory of one. Rounds of the two sides
 * alternate, so that both see the same machine; the generator takes its share of it from both alike.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory, median } from "./bench.ts";
import { httpLoad } from "./http-load.ts";
import { privateMegabytes } from "./process.ts";
import { uploadWorker } from "./upload.ts";

const SOURCE = `export default { fetch: () => new Response("Hello World!") };`;
const ROUNDS = 5;
const ROUND_MS = 3_000;
const CONNECTIONS = 32;
const STARTS = 7;

export async function run(): Promise<BenchResult[]> {
  const ends: (() => Promise<void>)[] = [];
  try {
    return await inBenchDirectory((directory) => measure(directory, (end) => ends.push(end)));
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

interface Side {
  readonly port: number;
  readonly host: string;
}

async function measure(directory: string, after: (end: () => Promise<void>) => void): Promise<BenchResult[]> {
  const platform = await startPlatform({ after }, { config: { "runtime.idle_timeout_s": 1, "log.level": "info" } });
  const host = await uploadWorker(platform, "hello", { modules: { "index.js": SOURCE } });
  const through: Side = { port: Number(new URL(platform.ready.gateway).port), host };
  const bare = await startBare(directory, after);
  const dev = await startWranglerDev(directory, after);

  const rates = { through: [] as number[], bare: [] as number[], dev: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.bare.push(await rate(bare));
    rates.through.push(await rate(through));
    rates.dev.push(await rate(dev));
  }
  const [gateway, direct, wranglerDev] = [median(rates.through), median(rates.bare), median(rates.dev)];

  const starts: number[] = [];
  const memory: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    await (await platform.fetch(`http://${host}/`)).text();
    const pid = serving(platform);
    memory.push(privateMegabytes(pid));
    await stopped(platform, pid);
    const started = performance.now();
    await (await platform.fetch(`http://${host}/`)).text();
    starts.push(performance.now() - started);
  }
  return [
    { name: "gateway.hello", value: gateway, unit: "1/s", note: `${CONNECTIONS} connections` },
    { name: "gateway.hello_bare_workerd", value: direct, unit: "1/s" },
    { name: "gateway.hello_wrangler_dev", value: wranglerDev, unit: "1/s" },
    { name: "gateway.hello_vs_bare_workerd", value: gateway / direct, unit: "ratio", budget: 0.5 },
    { name: "gateway.hello_vs_wrangler_dev", value: gateway / wranglerDev, unit: "ratio", budget: 3 },
    {
      name: "gateway.first_request_to_idle",
      value: median(starts),
      unit: "ms",
      budget: 300,
      note: `slowest ${Math.max(...starts).toFixed(0)} ms`,
    },
    { name: "gateway.idle_worker_memory", value: median(memory), unit: "MB", budget: 15, note: "private" },
  ];
}

async function rate({ port, host }: Side): Promise<number> {
  const { requests, seconds } = await httpLoad({ port, host, path: "/", connections: CONNECTIONS, durationMs: ROUND_MS, bodies: [] });
  return requests / seconds;
}

/** The same Worker on workerd alone. */
async function startBare(directory: string, after: (end: () => Promise<void>) => void): Promise<Side> {
  const port = await freePort();
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "hello", worker = (modules = [(name = "index.js", esModule = ${JSON.stringify(SOURCE)})], compatibilityDate = "2026-11-01"))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "hello")]
);
`;
  await writeFile(join(directory, "bare.capnp"), config);
  const require = createRequire(import.meta.url);
  const workerd = createRequire(require.resolve("workerd/package.json")).resolve(`@cloudflare/workerd-${process.platform}-64/bin/workerd`);
  const child = spawn(workerd, ["serve", join(directory, "bare.capnp"), "config", "--control-fd=3"], {
    stdio: ["ignore", "ignore", "inherit", "pipe"],
  });
  after(() => end(child));
  await once(child.stdio[3] as NodeJS.ReadableStream, "data");
  return { port, host: "bare.example" };
}

async function startWranglerDev(directory: string, after: (end: () => Promise<void>) => void): Promise<Side> {
  const port = await freePort();
  await writeFile(join(directory, "index.js"), SOURCE);
  await writeFile(join(directory, "wrangler.json"), JSON.stringify({ name: "hello", main: "index.js", compatibility_date: "2026-11-01" }));
  const wrangler = join(createRequire(import.meta.url).resolve("wrangler/package.json"), "../bin/wrangler.js");
  const env = { ...process.env, CLOUDFLARE_CF_FETCH_ENABLED: "false", WRANGLER_SEND_METRICS: "false", XDG_CONFIG_HOME: directory, CI: "1" };
  const child = spawn(process.execPath, [wrangler, "dev", "--port", String(port), "--inspector-port", "0", "--log-level", "log"], {
    cwd: directory,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(() => end(child));
  let output = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    output += String(chunk);
    if (/Ready on/.test(output)) break;
  }
  child.stdout?.resume();
  return { port, host: `localhost:${port}` };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await gone;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** The process that serves the Worker now. */
function serving(platform: TestPlatform): number {
  const started = platform.log.findLast((line) => line.msg === "worker.started" && String(line.process).startsWith("w-"));
  return started?.pid as number;
}

async function stopped(platform: TestPlatform, pid: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!platform.log.some((line) => line.msg === "worker.stopped" && line.pid === pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} did not stop as idle`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
