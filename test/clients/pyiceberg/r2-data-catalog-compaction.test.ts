/** Compaction, turned on by wrangler, of tables that pyiceberg writes and reads; R2 SQL sees the same rows in fewer files. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { finishedRun, maintain, tablePath } from "../maintenance-runs.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const { account_id: account, api_token: token } = platform.ready;
const catalog = (...args: string[]) => platform.wrangler(["r2", "bucket", "catalog", ...args]);
const rights = ["Workers R2 Data Catalog Write", "Workers R2 Storage Write"];

async function dataFiles(bucket: string): Promise<string[]> {
  const { Contents = [] } = await platform.s3().send(new ListObjectsV2Command({ Bucket: bucket }));
  return Contents.map(({ Key = "" }) => Key).filter((key) => key.endsWith(".parquet"));
}

async function sql(bucket: string, query: string): Promise<{ rows: Record<string, unknown>[]; files: number }> {
  const url = platform.host("sql").replace("{account}", account);
  const response = await platform.fetch(`${url}/r2-sql/query/${bucket}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const body = (await response.json()) as { result: { rows: Record<string, unknown>[]; metrics: { files_scanned: number } } };
  assert.equal(response.status, 200, JSON.stringify(body));
  return { rows: body.result.rows, files: body.result.metrics.files_scanned };
}

const APPENDS = `
import datetime, decimal
catalog.create_namespace_if_not_exists("ns")
from pyiceberg.schema import Schema
from pyiceberg.types import *
`;

test("[r2-data-catalog-24, r2-sql-29] compaction of a catalog makes one compacted file of 100 small ones, with the same rows for every reader", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "compacted-lake");
  await py(`${APPENDS}
from pyiceberg.types import ListType, StructType
schema = Schema(
    NestedField(1, "id", LongType(), required=True), NestedField(2, "name", StringType()), NestedField(3, "at", TimestamptzType()),
    NestedField(4, "price", DecimalType(12, 2)), NestedField(5, "tags", ListType(6, StringType(), element_required=False)),
    NestedField(7, "where", StructType(NestedField(8, "x", DoubleType()), NestedField(9, "y", DoubleType()))),
    NestedField(10, "day", DateType()), NestedField(11, "raw", BinaryType()), NestedField(12, "ok", BooleanType()))
table = catalog.create_table("ns.t", schema)
for i in range(int(os.environ.get("N", "100"))):
    rows = [{"id": 10 * i + j, "name": f"n{j}" if j else None, "at": datetime.datetime(2026, 1, 1, i % 24, tzinfo=datetime.timezone.utc),
      "price": decimal.Decimal(i * 100 + j) / 100, "tags": ["a", None, str(j)] if j % 2 else [], "where": {"x": j / 3, "y": None},
      "day": datetime.date(2026, 1, 1 + j), "raw": bytes([j]), "ok": j % 3 == 0} for j in range(10)]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
catalog.create_table("ns.other", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
catalog.load_table("ns.other").append(pa.table({"id": [2]}))
`);
  assert.equal((await dataFiles(bucket)).length, 102);
  const query = "SELECT count(*) AS n, sum(id) AS ids, sum(price) AS price, count(name) AS names FROM ns.t WHERE id >= 0";
  const before = await sql(bucket, query);
  assert.equal(before.files, 100);
  const credential = await platform.token(rights);
  await catalog("compaction", "enable", bucket, "--token", credential.value);

  // The first run comes by itself.
  const run = await finishedRun(platform, bucket, "ns.t", ({ operations }) => operations.compaction?.input_files === 100);
  assert.deepEqual([run.status, run.request_id, run.operations.compaction.output_files], ["succeeded", null, 1]);
  const other = await finishedRun(platform, bucket, "ns.other", () => true);
  assert.equal(other.operations.compaction.input_files, 2);
  const compacted = (await dataFiles(bucket)).filter((key) => /\/data\/compacted-[^/]+\.parquet$/.test(key));
  assert.equal(compacted.length, 2);
  const after_ = await sql(bucket, query);
  assert.deepEqual(after_.rows, before.rows);
  assert.equal(after_.files, 1);
  const { stdout } = await py(`
import duckdb, json
table = catalog.load_table("ns.t")
assert len(list(table.scan().plan_files())) == 1
snapshot = table.current_snapshot()
assert snapshot.summary.operation.value == "replace", snapshot
assert snapshot.summary["deleted-data-files"] == "100" and snapshot.summary["added-records"] == "1000", snapshot
before = table.scan(snapshot_id=snapshot.parent_snapshot_id).to_arrow().sort_by("id")
now = table.scan().to_arrow().sort_by("id")
assert now.schema.names == before.schema.names and now.to_pylist() == before.to_pylist(), [(a, b) for a, b in zip(now.to_pylist(), before.to_pylist()) if a != b][:2]
assert len(duckdb.sql("SELECT * FROM before EXCEPT SELECT * FROM now").fetchall()) == 0
entry = table.inspect.files().to_pylist()[0]
assert entry["record_count"] == 1000 and "/data/compacted-" in entry["file_path"], entry
assert entry["readable_metrics"]["id"]["lower_bound"] == 0 and entry["readable_metrics"]["id"]["upper_bound"] == 999, entry
assert entry["readable_metrics"]["name"]["null_value_count"] == 100, entry
assert len(list(table.scan(row_filter="id = 5").plan_files())) == 1
assert len(list(table.scan(row_filter="id = 5000").plan_files())) == 0
table.append(now.slice(0, 1)); assert table.scan().to_arrow().num_rows == 1001
table.delete("id = 7"); assert table.scan().to_arrow().num_rows == 1000
print(len(table.inspect.manifests()))
`);
  assert.ok(Number(stdout) < 10, stdout);
});

test("[r2-data-catalog-25, r2-data-catalog-27] a table alone is compacted to a size of four, and no more once it is disabled", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "table-lake");
  const append = (names: string[]) =>
    py(`${APPENDS}
for name in ${JSON.stringify(names)}:
    table = catalog.create_table_if_not_exists(name, pa.schema([("id", pa.int64()), ("kind", pa.string())]))
    for i in range(6): table.append(pa.table({"id": [i], "kind": ["a"]}))
`);
  await append(["ns.one", "ns.two"]);
  const config = async (name: string) =>
    (await platform.rest("GET", `${tablePath(platform, bucket, name)}/maintenance-configs`)).body.result.maintenance_config;
  for (const size of ["128", "64", "256", "512"]) {
    await catalog("compaction", "enable", bucket, "ns", "one", "--target-size", size);
    assert.deepEqual((await config("ns.one")).compaction, { state: "enabled", target_size_mb: size });
  }
  const refused = await platform.rest("POST", `${tablePath(platform, bucket, "ns.one")}/maintenance-configs`, {
    compaction: { target_size_mb: "100" },
  });
  assert.equal(refused.status, 400);
  const byWrangler = await platform.wrangler(
    ["r2", "bucket", "catalog", "compaction", "enable", bucket, "ns", "one", "--target-size", "100"],
    { code: 1 },
  );
  assert.match(byWrangler.stdout + byWrangler.stderr, /100/);

  const run = await maintain(platform, bucket, "ns.one");
  assert.equal(run.status, "succeeded", run.message);
  const notOn = await platform.rest("POST", `${tablePath(platform, bucket, "ns.two")}/maintenance-configs/compaction/queue`, {});
  assert.deepEqual([notOn.status, notOn.body.errors[0]?.code], [400, 40012]);
  const files = () => py(`print([len(list(catalog.load_table(name).scan().plan_files())) for name in ("ns.one", "ns.two")])`);
  assert.equal((await files()).stdout.trim(), "[1, 6]");

  await catalog("compaction", "disable", bucket, "ns", "one");
  await append(["ns.one"]);
  const off = await platform.rest("POST", `${tablePath(platform, bucket, "ns.one")}/maintenance-configs/compaction/queue`, {});
  assert.deepEqual([off.status, off.body.errors[0]?.code], [400, 40012]);
  assert.equal((await files()).stdout.trim(), "[7, 6]");
  assert.equal((await dataFiles(bucket)).filter((key) => key.includes("/compacted-")).length, 1);
});
