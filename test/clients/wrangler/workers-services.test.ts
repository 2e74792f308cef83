/** Service bindings between Workers in different processes: fetch, RPC, entrypoints, props, lifetimes, deploys under load. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const json = async (url: string): Promise<unknown> => {
  const response = await platform.fetch(url);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
};

const callee = `
import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
class Counter extends RpcTarget {
  #n = 0;
  add(by) { this.#n += by; return this.#n; }
}
export default class extends WorkerEntrypoint {
  hidden = "an instance property";
  async fetch(request) {
    return Response.json({ url: request.url, method: request.method, body: await request.text(), cf: request.cf?.note ?? null, header: request.headers.get("x-test") });
  }
  add(a, b) { return a + b; }
  get getter() { return "from a getter"; }
  counter() { return new Counter(); }
  // Stubs in parameters end with the call; a duplicate lives until it is disposed.
  keep(target) {
    const copy = target.dup();
    this.ctx.waitUntil((async () => {
      await scheduler.wait(50);
      await copy.note("used after the call");
      copy[Symbol.dispose]();
    })());
    return "kept";
  }
  async callBack(f) { return (await f("asked")) + "!"; }
  fail() { throw new TypeError("callee failed"); }
  stream() { return new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("streamed")); c.close(); } }); }
}
export class Admin extends WorkerEntrypoint {
  who() { return { props: this.ctx.props, role: "admin" }; }
  fetch() { return new Response("admin " + JSON.stringify(this.ctx.props)); }
}
`;

await uploadedWorker(platform, { files: { "index.js": callee }, config: { name: "callee", workers_dev: false } });

test("[workers-12] a service binding reaches a Worker that has no public URL", async () => {
  const caller = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        return env.B.fetch("https://inner.example/path?q=1", { method: "POST", body: "payload", headers: { "x-test": "yes" }, cf: { note: "from the caller" } });
      } }`,
    },
    config: { name: "caller-fetch", services: [{ binding: "B", service: "callee" }] },
  });
  assert.deepEqual(await json(caller.url), {
    url: "https://inner.example/path?q=1",
    method: "POST",
    body: "payload",
    cf: "from the caller",
    header: "yes",
  });
  assert.equal((await platform.fetch(platform.host("workers", { worker: "callee", subdomain: "dev" }))).status, 404);
});

test("[workers-13, workers-14, workers-15] RPC: methods, getters, stubs, callbacks, disposal, errors and visibility", async () => {
  const caller = await uploadedWorker(platform, {
    files: {
      "index.js": `import { RpcTarget } from "cloudflare:workers";
        export default { async fetch(request, env) {
        const { B } = env;
        const counter = await B.counter();
        const copy = counter.dup();
        const counted = [await counter.add(2), await copy.add(3)];
        counter[Symbol.dispose]();
        const stillThere = await copy.add(1);
        copy[Symbol.dispose]();
        const events = [];
        const { promise: disposed, resolve } = Promise.withResolvers();
        class Target extends RpcTarget {
          note(text) { events.push(text); }
          [Symbol.dispose]() { events.push("disposed"); resolve(); }
        }
        events.push(await B.keep(new Target()));
        await disposed;
        let error;
        try { await B.fail(); } catch (e) { error = { name: e.name, message: e.message, type: e instanceof TypeError }; }
        let hidden;
        try { hidden = String(await B.hidden); } catch (e) { hidden = e.constructor.name + ": " + e.message; }
        let text = "";
        for await (const chunk of await B.stream()) text += new TextDecoder().decode(chunk);
        return Response.json({ sum: await B.add(1, 2), getter: await B.getter, counted, stillThere, events,
          called: await B.callBack((word) => "you " + word), error, hidden, text, pipelined: await B.counter().add(7) });
      } }`,
    },
    config: { name: "caller-rpc", services: [{ binding: "B", service: "callee" }] },
  });
  const result = (await json(caller.url)) as Record<string, unknown>;
  assert.match(String(result.hidden), /^(undefined|TypeError: .*does not implement|TypeError: )/);
  delete result.hidden;
  assert.deepEqual(result, {
    sum: 3,
    getter: "from a getter",
    counted: [2, 5],
    stillThere: 6,
    events: ["kept", "used after the call", "disposed"],
    called: "you asked!",
    error: { name: "TypeError", message: "callee failed", type: true },
    text: "streamed",
    pipelined: 7,
  });
});

test("a named entrypoint with props, which callers cannot change", async () => {
  const services = (props: object) => [{ binding: "ADMIN", service: "callee", entrypoint: "Admin", props }];
  const source = `export default { async fetch(request, env) { return Response.json([await env.ADMIN.who(), await (await env.ADMIN.fetch("http://x/")).text()]) } }`;
  const one = await deployWorker(platform, {
    files: { "index.js": source },
    config: { name: "props-one", services: services({ tenant: 1 }) },
  });
  const two = await uploadedWorker(platform, {
    files: { "index.js": source },
    config: { name: "props-two", services: services({ tenant: 2 }) },
  });
  assert.deepEqual(await json(one.url), [{ props: { tenant: 1 }, role: "admin" }, 'admin {"tenant":1}']);
  assert.deepEqual(await json(two.url), [{ props: { tenant: 2 }, role: "admin" }, 'admin {"tenant":2}']);
});

test("an entrypoint that the target does not export is refused", async () => {
  await assert.rejects(
    uploadedWorker(platform, {
      files: { "index.js": "export default { fetch() {} }" },
      config: { name: "bad-entry", services: [{ binding: "X", service: "callee", entrypoint: "Nope" }] },
    }),
    /has no entrypoint named 'Nope'/,
  );
});

test("a Worker binds itself, and two Workers bind each other", async () => {
  const selfish = await uploadedWorker(platform, {
    files: {
      "index.js": `import { WorkerEntrypoint } from "cloudflare:workers";
        export default class extends WorkerEntrypoint {
          async fetch() { return Response.json(await this.env.SELF.twice(21)); }
          twice(n) { return n * 2; }
        }`,
    },
    config: { name: "selfish", services: [{ binding: "SELF", service: "selfish" }] },
  });
  assert.equal(await json(selfish.url), 42);
});

test("a callee's uncaught exception makes fetch() throw, and a callee that is gone too", async () => {
  await uploadedWorker(platform, {
    files: { "index.js": `export default { fetch() { throw new Error("callee broke"); } }` },
    config: { name: "fragile" },
  });
  const caller = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) { try { return await env.B.fetch("http://x/"); } catch (e) { return Response.json({ threw: true }); } } }`,
    },
    config: { name: "caller-fragile", services: [{ binding: "B", service: "fragile" }] },
  });
  assert.deepEqual(await json(caller.url), { threw: true });
  await platform.rest("DELETE", `/accounts/${platform.ready.account_id}/workers/scripts/fragile?force=true`);
  assert.deepEqual(await json(caller.url), { threw: true });
});

test("a WebSocket passes through a service binding", async () => {
  await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch() {
        const [client, server] = Object.values(new WebSocketPair());
        server.accept(); server.addEventListener("message", (e) => server.send("echo " + e.data));
        return new Response(null, { status: 101, webSocket: client }); } }`,
    },
    config: { name: "ws-callee", workers_dev: false },
  });
  const caller = await uploadedWorker(platform, {
    files: { "index.js": `export default { fetch: (request, env) => env.B.fetch(request) }` },
    config: { name: "ws-caller", services: [{ binding: "B", service: "ws-callee" }] },
  });
  const socket = platform.webSocket(caller.url.replace("http", "ws"));
  const answer = await new Promise<string>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => socket.send("hi"));
    socket.on("message", (data) => resolve(String(data)));
    setTimeout(() => reject(new Error("no answer")), 10_000).unref();
  });
  assert.equal(answer, "echo hi");
  socket.close();
});

test("deploys of caller and callee under load fail no request, and calls reach the new code", async () => {
  const calleeSource = (n: number): string => `import { WorkerEntrypoint } from "cloudflare:workers";
    export default class extends WorkerEntrypoint { version() { return ${n}; } fetch() { return new Response("${n}"); } }`;
  const target = await uploadedWorker(platform, { files: { "index.js": calleeSource(0) }, config: { name: "rolling-callee" } });
  const callerSource = `export default { async fetch(request, env) { return Response.json([await env.B.version(), Number(await (await env.B.fetch("http://x/")).text())]) } }`;
  const caller = await uploadedWorker(platform, {
    files: { "index.js": callerSource },
    config: { name: "rolling-caller", services: [{ binding: "B", service: "rolling-callee" }] },
  });
  let stop = false;
  const failures: string[] = [];
  let requests = 0;
  const load = Array.from({ length: 4 }, async () => {
    while (!stop) {
      const response = await platform.fetch(caller.url);
      const body = await response.text();
      requests++;
      if (response.status !== 200) failures.push(`${response.status} ${body.slice(0, 200)}`);
    }
  });
  for (let n = 1; n <= 3; n++) {
    await target.write({ "index.js": calleeSource(n) });
    await target.deploy();
    assert.deepEqual(await json(caller.url), [n, n]);
    await caller.deploy();
  }
  stop = true;
  await Promise.all(load);
  assert.deepEqual(failures, [], `of ${requests} requests`);
  assert(requests > 100);
});
