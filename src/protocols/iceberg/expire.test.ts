import assert from "node:assert/strict";
import { test } from "node:test";
import { applyCommit } from "./commit.ts";
import { expired, expiryUpdates } from "./expire.ts";
import { newTableMetadata, type SnapshotRef, type TableMetadata } from "./metadata.ts";

const DAY = 86_400_000;
const NOW = 1_760_000_000_000;

/** Snapshots 1, 2, … each on the one before, so many days old; `refs` beside main, which points to the last. */
function table(days: readonly number[], refs: Readonly<Record<string, SnapshotRef>> = {}): TableMetadata {
  const schema = { type: "struct", fields: [{ id: 1, name: "id", required: false, type: "long" }] } as const;
  const base = newTableMetadata({ uuid: "11111111-2222-4333-8444-555555555555", location: "s3://b/t", schema, now: NOW - 100 * DAY });
  const last = BigInt(days.length);
  return {
    ...base,
    "last-updated-ms": NOW,
    "last-sequence-number": days.length,
    "current-snapshot-id": last,
    snapshots: days.map((age, i) => ({
      "snapshot-id": BigInt(i + 1),
      ...(i > 0 && { "parent-snapshot-id": BigInt(i) }),
      "sequence-number": i + 1,
      "timestamp-ms": NOW - age * DAY,
      "manifest-list": `s3://b/t/metadata/${i}.avro`,
      summary: { operation: "append" },
    })),
    refs: { main: { "snapshot-id": last, type: "branch" }, ...refs },
  };
}

const retention = { now: NOW, maxAgeMs: 30 * DAY, minToKeep: 2, limit: 100 };
const gone = (metadata: TableMetadata, more: object = {}) => expired(metadata, { ...retention, ...more }).snapshots.map(Number);

test("a snapshot goes only when it is old and beyond the newest", () => {
  assert.deepEqual(gone(table([50, 40, 20, 10])), [1, 2]);
  assert.deepEqual(gone(table([50, 40, 20, 10]), { minToKeep: 3 }), [1]);
  assert.deepEqual(gone(table([50, 40, 39, 38])), [1, 2]);
  assert.deepEqual(gone(table([50, 40, 39, 38]), { maxAgeMs: 60 * DAY }), []);
  assert.deepEqual(gone(table([50, 40, 39, 38]), { limit: 1 }), [1]);
});

test("a clock set back deletes nothing, one set forward no more than the rule allows", () => {
  assert.deepEqual(gone(table([50, 40, 20, 10]), { now: NOW - 365 * DAY }), []);
  assert.deepEqual(gone(table([50, 40, 20, 10]), { now: NOW + 365 * DAY }), [1, 2]);
});

test("branches and tags keep what they need, by their own ages", () => {
  const days = [90, 80, 70, 60, 50, 1];
  assert.deepEqual(gone(table(days, { kept: { "snapshot-id": 2n, type: "tag" } }), { minToKeep: 1 }), [1, 3, 4, 5]);
  const branch = { "snapshot-id": 4n, type: "branch", "min-snapshots-to-keep": 3 } as const;
  assert.deepEqual(gone(table(days, { branch }), { minToKeep: 1 }), [1, 5]);
  const old = table(days, { old: { "snapshot-id": 1n, type: "tag", "max-ref-age-ms": DAY } });
  const expiry = expired(old, { ...retention, minToKeep: 1 });
  assert.deepEqual(expiry.refs, ["old"]);
  const { metadata } = applyCommit(old, [], expiryUpdates(expiry), { now: NOW, previousLocation: "s3://b/t/metadata/0.metadata.json" });
  assert.deepEqual([metadata.snapshots.length, Object.keys(metadata.refs)], [1, ["main"]]);
});
