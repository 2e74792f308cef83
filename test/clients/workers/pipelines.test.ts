/** The binding: `env.STREAM.send()` of a deployed Worker. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { eventFields, eventually, pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);

const source = `export default {
  async fetch(request, env) {
    const { binding, records } = await request.json();
    try {
      const result = await env[binding].send(records);
      return Response.json({ ok: true, result: result === undefined ? "undefined" : result });
    } catch (error) {
      return Response.json({ ok: false, name: error.name, message: error.message });
    }
  },
};`;

test("[pipelines-05] send() of a deployed Worker delivers rows, by a stream's id or name", async () => {
  const bucket = await world.bucket("binding-rows");
  const { id } = await world.stream("binding_stream", eventFields);
  await world.r2Sink("binding_sink", bucket);
  await world.pipeline("binding", "INSERT INTO binding_sink SELECT * FROM binding_stream");
  const { url } = await deployWorker(platform, {
    files: { "index.js": source },
    config: {
      name: "pipelines-binding",
      pipelines: [
        { binding: "BY_STREAM", stream: id },
        { binding: "BY_PIPELINE", pipeline: id },
        { binding: "BY_NAME", pipeline: "binding_stream" },
      ],
    },
  });
  const send = async (binding: string, records: unknown) =>
    (await platform.fetch(url, { method: "POST", body: JSON.stringify({ binding, records }) })).json();
  for (const binding of ["BY_STREAM", "BY_PIPELINE", "BY_NAME"])
    assert.deepEqual(
      await send(binding, [
        { user_id: binding, event_type: "e" },
        { user_id: `${binding}2`, event_type: "e", amount: 1.5 },
      ]),
      {
        ok: true,
        result: "undefined",
      },
    );
  assert.deepEqual(await send("BY_STREAM", { not: "an array" }), {
    ok: false,
    name: "TypeError",
    message: "Pipeline.send: records must be an array of JSON-serializable objects",
  });
  const large = (await send("BY_STREAM", [{ user_id: "x".repeat(1_100_000), event_type: "e" }])) as { ok: boolean; message: string };
  assert.deepEqual([large.ok, /too large/.test(large.message)], [false, true]);
  await eventually("rows in the bucket", async () => {
    const rows = await world.parquetRows(bucket, "user_id");
    assert.deepEqual(
      rows.map((row) => row.user_id),
      ["BY_NAME", "BY_NAME2", "BY_PIPELINE", "BY_PIPELINE2", "BY_STREAM", "BY_STREAM2"],
    );
  });
});

test("a Worker cannot be bound to a stream that does not exist, and not send once its stream is deleted", async () => {
  await assert.rejects(
    deployWorker(platform, {
      files: { "index.js": source },
      config: { name: "pipelines-missing", pipelines: [{ binding: "STREAM", stream: "0".repeat(32) }] },
    }),
    /does not exist/,
  );
  const { id } = await world.stream("gone_stream");
  const { url } = await deployWorker(platform, {
    files: { "index.js": source },
    config: { name: "pipelines-gone", pipelines: [{ binding: "STREAM", stream: id }] },
  });
  const send = async () =>
    (await platform.fetch(url, { method: "POST", body: JSON.stringify({ binding: "STREAM", records: [{}] }) })).json();
  assert.deepEqual(await send(), { ok: true, result: "undefined" });
  await platform.rest("DELETE", `${world.base}/streams/${id}`);
  const answer = (await send()) as { ok: boolean; message: string };
  assert.deepEqual([answer.ok, answer.message], [false, "Pipeline.send failed: Stream does not exist"]);
});
