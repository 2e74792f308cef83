/** Durable Objects when their code is updated, and in jurisdictions. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

const objects = (...names: string[]) => ({
  durable_objects: { bindings: names.map((name) => ({ name, class_name: name })) },
  migrations: [{ tag: "v1", new_sqlite_classes: names }],
});

const RESET = "Durable Object reset because its code was updated.";

test("[durable-objects-42] a code update ends what still runs with the documented error, closes WebSockets and keeps storage", async () => {
  const source = (version: number): string => `import { DurableObject } from "cloudflare:workers";
    export class Running extends DurableObject {
      async run() { await this.ctx.storage.put("started", true); await scheduler.wait(60_000); return "ended by itself"; }
      async state() { return { version: ${version}, started: await this.ctx.storage.get("started") }; }
      async fetch(request) {
        const { 0: client, 1: server } = new WebSocketPair();
        this.ctx.acceptWebSocket(server);
        return new Response(null, { status: 101, webSocket: client });
      }
      webSocketMessage(ws, message) { ws.send("${version}: " + message); }
    }
    export default { async fetch(request, env) {
      const { pathname } = new URL(request.url);
      const stub = env.Running.getByName("a");
      if (pathname === "/socket") return stub.fetch(request);
      if (pathname === "/state") return Response.json(await stub.state());
      try { return new Response(await stub.run()); }
      catch (error) { return Response.json({ message: error.message, overloaded: error.overloaded ?? false }); }
    } };`;
  const project = await uploadedWorker(platform, { files: { "index.js": source(1) }, config: { name: "updated", ...objects("Running") } });
  const socket = platform.webSocket(`${project.url.replace("http", "ws")}/socket`);
  await once(socket, "open");
  socket.send("hello");
  assert.equal(String((await once(socket, "message"))[0]), "1: hello");
  const closed = once(socket, "close");
  const running = platform.fetch(`${project.url}/run`);
  const state = async () => (await platform.fetch(`${project.url}/state`)).json();
  while (!((await state()) as { started?: boolean }).started) await new Promise((resolve) => setTimeout(resolve, 20));
  await project.write({ "index.js": source(2) });
  await project.deploy();
  assert.deepEqual(await (await running).json(), { message: RESET, overloaded: false });
  await closed;
  assert.deepEqual(await state(), { version: 2, started: true });
});

test("[durable-objects-45] a jurisdiction has ids and objects of its own, and refuses those of another", async () => {
  const source = `import { DurableObject } from "cloudflare:workers";
    export class Located extends DurableObject {
      async add() { const n = ((await this.ctx.storage.get("n")) ?? 0) + 1; await this.ctx.storage.put("n", n); return n; }
      self() { return this.ctx.id.toString(); }
    }
    export default { async fetch(request, env) {
      const { Located: whole } = env;
      const eu = whole.jurisdiction("eu");
      const fedramp = whole.jurisdiction("fedramp");
      const attempt = (work) => { try { work(); return "works"; } catch (error) { return error.name + ": " + error.message; } };
      const [plain, inEu, inFedramp] = [whole, eu, fedramp].map((namespace) => namespace.idFromName("same"));
      const unique = whole.newUniqueId({ jurisdiction: "eu" });
      return Response.json({
        ids: [plain, inEu, inFedramp, unique].map(String),
        equal: plain.equals(inEu),
        again: eu.idFromName("same").equals(inEu),
        own: [await whole.get(plain).add(), await eu.get(inEu).add(), await eu.getByName("same").add(), await fedramp.get(inFedramp).add()],
        inside: (await eu.get(inEu).self()) === inEu.toString(),
        // A namespace without a jurisdiction leads to all objects.
        fromWhole: [await whole.get(inEu).add(), await whole.get(whole.idFromString(inEu.toString())).add(), await eu.get(unique).add(), await whole.get(unique).add()],
        refused: [
          attempt(() => eu.get(plain)), attempt(() => eu.get(inFedramp)), attempt(() => eu.idFromString(plain.toString())),
          attempt(() => eu.idFromString(inFedramp.toString())), attempt(() => whole.jurisdiction("moon")), attempt(() => whole.idFromString("0".repeat(64))),
        ],
      });
    } };`;
  const project = await uploadedWorker(platform, { files: { "index.js": source }, config: { name: "located", ...objects("Located") } });
  const answer = (await (await platform.fetch(project.url)).json()) as Record<string, unknown[]>;
  const ids = answer.ids as string[];
  assert.equal(new Set(ids).size, 4);
  assert.deepEqual([answer.equal, answer.again, answer.inside], [false, true, true]);
  assert.deepEqual(answer.own, [1, 1, 2, 1]);
  assert.deepEqual(answer.fromWhole, [3, 4, 1, 2]);
  const refused = answer.refused as string[];
  for (const text of refused) assert.match(text, /^TypeError: /);
  assert.match(refused[0] as string, /different jurisdiction/);
  assert.match(refused[4] as string, /moon/);

  const borrowing = {
    "index.js": `export default { async fetch(request, env) {
      const eu = env.Theirs.jurisdiction("eu");
      return Response.json([eu.idFromName("same").toString(), await eu.getByName("same").add(), await env.Theirs.getByName("same").add()]);
    } };`,
  };
  const bindings = [{ name: "Theirs", class_name: "Located", script_name: "located" }];
  const borrower = await uploadedWorker(platform, { files: borrowing, config: { name: "borrowing", durable_objects: { bindings } } });
  assert.deepEqual(await (await platform.fetch(borrower.url)).json(), [ids[1], 5, 2], "the same objects from another Worker");

  const base = `/accounts/${platform.ready.account_id}/workers/durable_objects/namespaces`;
  const { id } = (await platform.rest("GET", base)).body.result.find((one: { class: string }) => one.class === "Located");
  const listed = (await platform.rest("GET", `${base}/${id}/objects`)).body.result.map((one: { id: string }) => one.id);
  assert.deepEqual(listed.sort(), [...ids].sort());
});
