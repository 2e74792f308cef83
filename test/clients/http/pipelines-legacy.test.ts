/** What no wrangler sends to legacy pipelines: bad settings, members nobody knows, other people's tokens, failing destinations. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { DeleteBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform, type Token } from "../../harness/platform.ts";
import { eventually, pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after }, { config: { "pipelines.pipelines_max": 8 } });
const world = await pipelinesWorld(platform);
const path = `/accounts/${platform.ready.account_id}/pipelines`;

type Body = Record<string, unknown> & { destination: Record<string, unknown>; source: unknown[]; metadata: Record<string, unknown> };

function body(name: string, bucket: string, token: Token = world.token): Body {
  return {
    name,
    metadata: {},
    source: [
      { type: "http", format: "json", authentication: false },
      { type: "binding", format: "json" },
    ],
    transforms: [],
    destination: {
      type: "r2",
      format: "json",
      compression: { type: "gzip" },
      batch: { max_duration_s: 1 },
      path: { bucket },
      credentials: {
        endpoint: `https://${platform.ready.account_id}.r2.cloudflarestorage.com`,
        access_key_id: token.s3.accessKeyId,
        secret_access_key: token.s3.secretAccessKey,
      },
    },
  };
}

async function create(given: Body): Promise<Body & { endpoint: string; version: number }> {
  const answer = await platform.rest("POST", path, given);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body.result;
}

const idsIn = async (bucket: string): Promise<number[]> => {
  const texts = await Promise.all((await world.keys(bucket)).map(async (key) => gunzipSync(await world.object(bucket, key)).toString()));
  return texts
    .flatMap((text) => text.trimEnd().split("\n"))
    .map((line) => (JSON.parse(line) as { id: number }).id)
    .sort((a, b) => a - b);
};

const delivered = (bucket: string, ids: readonly number[]): Promise<void> =>
  eventually(`events ${ids.join()} in ${bucket}`, async () => assert.deepEqual(await idsIn(bucket), ids));

test("settings out of their documented ranges are refused by name, and nothing is made", async () => {
  const bucket = await world.bucket("legacy-refusals");
  const reader = await platform.token(["Workers R2 Storage Read"]);
  const elsewhere = await platform.token(["Workers R2 Storage Bucket Item Write"], {
    [`com.cloudflare.edge.r2.bucket.${platform.ready.account_id}_default_other-bucket`]: "*",
  });
  const credentials = (more: Record<string, string>) => ({ ...(body("x", bucket).destination.credentials as object), ...more });
  const given = (change: Record<string, unknown>, destination: Record<string, unknown> = {}) => {
    const whole = body("refused", bucket);
    return { ...whole, ...change, destination: { ...whole.destination, ...destination } };
  };
  const cases: [unknown, RegExp][] = [
    [given({ name: "" }), /1 to 63/],
    [given({ name: "a".repeat(64) }), /1 to 63/],
    [given({ name: "under_score" }), /letters, digits and dashes/],
    [given({ name: "-dash" }), /start and end/],
    [given({ metadata: { shards: 0 } }), /metadata\.shards: must be between 1 and 15/],
    [given({ metadata: { shards: 16 } }), /metadata\.shards: must be between 1 and 15/],
    [given({ metadata: { shards: 1.5 } }), /metadata\.shards: must be a whole number/],
    [given({ source: [] }), /at least one source/],
    [given({ source: [{ type: "http", format: "avro" }] }), /source\.0\.format/],
    [given({ source: [{ type: "kafka", format: "json" }] }), /source\.0\.type/],
    [given({ source: [{ type: "http" }, { type: "http" }] }), /each type may be listed once/],
    [given({ source: [{ type: "http", cors: { origins: ["not an origin"] } }] }), /not a valid CORS origin/],
    [given({ transforms: [{ script: "worker", entrypoint: "Transform" }] }), /transforms are not implemented/],
    [given({}, { batch: { max_bytes: 999_999 } }), /batch\.max_bytes: must be between 1000000 and 100000000/],
    [given({}, { batch: { max_duration_s: 0 } }), /batch\.max_duration_s: must be between 1 and 300/],
    [given({}, { batch: { max_duration_s: 301 } }), /batch\.max_duration_s: must be between 1 and 300/],
    [given({}, { batch: { max_rows: 10_000_001 } }), /batch\.max_rows: must be between 1 and 10000000/],
    [given({}, { compression: { type: "zstd" } }), /compression\.type/],
    [given({}, { path: { bucket: "no-such-bucket" } }), /bucket no-such-bucket does not exist/],
    [given({}, { path: { bucket, prefix: "a\nb" } }), /prefix: not usable/],
    [given({}, { path: { bucket, filename: "fixed" } }), /filename is not implemented/],
    [given({}, { credentials: undefined }), /credentials: required/],
    [given({}, { credentials: credentials({ endpoint: "https://s3.example.com" }) }), /not the R2 endpoint of this account/],
    [given({}, { credentials: credentials({ secret_access_key: "0".repeat(64) }) }), /secret is wrong/],
    [given({}, { credentials: body("x", bucket, reader).destination.credentials }), /may not write to the bucket/],
    [given({}, { credentials: body("x", bucket, elsewhere).destination.credentials }), /may not write to the bucket/],
  ];
  for (const [refused, text] of cases) {
    const { status, body: answer } = await platform.rest("POST", path, refused);
    assert.ok(status >= 400 && status < 502, `${status}: ${JSON.stringify(refused)}`);
    assert.match(answer.errors[0]?.message ?? "", text);
  }
  assert.deepEqual((await platform.rest("GET", path)).body.result, []);
});

test("what the client sent comes back, unknown members too, and no credentials", async () => {
  const bucket = await world.bucket("legacy-echo");
  const given = body("echo", bucket);
  const known = {
    ...given,
    metadata: { shards: 1, owner: { team: "data" } },
    source: [{ type: "http", format: "json", authentication: false, cors: { origins: ["*"], max_age: 5 }, later: [1] }],
    destination: { ...given.destination, path: { bucket, prefix: "a", later: true }, later: { x: 1 } },
    later: "kept",
  };
  const made = await create(known);
  const { credentials: _, ...destination } = known.destination as Record<string, unknown>;
  const batch = { max_bytes: 100_000_000, max_duration_s: 1, max_rows: 10_000_000 };
  const expected = { ...known, destination: { ...destination, batch }, id: made.id, version: 1, endpoint: made.endpoint };
  assert.deepEqual(made, expected);
  // The client of an update sends back what it got.
  const put = await platform.rest("PUT", `${path}/echo`, made);
  assert.deepEqual(put.body.result, { ...expected, version: 2 });
  const renamed = await platform.rest("PUT", `${path}/echo`, { ...made, name: "other" });
  assert.match(renamed.body.errors[0]?.message ?? "", /cannot be renamed/);
  const found = async (query: string) => (await platform.rest("GET", `${path}${query}`)).body;
  assert.deepEqual((await found("?search=ec")).result, [put.body.result]);
  assert.deepEqual((await found("?search=cho")).result, []);
  assert.deepEqual((await found("?page=2&per_page=1")).result, []);
  const everything = JSON.stringify([made, put.body, await found("")]);
  assert.doesNotMatch(everything, new RegExp(`credentials|${world.token.s3.secretAccessKey}|${world.token.s3.accessKeyId}`));
  // The credentials that were not sent again still deliver.
  await world.ingest(made.endpoint, [{ id: 1 }]);
  await delivered(bucket, [1]);
  for (const [method, at] of [
    ["GET", "/unknown"],
    ["PUT", "/unknown"],
    ["DELETE", "/unknown"],
  ] as const) {
    const { status, body: answer } = await platform.rest(method, `${path}${at}`, method === "PUT" ? made : undefined);
    assert.deepEqual([status, answer.errors[0]?.code], [404, 1000]);
  }
});

test("tokens: reading, changing and sending are three rights; authentication and CORS follow the settings", async () => {
  const bucket = await world.bucket("legacy-rights");
  const given = body("rights", bucket);
  const made = await create({
    ...given,
    source: [{ type: "http", format: "json", authentication: true, cors: { origins: ["https://app.example"] } }],
  });
  const [read, write, send] = await Promise.all(
    ["Read", "Write", "Send"].map(async (right) => (await platform.token([`Workers Pipelines ${right}`])).value),
  );
  const status = async (method: string, at: string, token: string | undefined, content?: unknown): Promise<number> =>
    (await platform.rest(method, `${path}${at}`, content, token)).status;
  assert.deepEqual(
    [await status("GET", "/rights", read), await status("DELETE", "/rights", read), await status("PUT", "/rights", read, made)],
    [200, 403, 403],
  );
  assert.deepEqual([await status("GET", "/rights", send), await status("POST", "", send, given)], [403, 403]);
  const events = [{ id: 1 }];
  const bearer = (value: string | undefined) => ({ authorization: `Bearer ${value}` });
  assert.equal((await world.send(made.endpoint, events)).status, 401);
  assert.equal((await world.send(made.endpoint, events, bearer(write))).status, 403);
  assert.equal((await world.send(made.endpoint, events, bearer(send))).status, 200);

  const preflight = (origin: string) =>
    platform.fetch(made.endpoint, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
  assert.equal((await preflight("https://app.example")).headers.get("access-control-allow-origin"), "https://app.example");
  const other = await preflight("https://evil.example");
  assert.deepEqual([other.status, other.headers.get("access-control-allow-origin")], [403, null]);
  const sent = await world.send(made.endpoint, [{ id: 2 }], { ...bearer(send), origin: "https://app.example" });
  assert.equal(sent.headers.get("access-control-allow-origin"), "https://app.example");
  await delivered(bucket, [1, 2]);
});

test("a pipeline whose credentials were revoked keeps its events, and delivers them with those of an update", async () => {
  const bucket = await world.bucket("legacy-revoked");
  const token = await platform.token(["Workers R2 Storage Write"]);
  const given = body("revoked", bucket, token);
  const { endpoint } = await create(given);
  await platform.rest("DELETE", `/accounts/${platform.ready.account_id}/tokens/${token.id}`);
  await world.ingest(endpoint, [{ id: 1 }, { id: 2 }]);
  await eventually("a failed delivery", async () => assert.ok(platform.log.some((line) => line.msg === "reader.failed")));
  assert.deepEqual(await world.keys(bucket), []);
  // Settings alone do not help: the credentials that stay are checked again.
  const { destination } = given;
  const { credentials: _, ...kept } = destination;
  assert.match((await platform.rest("PUT", `${path}/revoked`, { ...given, destination: kept })).body.errors[0]?.message ?? "", /revoked/);
  assert.equal((await platform.rest("PUT", `${path}/revoked`, body("revoked", bucket))).status, 200);
  await world.ingest(endpoint, [{ id: 3 }]);
  await delivered(bucket, [1, 2, 3]);
});

test("a deleted pipeline delivers what it has taken, or drops what nobody can take; a stop in between changes nothing", async () => {
  const [bucket, gone] = [await world.bucket("legacy-deleted"), await world.bucket("legacy-gone")];
  const long = (name: string, to: string) => {
    const given = body(name, to);
    return { ...given, destination: { ...given.destination, batch: { max_duration_s: 300 } } };
  };
  const kept = await create(long("deleted", bucket));
  const lost = await create(long("lost", gone));
  await world.ingest(kept.endpoint, [{ id: 1 }, { id: 2 }]);
  await world.ingest(lost.endpoint, [{ id: 3 }]);
  await platform.restart();
  assert.deepEqual(await world.keys(bucket), []);
  await world.s3.send(new DeleteBucketCommand({ Bucket: gone }));
  for (const name of ["deleted", "lost"]) assert.equal((await platform.rest("DELETE", `${path}/${name}`)).status, 200);
  await delivered(bucket, [1, 2]);
  assert.equal((await world.send(kept.endpoint, [{ id: 4 }])).status, 404);
  await eventually("the end of the one without a bucket", async () => {
    const line = platform.log.find(({ msg }) => msg === "legacy.events_dropped");
    assert.equal(line?.events, 1);
  });
  // The name is free, and what is made under it begins empty.
  const again = await create(body("deleted", bucket));
  await world.ingest(again.endpoint, [{ id: 5 }]);
  await delivered(bucket, [1, 2, 5]);
});

test("the account's limit counts", async () => {
  const bucket = await world.bucket("legacy-limit");
  const count = (await platform.rest("GET", path)).body.result.length as number;
  for (let i = count; i < 8; i++) await create(body(`filler-${i}`, bucket));
  const { status, body: answer } = await platform.rest("POST", path, body("one-more", bucket));
  assert.deepEqual([status, answer.errors[0]?.message], [400, "The account's limit of 8 legacy pipelines is reached"]);
});
