/** Gradual deployments of a Worker with Durable Objects: every object has one version, and never two instances. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

/** Answers of a Worker with its version's name, and those of an object with the object's. */
const source = (version: string): string => `
  import { DurableObject } from "cloudflare:workers";
  export class Counter extends DurableObject {
    memory = 0;
    instance = crypto.randomUUID();
    async add() {
      const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
      await this.ctx.storage.put("n", n);
      return { n, version: "${version}", instance: this.instance, name: this.ctx.id.name ?? null };
    }
    async wake(after) { await this.ctx.storage.setAlarm(Date.now() + after); }
    async alarm() { await this.ctx.storage.put("alarm", "${version}"); }
    async woken() { return { alarm: (await this.ctx.storage.get("alarm")) ?? null, next: await this.ctx.storage.getAlarm() }; }
    fetch(request) {
      if (request.headers.get("upgrade") !== "websocket") return Response.json({ version: "${version}" });
      const { 0: client, 1: server } = new WebSocketPair();
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    webSocketMessage(ws, message) { ws.send("${version} heard " + message); }
  }
  export default { async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const [, how, name, method] = url.pathname.split("/");
    const namespace = how === "exports" ? ctx.exports.Counter : env.OBJECTS;
    const stub = namespace.getByName(name);
    if (method === "fetch") return stub.fetch(request);
    const object = await stub[method](...url.searchParams.getAll("arg").map(Number));
    return Response.json({ by: "${version}", object });
  } };`;

interface Answer {
  readonly by: string;
  readonly object: { readonly n: number; readonly version: string; readonly instance: string; readonly name: string };
}

const NAMESPACES = `/accounts/${platform.ready.account_id}/workers/durable_objects/namespaces`;
const namespace = async (): Promise<string> => ((await platform.rest("GET", NAMESPACES)).body.result as { id: string }[])[0]?.id as string;

const NAMES = Array.from({ length: 40 }, (_, i) => `object-${i}`);

test("[durable-objects-41] in a gradual deployment each object keeps the one version that its id gives it", async (t) => {
  const project = await deployWorker(platform, {
    files: { "index.js": source("A") },
    config: {
      name: "shared",
      compatibility_date: "2026-11-01",
      durable_objects: { bindings: [{ name: "OBJECTS", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
    },
  });
  const neighbour = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        return Response.json({ by: "neighbour", object: await env.OBJECTS.getByName(new URL(request.url).pathname.slice(1)).add() });
      } };`,
    },
    config: { name: "neighbour", durable_objects: { bindings: [{ name: "OBJECTS", class_name: "Counter", script_name: "shared" }] } },
  });
  async function ask<T>(url: string): Promise<T> {
    const response = await platform.fetch(url);
    const body = await response.text();
    assert.equal(response.status, 200, body);
    return JSON.parse(body) as T;
  }
  const add = (name: string, how = "env"): Promise<Answer> => ask(`${project.url}/${how}/${name}/add`);
  const idOf = (stdout: string): string =>
    /Worker Version ID: ([0-9a-f-]{36})|Current Version ID: ([0-9a-f-]{36})/.exec(stdout)?.slice(1).find(Boolean) as string;
  async function split(...versions: { version_id: string; percentage: number }[]): Promise<void> {
    const path = `/accounts/${platform.ready.account_id}/workers/scripts/shared/deployments`;
    const { status, body } = await platform.rest("POST", path, { strategy: "percentage", versions });
    assert.equal(status, 200, JSON.stringify(body));
  }

  /** Of each object: what it counted to, in whichever of the ways it was reached. */
  const counts = new Map<string, number>();
  /** Reaches every object some times in several ways at once, and gives the version of each. */
  async function versions(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const callers = new Set<string>();
    await Promise.all(
      NAMES.map(async (name) => {
        const answers = await Promise.all([add(name), add(name), add(name, "exports"), add(name), ask<Answer>(`${neighbour.url}/${name}`)]);
        const { instance, version } = (answers[0] as Answer).object;
        for (const { by, object } of answers) {
          callers.add(by);
          assert.deepEqual([object.instance, object.version, object.name], [instance, version, name]);
        }
        const before = counts.get(name) ?? 0;
        // Every call counted once: one instance, and what was stored before is there.
        assert.deepEqual(answers.map(({ object }) => object.n - before).sort(), [1, 2, 3, 4, 5]);
        counts.set(name, before + 5);
        found.set(name, version);
      }),
    );
    t.diagnostic(`callers: ${[...callers].sort().join(", ")}; objects of B: ${[...found.values()].filter((one) => one === "B").length}`);
    return found;
  }
  const of = (found: ReadonlyMap<string, string>, version: string): string[] => NAMES.filter((name) => found.get(name) === version);

  assert.equal(of(await versions(), "A").length, NAMES.length);
  const a = JSON.parse((await project.wrangler(["deployments", "status", "--json"])).stdout).versions[0].version_id as string;
  await project.write({ "index.js": source("B") });
  const b = idOf((await project.wrangler(["versions", "upload"])).stdout);
  for (const name of NAMES) await ask(`${project.url}/env/${name}/wake?arg=3600000`);

  await project.wrangler(["versions", "deploy", `${b}@30%`, `${a}@70%`, "-y"]);
  const third = await versions();
  assert(of(third, "A").length > 0 && of(third, "B").length > 0, JSON.stringify([...third]));
  assert.deepEqual(await versions(), third);
  // Alarms that were set before are due in the version that has the object now.
  for (const name of NAMES)
    assert.notEqual((await ask<{ object: { next: number | null } }>(`${project.url}/env/${name}/woken`)).object.next, null);

  await platform.kill9();
  await platform.restart();
  assert.deepEqual(await versions(), third);

  // A version that grows keeps its objects; a request under way at any time counts once.
  const seen = new Map<string, Set<number>>(NAMES.slice(0, 4).map((name) => [name, new Set()]));
  let done = false;
  const load = Promise.all(
    [...seen].map(async ([name, values]) => {
      while (!done) {
        const response = await platform.fetch(`${project.url}/env/${name}/add`);
        // A call that a new deployment broke off says so; it may have counted.
        if (response.status !== 200) {
          await response.body?.cancel();
          continue;
        }
        const { object } = (await response.json()) as Answer;
        assert(!values.has(object.n), `${name} counted to ${object.n} twice`);
        values.add(object.n);
        await delay(5);
      }
    }),
  );
  await split({ version_id: b, percentage: 70 }, { version_id: a, percentage: 30 });
  done = true;
  await load;
  for (const name of seen.keys()) counts.set(name, (await add(name)).object.n);
  const most = await versions();
  for (const name of of(third, "B")) assert.equal(most.get(name), "B");
  assert(of(most, "A").length > 0 && of(most, "B").length > of(third, "B").length);
  for (const version of ["A", "B"]) await ask(`${project.url}/env/${of(most, version)[0]}/wake?arg=100`);
  for (const version of ["A", "B"]) {
    const [name] = of(most, version);
    for (;;) {
      const { object } = await ask<{ object: { alarm: string | null } }>(`${project.url}/env/${name}/woken`);
      if (object.alarm === version) break;
      assert.equal(object.alarm, null);
      await delay(50);
    }
    // Its sockets and its database are where it is, whichever version takes the request.
    const socket = platform.webSocket(`${project.url.replace("http", "ws")}/env/${name}/fetch`);
    const heard = new Promise<string>((resolve, reject) => socket.once("message", (data) => resolve(String(data))).once("error", reject));
    socket.once("open", () => socket.send("this"));
    assert.equal(await heard, `${version} heard this`);
    socket.close();
    const { body } = await platform.rest("POST", `${NAMESPACES}/${await namespace()}/query`, {
      durable_object_name: name,
      queries: [{ sql: "SELECT 1" }],
    });
    assert.equal(body.success, true, JSON.stringify(body));
    assert.equal((body.result as { rows: unknown[] }[])[0]?.rows.length, 1);
  }
  const { body } = await platform.rest("GET", `${NAMESPACES}/${await namespace()}/objects`);
  assert.equal((body.result as unknown[]).length, NAMES.length);

  await split({ version_id: b, percentage: 100 });
  assert.equal(of(await versions(), "B").length, NAMES.length);
  for (const name of NAMES.slice(4)) {
    const { object } = await ask<{ object: { alarm: string | null; next: number | null } }>(`${project.url}/env/${name}/woken`);
    assert(object.next !== null || object.alarm !== null);
  }
});
