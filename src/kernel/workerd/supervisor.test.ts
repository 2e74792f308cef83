/** The supervisor with real workerd processes. Every wait has a deadline; nothing sleeps for a guessed time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { ProcessSpec, Runtime } from "./runtime.ts";
import { createSupervisor, type SupervisorOptions } from "./supervisor.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent, scope: () => silent };

function open(t: TestContext, options: Partial<SupervisorOptions> = {}): Runtime {
  const runDirectory = mkdtempSync(join(tmpdir(), "freehold-sup-"));
  const runtime = createSupervisor({
    runDirectory,
    log: silent,
    clock: systemClock,
    idleTimeoutMs: 60_000,
    startTimeoutMs: 10_000,
    drainTimeoutMs: 10_000,
    memoryMb: 128,
    memoryOutsideMb: 512,
    processesMax: 10,
    ...options,
  });
  t.after(async () => {
    await runtime.stop();
    rmSync(runDirectory, { recursive: true, force: true });
  });
  return runtime;
}

const spec = (id: string, code: string, extra: Partial<ProcessSpec> = {}): ProcessSpec => ({
  id,
  label: id,
  plan: async (socket) => ({
    config: {
      services: [{ name: "main", worker: { modules: [{ name: "main.js", esModule: code }], compatibilityDate: "2026-01-01" } }],
      sockets: [{ name: "http", address: `unix:${socket("http")}`, http: {}, service: "main" }],
    },
    environment: {},
  }),
  ...extra,
});
const answering = (text: string): string => `export default { fetch() { return new Response(${JSON.stringify(text)}) } }`;

function get(socketPath: string, path = "/"): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve(body));
    })
      .on("error", reject)
      .end();
  });
}

async function use(runtime: Runtime, id: string, path?: string): Promise<string> {
  const lease = await runtime.lease(id);
  try {
    return await get(lease.socket("http"), path);
  } finally {
    lease.release();
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await sleep(5))
    assert.ok(Date.now() < deadline, `not within 10 s: ${condition}`);
}

test("a process starts on first use, and calls at the same time share it", async (t) => {
  const runtime = open(t);
  runtime.define(spec("a", answering("hello")));
  assert.equal(runtime.list().length, 0);
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 8 }, () => use(runtime, "a")))), new Set(["hello"]));
  assert.equal(runtime.list().length, 1);
});

test("a process that nobody uses is stopped, unless work is due soon, and starts again", async (t) => {
  const runtime = open(t, { idleTimeoutMs: 30 });
  runtime.define(spec("idle", answering("one")));
  runtime.define(spec("due", answering("two"), { busyUntil: async () => Date.now() }));
  await use(runtime, "due");
  await use(runtime, "idle");
  await until(() => runtime.list().every((p) => p.id !== "idle"));
  assert.deepEqual(
    runtime.list().map((p) => p.id),
    ["due"],
  );
  assert.equal(await use(runtime, "idle"), "one");
});

test("a process that is killed is started again, and no other one is disturbed", async (t) => {
  const runtime = open(t);
  runtime.define(spec("a", answering("a")));
  runtime.define(spec("b", answering("b")));
  await Promise.all([use(runtime, "a"), use(runtime, "b")]);
  const pid = (id: string) => runtime.list().find((p) => p.id === id)?.pid;
  const [a, b] = [pid("a"), pid("b")];
  process.kill(a as number, "SIGKILL");
  await until(() => pid("a") === undefined);
  assert.equal(await use(runtime, "a"), "a");
  assert.notEqual(pid("a"), a);
  assert.equal(pid("b"), b);
  assert.equal(runtime.list().find((p) => p.id === "a")?.restarts, 1);
});

test("a new definition takes new work at once, while the old process finishes its own", async (t) => {
  const runtime = open(t);
  const waiting = `let ended = false; export default { async fetch(request) {
    if (new URL(request.url).pathname === "/end") { ended = true; return new Response("ended") }
    while (!ended) await scheduler.wait(5);
    return new Response("old") } }`;
  runtime.define(spec("a", waiting));
  const old = await runtime.lease("a");
  const slow = get(old.socket("http"), "/slow");
  runtime.define(spec("a", answering("new")));
  assert.equal(old.retired.aborted, true);
  assert.equal(await use(runtime, "a"), "new");
  await get(old.socket("http"), "/end");
  assert.equal(await slow, "old");
  old.release();
  await until(() => runtime.list().length === 1);
});

test("processes of one exclusive group never run at the same time", async (t) => {
  const runtime = open(t);
  runtime.define(spec("v1", answering("v1"), { exclusive: ["objects"] }));
  runtime.define(spec("v2", answering("v2"), { exclusive: ["objects"] }));
  assert.equal(await use(runtime, "v1"), "v1");
  const waiting = use(runtime, "v2");
  await runtime.remove("v1");
  assert.equal(await waiting, "v2");
  assert.deepEqual(
    runtime.list().map((p) => p.id),
    ["v2"],
  );
});

test("a Worker that throws at its start is refused with its own words, and the next try starts afresh", async (t) => {
  const runtime = open(t);
  const broken = spec("a", 'throw new Error("no luck today")');
  await assert.rejects(
    runtime.probe(broken),
    (error: Error & { code: string }) => error.code === "runtime.startFailed" && error.message.includes("no luck today"),
  );
  runtime.define(broken);
  await assert.rejects(runtime.lease("a"), /no luck today/);
  runtime.define(spec("a", answering("better")));
  assert.equal(await use(runtime, "a"), "better");
});

test("a Worker that takes more memory than it may dies alone", async (t) => {
  const runtime = open(t, { memoryMb: 32 });
  runtime.define(spec("hog", "const all = []; export default { fetch() { for (;;) all.push(new Array(1e5).fill(Math.random())) } }"));
  runtime.define(spec("good", answering("fine")));
  await use(runtime, "good");
  await assert.rejects(use(runtime, "hog"));
  assert.equal(await use(runtime, "good"), "fine");
});

test("no more processes than allowed: an idle one makes room, busy ones do not", async (t) => {
  const runtime = open(t, { processesMax: 1 });
  runtime.define(spec("a", answering("a")));
  runtime.define(spec("b", answering("b")));
  await use(runtime, "a");
  assert.equal(await use(runtime, "b"), "b");
  const lease = await runtime.lease("b");
  await assert.rejects(runtime.lease("a"), /All 1 Worker processes are at work/);
  lease.release();
});

const burner = `let turns = 0; export default { async fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/spin") for (;;) Math.sqrt(2);
  if (pathname === "/turns") for (;;) { for (let i = 0; i < 3e6; i++) Math.sqrt(i); turns++; await scheduler.wait(1); }
  return new Response(String(turns)) } }`;
const limited = (cpuMs: number): ProcessSpec => spec("a", burner, { limits: { cpuMs, aliveSocket: "http" } });

/** One request as a piece of work, and what became of it. */
async function fateOf(runtime: Runtime, path: string): Promise<string> {
  const lease = await runtime.lease("a");
  try {
    return await get(lease.socket("http"), path).catch(() => lease.fate());
  } finally {
    lease.release();
  }
}

test("a loop, work of many turns, and several that share the thread are ended at their limit; the next process serves", async (t) => {
  const runtime = open(t);
  runtime.define(limited(200));
  for (const paths of [["/spin"], ["/turns"], ["/turns", "/turns", "/turns"]]) {
    const fates = await Promise.all(paths.map((path) => fateOf(runtime, path)));
    assert.deepEqual(new Set(fates), new Set(["exceededCpu"]), paths.join());
    assert.equal(await fateOf(runtime, "/"), "0");
  }
  assert.equal(runtime.list()[0]?.restarts, 3);
});

test("a connection for many invocations is not charged for all of them, and work may be allowed more than the others", async (t) => {
  const runtime = open(t);
  runtime.define(limited(150));
  const connection = await runtime.lease("a");
  connection.openEnded();
  const patient = await runtime.lease("a");
  patient.allowCpuMs(1e9);
  const turning = get(patient.socket("http"), "/turns").catch((error: Error) => error);
  // Each turn takes some milliseconds: these are several times the limit.
  for (let turns = 0; turns < 60; connection.alive()) turns = Number(await get(connection.socket("http")));
  assert.equal(runtime.list()[0]?.restarts, 0);
  process.kill(runtime.list()[0]?.pid as number, "SIGKILL");
  assert.ok((await turning) instanceof Error);
  connection.release();
  patient.release();
});

test("a meter is read on demand and before its process stops, and one that fails stops nothing", async (t) => {
  const runtime = open(t);
  const read: string[] = [];
  const meter = (run: (socket: (name: string) => string) => Promise<void>) => ({ everyMs: 600_000, run });
  runtime.define(spec("counting", answering("7"), { meter: meter(async (socket) => void read.push(await get(socket("http")))) }));
  runtime.define(spec("failing", answering("7"), { meter: meter(() => Promise.reject(new Error("on purpose"))) }));
  for (const id of ["counting", "failing"]) await use(runtime, id);
  await runtime.readMeters();
  assert.deepEqual(read, ["7"]);
  await Promise.all(["counting", "failing"].map((id) => runtime.remove(id)));
  assert.deepEqual(read, ["7", "7"]);
  assert.equal(runtime.list().length, 0);
});
