/** R2 Data Catalog with pyiceberg: the documented tutorial, and tables through their whole life. Needs Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const shared = await lake(platform, "shared-lake");

const keys = async (bucket: string, prefix: string): Promise<string[]> => {
  const { Contents = [] } = await platform.s3().send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  return Contents.map((object) => object.Key as string);
};

test("[r2-data-catalog-04] the tutorial runs as it is written, with the real service's address", async () => {
  const { stdout } = await shared.py(
    `
import pyarrow.compute as pc
import pyarrow.parquet as pq
catalog = RestCatalog(
    name="my_catalog",
    warehouse=WAREHOUSE,
    uri=CATALOG_URI,
    token=TOKEN,
)
catalog.create_namespace_if_not_exists("default")
df = pa.table({
    "id": [1, 2, 3],
    "name": ["Alice", "Bob", "Charlie"],
    "score": [80.0, 92.5, 88.0],
})
test_table = ("default", "people")
if not catalog.table_exists(test_table):
    print(f"Creating table: {test_table}")
    table = catalog.create_table(
        test_table,
        schema=df.schema,
    )
else:
    table = catalog.load_table(test_table)
table.append(df)
print("Table contents:")
scanned = table.scan().to_arrow()
print(scanned.to_pylist())
assert scanned.to_pydict() == df.to_pydict()
`,
    { env: { CATALOG_URI: `https://catalog.cloudflarestorage.com/${platform.ready.account_id}/${shared.bucket}` } },
  );
  assert.match(stdout, /Creating table: \('default', 'people'\)/);
  assert.match(stdout, /'id': 3, 'name': 'Charlie', 'score': 88\.0/);
});

test("[r2-data-catalog-05] the handshake gives the prefix, so that clients need no setting for it", async () => {
  await shared.py(`
assert catalog.properties["prefix"] not in ("", None)
assert isinstance(catalog.list_namespaces(), list)
`);
  const config = await shared.request("GET", `/config?warehouse=${shared.warehouse}`);
  assert.equal(config.status, 200);
  assert.ok(config.json.endpoints.includes("POST /v1/{prefix}/transactions/commit"));
  assert.equal((await shared.request("GET", "/config")).status, 400);
  const other = await shared.request("GET", "/config?warehouse=somebody_else");
  assert.deepEqual([other.status, other.json.error.type], [404, "NoSuchWarehouseException"]);
  const wrongPrefix = await shared.request("GET", "/11111111-2222-4333-8444-555555555555/namespaces");
  assert.deepEqual([wrongPrefix.status, wrongPrefix.json.error.code], [404, 404]);
});

test("[r2-data-catalog-06] namespaces are created, nested, listed, changed and dropped", async () => {
  await shared.py(`
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NamespaceNotEmptyError, NoSuchNamespaceError
catalog.create_namespace("ns06", {"owner": "me", "comment": "c"})
raises(NamespaceAlreadyExistsError, "ns06", lambda: catalog.create_namespace("ns06"))
catalog.create_namespace(("ns06", "inner level"))
catalog.create_namespace(("ns06", "inner level", "ü/+%"))
assert ("ns06",) in catalog.list_namespaces()
assert catalog.list_namespaces("ns06") == [("ns06", "inner level")]
assert catalog.list_namespaces(("ns06", "inner level")) == [("ns06", "inner level", "ü/+%")]
assert catalog.namespace_exists(("ns06", "inner level", "ü/+%"))
assert not catalog.namespace_exists("nope06")
assert catalog.load_namespace_properties("ns06") == {"owner": "me", "comment": "c"}
summary = catalog.update_namespace_properties("ns06", {"comment", "absent"}, {"owner": "you"})
assert (summary.removed, summary.updated, summary.missing) == (["comment"], ["owner"], ["absent"]), summary
assert catalog.load_namespace_properties("ns06") == {"owner": "you"}
raises(NamespaceNotEmptyError, "ns06", lambda: catalog.drop_namespace("ns06"))
raises(Exception, "NoSuchNamespaceException: Namespace does not exist: absent", lambda: catalog.create_namespace(("absent", "child")))
raises(NoSuchNamespaceError, "absent", lambda: catalog.load_namespace_properties("absent"))
for path in [("ns06", "inner level", "ü/+%"), ("ns06", "inner level"), ("ns06",)]:
    catalog.drop_namespace(path)
raises(NoSuchNamespaceError, "ns06", lambda: catalog.drop_namespace("ns06"))
`);
});

test("[r2-data-catalog-07] tables are created, loaded, listed, renamed and dropped, and misses are told apart", async () => {
  await shared.py(`
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField
catalog.create_namespace("ns07"); catalog.create_namespace("other07")
schema = Schema(NestedField(1, "id", LongType(), required=False))
table = catalog.create_table("ns07.one", schema, properties={"owner": "me"})
assert table.metadata_location.startswith(f"s3://{BUCKET}/")
assert catalog.load_table("ns07.one").metadata.table_uuid == table.metadata.table_uuid
assert catalog.load_table("ns07.one").properties["owner"] == "me"
assert catalog.table_exists("ns07.one") and not catalog.table_exists("ns07.two")
raises(TableAlreadyExistsError, "ns07.one", lambda: catalog.create_table("ns07.one", schema))
raises(NoSuchNamespaceError, "absent", lambda: catalog.create_table("absent.one", schema))
raises(NoSuchTableError, "ns07.two", lambda: catalog.load_table("ns07.two"))
assert catalog.list_tables("ns07") == [("ns07", "one")]
catalog.create_table(("ns07", "odd name/é"), schema)
assert catalog.load_table(("ns07", "odd name/é")).schema() == table.schema()
catalog.rename_table("ns07.one", "other07.moved")
assert catalog.list_tables("other07") == [("other07", "moved")] and not catalog.table_exists("ns07.one")
raises(NoSuchTableError, "ns07.one", lambda: catalog.rename_table("ns07.one", "ns07.three"))
raises(TableAlreadyExistsError, "other07.moved", lambda: catalog.rename_table(("ns07", "odd name/é"), "other07.moved"))
catalog.drop_table("other07.moved")
raises(NoSuchTableError, "other07.moved", lambda: catalog.drop_table("other07.moved"))
assert catalog.list_tables("other07") == []
`);
});

test("[r2-data-catalog-08] append, overwrite and delete are seen right after a reload", async () => {
  await shared.py(`
catalog.create_namespace("ns08")
rows = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})
table = catalog.create_table("ns08.t", rows.schema)
def ids():
    return sorted(connect().load_table("ns08.t").scan().to_arrow()["id"].to_pylist())
table.append(rows)
assert ids() == [1, 2, 3]
table.append(pa.table({"id": pa.array([4], pa.int64()), "name": ["d"]}))
assert ids() == [1, 2, 3, 4]
table.delete("id == 2")
assert ids() == [1, 3, 4]
table.overwrite(pa.table({"id": pa.array([9], pa.int64()), "name": ["z"]}), overwrite_filter="id >= 3")
assert ids() == [1, 9]
table.overwrite(rows)
assert ids() == [1, 2, 3]
upserted = table.upsert(pa.table({"id": pa.array([3, 5], pa.int64()), "name": ["C", "E"]}), join_cols=["id"])
assert (upserted.rows_updated, upserted.rows_inserted) == (1, 1)
assert ids() == [1, 2, 3, 5]
`);
});

test("[r2-data-catalog-09] a staged table appears only with its commit", async () => {
  await shared.py(`
catalog.create_namespace("ns09")
rows = pa.table({"id": pa.array([1, 2], pa.int64())})
with catalog.create_table_transaction("ns09.ctas", schema=rows.schema, properties={"owner": "ctas"}) as transaction:
    with transaction.update_snapshot().fast_append() as append:
        from pyiceberg.io.pyarrow import _dataframe_to_data_files
        for file in _dataframe_to_data_files(table_metadata=transaction.table_metadata, df=rows, io=transaction._table.io):
            append.append_data_file(file)
    assert not connect().table_exists("ns09.ctas")
table = connect().load_table("ns09.ctas")
assert table.scan().to_arrow().to_pydict() == rows.to_pydict()
assert table.properties["owner"] == "ctas"
`);
});

test("[r2-data-catalog-10] columns are added, renamed, widened and dropped, and old files still read right", async () => {
  await shared.py(`
from pyiceberg.types import LongType, StringType
catalog.create_namespace("ns10")
table = catalog.create_table("ns10.t", pa.schema([("id", pa.int32()), ("name", pa.string()), ("gone", pa.string())]))
table.append(pa.table({"id": pa.array([1], pa.int32()), "name": ["a"], "gone": ["x"]}))
with table.update_schema() as update:
    update.add_column("extra", StringType(), doc="new")
    update.rename_column("name", "title")
    update.update_column("id", field_type=LongType())
    update.delete_column("gone")
table.append(pa.table({"id": pa.array([2], pa.int64()), "title": ["b"], "extra": ["y"]}))
read = connect().load_table("ns10.t").scan().to_arrow().sort_by("id")
assert read.to_pydict() == {"id": [1, 2], "title": ["a", "b"], "extra": [None, "y"]}, read
assert [s.schema_id for s in connect().load_table("ns10.t").metadata.schemas] == [0, 1]
`);
});

test("[r2-data-catalog-11] partition specs and sort orders change, and both layouts are read", async () => {
  await shared.py(`
import datetime as dt
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform
catalog.create_namespace("ns11")
schema = pa.schema([("at", pa.timestamp("us", tz="UTC")), ("city", pa.string())])
table = catalog.create_table("ns11.t", schema)
at = lambda day: dt.datetime(2025, 1, day, tzinfo=dt.timezone.utc)
table.append(pa.table({"at": [at(1)], "city": ["x"]}, schema=schema))
with table.update_spec() as update:
    update.add_field("at", DayTransform(), "at_day")
with table.update_sort_order() as update:
    update.asc("city", IdentityTransform())
table.append(pa.table({"at": [at(2), at(3)], "city": ["y", "z"]}, schema=schema))
with table.update_spec() as update:
    update.remove_field("at_day")
    update.add_identity("city")
table.append(pa.table({"at": [at(2)], "city": ["w"]}, schema=schema))
table = connect().load_table("ns11.t")
assert sorted(table.scan().to_arrow()["city"].to_pylist()) == ["w", "x", "y", "z"]
assert sorted(table.scan(row_filter="at >= '2025-01-02T00:00:00+00:00' and at < '2025-01-03T00:00:00+00:00'").to_arrow()["city"].to_pylist()) == ["w", "y"]
assert len(table.metadata.partition_specs) == 3 and table.metadata.last_partition_id == 1001
assert table.sort_order().fields[0].source_id == table.schema().find_field("city").field_id
`);
});

test("[r2-data-catalog-12] a snapshot from before a delete can still be read", async () => {
  await shared.py(`
catalog.create_namespace("ns12")
table = catalog.create_table("ns12.t", pa.schema([("id", pa.int64())]))
table.append(pa.table({"id": [1, 2, 3]}))
before = table.current_snapshot().snapshot_id
table.delete("id > 1")
table = connect().load_table("ns12.t")
assert table.scan().to_arrow()["id"].to_pylist() == [1]
assert sorted(table.scan(snapshot_id=before).to_arrow()["id"].to_pylist()) == [1, 2, 3]
assert [entry.snapshot_id for entry in table.history()][0] == before
`);
});

test("[r2-data-catalog-13] branches and tags point to snapshots and can be removed", async () => {
  await shared.py(`
catalog.create_namespace("ns13")
table = catalog.create_table("ns13.t", pa.schema([("id", pa.int64())]))
table.append(pa.table({"id": [1]}))
first = table.current_snapshot().snapshot_id
table.append(pa.table({"id": [2]}))
table.manage_snapshots().create_tag(first, "v1", max_ref_age_ms=1000000).create_branch(first, "dev").commit()
table.append(pa.table({"id": [3]}), branch="dev")
table = connect().load_table("ns13.t")
assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 2]
assert sorted(table.scan().use_ref("dev").to_arrow()["id"].to_pylist()) == [1, 3]
assert table.scan().use_ref("v1").to_arrow()["id"].to_pylist() == [1]
table.manage_snapshots().remove_tag("v1").remove_branch("dev").commit()
assert list(connect().load_table("ns13.t").refs()) == ["main"]
`);
});

test("[r2-data-catalog-14] of 8 concurrent writers none loses a row", async () => {
  const { stdout } = await shared.py(`
import threading
from pyiceberg.exceptions import CommitFailedException
catalog.create_namespace("ns14")
catalog.create_table("ns14.t", pa.schema([("writer", pa.int64()), ("n", pa.int64())]))
conflicts, failures = [], []
start = threading.Barrier(8)
def write(writer):
    try:
        table = connect().load_table("ns14.t")
        start.wait(timeout=60)
        for n in range(4):
            rows = pa.table({"writer": [writer], "n": [n]})
            for _ in range(200):
                try:
                    table.append(rows)
                    break
                except CommitFailedException as e:
                    conflicts.append(str(e))
                    table = connect().load_table("ns14.t")
            else:
                raise AssertionError("gave up")
    except BaseException as e:
        failures.append(e)
threads = [threading.Thread(target=write, args=(w,)) for w in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert failures == [], failures
table = connect().load_table("ns14.t")
rows = sorted((r["writer"], r["n"]) for r in table.scan().to_arrow().to_pylist())
assert rows == [(w, n) for w in range(8) for n in range(4)], rows
assert len(table.metadata.snapshots) == 32
assert all("CommitFailedException" in text and "main" in text for text in conflicts), conflicts[:3]
print("conflicts", len(conflicts))
`);
  assert.match(stdout, /conflicts [1-9]/, "the writers must have met each other, else the test proves nothing");
});

test("[r2-data-catalog-16] a dropped table's metadata file can be registered again", async () => {
  await shared.py(`
from pyiceberg.exceptions import TableAlreadyExistsError
catalog.create_namespace("ns16")
table = catalog.create_table("ns16.t", pa.schema([("id", pa.int64())]))
table.append(pa.table({"id": [1, 2]}))
location = table.metadata_location
raises(TableAlreadyExistsError, "ns16.t", lambda: catalog.register_table("ns16.t", location))
catalog.drop_table("ns16.t")
back = catalog.register_table("ns16.back", location)
assert back.metadata.table_uuid == table.metadata.table_uuid
back.append(pa.table({"id": [3]}))
assert sorted(connect().load_table("ns16.back").scan().to_arrow()["id"].to_pylist()) == [1, 2, 3]
raises(TableAlreadyExistsError, "UUID", lambda: catalog.register_table("ns16.twin", location))
raises(Exception, "missing", lambda: catalog.register_table("ns16.none", location.replace("metadata.json", "x.metadata.json")))
raises(Exception, "bucket", lambda: catalog.register_table("ns16.none", location.replace(BUCKET, "another-bucket")))
`);
});

test("[r2-data-catalog-17] DROP keeps the files, PURGE deletes them after the grace period", async () => {
  const { stdout } = await shared.py(`
import json
catalog.create_namespace("ns17")
places = {}
for name, grace in [("dropped", None), ("purged", "0"), ("waiting", None), ("own", "0")]:
    location = f"s3://{BUCKET}/own/place" if name == "own" else None
    properties = {} if grace is None else {"cloudflare-data-catalog.deletion.grace-period-seconds": grace}
    table = catalog.create_table(f"ns17.{name}", pa.schema([("id", pa.int64())]), properties=properties, location=location)
    table.append(pa.table({"id": [1]}))
    table.append(pa.table({"id": [2]}))
    places[name] = table.location().removeprefix(f"s3://{BUCKET}/")
catalog.drop_table("ns17.dropped")
for name in ["purged", "waiting", "own"]:
    catalog.purge_table(f"ns17.{name}")
assert catalog.list_tables("ns17") == []
print(json.dumps(places))
`);
  const places = JSON.parse(stdout) as Record<string, string>;
  const deadline = Date.now() + 20_000;
  // The deletion is in the background; the list of the bucket is the only way to see it.
  for (const name of ["purged", "own"]) {
    while ((await keys(shared.bucket, `${places[name]}/`)).length > 0) {
      assert.ok(Date.now() < deadline, `${name} was not deleted`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  for (const name of ["dropped", "waiting"]) {
    const left = await keys(shared.bucket, `${places[name]}/`);
    assert.equal(left.filter((key) => key.endsWith(".parquet")).length, 2, name);
    assert.ok(
      left.some((key) => key.endsWith(".metadata.json")),
      name,
    );
  }
});

test("[r2-data-catalog-02] disabling stops the serving at once, enabling again restores the tables", async () => {
  const own = await lake(platform, "on-and-off");
  await own.py(`
catalog.create_namespace("ns")
catalog.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
`);
  const account_id = platform.ready.account_id;
  await platform.sdk().r2DataCatalog.disable(own.bucket, { account_id });
  const refused = await own.request("GET", `/config?warehouse=${own.warehouse}`);
  assert.deepEqual([refused.status, refused.json.error.type], [404, "NoSuchWarehouseException"]);
  await own.py("", { code: 1 });
  await platform.sdk().r2DataCatalog.enable(own.bucket, { account_id });
  await own.py(`assert catalog.load_table("ns.t").scan().to_arrow()["id"].to_pylist() == [1]`);
});

test("commits that were acknowledged survive SIGKILL in the middle of others", async (t) => {
  const victim = await startPlatform(t);
  const own = await lake(victim, "durable");
  await own.py(`
catalog.create_namespace("ns")
table = catalog.create_table("ns.t", pa.schema([("id", pa.int64())]))
for n in range(3):
    table.append(pa.table({"id": [n]}))
`);
  const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
  const path = `/${prefix}/namespaces/ns/tables/t`;
  const acknowledged: string[] = [];
  const enough = Promise.withResolvers<void>();
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; ; n++) {
      const key = `w${writer}.${n}`;
      const answer = await own.request("POST", path, {
        requirements: [],
        updates: [{ action: "set-properties", updates: { [key]: "v" } }],
      });
      assert.equal(answer.status, 200, answer.text);
      if (acknowledged.push(key) === 40) enough.resolve();
    }
  });
  // Writers end with the connection, when the platform is killed under them.
  const ended = Promise.allSettled(writers);
  await Promise.race([enough.promise, ...writers]);
  await victim.kill9();
  await ended;
  await victim.restart();
  const { properties } = (await own.request("GET", path)).json.metadata as { properties: Record<string, string> };
  assert.deepEqual(
    acknowledged.filter((key) => properties[key] !== "v"),
    [],
  );
  await own.py(`
table = catalog.load_table("ns.t")
assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [0, 1, 2]
table.append(pa.table({"id": [3]}))
`);
});
