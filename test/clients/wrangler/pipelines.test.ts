/** Pipelines by wrangler, as the documentation walks through it. */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after }, { config: { "pipelines.sinks_max": 20 } });
const world = await pipelinesWorld(platform);
const dir = await temporaryDirectory("freehold-wrangler-pipelines-");
await writeFile(join(dir, "schema.json"), JSON.stringify({ fields: eventFields }));

const wrangler = (args: readonly string[], code = 0) => platform.wrangler(["pipelines", ...args], { cwd: dir, code });
const keys = ["--access-key-id", world.token.s3.accessKeyId, "--secret-access-key", world.token.s3.secretAccessKey];

async function json<T = Record<string, unknown>>(args: readonly string[]): Promise<T> {
  return JSON.parse((await wrangler([...args, "--json"])).stdout) as T;
}

test("[pipelines-01] streams create prints id, endpoint and schema; get returns them", async () => {
  const { stdout } = await wrangler(["streams", "create", "first_stream", "--schema-file", "schema.json", "--http-auth", "false"]);
  const id = /Successfully created stream 'first_stream' with id '([0-9a-f]{32})'/.exec(stdout)?.[1];
  assert.ok(id !== undefined, stdout);
  assert.match(stdout, /Authentication:\s+No/);
  assert.match(stdout, new RegExp(`Endpoint:\\s+http://${id}\\.ingest\\.freehold\\.localhost:\\d+`));
  assert.match(stdout, /user_id\s*│ string\s*│\s*│ Yes/);
  assert.match(stdout, /amount\s*│ float64\s*│\s*│ No/);
  const stream = await json(["streams", "get", id]);
  assert.deepEqual(
    [stream.id, stream.name, stream.version, stream.schema, stream.http, stream.worker_binding, stream.format],
    [id, "first_stream", 1, { fields: eventFields }, { enabled: true, authentication: false }, { enabled: true }, { type: "json" }],
  );
  assert.match(String(stream.endpoint), new RegExp(`^http://${id}\\.ingest\\.`));
  // By name as well as by id.
  assert.match((await wrangler(["streams", "get", "first_stream"])).stdout, new RegExp(`Stream ID: ${id}`));
  assert.match((await wrangler(["streams", "get", "no_such_stream"], 1)).stderr, /Stream "no_such_stream" not found/);
});

test("[pipelines-18, pipelines-19] create validates the SQL, also from a file, before anything is made", async () => {
  await world.bucket("wrangler-sql");
  await world.stream("sql_stream", eventFields);
  const { stdout } = await wrangler([
    "sinks",
    "create",
    "sql_sink",
    "--type",
    "r2",
    "--bucket",
    "wrangler-sql",
    "--roll-interval",
    "10",
    ...keys,
  ]);
  assert.match(stdout, /Successfully created sink 'sql_sink'/);
  const failure = async (sql: string): Promise<string> => {
    const result = await wrangler(["create", "sql", "--sql", sql], 1);
    return result.stdout + result.stderr;
  };
  assert.match(
    await failure("INSERT INTO sql_sink SELECT nope FROM sql_stream"),
    /SQL validation failed: No field named nope\. Valid fields are sql_stream\.user_id/,
  );
  assert.match(await failure("INSERT INTO sql_sink SELECT * FROM no_stream"), /SQL validation failed: table 'no_stream' not found/);
  assert.match(await failure("INSERT INTO no_sink SELECT * FROM sql_stream"), /SQL validation failed: table 'no_sink' not found/);
  assert.match(await failure("INSERT INTO sql_sink SELEC * FROM sql_stream"), /SQL validation failed: /);
  assert.match(
    await failure("INSERT INTO sql_sink SELECT no_function(amount) FROM sql_stream"),
    /SQL validation failed: Invalid function 'no_function'/,
  );
  assert.deepEqual(await json(["list"]), []);

  await writeFile(
    join(dir, "pipeline.sql"),
    "INSERT INTO sql_sink\nSELECT user_id, UPPER(event_type) AS event_type -- shouted\nFROM sql_stream\n",
  );
  const created = await wrangler(["create", "sql-file", "--sql-file", "pipeline.sql"]);
  assert.match(created.stdout, /SQL validated successfully\. References tables: sql_stream, sql_sink/);
  const id = /Successfully created pipeline 'sql-file' with id '([0-9a-f]{32})'/.exec(created.stdout)?.[1];
  assert.match(created.stdout, /await env\.SQL_STREAM\.send\(/);
  const pipeline = await json<{ tables: unknown[]; status: string; sql: string }>(["get", String(id)]);
  assert.equal(pipeline.status, "running");
  assert.match(pipeline.sql, /UPPER/);
  assert.deepEqual(
    (pipeline.tables as { name: string; type: string }[]).map((table) => [table.name, table.type]),
    [
      ["sql_stream", "stream"],
      ["sql_sink", "sink"],
    ],
  );
  await wrangler(["delete", "sql-file", "-y"]);
});

test("[pipelines-34] the three resources are listed, paged, shown and deleted", async () => {
  await world.bucket("wrangler-list");
  assert.match((await wrangler(["list"])).stdout, /No pipelines found\./);
  const made: Record<string, string> = {};
  for (const n of [1, 2, 3]) {
    made[`stream${n}`] = (await world.stream(`list_stream_${n}`, eventFields)).id;
    made[`sink${n}`] = (await world.r2Sink(`list_sink_${n}`, "wrangler-list")).id;
    made[`pipeline${n}`] = (await world.pipeline(`list-pipeline-${n}`, `INSERT INTO list_sink_${n} SELECT * FROM list_stream_${n}`)).id;
  }
  for (const [args, kind] of [
    [["list"], "pipeline"],
    [["streams", "list"], "stream"],
  ] as const) {
    const all = (await json<{ name: string }[]>([...args])).map((item) => item.name).filter((name) => /^list[_-]/.test(name));
    assert.deepEqual(
      all,
      [1, 2, 3].map((n) => (kind === "stream" ? `list_stream_${n}` : `list-pipeline-${n}`)),
    );
    const pages = [1, 2, 3, 9].map((page) => json<{ name: string }[]>([...args, "--per-page", "2", "--page", String(page)]));
    const sizes = (await Promise.all(pages)).map((page) => page.length);
    assert.equal(sizes[0], 2);
    assert.equal(sizes[3], 0);
  }
  const table = (await wrangler(["list"])).stdout;
  for (const n of [1, 2, 3]) assert.match(table, new RegExp(`list-pipeline-${n}\\s*│ ${made[`pipeline${n}`]}`));
  assert.match((await wrangler(["streams", "list", "--pipeline-id", String(made.pipeline2)])).stdout, /list_stream_2/);
  assert.doesNotMatch((await wrangler(["streams", "list", "--pipeline-id", String(made.pipeline2)])).stdout, /list_stream_1/);
  const sinks = (await wrangler(["sinks", "list"])).stdout;
  assert.match(sinks, /list_sink_3\s*│ [0-9a-f]{32}\s*│ R2\s*│ wrangler-list/);
  assert.match((await wrangler(["get", "list-pipeline-1"])).stdout, /INSERT INTO list_sink_1 SELECT \* FROM list_stream_1/);

  assert.match((await wrangler(["delete", "list-pipeline-1", "--force"])).stdout, /Successfully deleted pipeline 'list-pipeline-1'/);
  assert.match((await wrangler(["get", "list-pipeline-1"], 1)).stderr, /Pipeline "list-pipeline-1" not found/);
  assert.match((await wrangler(["delete", "list-pipeline-1", "-y"], 1)).stderr, /Pipeline "list-pipeline-1" not found/);
  assert.match((await wrangler(["sinks", "delete", "list_sink_1", "-y"])).stdout, /Successfully deleted sink/);
  assert.match((await wrangler(["sinks", "get", "list_sink_1"], 1)).stderr, /Sink "list_sink_1" not found/);
});

test("[pipelines-36] deleting a stream deletes its pipelines and its events", async () => {
  const bucket = await world.bucket("wrangler-cascade");
  const { endpoint } = await world.stream("cascade_stream", eventFields);
  // Rolls long after the deletion, however slow the machine: what arrives in the bucket would be a buffered event.
  await world.r2Sink("cascade_sink", bucket, { rolling_policy: { interval_seconds: 3600 } });
  await world.r2Sink("cascade_sink_after", bucket);
  const { id } = await world.pipeline("cascade", "INSERT INTO cascade_sink SELECT * FROM cascade_stream");
  await world.ingest(endpoint, sampleEvents);
  assert.match((await wrangler(["streams", "delete", "cascade_stream", "-y"])).stdout, /Successfully deleted stream 'cascade_stream'/);
  assert.equal((await platform.rest("GET", `${world.base}/pipelines/${id}`)).body.errors[0]?.code, 1000);
  assert.equal((await world.send(endpoint, sampleEvents)).status, 404);
  // A stream of the same name begins empty.
  const again = await world.stream("cascade_stream", eventFields);
  await world.pipeline("cascade", "INSERT INTO cascade_sink_after SELECT * FROM cascade_stream");
  await world.ingest(again.endpoint, [{ user_id: "new", event_type: "x" }]);
  const rows = await eventually("the new event", async () => {
    const found = await world.parquetRows(bucket, "user_id");
    assert.ok(found.some((row) => row.user_id === "new"));
    return found;
  });
  assert.equal(rows.length, 1);
});

test("[pipelines-35] a sink's credentials are checked and never shown", async () => {
  await world.bucket("wrangler-secret");
  const sink = (name: string, secret: string, code: number) =>
    wrangler(
      [
        "sinks",
        "create",
        name,
        "--type",
        "r2",
        "--bucket",
        "wrangler-secret",
        "--access-key-id",
        world.token.s3.accessKeyId,
        "--secret-access-key",
        secret,
      ],
      code,
    );
  const wrong = await sink("wrong_sink", "0".repeat(64), 1);
  assert.match(wrong.stdout + wrong.stderr, /secret is wrong/);
  await sink("secret_sink", world.token.s3.secretAccessKey, 0);
  const shown = await wrangler(["sinks", "get", "secret_sink", "--json"]);
  const { id } = JSON.parse(shown.stdout) as { id: string };
  const answers = await Promise.all([
    platform.rest("GET", `${world.base}/sinks/${id}`),
    platform.rest("GET", `${world.base}/sinks`),
    platform.rest("POST", `${world.base}/sinks`, {
      name: "echo_sink",
      type: "r2",
      config: {
        bucket: "wrangler-secret",
        credentials: { access_key_id: world.token.s3.accessKeyId, secret_access_key: world.token.s3.secretAccessKey },
      },
    }),
  ]);
  for (const text of [shown.stdout, ...answers.map((answer) => JSON.stringify(answer.body))]) {
    assert.ok(!text.includes(world.token.s3.secretAccessKey));
    assert.ok(!text.includes(world.token.s3.accessKeyId));
    assert.doesNotMatch(text, /credentials|secret_access_key/);
  }
});

test("[pipelines-37] revoking a sink's token fails its pipeline with the reason; events wait", async () => {
  const bucket = await world.catalog("wrangler-revoke");
  const token = await platform.token(["Workers R2 Storage Write", "Workers R2 Data Catalog Write"]);
  const { endpoint } = await world.stream("revoke_stream", eventFields);
  await world.catalogSink("revoke_sink", bucket, "default", "revoked", { token: token.value });
  const { id } = await world.pipeline("revoke", "INSERT INTO revoke_sink SELECT * FROM revoke_stream");
  await platform.rest("DELETE", `/accounts/${platform.ready.account_id}/tokens/${token.id}`);
  await world.ingest(endpoint, sampleEvents);
  const pipeline = await eventually("the failure", async () => {
    const found = await json(["get", id]);
    assert.equal(found.status, "failed");
    return found;
  });
  assert.match(String(pipeline.failure_reason), /token is unknown or revoked/);
  assert.match((await wrangler(["get", id])).stdout, /failed state[\s\S]*token is unknown or revoked/);
});

test("[pipelines-38] wrangler types makes a record type of a stream's schema", async () => {
  const { id } = await world.stream("ecommerce_stream", eventFields);
  const loose = await world.stream("loose_stream");
  const nested = await world.stream("nested_stream", [
    { name: "at", type: "timestamp", unit: "millisecond", required: true },
    { name: "raw", type: "json", required: false },
    { name: "photo", type: "bytes", required: false },
    { name: "tags", type: "list", required: true, items: { type: "string", required: true } },
    { name: "place", type: "struct", required: false, fields: [{ name: "ok", type: "bool", required: true }] },
  ]);
  const config = {
    name: "typed",
    main: "index.ts",
    compatibility_date: "2026-11-01",
    pipelines: [
      { binding: "STREAM", pipeline: id },
      { binding: "LOOSE", pipeline: loose.id },
      { binding: "NESTED", stream: nested.id },
      { binding: "GONE", stream: "0".repeat(32) },
    ],
  };
  await writeFile(join(dir, "wrangler.json"), JSON.stringify(config));
  await writeFile(join(dir, "index.ts"), "export default { fetch: () => new Response() };");
  await platform.wrangler(["types", "--include-runtime=false"], { cwd: dir });
  const types = await readFile(join(dir, "worker-configuration.d.ts"), "utf8");
  assert.match(
    types,
    /type EcommerceStreamRecord = \{\s*user_id: string;\s*event_type: string;\s*product_id\?: string;\s*amount\?: number;?\s*\}/,
  );
  assert.match(types, /STREAM: import\("cloudflare:pipelines"\)\.Pipeline<Cloudflare\.EcommerceStreamRecord>/);
  assert.match(types, /LOOSE: import\("cloudflare:pipelines"\)\.Pipeline<import\("cloudflare:pipelines"\)\.PipelineRecord>/);
  assert.match(
    types,
    /type NestedStreamRecord = \{ at: string \| number; raw\?: Record<string, unknown>; photo\?: string; tags: Array<string>; place\?: \{ ok: boolean \} \}/,
  );
  assert.match(types, /GONE: import\("cloudflare:pipelines"\)\.Pipeline<import\("cloudflare:pipelines"\)\.PipelineRecord>/);
  await rm(join(dir, "wrangler.json"));
});
