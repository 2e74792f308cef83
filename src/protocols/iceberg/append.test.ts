import assert from "node:assert/strict";
import { test } from "node:test";
import { columnStatistics, manifestListOf, type NewDataFile, planAppend, prepareAppend } from "./append.ts";
import { applyCommit } from "./commit.ts";
import { readManifest, readManifestList } from "./manifests.ts";
import { currentSnapshot, type FormatVersion, newTableMetadata, type TableMetadata } from "./metadata.ts";
import { parseRequirements, parseUpdates } from "./updates.ts";

const NOW = 1_760_000_000_000;

const table = (formatVersion: FormatVersion): TableMetadata =>
  newTableMetadata({
    uuid: "11111111-2222-4333-8444-555555555555",
    location: "s3://bucket/table",
    formatVersion,
    now: NOW,
    schema: {
      type: "struct",
      fields: [
        { id: 1, name: "at", required: false, type: "timestamptz" },
        { id: 2, name: "name", required: false, type: "string" },
      ],
    },
    partitionSpec: { fields: [{ "source-id": 1, name: "at_day", transform: "day" }] },
  });

const file = (name: string, day: number | null): NewDataFile => ({
  path: `s3://bucket/table/data/${name}.parquet`,
  format: "PARQUET",
  partition: new Map([[1000, day]]),
  recordCount: 10,
  fileSize: 1000,
  ...columnStatistics(new Map([[2, { type: "string", size: 30, valueCount: 10, nullCount: 1, min: "a", max: "z".repeat(40) }]])),
});

/** Appends as the callers do, with a map in place of the bucket. */
function append(
  metadata: TableMetadata,
  files: readonly NewDataFile[],
  store: Map<string, Uint8Array>,
  summary: Record<string, string> = {},
) {
  const location = manifestListOf(metadata);
  const plan = planAppend({ metadata, manifestList: location === undefined ? undefined : store.get(location), files, now: NOW, summary });
  for (const planned of plan.files) store.set(planned.path, planned.bytes);
  const context = { now: NOW + 1, previousLocation: "s3://bucket/table/metadata/0.metadata.json" };
  return applyCommit(metadata, parseRequirements(plan.requirements), parseUpdates(plan.updates), context).metadata;
}

for (const version of [1, 2, 3] as const) {
  test(`two appends to a table of version ${version} leave all files in the newest snapshot`, () => {
    const store = new Map<string, Uint8Array>();
    const first = append(table(version), [file("a", 20_000), file("b", null)], store, { "stream.offset": "41" });
    const second = append(first, [file("c", 20_001)], store);
    const snapshot = currentSnapshot(second);
    assert.equal(snapshot?.["parent-snapshot-id"], currentSnapshot(first)?.["snapshot-id"]);
    assert.equal(currentSnapshot(first)?.summary?.["stream.offset"], "41");
    assert.equal(snapshot?.["sequence-number"], version === 1 ? undefined : 2);
    const manifests = readManifestList(store.get(snapshot?.["manifest-list"] as string) as Uint8Array);
    const entries = manifests.flatMap((m) => readManifest(store.get(m.path) as Uint8Array, m, second.schemas).entries);
    assert.deepEqual(
      entries.map((entry) => [entry.file.path.slice(-9), entry.sequenceNumber, entry.file.partition.get(1000)]),
      [
        ["c.parquet", version === 1 ? 0 : 2, 20_001],
        ["a.parquet", version === 1 ? 0 : 1, 20_000],
        ["b.parquet", version === 1 ? 0 : 1, null],
      ],
    );
    if (version === 3)
      assert.deepEqual(
        entries.map((entry) => entry.file.firstRowId),
        [20, 0, 10],
      );
    assert.deepEqual(manifests[1]?.partitions, [
      { containsNull: true, containsNan: false, lowerBound: Buffer.from("204e0000", "hex"), upperBound: Buffer.from("204e0000", "hex") },
    ]);
    for (const [key, value] of Object.entries({
      "added-data-files": "1",
      "added-records": "10",
      "total-records": "30",
      "total-data-files": "3",
      "total-files-size": "3000",
      "changed-partition-count": "1",
      operation: "append",
    }))
      assert.equal(snapshot?.summary?.[key], value, key);
  });
}

test("two appends planned on the same metadata conflict, and the loser can plan again", () => {
  const store = new Map<string, Uint8Array>();
  const base = append(table(2), [file("a", 1)], store);
  const list = store.get(manifestListOf(base) as string);
  const [left, right] = ["l", "r"].map((name) => planAppend({ metadata: base, manifestList: list, files: [file(name, 1)], now: NOW }));
  const won = applyCommit(base, left?.requirements ?? [], left?.updates ?? [], { now: NOW, previousLocation: "x" }).metadata;
  assert.throws(() => applyCommit(won, right?.requirements ?? [], right?.updates ?? [], { now: NOW, previousLocation: "x" }), {
    kind: "conflict",
  });
});

test("bounds of long strings are cut so that they still hold", () => {
  const stats = columnStatistics(new Map([[2, { type: "string", min: "a".repeat(20), max: "z".repeat(20) }]]));
  assert.equal(Buffer.from(stats.lowerBounds?.get(2) ?? []).toString(), "a".repeat(16));
  assert.equal(Buffer.from(stats.upperBounds?.get(2) ?? []).toString(), `${"z".repeat(15)}{`);
});

test("files that do not fit are refused", () => {
  const metadata = table(2);
  assert.throws(() => planAppend({ metadata, manifestList: undefined, files: [], now: NOW }), { kind: "invalid" });
  assert.throws(() => planAppend({ metadata, manifestList: undefined, files: [{ ...file("a", 1), partition: new Map() }], now: NOW }), {
    kind: "invalid",
  });
  assert.throws(() => planAppend({ metadata, manifestList: Buffer.alloc(1), files: [file("a", 1)], now: NOW }), { kind: "invalid" });
});

for (const version of [2, 3] as const) {
  test(`small manifests become one when there are enough of them (version ${version})`, async () => {
    const store = new Map<string, Uint8Array>();
    const read = async (path: string): Promise<Uint8Array> => {
      const bytes = store.get(path);
      assert.ok(bytes !== undefined, path);
      return bytes;
    };
    const properties = { "commit.manifest.min-count-to-merge": "4" };
    let metadata: TableMetadata = { ...table(version), properties };
    const counts: number[] = [];
    for (let n = 0; n < 10; n++) {
      const plan = await prepareAppend(read, { metadata, files: [file(`f${n}`, n === 3 ? null : n)], now: NOW + n });
      for (const planned of plan.files) store.set(planned.path, planned.bytes);
      metadata = applyCommit(metadata, plan.requirements, plan.updates, { now: NOW + n, previousLocation: "x" }).metadata;
      counts.push(readManifestList(await read(manifestListOf(metadata) as string)).length);
    }
    assert.deepEqual(counts, [1, 2, 3, 4, 2, 3, 4, 2, 3, 4]);
    const manifests = readManifestList(await read(manifestListOf(metadata) as string));
    const entries = manifests.flatMap((m) => readManifest(store.get(m.path) as Uint8Array, m, metadata.schemas).entries);
    // Every file is there once, with the sequence number of its own append.
    const found = new Map(entries.map((entry) => [entry.file.path.slice(-10, -8), entry.sequenceNumber]));
    assert.deepEqual(
      [...found].sort(),
      Array.from({ length: 10 }, (_, n) => [`f${n}`, n + 1]),
    );
    assert.equal(entries.length, 10);
    const merged = manifests.find((m) => m.existingFilesCount !== 0);
    assert.equal(merged?.minSequenceNumber, 1);
    assert.equal(merged?.partitions?.[0]?.containsNull, true);
    assert.equal(currentSnapshot(metadata)?.summary?.["total-records"], "100");
    if (version === 3) assert.deepEqual(entries.map((entry) => entry.file.firstRowId).sort((a = 0, b = 0) => a - b)[0], 0);
    if (version === 3) assert.equal(new Set(entries.map((entry) => entry.file.firstRowId)).size, 10);
  });
}
