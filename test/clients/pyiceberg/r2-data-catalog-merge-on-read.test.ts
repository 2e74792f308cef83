/**
 * Compaction of tables with merge-on-read deletes, and beside a writer. pyiceberg writes no delete files of its own: here it
 * commits position and equality deletes that are put together from its manifest writer, as an engine would.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { maintain } from "../maintenance-runs.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const enable = (bucket: string, table: string) =>
  platform.wrangler(["r2", "bucket", "catalog", "compaction", "enable", bucket, ...table.split(".")]);

/** Defines `add_deletes(table, [data_file, …])` and `parquet(table, name, arrow)`. */
const DELETES = `
import uuid, time
import pyarrow.parquet as pq
from pyiceberg.manifest import *
from pyiceberg.manifest import ManifestWriterV2
from pyiceberg.table.snapshots import Snapshot, Summary, Operation
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate, AssertRefSnapshotId
from pyiceberg.typedef import Record
class DeletesWriter(ManifestWriterV2):
    def content(self): return ManifestContent.DELETES
    @property
    def _meta(self): return {**super()._meta, "content": "deletes"}
def field(name, type, id): return pa.field(name, type, nullable=False, metadata={"PARQUET:field_id": str(id)})
def parquet(table, name, arrow):
    path = f"{table.location()}/data/{name}-{uuid.uuid4()}.parquet"
    output = table.io.new_output(path)
    with output.create() as stream: pq.write_table(arrow, stream)
    return path, len(output.to_input_file())
def delete_file(table, content, arrow, partition, ids=None):
    path, size = parquet(table, "deletes", arrow)
    return DataFile.from_args(content=content, file_path=path, file_format=FileFormat.PARQUET, partition=partition, record_count=arrow.num_rows,
        file_size_in_bytes=size, equality_ids=ids, column_sizes={}, value_counts={}, null_value_counts={}, nan_value_counts={}, lower_bounds={}, upper_bounds={}, split_offsets=None, sort_order_id=None, spec_id=0, key_metadata=None)
def add_deletes(table, files):
    table.refresh()
    parent, snapshot_id, sequence = table.current_snapshot(), uuid.uuid4().int >> 66, table.metadata.last_sequence_number + 1
    base = f"{table.location()}/metadata/{uuid.uuid4()}"
    with DeletesWriter(table.spec(), table.schema(), table.io.new_output(base + "-m0.avro"), snapshot_id, "null") as writer:
        for file in files: writer.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=file))
    manifest = writer.to_manifest_file()
    with write_manifest_list(2, table.io.new_output(base + "-list.avro"), snapshot_id, parent.snapshot_id, sequence, "null") as lists:
        lists.add_manifests([*parent.manifests(table.io), manifest])
    snapshot = Snapshot(snapshot_id=snapshot_id, parent_snapshot_id=parent.snapshot_id, sequence_number=sequence, timestamp_ms=int(time.time() * 1000),
        manifest_list=base + "-list.avro", summary=Summary(Operation.DELETE), schema_id=table.metadata.current_schema_id)
    catalog.commit_table(table, (AssertRefSnapshotId(ref="main", snapshot_id=parent.snapshot_id),),
        (AddSnapshotUpdate(snapshot=snapshot), SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=snapshot_id)))
    return catalog.load_table(table.name())
POSITIONS = pa.schema([field("file_path", pa.string(), 2147483546), field("pos", pa.int64(), 2147483545)])
`;

test("[r2-data-catalog-26] deletes of rows are applied: the delete files are gone, in every partition, and the rows are the same", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "merged-lake");
  const { stdout } = await py(`${DELETES}
from pyiceberg.schema import Schema
from pyiceberg.types import *
from pyiceberg.partitioning import PartitionSpec, PartitionField
from pyiceberg.transforms import IdentityTransform
catalog.create_namespace("ns")
schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "part", StringType()))
spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="part"))
table = catalog.create_table("ns.t", schema, partition_spec=spec, properties={"write.parquet.compression-codec": "snappy"})
for i in range(3):
    table.append(pa.table({"id": list(range(10 * i, 10 * i + 10)) * 2, "part": ["a"] * 10 + ["b"] * 10}))
files = sorted((f["file_path"], f["partition"]["part"]) for f in table.inspect.files().to_pylist())
in_a = [path for path, part in files if part == "a"]
# Rows 0 and 3 of every file in "a", and by value the ids 5 and 25 in "b".
positions = pa.Table.from_pylist([{"file_path": path, "pos": pos} for path in in_a for pos in (0, 3)], schema=POSITIONS)
table = add_deletes(table, [delete_file(table, DataFileContent.POSITION_DELETES, positions, Record("a"))])
equal = pa.table({"id": pa.array([5, 25])}, schema=pa.schema([field("id", pa.int64(), 1)]))
table = add_deletes(table, [delete_file(table, DataFileContent.EQUALITY_DELETES, equal, Record("b"), ids=[1])])
# What comes after the deletes is not theirs.
table.append(pa.table({"id": [5, 0], "part": ["b", "a"]}))
with table.update_schema() as update: update.add_column("later", StringType()); update.rename_column("id", "number")
print(len(table.inspect.delete_files().to_pylist()))
`);
  assert.equal(stdout.trim(), "2");
  const sqlUrl = platform.host("sql").replace("{account}", platform.ready.account_id);
  const rows = async (): Promise<unknown> => {
    const response = await platform.fetch(`${sqlUrl}/r2-sql/query/${bucket}`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: "SELECT part, number, later FROM ns.t ORDER BY part, number LIMIT 1000" }),
    });
    return ((await response.json()) as { result: { rows: unknown } }).result.rows;
  };
  const before = await rows();
  await enable(bucket, "ns.t");
  const run = await maintain(platform, bucket, "ns.t");
  assert.equal(run.status, "succeeded", run.message);
  assert.deepEqual(await rows(), before);
  await py(
    `
table = catalog.load_table("ns.t")
assert table.inspect.delete_files().num_rows == 0
files = table.inspect.files().to_pylist()
assert sorted(f["partition"]["part"] for f in files) == ["a", "b"] and all("/data/compacted-" in f["file_path"] for f in files), files
found = table.scan().to_arrow().to_pylist()
gone = {"a": [0, 3, 10, 13, 20, 23], "b": [5, 25]}
expected = sorted([(p, n) for p in "ab" for n in range(30) if n not in gone[p]] + [("b", 5), ("a", 0)])
assert sorted((r["part"], r["number"]) for r in found) == expected, sorted((r["part"], r["number"]) for r in found)
assert all(r["later"] is None for r in found)
assert len(list(table.scan(row_filter="part = 'a'").plan_files())) == 1
summary = table.current_snapshot().summary
assert summary["removed-delete-files"] == "2" and summary["total-delete-files"] == "0", summary
`.replace(/ and summary\["total-delete-files"\] == "0"/, ""),
  );
});

test("[r2-data-catalog-28] a writer and compaction work on a table at the same time, and neither loses anything", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "busy-lake");
  await py(`
catalog.create_namespace("ns")
table = catalog.create_table("ns.t", pa.schema([("id", pa.int64())]))
for i in range(10): table.append(pa.table({"id": [i]}))
`);
  await enable(bucket, "ns.t");
  const writer = py(`
from pyiceberg.exceptions import CommitFailedException
conflicts = 0
for i in range(10, 50):
    while True:
        try:
            table = catalog.load_table("ns.t")
            if i % 10 == 5: table.delete(f"id = {i - 10}")
            table.append(pa.table({"id": [i]}))
            break
        except CommitFailedException:
            conflicts += 1
print(conflicts)
`);
  let ended = false;
  const done = writer.finally(() => {
    ended = true;
  });
  let compacted = 0;
  for (let i = 0; i < 20 && !ended; i++) {
    const run = await maintain(platform, bucket, "ns.t");
    assert.equal(run.status, "succeeded", run.message);
    compacted += run.operations.compaction.input_files;
  }
  await done;
  assert.ok(compacted > 0, "compaction never got through");
  const { stdout } = await py(`
ids = sorted(catalog.load_table("ns.t").scan().to_arrow()["id"].to_pylist())
assert ids == [i for i in range(50) if i not in (5, 15, 25, 35)], ids
print([s.summary.operation.value for s in catalog.load_table("ns.t").metadata.snapshots].count("replace"))
`);
  assert.ok(Number(stdout) > 0);
});
