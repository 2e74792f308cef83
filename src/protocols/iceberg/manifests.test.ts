import assert from "node:assert/strict";
import { test } from "node:test";
import { readAvroFile, writeAvroFile } from "./avro.ts";
import { manifestListSchema } from "./manifest-schema.ts";
import {
  type ContentFile,
  columnBounds,
  type ManifestFile,
  readManifest,
  readManifestList,
  writeManifest,
  writeManifestList,
} from "./manifests.ts";
import type { Schema } from "./types.ts";
import type { Value } from "./values.ts";

/** One column for each type that can be partitioned by. */
const samples: readonly (readonly [string, Value])[] = [
  ["boolean", true],
  ["int", -7],
  ["long", 2n ** 62n],
  ["float", 1.5],
  ["double", Number.NaN],
  ["date", 20_000],
  ["time", 1n],
  ["timestamp", -1n],
  ["timestamptz", 1_760_000_000_000_000n],
  ["timestamp_ns", 1_760_000_000_000_000_001n],
  ["string", "naïve 🧊"],
  ["uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7"],
  ["fixed[3]", Buffer.from([1, 2, 255])],
  ["binary", Buffer.from([0])],
  ["decimal(9, 2)", -12_345n],
  ["decimal(38, 0)", 10n ** 37n],
];

const schema: Schema = {
  type: "struct",
  "schema-id": 3,
  fields: samples.map(([type], i) => ({ id: i + 1, name: `c ${i}`, required: false, type })),
};
const spec = {
  "spec-id": 2,
  fields: samples.map(([,], i) => ({ "source-id": i + 1, "field-id": 1000 + i, name: `c ${i}`, transform: "identity" })),
};
const partition = new Map<number, Value | null>(samples.map(([, value], i) => [1000 + i, value]));
const nulls = new Map<number, Value | null>(samples.map((_, i) => [1000 + i, null]));

const dataFile = (path: string, more: Partial<ContentFile> = {}): ContentFile => ({
  content: "data",
  path,
  format: "PARQUET",
  partition,
  recordCount: 10,
  fileSize: 2 ** 40,
  ...more,
});

const line = (more: Partial<ManifestFile> = {}): ManifestFile => ({
  path: "s3://b/t/metadata/m0.avro",
  length: 5,
  partitionSpecId: 2,
  content: "data",
  sequenceNumber: 9,
  minSequenceNumber: 4,
  addedSnapshotId: 2n ** 62n + 1n,
  addedFilesCount: 1,
  existingFilesCount: 0,
  deletedFilesCount: 0,
  addedRowsCount: 10,
  existingRowsCount: 0,
  deletedRowsCount: 0,
  ...more,
});

test("a manifest keeps partition values of every type, statistics and offsets", () => {
  const full = dataFile("s3://b/t/data/a.parquet", {
    columnSizes: new Map([
      [1, 100],
      [3, 2 ** 40],
    ]),
    valueCounts: new Map([[1, 10]]),
    nullValueCounts: new Map([[1, 0]]),
    nanValueCounts: new Map([[5, 1]]),
    lowerBounds: new Map([[3, Buffer.alloc(8)]]),
    upperBounds: new Map([[3, Buffer.alloc(8, 1)]]),
    splitOffsets: [4, 2 ** 40],
    sortOrderId: 1,
  });
  const bytes = writeManifest({ formatVersion: 2, content: "data", spec, schema }, [
    { status: "added", snapshotId: line().addedSnapshotId, file: full },
    {
      status: "deleted",
      snapshotId: 5n,
      sequenceNumber: 4,
      fileSequenceNumber: 3,
      file: dataFile("s3://b/t/data/b.parquet", { partition: nulls }),
    },
  ]);
  const manifest = readManifest(bytes, line(), [schema]);
  assert.equal(manifest.formatVersion, 2);
  assert.deepEqual(manifest.partitionFields, spec.fields);
  assert.deepEqual(manifest.entries[0], {
    status: "added",
    snapshotId: 2n ** 62n + 1n,
    sequenceNumber: 9,
    fileSequenceNumber: 9,
    file: full,
  });
  assert.deepEqual(manifest.entries[1]?.file.partition, nulls);
  assert.equal(manifest.entries[1]?.sequenceNumber, 4);
  assert.equal(manifest.entries[1]?.snapshotId, 5n);
  assert.deepEqual(columnBounds(full, 3, "long"), { lower: 0n, upper: 0x0101010101010101n });
  assert.deepEqual(columnBounds(full, 1, "int"), {});
});

test("the header has what the specification requires, and ids lie beside every field", () => {
  const bytes = writeManifest({ formatVersion: 2, content: "deletes", spec, schema }, []);
  const { metadata, schema: avro } = readAvroFile(bytes);
  assert.deepEqual(Object.fromEntries(metadata), {
    schema: JSON.stringify(schema),
    "schema-id": "3",
    "partition-spec": JSON.stringify(spec.fields),
    "partition-spec-id": "2",
    "format-version": "2",
    content: "deletes",
  });
  const members: unknown[] = [];
  JSON.stringify(avro, (key, value: unknown) => {
    if (key === "fields") members.push(...(value as unknown[]));
    return value;
  });
  assert.ok(members.length > 40);
  for (const member of members) assert.equal(typeof (member as { "field-id": unknown })["field-id"], "number", JSON.stringify(member));
});

test("delete files keep what they refer to", () => {
  const files: ContentFile[] = [
    dataFile("s3://b/t/data/eq.parquet", { content: "equality-deletes", equalityIds: [1, 2] }),
    dataFile("s3://b/t/data/dv.puffin", {
      content: "position-deletes",
      format: "PUFFIN",
      referencedDataFile: "s3://b/t/data/a.parquet",
      contentOffset: 4,
      contentSizeInBytes: 50,
    }),
  ];
  const entries = files.map((file) => ({ status: "added" as const, snapshotId: 1n, file }));
  const bytes = writeManifest({ formatVersion: 3, content: "deletes", spec, schema }, entries);
  const manifest = readManifest(bytes, line({ content: "deletes", firstRowId: 100 }), [schema]);
  assert.deepEqual(
    manifest.entries.map((entry) => entry.file),
    files,
    "delete files never get row ids",
  );
});

test("row ids of version 3 are inherited in order, past files that have theirs", () => {
  const entries = [dataFile("a"), dataFile("b", { firstRowId: 7 }), dataFile("c")].map((file) => ({
    status: "added" as const,
    snapshotId: 1n,
    file,
  }));
  const bytes = writeManifest({ formatVersion: 3, content: "data", spec, schema }, entries);
  const read = readManifest(bytes, line({ firstRowId: 100 }), [schema]);
  assert.deepEqual(
    read.entries.map((entry) => entry.file.firstRowId),
    [100, 7, 110],
  );
});

test("version 1 manifests are read with sequence number 0", () => {
  const bytes = writeManifest({ formatVersion: 1, content: "data", spec, schema }, [
    { status: "added", snapshotId: 3n, file: dataFile("a") },
  ]);
  const [entry] = readManifest(bytes, line({ sequenceNumber: 0 }), [schema]).entries;
  assert.deepEqual([entry?.sequenceNumber, entry?.snapshotId, entry?.file.content], [0, 3n, "data"]);
});

test("a manifest list survives writing and reading in each version", () => {
  const manifests = [
    line({
      partitions: [{ containsNull: true, containsNan: false, lowerBound: Buffer.from([1]), upperBound: Buffer.from([2]) }],
      keyMetadata: Buffer.from("k"),
    }),
    line({ path: "s3://b/t/metadata/m1.avro", content: "deletes", partitions: [] }),
  ];
  for (const formatVersion of [2, 3]) {
    const list = writeManifestList({ formatVersion, snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 9 }, manifests);
    assert.deepEqual(readManifestList(list), manifests);
  }
  const v1 = readManifestList(writeManifestList({ formatVersion: 1, snapshotId: 1n, parentSnapshotId: 2n, sequenceNumber: 0 }, manifests));
  assert.deepEqual(
    v1.map((m) => [m.content, m.sequenceNumber, m.addedRowsCount]),
    [
      ["data", 0, 10],
      ["data", 0, 10],
    ],
  );
});

test("names of other writers do not matter, ids do", () => {
  const renamed = JSON.parse(JSON.stringify(manifestListSchema(2)).replace("added_files_count", "added_data_files_count")) as Parameters<
    typeof writeAvroFile
  >[0];
  const record = {
    manifest_path: "s3://b/m",
    manifest_length: 1,
    partition_spec_id: 0,
    content: 0,
    sequence_number: 1,
    min_sequence_number: 1,
    added_snapshot_id: 5n,
    added_data_files_count: 3,
    existing_files_count: 0,
    deleted_files_count: 0,
    added_rows_count: 1,
    existing_rows_count: 0,
    deleted_rows_count: 0,
    partitions: null,
    key_metadata: null,
  };
  assert.equal(readManifestList(writeAvroFile(renamed, {}, [record]))[0]?.addedFilesCount, 3);
});

test("what is no manifest is refused as corrupt", () => {
  const list = writeManifestList({ formatVersion: 2, snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 9 }, [line()]);
  const flipped = Buffer.from(list);
  flipped[flipped.length - 30] = (flipped[flipped.length - 30] as number) ^ 0xff;
  // Records that take no byte could be told to be there any number of times.
  const empty = writeAvroFile({ type: "record", name: "manifest_file", fields: [] }, {}, [{}, {}]);
  for (const bytes of [Buffer.alloc(0), Buffer.from("PAR1"), list.subarray(0, list.length - 20), flipped, empty])
    assert.throws(() => readManifestList(bytes), { name: "IcebergError", kind: "corrupt" });
});

test("many records go into several blocks", () => {
  const manifests = Array.from({ length: 2000 }, (_, i) => line({ path: `s3://b/t/metadata/${i}.avro` }));
  const list = writeManifestList({ formatVersion: 2, snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 9 }, manifests);
  assert.deepEqual(readManifestList(list), manifests);
});
