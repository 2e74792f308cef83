/**
 * Durable ingest beside other people's servers (`peers.ts`) and the minimal one (`ingest-peer.ts`), turn by turn in one run:
 * requests of one event of 1 KB over 64 connections, and of 1 MB over 8. Each is answered when the events are on disk, as far
 * as the server does that. The platform and Benthos parse the events, ours checks them against the stream's schema, too;
 * the brokers take them as they are.
 */
import { join } from "node:path";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory, median } from "./bench.ts";
import { event, eventFields } from "./events.ts";
import { httpLoad, type LoadResult } from "./http-load.ts";
import { type Peer, startMinimal, startPeers } from "./peers.ts";
import { cpuSeconds } from "./process.ts";

const TURNS = 4;
const TURN_MS = 3000;

export async function run(): Promise<BenchResult[]> {
  const cleanups: (() => Promise<void>)[] = [];
  const after = (stop: () => Promise<void>): void => void cleanups.push(stop);
  return inBenchDirectory(async (directory) => {
    try {
      const ours = await startOurs(directory, after);
      const servers = [ours, await startMinimal(join(directory, "minimal"), after), ...(await startPeers(directory, after))];
      return [
        ...(await measure(
          servers,
          "1KB",
          64,
          Array.from({ length: 200 }, (_, i) => [event(i)]),
        )),
        ...(await measure(
          servers,
          "1MB",
          8,
          Array.from({ length: 8 }, (_, k) => Array.from({ length: 1100 }, (_, i) => event(k * 1100 + i))),
        )),
      ];
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}

interface Turn extends LoadResult {
  readonly cpuSeconds: number;
}

async function measure(
  servers: readonly Peer[],
  size: "1KB" | "1MB",
  connections: number,
  requests: readonly (readonly unknown[])[],
): Promise<BenchResult[]> {
  const turns = new Map<Peer, Turn[]>(servers.map((server) => [server, []]));
  // The first turn warms up.
  for (let turn = 0; turn <= TURNS; turn++)
    for (const server of servers) {
      const before = cpuSeconds(server.pid);
      const bodies = requests.map((events) => server.body(events));
      const { host, port, path, wire } = server;
      const result = await httpLoad({
        host,
        port,
        path,
        wire,
        connections,
        durationMs: TURN_MS,
        bodies,
      });
      if (turn > 0) turns.get(server)?.push({ ...result, cpuSeconds: cpuSeconds(server.pid) - before });
    }
  const [ours] = [...turns.values()] as [Turn[]];
  const rate = (turn: Turn): number => (size === "1KB" ? turn.requests : turn.bytes / 1e6) / turn.seconds;
  return [...turns].flatMap(([{ name, version, note }, theirs]) => {
    const label = `ingest_peers.${size}.${name.toLowerCase().replaceAll(/\W+/g, "_")}`;
    const cpu =
      theirs.reduce((sum, turn) => sum + turn.cpuSeconds, 0) /
      theirs.reduce((sum, turn) => sum + (size === "1KB" ? turn.requests / 1e6 : turn.bytes / 1e9), 0);
    return [
      {
        name: label,
        value: Math.round(median(theirs.map(rate))),
        unit: size === "1KB" ? "1/s" : "MB/s",
        note: [version, note].filter(Boolean).join("; "),
      },
      { name: `${label}.ours_to_it`, value: round(median(theirs.map((turn, i) => rate(ours[i] as Turn) / rate(turn)))), unit: "ratio" },
      { name: `${label}.p99`, value: round(median(theirs.map((turn) => turn.p99Ms))), unit: "ms" },
      { name: `${label}.cpu`, value: round(cpu), unit: size === "1KB" ? "us" : "s/GB" },
    ];
  });
}

/** The platform with a structured stream. */
async function startOurs(directory: string, after: (stop: () => Promise<void>) => void): Promise<Peer> {
  const platform = await startPlatform({ after }, { dir: join(directory, "data") });
  const created = await platform.rest("POST", `/accounts/${platform.ready.account_id}/pipelines/v1/streams`, {
    name: "events",
    http: { enabled: true, authentication: false },
    schema: { fields: eventFields },
  });
  const { host, port } = new URL((created.body.result as { endpoint: string }).endpoint);
  return {
    name: "Freehold",
    version: "",
    note: "a structured stream",
    pid: platform.pid,
    port: Number(port),
    wire: "http",
    host,
    path: "/",
    body: (events) => JSON.stringify(events),
  };
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
