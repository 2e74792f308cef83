import assert from "node:assert/strict";
import { test } from "node:test";
import type { Schema } from "./types.ts";
import { applyViewCommit, newViewMetadata, parseViewMetadata, serializeViewMetadata } from "./views.ts";

const schema: Schema = { type: "struct", "schema-id": 4, fields: [{ id: 1, name: "n", required: false, type: "long" }] };
const version = (sql: string, more: object = {}) => ({
  "version-id": 1,
  "timestamp-ms": 5,
  "schema-id": 9,
  summary: { engine: "test" },
  representations: [{ type: "sql", sql, dialect: "spark" }],
  "default-namespace": ["a"],
  ...more,
});
const view = (properties = {}) =>
  newViewMetadata({ uuid: "11111111-2222-4333-8444-555555555555", location: "s3://b/v", schema, version: version("SELECT 1"), properties });

test("a new view has one version, bound to the schema that comes with it", () => {
  const metadata = view();
  assert.deepEqual([metadata["current-version-id"], metadata.versions[0]?.["schema-id"], metadata.schemas[0]?.["schema-id"]], [1, 0, 0]);
  assert.deepEqual(metadata["version-log"], [{ "timestamp-ms": 5, "version-id": 1 }]);
  assert.deepEqual(parseViewMetadata(serializeViewMetadata(metadata)), metadata);
});

test("a replace adds a version and makes it current; an equal one is reused", () => {
  const replace = (sql: string) => [
    { action: "add-view-version", "view-version": version(sql, { "schema-id": 0, "version-id": 7, "timestamp-ms": 9 }) },
    { action: "set-current-view-version", "view-version-id": -1 },
  ];
  const second = applyViewCommit(
    view(),
    [{ type: "assert-view-uuid", uuid: "11111111-2222-4333-8444-555555555555" }],
    replace("SELECT 2"),
    20,
  );
  assert.equal(second["current-version-id"], 7);
  const back = applyViewCommit(second, [], replace("SELECT 1"), 20);
  assert.deepEqual([back["current-version-id"], back.versions.length, back["version-log"].length], [1, 2, 3]);
  assert.equal(applyViewCommit(back, [], replace("SELECT 1"), 20), back);
});

test("history is bounded by the view's property", () => {
  let metadata = view({ "version.history.num-entries": "2" });
  for (let i = 2; i < 6; i++) {
    const updates = [
      { action: "add-view-version", "view-version": version(`SELECT ${i}`, { "schema-id": 0 }) },
      { action: "set-current-view-version", "view-version-id": -1 },
    ];
    metadata = applyViewCommit(metadata, [], updates, i);
  }
  assert.deepEqual(
    metadata.versions.map((v) => v["version-id"]),
    [4, 5],
  );
  assert.deepEqual(
    metadata["version-log"].map((entry) => entry["version-id"]),
    [4, 5],
  );
});

test("bad updates are refused", () => {
  const refused: readonly (readonly [unknown, string])[] = [
    [[{ action: "add-snapshot" }], "invalid"],
    [[{ action: "assign-uuid", uuid: "x" }], "invalid"],
    [[{ action: "set-location", location: "s3://b/other" }], "invalid"],
    [[{ action: "set-current-view-version", "view-version-id": 44 }], "invalid"],
    [[{ action: "set-properties", updates: { a: 1 } }], "invalid"],
    [[{ action: "add-view-version", "view-version": version("x", { representations: [] }) }], "invalid"],
    [
      [
        {
          action: "add-view-version",
          "view-version": version("x", { "schema-id": 0, representations: [{ type: "sql", sql: "x", dialect: "trino" }] }),
        },
        { action: "set-current-view-version", "view-version-id": -1 },
      ],
      "invalid",
    ],
  ];
  for (const [updates, kind] of refused) assert.throws(() => applyViewCommit(view(), [], updates, 1), { kind }, JSON.stringify(updates));
  assert.throws(() => applyViewCommit(view(), [{ type: "assert-view-uuid", uuid: "x" }], [], 1), { kind: "conflict" });
});
