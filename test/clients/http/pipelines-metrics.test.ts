/** What pipelines read, dropped and wrote, by the GraphQL queries of the documentation. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { HeadObjectCommand } from "@aws-sdk/client-s3";
import duckdb from "@duckdb/node-api";
import { startPlatform } from "../../harness/platform.ts";
import { askAnalytics, rowsOf } from "../analytics.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);

const badEvents = [
  { event_type: "view" },
  { user_id: null, event_type: "view" },
  { user_id: "a", event_type: "view", amount: "much" },
  { user_id: "a", event_type: "view", at: "yesterday" },
];
const fields = [...eventFields, { name: "at", type: "timestamp", required: false }];
const bytesOf = (events: readonly unknown[]): number => events.reduce<number>((sum, event) => sum + JSON.stringify(event).length, 0);

const bucket = await world.bucket("metrics");
const { id: streamId, endpoint } = await world.stream("metrics_stream", fields);
const { id: sinkId } = await world.r2Sink("metrics_sink", bucket);
const { id: pipelineId } = await world.pipeline("metrics", "INSERT INTO metrics_sink SELECT * FROM metrics_stream");
const own = `pipelineId: "${pipelineId}"`;

const errorsByType = () =>
  rowsOf(
    platform,
    "pipelinesUserErrorsAdaptiveGroups",
    own,
    "orderBy: [count_DESC, errorType_ASC]",
    "count dimensions { errorFamily errorType }",
  );
const counts = (numbers: Readonly<Record<string, number>>) =>
  Object.entries(numbers).map(([errorType, count]) => ({ count, dimensions: { errorFamily: "deserialization", errorType } }));

test("[pipelines-24] events that do not fit are dropped, counted by type, and the good ones arrive", async () => {
  await world.ingest(endpoint, [sampleEvents[0], ...badEvents.slice(0, 2), sampleEvents[1], ...badEvents.slice(2), sampleEvents[2]]);
  await eventually("the errors", async () =>
    assert.deepEqual(await errorsByType(), counts({ missing_field: 1, null_value: 1, parse_failure: 1, type_mismatch: 1 })),
  );
  const rows = await world.parquetRows(bucket, "product_id");
  assert.deepEqual(
    rows.map(({ user_id, event_type, product_id }) => ({ user_id, event_type, product_id })),
    sampleEvents.map(({ user_id, event_type, product_id }) => ({ user_id, event_type, product_id })),
  );
  // A request of bad events alone adds up with it, and makes no file.
  await world.ingest(endpoint, [badEvents[3], badEvents[3]]);
  await eventually("more errors", async () =>
    assert.deepEqual(await errorsByType(), counts({ parse_failure: 3, missing_field: 1, null_value: 1, type_mismatch: 1 })),
  );
  assert.equal((await world.keys(bucket)).length, 1);
  const one = await rowsOf(platform, "pipelinesUserErrorsAdaptiveGroups", `${own} errorType_in: ["null_value", "x"]`, "", "count");
  assert.deepEqual(one, [{ count: 1 }]);
});

test("[pipelines-40] each dropped event of the last day is a row with what was wrong with it", async () => {
  const rows = await rowsOf(
    platform,
    "pipelinesUserErrorsAdaptive",
    own,
    "orderBy: [errorType_ASC]",
    "pipelineId errorFamily errorType errorMessage datetime",
  );
  assert.deepEqual(
    rows.map(({ errorType, errorMessage }) => [errorType, errorMessage]),
    [
      ["missing_field", 'missing required field "user_id"'],
      ["null_value", 'required field "user_id" is null'],
      ["parse_failure", 'field "at": not an RFC 3339 timestamp'],
      ["parse_failure", 'field "at": not an RFC 3339 timestamp'],
      ["parse_failure", 'field "at": not an RFC 3339 timestamp'],
      ["type_mismatch", 'field "amount": expected float64, got string'],
    ],
  );
  for (const row of rows) {
    assert.deepEqual([row.pipelineId, row.errorFamily], [pipelineId, "deserialization"]);
    assert.ok(Math.abs(Date.parse(String(row.datetime)) - Date.now()) < 3_600_000);
  }
  const limited = await rowsOf(platform, "pipelinesUserErrorsAdaptive", `${own} errorMessage_like: "%RFC 3339%"`, "", "errorType");
  assert.equal(limited.length, 3);
});

/** What the bucket's objects say themselves. */
async function written(): Promise<Record<string, number>> {
  const dir = await mkdtemp(join(tmpdir(), "freehold-metrics-"));
  try {
    const keys = await world.keys(bucket);
    let bytes = 0;
    for (const [i, key] of keys.entries()) {
      bytes += (await world.s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))).ContentLength ?? 0;
      await writeFile(join(dir, `${i}.parquet`), await world.object(bucket, key));
    }
    const connection = await (await duckdb.DuckDBInstance.create(":memory:")).connect();
    const files = `'${dir}/*.parquet'`;
    const [row] = (
      await connection.runAndReadAll(
        `SELECT (SELECT count(*) FROM read_parquet(${files})) AS rows, count(DISTINCT (file_name, row_group_id)) AS groups,
           sum(total_uncompressed_size) AS uncompressed FROM parquet_metadata(${files})`,
      )
    ).getRowObjectsJson();
    return {
      bytesWritten: bytes,
      recordsWritten: Number(row?.rows),
      filesWritten: keys.length,
      rowGroupsWritten: Number(row?.groups),
      uncompressedBytesWritten: Number(row?.uncompressed),
    };
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("[pipelines-39] operators and sinks are measured: sums are what was sent and what lies in the bucket, also after a restart", async () => {
  const more = Array.from({ length: 500 }, (_, i) => ({ user_id: `u${i}`, event_type: "bulk", amount: i / 4 }));
  await world.ingest(endpoint, more);
  const sent = [...sampleEvents, ...badEvents, badEvents[3], badEvents[3], ...more];
  const operator = { bytesIn: bytesOf(sent), recordsIn: sent.length, decodeErrors: 6 };
  const selection = "sum { bytesIn recordsIn decodeErrors }";
  const operators = (where: string) => rowsOf(platform, "pipelinesOperatorAdaptiveGroups", where, "", selection);
  await eventually("all events", async () => assert.deepEqual(await operators(`${own} streamId_neq: ""`), [{ sum: operator }]));
  assert.deepEqual(await operators(`streamId: "${streamId}" pipelineId_neq: "x"`), [{ sum: operator }]);
  assert.deepEqual(await operators(`${own} OR: [{ streamId: "x" }, { streamId: "y" }]`), []);

  const sinkRows = () =>
    rowsOf(
      platform,
      "pipelinesSinkAdaptiveGroups",
      `sinkId: "${sinkId}"`,
      "orderBy: [date_ASC]",
      "sum { bytesWritten recordsWritten filesWritten rowGroupsWritten uncompressedBytesWritten } dimensions { pipelineId sinkId }",
    );
  const expected = [{ sum: await written(), dimensions: { pipelineId, sinkId } }];
  assert.equal(expected[0]?.sum.recordsWritten, sampleEvents.length + more.length);
  assert.deepEqual(await sinkRows(), expected);
  const hours = await rowsOf(
    platform,
    "pipelinesSinkAdaptiveGroups",
    own,
    "orderBy: [datetimeHour_DESC]",
    "count dimensions { date datetimeHour }",
  );
  assert.match(JSON.stringify(hours[0]?.dimensions), /^\{"date":"\d{4}-\d\d-\d\d","datetimeHour":"\d{4}-\d\d-\d\dT\d\d:00:00Z"\}$/);

  await platform.kill9();
  await platform.restart();
  assert.deepEqual(await operators(own), [{ sum: operator }]);
  assert.deepEqual(await sinkRows(), expected);
  assert.deepEqual(await errorsByType(), counts({ parse_failure: 3, missing_field: 1, null_value: 1, type_mismatch: 1 }));
});

test("figures are for tokens that may read them", async () => {
  const query = `{ viewer { accounts(filter: { accountTag: "${platform.ready.account_id}" }) { pipelinesUserErrorsAdaptive(limit: 1) { errorMessage } } } }`;
  const ask = async (group: string) => askAnalytics(platform, query, {}, (await platform.token([group])).value);
  for (const group of ["Workers Pipelines Send", "Workers R2 Storage Read", "D1 Read"]) {
    const { data, errors } = await ask(group);
    assert.equal(data, null);
    assert.match(errors?.[0]?.message ?? "", /not authorized for dataset "pipelinesUserErrorsAdaptive"/);
  }
  for (const group of ["Workers Pipelines Read", "Account Analytics Read"]) assert.equal((await ask(group)).errors, null);
});
