/**
 * Needs Rust. Privacy Gateway between a client and application gateways of Oblivious HTTP: what each side learns, what
 * fails, and what is counted of it.
 */
import assert from "node:assert/strict";
import { closeSync, openSync, readSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { rowsOf } from "../analytics.ts";
import { type Inner, startOhttp } from "./ohttp.ts";

const ohttp = await startOhttp();
const news = await ohttp.gateway({ "set-cookie": "who=me", "x-gateway": "1" });
const maps = await ohttp.gateway();
after(async () => {
  ohttp.stop();
  await Promise.all([news.close(), maps.close()]);
});
const applications = [`news=${news.url}/gateway`, `maps=${maps.url}/gateway`, "gone=http://127.0.0.1:1/gateway"];
const platform = await startPlatform(
  { after },
  {
    config: {
      "privacy_gateway.applications": applications,
      "privacy_gateway.body_max_bytes": 100_000,
      "gateway.body_idle_timeout_ms": 1000,
    },
  },
);

const relayOf = (application: string): string => platform.host("privacy_gateway", { application });
const inner = (more: Partial<Inner> = {}): Inner => ({
  method: "POST",
  authority: "target.example",
  path: "/secret-path",
  body: "a secret body",
  ...more,
});
const TYPE = { "content-type": "message/ohttp-req" };

/** One request through the relay, sealed and opened by the client. */
async function relayed(application: string, request: Inner, headers: Readonly<Record<string, string>> = {}) {
  const { id, sealed } = await ohttp.seal(ohttp.configurations, request);
  const response = await platform.fetch(`${relayOf(application)}/relay`, {
    method: "POST",
    headers: { ...TYPE, ...headers },
    body: sealed,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, bytes.toString());
  return { response, sealed, bytes, ...(await ohttp.open(id, bytes)) };
}

test("[privacy-gateway-01, privacy-gateway-11] a request sealed with the gateway's own keys goes through the relay, and its answer opens", async () => {
  const keys = await fetch(`${news.url}/ohttp-configs`);
  assert.equal(keys.headers.get("content-type"), "application/ohttp-keys");
  assert.ok(Buffer.from(await keys.arrayBuffer()).equals(ohttp.configurations));
  const { response, body } = await relayed("news", inner());
  assert.equal(body, "POST /secret-path: a secret body");
  assert.equal(response.headers.get("content-type"), "message/ohttp-res");
  const large = "x".repeat(40_000);
  assert.equal((await relayed("news", inner({ body: large }))).body, `POST /secret-path: ${large}`);
});

test("[privacy-gateway-02] each application has a host and a gateway of its own; an unknown one is refused", async () => {
  const before = [news.received.length, maps.received.length];
  assert.equal((await relayed("maps", inner({ path: "/map" }))).body, "POST /map: a secret body");
  assert.deepEqual([news.received.length, maps.received.length], [before[0], (before[1] as number) + 1]);
  const { sealed } = await ohttp.seal(ohttp.configurations, inner());
  const unknown = await platform.fetch(relayOf("unknown"), { method: "POST", headers: TYPE, body: sealed });
  assert.equal(unknown.status, 404);
});

test("[privacy-gateway-03] the gateway learns nothing of the client, and the client nothing that tells it apart", async () => {
  const { response } = await relayed("news", inner(), {
    "user-agent": "Tell-Tale/1.0",
    cookie: "who=me",
    "accept-language": "de",
    authorization: "Bearer x",
    referer: "https://client.example",
    "x-forwarded-for": "203.0.113.9",
    "cf-connecting-ip": "203.0.113.9",
    forwarded: "for=203.0.113.9",
    "x-custom": "mine",
  });
  const { headers } = news.received.at(-1) as (typeof news.received)[number];
  assert.deepEqual(Object.keys(headers).sort(), ["connection", "content-length", "content-type", "host"]);
  assert.deepEqual([headers.host, headers["content-type"]], [new URL(news.url).host, "message/ohttp-req"]);
  assert.deepEqual([response.headers.get("set-cookie"), response.headers.get("x-gateway")], [null, null]);
});

test("[privacy-gateway-04] neither the log nor the memory nor the files of the relay hold what is inside", async () => {
  const secret = `needle-${"a1b2c3".repeat(4)}`;
  const { body } = await relayed("news", inner({ path: `/${secret}`, body: secret }));
  assert.match(body, new RegExp(secret));
  const needle = Buffer.from(secret);
  assert.ok(!platform.printed().includes(secret));
  // All memory that the process may write to, where this system shows it.
  const maps = (await readFile(`/proc/${platform.pid}/maps`, "utf8").catch(() => "")).split("\n");
  let searched = false;
  const memory = maps.length > 1 ? openSync(`/proc/${platform.pid}/mem`, "r") : undefined;
  try {
    for (const line of memory === undefined ? [] : maps) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      for (let at = Number.parseInt(from, 16); at < Number.parseInt(to, 16); at += 4_000_000) {
        const part = Buffer.alloc(4_000_100);
        try {
          readSync(memory as number, part, 0, part.length, at);
        } catch {
          break; // A range that cannot be read (it is gone by now, or belongs to a device).
        }
        searched ||= part.includes(news.url);
        assert.ok(!part.includes(needle), "the relay's memory holds what is inside");
      }
    }
  } finally {
    if (memory !== undefined) closeSync(memory);
  }
  assert.equal(searched, memory !== undefined, "what it does know is found there");
  for (const entry of await readdir(platform.dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) assert.ok(!(await readFile(join(entry.parentPath, entry.name))).includes(needle), entry.name);
});

test("[privacy-gateway-05] what is no encapsulated request is refused with 400, what is too large with 413, announced or not", async () => {
  const { sealed } = await ohttp.seal(ohttp.configurations, inner());
  const before = news.received.length;
  const status = async (init: Parameters<typeof platform.fetch>[1]) => {
    const response = await platform.fetch(`${relayOf("news")}/relay`, init);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await status({}), [400, "Invalid request"]);
  assert.deepEqual(await status({ method: "PUT", headers: TYPE, body: sealed }), [400, "Invalid request"]);
  assert.deepEqual(await status({ method: "POST", body: sealed }), [400, "Invalid request"]);
  assert.deepEqual(await status({ method: "POST", headers: { "content-type": "message/ohttp-res" }, body: sealed }), [
    400,
    "Invalid request",
  ]);
  const large = Buffer.alloc(100_001);
  assert.deepEqual(await status({ method: "POST", headers: TYPE, body: large }), [413, "The request is too large"]);
  const chunks = (async function* () {
    yield large.subarray(0, 60_000);
    yield large.subarray(60_000);
  })();
  assert.equal((await status({ method: "POST", headers: TYPE, body: chunks, duplex: "half" }))[0], 413);
  assert.equal(news.received.length, before);
});

test("a client that stands still is told so, and the gateway never hears of it", async () => {
  const { sealed } = await ohttp.seal(ohttp.configurations, inner());
  const before = news.received.length;
  const stuck = (async function* () {
    yield sealed.subarray(0, 10);
    await new Promise(() => undefined);
  })();
  const response = await platform.fetch(`${relayOf("news")}/relay`, { method: "POST", headers: TYPE, body: stuck, duplex: "half" });
  assert.deepEqual([response.status, await response.text()], [408, "The request was not received in time"]);
  assert.equal(news.received.length, before);
});

test("[privacy-gateway-10] equal requests both reach the gateway, and answers are not to be stored", async () => {
  const { sealed } = await ohttp.seal(ohttp.configurations, inner());
  const before = news.received.length;
  for (let i = 0; i < 2; i++) {
    const response = await platform.fetch(`${relayOf("news")}/relay`, { method: "POST", headers: TYPE, body: sealed });
    assert.deepEqual([response.status, response.headers.get("cache-control")], [200, "no-store"]);
    await response.arrayBuffer();
  }
  assert.equal(news.received.length, before + 2);
});

test("[privacy-gateway-06, privacy-gateway-07, privacy-gateway-08] requests are counted one by one and in groups, failures of either side with their codes", async () => {
  const { sealed, bytes } = await relayed("maps", inner({ path: "/counted" }));
  const post = async (application: string) => {
    const response = await platform.fetch(relayOf(application), { method: "POST", headers: TYPE, body: sealed });
    return [response.status, await response.text()];
  };
  maps.failWith = 503;
  assert.deepEqual(await post("maps"), [503, "the gateway fails"]);
  maps.failWith = 0;
  assert.deepEqual(await post("gone"), [502, "The application's gateway could not be reached"]);

  const selection = "endpoint relayStatusCode gatewayStatusCode bytesToGateway bytesToClient colo datetime";
  const rows = await rowsOf(platform, "ohttpMetricsAdaptive", ', endpoint_in: ["maps", "gone"]', "orderBy: [datetime_ASC]", selection);
  const seen = rows.map(({ endpoint, relayStatusCode, gatewayStatusCode, bytesToGateway, bytesToClient }) =>
    [endpoint, relayStatusCode, gatewayStatusCode, bytesToGateway, bytesToClient].join(" "),
  );
  assert.ok(seen.includes(`maps 200 200 ${sealed.length} ${bytes.length}`), seen.join("\n"));
  assert.ok(seen.includes(`maps 503 503 ${sealed.length} ${"the gateway fails".length}`), seen.join("\n"));
  assert.ok(
    seen.some((row) => row.startsWith("gone 502 0 ")),
    seen.join("\n"),
  );

  const groups = await rowsOf(
    platform,
    "ohttpMetricsAdaptiveGroups",
    "",
    "orderBy: [datetimeFiveMinutes_ASC]",
    "count dimensions { datetimeFiveMinutes endpoint } sum { bytesToClient bytesToGateway clientRequestErrors gatewayResponseErrors }",
  );
  const total = (endpoint: string, member: string): number =>
    groups
      .filter(({ dimensions }) => (dimensions as { endpoint: string }).endpoint === endpoint)
      .reduce((sum, group) => sum + ((member === "count" ? group.count : (group.sum as Record<string, number>)[member]) as number), 0);
  for (const { dimensions } of groups)
    assert.match((dimensions as { datetimeFiveMinutes: string }).datetimeFiveMinutes, /T\d\d:[0-5][05]:00Z$/);
  const ofMaps = rows.filter(({ endpoint }) => endpoint === "maps");
  assert.equal(total("maps", "count"), ofMaps.length);
  assert.equal(
    total("maps", "bytesToGateway"),
    ofMaps.reduce((sum, row) => sum + Number(row.bytesToGateway), 0),
  );
  assert.deepEqual([total("maps", "gatewayResponseErrors"), total("gone", "gatewayResponseErrors")], [1, 1]);
  assert.equal(total("news", "clientRequestErrors"), 7);
});

test("[privacy-gateway-09] metrics of more than 124 days ago are gone", async () => {
  await platform.stop();
  const path = join(platform.dir, "meta.sqlite");
  const count = (): unknown[] => {
    const db = new DatabaseSync(path);
    const rows = db.prepare("SELECT endpoint FROM privacy_gateway_requests WHERE endpoint LIKE 'days-%' ORDER BY endpoint").all();
    db.close();
    return rows.map((row) => row.endpoint);
  };
  const db = new DatabaseSync(path);
  for (const days of [123, 125])
    db.prepare("INSERT INTO privacy_gateway_requests VALUES (?, ?, 200, 200, 1, 1)").run(Date.now() - days * 86_400_000, `days-${days}`);
  db.close();
  assert.deepEqual(count(), ["days-123", "days-125"]);
  const again = await startPlatform({ after }, { dir: platform.dir, config: { "privacy_gateway.applications": applications } });
  const { sealed } = await ohttp.seal(ohttp.configurations, inner());
  await again.fetch(again.host("privacy_gateway", { application: "news" }), { method: "POST", headers: TYPE, body: sealed });
  // Reading writes what is counted, and deletes what is old.
  assert.deepEqual(await rowsOf(again, "ohttpMetricsAdaptiveGroups", ', endpoint: "days-125"', "", "count"), []);
  await again.stop();
  assert.deepEqual(count(), ["days-123"]);
});
