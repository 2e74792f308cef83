/** The catalog sink end to end: what is sent is read with pyiceberg and with R2 SQL. Needs Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);

/** Rows by R2 SQL's HTTP API. */
async function r2sql(bucket: string, query: string): Promise<{ status: number; rows: Record<string, unknown>[]; text: string }> {
  const url = `${platform.ready.hosts.sql?.replace("{account}", platform.ready.account_id)}`;
  const base = new URL(url).origin;
  const response = await platform.fetch(`${base}/api/v1/accounts/${platform.ready.account_id}/r2-sql/query/${bucket}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const text = await response.text();
  const rows = response.ok ? ((JSON.parse(text) as { result: { rows: Record<string, unknown>[] } }).result?.rows ?? []) : [];
  return { status: response.status, rows, text };
}

test("[pipelines-30, r2-data-catalog-36] a catalog sink makes its table; pyiceberg and R2 SQL read the rows", async () => {
  const { bucket, py } = await lake(platform, "pipe-lake");
  const { endpoint } = await world.stream("lake_stream", [...eventFields, { name: "tags", type: "list", items: { type: "string" } }]);
  await world.catalogSink("lake_sink", bucket, "fraud_detection", "transactions");
  await world.pipeline("lake", "INSERT INTO lake_sink SELECT * FROM lake_stream");
  await world.ingest(endpoint, [{ ...sampleEvents[0], tags: ["a", "b"] }, ...sampleEvents.slice(1)]);
  await eventually("rows by R2 SQL", async () => {
    const { status, rows, text } = await r2sql(
      bucket,
      "SELECT user_id, event_type, product_id, amount FROM fraud_detection.transactions WHERE event_type = 'purchase' LIMIT 10",
    );
    assert.equal(status, 200, text);
    assert.deepEqual(rows, [{ user_id: "user_12345", event_type: "purchase", product_id: "widget-001", amount: 29.99 }]);
  });
  await py(`
import datetime
t = catalog.load_table("fraud_detection.transactions")
fields = [(f.name, str(f.field_type), f.required) for f in t.schema().fields]
assert fields == [("__ingest_ts", "timestamptz", False), ("user_id", "string", False), ("event_type", "string", False),
  ("product_id", "string", False), ("amount", "double", False), ("tags", "list<string>", False)], fields
spec = [(str(f.transform), t.schema().find_column_name(f.source_id)) for f in t.spec().fields]
assert spec == [("day", "__ingest_ts")], spec
rows = sorted(t.scan().to_arrow().to_pylist(), key=lambda r: r["product_id"])
assert [r["product_id"] for r in rows] == ["widget-001", "widget-002", "widget-003"], rows
assert rows[0]["tags"] == ["a", "b"] and rows[1]["tags"] is None and rows[1]["amount"] is None
now = datetime.datetime.now(datetime.timezone.utc)
assert all(abs((now - r["__ingest_ts"]).total_seconds()) < 120 for r in rows), rows
# Statistics are there and right: a scan that cannot match opens no file.
f = t.inspect.files().to_pylist()
assert len(f) == 1 and f[0]["record_count"] == 3, f
from pyiceberg.expressions import EqualTo, GreaterThan
assert len(list(t.scan(row_filter=GreaterThan("amount", 29.99)).plan_files())) == 0
assert len(list(t.scan(row_filter=GreaterThan("amount", 29.98)).plan_files())) == 1
assert len(list(t.scan(row_filter=EqualTo("user_id", "zzz")).plan_files())) == 0
assert len(list(t.scan(row_filter="__ingest_ts < '2020-01-01T00:00:00+00:00'").plan_files())) == 0
s = t.current_snapshot().summary
assert s["added-records"] == "3" and [v for k, v in s.additional_properties.items() if k.endswith(".offset")] == ["3"], s
`);
});

test("[pipelines-32] a table that someone else made is refused", async () => {
  const { bucket, py } = await lake(platform, "pipe-taken");
  await py(`
catalog.create_namespace("default")
catalog.create_table("default.taken", pa.schema([("a", pa.int64())]))
`);
  const answer = await platform.rest("POST", `${world.base}/sinks`, {
    name: "taken_sink",
    type: "r2_data_catalog",
    config: { bucket, namespace: "default", table_name: "taken", token: world.token.value },
  });
  assert.equal(answer.status, 400);
  assert.equal(answer.body.errors[0]?.code, 1012);
  // Also when the table comes between the sink and its pipeline.
  await world.stream("taken_stream", eventFields);
  await world.catalogSink("late_sink", bucket, "default", "late");
  await py(`catalog.create_table("default.late", pa.schema([("a", pa.int64())]))`);
  const late = await platform.rest("POST", `${world.base}/pipelines`, {
    name: "late",
    sql: "INSERT INTO late_sink SELECT * FROM taken_stream",
  });
  assert.equal(late.body.errors[0]?.code, 1012);
});

test("another engine may write to the sink's table meanwhile: nothing is lost or repeated", async () => {
  const { bucket, py } = await lake(platform, "pipe-shared");
  const { endpoint } = await world.stream("shared_stream", [{ name: "id", type: "int64", required: true }]);
  await world.catalogSink("shared_sink", bucket, "default", "shared");
  await world.pipeline("shared", "INSERT INTO shared_sink SELECT * FROM shared_stream");
  const sendAll = (async () => {
    for (let i = 0; i < 60; i++) {
      await world.ingest(endpoint, [{ id: i }]);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  await Promise.all([
    sendAll,
    py(`
import datetime, time
from pyiceberg.exceptions import CommitFailedException
done = 0
while done < 5:
    t = catalog.load_table("default.shared")
    try:
        t.append(pa.table({"__ingest_ts": pa.array([datetime.datetime.now(datetime.timezone.utc)], pa.timestamp("us", tz="UTC")), "id": pa.array([1000 + done], pa.int64())}))
        done += 1
    except CommitFailedException:
        pass
    time.sleep(0.7)
`),
  ]);
  await py(`
import time
for _ in range(100):
    ids = sorted(r["id"] for r in catalog.load_table("default.shared").scan().to_arrow().to_pylist())
    if len(ids) >= 65: break
    time.sleep(0.2)
assert ids == list(range(60)) + list(range(1000, 1005)), ids
`);
  assert.equal((await platform.rest("GET", `${world.base}/pipelines?name=shared`)).body.result[0].status, "running");
});

test("every type and odd names in a catalog table are what pyiceberg expects", async () => {
  const { bucket, py } = await lake(platform, "pipe-types");
  const { endpoint } = await world.stream("lake_types_stream", [
    { name: "i", type: "int32" },
    { name: "l", type: "int64" },
    { name: "u", type: "uint64" },
    { name: "f", type: "float32" },
    { name: "d", type: "float64" },
    { name: "b", type: "bool" },
    { name: "t", type: "timestamp" },
    { name: "j", type: "json" },
    { name: "x", type: "binary" },
    { name: "dec", type: "decimal128", precision: 12, scale: 2 },
    {
      name: "s",
      type: "struct",
      fields: [
        { name: "a b", type: "string" },
        { name: "list", type: "list", items: { type: "struct", fields: [{ name: "n", type: "int32" }] } },
      ],
    },
  ]);
  await world.catalogSink("lake_types_sink", bucket, "a.b", "types");
  await world.pipeline("lake-types", `INSERT INTO lake_types_sink SELECT *, upper('x') AS "odd ""name""", i + 1 FROM lake_types_stream`);
  const body =
    '[{"i":-1,"l":9223372036854775807,"u":18446744073709551615,"f":1.5,"d":0.1,"b":true,"t":"2025-11-21T08:00:00.123456Z","j":{"k":1},"x":"AP8=","dec":"1.25","s":{"a b":"y","list":[{"n":1},null]}}, {"d":-5,"dec":"-7","t":0,"b":false}]';
  assert.equal((await world.send(endpoint, body)).status, 200);
  await py(`
import time, decimal, datetime, json
for _ in range(100):
    t = catalog.load_table(("a", "b", "types"))
    rows = sorted(t.scan().to_arrow().to_pylist(), key=lambda r: r["d"])
    if len(rows) == 2: break
    time.sleep(0.2)
types = {f.name: str(f.field_type) for f in t.schema().fields}
assert types == {"__ingest_ts": "timestamptz", "i": "int", "l": "long", "u": "decimal(20, 0)", "f": "float", "d": "double", "b": "boolean",
  "t": "timestamp", "j": "string", "x": "binary", "dec": "decimal(12, 2)", "s": types["s"], 'odd "name"': "string", "i + 1": "long"}, types
r = rows[1]
assert (r["i"], r["l"], r["u"], r["f"], r["d"], r["b"]) == (-1, 2**63 - 1, decimal.Decimal(2**64 - 1), 1.5, 0.1, True), r
assert r["t"] == datetime.datetime(2025, 11, 21, 8, 0, 0, 123456) and json.loads(r["j"]) == {"k": 1} and r["x"] == bytes([0, 255]), r
assert r["dec"] == decimal.Decimal("1.25") and r["s"] == {"a b": "y", "list": [{"n": 1}, None]} and r['odd "name"'] == "X" and r["i + 1"] == 0, r
# The bounds in the manifests hold for every type: a filter at the edge finds its row, one beyond it prunes the file.
from pyiceberg.expressions import EqualTo, GreaterThan, LessThan
n = lambda e: len(list(t.scan(row_filter=e).plan_files()))
for column, lowest, highest in [("i", -1, -1), ("l", 2**63 - 1, 2**63 - 1), ("d", -5.0, 0.1), ("f", 1.5, 1.5), ("dec", decimal.Decimal("-7.00"), decimal.Decimal("1.25")),
  ("u", decimal.Decimal(2**64 - 1), decimal.Decimal(2**64 - 1)), ("t", "1970-01-01T00:00:00", "2025-11-21T08:00:00.123456"), ("b", False, True), ("j", '{"k":1}', '{"k":1}')]:
    assert n(EqualTo(column, lowest)) == 1 and n(EqualTo(column, highest)) == 1, column
    if column not in ("b",):
        assert n(LessThan(column, lowest)) == 0 and n(GreaterThan(column, highest)) == 0, column
`);
});
