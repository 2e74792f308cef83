/**
 * Every requirement and update, from a file of cases: what goes in, and the metadata or the error that comes out.
 * `UPDATE_GOLDEN=1` writes the expectations anew; read the difference as code.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { applyCommit } from "./commit.ts";
import { IcebergError } from "./errors.ts";
import { parseIcebergJson, stringifyIcebergJson } from "./json.ts";
import { checkTableMetadata, newTableMetadata, parseTableMetadata, serializeTableMetadata, type TableMetadata } from "./metadata.ts";
import { parseRequirements, parseUpdates } from "./updates.ts";

const FILE = new URL("../../../test/golden/iceberg/commits.json", import.meta.url);
const NOW = 1_760_000_000_000;
const LOCATION = "s3://bucket/table";

/** Tables that cases start from. */
const bases: Readonly<Record<string, (version: 1 | 2 | 3) => TableMetadata | undefined>> = {
  none: () => undefined,
  new: (version) =>
    newTableMetadata({
      uuid: "11111111-2222-4333-8444-555555555555",
      location: LOCATION,
      formatVersion: version,
      now: NOW - 10_000,
      schema: {
        type: "struct",
        fields: [
          { id: 1, name: "id", required: true, type: "long" },
          { id: 2, name: "at", required: false, type: "timestamptz" },
        ],
      },
      partitionSpec: { fields: [{ "source-id": 2, name: "at_day", transform: "day" }] },
      properties: { owner: "test", "write.metadata.previous-versions-max": "2" },
    }),
  snapshots: (version) => {
    let metadata = bases.new?.(version);
    for (const n of [1, 2]) {
      const snapshot = {
        "snapshot-id": 9_007_199_254_740_993n + BigInt(n),
        ...(n > 1 && { "parent-snapshot-id": 9_007_199_254_740_994n }),
        ...(version > 1 && { "sequence-number": n }),
        "timestamp-ms": NOW - 10_000 + n,
        "manifest-list": `${LOCATION}/metadata/snap-${n}.avro`,
        summary: { operation: "append" },
        "schema-id": 0,
        ...(version > 2 && { "first-row-id": (n - 1) * 10, "added-rows": 10 }),
      };
      metadata = applyCommit(
        metadata,
        [],
        [
          { action: "add-snapshot", snapshot },
          { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": snapshot["snapshot-id"] },
        ],
        { now: NOW - 10_000 + n, previousLocation: `${LOCATION}/metadata/0000${n - 1}.metadata.json` },
      ).metadata;
    }
    return metadata;
  },
};

interface Case {
  readonly name: string;
  readonly base: string;
  readonly version?: 1 | 2 | 3;
  readonly requirements?: unknown;
  readonly updates: unknown;
  /** Members of the new metadata that differ from the base; null for members that are gone. */
  expected?: unknown;
  error?: { kind: string; message: string };
}

describe("commits", () => {
  const cases = parseIcebergJson(readFileSync(FILE, "utf8")) as Case[];
  for (const c of cases) {
    test(c.name, () => {
      const outcome = run(c);
      if (process.env.UPDATE_GOLDEN === "1") {
        delete c.expected;
        delete c.error;
        Object.assign(c, outcome);
        return;
      }
      assert.equal(stringifyIcebergJson(outcome, 1), stringifyIcebergJson("error" in c ? { error: c.error } : { expected: c.expected }, 1));
    });
  }
  test("the file of cases is complete", () => {
    if (process.env.UPDATE_GOLDEN === "1") writeFileSync(FILE, `${stringifyIcebergJson(cases, 1)}\n`);
    const actions = new Set(cases.flatMap((c) => (c.updates as { action?: string }[]).map((update) => update.action)));
    const types = new Set(cases.flatMap((c) => ((c.requirements ?? []) as { type?: string }[]).map((requirement) => requirement.type)));
    assert.ok(actions.size >= 23, `only ${actions.size} actions are covered`);
    assert.ok(types.size >= 8, `only ${types.size} requirements are covered`);
  });
});

function run(c: Case): { expected: unknown } | { error: { kind: string; message: string } } {
  const base = bases[c.base]?.(c.version ?? 2);
  const before = stringifyIcebergJson(base);
  try {
    const { metadata, changed, droppedMetadataFiles } = applyCommit(
      base,
      parseRequirements(c.requirements ?? []),
      parseUpdates(c.updates),
      { now: NOW, previousLocation: base && `${LOCATION}/metadata/00007.metadata.json` },
    );
    assert.equal(stringifyIcebergJson(base), before, "the base must stay as it is");
    checkTableMetadata(metadata);
    // What is written can be read, and says the same.
    assert.equal(serializeTableMetadata(parseTableMetadata(serializeTableMetadata(metadata))), serializeTableMetadata(metadata));
    if (!changed) return { expected: "unchanged" };
    return { expected: { ...difference(base, metadata), ...(droppedMetadataFiles.length > 0 && { dropped: droppedMetadataFiles }) } };
  } catch (error) {
    if (!(error instanceof IcebergError)) throw error;
    assert.equal(stringifyIcebergJson(base), before, "a refused commit must change nothing");
    return { error: { kind: error.kind, message: error.message } };
  }
}

function difference(base: TableMetadata | undefined, after: TableMetadata): Record<string, unknown> {
  const [old, now] = [(base ?? {}) as Record<string, unknown>, after as unknown as Record<string, unknown>];
  const keys = new Set([...Object.keys(old), ...Object.keys(now)]);
  return Object.fromEntries(
    [...keys].flatMap((key) => (stringifyIcebergJson(old[key]) === stringifyIcebergJson(now[key]) ? [] : [[key, now[key] ?? null]])),
  );
}
