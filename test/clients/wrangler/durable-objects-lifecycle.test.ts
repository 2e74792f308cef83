/** Durable Objects over time: alarms, hibernating WebSockets, eviction, resets. Waits are the product's own (10 s to hibernate). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import type { WebSocket } from "ws";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
async function json(url: string): Promise<any> {
  const response = await platform.fetch(url);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const objects = (...names: string[]) => ({
  durable_objects: { bindings: names.map((name) => ({ name, class_name: name })) },
  migrations: [{ tag: "v1", new_sqlite_classes: names }],
});

const alarms = await deployWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Alarms extends DurableObject {
        async set(inMs) { const due = Date.now() + inMs; await this.ctx.storage.setAlarm(due); return due; }
        async drop() { await this.ctx.storage.deleteAlarm(); return this.ctx.storage.getAlarm(); }
        async pending() { return this.ctx.storage.getAlarm(); }
        async failFirst(times) { await this.ctx.storage.put("failures", times); }
        async fired() { return (await this.ctx.storage.get("fired")) ?? []; }
        async wipe() { await this.ctx.storage.deleteAll(); return this.ctx.storage.getAlarm(); }
        async alarm(info) {
          const during = await this.ctx.storage.getAlarm();
          const fired = (await this.ctx.storage.get("fired")) ?? [];
          fired.push({ at: Date.now(), during, retryCount: info.retryCount, isRetry: info.isRetry });
          await this.ctx.storage.put("fired", fired);
          const failures = (await this.ctx.storage.get("failures")) ?? 0;
          if (fired.length <= failures) { await this.ctx.storage.sync(); throw new Error("alarm fails"); }
        }
      }
      export default { async fetch(request, env) {
        const [, name, method, argument] = new URL(request.url).pathname.split("/");
        return Response.json((await env.Alarms.getByName(name)[method](Number(argument))) ?? null);
      } };`,
  },
  config: { name: "alarms", ...objects("Alarms") },
});

const chat = await deployWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      const constructions = new Map();
      export class Chat extends DurableObject {
        constructor(ctx, env) {
          super(ctx, env);
          constructions.set(String(ctx.id), (constructions.get(String(ctx.id)) ?? 0) + 1);
          this.memory = 0;
          ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
        }
        fetch(request) {
          const url = new URL(request.url);
          const { 0: client, 1: server } = new WebSocketPair();
          const tags = url.searchParams.getAll("tag");
          this.ctx.acceptWebSocket(server, tags);
          server.serializeAttachment({ joined: url.searchParams.get("as"), list: [1, 2] });
          return new Response(null, { status: 101, webSocket: client });
        }
        webSocketMessage(ws, message) {
          const sockets = this.ctx.getWebSockets().length;
          if (message === "state") return ws.send(JSON.stringify({ constructed: constructions.get(String(this.ctx.id)), memory: ++this.memory, attachment: ws.deserializeAttachment(), sockets, tags: this.ctx.getTags(ws), red: this.ctx.getWebSockets("red").length, auto: this.ctx.getWebSocketAutoResponseTimestamp(ws) !== null }));
          if (message === "close") return ws.close(4002, "server closes");
          for (const other of this.ctx.getWebSockets()) other.send(typeof message === "string" ? "all: " + message : message);
        }
        async webSocketClose(ws, code, reason, wasClean) { await this.ctx.storage.put("closed", { code, reason, wasClean }); ws.close(code, reason); }
        async closed() { return (await this.ctx.storage.get("closed")) ?? null; }
        limits() {
          const errors = {};
          const attempt = (name, work) => { try { work(); errors[name] = "accepted"; } catch (e) { errors[name] = "refused"; } };
          attempt("eleven tags", () => this.ctx.acceptWebSocket(new WebSocketPair()[1], Array.from({ length: 11 }, (_, i) => "t" + i)));
          attempt("long tag", () => this.ctx.acceptWebSocket(new WebSocketPair()[1], ["x".repeat(257)]));
          const [, server] = Object.values(new WebSocketPair());
          this.ctx.acceptWebSocket(server);
          // The documents say 2,048 bytes; the current runtime allows 16,384.
          attempt("large attachment", () => server.serializeAttachment("x".repeat(17000)));
          attempt("fine attachment", () => server.serializeAttachment("x".repeat(2000)));
          return errors;
        }
      }
      export default { async fetch(request, env) {
        const url = new URL(request.url), stub = env.Chat.getByName(url.pathname.slice(1));
        if (request.headers.get("upgrade") === "websocket") return stub.fetch(request);
        return Response.json(url.searchParams.has("limits") ? await stub.limits() : await stub.closed());
      } };`,
  },
  config: { name: "chat", ...objects("Chat") },
});

interface Fired {
  readonly at: number;
  readonly during: number | null;
  readonly retryCount: number;
  readonly isRetry: boolean;
}

async function firedTimes(name: string, count: number, deadlineMs: number): Promise<Fired[]> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const fired = (await json(`${alarms.url}/${name}/fired`)) as Fired[];
    if (fired.length >= count || Date.now() > deadline) return fired;
    await pause(50);
  }
}

test("[durable-objects-25] an alarm fires once at its time; getAlarm is null inside; deleteAlarm prevents it", async () => {
  const due = (await json(`${alarms.url}/once/set/700`)) as number;
  const pending = (await json(`${alarms.url}/once/pending`)) as number;
  assert.equal(pending, due);
  const fired = await firedTimes("once", 1, 10_000);
  assert.equal(fired.length, 1);
  const [first] = fired as [Fired];
  // Not before its time; how long after it depends on what else the machine does.
  assert(first.at >= pending && first.at - pending < 2000, `${first.at - pending} ms late`);
  assert.deepEqual([first.during, first.retryCount, first.isRetry], [null, 0, false]);
  assert.equal(await json(`${alarms.url}/once/pending`), null);
  await json(`${alarms.url}/never/set/500`);
  assert.equal(await json(`${alarms.url}/never/drop`), null);
  // Setting again replaces: only the later time counts.
  await json(`${alarms.url}/moved/set/200`);
  await json(`${alarms.url}/moved/set/900`);
  await pause(1500);
  assert.deepEqual(await json(`${alarms.url}/never/fired`), []);
  assert.equal(((await json(`${alarms.url}/moved/fired`)) as Fired[]).length, 1);
  assert.equal(((await json(`${alarms.url}/once/fired`)) as Fired[]).length, 1);
});

test("[durable-objects-26] an alarm that throws is retried after 2, 4, 8 seconds with its count", async () => {
  await json(`${alarms.url}/stubborn/failFirst/3`);
  await json(`${alarms.url}/stubborn/set/0`);
  const fired = await firedTimes("stubborn", 4, 40_000);
  assert.deepEqual(
    fired.map((f) => [f.retryCount, f.isRetry]),
    [
      [0, false],
      [1, true],
      [2, true],
      [3, true],
    ],
  );
  const gaps = fired.slice(1).map((f, i) => (f.at - (fired[i] as Fired).at) / 1000);
  for (const [i, want] of [2, 4, 8].entries()) {
    const gap = gaps[i] as number;
    // Never early; a busy machine may be late.
    assert(gap > want * 0.7 && gap < want * 1.6 + 3, `retry ${i + 1} came after ${gap} s`);
  }
});

test("[durable-objects-27] alarms survive a stop and a kill -9 of the platform, and fire without any request", async () => {
  const started = (): boolean => platform.log.some((line) => line.msg === "worker.started" && line.worker === "alarms");
  const startedBy = async (deadline: number): Promise<void> => {
    while (!started() && Date.now() < deadline) await pause(50);
    assert(started(), "nothing started the process for its alarm");
  };
  const firedOf = async (name: string): Promise<Fired> => {
    for (const deadline = Date.now() + 30_000; ; await pause(100)) {
      const [fired] = (await json(`${alarms.url}/${name}/fired`)) as Fired[];
      if (fired !== undefined) return fired;
      assert(Date.now() < deadline, `the alarm of ${name} has not fired`);
    }
  };
  // One that is due later, after a crash: the platform waits for it.
  const due = (await json(`${alarms.url}/killed/set/9000`)) as number;
  await platform.kill9();
  await platform.restart();
  await startedBy(due + 20_000);
  const fired = await firedOf("killed");
  assert(fired.at >= due - 100, `due ${due}, fired ${fired.at}`);
  // One that came due while the platform was down: it fires as soon as it is up.
  const missed = (await json(`${alarms.url}/missed/set/1000`)) as number;
  await platform.stop();
  await pause(Math.max(0, missed + 200 - Date.now()));
  await platform.restart();
  const up = Date.now();
  await startedBy(up + 20_000);
  const late = await firedOf("missed");
  assert(late.at > missed, `due ${missed}, up ${up}, fired ${late.at}`);
});

test("[durable-objects-20] deleteAll deletes the alarm from the documented compatibility date on", async () => {
  await json(`${alarms.url}/wiped/set/60000`);
  assert.equal(await json(`${alarms.url}/wiped/wipe`), null);
  const older = await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Old extends DurableObject { async run() { await this.ctx.storage.setAlarm(Date.now() + 60000); await this.ctx.storage.deleteAll(); return (await this.ctx.storage.getAlarm()) !== null; } alarm() {} }
        export default { fetch: async (request, env) => Response.json(await env.Old.getByName("x").run()) };`,
    },
    config: { name: "older", compatibility_date: "2026-02-01", ...objects("Old") },
  });
  assert.equal(await json(older.url), true);
});

async function join(room: string, query = ""): Promise<WebSocket> {
  const socket = platform.webSocket(`${chat.url.replace("http", "ws")}/${room}?${query}`);
  await once(socket, "open");
  return socket;
}

async function ask(socket: WebSocket, message: string): Promise<string> {
  const answer = once(socket, "message", { signal: AbortSignal.timeout(10_000) });
  socket.send(message);
  return String((await answer)[0]);
}

test("[durable-objects-28, durable-objects-29] a hibernating WebSocket outlives its object, with its attachment", async () => {
  const socket = await join("sleepy", "as=ada");
  const before = JSON.parse(await ask(socket, "state")) as { constructed: number; memory: number; attachment: unknown };
  assert.equal(JSON.parse(await ask(socket, "state")).memory, 2);
  assert.deepEqual(before.attachment, { joined: "ada", list: [1, 2] });
  // Documented: ten seconds without work. Nothing else can be awaited.
  await pause(12_000);
  const awake = JSON.parse(await ask(socket, "state")) as typeof before;
  assert.deepEqual([awake.constructed, awake.memory], [before.constructed + 1, 1]);
  assert.deepEqual(awake.attachment, { joined: "ada", list: [1, 2] });
  socket.close(4010, "client leaves");
  const [code, reason] = await once(socket, "close");
  assert.deepEqual([code, String(reason)], [4010, "client leaves"]);
  const deadline = Date.now() + 5000;
  let closed = null;
  while (closed === null && Date.now() < deadline) closed = await json(`${chat.url}/sleepy`);
  assert.deepEqual(closed, { code: 4010, reason: "client leaves", wasClean: true });
  const other = await join("sleepy");
  other.send("close");
  const [serverCode, serverReason] = await once(other, "close");
  assert.deepEqual([serverCode, String(serverReason)], [4002, "server closes"]);
});

test("[durable-objects-30] tags select sockets, and their limits hold", async () => {
  const [red, both] = [await join("tagged", "tag=red"), await join("tagged", "tag=red&tag=blue")];
  const state = JSON.parse(await ask(both, "state")) as { tags: string[]; red: number; sockets: number };
  assert.deepEqual([state.tags.sort(), state.red, state.sockets], [["blue", "red"], 2, 2]);
  const heard = once(red, "message");
  assert.equal(await ask(both, "hello"), "all: hello");
  assert.equal(String((await heard)[0]), "all: hello");
  red.close();
  both.close();
  assert.deepEqual(await json(`${chat.url}/limited?limits`), {
    "eleven tags": "refused",
    "long tag": "refused",
    "large attachment": "refused",
    "fine attachment": "accepted",
  });
});

test("[durable-objects-31] an automatic answer does not wake the object", async () => {
  const socket = await join("automatic");
  const before = JSON.parse(await ask(socket, "state")) as { constructed: number; auto: boolean };
  assert.equal(before.auto, false);
  await pause(12_000);
  assert.equal(await ask(socket, "ping"), "pong");
  assert.equal(await ask(socket, "ping"), "pong");
  const after = JSON.parse(await ask(socket, "state")) as typeof before;
  // Woken once, by "state", and not three times.
  assert.deepEqual([after.constructed, after.auto], [before.constructed + 1, true]);
  socket.close();
});

test("[durable-objects-10, durable-objects-23, durable-objects-24] memory between requests, blockConcurrencyWhile, abort", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class State extends DurableObject {
          constructor(ctx, env) { super(ctx, env); this.visits = 0; this.log = []; }
          visit() { return ++this.visits; }
          async block() { this.log.push("enter"); await this.ctx.blockConcurrencyWhile(async () => { await scheduler.wait(300); this.log.push("unblocked"); }); return this.log; }
          second() { this.log.push("second"); return this.log; }
          async blockThrows() { await this.ctx.blockConcurrencyWhile(async () => { throw new Error("blocked badly"); }); }
          async reset() { this.ctx.abort("as asked"); }
        }
        export default { async fetch(request, env) {
          const stub = () => env.State.getByName("s");
          const outcome = async (work) => { try { return await work(); } catch (e) { return "threw " + e.message; } };
          switch (new URL(request.url).pathname) {
            case "/visit": return Response.json(await stub().visit());
            case "/block": { const first = stub().block(); await scheduler.wait(50); const second = stub().second(); await first; return Response.json(await second); }
            case "/throws": return Response.json([await outcome(() => stub().blockThrows()), await stub().visit()]);
            case "/abort": return Response.json([await outcome(() => stub().reset()), await stub().visit()]);
          }
        } };`,
    },
    config: { name: "stateful", ...objects("State") },
  });
  assert.deepEqual([await json(`${project.url}/visit`), await json(`${project.url}/visit`)], [1, 2]);
  assert.deepEqual(await json(`${project.url}/block`), ["enter", "unblocked", "second"]);
  assert.deepEqual(await json(`${project.url}/throws`), ["threw blocked badly", 1]);
  assert.deepEqual(await json(`${project.url}/visit`), 2);
  assert.deepEqual(await json(`${project.url}/abort`), ["threw as asked", 1]);
});
