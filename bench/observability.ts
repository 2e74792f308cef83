/**
 * What stored logs and traces cost a Worker: requests a second through the gateway of the same Worker with observability
 * off, with logs, and with logs and traces, each request logging a line. Rounds alternate, so that all see the same machine.
 */
import { FormData } from "undici";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, withEnds } from "./bench.ts";
import { httpLoad } from "./http-load.ts";

const ROUNDS = 5;
const ROUND_MS = 3_000;
const CONNECTIONS = 32;
const SOURCE = `export default { fetch() { console.log("a line"); return new Response("Hello World!"); } };`;

const settings = {
  off: undefined,
  logs: { enabled: true },
  traces: { enabled: true, traces: { enabled: true } },
  sampled: { enabled: true, head_sampling_rate: 0.01 },
} as const;
type Name = keyof typeof settings;
const names = Object.keys(settings) as Name[];

export const run = (): Promise<BenchResult[]> => withEnds(measure);

async function measure(after: (end: () => Promise<void>) => void): Promise<BenchResult[]> {
  const platform = await startPlatform({ after }, { config: { "log.level": "warn" } });
  for (const name of names) await upload(platform, name);
  const port = Number(new URL(platform.ready.gateway).port);
  const rates: Record<Name, number[]> = { off: [], logs: [], traces: [], sampled: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const host = new URL(platform.host("workers", { worker: name, subdomain: "dev" })).host;
      const { requests, seconds } = await httpLoad({ port, host, path: "/", connections: CONNECTIONS, durationMs: ROUND_MS, bodies: [] });
      rates[name].push(requests / seconds);
    }
  }
  const median = (name: Name): number => rates[name].toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] as number;
  const lost = platform.log.filter(({ msg }) => msg === "observability.events_lost").reduce((sum, { events }) => sum + Number(events), 0);
  return [
    { name: "observability.off", value: median("off"), unit: "1/s", note: `${CONNECTIONS} connections` },
    {
      name: "observability.logs_vs_off",
      value: median("logs") / median("off"),
      unit: "ratio",
      budget: 0.5,
      note: `${lost} events lost in all`,
    },
    { name: "observability.traces_vs_off", value: median("traces") / median("off"), unit: "ratio" },
    { name: "observability.sampled_vs_off", value: median("sampled") / median("off"), unit: "ratio", note: "1% of invocations" },
  ];
}

async function upload(platform: TestPlatform, name: Name): Promise<void> {
  const base = `/accounts/${platform.ready.account_id}/workers/scripts/${name}`;
  const form = new FormData();
  const metadata = { main_module: "index.js", compatibility_date: "2026-11-01", ...(settings[name] && { observability: settings[name] }) };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new Blob([SOURCE], { type: "application/javascript+module" }), "index.js");
  const answer = await platform.fetch(`${platform.ready.api}${base}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  if (!answer.ok) throw new Error(await answer.text());
  await platform.rest("POST", `${base}/subdomain`, { enabled: true });
}
