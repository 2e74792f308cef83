/** Pipelines by the `cloudflare` SDK: create, page through, change, validate, delete. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);
const client = platform.sdk();
const account_id = platform.ready.account_id;

test("[pipelines-09] streams are created, changed, listed page by page and deleted", async () => {
  const made = await client.pipelines.streams.create({ account_id, name: "sdk_stream", schema: { fields: eventFields as never } });
  assert.deepEqual([made.name, made.version, made.http.enabled, made.worker_binding.enabled], ["sdk_stream", 1, true, true]);
  assert.ok(!Number.isNaN(Date.parse(made.created_at)));
  const changed = await client.pipelines.streams.update(made.id, {
    account_id,
    http: { enabled: true, authentication: true, cors: { origins: ["https://a.example"] } },
    worker_binding: { enabled: false },
  });
  assert.deepEqual(
    [changed.http.cors?.origins, changed.http.authentication, changed.worker_binding.enabled],
    [["https://a.example"], true, false],
  );
  assert.deepEqual((await client.pipelines.streams.get(made.id, { account_id })).schema, { fields: eventFields });
  for (let i = 0; i < 4; i++) await client.pipelines.streams.create({ account_id, name: `sdk_more_${i}` });
  const names: string[] = [];
  for await (const stream of client.pipelines.streams.list({ account_id, per_page: 2, name: "SDK_" })) names.push(stream.name);
  assert.deepEqual(names, ["sdk_stream", "sdk_more_0", "sdk_more_1", "sdk_more_2", "sdk_more_3"]);
  await client.pipelines.streams.delete(made.id, { account_id });
  await assert.rejects(client.pipelines.streams.get(made.id, { account_id }), (error: { status?: number }) => error.status === 404);
});

test("sinks and pipelines are created, read and deleted; SQL is validated", async () => {
  const bucket = await world.bucket("sdk-pipelines");
  const credentials = { access_key_id: world.token.s3.accessKeyId, secret_access_key: world.token.s3.secretAccessKey };
  const sink = await client.pipelines.sinks.create({
    account_id,
    name: "sdk_sink",
    type: "r2",
    config: { account_id, bucket, credentials },
  });
  assert.deepEqual([sink.type, sink.format], ["r2", { type: "parquet" }]);
  const shown = await client.pipelines.sinks.get(sink.id, { account_id });
  assert.deepEqual(shown.config, {
    account_id,
    bucket,
    path: "",
    partitioning: { time_pattern: "year=%Y/month=%m/day=%d" },
    rolling_policy: { interval_seconds: 300 },
  });
  const source = await client.pipelines.streams.create({ account_id, name: "sdk_source", schema: { fields: eventFields as never } });
  const sql = "insert into sdk_sink select * from sdk_source;";
  const valid = await client.pipelines.validateSql({ account_id, sql });
  assert.deepEqual(valid.tables.sdk_source, { id: source.id, name: "sdk_source", type: "stream", version: 1 });
  assert.deepEqual([valid.graph?.nodes.length, valid.graph?.edges.length], [3, 2]);
  const pipeline = await client.pipelines.createV1({ account_id, name: "sdk_pipeline", sql });
  const read = await client.pipelines.getV1(pipeline.id, { account_id });
  assert.deepEqual([read.sql, read.status, read.tables.map((table) => table.type)], [sql, "running", ["stream", "sink"]]);
  const listed = [];
  for await (const one of client.pipelines.listV1({ account_id })) listed.push(one.name);
  assert.deepEqual(listed, ["sdk_pipeline"]);
  await client.pipelines.deleteV1(pipeline.id, { account_id });
  await client.pipelines.sinks.delete(sink.id, { account_id });
  await assert.rejects(client.pipelines.getV1(pipeline.id, { account_id }), /1000/);
  await assert.rejects(client.pipelines.sinks.get(sink.id, { account_id }), /1015/);
  await assert.rejects(client.pipelines.createV1({ account_id, name: "x", sql }), /table 'sdk_sink' not found/);
});
