/**
 * Many Durable Objects: creating each with a row and an alarm, the memory that takes, every alarm, and a restart that finds
 * them all; and one object that sends to a thousand hibernating WebSockets. FREEHOLD_OBJECTS sets how many (100,000).
 */
import { once } from "node:events";
import type { WebSocket } from "ws";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, median } from "./bench.ts";
import { treeMegabytes } from "./process.ts";
import { uploadWorker } from "./upload.ts";

const OBJECTS = Number(process.env.FREEHOLD_OBJECTS ?? 100_000);
const BATCH = 200;
/** Batches on their way at a time. */
const WIDTH = 2;
const ALARM_AFTER_MS = 30_000;
const SOCKETS = 1_000;
const ROUNDS = 20;

export async function run(): Promise<BenchResult[]> {
  return [...(await inPlatform(many)), ...(await inPlatform(fanOut))];
}

async function inPlatform(work: (platform: TestPlatform) => Promise<BenchResult[]>): Promise<BenchResult[]> {
  const ends: (() => Promise<void>)[] = [];
  try {
    return await work(
      await startPlatform({ after: (end) => ends.push(end) }, { config: { "durable_objects.history_interval_s": 86_400 } }),
    );
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

const source = `import { DurableObject } from "cloudflare:workers";
  export class Many extends DurableObject {
    async make(n, after) {
      const { sql } = this.ctx.storage;
      sql.exec("CREATE TABLE IF NOT EXISTS row (n INTEGER, fired INTEGER DEFAULT 0)");
      sql.exec("INSERT INTO row (n) VALUES (?)", n);
      await this.ctx.storage.setAlarm(Date.now() + after);
    }
    alarm() { this.ctx.storage.sql.exec("UPDATE row SET fired = fired + 1"); }
    state() { return this.ctx.storage.sql.exec("SELECT n, fired FROM row").raw().toArray().flat(); }
  }
  export class Room extends DurableObject {
    fetch() {
      const { 0: client, 1: server } = new WebSocketPair();
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    webSocketMessage(ws, message) { for (const other of this.ctx.getWebSockets()) other.send(message); }
  }
  export default { async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/room") return env.Room.getByName("room").fetch(request);
    const [from, to] = ["from", "to"].map((name) => Number(url.searchParams.get(name)));
    const each = (work) => Promise.all(Array.from({ length: to - from }, (_, i) => work(env.Many.getByName("o" + (from + i)), from + i)));
    if (url.pathname === "/make") await each((stub, n) => stub.make(n, ${ALARM_AFTER_MS}));
    const states = url.pathname === "/make" ? [] : await each(async (stub, n) => [n, ...(await stub.state())]);
    return Response.json({ right: states.filter(([n, is]) => n === is).length, fired: states.filter(([, , fired]) => fired >= 1).length });
  } };`;

async function deploy(platform: TestPlatform): Promise<string> {
  const bindings = ["Many", "Room"].map((name) => ({ type: "durable_object_namespace", name, class_name: name }));
  const migrations = { new_tag: "v1", steps: [{ new_sqlite_classes: ["Many", "Room"] }] };
  return uploadWorker(platform, "many", { modules: { "index.js": source }, bindings, metadata: { migrations } });
}

async function many(platform: TestPlatform): Promise<BenchResult[]> {
  const host = await deploy(platform);
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, treeMegabytes(platform.pid));
  }, 1_000);
  /** Every object once, and what was found. */
  async function pass(path: string): Promise<{ right: number; fired: number }> {
    const found = { right: 0, fired: 0 };
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < OBJECTS) {
        const from = next;
        next += BATCH;
        const response = await platform.fetch(`http://${host}${path}?from=${from}&to=${Math.min(from + BATCH, OBJECTS)}`);
        if (response.status !== 200) throw new Error(`${path} ${from}: ${response.status} ${(await response.text()).slice(0, 300)}`);
        const { right, fired } = (await response.json()) as typeof found;
        found.right += right;
        found.fired += fired;
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, worker));
    return found;
  }
  const started = performance.now();
  await pass("/make");
  const rate = OBJECTS / ((performance.now() - started) / 1000);
  // The last ones' alarms, and as much again for a busy machine.
  await new Promise((resolve) => setTimeout(resolve, 2 * ALARM_AFTER_MS));
  const { fired } = await pass("/state");
  clearInterval(watch);
  await platform.kill9();
  await platform.restart();
  const { right } = await pass("/state");
  return [
    { name: "durable-objects.created", value: rate, unit: "1/s", note: `${OBJECTS} objects, each with a row and an alarm` },
    { name: "durable-objects.memory_peak", value: peak, unit: "MB", note: "the platform and all its processes" },
    { name: "durable-objects.alarms_fired", value: fired / OBJECTS, unit: "ratio", budget: 1 },
    { name: "durable-objects.found_after_kill", value: right / OBJECTS, unit: "ratio", budget: 1 },
  ];
}

async function fanOut(platform: TestPlatform): Promise<BenchResult[]> {
  const host = await deploy(platform);
  const sockets: WebSocket[] = [];
  for (let i = 0; i < SOCKETS; i += 50) {
    const some = Array.from({ length: 50 }, () => platform.webSocket(`ws://${host}/room`));
    await Promise.all(some.map((socket) => once(socket, "open")));
    sockets.push(...some);
  }
  const round = async (): Promise<number> => {
    const heard = Promise.all(sockets.map((socket) => once(socket, "message")));
    const started = performance.now();
    sockets[0]?.send("x".repeat(100));
    await heard;
    return performance.now() - started;
  };
  // Longer than it takes an idle object to hibernate: the first message wakes it.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const woken = await round();
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await round());
  for (const socket of sockets) socket.terminate();
  const note = "100 bytes from one of 1,000 sockets to all of them, all clients in one process";
  return [
    { name: "durable-objects.fan_out_1000_woken", value: woken, unit: "ms", note },
    { name: "durable-objects.fan_out_1000", value: median(times), unit: "ms", note },
  ];
}
