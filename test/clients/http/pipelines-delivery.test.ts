/** Events by HTTP, through SQL, to files in R2: read back from the bucket by S3 and judged by DuckDB. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);

test("[pipelines-04, pipelines-13, pipelines-25] an array of events by HTTP becomes rows of a Parquet file", async () => {
  const bucket = await world.bucket("delivery-parquet");
  const { endpoint } = await world.stream("parquet_stream", eventFields);
  await world.r2Sink("parquet_sink", bucket, { path: "events/raw" });
  await world.pipeline("parquet", "INSERT INTO parquet_sink SELECT * FROM parquet_stream");
  await world.ingest(endpoint, sampleEvents);
  const rows = await eventually("rows in the bucket", async () => {
    const found = await world.parquetRows(bucket, "product_id");
    assert.equal(found.length, 3);
    return found;
  });
  assert.deepEqual(rows, [
    { user_id: "user_12345", event_type: "purchase", product_id: "widget-001", amount: 29.99 },
    { user_id: "user_67890", event_type: "view_product", product_id: "widget-002", amount: null },
    { user_id: "user_12345", event_type: "add_to_cart", product_id: "widget-003", amount: 15.5 },
  ]);
  const day = new Date().toISOString().slice(0, 10).split("-");
  for (const key of await world.keys(bucket)) {
    assert.match(
      key,
      /^events\/raw\/year=\d{4}\/month=\d\d\/day=\d\d\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.parquet$/,
    );
    assert.ok(key.includes(`year=${day[0]}/month=${day[1]}`));
  }
});

test("[pipelines-02] an unstructured stream takes any JSON, and its rows have one column, value", async () => {
  const bucket = await world.bucket("delivery-any");
  const { endpoint } = await world.stream("any_stream");
  await world.r2Sink("any_sink", bucket);
  await world.pipeline("any", "INSERT INTO any_sink SELECT * FROM any_stream");
  const events = [{ a: { b: [1, 2.5, null] } }, [1, 2], "text", 5, true, { ключ: "значение" }];
  await world.ingest(endpoint, events);
  const rows = await eventually("rows in the bucket", async () => {
    const found = await world.parquetRows(bucket, "value");
    assert.equal(found.length, events.length);
    return found;
  });
  for (const row of rows) assert.deepEqual(Object.keys(row), ["value"]);
  const sorted = (values: unknown[]) => values.map((value) => JSON.stringify(value)).sort();
  assert.deepEqual(sorted(rows.map((row) => JSON.parse(row.value as string))), sorted(events));
});

test("[pipelines-14, pipelines-15] WHERE keeps matching rows; expressions and aliases are computed", async () => {
  const bucket = await world.bucket("delivery-sql");
  const { endpoint } = await world.stream("sql_stream", eventFields);
  await world.r2Sink("sql_sink", bucket);
  await world.pipeline(
    "sql",
    "INSERT INTO sql_sink SELECT user_id, UPPER(event_type) AS event_type, amount * 1.1 AS amount_with_tax FROM sql_stream WHERE amount > 20 OR event_type LIKE 'view%'",
  );
  await world.ingest(endpoint, sampleEvents);
  await eventually("rows in the bucket", async () =>
    assert.deepEqual(await world.parquetRows(bucket, "event_type"), [
      { user_id: "user_12345", event_type: "PURCHASE", amount_with_tax: 29.99 * 1.1 },
      { user_id: "user_67890", event_type: "VIEW_PRODUCT", amount_with_tax: null },
    ]),
  );
});

test("[pipelines-16] a CTE and a subquery give the documented rows", async () => {
  const bucket = await world.bucket("delivery-cte");
  const { endpoint } = await world.stream("cte_stream", eventFields);
  await world.r2Sink("cte_sink", bucket);
  await world.pipeline(
    "cte",
    `INSERT INTO cte_sink
     WITH filtered_events AS (SELECT user_id, event_type, amount FROM cte_stream WHERE amount > 50)
     SELECT user_id, tax FROM (SELECT user_id, amount * 2 AS tax, event_type FROM filtered_events) AS q WHERE q.event_type = 'purchase'`,
  );
  await world.ingest(endpoint, [
    { user_id: "a", event_type: "purchase", amount: 51 },
    { user_id: "b", event_type: "purchase", amount: 50 },
    { user_id: "c", event_type: "view", amount: 99 },
  ]);
  await eventually("rows in the bucket", async () =>
    assert.deepEqual(await world.parquetRows(bucket, "user_id"), [{ user_id: "a", tax: 102 }]),
  );
});

test("[pipelines-17] UNNEST makes one row per element of a list", async () => {
  const bucket = await world.bucket("delivery-unnest");
  const { endpoint } = await world.stream("unnest_stream", [
    { name: "id", type: "int64", required: true },
    { name: "tags", type: "list", items: { type: "string" } },
  ]);
  await world.r2Sink("unnest_sink", bucket);
  await world.pipeline("unnest", "INSERT INTO unnest_sink SELECT id, UNNEST(tags) AS tag FROM unnest_stream");
  await world.ingest(endpoint, [
    { id: 1, tags: ["a", "b", "c"] },
    { id: 2, tags: [] },
  ]);
  await eventually("rows in the bucket", async () =>
    assert.deepEqual(
      await world.parquetRows(bucket, "tag"),
      ["a", "b", "c"].map((tag) => ({ id: "1", tag })),
    ),
  );
  const two = await platform.rest("POST", `${world.base}/validate_sql`, {
    sql: "INSERT INTO unnest_sink SELECT UNNEST(tags) AS a, UNNEST(tags) AS b FROM unnest_stream",
  });
  assert.equal(two.status, 400);
});

test("[pipelines-26] a JSON sink writes one line per row, gzip when asked", async () => {
  const [plain, packed] = [await world.bucket("delivery-json"), await world.bucket("delivery-json-gz")];
  const { endpoint } = await world.stream("json_stream", [
    ...eventFields,
    { name: "at", type: "timestamp" },
    { name: "nano", type: "timestamp", unit: "nanosecond" },
    { name: "times", type: "list", items: { type: "timestamp" } },
    { name: "more", type: "json" },
  ]);
  await world.r2Sink("json_sink", plain, {}, { type: "json" });
  await world.r2Sink("json_gz_sink", packed, {}, { type: "json", compression: "gzip" });
  await world.pipeline("json", "INSERT INTO json_sink SELECT * FROM json_stream; INSERT INTO json_gz_sink SELECT user_id FROM json_stream");
  const event = {
    user_id: 'é\n"',
    event_type: "x",
    amount: 1e3,
    at: "2025-11-21T08:00:00.25+02:00",
    nano: -1,
    times: [0, null],
    more: { nested: [1, { a: null }] },
  };
  await world.ingest(endpoint, [event, { user_id: "b", event_type: "y", at: 1_700_000_000_000 }]);
  const rows = await eventually("rows in the bucket", async () => {
    const found = await world.jsonRows(plain);
    assert.equal(found.length, 2);
    return found;
  });
  assert.deepEqual(rows, [
    {
      ...event,
      product_id: null,
      amount: 1000,
      at: "2025-11-21T06:00:00.250000Z",
      nano: "1969-12-31T23:59:59.999999999Z",
      times: ["1970-01-01T00:00:00.000000Z", null],
    },
    {
      user_id: "b",
      event_type: "y",
      product_id: null,
      amount: null,
      at: "2023-11-14T22:13:20.000000Z",
      nano: null,
      times: null,
      more: null,
    },
  ]);
  const lines = await eventually("rows of the other INSERT", async () => {
    const [key] = await world.keys(packed);
    assert.match(String(key), /\.json\.gz$/);
    return gunzipSync(await world.object(packed, key as string)).toString();
  });
  assert.equal(lines, `${JSON.stringify({ user_id: event.user_id })}\n{"user_id":"b"}\n`);
});

test("[pipelines-27] every codec of Parquet can be read", async () => {
  for (const compression of ["uncompressed", "snappy", "gzip", "zstd", "lz4"]) {
    const bucket = await world.bucket(`delivery-codec-${compression}`);
    const { endpoint } = await world.stream(`codec_${compression}`, eventFields);
    await world.r2Sink(`codec_sink_${compression}`, bucket, {}, { type: "parquet", compression });
    const { id } = await world.pipeline(`codec-${compression}`, `INSERT INTO codec_sink_${compression} SELECT * FROM codec_${compression}`);
    await world.ingest(endpoint, sampleEvents);
    await eventually(`rows of ${compression}`, async () => assert.equal((await world.parquetRows(bucket, "product_id")).length, 3));
    await platform.rest("DELETE", `${world.base}/pipelines/${id}`);
    for (const [kind, name] of [
      ["streams", `codec_${compression}`],
      ["sinks", `codec_sink_${compression}`],
    ]) {
      const found = (await platform.rest("GET", `${world.base}/${kind}?name=${name}`)).body.result as { id: string }[];
      await platform.rest("DELETE", `${world.base}/${kind}/${found[0]?.id}`);
    }
  }
});

test("[pipelines-28] a time pattern of one's own appears in the keys, with file names as asked", async () => {
  const bucket = await world.bucket("delivery-pattern");
  const { endpoint } = await world.stream("pattern_stream", eventFields);
  await world.r2Sink("pattern_sink", bucket, {
    path: "/a/b/",
    partitioning: { time_pattern: "date=%F/hour=%H" },
    file_naming: { strategy: "ulid", prefix: "part", suffix: ".pq.parquet" },
  });
  await world.pipeline("pattern", "INSERT INTO pattern_sink SELECT * FROM pattern_stream");
  await world.ingest(endpoint, sampleEvents);
  const [key] = await eventually("a file", async () => {
    const found = await world.keys(bucket);
    assert.equal(found.length, 1);
    return found;
  });
  const now = new Date().toISOString();
  assert.match(key as string, /^a\/b\/date=\d{4}-\d\d-\d\d\/hour=\d\d\/part-[0-9A-HJKMNP-TV-Z]{26}\.pq\.parquet$/);
  assert.ok(key?.includes(`date=${now.slice(0, 10)}`));
});

test("[pipelines-29] files roll by interval and by size", async () => {
  const [bySize, byTime] = [await world.bucket("delivery-size"), await world.bucket("delivery-time")];
  const { endpoint } = await world.stream("roll_stream");
  const size = { rolling_policy: { file_size_bytes: 1024 * 1024, interval_seconds: 300 } };
  await world.r2Sink("size_sink", bySize, size, { type: "json" });
  await world.r2Sink("time_sink", byTime, { rolling_policy: { interval_seconds: 3 } }, { type: "json" });
  await world.pipeline("by-size", "INSERT INTO size_sink SELECT * FROM roll_stream");
  await world.pipeline("by-time", "INSERT INTO time_sink SELECT * FROM roll_stream");
  const started = Date.now();
  const noise = () => Array.from({ length: 4 }, () => ({ text: Math.random().toString(36).repeat(8000) }));
  for (let i = 0; i < 8; i++) await world.ingest(endpoint, noise());
  // 8 × 0.4 MB: three whole files by size; the rest waits for the interval.
  await eventually("files by size", async () => assert.ok((await world.keys(bySize)).length >= 2));
  await eventually("one file by interval", async () => assert.ok((await world.keys(byTime)).length >= 1));
  assert.ok(Date.now() - started >= 2500, "the file did not wait for the interval");
  assert.ok(Date.now() - started < 15_000, "the file came late");
});

test("[pipelines-22] two pipelines on one stream both get every row", async () => {
  const [one, two] = [await world.bucket("delivery-fan-1"), await world.bucket("delivery-fan-2")];
  const { endpoint } = await world.stream("fan_stream", eventFields);
  await world.r2Sink("fan_sink_1", one);
  await world.r2Sink("fan_sink_2", two);
  await world.pipeline("fan-1", "INSERT INTO fan_sink_1 SELECT * FROM fan_stream");
  await world.pipeline("fan-2", "INSERT INTO fan_sink_2 SELECT user_id, amount FROM fan_stream");
  await world.ingest(endpoint, sampleEvents);
  for (const bucket of [one, two])
    await eventually("rows", async () => assert.equal((await world.parquetRows(bucket, "amount")).length, sampleEvents.length));
});

test("[pipelines-23] one pipeline with two INSERTs routes a stream to two sinks", async () => {
  const [purchases, rest] = [await world.bucket("delivery-route-1"), await world.bucket("delivery-route-2")];
  const { endpoint } = await world.stream("route_stream", eventFields);
  await world.r2Sink("route_purchases", purchases);
  await world.r2Sink("route_rest", rest);
  await world.pipeline(
    "route",
    `INSERT INTO route_purchases SELECT user_id, amount FROM route_stream WHERE event_type = 'purchase';
     INSERT INTO route_rest SELECT * FROM route_stream WHERE event_type <> 'purchase';`,
  );
  await world.ingest(endpoint, sampleEvents);
  await eventually("purchases", async () =>
    assert.deepEqual(await world.parquetRows(purchases, "user_id"), [{ user_id: "user_12345", amount: 29.99 }]),
  );
  await eventually("the rest", async () => {
    const rows = await world.parquetRows(rest, "product_id");
    assert.deepEqual(
      rows.map((row) => row.event_type),
      ["view_product", "add_to_cart"],
    );
  });
});

test("[pipelines-03] every schema type, lists and structs in them, comes back from Parquet as it was sent", async () => {
  const bucket = await world.bucket("delivery-types");
  const { endpoint } = await world.stream("types_stream", [
    { name: "string", type: "string" },
    { name: "int32", type: "int32" },
    { name: "int64", type: "int64" },
    { name: "float32", type: "float32" },
    { name: "float64", type: "float64" },
    { name: "bool", type: "bool" },
    { name: "second", type: "timestamp", unit: "second" },
    { name: "milli", type: "timestamp", unit: "millisecond" },
    { name: "micro", type: "timestamp", unit: "microsecond" },
    { name: "nano", type: "timestamp", unit: "nanosecond" },
    { name: "text_time", type: "timestamp" },
    { name: "json", type: "json" },
    { name: "binary", type: "binary" },
    { name: "bytes", type: "bytes" },
    { name: "uint32", type: "uint32" },
    { name: "uint64", type: "uint64" },
    { name: "decimal", type: "decimal128", precision: 20, scale: 4 },
    { name: "list", type: "list", items: { type: "list", items: { type: "int32" } } },
    {
      name: "struct",
      type: "struct",
      fields: [
        { name: "source", type: "string" },
        { name: "at", type: "timestamp", unit: "second" },
        { name: "deep", type: "struct", fields: [{ name: "n", type: "int32" }] },
      ],
    },
  ]);
  await world.r2Sink("types_sink", bucket);
  await world.pipeline("types", "INSERT INTO types_sink SELECT * FROM types_stream");
  const body =
    '[{"string":"é\\"x","int32":-2147483648,"int64":9223372036854775807,"float32":1.5,"float64":1e-300,"bool":true,' +
    '"second":1700000000,"milli":1700000000123,"micro":1700000000123456,"nano":1700000000123456789,"text_time":"2023-11-14T22:13:20.123456+00:00",' +
    '"json":{"k":[1,{"z":null}]},"binary":"AP8=","bytes":"aGk=","uint32":4294967295,"uint64":"18446744073709551615","decimal":"1234567890123456.7891",' +
    '"list":[[1,2],[],[null]],"struct":{"source":"web","at":1700000000,"deep":{"n":7},"extra":1},"not_in_schema":1},{}]';
  assert.deepEqual((await world.send(endpoint, body)).body, { success: true, result: { committed: 2 } });
  const [row, empty] = await eventually("rows in the bucket", async () => {
    const found = await world.parquetRows(bucket, "string");
    assert.equal(found.length, 2);
    return found as [Record<string, unknown>, Record<string, unknown>];
  });
  assert.deepEqual(row, {
    string: 'é"x',
    int32: -2147483648,
    int64: "9223372036854775807",
    float32: 1.5,
    float64: 1e-300,
    bool: true,
    second: "2023-11-14 22:13:20",
    milli: "2023-11-14 22:13:20.123",
    micro: "2023-11-14 22:13:20.123456",
    nano: "2023-11-14 22:13:20.123456789",
    text_time: "2023-11-14 22:13:20.123456",
    json: '{"k":[1,{"z":null}]}',
    binary: "\\x00\\xFF",
    bytes: "hi",
    uint32: 4294967295,
    uint64: "18446744073709551615",
    decimal: "1234567890123456.7891",
    list: [[1, 2], [], [null]],
    struct: { source: "web", at: "2023-11-14 22:13:20", deep: { n: 7 } },
  });
  assert.ok(Object.values(empty).every((value) => value === null));
});
