/** Durable Objects deployed with wrangler: ids, RPC, storage, ordering, uniqueness across crashes, migrations, lists. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker, workerProject } from "../../harness/worker-project.ts";
import { askAnalytics } from "../analytics.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}/workers`;

async function text(url: string, init: Parameters<typeof platform.fetch>[1] = {}): Promise<string> {
  const response = await platform.fetch(url, init);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return body;
}
// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
const json = async (url: string, init = {}): Promise<any> => JSON.parse(await text(url, init));

const sqlite = (...classes: string[]) => [{ tag: "v1", new_sqlite_classes: classes }];
const binding = (name: string, class_name = name) => ({ name, class_name });

const counter = `
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  calls = [];
  async increment() { const value = ((await this.ctx.storage.get("value")) ?? 0) + 1; await this.ctx.storage.put("value", value); return value; }
  async value() { return (await this.ctx.storage.get("value")) ?? 0; }
  note(n) { this.calls.push(n); return this.calls.length; }
  noted() { return this.calls; }
  fail() { throw new RangeError("user code failed"); }
  ownId() { return this.ctx.id.toString(); }
  async fetch(request) {
    if (request.method === "POST") return new Response(request.body.pipeThrough(new IdentityTransformStream()));
    return new Response("object " + new URL(request.url).pathname);
  }
}
export default { async fetch(request, env) {
  const url = new URL(request.url), name = url.searchParams.get("name") ?? "a";
  const stub = env.Counter.get(env.Counter.idFromName(name));
  switch (url.pathname) {
    case "/increment": return Response.json(await stub.increment());
    case "/value": return Response.json(await stub.value());
    case "/id": return Response.json([stub.id.toString(), await stub.ownId(), env.Counter.idFromName(name).equals(stub.id)]);
    case "/order": { const calls = []; for (let i = 0; i < 100; i++) calls.push(stub.note(i)); await Promise.all(calls); return Response.json(await stub.noted()); }
    case "/error": try { await stub.fail(); } catch (e) { return Response.json({ name: e.name, message: e.message, remote: e.remote, retryable: e.retryable ?? false }); } break;
    case "/ids": {
      const id = env.Counter.newUniqueId(), again = env.Counter.idFromString(id.toString());
      await env.Counter.get(id).increment();
      const bad = {};
      for (const [key, text] of Object.entries({ short: "abc", foreign: "f".repeat(64) })) { try { env.Counter.idFromString(text); bad[key] = "accepted"; } catch (e) { bad[key] = "refused"; } }
      return Response.json({ value: await env.Counter.get(again).value(), length: id.toString().length, name: id.name ?? null, bad });
    }
    case "/getByName": { const stub = env.Counter.getByName(name); await stub.increment(); return Response.json([stub.name, await env.Counter.get(env.Counter.idFromName(name)).value()]); }
  }
  return stub.fetch(request);
} };`;

const counters = await uploadedWorker(platform, {
  files: { "index.js": counter },
  config: { name: "counters", durable_objects: { bindings: [binding("Counter")] }, migrations: sqlite("Counter") },
});

test("[durable-objects-01] the get-started Worker answers from SQL", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class MyDurableObject extends DurableObject {
          async sayHello() { return this.ctx.storage.sql.exec("SELECT 'Hello, World!' as greeting").one().greeting; }
        }
        export default { async fetch(request, env) {
          const stub = env.MY_DURABLE_OBJECT.getByName(new URL(request.url).pathname);
          return new Response(await stub.sayHello());
        } };`,
    },
    config: {
      name: "get-started",
      durable_objects: { bindings: [binding("MY_DURABLE_OBJECT", "MyDurableObject")] },
      migrations: sqlite("MyDurableObject"),
    },
  });
  assert.equal(await text(`${project.url}/x`), "Hello, World!");
});

test("[durable-objects-02, durable-objects-03, durable-objects-04] ids by name, unique ids, ids from strings", async () => {
  const [outside, inside, equal] = await json(`${counters.url}/id?name=steady`);
  assert.match(outside, /^[0-9a-f]{64}$/);
  assert.deepEqual([inside, equal], [outside, true]);
  assert.deepEqual((await json(`${counters.url}/id?name=steady`))[0], outside);
  assert.notEqual((await json(`${counters.url}/id?name=other`))[0], outside);
  assert.equal(await json(`${counters.url}/increment?name=steady`), 1);
  assert.equal(await json(`${counters.url}/increment?name=steady`), 2);
  assert.equal(await json(`${counters.url}/value?name=other`), 0);
  assert.deepEqual(await json(`${counters.url}/ids`), { value: 1, length: 64, name: null, bad: { short: "refused", foreign: "refused" } });
  assert.deepEqual(await json(`${counters.url}/getByName?name=by-name`), ["by-name", 1]);
});

test("[durable-objects-05, durable-objects-06, durable-objects-07] RPC with errors, fetch with streams, order of calls", async () => {
  assert.deepEqual(await json(`${counters.url}/error`), {
    name: "RangeError",
    message: "user code failed",
    remote: true,
    retryable: false,
  });
  assert.deepEqual(
    await json(`${counters.url}/order?name=ordered`),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.equal(await text(`${counters.url}/inside`), "object /inside");
  const body = "streamed ".repeat(50_000);
  assert.equal(await text(`${counters.url}/inside`, { method: "POST", body }), body);
});

test("[durable-objects-08] 1,000 concurrent increments end at exactly 1,000", async () => {
  const seen = new Set<number>();
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      for (let i = 0; i < 20; i++) seen.add(await json(`${counters.url}/increment?name=crowded`));
    }),
  );
  assert.equal(seen.size, 1000);
  assert.equal(await json(`${counters.url}/value?name=crowded`), 1000);
});

test("[durable-objects-11, durable-objects-12, durable-objects-13, durable-objects-15, durable-objects-18] SQL: cursors, counts, names, size, FTS5, JSON, rollback, limits", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Sql extends DurableObject {
          run() {
            const { sql } = this.ctx.storage;
            const empty = sql.databaseSize;
            sql.exec("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE INDEX by_name ON items (name)");
            const insert = sql.exec("INSERT INTO items (name, data) VALUES (?, ?), (?, ?)", "one", new Uint8Array([1, 2]), "two", null);
            insert.toArray();
            const cursor = sql.exec("SELECT id, name FROM items ORDER BY id");
            const columns = cursor.columnNames;
            const rows = cursor.toArray();
            const raw = [...sql.exec("SELECT id, name FROM items ORDER BY id").raw()];
            const one = sql.exec("SELECT count(*) AS n FROM items").one();
            const errors = [];
            for (const query of ["SELECT * FROM items", "SELECT * FROM items WHERE id = 99"]) { try { sql.exec(query).one(); errors.push("none"); } catch (e) { errors.push("threw"); } }
            const blob = sql.exec("SELECT data FROM items WHERE id = 1").one().data;
            sql.exec("INSERT INTO items (name) VALUES (?)", "x".repeat(100000));
            const refused = [];
            for (const query of ["BEGIN", "SAVEPOINT a", "SELECT * FROM _cf_KV"]) { try { sql.exec(query); refused.push(query + " accepted"); } catch (e) { refused.push(e.message); } }
            let rolledBack;
            try { this.ctx.storage.transactionSync(() => { sql.exec("DELETE FROM items"); throw new Error("undo"); }); } catch { rolledBack = sql.exec("SELECT count(*) AS n FROM items").one().n; }
            const fts = (() => { sql.exec("CREATE VIRTUAL TABLE docs USING fts5(body)"); sql.exec("INSERT INTO docs VALUES ('the quick brown fox')"); return sql.exec("SELECT body FROM docs WHERE docs MATCH 'quick'").one().body; })();
            this.ctx.storage.kv.put("hidden", 1);
            const hidden = sql.exec("SELECT name FROM sqlite_master").toArray().some((row) => /^_+cf_kv$/i.test(row.name));
            const limits = {};
            const limit = (name, query, ...bound) => { try { sql.exec(query, ...bound).toArray(); limits[name] = "accepted"; } catch (e) { limits[name] = "refused"; } };
            const columns_ = (n) => Array.from({ length: n }, (_, i) => "c" + i).join(",");
            limit("100 columns", "CREATE TABLE wide (" + columns_(100) + ")");
            limit("101 columns", "CREATE TABLE wider (" + columns_(101) + ")");
            limit("100 parameters", "SELECT " + Array(100).fill("?").join(","), ...Array(100).fill(1));
            limit("101 parameters", "SELECT " + Array(101).fill("?").join(","), ...Array(101).fill(1));
            limit("statement of 101 KB", "SELECT 1 /*" + "x".repeat(101 * 1024) + "*/");
            limit("pattern of 50", "SELECT 'a' LIKE '" + "a".repeat(50) + "'");
            limit("pattern of 51", "SELECT 'a' LIKE '" + "a".repeat(51) + "'");
            const math = sql.exec("SELECT pow(2, 10) AS p, json_extract('{\\"a\\":5}', '$.a') AS j").one();
            return { columns, rows, raw, one, errors, blob: [...new Uint8Array(blob)], written: insert.rowsWritten, read: cursor.rowsRead, grew: sql.databaseSize > empty, refused, rolledBack, fts, math, limits, hidden };
          }
        }
        export default { fetch: async (request, env) => Response.json(await env.Sql.getByName("x").run()) };`,
    },
    config: { name: "sql", durable_objects: { bindings: [binding("Sql")] }, migrations: sqlite("Sql") },
  });
  const { refused, written, ...result } = await json(project.url);
  assert.deepEqual(result, {
    columns: ["id", "name"],
    rows: [
      { id: 1, name: "one" },
      { id: 2, name: "two" },
    ],
    raw: [
      [1, "one"],
      [2, "two"],
    ],
    one: { n: 2 },
    errors: ["threw", "threw"],
    blob: [1, 2],
    read: 2,
    grew: true,
    rolledBack: 3,
    fts: "the quick brown fox",
    math: { p: 1024, j: 5 },
    hidden: true,
    limits: {
      "100 columns": "accepted",
      "101 columns": "refused",
      "100 parameters": "accepted",
      "101 parameters": "refused",
      "statement of 101 KB": "refused",
      "pattern of 50": "accepted",
      "pattern of 51": "refused",
    },
  });
  assert(written >= 2);
  assert.match(refused[0], /transactionSync/);
  assert.match(refused[1], /transactionSync/);
  assert.doesNotMatch(refused[2], /accepted/);
});

test("[durable-objects-16, durable-objects-17] key-value storage, asynchronous and synchronous", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Kv extends DurableObject {
          async run() {
            const { storage } = this.ctx;
            await storage.put({ "b": 2, "a": 1, "c/1": { deep: [new Date(0)] }, "c/2": "two", "é": 5, "z": 6 });
            const many = Array.from({ length: 129 }, (_, i) => "k" + i), pairs = Object.fromEntries(many.map((key) => [key, 1]));
            const outcome = (promise) => promise.then(() => "accepted", (e) => e.constructor.name + ": " + e.message);
            const tooMany = [await outcome(storage.get(many)), await outcome(storage.put(pairs)), await outcome(storage.delete(many)), await outcome(storage.transaction((txn) => txn.put(pairs)))];
            const enough = [(await storage.get(many.slice(1))).size, await outcome(storage.put(Object.fromEntries(many.slice(1).map((key) => [key, 1])))), await storage.delete(many.slice(1))];
            const all = [...(await storage.list()).keys()];
            const some = await storage.get(["b", "missing", "a"]);
            const listed = {
              prefix: [...(await storage.list({ prefix: "c/" })).keys()],
              range: [...(await storage.list({ start: "b", end: "c/2" })).keys()],
              after: [...(await storage.list({ startAfter: "b", limit: 1 })).keys()],
              reverse: [...(await storage.list({ reverse: true, limit: 2 })).keys()],
            };
            const deleted = [await storage.delete("a"), await storage.delete("a"), await storage.delete(["b", "c/1", "nope"])];
            storage.kv.put("sync", { v: 1 });
            const sync = [storage.kv.get("sync"), [...storage.kv.list({ prefix: "s" })], storage.kv.delete("sync"), storage.kv.get("sync") ?? null];
            const rolled = await storage.transaction(async (txn) => { await txn.put("t", 1); txn.rollback(); }).then(() => storage.get("t"));
            return { tooMany, enough, all, some: [...some], listed, deleted, sync, rolled: rolled ?? null, left: [...(await storage.list()).keys()] };
          }
        }
        export default { fetch: async (request, env) => Response.json(await env.Kv.getByName("x").run()) };`,
    },
    config: { name: "do-kv", durable_objects: { bindings: [binding("Kv")] }, migrations: sqlite("Kv") },
  });
  assert.deepEqual(await json(project.url), {
    tooMany: [
      "RangeError: Maximum number of keys is 128.",
      "RangeError: Maximum number of pairs is 128.",
      "RangeError: Maximum number of keys is 128.",
      "RangeError: Maximum number of pairs is 128.",
    ],
    enough: [0, "accepted", 128],
    all: ["a", "b", "c/1", "c/2", "z", "é"],
    some: [
      ["a", 1],
      ["b", 2],
    ],
    listed: { prefix: ["c/1", "c/2"], range: ["b", "c/1"], after: ["c/1"], reverse: ["é", "z"] },
    deleted: [true, false, 2],
    sync: [{ v: 1 }, [["sync", { v: 1 }]], true, null],
    rolled: null,
    left: ["c/2", "z", "é"],
  });
});

test("[durable-objects-09] after kill -9 of the platform the last acknowledged value is there, and there is one writer", async () => {
  let acknowledged = 0;
  const writing = (async () => {
    for (;;) acknowledged = await json(`${counters.url}/increment?name=survivor`);
  })().catch(() => undefined);
  while (acknowledged < 50) await new Promise((resolve) => setTimeout(resolve, 5));
  await platform.kill9();
  await writing;
  await platform.restart();
  const value = await json(`${counters.url}/value?name=survivor`);
  // The last write may have been made without its answer arriving.
  assert(value === acknowledged || value === acknowledged + 1, `${value} after ${acknowledged}`);
  assert.equal(await json(`${counters.url}/increment?name=survivor`), value + 1);
  assert.equal(await json(`${counters.url}/value?name=crowded`), 1000);
});

test("[durable-objects-36, durable-objects-37, durable-objects-39] migrations: create once, rename keeps data, delete wipes it", async () => {
  const source = (name: string): string => counter.replaceAll("class Counter", `class ${name}`);
  const project = await workerProject(platform, {
    files: { "index.js": source("First") },
    config: {
      name: "evolving",
      durable_objects: { bindings: [binding("Counter", "First")] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["First"] }],
    },
  });
  const configure = (config: object): Promise<void> =>
    project.write({ "wrangler.json": JSON.stringify({ name: "evolving", main: "index.js", compatibility_date: "2026-11-01", ...config }) });
  await project.deploy();
  assert.equal(await json(`${project.url}/increment`), 1);
  await project.deploy();
  assert.equal(await json(`${project.url}/increment`), 2);
  const tag = async () => (await platform.rest("GET", `${account}/services/evolving`)).body.result.default_environment.script.migration_tag;
  assert.equal(await tag(), "v1");
  // A class that is gone without a migration is refused, and the old code goes on.
  await project.write({ "index.js": source("Second") });
  const form = new FormData();
  form.append("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: "2026-11-01" }));
  form.append("index.js", new Blob([source("Second")], { type: "application/javascript+module" }), "index.js");
  const refused = await platform.fetch(`/client/v4${account}/scripts/evolving`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /does not export class 'First' which is depended on by existing Durable Objects[^}]*/);
  assert.equal(await json(`${project.url}/value`), 2);
  const renamed = [
    { tag: "v1", new_sqlite_classes: ["First"] },
    { tag: "v2", renamed_classes: [{ from: "First", to: "Second" }] },
  ];
  await configure({ durable_objects: { bindings: [binding("Counter", "Second")] }, migrations: renamed });
  await project.deploy();
  assert.equal(await json(`${project.url}/increment`), 3);
  assert.equal(await tag(), "v2");
  const deleting = [...renamed, { tag: "v3", deleted_classes: ["Second"] }];
  await configure({ durable_objects: { bindings: [binding("Counter", "Second")] }, migrations: deleting });
  const bound = await project.wrangler(["deploy"], { code: 1 });
  assert.match(bound.stdout + bound.stderr, /without also removing the binding that references it/);
  assert.equal(await json(`${project.url}/value`), 3);
  await project.write({ "index.js": `export default { fetch: () => Response.json("without objects") }` });
  await configure({ migrations: deleting });
  await project.deploy();
  assert.equal(await json(project.url), "without objects");
  // The same class again starts empty.
  await project.write({ "index.js": source("Second") });
  await configure({
    durable_objects: { bindings: [binding("Counter", "Second")] },
    migrations: [...deleting, { tag: "v4", new_sqlite_classes: ["Second"] }],
  });
  await project.deploy();
  assert.equal(await json(`${project.url}/value`), 0);
});

test("a binding to a class that no migration made is refused by name", async () => {
  const missing = await workerProject(platform, {
    files: { "index.js": counter },
    config: { name: "forgetful", durable_objects: { bindings: [binding("Counter")] } },
  });
  const first = await missing.wrangler(["deploy"], { code: 1 });
  assert.match(first.stdout + first.stderr, /not currently configured to implement Durable Objects[\s\S]*code: 10061/);
});

test("the same class and object name in another Worker is another object", async () => {
  const twin = await uploadedWorker(platform, {
    files: { "index.js": counter },
    config: { name: "counters-twin", durable_objects: { bindings: [binding("Counter")] }, migrations: sqlite("Counter") },
  });
  const [here] = await json(`${counters.url}/id?name=same`);
  const [there] = await json(`${twin.url}/id?name=same`);
  assert.notEqual(here, there);
  await json(`${counters.url}/increment?name=same`);
  assert.equal(await json(`${twin.url}/value?name=same`), 0);
});

test("[durable-objects-19] a class made with new_classes has key-value storage only", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Legacy extends DurableObject {
          async run() {
            const { storage } = this.ctx;
            await storage.put("k", 1);
            let sql;
            try { sql = String(storage.sql.exec("SELECT 1")); } catch (e) { sql = "refused"; }
            const outcome = (key, value) => storage.put(key, value).then(() => "accepted", (e) => e.message);
            return [await storage.get("k"), sql, await outcome("x".repeat(2048), 1), await outcome("x".repeat(2049), 1),
              await outcome("v", "x".repeat(131000)), await outcome("v", new Uint8Array(131073)), await storage.get("v").then((v) => v.length)];
          }
        }
        export default { fetch: async (request, env) => Response.json(await env.Legacy.getByName("x").run()) };`,
    },
    config: { name: "legacy", durable_objects: { bindings: [binding("Legacy")] }, migrations: [{ tag: "v1", new_classes: ["Legacy"] }] },
  });
  const [value, sql, ...limits] = await json(project.url);
  assert.deepEqual([value, sql], [1, "refused"]);
  assert.deepEqual([limits[0], limits[2], limits[4]], ["accepted", "accepted", 131000]);
  assert.match(limits[1], /^Keys cannot be larger than 2048 bytes\./);
  assert.match(limits[3], /^Values cannot be larger than 131072 bytes\./);
});

test("[durable-objects-51] the SDK lists namespaces and the objects that have stored something", async () => {
  const client = platform.sdk();
  const namespaces = [];
  for await (const namespace of client.durableObjects.namespaces.list({ account_id: platform.ready.account_id }))
    namespaces.push(namespace);
  const found = namespaces.find((namespace) => namespace.script === "counters");
  assert.deepEqual([found?.class, found?.use_sqlite], ["Counter", true]);
  const [id] = await json(`${counters.url}/id?name=listed`);
  await json(`${counters.url}/increment?name=listed`);
  const objects: { id?: string; hasStoredData?: boolean }[] = [];
  for await (const object of client.durableObjects.namespaces.objects.list(found?.id as string, {
    account_id: platform.ready.account_id,
    limit: 10,
  }))
    objects.push(object);
  assert.deepEqual(
    objects.find((object) => object.id === id),
    { id, hasStoredData: true },
  );
});

test("the analytics API has what the account's objects store, for tokens that may read figures", async () => {
  const query = `{ viewer { accounts(filter: { accountTag: "${platform.ready.account_id}" }) {
    durableObjectsStorageGroups(filter: { date_gt: "${new Date(Date.now() - 3 * 86_400_000).toISOString().slice(0, 10)}" }, limit: 1000) { max { storedBytes } }
  } } }`;
  const stored = async () => {
    const { data, errors } = await askAnalytics(platform, query, {}, (await platform.token(["Account Analytics Read"])).value);
    assert.equal(errors, null);
    const [row] = (data?.viewer.accounts[0]?.durableObjectsStorageGroups ?? []) as { max: { storedBytes: number } }[];
    return row?.max.storedBytes ?? Number.NaN;
  };
  const before = await stored();
  for (let i = 0; i < 5; i++) await text(`${counters.url}/ids`);
  const grown = await stored();
  // Each object is a database of a few pages.
  assert.ok(grown - before >= 5 * 4096 && grown - before < 5 * 1_000_000, `grown by ${grown - before}`);
  const refused = await askAnalytics(platform, query, {}, (await platform.token(["Workers Scripts Write"])).value);
  assert.equal(refused.data, null);
  assert.match(refused.errors?.[0]?.message ?? "", /not authorized/);
});

test("a deploy while objects are in use loses no acknowledged write and fails no request", async () => {
  const project = await uploadedWorker(platform, {
    files: { "index.js": counter },
    config: { name: "redeployed", durable_objects: { bindings: [binding("Counter")] }, migrations: sqlite("Counter") },
  });
  let stop = false;
  let last = 0;
  const failures: string[] = [];
  const load = (async () => {
    while (!stop) {
      const response = await platform.fetch(`${project.url}/increment`);
      const body = await response.text();
      if (response.status !== 200) failures.push(body.slice(0, 200));
      else last = Number(body);
    }
  })();
  await project.deploy();
  await project.deploy();
  stop = true;
  await load;
  assert.deepEqual(failures, []);
  assert.equal(await json(`${project.url}/value`), last);
});

test("deleting the Worker deletes its objects; a new one of the same name starts empty", async () => {
  const options = {
    files: { "index.js": counter },
    config: { name: "ephemeral", durable_objects: { bindings: [binding("Counter")] }, migrations: sqlite("Counter") },
  };
  const first = await uploadedWorker(platform, options);
  assert.equal(await json(`${first.url}/increment`), 1);
  await first.wrangler(["delete", "--force"]);
  const second = await uploadedWorker(platform, options);
  assert.equal(await json(`${second.url}/value`), 0);
});

test("[durable-objects-33] a standard WebSocket keeps the object's memory", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { DurableObject } from "cloudflare:workers";
        export class Room extends DurableObject {
          count = 0;
          fetch() { const [client, server] = Object.values(new WebSocketPair()); server.accept(); server.addEventListener("message", () => server.send(String(++this.count))); return new Response(null, { status: 101, webSocket: client }); }
        }
        export default { fetch: (request, env) => env.Room.getByName("r").fetch(request) };`,
    },
    config: { name: "room", durable_objects: { bindings: [binding("Room")] }, migrations: sqlite("Room") },
  });
  const socket = platform.webSocket(project.url.replace("http", "ws"));
  await once(socket, "open");
  for (const want of ["1", "2"]) {
    socket.send("x");
    assert.equal(String((await once(socket, "message"))[0]), want);
  }
  // A deploy disconnects WebSockets and does not wait for them.
  const closed = once(socket, "close");
  const started = Date.now();
  await project.deploy();
  await closed;
  const again = platform.webSocket(project.url.replace("http", "ws"));
  await once(again, "open");
  assert(Date.now() - started < 15_000);
  again.close();
});
