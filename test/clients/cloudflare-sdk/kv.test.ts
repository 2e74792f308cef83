/** KV through its REST API: the official SDK where it can say it, plain requests for what it cannot. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import Cloudflare from "cloudflare";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { askAnalytics, rowsOf } from "../analytics.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const base = `/accounts/${account_id}/storage/kv/namespaces`;
const MiB = 1024 * 1024;

async function namespace(title: string): Promise<string> {
  return (await platform.sdk().kv.namespaces.create({ account_id, title })).id;
}

const bearer = (token = platform.ready.api_token) => ({ authorization: `Bearer ${token}` });
const api = (path: string) => `${platform.ready.api}${path}`;

function apiError(status: number, code: number, message: string | RegExp) {
  return (error: unknown): true => {
    assert(error instanceof Cloudflare.APIError);
    assert.equal(error.status, status);
    assert.equal(error.errors[0]?.code, code);
    if (typeof message === "string") assert.equal(error.errors[0]?.message, message);
    else assert.match(error.errors[0]?.message ?? "", message);
    return true;
  };
}

test("[kv-24] namespaces are created, listed, fetched, renamed and deleted by the SDK", async () => {
  const client = platform.sdk();
  const { id, title, supports_url_encoding } = await client.kv.namespaces.create({ account_id, title: "sdk-life" });
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.deepEqual({ title, supports_url_encoding }, { title: "sdk-life", supports_url_encoding: true });
  assert.equal((await client.kv.namespaces.get(id, { account_id })).title, "sdk-life");
  assert.equal((await client.kv.namespaces.update(id, { account_id, title: "sdk-life-2" })).title, "sdk-life-2");
  const titles: string[] = [];
  for await (const one of client.kv.namespaces.list({ account_id, order: "title", direction: "desc", per_page: 5 })) titles.push(one.title);
  assert(titles.includes("sdk-life-2"));
  assert.deepEqual(titles, titles.toSorted().reverse());
  await client.kv.namespaces.delete(id, { account_id });
  await assert.rejects(client.kv.namespaces.get(id, { account_id }), apiError(404, 10013, "get namespace: 'namespace not found'"));
});

test("a title is unique, needed, and may hold quotes and slashes", async () => {
  const title = `o'clock "quoted" ../../etc; DROP TABLE kv_namespaces --`;
  const id = await namespace(title);
  assert.equal((await platform.sdk().kv.namespaces.get(id, { account_id })).title, title);
  await assert.rejects(namespace(title), apiError(400, 10014, "a namespace with this account ID and title already exists"));
  await assert.rejects(namespace(""), apiError(400, 10019, "request is missing a title definition"));
  const twice = await Promise.allSettled([namespace("racing"), namespace("racing")]);
  assert.deepEqual(twice.map((outcome) => outcome.status).toSorted(), ["fulfilled", "rejected"]);
});

test("[kv-24] values, metadata and keys by the SDK", async () => {
  const client = platform.sdk();
  const namespace_id = await namespace("sdk-values");
  await client.kv.namespaces.values.update("a/b c?d#e%2F", { account_id, namespace_id, value: "one" });
  assert.equal(await (await client.kv.namespaces.values.get("a/b c?d#e%2F", { account_id, namespace_id })).text(), "one");
  const expiration = Math.floor(Date.now() / 1000) + 3600;
  await client.kv.namespaces.values.update("ключ", {
    account_id,
    namespace_id,
    value: "два",
    expiration,
    metadata: JSON.stringify({ lang: "русский" }),
  });
  const got = await client.kv.namespaces.values.get("ключ", { account_id, namespace_id });
  assert.equal(await got.text(), "два");
  assert.equal(got.headers.get("expiration"), String(expiration));
  assert.deepEqual(await client.kv.namespaces.metadata.get("ключ", { account_id, namespace_id }), { lang: "русский" });
  assert.equal(await client.kv.namespaces.metadata.get("a/b c?d#e%2F", { account_id, namespace_id }), null);
  const keys = [];
  for await (const key of client.kv.namespaces.keys.list(namespace_id, { account_id })) keys.push(key);
  assert.deepEqual(keys, [{ name: "a/b c?d#e%2F" }, { name: "ключ", expiration, metadata: { lang: "русский" } }]);
  await client.kv.namespaces.values.delete("ключ", { account_id, namespace_id });
  await client.kv.namespaces.values.delete("never-there", { account_id, namespace_id });
  await assert.rejects(client.kv.namespaces.values.get("ключ", { account_id, namespace_id }), apiError(404, 10009, "get: 'key not found'"));
});

test("[kv-25] an absent key answers 404 with the envelope", async () => {
  const id = await namespace("absent");
  const { status, body } = await platform.rest("GET", `${base}/${id}/values/nothing`);
  assert.equal(status, 404);
  assert.deepEqual(body, { result: null, success: false, errors: [{ code: 10009, message: "get: 'key not found'" }], messages: [] });
  const metadata = await platform.rest("GET", `${base}/${id}/metadata/nothing`);
  assert.equal(metadata.status, 404);
});

test("[kv-21] a raw body and a multipart form put values; GET answers their bytes", async () => {
  const id = await namespace("raw");
  const url = (key: string) => api(`${base}/${id}/values/${encodeURIComponent(key)}`);
  const bytes = new Uint8Array(256).map((_, i) => i);
  const raw = await platform.fetch(url("raw"), { method: "PUT", headers: bearer(), body: bytes });
  assert.deepEqual(await raw.json(), { result: null, success: true, errors: [], messages: [] });
  const form = new FormData();
  form.append("value", new Blob([bytes]));
  form.append("metadata", JSON.stringify({ n: 1 }));
  const sent = await platform.fetch(url("form"), { method: "PUT", headers: bearer(), body: form });
  assert.equal(sent.status, 200);
  for (const key of ["raw", "form"]) {
    const got = await platform.fetch(url(key), { headers: bearer() });
    assert.equal(got.headers.get("content-type"), "application/octet-stream");
    assert.deepEqual(new Uint8Array(await got.arrayBuffer()), bytes);
  }
  assert.deepEqual((await platform.rest("GET", `${base}/${id}/metadata/form`)).body.result, { n: 1 });
  assert.equal((await platform.rest("GET", `${base}/${id}/metadata/raw`)).body.result, null);
});

test("an empty value and 25 MiB are stored; one byte more is refused and changes nothing", async () => {
  const id = await namespace("sizes");
  const put = async (size: number) => {
    const response = await platform.fetch(api(`${base}/${id}/values/k`), {
      method: "PUT",
      headers: bearer(),
      body: Buffer.alloc(size, size % 251),
    });
    return { status: response.status, body: (await response.json()) as { errors: { message: string }[] } };
  };
  const size = async () => (await (await platform.fetch(api(`${base}/${id}/values/k`), { headers: bearer() })).arrayBuffer()).byteLength;
  assert.equal((await put(0)).status, 200);
  assert.equal(await size(), 0);
  assert.equal((await put(25 * MiB)).status, 200);
  const { status, body } = await put(25 * MiB + 1);
  assert.equal(status, 413);
  assert.equal(body.errors[0]?.message, "put: 'Value length of 26214401 exceeds limit of 26214400.'");
  assert.equal(await size(), 25 * MiB);
  // From a blob to a row and back: the value is always the last one.
  assert.equal((await put(10)).status, 200);
  assert.equal(await size(), 10);
});

test("refusals of keys, expirations and metadata change nothing", async () => {
  const id = await namespace("refusals");
  const put = (key: string, query = "") => platform.rest("PUT", `${base}/${id}/values/${encodeURIComponent(key)}${query}`, "v");
  const refused = async (answer: ReturnType<typeof put>, status: number, message: string) => {
    const { status: actual, body } = await answer;
    assert.deepEqual({ status: actual, message: body.errors[0]?.message }, { status, message });
  };
  await refused(put("x".repeat(513)), 414, "put: 'UTF-8 encoded length of 513 exceeds key length limit of 512.'");
  await refused(put("é".repeat(257)), 414, "put: 'UTF-8 encoded length of 514 exceeds key length limit of 512.'");
  await refused(put("k", "?expiration_ttl=59"), 400, "put: 'Invalid expiration_ttl of 59. Expiration TTL must be at least 60.'");
  await refused(put("k", "?expiration_ttl=0"), 400, "put: 'Invalid expiration_ttl of 0. Please specify integer greater than 0.'");
  await refused(
    put("k", "?expiration=1750594320"),
    400,
    "put: 'Invalid expiration of 1750594320. Please specify integer greater than the current number of seconds since the UNIX epoch.'",
  );
  const bulk = await platform.rest("PUT", `${base}/${id}/bulk`, [
    { key: "good", value: "v" },
    { key: "bad", value: "v", metadata: "x".repeat(1025) },
  ]);
  assert.equal(bulk.status, 413);
  const form = new FormData();
  form.append("value", "v");
  form.append("metadata", "{not json");
  const bad = await platform.fetch(api(`${base}/${id}/values/k`), { method: "PUT", headers: bearer(), body: form });
  assert.equal(bad.status, 400);
  assert.deepEqual(((await bad.json()) as { errors: unknown }).errors, [{ code: 10147, message: "metadata must be valid json" }]);
  await refused(
    platform.rest("GET", `${base}/not-a-uuid/keys`),
    400,
    "could not parse UUID from request's namespace_id: 'uuid: incorrect UUID length: not-a-uuid'",
  );
  await refused(platform.rest("GET", `${base}/${"0".repeat(32)}/keys`), 404, "list keys: 'namespace not found'");
  assert.deepEqual((await platform.rest("GET", `${base}/${id}/keys`)).body.result, []);
});

test("[kv-22, kv-23] bulk put, get and delete, with base64, expiry and metadata", async () => {
  const client = platform.sdk();
  const id = await namespace("bulk");
  const image = Buffer.from([0xff, 0xd8, 0xff, 0x00, 0x80]);
  const put = await client.kv.namespaces.bulkUpdate(id, {
    account_id,
    body: [
      { key: "text", value: "first" },
      { key: "text", value: "last" },
      { key: "image", value: image.toString("base64"), base64: true },
      { key: "meta", value: '{"a":1}', metadata: { n: 1 }, expiration_ttl: 3600 },
    ],
  });
  assert.deepEqual(put, { successful_key_count: 4, unsuccessful_keys: [] });
  const got = await client.kv.namespaces.bulkGet(id, { account_id, keys: ["text", "missing", "meta"], withMetadata: true });
  assert(got?.values !== undefined);
  const { meta, ...rest } = got.values as Record<string, unknown>;
  assert.deepEqual(rest, { text: { value: "last", metadata: null }, missing: null });
  const { expiration, ...others } = meta as { expiration: number };
  assert.deepEqual(others, { value: '{"a":1}', metadata: { n: 1 } });
  assert(Math.abs(expiration - Date.now() / 1000 - 3600) < 30);
  assert.deepEqual((await client.kv.namespaces.bulkGet(id, { account_id, keys: ["meta"], type: "json" }))?.values, { meta: { a: 1 } });
  const stored = await client.kv.namespaces.values.get("image", { account_id, namespace_id: id });
  assert.deepEqual(Buffer.from(await stored.arrayBuffer()), image);
  await assert.rejects(
    client.kv.namespaces.bulkUpdate(id, { account_id, body: [{ key: "k", value: "abcde!", base64: true }] }),
    apiError(400, 10012, `bulk put: 'could not base64 decode value for key: "k", err: 'illegal base64 data at input byte 5''`),
  );
  await assert.rejects(client.kv.namespaces.bulkGet(id, { account_id, keys: ["text"], type: "json" }), apiError(400, 10029, /non-json/));
  const tooMany = Array.from({ length: 101 }, (_, i) => `k${i}`);
  await assert.rejects(client.kv.namespaces.bulkGet(id, { account_id, keys: tooMany }), apiError(400, 10168, /maximum of 100 keys/));
  assert.deepEqual(await client.kv.namespaces.bulkDelete(id, { account_id, body: ["text", "missing"] }), {
    successful_key_count: 2,
    unsuccessful_keys: [],
  });
  const left = await client.kv.namespaces.keys.list(id, { account_id });
  assert.deepEqual(
    left.result.map((key) => key.name),
    ["image", "meta"],
  );
});

test("keys are listed by UTF-8 bytes, in pages that writes between them do not disturb", async () => {
  const client = platform.sdk();
  const id = await namespace("order");
  // U+FFFD sorts before U+10000 by bytes and after it by UTF-16 units.
  const names = ["", "\u0001", "A", "a", "a/b", "aa", "é", "\ufffd", "\u{10000}", "\u{10ffff}"].filter((name) => name !== "");
  await client.kv.namespaces.bulkUpdate(id, { account_id, body: names.toReversed().map((key) => ({ key, value: "v" })) });
  const first = (await platform.rest("GET", `${base}/${id}/keys?limit=4`)).body;
  assert.deepEqual(
    first.result.map((key: { name: string }) => key.name),
    names.slice(0, 4),
  );
  assert.equal(first.result_info?.count, 4);
  await client.kv.namespaces.bulkUpdate(id, {
    account_id,
    body: [
      { key: "0-before", value: "v" },
      { key: "b-after", value: "v" },
    ],
  });
  const cursor = String(first.result_info?.cursor);
  const second = (await platform.rest("GET", `${base}/${id}/keys?limit=1000&cursor=${cursor}`)).body;
  assert.deepEqual(
    second.result.map((key: { name: string }) => key.name),
    ["aa", "b-after", ...names.slice(5)],
  );
  assert.equal(second.result_info?.cursor, "");
  const prefixed = await platform.rest("GET", `${base}/${id}/keys?prefix=a`);
  assert.deepEqual(
    prefixed.body.result.map((key: { name: string }) => key.name),
    ["a", "a/b", "aa"],
  );
  const bad = await platform.rest("GET", `${base}/${id}/keys?cursor=!!`);
  assert.deepEqual({ status: bad.status, message: bad.body.errors[0]?.message }, { status: 400, message: "list keys: 'Invalid cursor.'" });
});

test("a token needs KV's permission on every route; Read does not write", async () => {
  const id = await namespace("guarded");
  await platform.rest("PUT", `${base}/${id}/values/k`, "v");
  const reading: [string, string, unknown?][] = [
    ["GET", base],
    ["GET", `${base}/${id}`],
    ["GET", `${base}/${id}/keys`],
    ["GET", `${base}/${id}/values/k`],
    ["GET", `${base}/${id}/metadata/k`],
    ["POST", `${base}/${id}/bulk/get`, { keys: ["k"] }],
  ];
  const writing: [string, string, unknown?][] = [
    ["POST", base, { title: "by-stranger" }],
    ["PUT", `${base}/${id}`, { title: "stolen" }],
    ["PUT", `${base}/${id}/values/k`, "stolen"],
    ["DELETE", `${base}/${id}/values/k`],
    ["PUT", `${base}/${id}/bulk`, [{ key: "k", value: "stolen" }]],
    ["POST", `${base}/${id}/bulk/delete`, ["k"]],
    ["DELETE", `${base}/${id}/bulk`, ["k"]],
    ["DELETE", `${base}/${id}`],
  ];
  const status = async ([method, path, body]: [string, string, unknown?], token: string) => {
    const response = await platform.fetch(api(path), {
      method,
      headers: bearer(token),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const stranger = await platform.token(["Account Settings Write"]);
  for (const call of [...reading, ...writing]) assert.equal(await status(call, stranger.value), 403, `${call[0]} ${call[1]}`);
  const reader = await platform.token(["Workers KV Storage Read"]);
  for (const call of writing) assert.equal(await status(call, reader.value), 403, `${call[0]} ${call[1]}`);
  for (const call of reading) assert.equal(await status(call, reader.value), 200, `${call[0]} ${call[1]}`);
  const writer = await platform.token(["Workers KV Storage Write"]);
  assert.equal(await status(["GET", `${base}/${id}/values/k`], writer.value), 200);
  const elsewhere = await platform.fetch(api(`/accounts/${"0".repeat(32)}/storage/kv/namespaces`), { headers: bearer() });
  assert.equal(elsewhere.status, 403);
});

test("deleting a namespace deletes its pairs, and its title is free again", async () => {
  const id = await namespace("recycled");
  await platform
    .sdk()
    .kv.namespaces.bulkUpdate(id, { account_id, body: Array.from({ length: 700 }, (_, i) => ({ key: `k${i}`, value: "v" })) });
  await platform.rest("DELETE", `${base}/${id}`);
  assert.equal((await platform.rest("GET", `${base}/${id}/values/k1`)).status, 404);
  assert.equal((await platform.rest("PUT", `${base}/${id}/values/k1`, "late")).body.errors[0]?.message, "put: 'namespace not found'");
  const again = await namespace("recycled");
  assert.notEqual(again, id);
  assert.deepEqual((await platform.rest("GET", `${base}/${again}/keys`)).body.result, []);
});

test("[kv-32] what was acknowledged is there after SIGKILL", { timeout: 60_000 }, async (t) => {
  const own = await startPlatform(t);
  const path = `/accounts/${own.ready.account_id}/storage/kv/namespaces`;
  const { id } = (await own.rest("POST", path, { title: "durable" })).body.result;
  const acknowledged: string[] = [];
  const enough = Promise.withResolvers<void>();
  const large = "x".repeat(100_000);
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let i = 0; ; i++) {
      const key = `${writer}-${i}`;
      const answer = await own.rest("PUT", `${path}/${id}/values/${key}`, i % 10 === 0 ? large : key).catch(() => undefined);
      if (answer?.status !== 200) return;
      if (acknowledged.push(key) === 150) enough.resolve();
    }
  });
  await Promise.race([enough.promise, Promise.all(writers)]);
  await own.kill9();
  await Promise.all(writers);
  await own.restart();
  const missing = [];
  for (const key of acknowledged) {
    const response = await own.fetch(`${own.ready.api}${path}/${id}/values/${key}`, {
      headers: { authorization: `Bearer ${own.ready.api_token}` },
    });
    const value = JSON.parse(await response.text());
    if (response.status !== 200 || (value !== key && value !== large)) missing.push(key);
  }
  assert.deepEqual(missing, []);
  assert(acknowledged.length >= 150);
});

test("[kv-29] the analytics API has operations by type, latencies and what namespaces hold", async () => {
  const client = platform.sdk();
  const { id } = await client.kv.namespaces.create({ account_id, title: "figures" });
  for (const key of ["a", "b", "c", "d"])
    await client.kv.namespaces.values.update(key, { account_id, namespace_id: id, value: "12345678" });
  for (let i = 0; i < 3; i++) await (await client.kv.namespaces.values.get("a", { account_id, namespace_id: id })).text();
  await client.kv.namespaces.values.delete("d", { account_id, namespace_id: id });
  for await (const _key of client.kv.namespaces.keys.list(id, { account_id })) {
    // Walking is what counts.
  }
  const where = `, namespaceId: "${id}"`;
  const rows = await rowsOf(
    platform,
    "kvOperationsAdaptiveGroups",
    where,
    "",
    "sum { requests objectBytes } dimensions { date actionType }",
  );
  const date = new Date().toISOString().slice(0, 10);
  const sums = Object.fromEntries(rows.map(({ sum, dimensions }) => [(dimensions as { actionType: string }).actionType, sum]));
  assert.deepEqual(sums, {
    delete: { requests: 1, objectBytes: 0 },
    list: { requests: 1, objectBytes: 0 },
    read: { requests: 3, objectBytes: 24 },
    write: { requests: 4, objectBytes: 32 },
  });
  assert(rows.every(({ dimensions }) => (dimensions as { date: string }).date === date));
  const reads = `${where}, actionType: "read"`;
  const [latency] = await rowsOf(
    platform,
    "kvOperationsAdaptiveGroups",
    reads,
    "",
    "quantiles { latencyMsP25 latencyMsP50 latencyMsP99 latencyMsP999 }",
  );
  const { latencyMsP25: low = 0, latencyMsP50: half = 0, latencyMsP99: most = 0 } = (latency?.quantiles ?? {}) as Record<string, number>;
  assert(low > 0 && low <= half && half <= most && most < 10_000, JSON.stringify(latency));
  const [stored] = await rowsOf(platform, "kvStorageAdaptiveGroups", where, "", "max { keyCount byteCount }");
  assert.deepEqual(stored, { max: { keyCount: 3, byteCount: 27 } });
  const weak = await platform.token(["D1 Read"]);
  const query = `{ viewer { accounts(filter: { accountTag: "${account_id}" }) { kvStorageAdaptiveGroups(limit: 1, filter: { datetime_geq: "${date}T00:00:00Z" }) { max { keyCount } } } } }`;
  assert.notEqual((await askAnalytics(platform, query, {}, weak.value)).errors, null);
});

/** Names of the files below a directory that hold the text. */
async function filesWith(directory: string, text: string): Promise<string[]> {
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const paths = files.map((file) => join(file.parentPath, file.name));
  // A file may go while the platform works.
  const found = await Promise.all(paths.map(async (path) => (await readFile(path).catch(() => Buffer.alloc(0))).includes(text)));
  return paths.filter((_, i) => found[i]);
}

test("[kv-33] values of every size lie encrypted on the disk, and one cannot be put in another's place", async () => {
  const client = platform.sdk();
  const id = await namespace("at-rest");
  const secret = "plaintext-of-a-value";
  const small = secret.repeat(10);
  const large = secret.repeat(MiB / 10);
  for (const [key, value] of [
    ["key-on-the-disk", small],
    ["large", large],
    ["other", "of no interest"],
  ] as const)
    await client.kv.namespaces.values.update(key, { account_id, namespace_id: id, value });
  await client.kv.namespaces.bulkUpdate(id, { account_id, body: [{ key: "bulk", value: small, base64: false }] });
  const get = async (key: string) => {
    const answer = await fetch(api(`${base}/${id}/values/${key}`), { headers: bearer() });
    return answer.status === 200 ? answer.text() : answer.status;
  };
  assert.deepEqual([await get("key-on-the-disk"), await get("large"), await get("bulk")], [small, large, small]);
  const directory = platform.ready.data_dir;
  assert.notDeepEqual(await filesWith(directory, "key-on-the-disk"), [], "the search looks where the data is");
  assert.deepEqual(await filesWith(directory, secret), []);
  await platform.stop();
  assert.deepEqual(await filesWith(directory, secret), []);
  const meta = new DatabaseSync(join(directory, "meta.sqlite"));
  meta.exec(
    `UPDATE kv_entries SET value = (SELECT value FROM kv_entries WHERE key = CAST('bulk' AS BLOB)) WHERE key = CAST('other' AS BLOB)`,
  );
  meta.close();
  platform.expectErrors(/unable to authenticate data/);
  await platform.restart();
  assert.deepEqual([await get("key-on-the-disk"), await get("large"), await get("other")], [small, large, 500]);
});
