/** KV by binding: Worker code on the platform, deployed by wrangler. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const base = `/accounts/${platform.ready.account_id}/storage/kv/namespaces`;
const namespace = async (title: string): Promise<string> => (await platform.rest("POST", base, { title })).body.result.id;
const ids = { NS: await namespace("workers-ns"), OTHER: await namespace("workers-other"), STAGING: await namespace("workers-staging") };

// Each path is one piece of Worker code; what it returns is the answer's JSON, what it throws the answer's text.
const source = `
import { DurableObject } from "cloudflare:workers";
const MiB = 1024 * 1024;
const streamOf = (size) => new ReadableStream({
  start() { this.left = size; },
  pull(c) { const n = Math.min(65536, this.left); if (n > 0) c.enqueue(new Uint8Array(n).fill(7)); this.left -= n; if (this.left === 0) c.close(); },
});
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.constructor.name + ": " + e.message; } };
const code = {
  async life({ NS }) {
    await NS.put("user_2", "disabled");
    const read = await NS.get("user_2");
    await NS.delete("user_2");
    await NS.delete("user_2");
    return { read, gone: await NS.get("user_2") };
  },
  async types({ NS }) {
    const text = JSON.stringify({ a: [1, "é"] });
    const bytes = new TextEncoder().encode(text);
    const inputs = { string: text, buffer: bytes.buffer, view: bytes, dataView: new DataView(bytes.buffer), stream: new Response(text).body };
    const out = {};
    for (const [name, input] of Object.entries(inputs)) {
      await NS.put("t-" + name, input);
      out[name] = {
        text: await NS.get("t-" + name),
        textOption: await NS.get("t-" + name, { type: "text", cacheTtl: 60 }),
        json: await NS.get("t-" + name, "json"),
        arrayBuffer: new TextDecoder().decode(await NS.get("t-" + name, "arrayBuffer")),
        stream: await new Response(await NS.get("t-" + name, "stream")).text(),
      };
    }
    return out;
  },
  async bulk({ NS }) {
    await NS.put("b1", '{"n":1}', { metadata: { m: "ü" } });
    await NS.put("b2", '{"n":2}');
    await NS.put("__proto__", '{"n":3}');
    const keys = ["b1", "missing", "b2", "__proto__"];
    return {
      text: [...await NS.get(keys)],
      json: [...await NS.get(keys, "json")],
      meta: [...await NS.getWithMetadata(keys, { type: "json" })],
      tooMany: await thrown(() => NS.get(Array.from({ length: 101 }, (_, i) => "k" + i))),
      noJson: await thrown(async () => { await NS.put("plain", "no json"); await NS.get(["plain"], "json"); }),
    };
  },
  async metadata({ NS }) {
    await NS.put("with", "v", { metadata: { lang: "русский", list: [1, null] } });
    await NS.put("without", "v");
    const with_ = await NS.getWithMetadata("with");
    return {
      with: { value: with_.value, metadata: with_.metadata },
      without: (await NS.getWithMetadata("without")).metadata,
      missing: await NS.getWithMetadata("missing").then(({ value, metadata }) => [value, metadata]),
      tooLarge: await thrown(() => NS.put("with", "new", { metadata: "x".repeat(1023) })),
      kept: await NS.get("with"),
    };
  },
  async sizes({ NS }) {
    await NS.put("large", streamOf(25 * MiB));
    const size = (await NS.get("large", "arrayBuffer")).byteLength;
    const refusedStream = await thrown(() => NS.put("large", streamOf(25 * MiB + 1)));
    const refusedBuffer = await thrown(() => NS.put("large", new Uint8Array(25 * MiB + 1)));
    const kept = (await NS.get("large", "arrayBuffer")).byteLength;
    await NS.put("empty", "");
    return { size, refusedStream, refusedBuffer, kept, empty: await NS.get("empty") };
  },
  async list({ NS }) {
    const pages = [];
    let cursor;
    do {
      const page = await NS.list({ prefix: "page/", cursor });
      pages.push({ names: page.keys.map((k) => k.name), complete: page.list_complete, cursor: page.cursor !== undefined });
      cursor = page.cursor;
    } while (cursor !== undefined);
    return { pages, none: await NS.list({ prefix: "nothing/" }).then(({ keys, list_complete }) => [keys, list_complete]),
      tooMany: await thrown(() => NS.list({ limit: 1001 })), badCursor: await thrown(() => NS.list({ cursor: "§" })) };
  },
  async listed({ NS }) {
    await NS.put("l/a", "v", { expirationTtl: 3600, metadata: { m: 1 } });
    await NS.put("l/b", "v");
    return { now: Date.now() / 1000, keys: (await NS.list({ prefix: "l/" })).keys };
  },
  async expire({ NS }) {
    await NS.put("soon", "v", { expirationTtl: 60 });
    return {
      ttl: await thrown(() => NS.put("k", "v", { expirationTtl: 59 })),
      at: await thrown(() => NS.put("k", "v", { expiration: Math.floor(Date.now() / 1000) + 30 })),
      past: await thrown(() => NS.put("k", "v", { expiration: 1000 })),
      cacheTtl: await thrown(() => NS.get("soon", { cacheTtl: 10 })),
      none: await NS.get("k"),
      there: await NS.get("soon"),
    };
  },
  async soon({ NS }) { return { value: await NS.get("soon", { cacheTtl: 3600 }), listed: (await NS.list({ prefix: "soon" })).keys.length }; },
  async keys({ NS }) {
    const out = {};
    for (const [name, key] of Object.entries({ empty: "", dot: ".", dots: "..", long: "x".repeat(513), wide: "é".repeat(257) }))
      out[name] = { get: await thrown(() => NS.get(key)), put: await thrown(() => NS.put(key, "v")), delete: await thrown(() => NS.delete(key)) };
    const odd = ["a/b", "a b", "%2F", "?q=1&x", "#", "../up", "ключ", "\\u0000", "é".repeat(256), "'; DROP TABLE kv_entries"];
    for (const key of odd) await NS.put(key, "value of " + key);
    out.odd = await Promise.all(odd.map(async (key) => (await NS.get(key)) === "value of " + key));
    return out;
  },
  async own(env) {
    await env.NS.put("whose", "ns");
    await env.OTHER.put("whose", "other");
    const names = async (ns) => (await ns.list({ prefix: "whose" })).keys.length;
    return [await env.NS.get("whose"), await env.OTHER.get("whose"), await names(env.NS), await names(env.OTHER)];
  },
  async readOwnWrites({ NS }) {
    let wrong = 0;
    for (let i = 0; i < 200; i++) { await NS.put("counter", String(i)); if (await NS.get("counter") !== String(i)) wrong++; }
    return wrong;
  },
  async object(env) { return env.OBJECT.get(env.OBJECT.idFromName("o")).viaObject(); },
  async burst({ NS }) {
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => thrown(() => NS.put("burst", String(i)))));
    const others = await Promise.all(Array.from({ length: 20 }, (_, i) => thrown(() => NS.put("burst-" + i, "v"))));
    return { accepted: outcomes.filter((o) => o === null).length, refusals: [...new Set(outcomes.filter((o) => o !== null))], others: others.every((o) => o === null) };
  },
  async where({ NS }) { await NS.put("where", "written"); return "ok"; },
};
export class Holder extends DurableObject {
  async viaObject() { await this.env.NS.put("from-object", "v"); return this.env.NS.get("from-object"); }
}
export default {
  async fetch(request, env) {
    try { return Response.json(await code[new URL(request.url).pathname.slice(1)](env)); }
    catch (e) { return new Response(e.stack, { status: 500 }); }
  },
};
`;

const bindings = (ns: string) => [
  { binding: "NS", id: ns },
  { binding: "OTHER", id: ids.OTHER },
];
const objects = {
  durable_objects: { bindings: [{ name: "OBJECT", class_name: "Holder" }] },
  migrations: [{ tag: "v1", new_sqlite_classes: ["Holder"] }],
};
const project = await deployWorker(platform, {
  files: { "index.js": source },
  config: {
    name: "kv-worker",
    kv_namespaces: bindings(ids.NS),
    ...objects,
    env: { staging: { kv_namespaces: bindings(ids.STAGING), ...objects } },
  },
});

// biome-ignore lint/suspicious/noExplicitAny: each path answers in its own shape.
async function run(path: string, url = project.url): Promise<any> {
  const response = await platform.fetch(`${url}/${path}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

test("[kv-01] put, get and delete by binding", async () => {
  assert.deepEqual(await run("life"), { read: "disabled", gone: null });
});

test("[kv-02] the same bytes as text, JSON, ArrayBuffer and stream, from every kind of input", async () => {
  const text = '{"a":[1,"é"]}';
  const all = { text, textOption: text, json: { a: [1, "é"] }, arrayBuffer: text, stream: text };
  assert.deepEqual(await run("types"), { string: all, buffer: all, view: all, dataView: all, stream: all });
});

test("[kv-03, kv-04] many keys in one get, with null for missing ones", async () => {
  const { text, json, meta, tooMany, noJson } = await run("bulk");
  assert.deepEqual(text, [
    ["b1", '{"n":1}'],
    ["missing", null],
    ["b2", '{"n":2}'],
    ["__proto__", '{"n":3}'],
  ]);
  assert.deepEqual(json, [
    ["b1", { n: 1 }],
    ["missing", null],
    ["b2", { n: 2 }],
    ["__proto__", { n: 3 }],
  ]);
  assert.deepEqual(meta, [
    ["b1", { value: { n: 1 }, metadata: { m: "ü" } }],
    ["missing", null],
    ["b2", { value: { n: 2 }, metadata: null }],
    ["__proto__", { value: { n: 3 }, metadata: null }],
  ]);
  assert.equal(tooMany, "Error: KV GET_BULK failed: 400 You can request a maximum of 100 keys");
  assert.match(noJson, /KV GET_BULK failed: 400 At least one of the requested keys corresponds to a non-json value/);
});

test("[kv-04, kv-15] metadata round-trips; none is null; 1,025 bytes are refused", async () => {
  assert.deepEqual(await run("metadata"), {
    with: { value: "v", metadata: { lang: "русский", list: [1, null] } },
    without: null,
    missing: [null, null],
    tooLarge: "Error: KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024.",
    kept: "v",
  });
});

test("[kv-05] a stream of 25 MiB is stored, one byte more is refused", { timeout: 60_000 }, async () => {
  const refused = "Error: KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400.";
  const size = 25 * 1024 * 1024;
  assert.deepEqual(await run("sizes"), { size, refusedStream: refused, refusedBuffer: refused, kept: size, empty: "" });
});

test("[kv-06] 2,500 keys are listed over three pages in the order of their bytes", async () => {
  const names = Array.from({ length: 2500 }, (_, i) => `page/${String.fromCodePoint(0x61 + (i % 7))}${"é\u{10000}\uffee"[i % 3]}${i}`);
  const put = await platform.rest(
    "PUT",
    `${base}/${ids.NS}/bulk`,
    names.map((key) => ({ key, value: "v" })),
  );
  assert.equal(put.status, 200);
  const { pages, none, tooMany, badCursor } = await run("list");
  assert.deepEqual(
    // biome-ignore lint/suspicious/noExplicitAny: an answer's page.
    pages.map((page: any) => [page.names.length, page.complete, page.cursor]),
    [
      [1000, false, true],
      [1000, false, true],
      [500, true, false],
    ],
  );
  const listed = pages.flatMap((page: { names: string[] }) => page.names);
  const known = (await (async () => names.map((name) => Buffer.from(name)).sort(Buffer.compare))()).map((name) => name.toString());
  assert.deepEqual(listed, known);
  assert.deepEqual(none, [[], true]);
  assert.match(tooMany, /KV GET failed: 400 Invalid key_count_limit of 1001\. Please specify an integer less than 1000\./);
  assert.match(badCursor, /KV GET failed: 400 Invalid cursor\./);
});

test("[kv-07] lists show absolute expirations and metadata", async () => {
  const { now, keys } = await run("listed");
  const [{ expiration, ...a }, b] = keys;
  assert.deepEqual([a, b], [{ name: "l/a", metadata: { m: 1 } }, { name: "l/b" }]);
  assert(Math.abs(expiration - now - 3600) <= 5);
});

test("[kv-08, kv-09] a key is gone after its 60 s, whatever its cacheTtl; shorter times are refused", { timeout: 120_000 }, async () => {
  const started = Date.now();
  const { ttl, at, past, cacheTtl, none, there } = await run("expire");
  assert.equal(ttl, "Error: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.");
  assert.match(at, /KV PUT failed: 400 Invalid expiration of \d+\. Expiration times must be at least 60 seconds in the future\./);
  assert.match(past, /KV PUT failed: 400 Invalid expiration of 1000\. Please specify integer greater than the current number of seconds/);
  assert.equal(cacheTtl, "Error: KV GET failed: 400 Invalid cache_ttl of 10. Cache TTL must be at least 30.");
  assert.deepEqual([none, there], [null, "v"]);
  // The one wait on the wall clock: the binding has no clock to move.
  const gone = async (): Promise<void> => {
    const { value, listed } = await run("soon");
    if (value === null) return assert.equal(listed, 0);
    assert(Date.now() - started < 70_000, "the key outlived its time");
    await new Promise((resolve) => setTimeout(resolve, 500));
    return gone();
  };
  await gone();
  assert(Date.now() - started >= 59_000, "the key expired early");
});

test("[kv-12] a write is read at once", async () => {
  assert.equal(await run("readOwnWrites"), 0);
});

test("[kv-14] keys that are empty, dots or too long are refused; any other text is a key", async () => {
  const { odd, long, wide, empty, dot, dots } = await run("keys");
  assert.deepEqual(new Set(odd), new Set([true]));
  for (const [method, message] of Object.entries(long)) {
    assert.equal(message, `Error: KV ${method.toUpperCase()} failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.`);
  }
  for (const message of Object.values(wide)) assert.match(String(message), /414 UTF-8 encoded length of 514/);
  for (const message of Object.values(empty)) assert.equal(message, "TypeError: Key name cannot be empty.");
  for (const message of Object.values(dot)) assert.equal(message, 'TypeError: "." is not allowed as a key name.');
  for (const message of Object.values(dots)) assert.equal(message, 'TypeError: ".." is not allowed as a key name.');
});

test("[kv-16] a Durable Object reads and writes by its own env", async () => {
  assert.equal(await run("object"), "v");
});

test("two bindings are two namespaces: neither sees the other's keys", async () => {
  assert.deepEqual(await run("own"), ["ns", "other", 1, 1]);
});

test("[kv-17] an environment writes to its own namespace", async () => {
  await project.wrangler(["deploy", "--env", "staging"]);
  await run("where", project.url.replace("kv-worker", "kv-worker-staging"));
  const value = async (id: string) => (await platform.rest("GET", `${base}/${id}/metadata/where`)).status;
  assert.deepEqual([await value(ids.STAGING), await value(ids.NS)], [200, 404]);
});

test("[kv-13] with the limit of writes to one key on, 20 parallel puts give the exact message", async (t) => {
  const limited = await startPlatform(t, { config: { "kv.write_per_key_per_s": 1 } });
  const path = `/accounts/${limited.ready.account_id}/storage/kv/namespaces`;
  const { id } = (await limited.rest("POST", path, { title: "limited" })).body.result;
  const config = { name: "kv-limited", kv_namespaces: [{ binding: "NS", id }], ...objects };
  const worker = await deployWorker(limited, { files: { "index.js": source }, config });
  const { accepted, refusals, others } = JSON.parse(await (await limited.fetch(`${worker.url}/burst`)).text());
  assert.deepEqual([accepted, others], [1, true]);
  assert.deepEqual(refusals, ["Error: KV PUT failed: 429 Too Many Requests"]);
});

test("a Worker that binds a namespace which does not exist is refused", async () => {
  const config = { name: "kv-unbound", kv_namespaces: [{ binding: "NS", id: "f".repeat(32) }] };
  await assert.rejects(deployWorker(platform, { files: { "index.js": source }, config }), /KV namespace 'f{32}' not found\.[\s\S]*10041/);
});
