/**
 * The platform's own reader and writer of Iceberg's Avro files against pyiceberg, in both directions. Unlike other client
 * tests this one imports the format code: it is a library here, and pyiceberg is the judge of its files. Needs Python.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { columnStatistics, manifestListOf, type NewDataFile, prepareAppend } from "../../../src/protocols/iceberg/append.ts";
import { parseIcebergJson, stringifyIcebergJson } from "../../../src/protocols/iceberg/json.ts";
import { columnBounds, readManifest, readManifestList } from "../../../src/protocols/iceberg/manifests.ts";
import { currentSchema, parseS3Location, parseTableMetadata, type TableMetadata } from "../../../src/protocols/iceberg/metadata.ts";
import { applyTransform, parseTransform } from "../../../src/protocols/iceberg/transforms.ts";
import { primitive } from "../../../src/protocols/iceberg/types.ts";
import type { Value } from "../../../src/protocols/iceberg/values.ts";
import { startPlatform } from "../../harness/platform.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "format-lake");
const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
await own.request("POST", `/${prefix}/namespaces`, { namespace: ["ns"] });

async function read(location: string): Promise<Uint8Array> {
  const { bucket, key } = parseS3Location(location) as { bucket: string; key: string };
  const { Body } = await platform.s3().send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return (Body as { transformToByteArray(): Promise<Uint8Array> }).transformToByteArray();
}

async function write(location: string, bytes: Uint8Array): Promise<void> {
  const { bucket, key } = parseS3Location(location) as { bucket: string; key: string };
  await platform.s3().send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }));
}

/** The table's metadata with ids in full precision, which `JSON.parse` would lose. */
async function load(name: string): Promise<TableMetadata> {
  const { text } = await own.request("GET", `/${prefix}/namespaces/ns/tables/${name}`);
  return parseTableMetadata(stringifyIcebergJson((parseIcebergJson(text) as { metadata: unknown }).metadata));
}

/** Every partition transform over a column of a type that takes it. */
const COLUMNS = `
import datetime as dt
from decimal import Decimal
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.partitioning import PartitionSpec, PartitionField
from pyiceberg.transforms import *
from pyiceberg.types import *
columns = {
    "flag": (BooleanType(), IdentityTransform()), "small": (IntegerType(), BucketTransform(4)), "big": (LongType(), IdentityTransform()),
    "price": (DecimalType(9, 2), TruncateTransform(50)), "month": (DateType(), MonthTransform()), "day": (DateType(), IdentityTransform()),
    "hour": (TimestamptzType(), HourTransform()), "at day": (TimestamptzType(), DayTransform()), "year": (TimestampType(), YearTransform()),
    "name": (StringType(), TruncateTransform(3)), "hash": (StringType(), BucketTransform(16)), "raw": (BinaryType(), IdentityTransform())}
schema = Schema(*[NestedField(i + 1, name, t) for i, (name, (t, _)) in enumerate(columns.items())], NestedField(50, "real", DoubleType()))
spec = PartitionSpec(*[PartitionField(i + 1, 1000 + i, t, f"p {name}") for i, (name, (_, t)) in enumerate(columns.items())])
at = dt.datetime(2025, 3, 4, 5, 6, 7, 8, dt.timezone.utc)
early = dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.timezone.utc)
first = {"flag": True, "small": 7, "big": 2**62, "price": Decimal("10.65"), "month": at.date(), "day": at.date(), "hour": at, "at day": at,
    "year": at.replace(tzinfo=None), "name": "iceberg", "hash": "iceberg", "raw": b"\\x00\\xff", "real": 1.5}
second = {"flag": False, "small": None, "big": -5, "price": Decimal("-0.01"), "month": early.date(), "day": early.date(), "hour": early, "at day": early,
    "year": early.replace(tzinfo=None), "name": "naïve 🧊", "hash": "", "raw": b"", "real": float("nan")}
def rows(table, *of):
    return pa.Table.from_pylist(list(of), schema=schema_to_pyarrow(table.schema(), include_field_ids=False))
`;

/** The first row in the form of our values. */
const ROW: Readonly<Record<string, Value>> = {
  flag: true,
  small: 7,
  big: 2n ** 62n,
  price: 1065n,
  month: 20151,
  day: 20151,
  hour: 1741064767000008n,
  "at day": 1741064767000008n,
  year: 1741064767000008n,
  name: "iceberg",
  hash: "iceberg",
  raw: Buffer.from([0, 255]),
};

/** The partition tuple that our own transforms make of the first row. */
function tuple(metadata: TableMetadata): Map<number, Value | null> {
  const schema = currentSchema(metadata);
  const fields = metadata["partition-specs"][0]?.fields ?? [];
  assert.equal(fields.length, 12);
  return new Map(
    fields.map((field) => {
      const column = schema.fields.find((f) => f.id === field["source-id"]);
      const value = applyTransform(parseTransform(field.transform), primitive(column?.type ?? ""), ROW[column?.name ?? ""] ?? null);
      return [field["field-id"], value];
    }),
  );
}

test("manifests of pyiceberg are read with partition values, bounds, deletes and sequence numbers", async () => {
  await own.py(`${COLUMNS}
table = catalog.create_table("ns.theirs", schema, partition_spec=spec)
table.append(rows(table, first, second))
table.append(rows(table, first))
table.delete("big == -5")
`);
  const metadata = await load("theirs");
  const manifests = readManifestList(await read(manifestListOf(metadata) as string));
  const all = [];
  for (const m of manifests) all.push(...readManifest(await read(m.path), m, metadata.schemas).entries);
  const alive = all.filter((entry) => entry.status !== "deleted");
  assert.equal(alive.length, 2);
  assert.deepEqual(alive.map((entry) => entry.sequenceNumber).sort(), [1, 2]);
  assert.ok(all.every((entry) => metadata.snapshots.some((snapshot) => snapshot["snapshot-id"] === entry.snapshotId)));
  for (const { file } of alive) {
    assert.deepEqual(file.partition, tuple(metadata));
    assert.equal(file.recordCount, 1);
    for (const { id, name, type } of currentSchema(metadata).fields) {
      if (name !== "real") assert.deepEqual(columnBounds(file, id, type), { lower: ROW[name], upper: ROW[name] }, name);
    }
  }
});

for (const version of ["1", "2"]) {
  test(`appends planned here are read by pyiceberg, with partitions and statistics (version ${version})`, async () => {
    const name = `ours_v${version}`;
    // pyiceberg makes the table and the Parquet file; the manifests and the commit are ours.
    const { stdout } = await own.py(`${COLUMNS}
import json
import pyarrow.parquet as pq
table = catalog.create_table("ns.${name}", schema, partition_spec=spec, properties={"format-version": "${version}", "commit.manifest.min-count-to-merge": "2"})
path = f"{table.location()}/data/ours.parquet"
with table.io.new_output(path).create(overwrite=True) as f:
    pq.write_table(rows(table, first).cast(schema_to_pyarrow(table.schema())), f)
print(json.dumps({"path": path, "size": len(table.io.new_input(path))}))
`);
    const { path, size } = JSON.parse(stdout) as { path: string; size: number };
    for (const n of [1, 2, 3]) {
      const metadata = await load(name);
      const full = tuple(metadata);
      const stats = new Map(
        currentSchema(metadata).fields.flatMap(({ id, name: column, type }) =>
          ROW[column] === undefined
            ? []
            : [[id, { type, size: 50, valueCount: 1, nullCount: 0, min: ROW[column], max: ROW[column] }] as const],
        ),
      );
      const file: NewDataFile = {
        path,
        format: "PARQUET",
        partition: n === 1 ? full : new Map([...full].map(([id]) => [id, null])),
        recordCount: 1,
        fileSize: size,
        splitOffsets: [4],
        ...columnStatistics(stats),
      };
      // The third append merges the manifests of the first two.
      const plan = await prepareAppend(read, { metadata, files: [file], now: Date.now(), summary: { "stream.offset": String(n) } });
      for (const planned of plan.files) await write(planned.path, planned.bytes);
      const body = stringifyIcebergJson({ requirements: plan.requirements, updates: plan.updates });
      const answer = await own.request("POST", `/${prefix}/namespaces/ns/tables/${name}`, body);
      assert.equal(answer.status, 200, answer.text);
    }
    await own.py(`${COLUMNS}
table = catalog.load_table("ns.${name}")
assert table.current_snapshot().summary["stream.offset"] == "3"
assert table.current_snapshot().summary["total-records"] == "3"
assert table.scan().to_arrow().num_rows == 3
# The file with the full tuple passes by its partition, those with nulls are pruned by it.
for condition in ["name == 'iceberg'", f"big == {2**62}", "hour >= '2025-03-04T05:00:00+00:00'", "month == '2025-03-04'", "year > '2024-01-01T00:00:00'"]:
    assert table.scan(row_filter=condition).to_arrow().num_rows == 1, condition
for condition in ["price < 10", "flag == false", "hash == 'other'", "small == 8"]:
    assert table.scan(row_filter=condition).to_arrow().num_rows == 0, condition
files = table.inspect.files().to_pylist()
assert len(files) == 3
metrics = [f for f in files if f["partition"]["p flag"]][0]["readable_metrics"]
assert {k: metrics[k]["lower_bound"] for k in columns} == {k: first[k] for k in columns}, metrics
assert metrics["big"]["column_size"] == 50 and metrics["big"]["value_count"] == 1
assert [(m["added_data_files_count"], m["existing_data_files_count"]) for m in table.inspect.manifests().to_pylist()] == [(1, 0), (0, 2)]
partitions = [p["partition"] for p in table.inspect.partitions().to_pylist()]
assert len(partitions) == 2
[p] = [p for p in partitions if p["p flag"]]
assert (p["p big"], p["p price"], p["p month"], p["p hour"], p["p name"], p["p day"], p["p at day"], p["p raw"]) == (2**62, Decimal("10.50"), 662, 483629, "ice", at.date(), at.date(), b"\\x00\\xff"), p
# Another engine goes on from our files.
table.append(rows(table, second))
assert catalog.load_table("ns.${name}").scan().to_arrow().num_rows == 4
`);
  });
}
