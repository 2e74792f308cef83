import assert from "node:assert/strict";
import { test } from "node:test";
import { type NewDataFile, planAppend } from "./append.ts";
import { applyCommit } from "./commit.ts";
import { planCompaction } from "./compaction.ts";
import { type ContentFile, readManifest, readManifestList, writeManifest } from "./manifests.ts";
import { currentSchema, type FormatVersion, newTableMetadata, snapshotByRef, type TableMetadata } from "./metadata.ts";
import { planRewrite, rewriteConflict } from "./rewrite.ts";
import { liveFiles, type OpenManifest } from "./table-files.ts";
import { parseRequirements, parseUpdates } from "./updates.ts";

const NOW = 1_760_000_000_000;
const MB = 1024 * 1024;
const limits = { targetBytes: 128 * MB, budgetBytes: 10_000 * MB };
const store = new Map<string, Uint8Array>();

const table = (formatVersion: FormatVersion): TableMetadata =>
  newTableMetadata({
    uuid: "11111111-2222-4333-8444-555555555555",
    location: `s3://bucket/v${formatVersion}`,
    formatVersion,
    now: NOW,
    schema: { type: "struct", fields: [{ id: 1, name: "part", required: false, type: "string" }] },
    partitionSpec: { fields: [{ "source-id": 1, name: "part", transform: "identity" }] },
  });

const file = (name: string, part: string, size: number): NewDataFile => ({
  path: `s3://bucket/data/${name}.parquet`,
  format: "PARQUET",
  partition: new Map([[1000, part]]),
  recordCount: 10,
  fileSize: size,
});

type Plan = { files: readonly { path: string; bytes: Uint8Array }[]; requirements: readonly unknown[]; updates: readonly unknown[] };

function commit(metadata: TableMetadata, plan: Plan): TableMetadata {
  for (const { path, bytes } of plan.files) store.set(path, bytes);
  const context = { now: NOW, previousLocation: "s3://bucket/metadata/0.metadata.json" };
  return applyCommit(metadata, parseRequirements(plan.requirements), parseUpdates(plan.updates), context).metadata;
}

function append(metadata: TableMetadata, files: readonly NewDataFile[]): TableMetadata {
  const list = snapshotByRef(metadata, "main")?.["manifest-list"];
  return commit(metadata, planAppend({ metadata, files, manifestList: list === undefined ? undefined : store.get(list), now: NOW }));
}

function open(metadata: TableMetadata): OpenManifest[] {
  const list = store.get(snapshotByRef(metadata, "main")?.["manifest-list"] ?? "") as Uint8Array;
  return readManifestList(list).map((one) => ({
    file: one,
    content: readManifest(store.get(one.path) as Uint8Array, one, metadata.schemas),
  }));
}

/** The manifests with one more, of delete files. */
function withDeletes(
  metadata: TableMetadata,
  manifests: OpenManifest[],
  files: readonly ContentFile[],
  sequenceNumber: number,
): OpenManifest[] {
  const spec = metadata["partition-specs"][0] as (typeof metadata)["partition-specs"][0];
  const bytes = writeManifest(
    { formatVersion: metadata["format-version"], content: "deletes", spec, schema: currentSchema(metadata) },
    files.map((one) => ({ status: "added", snapshotId: 1n, file: one })),
  );
  const line = {
    ...(manifests[0] as OpenManifest).file,
    path: `s3://bucket/deletes-${sequenceNumber}.avro`,
    content: "deletes" as const,
    sequenceNumber,
  };
  return [...manifests, { file: line, content: readManifest(bytes, line, metadata.schemas) }];
}

const vector = (data: string, rows: number): ContentFile => ({
  content: "position-deletes",
  path: "s3://bucket/data/vectors.puffin",
  format: "PUFFIN",
  partition: new Map([[1000, "a"]]),
  recordCount: rows,
  fileSize: 100,
  referencedDataFile: `s3://bucket/data/${data}.parquet`,
  contentOffset: 4,
  contentSizeInBytes: 40,
});

const groups = (metadata: TableMetadata, more = {}): string[][] =>
  planCompaction(liveFiles(open(metadata)), { ...limits, ...more }).map((group) =>
    group.files.map((one) => (one.file.path.match(/([^/]+)\.parquet$/) as RegExpMatchArray)[1] as string).sort(),
  );

test("small files of one partition go together up to the target, large ones and loners stay", () => {
  const metadata = append(table(2), [
    ...["a1", "a2", "a3"].map((name) => file(name, "a", 50 * MB)),
    file("big", "a", 100 * MB),
    file("b1", "b", MB),
    file("b2", "b", MB),
    file("c1", "c", MB),
  ]);
  assert.deepEqual(groups(metadata).sort(), [
    ["a1", "a2"],
    ["b1", "b2"],
  ]);
  assert.deepEqual(groups(metadata, { targetBytes: 512 * MB }).sort(), [
    ["a1", "a2", "a3", "big"],
    ["b1", "b2"],
  ]);
  assert.deepEqual(groups(metadata, { budgetBytes: 60 * MB }), [["b1", "b2"]]);
});

test("a growing file is not written again for each small one that comes", () => {
  const metadata = append(table(2), [file("grown", "a", 60 * MB), file("s1", "a", MB)]);
  assert.deepEqual(groups(metadata), []);
  const more = append(
    metadata,
    ["s2", "s3", "s4"].map((name) => file(name, "a", MB)),
  );
  assert.deepEqual(groups(more), [["grown", "s1", "s2", "s3", "s4"]]);
});

for (const version of [1, 2, 3] as const)
  test(`a rewrite of a table of version ${version} leaves the new file and the untouched ones`, () => {
    let metadata = table(version);
    for (const name of ["a", "b", "c"]) metadata = append(metadata, [file(name, "a", MB)]);
    const start = snapshotByRef(metadata, "main")?.["sequence-number"] ?? 0;
    metadata = append(metadata, [file("late", "a", MB)]);
    const manifests = open(metadata);
    const removed = new Set(["a", "b", "c"].map((name) => file(name, "a", MB).path));
    assert.equal(rewriteConflict(manifests, removed, start), undefined);
    const added = [{ specId: 0, file: { ...file("compacted", "a", 3 * MB), recordCount: 30 } }];
    const rewritten = commit(metadata, planRewrite({ metadata, manifests, removed, added, startingSequenceNumber: start, now: NOW }));
    const live = liveFiles(open(rewritten)).data;
    assert.deepEqual(live.map((one) => one.file.path.split("/").at(-1)).sort(), ["compacted.parquet", "late.parquet"]);
    const compacted = live.find((one) => one.file.path.includes("compacted"));
    assert.equal(compacted?.sequenceNumber, start);
    if (version === 3) assert.deepEqual(live.find((one) => one.file.path.includes("late"))?.file.firstRowId, 30);
    const snapshot = snapshotByRef(rewritten, "main");
    assert.equal(snapshot?.summary?.operation, "replace");
    assert.equal(snapshot?.summary?.["total-records"], "40");
    assert.equal(snapshot?.summary?.["total-data-files"], "2");
    const appended = append(rewritten, [file("next", "a", MB)]);
    assert.equal(liveFiles(open(appended)).data.length, 3);
    assert.ok(open(appended).every(({ content }) => content.entries.some((entry) => entry.status !== "deleted")));
    assert.equal(rewriteConflict(open(rewritten), removed, start), "a file was removed meanwhile");
  });

test("deletion vectors go with their files, and one that comes meanwhile is a conflict", () => {
  const metadata = append(table(3), [file("x", "a", MB), file("y", "a", 200 * MB), file("z", "a", 200 * MB)]);
  const manifests = withDeletes(metadata, open(metadata), [vector("x", 2), vector("z", 1)], 1);
  const [first, second] = planCompaction(liveFiles(manifests), limits);
  const touched = [...(first?.files ?? []), ...(second?.files ?? [])].map((one) => one.file.path);
  assert.deepEqual(touched.sort(), [file("x", "a", 0).path, file("z", "a", 0).path]);
  const removed = new Set([file("x", "a", 0).path]);
  const added = [{ specId: 0, file: { ...file("compacted", "a", MB), recordCount: 8 } }];
  const plan = planRewrite({ metadata, manifests, removed, added, startingSequenceNumber: 1, now: NOW });
  assert.equal(plan.snapshot.summary?.["removed-delete-files"], "1");
  assert.equal(plan.snapshot.summary?.["removed-position-deletes"], "2");
  for (const one of plan.files) store.set(one.path, one.bytes);
  const left = liveFiles(open(commit(metadata, plan))).deletes;
  assert.deepEqual(
    left.map((one) => one.file.referencedDataFile),
    [file("z", "a", 0).path],
  );

  const late = withDeletes(metadata, manifests, [vector("x", 3)], 2);
  assert.equal(rewriteConflict(late, removed, 1), "rows were deleted meanwhile");
});
