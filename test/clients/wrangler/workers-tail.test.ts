/** `wrangler tail` against a live Worker, with each filter, in both formats. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}/workers/scripts`;

const project = await uploadedWorker(platform, {
  files: {
    "index.js": `export default { async fetch(request, env, ctx) {
      const { pathname } = new URL(request.url);
      console.log("visited", pathname, { nested: [1, 2] });
      if (pathname === "/fail") throw new RangeError("out of range");
      console.warn("a warning");
      return new Response("ok", { status: pathname === "/teapot" ? 418 : 200 });
    } }`,
  },
  config: { name: "tailed" },
});

interface TailEvent {
  readonly scriptName: string;
  readonly outcome: string;
  readonly event: { request: { url: string; method: string; headers: Record<string, string> }; response?: { status: number } };
  readonly logs: { level: string; message: unknown[] }[];
  readonly exceptions: { name: string; message: string; stack?: string }[];
}

/** Runs `wrangler tail` until the test ends it. */
async function tail(
  t: { after(fn: () => Promise<void>): void },
  args: string[],
  worker = "tailed",
): Promise<{ text(): string; events(): TailEvent[]; child: ChildProcess }> {
  const before = await connected(worker);
  const child = spawn(
    process.execPath,
    [join(projectRoot, "bin", "freehold.mjs"), "exec", "--data", platform.dir, "--", "wrangler", "tail", ...args],
    {
      cwd: project.dir,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += String(chunk)));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
  });
  const deadline = Date.now() + 30_000;
  // A session is open once its client has connected.
  while ((await connected(worker)) <= before && Date.now() < deadline && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 50));
  if (child.exitCode !== null) throw new Error(`wrangler tail ended: ${output}`);
  const events = (): TailEvent[] => {
    const found: TailEvent[] = [];
    // Pretty-printed JSON objects one after another.
    for (const match of output.matchAll(/^\{[\s\S]*?^\}/gm)) found.push(JSON.parse(match[0]) as TailEvent);
    return found;
  };
  return { text: () => output, events, child };
}

/** Clients that listen to the Worker now. */
async function connected(worker: string): Promise<number> {
  const { result } = (await platform.rest("GET", `${account}/${worker}/tails`)).body;
  return (result as { connected: number }[]).reduce((sum, session) => sum + session.connected, 0);
}

async function visit(path: string, init: Parameters<typeof platform.fetch>[1] = {}): Promise<void> {
  await (await platform.fetch(project.url + path, init)).text();
}

async function eventually(check: () => boolean, what: () => string): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!check()) {
    if (Date.now() > deadline) assert.fail(`not seen in time: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("[workers-22] a JSON line for each request, with logs, exceptions and outcome", async (t) => {
  const live = await tail(t, ["--format", "json"]);
  await visit("/teapot?x=1", { headers: { authorization: "Bearer very-secret" } });
  await visit("/fail");
  await eventually(() => live.events().length >= 2, live.text);
  const [teapot, fail] = live.events() as [TailEvent, TailEvent];
  assert.equal(teapot.scriptName, "tailed");
  assert.deepEqual([teapot.outcome, teapot.event.response?.status, teapot.event.request.method], ["ok", 418, "GET"]);
  assert.match(teapot.event.request.url, /\/teapot\?x=1$/);
  assert.deepEqual(
    teapot.logs.map((l) => [l.level, l.message]),
    [
      ["log", ["visited", "/teapot", { nested: [1, 2] }]],
      ["warn", ["a warning"]],
    ],
  );
  assert.equal(teapot.event.request.headers.authorization, "REDACTED");
  assert.equal(fail.outcome, "exception");
  assert.deepEqual([fail.exceptions[0]?.name, fail.exceptions[0]?.message], ["RangeError", "out of range"]);
});

test("filters: status, method, search, header, sampling", async (t) => {
  const lives = {
    error: await tail(t, ["--format", "json", "--status", "error"]),
    post: await tail(t, ["--format", "json", "--method", "POST"]),
    search: await tail(t, ["--format", "json", "--search", "/needle"]),
    header: await tail(t, ["--format", "json", "--header", "x-flavour:vanilla"]),
    everything: await tail(t, ["--format", "json"]),
  };
  await visit("/plain");
  await visit("/fail");
  await visit("/needle");
  await visit("/posted", { method: "POST", body: "x" });
  await visit("/flavoured", { headers: { "x-flavour": "vanilla sky" } });
  await eventually(() => lives.everything.events().length >= 5, lives.everything.text);
  const paths = (live: { events(): TailEvent[] }): string[] => live.events().map((e) => new URL(e.event.request.url).pathname);
  assert.deepEqual(paths(lives.error), ["/fail"]);
  assert.deepEqual(paths(lives.post), ["/posted"]);
  assert.deepEqual(paths(lives.search), ["/needle"]);
  assert.deepEqual(paths(lives.header), ["/flavoured"]);
});

test("the pretty format", async (t) => {
  const live = await tail(t, ["--format", "pretty"]);
  await visit("/pretty");
  await eventually(() => /a warning/.test(live.text()), live.text);
  assert.match(live.text(), /GET http:\/\/tailed\.dev\.workers[^ ]*\/pretty - Ok @/);
  assert.match(live.text(), /\(log\) visited \/pretty/);
});

test("[workers-26] a stack trace points to lines of the TypeScript sources", async (t) => {
  const traced = await deployWorker(platform, {
    files: {
      "src/index.ts": `import { deep } from "./lib/deep";\n\nexport default { async fetch(): Promise<Response> {\n  return new Response(String(deep({ value: 1 })));\n} };\n`,
      "src/lib/deep.ts": `interface Input { readonly value: number }\n\n// The bundle has none of these lines.\nexport function deep(input: Input): never {\n  throw new RangeError("deep " + input.value);\n}\n`,
    },
    config: { name: "traced", main: "src/index.ts", upload_source_maps: true },
  });
  const { events, text } = await tail(t, ["traced", "--format", "json"], "traced");
  await (await platform.fetch(traced.url)).text();
  await eventually(() => events().length > 0, text);
  const [exception] = events()[0]?.exceptions ?? [];
  assert.equal(exception?.message, "deep 1", text());
  const [first, second] = (exception.stack ?? "").match(/at .*/g) ?? [];
  assert.match(first ?? "", /^at deep \(src\/lib\/deep\.ts:5:9\)$/);
  assert.match(second ?? "", /src\/index\.ts:4:30/);
});

test("[durable-objects-55] events of Durable Objects: fetch, RPC, alarm and WebSocket messages", async (t) => {
  const objects = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Room extends DurableObject {
          async wake() { console.log("by RPC"); await this.ctx.storage.setAlarm(Date.now() + 100); }
          alarm() { console.log("by alarm"); }
          fetch(request) {
            console.log("by fetch");
            if (request.headers.get("upgrade") !== "websocket") return new Response("plain");
            const { 0: client, 1: server } = new WebSocketPair();
            this.ctx.acceptWebSocket(server);
            return new Response(null, { status: 101, webSocket: client });
          }
          webSocketMessage(ws, message) { console.log("by message", message); ws.send("heard"); }
          webSocketClose(ws, code) { console.log("by close", code); ws.close(code); }
        }
        export default { async fetch(request, env) {
          const stub = env.ROOM.getByName("one");
          if (new URL(request.url).pathname === "/rpc") { await stub.wake(); return new Response("woken"); }
          return stub.fetch(request);
        } };`,
    },
    config: {
      name: "rooms",
      durable_objects: { bindings: [{ name: "ROOM", class_name: "Room" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Room"] }],
    },
  });
  const { events, text } = await tail(t, ["rooms", "--format", "json"], "rooms");
  const logged = (): string[] => events().flatMap((event) => event.logs.map((line) => line.message.join(" ")));
  await (await platform.fetch(`${objects.url}/rpc`)).text();
  await (await platform.fetch(`${objects.url}/plain`)).text();
  const socket = platform.webSocket(`${objects.url}/socket`);
  await once(socket, "open");
  socket.send("hello");
  await once(socket, "message");
  socket.close(1000);
  for (const line of ["by RPC", "by alarm", "by fetch", "by message hello", "by close 1000"])
    await eventually(() => logged().includes(line), text);
  const of = (line: string) =>
    events().find((event) => event.logs.some((log) => log.message.join(" ") === line))?.event as unknown as Record<string, unknown>;
  assert.equal(of("by RPC").rpcMethod, "wake");
  assert.ok("scheduledTime" in of("by alarm"));
  assert.equal(new URL((of("by fetch").request as { url: string }).url).pathname, "/plain");
  assert.match(JSON.stringify(of("by message hello")), /getWebSocketEvent|webSocketEventType/);
});
