/** Durable Objects of other Workers: bindings with `script_name`, environments, renames and transfers between scripts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import type { WebSocket } from "ws";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker, type WorkerProject, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
async function json(url: string): Promise<any> {
  const response = await platform.fetch(url);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

const COUNTER = `
  import { DurableObject, RpcTarget } from "cloudflare:workers";
  class Part extends RpcTarget { hello() { return "hello from a part"; } }
  export class Counter extends DurableObject {
    log = [];
    increment() { const n = (this.ctx.storage.kv.get("n") ?? 0) + 1; this.ctx.storage.kv.put("n", n); return n; }
    note(value) { this.log.push(value); }
    notes() { return this.log; }
    fail() { throw new RangeError("no such thing"); }
    apply(callback) { return callback(20); }
    part() { return new Part(); }
    stream() { return new Response("streamed").body; }
    secret() { return this.env.SECRET; }
    get key() { return this.ctx.id.toString(); }
    fetch(request) {
      if (request.headers.get("upgrade") !== "websocket") return request.text().then((text) => Response.json({ text, header: request.headers.get("x-mine"), id: this.ctx.id.toString() }));
      const { 0: client, 1: server } = new WebSocketPair();
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    webSocketMessage(ws, message) { ws.send("object says " + message); }
  }`;

const owner = (name: string, className = "Counter"): Parameters<typeof workerProject>[1] => ({
  files: {
    "index.js": `${COUNTER.replaceAll("class Counter", `class ${className}`)}
      export default { async fetch(request, env) { const [, name, method] = new URL(request.url).pathname.split("/"); return Response.json((await env.OBJECTS.getByName(name)[method]()) ?? null); } };`,
  },
  config: {
    name,
    vars: { SECRET: "of the owner" },
    durable_objects: { bindings: [{ name: "OBJECTS", class_name: className }] },
    migrations: [{ tag: "v1", new_sqlite_classes: [className] }],
  },
});

const borrower = (name: string, script: string): Parameters<typeof workerProject>[1] => ({
  files: {
    "index.js": `export default { async fetch(request, env) {
      const url = new URL(request.url), [, name, method] = url.pathname.split("/"), stub = env.OBJECTS.getByName(name);
      if (request.headers.get("upgrade") === "websocket" || method === "fetch") return stub.fetch(request);
      const attempt = async (work) => { try { return await work(); } catch (error) { return { name: error.name, message: error.message, remote: error.remote === true }; } };
      if (method === "tour") {
        using part = await stub.part();
        return Response.json({
          id: env.OBJECTS.idFromName(name).toString(), idThere: await stub.key,
          bindingKind: env.OBJECTS.constructor.name, stubName: stub.name,
          error: await attempt(() => stub.fail()), missing: await attempt(() => stub.missing()),
          callback: await stub.apply((n) => n * 2), part: await part.hello(), pipelined: await stub.part().hello(),
          stream: await new Response(await stub.stream()).text(), secret: await stub.secret(),
        });
      }
      if (method === "order") {
        await Promise.all(Array.from({ length: 100 }, (_, i) => stub.note(i)));
        return Response.json(await stub.notes());
      }
      if (method === "pry") return Response.json(await Promise.all([
        attempt(async () => String(await stub.env)), attempt(async () => String(await stub.ctx)),
        attempt(() => stub.env.OBJECTS.call({ id: "x" }, "increment", [])), attempt(() => stub.alarm()),
      ]));
      if (method === "foreign") return Response.json(await attempt(async () => env.OBJECTS.idFromString("ab".repeat(32)).toString()));
      return Response.json((await stub[method]()) ?? null);
    } };`,
  },
  config: { name, durable_objects: { bindings: [{ name: "OBJECTS", class_name: "Counter", script_name: script }] } },
});

const a = await uploadedWorker(platform, owner("shop"));
const b = await uploadedWorker(platform, borrower("guest", "shop"));

async function message(ws: WebSocket, text: string): Promise<string> {
  if (ws.readyState === ws.CONNECTING) await once(ws, "open");
  ws.send(text);
  const [data] = (await once(ws, "message")) as [Buffer];
  return data.toString();
}

test("[durable-objects-34] a Worker binds another Worker's class and reaches the same objects", async () => {
  assert.equal(await json(`${a.url}/x/increment`), 1);
  assert.equal(await json(`${b.url}/x/increment`), 2);
  assert.equal(await json(`${a.url}/x/increment`), 3);
  const tour = await json(`${b.url}/x/tour`);
  assert.equal(tour.id, tour.idThere);
  assert.deepEqual(
    { ...tour, id: undefined, idThere: undefined },
    {
      id: undefined,
      idThere: undefined,
      bindingKind: "DurableObjectNamespace",
      stubName: "x",
      error: { name: "RangeError", message: "no such thing", remote: true },
      missing: { name: "TypeError", message: 'The RPC receiver does not implement the method "missing".', remote: true },
      callback: 40,
      part: "hello from a part",
      pipelined: "hello from a part",
      stream: "streamed",
      secret: "of the owner",
    },
  );
  const order = (await json(`${b.url}/ordered/order`)) as number[];
  assert.deepEqual(
    order,
    Array.from({ length: 100 }, (_, i) => i),
  );
  const response = await platform.fetch(`${b.url}/x/fetch`, {
    method: "POST",
    body: "a body",
    headers: { "x-mine": "1", "x-freehold-object": "{}" },
  });
  assert.deepEqual(await response.json(), { text: "a body", header: "1", id: tour.id });
  const socket = await platform.webSocket(`${b.url}/x/socket`);
  assert.equal(await message(socket, "hi"), "object says hi");
  socket.close();
});

test("a binding to another Worker's objects leads to nothing but these objects", async () => {
  const refused = (await json(`${b.url}/x/pry`)) as { name?: string; message?: string }[];
  for (const [i, result] of refused.entries())
    assert.match(String(result.message), /does not implement|not a function|reserved method/, `attempt ${i}`);
  assert.match((await json(`${b.url}/x/foreign`)).message, /Durable Object ID|not for this Durable Object class/);
});

test("a binding to a class or a Worker that does not exist is refused by name", async () => {
  const lost = await workerProject(platform, borrower("lost", "nobody"));
  const result = await lost.wrangler(["deploy"], { code: "any" });
  assert.notEqual(result.code, 0);
  assert.match(
    result.stdout + result.stderr,
    /class 'Counter' of script 'nobody' because it is not currently configured.*\[code: 10061\]/s,
  );
});

test("a borrower's calls go on after the owner was deployed anew", async () => {
  const before = (await json(`${b.url}/x/increment`)) as number;
  await a.deploy();
  assert.equal(await json(`${b.url}/x/increment`), before + 1);
});

test("[durable-objects-35] an environment has objects of its own", async () => {
  const project = owner("shop");
  const { durable_objects, vars } = project.config as Record<string, unknown>;
  const staged = await workerProject(platform, {
    ...project,
    config: { ...project.config, env: { staging: { durable_objects, vars } } },
  });
  await staged.deploy(["--env", "staging"]);
  const url = staged.url.replace("//shop.", "//shop-staging.");
  assert.equal(await json(`${url}/x/increment`), 1);
  assert.notEqual(await json(`${url}/x/increment`), await json(`${a.url}/x/increment`));
  const guest = borrower("staging-guest", "shop");
  const config = {
    ...guest.config,
    durable_objects: { bindings: [{ name: "OBJECTS", class_name: "Counter", script_name: "shop", environment: "staging" }] },
  };
  const c = await uploadedWorker(platform, { ...guest, config });
  assert.equal(await json(`${c.url}/x/increment`), 3);
});

async function rewrite(project: WorkerProject, options: Parameters<typeof workerProject>[1]): Promise<void> {
  await project.write({
    ...options.files,
    "wrangler.json": JSON.stringify({ main: "index.js", compatibility_date: "2026-11-01", ...options.config }),
  });
  await project.deploy();
}

test("[durable-objects-37] a rename keeps the data, and bindings of other Workers follow", async () => {
  const before = (await json(`${b.url}/renamed/increment`)) as number;
  const renamed = owner("shop", "Tally");
  const migrations = [
    { tag: "v1", new_sqlite_classes: ["Counter"] },
    { tag: "v2", renamed_classes: [{ from: "Counter", to: "Tally" }] },
  ];
  await rewrite(a, { ...renamed, config: { ...renamed.config, migrations } });
  assert.equal(await json(`${a.url}/renamed/increment`), before + 1);
  assert.equal(await json(`${b.url}/renamed/increment`), before + 2);
  // The old name still leads there when the borrower is deployed again.
  await b.deploy();
  assert.equal(await json(`${b.url}/renamed/increment`), before + 3);
});

test("[durable-objects-38] a transfer moves the objects to another script; all bindings follow", async () => {
  const source = await uploadedWorker(platform, owner("source"));
  const guest = await uploadedWorker(platform, borrower("source-guest", "source"));
  assert.equal(await json(`${source.url}/x/increment`), 1);
  assert.equal(await json(`${guest.url}/x/increment`), 2);
  const target = owner("target", "Moved");
  const migrations = [{ tag: "v1", transferred_classes: [{ from: "Counter", from_script: "source", to: "Moved" }] }];
  const moved = await deployWorker(platform, {
    ...target,
    config: { ...target.config, migrations, vars: { SECRET: "of the target" } },
  });
  assert.equal(await json(`${moved.url}/x/increment`), 3);
  assert.equal(await json(`${guest.url}/x/increment`), 4);
  assert.equal(await json(`${source.url}/x/increment`), 5);
  assert.equal(await json(`${guest.url}/x/secret`), "of the target");
  assert.equal(await json(`${source.url}/x/secret`), "of the target");
  const again = await workerProject(platform, {
    ...owner("thief"),
    config: {
      ...owner("thief").config,
      migrations: [{ tag: "v1", transferred_classes: [{ from: "Counter", from_script: "source", to: "Counter" }] }],
    },
  });
  const refused = await again.wrangler(["deploy"], { code: "any" });
  assert.match(refused.stdout + refused.stderr, /\[code: 10071\]/);
  await platform.kill9();
  await platform.restart();
  assert.equal(await json(`${guest.url}/x/increment`), 6);
});
