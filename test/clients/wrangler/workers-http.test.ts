/** HTTP and WebSocket to Workers: streaming, headers, limits, aborts, exceptions, isolation of processes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform(
  { after },
  { config: { "gateway.body_max_bytes": 200 * 1024 * 1024, "gateway.body_idle_timeout_ms": 500 } },
);
const account = `/accounts/${platform.ready.account_id}`;
const gateway = new URL(platform.ready.gateway);

async function get(url: string, init: Parameters<typeof platform.fetch>[1] = {}) {
  const response = await platform.fetch(url, init);
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** Private bytes of a process. */
async function privateBytes(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((sum, [, kb]) => sum + Number(kb) * 1024, 0);
}

test("[workers-09] waitUntil goes on after the response has ended", async () => {
  const namespace = (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title: "wait-until" })).body.result.id as string;
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env, ctx) {
        if (new URL(request.url).pathname === "/read") return new Response(await env.KV.get("late"));
        ctx.waitUntil((async () => { await scheduler.wait(300); await env.KV.put("late", "written afterwards"); })());
        return new Response("answered");
      } }`,
    },
    config: { name: "patient", kv_namespaces: [{ binding: "KV", id: namespace }] },
  });
  assert.equal((await get(project.url)).body, "answered");
  assert.equal((await get(`${project.url}/read`)).body, "");
  const deadline = Date.now() + 10_000;
  while ((await get(`${project.url}/read`)).body === "" && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await get(`${project.url}/read`)).body, "written afterwards");
});

test("[workers-11] bodies stream both ways with flat memory", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request) {
        if (request.method === "POST") { let size = 0; for await (const chunk of request.body) size += chunk.byteLength; return Response.json({ size }); }
        const total = Number(new URL(request.url).searchParams.get("mb")) * 1024 * 1024;
        const chunk = new Uint8Array(65536).fill(7); let sent = 0;
        return new Response(new ReadableStream({ pull(c) { if (sent >= total) return c.close(); c.enqueue(chunk); sent += chunk.length; } }));
      } }`,
    },
    config: { name: "streamer" },
  });
  await get(`${project.url}/?mb=1`);
  const before = await privateBytes(platform.pid);
  let most = 0;
  const response = await platform.fetch(`${project.url}/?mb=1024`);
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size % (128 * 65536) < 65536) most = Math.max(most, await privateBytes(platform.pid));
  }
  assert.equal(size, 1024 * 1024 * 1024);
  // Pieces that have been sent wait for the collector: on a busy machine 110 MB of them were seen, of 1,024 MB that went by.
  assert(most - before < 200 * 1024 * 1024, `memory grew by ${(most - before) / 1024 / 1024} MB`);
  const upload = await platform.fetch(project.url, {
    method: "POST",
    duplex: "half",
    body: (async function* () {
      for (let i = 0; i < 1500; i++) yield new Uint8Array(100_000);
    })(),
  });
  assert.deepEqual(await upload.json(), { size: 150_000_000 });
});

test("an echo of every kind of body comes back byte for byte", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch: (request) => new Response(request.body, { headers: { "x-length": request.headers.get("content-length") ?? "none", "x-method": request.method } }) }`,
    },
    config: { name: "echo" },
  });
  const random = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 24));
  const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  for (const size of [0, 1, 1000, 65_536, 3_000_000]) {
    const sent = random.subarray(0, size);
    const known = await platform.fetch(project.url, { method: "PUT", body: sent });
    assert.equal(known.headers.get("x-length"), String(size));
    assert.equal(sha(new Uint8Array(await known.arrayBuffer())), sha(sent));
    const chunked = await platform.fetch(project.url, {
      method: "POST",
      duplex: "half",
      body: (async function* () {
        for (let i = 0; i < size; i += 10_000) yield sent.subarray(i, i + 10_000);
      })(),
    });
    assert.equal(sha(new Uint8Array(await chunked.arrayBuffer())), sha(sent));
  }
  const head = await platform.fetch(project.url, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("x-method")], [200, "HEAD"]);
});

test("request.cf and the client's headers are the platform's; forged ones do not arrive", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch: (request) => Response.json({ cf: request.cf, headers: Object.fromEntries(request.headers), url: request.url }) }`,
    },
    config: { name: "mirror" },
  });
  const forged = {
    "cf-connecting-ip": "6.6.6.6",
    "CF-Ray": "forged",
    "x-real-ip": "6.6.6.6",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "6.6.6.6",
    "x-freehold-cf": '{"country":"ZZ"}',
    "X-Freehold-Proto": "https",
    "x-freehold-capability": "kv.e30.AAAA",
    "x-freehold-claims": "{}",
    "x-own": "kept",
  };
  const { body } = await get(project.url, { headers: forged });
  const seen = JSON.parse(body) as { cf: Record<string, unknown>; headers: Record<string, string>; url: string };
  assert.equal(seen.headers["cf-connecting-ip"], "127.0.0.1");
  assert.equal(seen.headers["x-real-ip"], "127.0.0.1");
  assert.equal(seen.headers["x-forwarded-for"], "6.6.6.6, 127.0.0.1");
  assert.equal(seen.headers["x-forwarded-proto"], "http");
  assert.equal(seen.headers["cf-visitor"], '{"scheme":"http"}');
  assert.match(seen.headers["cf-ray"] as string, /^[0-9a-f]{16}$/);
  assert.equal(seen.headers["x-own"], "kept");
  assert.match(seen.url, /^http:/);
  assert.equal(seen.cf.country, "XX");
  assert.equal(seen.cf.httpProtocol, "HTTP/1.1");
  assert.deepEqual(
    Object.keys(seen.headers).filter((name) => name.startsWith("x-freehold")),
    [],
  );
});

test("an uncaught exception is the documented page 1101, as HTML and as JSON; a Worker's own 500 is its own", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch(request) {
        const path = new URL(request.url).pathname;
        if (path === "/own") return new Response("mine", { status: 500 });
        if (path === "/bare") return new Response(new Uint8Array(21), { status: 500 });
        throw new Error("kaboom with a secret");
      } }`,
    },
    config: { name: "thrower" },
  });
  const page = await get(project.url, { headers: { accept: "text/html" } });
  assert.deepEqual([page.status, page.headers.get("content-type")], [500, "text/html; charset=UTF-8"]);
  assert.match(page.body, /Error 1101[\s\S]*Worker threw exception/);
  assert.doesNotMatch(page.body, /kaboom/);
  const json = await get(project.url, { headers: { accept: "application/json" } });
  const parsed = JSON.parse(json.body) as { error_code: number; ray_id: string };
  assert.equal(parsed.error_code, 1101);
  assert(platform.log.some((line) => line.msg === "worker.request_failed" && line.ray === parsed.ray_id));
  assert.equal((await get(`${project.url}/own`)).body, "mine");
  assert.equal((await get(`${project.url}/bare`)).body, "\0".repeat(21));
  // The connection goes on after an error page, also when the request had a body.
  const posted = await get(project.url, { method: "POST", body: "x".repeat(100_000) });
  assert.equal(posted.status, 500);
});

test("a body over the limit is 413, one that stands still is 408, and neither hurts the next request", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request) { return new Response(String((await request.arrayBuffer()).byteLength)) } }`,
    },
    config: { name: "limited" },
  });
  const host = new URL(project.url).host;
  const raw = async (head: string): Promise<string> => {
    const socket = net.connect(Number(gateway.port), gateway.hostname);
    socket.write(head);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    return text;
  };
  const started = Date.now();
  assert.match(await raw(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 300000000\r\n\r\n`), /^HTTP\/1\.1 413 /);
  assert.match(await raw(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 10\r\n\r\nabc`), /^HTTP\/1\.1 408 /);
  assert(Date.now() - started < 10_000);
  const overflow = platform.fetch(project.url, {
    method: "POST",
    duplex: "half",
    body: (async function* () {
      for (let i = 0; i < 300; i++) yield new Uint8Array(1_000_000);
    })(),
  });
  const status = await overflow.then(
    (r) => r.status,
    () => 413,
  );
  assert.equal(status, 413);
  assert.equal((await get(project.url, { method: "POST", body: "12345" })).body, "5");
});

test("a client that goes away ends the Worker's request, and its stream", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `let cancelled = 0;
        export default { fetch(request) {
          if (new URL(request.url).pathname === "/count") return new Response(String(cancelled));
          return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(10); c.enqueue(new Uint8Array(10)); }, cancel() { cancelled++; } }));
        } }`,
    },
    config: { name: "abandoned" },
  });
  const controller = new AbortController();
  const response = await platform.fetch(project.url, { signal: controller.signal });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  controller.abort();
  await reader.read().catch(() => undefined);
  const deadline = Date.now() + 10_000;
  let count = "0";
  while (count === "0" && Date.now() < deadline) count = (await get(`${project.url}/count`)).body;
  assert.equal(count, "1");
});

test("[workers-49] WebSocket: 101, messages both ways, close code", async () => {
  const project = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch(request) {
        if (request.headers.get("upgrade") !== "websocket") return new Response("expected websocket", { status: 426 });
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.binaryType = "arraybuffer";
        server.addEventListener("message", ({ data }) => { if (data === "bye") server.close(4001, "as asked"); else server.send(typeof data === "string" ? "got " + data : data); });
        return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": "chat" } });
      } }`,
    },
    config: { name: "socketeer" },
  });
  assert.equal((await get(project.url)).status, 426);
  const socket = platform.webSocket(project.url.replace("http", "ws"), ["chat"]);
  await once(socket, "open");
  assert.equal(socket.protocol, "chat");
  socket.send("one");
  assert.equal(String((await once(socket, "message"))[0]), "got one");
  const big = Buffer.alloc(500_000, 3);
  socket.send(big);
  assert((await once(socket, "message"))[0].equals(big));
  socket.send("bye");
  const [code, reason] = await once(socket, "close");
  assert.deepEqual([code, String(reason)], [4001, "as asked"]);
  // A Worker that refuses the upgrade answers as usual.
  const nobody = platform.webSocket(platform.host("workers", { worker: "nobody", subdomain: "dev" }).replace("http", "ws"));
  const [error] = (await once(nobody, "error")) as [Error];
  assert.match(error.message, /404/);
});

test("a Worker that outgrows its memory dies alone; the next request gets a new process", async () => {
  const hog = await uploadedWorker(platform, {
    files: {
      "index.js": `export default { fetch(request) {
        if (new URL(request.url).pathname !== "/hog") return new Response("well");
        const kept = []; for (;;) kept.push(new Array(1e6).fill(Math.random()));
      } }`,
    },
    config: { name: "hog" },
  });
  const neighbour = await uploadedWorker(platform, {
    files: { "index.js": `let count = 0; export default { fetch: () => new Response(String(++count)) }` },
    config: { name: "neighbour" },
  });
  assert.equal((await get(hog.url)).body, "well");
  assert.equal((await get(neighbour.url)).body, "1");
  const answer = await get(`${hog.url}/hog`, { headers: { accept: "application/json" } });
  assert.deepEqual([answer.status, JSON.parse(answer.body).error_code], [503, 1102]);
  // The neighbour is the same process, with its memory.
  assert.equal((await get(neighbour.url)).body, "2");
  assert.equal((await get(hog.url)).body, "well");
});

test("a Worker reaches neither the platform's sockets nor private networks by default", async (t) => {
  const strict = await startPlatform(t);
  const project = await uploadedWorker(strict, {
    files: {
      "index.js": `import { connect } from "cloudflare:sockets";
        export default { async fetch(request) {
          const outcome = {};
          const target = new URL(request.url).searchParams.get("target");
          try { outcome.fetch = (await fetch(target)).status; } catch (e) { outcome.fetch = "refused"; }
          try { const s = connect("127.0.0.1:" + new URL(target).port); await s.opened; outcome.connect = "opened"; } catch (e) { outcome.connect = "refused"; }
          return Response.json(outcome);
        } }`,
    },
    config: { name: "prowler" },
  });
  const server = http.createServer((_request, response) => response.end("internal"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const target = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/`;
  const url = `${project.url}/?target=${encodeURIComponent(target)}`;
  assert.deepEqual(await (await strict.fetch(url)).json(), { fetch: "refused", connect: "refused" });
});
