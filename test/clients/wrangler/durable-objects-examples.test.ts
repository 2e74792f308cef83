/**
 * The documentation's examples of Durable Objects that other files do not run, each as a lean Worker of its own kind:
 * batches by alarm, time to live, state in memory, a name by an init method, KV from an object, booking of seats.
 * Counters, streams, WebSocket servers and SQL are in the other files here; the one that needs the agents package is not run.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const namespace = (await platform.rest("POST", `/accounts/${platform.ready.account_id}/storage/kv/namespaces`, { title: "places" })).body
  .result;
const classes = ["Batcher", "Mayfly", "Location", "Named", "Copier", "Flight"];

const examples = await uploadedWorker(platform, {
  files: {
    "index.js": `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
      // Collects what is posted; an alarm sends all of it at once.
      export class Batcher extends DurableObject {
        constructor(ctx, env) {
          super(ctx, env);
          ctx.blockConcurrencyWhile(async () => {
            const [last] = await ctx.storage.list({ reverse: true, limit: 1 });
            this.count = last === undefined ? 0 : Number.parseInt(last[0]);
          });
        }
        async fetch(request) {
          this.count++;
          if ((await this.ctx.storage.getAlarm()) === null) this.ctx.storage.setAlarm(Date.now() + 2000);
          await this.ctx.storage.put(String(this.count), await request.text());
          return Response.json({ queued: this.count });
        }
        async alarm() {
          const values = await this.ctx.storage.list();
          await this.env.PLACES.put("batch", [...values.values()].join(","));
          await this.ctx.storage.deleteAll();
          this.count = 0;
        }
      }
      // Lives for a while after the last request.
      export class Mayfly extends DurableObject {
        async fetch() {
          await this.ctx.storage.setAlarm(Date.now() + 600);
          const visits = ((await this.ctx.storage.get("visits")) ?? 0) + 1;
          await this.ctx.storage.put("visits", visits);
          return Response.json({ visits });
        }
        async alarm() { await this.ctx.storage.deleteAll(); }
        async left() { return { keys: (await this.ctx.storage.list()).size, alarm: await this.ctx.storage.getAlarm() }; }
      }
      export class Location extends DurableObject {
        location = null;
        fetch(request) {
          const before = this.location;
          this.location = new URL(request.url).searchParams.get("city");
          return Response.json({ before, now: this.location });
        }
      }
      // Is told its name once, and knows it in its alarm too.
      export class Named extends DurableObject {
        async init(name) { await this.ctx.storage.put("name", name); }
        async whoami() { return { stored: await this.ctx.storage.get("name"), id: String(this.ctx.id) }; }
      }
      export class Copier extends DurableObject {
        async fetch() {
          await this.env.PLACES.put("copied", "by an object");
          return new Response(await this.env.PLACES.get("copied"));
        }
      }
      export class Flight extends DurableObject {
        sql = this.ctx.storage.sql;
        constructor(ctx, env) {
          super(ctx, env);
          this.sql.exec("CREATE TABLE IF NOT EXISTS seats (seatId TEXT PRIMARY KEY, occupant TEXT)");
          for (let row = 1; row <= 3; row++) for (const letter of "AB") this.sql.exec("INSERT OR IGNORE INTO seats VALUES (?, NULL)", row + letter);
        }
        seats() { return this.sql.exec("SELECT seatId, occupant FROM seats ORDER BY seatId").toArray(); }
        book(seat, occupant) {
          const [found] = this.sql.exec("SELECT occupant FROM seats WHERE seatId = ?", seat).toArray();
          if (found === undefined || found.occupant !== null) return { message: "Seat not available", status: 400 };
          this.sql.exec("UPDATE seats SET occupant = NULL WHERE occupant = ?", occupant);
          this.sql.exec("UPDATE seats SET occupant = ? WHERE seatId = ?", occupant, seat);
          for (const socket of this.ctx.getWebSockets()) socket.send(JSON.stringify(this.seats()));
          return { message: "Seat " + seat + " booked successfully", status: 200 };
        }
        fetch() {
          const [client, server] = Object.values(new WebSocketPair());
          this.ctx.acceptWebSocket(server);
          return new Response(null, { status: 101, webSocket: client });
        }
      }
      export default { async fetch(request, env) {
        const [, type, name, method, ...args] = new URL(request.url).pathname.split("/");
        const stub = env[type].getByName(name);
        if (method === undefined) return stub.fetch(request);
        return Response.json((await stub[method](...args)) ?? null);
      } };`,
  },
  config: {
    name: "examples",
    kv_namespaces: [{ binding: "PLACES", id: namespace.id }],
    durable_objects: { bindings: classes.map((name) => ({ name, class_name: name })) },
    migrations: [{ tag: "v1", new_sqlite_classes: classes }],
  },
});

// biome-ignore lint/suspicious/noExplicitAny: answers of the Worker above.
async function json(path: string, body?: string): Promise<any> {
  const response = await platform.fetch(`${examples.url}${path}`, body === undefined ? {} : { method: "POST", body });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

async function eventually<T>(read: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (const deadline = Date.now() + 20_000; ; ) {
    const value = await read();
    if (wanted(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("alarms: what is posted goes on in one batch, and the next one begins anew; a copy in KV is read by everybody", async () => {
  const queued = [];
  for (const text of ["a", "b", "c"]) queued.push((await json("/Batcher/foo", text)).queued);
  assert.deepEqual(queued, [1, 2, 3]);
  const kv = platform.sdk().kv.namespaces.values;
  const at = { account_id: platform.ready.account_id, namespace_id: namespace.id };
  const read = async (key: string) =>
    kv.get(key, at).then(
      (value) => value.text(),
      () => "",
    );
  assert.match(
    await eventually(
      () => read("batch"),
      (batch) => batch !== "",
    ),
    /^a(,b(,c)?)?$/,
  );
  await platform.fetch(`${examples.url}/Copier/one`);
  assert.equal(await read("copied"), "by an object");
});

test("time to live: an object forgets everything some time after its last request", async () => {
  await json("/Mayfly/one");
  await json("/Mayfly/one");
  const left = await eventually(
    () => json("/Mayfly/one/left"),
    ({ keys }) => keys === 0,
  );
  assert.deepEqual(left, { keys: 0, alarm: null });
  assert.deepEqual(await json("/Mayfly/one"), { visits: 1 });
});

test("state in memory lasts between requests; an object knows the name that it was told", async () => {
  assert.deepEqual(await json("/Location/A?city=Lisbon"), { before: null, now: "Lisbon" });
  assert.deepEqual(await json("/Location/A?city=Porto"), { before: "Lisbon", now: "Porto" });
  await json("/Named/ada/init/ada");
  assert.equal((await json("/Named/ada/whoami")).stored, "ada");
});

test("seat booking: a seat is given once, a passenger moves, and everybody who watches sees it", async () => {
  const watcher = platform.webSocket(`${examples.url.replace("http", "ws")}/Flight/FL-1`);
  await once(watcher, "open");
  const heard = once(watcher, "message");
  const [first, second] = await Promise.all([json("/Flight/FL-1/book/1A/ada"), json("/Flight/FL-1/book/1A/bob")]);
  assert.deepEqual([first.status, second.status].sort(), [200, 400]);
  const seats = JSON.parse(String((await heard)[0])) as { seatId: string; occupant: string | null }[];
  assert.equal(seats.filter(({ occupant }) => occupant !== null).length, 1);
  const winner = seats.find(({ occupant }) => occupant !== null)?.occupant;
  assert.equal((await json(`/Flight/FL-1/book/2B/${winner}`)).message, "Seat 2B booked successfully");
  assert.equal((await json("/Flight/FL-1/book/9Z/ada")).status, 400);
  const after = (await json("/Flight/FL-1/seats")) as typeof seats;
  assert.deepEqual(
    after.filter(({ occupant }) => occupant !== null),
    [{ seatId: "2B", occupant: winner }],
  );
  assert.equal((await json("/Flight/FL-2/seats")).length, 6);
  watcher.close();
});
