/** Streams, pipelines and sinks that come, go and come again: which events reach whom. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { DeleteBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { eventually, pipelinesWorld } from "../pipelines-world.ts";

// Small segments: they are given back one by one.
const platform = await startPlatform({ after }, { config: { "journal.segment_bytes": 64 * 1024 } });
const world = await pipelinesWorld(platform);
const fields = [{ name: "id", type: "int64", required: true }];
const remove = (kind: string, id: string) => platform.rest("DELETE", `${world.base}/${kind}/${id}`);
const ids = async (bucket: string) => (await world.parquetRows(bucket, "id")).map((row) => Number(row.id));

test("events that were sent before the first pipeline are delivered to it", async () => {
  const bucket = await world.bucket("life-early");
  const { endpoint } = await world.stream("early_stream", fields);
  await world.ingest(endpoint, [{ id: 1 }, { id: 2 }]);
  await world.r2Sink("early_sink", bucket);
  await world.pipeline("early", "INSERT INTO early_sink SELECT * FROM early_stream");
  await world.ingest(endpoint, [{ id: 3 }]);
  await eventually("all events", async () => assert.deepEqual(await ids(bucket), [1, 2, 3]));
});

test("a pipeline that replaces another goes on where that one ended", async () => {
  const [one, two] = [await world.bucket("life-replace-1"), await world.bucket("life-replace-2")];
  const { endpoint } = await world.stream("replace_stream", fields);
  await world.r2Sink("replace_sink_1", one);
  await world.r2Sink("replace_sink_2", two);
  const first = await world.pipeline("replace", "INSERT INTO replace_sink_1 SELECT * FROM replace_stream");
  await world.ingest(endpoint, [{ id: 1 }, { id: 2 }]);
  await eventually("the first events", async () => assert.deepEqual(await ids(one), [1, 2]));
  await remove("pipelines", first.id);
  await world.ingest(endpoint, [{ id: 3 }]);
  await world.pipeline("replace", "INSERT INTO replace_sink_2 SELECT * FROM replace_stream");
  await world.ingest(endpoint, [{ id: 4 }]);
  await eventually("the other events", async () => assert.deepEqual(await ids(two), [3, 4]));
  assert.deepEqual(await ids(one), [1, 2]);
});

test("a pipeline beside another gets what comes from then on", async () => {
  const [one, two] = [await world.bucket("life-beside-1"), await world.bucket("life-beside-2")];
  const { endpoint } = await world.stream("beside_stream", fields);
  await world.r2Sink("beside_sink_1", one, { rolling_policy: { interval_seconds: 1 } });
  await world.r2Sink("beside_sink_2", two);
  await world.pipeline("beside-1", "INSERT INTO beside_sink_1 SELECT * FROM beside_stream");
  await world.ingest(endpoint, [{ id: 1 }]);
  await world.pipeline("beside-2", "INSERT INTO beside_sink_2 SELECT * FROM beside_stream");
  await world.ingest(endpoint, [{ id: 2 }]);
  await eventually("both", async () => {
    assert.deepEqual(await ids(one), [1, 2]);
    assert.deepEqual(await ids(two), [2]);
  });
});

test("deleting a sink fails its pipeline; another sink and pipeline take over without loss", async () => {
  const [one, two] = [await world.bucket("life-sink-1"), await world.bucket("life-sink-2")];
  const { endpoint } = await world.stream("sink_stream", fields);
  const sink = await world.r2Sink("gone_sink", one);
  const first = await world.pipeline("gone", "INSERT INTO gone_sink SELECT * FROM sink_stream");
  await world.ingest(endpoint, [{ id: 1 }]);
  await eventually("the first event", async () => assert.deepEqual(await ids(one), [1]));
  await remove("sinks", sink.id);
  await world.ingest(endpoint, [{ id: 2 }]);
  const shown = (await platform.rest("GET", `${world.base}/pipelines/${first.id}`)).body.result;
  assert.deepEqual([shown.status, shown.failure_reason], ["failed", "The sink gone_sink was deleted"]);
  await remove("pipelines", first.id);
  await world.r2Sink("gone_sink", two);
  await world.pipeline("gone", "INSERT INTO gone_sink SELECT * FROM sink_stream");
  await eventually("the second event", async () => assert.deepEqual(await ids(two), [2]));
});

test("[pipelines-22, pipelines-37] a stream keeps its events until every reader has them, however long one fails", async () => {
  const [one, two] = [await world.bucket("life-keeps-1"), await world.bucket("life-keeps-2")];
  const { id } = await world.stream("keeps_stream", fields);
  await world.r2Sink("keeps_sink_1", one);
  await world.r2Sink("keeps_sink_2", two);
  await world.pipeline("keeps-1", "INSERT INTO keeps_sink_1 SELECT * FROM keeps_stream");
  const failing = await world.pipeline("keeps-2", "INSERT INTO keeps_sink_2 SELECT * FROM keeps_stream");
  await world.s3.send(new DeleteBucketCommand({ Bucket: two }));
  const sent: number[] = [];
  for (let request = 0; request < 10; request++) {
    const some = Array.from({ length: 1000 }, (_, i) => ({ id: request * 1000 + i }));
    await world.ingest(platform.host("ingest", { stream: id }), some);
    sent.push(...some.map((event) => event.id));
  }
  const segments = async () => {
    const journals = await readdir(join(platform.dir, "journal"));
    return (await readdir(join(platform.dir, "journal", journals.find((name) => name.includes(id)) as string))).length;
  };
  await eventually("all events in the first bucket", async () => assert.deepEqual(await ids(one), sent));
  await platform.restart();
  await eventually("the failure is shown", async () => {
    const { status, failure_reason } = (await platform.rest("GET", `${world.base}/pipelines/${failing.id}`)).body.result;
    assert.deepEqual([status, failure_reason], ["failed", "The bucket life-keeps-2 does not exist"]);
  });
  assert.ok((await segments()) > 3, `${await segments()} segments are kept`);
  await world.bucket(two);
  await eventually("all events in the second bucket", async () => assert.deepEqual(await ids(two), sent));
  await eventually("the journal's space given back", async () => assert.equal(await segments(), 1));
  const { status } = (await platform.rest("GET", `${world.base}/pipelines/${failing.id}`)).body.result;
  assert.equal(status, "running");
});

test("restarts keep streams, pipelines and what is under way", async () => {
  const bucket = await world.bucket("life-restart");
  const { id } = await world.stream("restart_stream", fields);
  const endpoint = () => platform.host("ingest", { stream: id });
  await world.r2Sink("restart_sink", bucket, { rolling_policy: { interval_seconds: 2 } });
  await world.pipeline("restart", "INSERT INTO restart_sink SELECT * FROM restart_stream");
  await world.ingest(endpoint(), [{ id: 1 }]);
  await platform.restart();
  await world.ingest(endpoint(), [{ id: 2 }]);
  await eventually("both events", async () => assert.deepEqual(await ids(bucket), [1, 2]));
  await platform.restart();
  await world.ingest(endpoint(), [{ id: 3 }]);
  await eventually("all events", async () => assert.deepEqual(await ids(bucket), [1, 2, 3]));
});

test("names are unique, and bad definitions change nothing", async () => {
  await world.stream("unique_stream", fields);
  const refusals: [string, unknown, number][] = [
    ["streams", { name: "unique_stream" }, 409],
    ["streams", { name: "not-allowed" }, 400],
    ["streams", { name: "x", schema: { fields: [{ name: "a", type: "nope" }] } }, 400],
    ["streams", { name: "x", http: { enabled: true, authentication: false, cors: { origins: ["example"] } } }, 400],
    ["streams", { schema: {} }, 400],
    ["sinks", { name: "x", type: "r2", config: { bucket: "life-restart" } }, 400],
    [
      "sinks",
      { name: "x", type: "r2", config: { bucket: "no-such-bucket", credentials: { access_key_id: "a", secret_access_key: "b" } } },
      400,
    ],
    [
      "sinks",
      { name: "x", type: "r2_data_catalog", config: { bucket: "life-restart", namespace: "a", table_name: "b", token: world.token.value } },
      400,
    ],
    ["sinks", { name: "x", type: "s3", config: {} }, 400],
    ["pipelines", { name: "x", sql: "nonsense" }, 400],
    ["pipelines", { name: "x" }, 400],
  ];
  for (const [kind, body, status] of refusals) {
    const answer = await platform.rest("POST", `${world.base}/${kind}`, body);
    assert.equal(answer.status, status, `${kind} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
    assert.equal(answer.body.success, false);
  }
  for (const kind of ["streams", "sinks", "pipelines"])
    assert.deepEqual((await platform.rest("GET", `${world.base}/${kind}?name=x`)).body.result, [], kind);
  const reader = await platform.token(["Workers Pipelines Read"]);
  assert.equal((await platform.rest("GET", `${world.base}/streams`, undefined, reader.value)).status, 200);
  assert.equal((await platform.rest("POST", `${world.base}/streams`, { name: "y" }, reader.value)).status, 403);
});
