/** What Durable Objects used, by the GraphQL queries of the documentation, beside what the objects themselves know of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";
import { askAnalytics, rowsOf } from "../analytics.ts";

const platform = await startPlatform({ after });

const classes = { Meter: "new_sqlite_classes", Other: "new_sqlite_classes", Legacy: "new_classes" } as const;
const worker = await uploadedWorker(platform, {
  files: {
    "index.js": `import { DurableObject } from "cloudflare:workers";
      export class Meter extends DurableObject {
        read = 0; written = 0;
        #run(sql, ...values) {
          const cursor = this.ctx.storage.sql.exec(sql, ...values);
          const rows = cursor.toArray();
          this.read += cursor.rowsRead; this.written += cursor.rowsWritten;
          return rows;
        }
        constructor(ctx, env) { super(ctx, env); this.#run("CREATE TABLE IF NOT EXISTS t (n INTEGER)"); }
        async fetch(request) {
          if (request.headers.get("upgrade") === "websocket") {
            const { 0: client, 1: server } = new WebSocketPair();
            this.ctx.acceptWebSocket(server);
            return new Response(null, { status: 101, webSocket: client });
          }
          return new Response("ten bytes!");
        }
        insert(n) { for (let i = 0; i < n; i++) this.#run("INSERT INTO t VALUES (?)", i); }
        // A method of its own is part of the same request.
        select() { return this.count().length; }
        count() { return this.#run("SELECT * FROM t"); }
        // Read in two goes, with more statements between than are looked at again.
        slowly() {
          const cursor = this.ctx.storage.sql.exec("SELECT * FROM t");
          cursor.next();
          for (let i = 0; i < 100; i++) this.#run("SELECT 1 FROM t LIMIT 1");
          for (const row of cursor) this.#run("SELECT 1");
          this.read += cursor.rowsRead;
        }
        async pairs() {
          const { storage } = this.ctx;
          await storage.put({ a: 1, b: 2, c: 3 });
          await storage.put("d", 4);
          await storage.get("a"); await storage.get(["a", "b"]);
          await storage.list();
          await storage.delete("a");
          await storage.transaction(async (txn) => { await txn.put("e", 5); await txn.get("e"); });
          storage.kv.put("f", 6); storage.kv.get("f"); storage.kv.delete("f");
          const listed = [...storage.kv.list()].length;
          this.written += 3 + 1 + 1 + 1 + 2;
          this.read += 1 + 2 + 4 + 1 + 1 + listed;
        }
        async wake() { await this.ctx.storage.setAlarm(Date.now()); this.written++; }
        alarm() { this.#run("INSERT INTO t VALUES (-1)"); this.alarmed?.(); }
        async alarmEnded() { if (this.#run("SELECT n FROM t WHERE n = -1").length === 0) await new Promise((resolve) => { this.alarmed = resolve; }); }
        fail() { throw new Error("on purpose"); }
        async wait(ms) { await scheduler.wait(ms); }
        spin(ms) { for (const end = Date.now() + ms; Date.now() < end; ); }
        async ask() { for (let i = 0; i < 3; i++) await (await this.env.Other.getByName("x").fetch("http://other/")).text(); }
        webSocketMessage(ws, message) { ws.send(message); }
        webSocketClose(ws) { ws.close(1000); }
        totals() { return { read: this.read, written: this.written }; }
      }
      export class Other extends DurableObject { fetch() { return new Response("1"); } nothing() {} }
      export class Legacy extends DurableObject {
        async pairs() {
          const { storage } = this.ctx;
          await storage.put("large", "x".repeat(9000));
          await storage.put("small", 1);
          await storage.get("large"); await storage.get("none");
          await storage.delete(["large", "small"]);
        }
      }
      export default { async fetch(request, env) {
        const { pathname, searchParams } = new URL(request.url);
        const [, name, method] = pathname.split("/");
        const stub = env[name].getByName("x");
        if (method === undefined) return stub.fetch(request);
        const args = searchParams.getAll("n").map(Number);
        const times = Number(searchParams.get("times") ?? 1);
        const results = await Promise.allSettled(Array.from({ length: times }, () => stub[method](...args)));
        return Response.json(results[0].value ?? null);
      } };`,
  },
  config: {
    name: "metered",
    durable_objects: { bindings: Object.keys(classes).map((name) => ({ name, class_name: name })) },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Meter", "Other"], new_classes: ["Legacy"] }],
  },
});

async function call(path: string): Promise<unknown> {
  const response = await platform.fetch(`${worker.url}/${path}`);
  assert.equal(response.status, 200);
  const text = await response.text();
  return text.startsWith("ten") ? text : JSON.parse(text);
}

const namespaces = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/durable_objects/namespaces`)).body
  .result as { id: string; class: string }[];
const of = (name: keyof typeof classes): string => `namespaceId: "${namespaces.find((one) => one.class === name)?.id}"`;
const sums = async (dataset: string, name: keyof typeof classes, fields: string, more = "") =>
  (await rowsOf(platform, dataset, `${of(name)} ${more}`, "", `sum { ${fields} }`))[0]?.sum as Record<string, number> | undefined;

test("[durable-objects-60] requests, rows and GB-s are counted for the account and the day, and outlive a restart", async () => {
  for (let i = 0; i < 3; i++) await call("Meter");
  await call("Meter/insert?n=20");
  await call("Meter/select?times=4");
  await call("Meter/slowly");
  await call("Meter/pairs");
  await call("Meter/wake");
  await call("Meter/alarmEnded");
  await call("Legacy/pairs");
  // Five calls at a time share the time in which the object is active.
  await call("Meter/wait?n=500&times=5");
  const { read, written } = (await call("Meter/totals")) as { read: number; written: number };
  assert.ok(read > 200 && written > 20, `${read} ${written}`);
  const rows = await sums("durableObjectsPeriodicGroups", "Meter", "rowsRead rowsWritten activeTime duration");
  assert.deepEqual([rows?.rowsRead, rows?.rowsWritten], [read, written]);
  const { activeTime = 0, duration = 0 } = rows ?? {};
  assert.ok(activeTime >= 495_000, `active for ${activeTime} µs`);
  assert.ok(activeTime < 5 * 495_000, `the calls share the time: ${activeTime} µs`);
  assert.ok(Math.abs(duration - (activeTime / 1e6) * 0.128) < 1e-9, `${duration} GB-s`);
  const units = await sums("durableObjectsPeriodicGroups", "Legacy", "rowsRead storageReadUnits storageWriteUnits storageDeletes");
  assert.deepEqual(units, { rowsRead: 0, storageReadUnits: 4, storageWriteUnits: 4, storageDeletes: 2 });

  const account = async () =>
    (
      await askAnalytics(
        platform,
        `query($a: String!, $from: Date!) { viewer { accounts(filter: { accountTag: $a }) {
           requests: durableObjectsInvocationsAdaptiveGroups(filter: { date_geq: $from }, limit: 10) { sum { requests } }
           used: durableObjectsPeriodicGroups(filter: { date_geq: $from }, limit: 10) { sum { rowsRead rowsWritten duration } }
         } } }`,
        { a: platform.ready.account_id, from: new Date(Date.now() - 86_400_000).toISOString().slice(0, 10) },
      )
    ).data?.viewer.accounts[0];
  const before = await account();
  assert.deepEqual(before?.requests?.[0]?.sum, { requests: 3 + 1 + 4 + 1 + 1 + 1 + 1 + 1 + 5 + 1 + 1 });
  const used = { ...(before?.used?.[0]?.sum as Record<string, number>) };
  assert.ok((used.duration as number) >= duration, `${used.duration} GB-s`);
  assert.deepEqual(used, { ...used, rowsRead: read, rowsWritten: written });
  // Counted since the last reading, which a clean stop has to make.
  await call("Meter/insert?n=7");
  await platform.stop();
  await platform.restart();
  const { rowsWritten } = (await sums("durableObjectsPeriodicGroups", "Meter", "rowsWritten")) as Record<string, number>;
  assert.equal(rowsWritten, written + 7);
});

test("[durable-objects-52] the four datasets answer sums that match the traffic", async () => {
  const types = async () => {
    const rows = await rowsOf(
      platform,
      "durableObjectsInvocationsAdaptiveGroups",
      `${of("Meter")} scriptName: "metered"`,
      "orderBy: [type_ASC, status_ASC]",
      "sum { requests errors responseBodySize } dimensions { type status }",
    );
    return Object.fromEntries(
      rows.map(({ sum, dimensions }) => [Object.values(dimensions as Record<string, string>).join(" "), sum as Record<string, number>]),
    );
  };
  const before = await types();
  const used = (await sums("durableObjectsPeriodicGroups", "Meter", "cpuTime activeTime")) as Record<string, number>;
  for (let i = 0; i < 2; i++) await call("Meter");
  await call("Meter/fail");
  await call("Meter/ask");
  await call("Meter/spin?n=200");
  const socket = platform.webSocket(`${worker.url.replace("http", "ws")}/Meter`);
  await once(socket, "open");
  for (const word of ["one", "two", "three"]) {
    socket.send(word);
    await once(socket, "message");
  }
  socket.close(1000);
  await once(socket, "close");
  const now = await types();
  const grown = (key: string): number[] =>
    ["requests", "errors", "responseBodySize"].map((sum) => (now[key]?.[sum] ?? 0) - (before[key]?.[sum] ?? 0));
  assert.deepEqual(grown("fetch success"), [3, 0, 20]);
  assert.deepEqual(grown("jsrpc scriptThrewException"), [1, 1, 0]);
  assert.deepEqual(grown("jsrpc success"), [2, 0, 0]);
  assert.deepEqual(grown("webSocketMessage success"), [3, 0, 0]);
  assert.deepEqual(grown("webSocketClose success"), [1, 0, 0]);
  assert.deepEqual(now["alarm success"], { requests: 1, errors: 0, responseBodySize: 0 });
  assert.equal((await sums("durableObjectsInvocationsAdaptiveGroups", "Other", "requests"))?.requests, 3);

  const since = (await sums("durableObjectsPeriodicGroups", "Meter", "cpuTime activeTime")) as Record<string, number>;
  const cpu = (since.cpuTime as number) - (used.cpuTime as number);
  const active = (since.activeTime as number) - (used.activeTime as number);
  assert.ok(active >= 195_000 && cpu > 0 && cpu <= active, `${cpu} µs of CPU time in ${active} µs`);
  assert.deepEqual(await sums("durableObjectsSubrequestsAdaptiveGroups", "Meter", "requests"), { requests: 3 });
  assert.equal(await sums("durableObjectsSubrequestsAdaptiveGroups", "Other", "requests"), undefined);
  const [stored] = await rowsOf(platform, "durableObjectsStorageGroups", "", "", "max { storedBytes }");
  const most = { ...(stored?.max as Record<string, number>) };
  assert.ok((most.storedBytes as number) > 20_000, JSON.stringify(most));
});

test("thousands of calls in one request are all answered and counted", async () => {
  const requests = async () => (await sums("durableObjectsInvocationsAdaptiveGroups", "Other", "requests"))?.requests ?? 0;
  const before = await requests();
  await call("Other/nothing?times=6000");
  assert.equal((await requests()) - before, 6000);
});
