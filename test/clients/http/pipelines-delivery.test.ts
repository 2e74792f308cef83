/** Events by HTTP, through SQL, to files in R2: read back from the bucket by S3 and judged by DuckDB. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import duckdb from "@duckdb/node-api";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after }, { config: { "pipelines.sinks_max": 40 } });
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

test("[pipelines-03, pipelines-26] times and decimals are taken as text or numbers, and written as the sink asks for", async () => {
  const { endpoint } = await world.stream("encoded_stream", [
    { name: "at", type: "timestamp", unit: "millisecond" },
    { name: "price", type: "decimal128", precision: 20, scale: 4 },
  ]);
  const written: Readonly<Record<string, { format: object; rows: unknown[] }>> = {
    plain: { format: {}, rows: [{ at: "2025-11-21T08:00:00.250000Z", price: 12.34 }] },
    text: { format: { timestamp_format: "unix_millis", decimal_encoding: "string" }, rows: [{ at: 1_763_712_000_250, price: "12.3400" }] },
    // The unscaled value, 123,400, in 16 bytes.
    bytes: { format: { decimal_encoding: "bytes" }, rows: [{ at: "2025-11-21T08:00:00.250000Z", price: "AAAAAAAAAAAAAAAAAAHiCA==" }] },
  };
  for (const [name, { format }] of Object.entries(written)) {
    await world.bucket(`delivery-encoded-${name}`);
    await world.r2Sink(`encoded_${name}`, `delivery-encoded-${name}`, {}, { type: "json", ...format });
  }
  const inserts = Object.keys(written).map((name) => `INSERT INTO encoded_${name} SELECT * FROM encoded_stream`);
  await world.pipeline("encoded", inserts.join("; "));
  await world.ingest(endpoint, [
    { at: "2025-11-21T09:00:00.25+01:00", price: "12.34" },
    { at: 1_763_712_000_250, price: 12.34 },
  ]);
  for (const [name, { rows }] of Object.entries(written))
    await eventually(`the rows of ${name}`, async () =>
      assert.deepEqual(await world.jsonRows(`delivery-encoded-${name}`), [...rows, ...rows]),
    );
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

test("[pipelines-28] files are named by each of the strategies; another jurisdiction's bucket is refused", async () => {
  const { endpoint } = await world.stream("named_stream", eventFields);
  const strategies: Readonly<Record<string, RegExp>> = {
    serial: /^p-00000-000\.json$/,
    uuid: /^p-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json$/,
    uuid_v7: /^p-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json$/,
    ulid: /^p-[0-9A-HJKMNP-TV-Z]{26}\.json$/,
  };
  const bucketOf = (strategy: string): string => `delivery-${strategy.replace("_", "-")}`;
  for (const strategy of Object.keys(strategies)) {
    await world.bucket(bucketOf(strategy));
    // The interval is as long as it gets: a quiet second ends the roll.
    const rolling_policy = { interval_seconds: 3600, inactivity_seconds: 1 };
    const naming = { partitioning: { time_pattern: "" }, file_naming: { strategy, prefix: "p" }, rolling_policy };
    await world.r2Sink(`named_${strategy}`, bucketOf(strategy), naming, { type: "json" });
  }
  const inserts = Object.keys(strategies).map((strategy) => `INSERT INTO named_${strategy} SELECT * FROM named_stream`);
  await world.pipeline("named", inserts.join("; "));
  const sent = Date.now();
  await world.ingest(endpoint, sampleEvents);
  for (const [strategy, pattern] of Object.entries(strategies)) {
    const [key] = await eventually(`a file named by ${strategy}`, async () => {
      const found = await world.keys(bucketOf(strategy));
      assert.equal(found.length, 1);
      return found;
    });
    assert.match(key as string, pattern);
    // The leading 48 bits are the time of ingest.
    if (strategy === "uuid_v7") {
      const time = Number.parseInt((key as string).slice(2).replaceAll("-", "").slice(0, 12), 16);
      assert.ok(time >= sent - 1000 && time <= Date.now() + 1000, `${time}`);
    }
  }
  const refused = await platform.rest("POST", `${world.base}/sinks`, {
    name: "elsewhere",
    type: "r2",
    format: { type: "json" },
    config: { bucket: "delivery-serial", jurisdiction: "eu", credentials: { access_key_id: "a", secret_access_key: "b" } },
  });
  assert.equal(refused.status, 400);
  assert.match(refused.body.errors[0]?.message ?? "", /only buckets of the default jurisdiction/);
});

test("[pipelines-25] a file has row groups of the size that the sink asks for", async () => {
  const bucket = await world.bucket("delivery-groups");
  const { endpoint } = await world.stream("groups_stream", eventFields);
  await world.r2Sink("groups_sink", bucket, {}, { type: "parquet", row_group_bytes: 200_000 });
  await world.pipeline("groups", "INSERT INTO groups_sink SELECT * FROM groups_stream");
  const many = Array.from({ length: 6000 }, (_, i) => ({ user_id: `user-${i}`, event_type: "x", product_id: "y".repeat(40), amount: i }));
  for (let i = 0; i < many.length; i += 2000) await world.ingest(endpoint, many.slice(i, i + 2000));
  await eventually("all rows", async () => assert.equal((await world.parquetRows(bucket, "amount")).length, many.length));
  const keys = await world.keys(bucket);
  const directory = await mkdtemp(join(tmpdir(), "freehold-groups-"));
  try {
    const path = join(directory, "file.parquet");
    const sizes: number[] = [];
    for (const key of keys) {
      await writeFile(path, await world.object(bucket, key));
      const connection = await (await duckdb.DuckDBInstance.create(":memory:")).connect();
      const groups = await connection.runAndReadAll(`SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('${path}')`);
      sizes.push(...groups.getRows().map(([, rows]) => Number(rows)));
    }
    // DuckDB's smallest row group has 2,048 rows; these rows take about 100 bytes.
    assert.ok(sizes.length >= 2 && Math.max(...sizes) <= 4096, `${sizes}`);
  } finally {
    await rm(directory, { recursive: true });
  }
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
