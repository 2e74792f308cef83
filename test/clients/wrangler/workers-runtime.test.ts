/** Runtime APIs that a deployed Worker has: tail Workers, dynamic loader, Node compatibility, web APIs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { symlink } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { projectRoot, startPlatform } from "../../harness/platform.ts";
import { noPostgres, startPostgres } from "../../harness/postgres.ts";
import { deployWorker, uploadedWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "runtime.outbound_allow": ["public", "private"] } });
const account = `/accounts/${platform.ready.account_id}`;

// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
async function json(url: string, init: Parameters<typeof platform.fetch>[1] = {}): Promise<any> {
  const response = await platform.fetch(url, init);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

test("a streaming tail Worker hears of an invocation's events in their order", async () => {
  const namespace = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "tail-stream" })).body.result.id as string;
  await uploadedWorker(platform, {
    files: {
      "index.js": `export default { tailStream(onset, env) {
        const seen = [onset.event.type + " " + onset.event.info?.url];
        return async ({ event }) => {
          seen.push(event.type === "log" ? "log " + event.message.join(" ") : event.type);
          if (event.type === "outcome") await env.SEEN.put("seen", JSON.stringify([...seen, event.outcome]));
        };
      } };`,
    },
    config: { name: "stream-observer", kv_namespaces: [{ binding: "SEEN", id: namespace }] },
  });
  const project = await deployWorker(platform, {
    files: { "index.js": `export default { fetch() { console.log("hello", "stream"); return new Response("done"); } };` },
    config: { name: "stream-producer", streaming_tail_consumers: [{ service: "stream-observer" }] },
  });
  assert.equal(await (await platform.fetch(`${project.url}/page`)).text(), "done");
  const value = `${platform.ready.api}${account}/storage/kv/namespaces/${namespace}/values/seen`;
  const deadline = Date.now() + 30_000;
  let response = await fetch(value, { headers: { authorization: `Bearer ${platform.ready.api_token}` } });
  while (response.status === 404 && Date.now() < deadline)
    response = await fetch(value, { headers: { authorization: `Bearer ${platform.ready.api_token}` } });
  const seen = (await response.json()) as string[];
  assert.equal(seen[0], `onset ${project.url}/page`);
  assert.deepEqual(
    seen.filter((event) => event.startsWith("log ")).map((event) => event.includes("hello")),
    [true],
  );
  assert.deepEqual(seen.slice(-2), ["outcome", "ok"]);
});

test("[workers-19, workers-20, workers-21] a tail Worker gets logs, exceptions, outcome and channels, redacted", async () => {
  const namespace = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "tail" })).body.result.id as string;
  await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async tail(events, env) {
        for (const event of events) {
          const path = new URL(event.event.request.url).pathname;
          await env.KV.put(path, JSON.stringify({ outcome: event.outcome, logs: event.logs.map((l) => [l.level, l.message]), exceptions: event.exceptions.map((e) => [e.name, e.message]),
            status: event.event.response?.status ?? null, auth: event.event.request.headers.authorization, raw: event.event.request.getUnredacted().headers.authorization,
            channels: event.diagnosticsChannelEvents.map((d) => [d.channel, d.message]) }));
        }
      } };`,
    },
    config: { name: "observer", kv_namespaces: [{ binding: "KV", id: namespace }] },
  });
  const producer = await workerProject(platform, {
    files: {
      "index.js": `import { channel } from "node:diagnostics_channel";
        export default { fetch(request) {
          console.log("from the producer", { n: 1 });
          channel("my-channel").publish({ told: true });
          if (new URL(request.url).pathname === "/bad") throw new TypeError("producer failed");
          return new Response("ok", { status: 201 });
        } };`,
    },
    config: { name: "producer", compatibility_flags: ["nodejs_compat"], tail_consumers: [{ service: "observer" }] },
  });
  await producer.deploy();
  await (await platform.fetch(`${producer.url}/good`, { headers: { authorization: "Bearer very-secret" } })).text();
  await (await platform.fetch(`${producer.url}/bad`)).text();
  const seen = async (key: string) => {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const response = await platform.fetch(`/client/v4${account}/storage/kv/namespaces/${namespace}/values/${encodeURIComponent(key)}`, {
        headers: { authorization: `Bearer ${platform.ready.api_token}` },
      });
      if (response.status === 200) return response.json();
      await response.body?.cancel();
      assert(Date.now() < deadline, `no trace of ${key}`);
    }
  };
  assert.deepEqual(await seen("/good"), {
    outcome: "ok",
    logs: [["log", ["from the producer", { n: 1 }]]],
    exceptions: [],
    status: 201,
    auth: "REDACTED",
    raw: "Bearer very-secret",
    channels: [["my-channel", { told: true }]],
  });
  const bad = (await seen("/bad")) as { outcome: string; exceptions: unknown };
  assert.deepEqual([bad.outcome, bad.exceptions], ["exception", [["TypeError", "producer failed"]]]);
  const orphan = await workerProject(platform, {
    files: { "index.js": "export default { fetch() {} }" },
    config: { name: "unobserved", tail_consumers: [{ service: "nobody" }] },
  });
  const refused = await orphan.wrangler(["deploy"], { code: 1 });
  assert.match(refused.stdout + refused.stderr, /Tail consumer 'nobody' does not exist/);
});

test("[workers-40] a dynamic Worker: code from a string, props, and no way out", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const code = \`import { WorkerEntrypoint } from "cloudflare:workers";
          export class Greeter extends WorkerEntrypoint { greet() { return this.ctx.props.greeting + " " + this.env.NAME; } }
          export default { async fetch(request, env) { try { await fetch("http://example.com/"); return new Response("reached"); } catch { return new Response("sealed " + env.NAME); } } };\`;
        const worker = env.LOADER.get("child", async () => ({ compatibilityDate: "2026-01-01", mainModule: "main.js", modules: { "main.js": code }, env: { NAME: "Ada" }, globalOutbound: null }));
        return Response.json([await (await worker.getEntrypoint().fetch("http://x/")).text(), await worker.getEntrypoint("Greeter", { props: { greeting: "hello" } }).greet()]);
      } };`,
    },
    config: { name: "loader", worker_loaders: [{ binding: "LOADER" }] },
  });
  assert.deepEqual(await json(project.url), ["sealed Ada", "hello Ada"]);
});

test("TCP sockets and node:net reach a server on the network", async (t) => {
  const server = net.createServer((socket) => socket.on("data", (data) => socket.end(`echo ${data}`)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { connect } from "cloudflare:sockets"; import { symlink } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
        export default { async fetch(request) {
          const port = Number(new URL(request.url).searchParams.get("port"));
          const socket = connect({ hostname: "127.0.0.1", port });
          const writer = socket.writable.getWriter(); await writer.write(new TextEncoder().encode("one")); writer.releaseLock();
          const first = await new Response(socket.readable).text();
          const second = await new Promise((resolve, reject) => { const s = net.connect(port, "127.0.0.1", () => s.write("two")); s.on("data", (d) => resolve(String(d))); s.on("error", reject); });
          return Response.json([first, second]);
        } };`,
    },
    config: { name: "tcp", compatibility_flags: ["nodejs_compat"] },
  });
  assert.deepEqual(await json(`${project.url}/?port=${port}`), ["echo one", "echo two"]);
});

test("[workers-44] a Worker talks to PostgreSQL by the package pg", { skip: noPostgres }, async (t) => {
  const database = await startPostgres(t);
  const project = await workerProject(platform, {
    files: {
      "index.js": `import { Client } from "pg";
        export default { async fetch(request, env) {
          const client = new Client(env.DATABASE);
          await client.connect();
          try {
            await client.query("CREATE TABLE IF NOT EXISTS people (id serial PRIMARY KEY, name text, tags jsonb, born date)");
            await client.query("INSERT INTO people (name, tags, born) VALUES ($1, $2, $3), ($4, $5, $6)", ["Ada", { a: [1] }, "1815-12-10", "Åsa", {}, null]);
            const { rows } = await client.query("SELECT name, tags, born::text FROM people WHERE name <> $1 ORDER BY id", ["nobody"]);
            const large = await client.query("SELECT repeat('x', 1000000) AS text");
            const refused = await client.query("SELECT * FROM nothing").catch((error) => error.code);
            return Response.json({ rows, length: large.rows[0].text.length, refused });
          } finally { await client.end(); }
        } };`,
    },
    config: { name: "postgres", compatibility_flags: ["nodejs_compat"], vars: { DATABASE: { ...database } } },
  });
  // Where the bundler looks for pg.
  await symlink(join(projectRoot, "node_modules"), join(project.dir, "node_modules"));
  await project.deploy();
  assert.deepEqual(await json(project.url), {
    rows: [
      { name: "Ada", tags: { a: [1] }, born: "1815-12-10" },
      { name: "Åsa", tags: {}, born: null },
    ],
    length: 1_000_000,
    refused: "42P01",
  });
});

test("[workers-45] a node:http server in the Worker", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { createServer } from "node:http"; import { httpServerHandler } from "cloudflare:node";
        createServer((request, response) => {
          let body = "";
          request.on("data", (chunk) => { body += chunk; });
          request.on("end", () => { response.writeHead(200, { "content-type": "application/json" }); response.end(JSON.stringify({ method: request.method, url: request.url, body })); });
        }).listen(8080);
        export default httpServerHandler({ port: 8080 });`,
    },
    config: { name: "node-server", compatibility_flags: ["nodejs_compat"] },
  });
  assert.deepEqual(await json(`${project.url}/path?q=1`, { method: "POST", body: "sent" }), {
    method: "POST",
    url: "/path?q=1",
    body: "sent",
  });
});

test("node:crypto, buffer, zlib, streams, AsyncLocalStorage, process", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `import { createHash, createHmac, scryptSync } from "node:crypto"; import { Buffer } from "node:buffer"; import zlib from "node:zlib";
        import { AsyncLocalStorage } from "node:async_hooks"; import { Readable, Transform } from "node:stream"; import { pipeline } from "node:stream/promises"; import process from "node:process"; import path from "node:path"; import util from "node:util"; import assert from "node:assert"; import { EventEmitter, once } from "node:events";
        const storage = new AsyncLocalStorage();
        export default { async fetch(request, env) {
          const parts = [];
          await pipeline(Readable.from(["a", "b"]), new Transform({ transform(chunk, _e, done) { done(null, String(chunk).toUpperCase()); } }), async function (source) { for await (const part of source) parts.push(String(part)); });
          const emitter = new EventEmitter(); const told = once(emitter, "told"); emitter.emit("told", 7);
          let loose; try { assert.equal(1, "1"); loose = true; } catch { loose = false; }
          return Response.json({
            sha: createHash("sha256").update("abc").digest("hex").slice(0, 16), mac: createHmac("sha1", "k").update("d").digest("base64"), scrypt: scryptSync("p", "s", 8).toString("hex").length,
            buffer: Buffer.from("héllo").toString("base64"), gzip: zlib.gunzipSync(zlib.gzipSync("squeezed")).toString(), als: await storage.run({ id: 5 }, async () => { await scheduler.wait(1); return storage.getStore().id; }),
            parts: parts.join(""), cwd: process.cwd(), variable: process.env.NAME, join: path.join("/a", "../b"), inspect: util.inspect({ a: [1] }), loose, told: (await told)[0], agent: navigator.userAgent,
          });
        } };`,
    },
    config: { name: "node-apis", compatibility_flags: ["nodejs_compat"], vars: { NAME: "value" } },
  });
  assert.deepEqual(await json(project.url), {
    sha: "ba7816bf8f01cfea",
    mac: "K5DkHnwMyOL3XAKRDDiZzEaLoxY=",
    scrypt: 16,
    buffer: "aMOpbGxv",
    gzip: "squeezed",
    als: 5,
    parts: "AB",
    cwd: "/bundle",
    variable: "value",
    join: "/b",
    inspect: "{ a: [ 1 ] }",
    loose: false,
    told: 7,
    agent: "Cloudflare-Workers",
  });
});

test("[workers-50] HTMLRewriter, WebCrypto, encodings, EventSource, MessageChannel, scheduler", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request) {
          const page = await new HTMLRewriter().on("a[href]", { element(e) { e.setAttribute("href", "https://x/"); }, text(t) { if (t.lastInTextNode) t.after("!"); } }).transform(new Response('<a href="y">link</a>')).text();
          const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt", "decrypt"]);
          const iv = crypto.getRandomValues(new Uint8Array(12));
          const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, new TextEncoder().encode("hidden"));
          const opened = new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed));
          const equal = crypto.subtle.timingSafeEqual(new Uint8Array([1]), new Uint8Array([1]));
          const events = EventSource.from(new Response("data: one\\n\\ndata: two\\n\\n").body);
          const heard = []; await new Promise((resolve) => { events.onmessage = (e) => { heard.push(e.data); if (heard.length === 2) resolve(); }; });
          const { port1, port2 } = new MessageChannel(); const message = new Promise((resolve) => { port2.onmessage = (e) => resolve(e.data); }); port1.postMessage({ deep: [1] });
          const before = Date.now(); await scheduler.wait(20); const waited = Date.now() - before >= 15;
          return Response.json({ page, opened, equal, heard, message: await message, waited, utf16: new TextDecoder("utf-16le").decode(new Uint8Array([65, 0])), compressed: await new Response(new Response("z".repeat(100)).body.pipeThrough(new CompressionStream("gzip")).pipeThrough(new DecompressionStream("gzip"))).text().then((x) => x.length) });
        } };`,
    },
    config: { name: "web-apis" },
  });
  assert.deepEqual(await json(project.url), {
    page: '<a href="https://x/">link!</a>',
    opened: "hidden",
    equal: true,
    heard: ["one", "two"],
    message: { deep: [1] },
    waited: true,
    utf16: "A",
    compressed: 100,
  });
});
