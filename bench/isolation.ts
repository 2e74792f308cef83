/**
 * What a Worker that misbehaves costs another: the latency of a small Worker alone, beside one that spins all the time, and
 * beside one that exhausts its memory again and again. Rounds of the three alternate, so that all see the same machine.
 */
import { FormData } from "undici";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, withEnds } from "./bench.ts";
import { httpLoad } from "./http-load.ts";

const ROUNDS = 5;
const ROUND_MS = 2_500;
/** One request at a time: latency without a queue. */
const CONNECTIONS = 1;

const sources = {
  small: `export default { fetch: () => new Response("Hello World!") };`,
  spinner: `export default { fetch() { for (;;) Math.sqrt(2); } };`,
  hog: `const kept = []; export default { fetch() { for (;;) kept.push(new Array(1e5).fill(Math.random())); } };`,
} as const;
type Name = keyof typeof sources;

export const run = (): Promise<BenchResult[]> => withEnds(measure);

async function measure(after: (end: () => Promise<void>) => void): Promise<BenchResult[]> {
  const platform = await startPlatform({ after }, { config: { "workers.cpu_ms": 1_000 } });
  for (const name of Object.keys(sources) as Name[]) await upload(platform, name);
  const load = { port: Number(new URL(platform.ready.gateway).port), host: hostOf(platform, "small"), path: "/", bodies: [] };
  const latencies = { alone: [] as Figures[], spinner: [] as Figures[], hog: [] as Figures[] };
  const round = async (): Promise<Figures> => {
    const { p50Ms, p99Ms } = await httpLoad({ ...load, connections: CONNECTIONS, durationMs: ROUND_MS });
    return { p50Ms, p99Ms };
  };
  await round();
  for (let i = 0; i < ROUNDS; i++) {
    latencies.alone.push(await round());
    for (const name of ["spinner", "hog"] as const) {
      const stop = misbehave(platform, name);
      latencies[name].push(await round());
      await stop();
    }
  }
  const median = (side: keyof typeof latencies, key: keyof Figures): number => {
    const values = latencies[side].map((figures) => figures[key]).sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] as number;
  };
  return [
    { name: "isolation.alone_p50", value: median("alone", "p50Ms"), unit: "ms", note: `p99 ${median("alone", "p99Ms").toFixed(2)} ms` },
    ...(["spinner", "hog"] as const).flatMap((side): BenchResult[] =>
      (["p50Ms", "p99Ms"] as const).map((key) => ({
        name: `isolation.${side}_vs_alone_${key.slice(0, 3)}`,
        value: median(side, key) / median("alone", key),
        unit: "ratio",
        ...(key === "p50Ms" && { budget: 2 }),
      })),
    ),
  ];
}

interface Figures {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Keeps the Worker at it: each time that it is ended it is asked again. */
function misbehave(platform: TestPlatform, name: Name): () => Promise<void> {
  let over = false;
  const loop = (async () => {
    while (!over) await (await platform.fetch(`http://${hostOf(platform, name)}/`)).text();
  })();
  return async () => {
    over = true;
    await loop;
  };
}

const hostOf = (platform: TestPlatform, name: Name): string => new URL(platform.host("workers", { worker: name, subdomain: "dev" })).host;

async function upload(platform: TestPlatform, name: Name): Promise<void> {
  const script = `/accounts/${platform.ready.account_id}/workers/scripts/${name}`;
  const form = new FormData();
  form.append("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: "2026-11-01" }));
  form.append("index.js", new Blob([sources[name]], { type: "application/javascript+module" }), "index.js");
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  const answer = await platform.fetch(`/client/v4${script}`, { method: "PUT", headers, body: form });
  if (answer.status !== 200) throw new Error(await answer.text());
  await answer.body?.cancel();
  await platform.rest("POST", `${script}/subdomain`, { enabled: true });
}
