/** The ingest endpoint as any HTTP client meets it: authentication, CORS, limits, refusals. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform(
  { after },
  { config: { "gateway.body_idle_timeout_ms": 1000, "pipelines.rate_max_bytes_per_s": 3_000_000, "pipelines.streams_max": 8 } },
);
const world = await pipelinesWorld(platform);

const errorOf = (body: unknown) => (body as { success: boolean; errors: { code: number; message: string }[] }).errors[0];

test("[pipelines-07] an authenticated stream wants a token with Send", async () => {
  const { endpoint } = await world.stream("auth_stream", eventFields, { enabled: true, authentication: true });
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
  const without = await world.send(endpoint, sampleEvents);
  assert.equal(without.status, 401);
  assert.equal((without.body as { success: boolean }).success, false);
  assert.equal((await world.send(endpoint, sampleEvents, bearer("nonsense"))).status, 401);
  const edit = await platform.token(["Workers Pipelines Write", "Workers Pipelines Read"]);
  const refused = await world.send(endpoint, sampleEvents, bearer(edit.value));
  assert.equal(refused.status, 403);
  assert.match(errorOf(refused.body)?.message ?? "", /Workers Pipelines Send/);
  const send = await platform.token(["Workers Pipelines Send"]);
  const taken = await world.send(endpoint, sampleEvents, bearer(send.value));
  assert.deepEqual([taken.status, taken.body], [200, { success: true, result: { committed: 3 } }]);
  // A refusal reaches a client that is still sending.
  const large = JSON.stringify([{ user_id: "x".repeat(990_000), event_type: "y" }]);
  for (let i = 0; i < 5; i++) assert.equal((await world.send(endpoint, large)).status, 401);
  // Send opens this door and no other.
  assert.equal((await platform.rest("GET", `${world.base}/streams`, undefined, send.value)).status, 403);
});

test("[pipelines-08, pipelines-09] CORS follows the stream's settings, which can change", async () => {
  const { id, endpoint } = await world.stream("cors_stream", eventFields, {
    enabled: true,
    authentication: false,
    cors: { origins: ["https://app.example"] },
  });
  const preflight = (origin: string) =>
    platform.fetch(endpoint, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });
  const allowed = await preflight("https://app.example");
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://app.example");
  assert.match(allowed.headers.get("access-control-allow-methods") ?? "", /POST/);
  assert.match(allowed.headers.get("access-control-allow-headers") ?? "", /content-type/);
  const other = await preflight("https://evil.example");
  assert.equal(other.status, 403);
  assert.equal(other.headers.get("access-control-allow-origin"), null);
  const sent = await world.send(endpoint, sampleEvents, { origin: "https://app.example" });
  assert.equal(sent.headers.get("access-control-allow-origin"), "https://app.example");
  const change = (body: unknown) => platform.rest("PATCH", `${world.base}/streams/${id}`, body);
  assert.equal((await change({ http: { enabled: true, authentication: false, cors: { origins: ["*"] } } })).status, 200);
  assert.equal((await preflight("https://evil.example")).headers.get("access-control-allow-origin"), "*");
  assert.equal((await change({ http: { enabled: true, authentication: true } })).body.result.http.authentication, true);
  assert.equal((await world.send(endpoint, sampleEvents)).status, 401);
  await change({ http: { enabled: false, authentication: false } });
  assert.equal((await world.send(endpoint, sampleEvents)).status, 403);
});

test("[pipelines-10] a body over 1 MB is refused, and the connection stays usable", async () => {
  const { endpoint } = await world.stream("limit_stream");
  const body = (bytes: number) => JSON.stringify([{ text: "x".repeat(bytes - 13) }]);
  assert.equal(body(1_000_000).length, 1_000_000);
  const large = await world.send(endpoint, body(1_100_000));
  assert.equal(large.status, 413);
  assert.equal((await world.send(endpoint, body(1_000_001))).status, 413);
  assert.deepEqual((await world.send(endpoint, body(1_000_000))).body, { success: true, result: { committed: 1 } });
  // Without an announced length the end of patience is the limit itself.
  const chunked = await platform.fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: (async function* () {
      for (let i = 0; i < 30; i++) yield Buffer.alloc(100_000, 0x20);
    })(),
    duplex: "half",
  });
  assert.equal(chunked.status, 413);
});

test("bodies that are not a JSON array of events are refused, and nothing of them is kept", async () => {
  const { endpoint } = await world.stream("shape_stream", eventFields);
  const cases: [string, Record<string, string>, number][] = [
    ["{", {}, 400],
    ["", {}, 400],
    ['{"user_id":"a"}', {}, 400],
    ['[{"user_id":"a","event_type":"b"}, 5]', {}, 400],
    ["[]", { "content-type": "text/csv" }, 415],
    ["[]", { "content-type": "application/x-www-form-urlencoded" }, 415],
  ];
  for (const [body, headers, status] of cases) {
    const answer = await world.send(endpoint, body, headers);
    assert.equal(answer.status, status, body);
    assert.equal((answer.body as { success: boolean }).success, false);
  }
  assert.deepEqual((await world.send(endpoint, "[]", { "content-type": "application/json; charset=utf-8" })).body, {
    success: true,
    result: { committed: 0 },
  });
  assert.equal((await platform.fetch(endpoint)).status, 405);
  assert.equal((await world.send(platform.host("ingest", { stream: "0".repeat(32) }), sampleEvents)).status, 404);
});

test("[pipelines-11] past the rate limit a stream answers 429 and goes on afterwards", async () => {
  const { endpoint } = await world.stream("rate_stream");
  const body = JSON.stringify([{ text: "x".repeat(900_000) }]);
  const statuses: number[] = [];
  for (let i = 0; i < 8; i++) statuses.push((await world.send(endpoint, body)).status);
  assert.ok(statuses.includes(429), String(statuses));
  assert.equal(statuses[0], 200);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal((await world.send(endpoint, body)).status, 200);
});

test("a client that stops in the middle of its body is answered 408", async () => {
  const { endpoint } = await world.stream("slow_stream");
  const { hostname, port } = new URL(endpoint);
  const socket = connect(Number(port), "127.0.0.1");
  socket.write(`POST / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[{"a":`);
  const answer = await new Promise<string>((resolve, reject) => {
    socket.setTimeout(10_000, () => reject(new Error("no answer")));
    socket.on("data", (data) => resolve(data.toString()));
    socket.on("error", reject);
  });
  socket.destroy();
  assert.match(answer, /^HTTP\/1\.1 408 /);
});

test("[pipelines-12] the 9th of 8 streams is refused", async () => {
  const list = async () => (await platform.rest("GET", `${world.base}/streams?per_page=100`)).body.result as { id: string }[];
  for (let i = (await list()).length; i < 8; i++) await world.stream(`filler_${i}`);
  const refused = await platform.rest("POST", `${world.base}/streams`, { name: "one_more" });
  assert.equal(refused.status, 400);
  assert.match(refused.body.errors[0]?.message ?? "", /limit of 8 streams/);
  await platform.rest("DELETE", `${world.base}/streams/${(await list())[0]?.id}`);
  assert.equal((await platform.rest("POST", `${world.base}/streams`, { name: "one_more" })).status, 200);
});
