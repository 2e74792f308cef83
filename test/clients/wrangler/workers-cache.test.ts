/** The Cache API in deployed Workers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

const files = {
  "index.js": `export default { async fetch(request) {
    const cache = caches.default, named = await caches.open("named"), url = "https://example.com/thing?a=1";
    const show = async (response) => response === undefined ? null : { status: response.status, text: await response.text(), ...Object.fromEntries(["cf-cache-status", "content-range", "content-length", "x-kept", "set-cookie", "connection", "cache-control"].flatMap((name) => response.headers.has(name) ? [[name, response.headers.get(name)]] : [])) };
    const get = (headers = {}, at = url, from = cache) => from.match(new Request(at, { headers })).then(show);
    const steps = {
      async put() {
        await cache.put(url, new Response("0123456789", { headers: { "cache-control": "max-age=60", etag: '"v1"', "x-kept": "yes", "last-modified": "Tue, 10 Mar 2026 12:00:00 GMT" } }));
        return get();
      },
      get: () => get(),
      range: async () => [await get({ range: "bytes=2-4" }), await get({ range: "bytes=-3" }), (await get({ range: "bytes=50-" })).status],
      conditional: async () => [(await get({ "if-none-match": '"v1"' })).status, (await get({ "if-none-match": '"v2"' })).status, (await get({ "if-modified-since": "Tue, 10 Mar 2026 12:00:00 GMT" })).status],
      apart: async () => [await get({}, url, named), await get({}, url.replace("https", "http")), await get({}, url + "2")],
      async method() {
        const post = new Request(url, { method: "POST" });
        return [await show(await cache.match(post)), (await show(await cache.match(post, { ignoreMethod: true })))?.text];
      },
      async key() {
        await cache.put(new Request(url, { cf: { cacheKey: "mine" } }), new Response("keyed"));
        return [(await show(await cache.match(new Request("https://other.example/", { cf: { cacheKey: "mine" } }))))?.text, (await get()).text];
      },
      async refused() {
        const attempt = (work) => work().then(() => "stored", (error) => error.message);
        const kept = async (name, init) => { await cache.put("https://example.com/" + name, new Response(name, init)); return get({}, "https://example.com/" + name).then((r) => r && (r["set-cookie"] ?? r.text)); };
        return [
          await attempt(() => cache.put(new Request(url, { method: "POST" }), new Response("x"))),
          await attempt(() => cache.put(url, new Response("x", { status: 206 }))),
          await attempt(() => cache.put(url, new Response("x", { headers: { vary: "*" } }))),
          await kept("cookie", { headers: { "set-cookie": "a=1" } }), await kept("private-cookie", { headers: { "set-cookie": "a=1", "cache-control": "private=Set-Cookie" } }),
          await kept("no-store", { headers: { "cache-control": "no-store" } }), await kept("error", { status: 500 }), await kept("not-found", { status: 404 }),
        ];
      },
      async expires() {
        await cache.put("https://example.com/short", new Response("short", { headers: { "cache-control": "max-age=1" } }));
        const before = await get({}, "https://example.com/short");
        await scheduler.wait(1100);
        return [before.text, await get({}, "https://example.com/short")];
      },
      async large() {
        const chunk = new Uint8Array(65536).fill(7); let left = 160;
        await cache.put("https://example.com/large", new Response(new ReadableStream({ pull(c) { if (left-- > 0) c.enqueue(chunk); else c.close(); } })));
        const response = await cache.match("https://example.com/large"); let bytes = 0;
        for await (const part of response.body) bytes += part.byteLength;
        return [bytes, response.headers.get("content-length")];
      },
      delete: async () => [await cache.delete(url), await cache.delete(url), await get()],
    };
    return Response.json((await steps[new URL(request.url).pathname.slice(1)]()) ?? null);
  } };`,
};

const one = await uploadedWorker(platform, { files, config: { name: "caching" } });
const two = await uploadedWorker(platform, { files, config: { name: "caching-too" } });
const ask = async (step: string, worker = one): Promise<unknown> => {
  const response = await platform.fetch(`${worker.url}/${step}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
};

test("[workers-43] the Cache API: put, match, conditions, ranges, delete", async () => {
  const hit = {
    status: 200,
    text: "0123456789",
    "cf-cache-status": "HIT",
    "content-length": "10",
    "x-kept": "yes",
    "cache-control": "max-age=60",
  };
  assert.deepEqual(await ask("put"), hit);
  const part = { ...hit, status: 206, "content-length": "3" };
  assert.deepEqual(await ask("range"), [
    { ...part, text: "234", "content-range": "bytes 2-4/10" },
    { ...part, text: "789", "content-range": "bytes 7-9/10" },
    416,
  ]);
  assert.deepEqual(await ask("conditional"), [304, 200, 304]);
  assert.deepEqual(await ask("apart"), [null, null, null]);
  assert.deepEqual(await ask("method"), [null, "0123456789"]);
  assert.deepEqual(await ask("key"), ["keyed", "0123456789"]);
  assert.deepEqual(await ask("refused"), [
    "Cannot cache response to non-GET request.",
    "Cannot cache response to a range request (206 Partial Content).",
    "Cannot cache response with 'Vary: *' header.",
    null,
    "private-cookie",
    null,
    null,
    "not-found",
  ]);
  assert.deepEqual(await ask("expires"), ["short", null]);
  assert.deepEqual(await ask("large"), [160 * 65536, String(160 * 65536)]);
  assert.deepEqual(await ask("get"), hit);
  assert.deepEqual(await ask("delete"), [true, false, null]);
});

test("a Worker does not see what another one has cached, and a deploy keeps the cache", async () => {
  await ask("put");
  assert.equal(await ask("get", two), null);
  await one.deploy();
  assert.equal(((await ask("get")) as { text: string }).text, "0123456789");
});
