/** Limits of an object's storage and messages, streams that are cancelled, migrations that are refused, and what a kill leaves. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
async function json(url: string): Promise<any> {
  const response = await platform.fetch(url);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

const objects = (...names: string[]) => ({
  durable_objects: { bindings: names.map((name) => ({ name, class_name: name })) },
  migrations: [{ tag: "v1", new_sqlite_classes: names }],
});

const MIB = 1024 * 1024;

const project = await deployWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      let cancelled = 0;
      async function* numbers(signal) { let n = 0; while (!signal.aborted) { yield n++; await scheduler.wait(10); } cancelled++; }
      const counting = () => {
        const abort = new AbortController();
        return new ReadableStream({
          async start(controller) { for await (const n of numbers(abort.signal)) controller.enqueue(new TextEncoder().encode(n + " ")); },
          cancel() { abort.abort(); },
        });
      };
      export class Store extends DurableObject {
        limits() {
          const { sql } = this.ctx.storage;
          const attempt = (work) => { try { work(); return "works"; } catch (error) { return error.message; } };
          const columns = (n) => Array.from({ length: n }, (_, i) => "c" + i).join(", ");
          const marks = (n) => Array(n).fill("?").join(", ");
          return {
            columns: [attempt(() => sql.exec("CREATE TABLE hundred (" + columns(100) + ")")), attempt(() => sql.exec("CREATE TABLE more (" + columns(101) + ")"))],
            statement: [attempt(() => sql.exec("SELECT 1 -- " + "x".repeat(99_000))), attempt(() => sql.exec("SELECT 1 -- " + "x".repeat(101_000)))],
            parameters: [attempt(() => sql.exec("SELECT " + marks(100), ...Array(100).fill(1))), attempt(() => sql.exec("SELECT " + marks(101), ...Array(101).fill(1)))],
            like: [attempt(() => sql.exec("SELECT 'a' LIKE ?", "x".repeat(50)).one()), attempt(() => sql.exec("SELECT 'a' LIKE ?", "x".repeat(51)).one())],
            row: [attempt(() => { sql.exec("CREATE TABLE rows (a, b)"); sql.exec("INSERT INTO rows VALUES (?, 1)", "x".repeat(2_000_000)); }), attempt(() => sql.exec("INSERT INTO rows VALUES (?, 1)", "x".repeat(2_200_000)))],
            blob: [attempt(() => sql.exec("INSERT INTO rows VALUES (?, 1)", new Uint8Array(2_000_000))), attempt(() => sql.exec("INSERT INTO rows VALUES (?, ?)", new Uint8Array(1_100_000), new Uint8Array(1_100_000)))],
            value: [attempt(() => this.ctx.storage.kv.put("k", "x".repeat(2_000_000))), attempt(() => this.ctx.storage.kv.put("k", "x".repeat(2_200_000)))],
            glob: attempt(() => sql.exec("SELECT 'a' GLOB ?", "x".repeat(51)).one()),
          };
        }
        stream() { return counting(); }
        cancelled() { return cancelled; }
        // Neither write is awaited, and the answer waits for both.
        pair(n) { this.ctx.storage.put("first", n); this.ctx.storage.put("second", n); return n; }
        async both() { return [await this.ctx.storage.get("first"), await this.ctx.storage.get("second")]; }
        fetch(request) {
          if (request.headers.get("upgrade") !== "websocket") return new Response(counting(), { headers: { "content-type": "application/octet-stream" } });
          const { 0: client, 1: server } = new WebSocketPair();
          this.ctx.acceptWebSocket(server);
          return new Response(null, { status: 101, webSocket: client });
        }
        webSocketMessage(ws, message) { ws.send(String(message.byteLength ?? message.length)); }
        webSocketClose(ws, code) { ws.close(code); }
      }
      export default { async fetch(request, env) {
        const [, name, method, argument] = new URL(request.url).pathname.split("/");
        const stub = env.Store.getByName(name);
        if (request.headers.get("upgrade") === "websocket") return stub.fetch(request);
        if (method === "read") {
          const body = argument === "rpc" ? await stub.stream() : (await stub.fetch("http://object/")).body;
          const reader = body.pipeThrough(new TextDecoderStream()).getReader();
          let text = "";
          while (text.trim().split(" ").length < 5) text += (await reader.read()).value;
          await reader.cancel();
          return Response.json(text.trim().split(" ").slice(0, 5));
        }
        return Response.json((await stub[method](Number(argument))) ?? null);
      } };`,
  },
  config: { name: "storing", ...objects("Store") },
});

test("[durable-objects-14] SQL limits: columns, statements, parameters, patterns, rows and values of 2 MB", async () => {
  const limits = (await json(`${project.url}/limits/limits`)) as Record<string, string | string[]>;
  for (const name of ["columns", "statement", "parameters", "like", "row", "blob", "value"]) {
    const [within, past] = limits[name] as string[];
    assert.equal(within, "works", name);
    assert.notEqual(past, "works", name);
  }
  assert.notEqual(limits.glob, "works");
  assert.deepEqual([limits.row?.[1], limits.blob?.[1]], Array(2).fill("string or blob too big: SQLITE_TOOBIG"));
});

test("[durable-objects-49] past the cap of an object's database writes fail, and what was written and deletes work", async (t) => {
  const small = await startPlatform(t, { config: { "durable_objects.object_max_bytes": 1_000_000 } });
  const files = {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Filling extends DurableObject {
        fill() {
          const { sql } = this.ctx.storage;
          sql.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT)");
          for (let i = 0; i < 1000; i++) {
            try { sql.exec("INSERT INTO t (text) VALUES (?)", "x".repeat(50_000)); } catch (error) { return [i, error.message]; }
          }
        }
        async put() { return this.ctx.storage.put("key", "value").then(() => "stored", (error) => error.message); }
        count() { return [this.ctx.storage.sql.exec("SELECT count(*) AS n, min(length(text)) AS least FROM t").one(), this.ctx.storage.sql.databaseSize]; }
        empty() { this.ctx.storage.sql.exec("DELETE FROM t"); return this.fill(); }
      }
      export default { async fetch(request, env) { return Response.json(await env.Filling.getByName("a")[new URL(request.url).pathname.slice(1)]()); } };`,
  };
  const { url } = await deployWorker(small, { files, config: { name: "filling", ...objects("Filling") } });
  const call = async (method: string) => (await small.fetch(`${url}/${method}`)).json();
  const [written, refusal] = (await call("fill")) as [number, string];
  assert(written > 10 && written < 25, String(written));
  assert.equal(refusal, "database or disk is full: SQLITE_FULL");
  assert.equal(await call("put"), "database or disk is full: SQLITE_FULL");
  await small.restart();
  const [row, size] = (await call("count")) as [unknown, number];
  assert.deepEqual(row, { n: written, least: 50_000 });
  assert(size >= 1_000_000 && size < 1_200_000, String(size));
  assert.deepEqual(await call("empty"), [written, refusal]);
});

test("[durable-objects-50] a stream from an object is read, cancelled, and its source ends", async () => {
  assert.deepEqual(await json(`${project.url}/stream/read/fetch`), ["0", "1", "2", "3", "4"]);
  assert.deepEqual(await json(`${project.url}/stream/read/rpc`), ["0", "1", "2", "3", "4"]);
  const deadline = Date.now() + 10_000;
  while ((await json(`${project.url}/stream/cancelled`)) < 2 && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await json(`${project.url}/stream/cancelled`), 2);
});

test("[durable-objects-32] a message of 32 MiB arrives, a larger one ends the connection", async () => {
  const socket = platform.webSocket(`${project.url}/socket/open`);
  await once(socket, "open");
  socket.send(Buffer.alloc(32 * MIB, 7));
  const [answer] = (await once(socket, "message")) as [Buffer];
  assert.equal(answer.toString(), String(32 * MIB));
  socket.on("error", () => undefined);
  socket.send(Buffer.alloc(33 * MIB, 7));
  const [code] = (await once(socket, "close")) as [number];
  assert.equal(code, 1009);
  assert.deepEqual(await json(`${project.url}/socket/both`), [null, null]);
});

test("[durable-objects-40] migrations that cannot be: in a version upload, and SQLite for a class that has key-value storage", async () => {
  const code = (names: string[]) =>
    `import { DurableObject } from "cloudflare:workers"; ${names.map((name) => `export class ${name} extends DurableObject {}`).join("\n")} export default { fetch() { return new Response("served"); } };`;
  const config = (migrations: object[]) =>
    JSON.stringify({ name: "migrating", main: "index.js", compatibility_date: "2026-11-01", migrations });
  const first = { tag: "v1", new_classes: ["Plain"] };
  const moving = await workerProject(platform, {
    files: { "index.js": code(["Plain"]) },
    config: { name: "migrating", migrations: [first] },
  });
  await moving.deploy();
  await moving.write({
    "index.js": code(["Plain", "Second"]),
    "wrangler.json": config([first, { tag: "v2", new_sqlite_classes: ["Second"] }]),
  });
  const upload = await moving.wrangler(["versions", "upload"], { code: 1 });
  assert.match(upload.stdout + upload.stderr, /pending Durable Object migration|Migrations must be fully applied/);
  await moving.write({ "wrangler.json": config([first, { tag: "v2", new_sqlite_classes: ["Plain"] }]) });
  const convert = await moving.wrangler(["deploy"], { code: 1 });
  assert.match(convert.stdout + convert.stderr, /Cannot apply new_sqlite_classes migration to existing class Plain/);
  assert.equal(await (await platform.fetch(moving.url)).text(), "served");
});

test("[durable-objects-21, durable-objects-22] writes without an await are kept both or not at all, and no answer was ahead of them", async () => {
  for (let round = 0; round < 3; round++) {
    let acknowledged = 0;
    let stop = false;
    let next = round * 1_000_000;
    const writers = Array.from({ length: 4 }, async () => {
      while (!stop) {
        const n = ++next;
        const answer = await platform.fetch(`${project.url}/pairs/pair/${n}`).catch(() => undefined);
        if (answer?.status !== 200) break;
        acknowledged = Math.max(acknowledged, Number(await answer.text().catch(() => "0")));
      }
    });
    let ended = false;
    void Promise.all(writers).then(() => {
      ended = true;
    });
    while (acknowledged === 0 && !ended) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 150 * round));
    await platform.kill9();
    stop = true;
    await Promise.all(writers);
    await platform.restart();
    const [one, two] = (await json(`${project.url}/pairs/both`)) as [number, number];
    assert.equal(one, two);
    assert(acknowledged > 0, "nothing was written before the kill");
  }
});
