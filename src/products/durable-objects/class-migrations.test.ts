import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { applyMigrations, type ClassState, transferSources } from "./class-migrations.ts";

const existing: ClassState[] = [{ className: "A", sqlite: true, id: "id-a" }];

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    assert(error instanceof PlatformError, String(error));
    return error.code;
  }
  return "none";
};

test("steps apply in order, and the tag is the last one", () => {
  const { classes, deleted, tag } = applyMigrations([], undefined, {
    new_tag: "v3",
    steps: [{ new_sqlite_classes: ["A"], new_classes: ["K"] }, { renamed_classes: [{ from: "A", to: "B" }] }, { deleted_classes: ["K"] }],
  });
  assert.deepEqual(classes, [{ className: "B", sqlite: true }]);
  assert.deepEqual(deleted, [{ className: "K", sqlite: false }]);
  assert.equal(tag, "v3");
});

test("a rename keeps the namespace's id", () => {
  const { classes } = applyMigrations(existing, "v1", {
    old_tag: "v1",
    new_tag: "v2",
    steps: [{ renamed_classes: [{ from: "A", to: "B" }] }],
  });
  assert.deepEqual(classes, [{ className: "B", sqlite: true, id: "id-a" }]);
});

test("a transfer takes the namespace of the other script, and both names lead to it", () => {
  const others = new Map([["source", existing]]);
  const migrations = { new_tag: "v1", transferred_classes: [{ from: "A", from_script: "source", to: "B" }] };
  assert.deepEqual(transferSources(migrations), ["source"]);
  const { classes, moved } = applyMigrations([], undefined, migrations, others);
  assert.deepEqual(classes, [{ className: "B", sqlite: true, id: "id-a" }]);
  assert.deepEqual(moved, [{ fromScript: "source", from: "A", id: "id-a" }]);
  const taken = [{ className: "B", sqlite: true, id: "id-b" }];
  assert.equal(
    codeOf(() => applyMigrations(taken, undefined, migrations, others)),
    "durableObjects.alreadyExists",
  );
});

test("a single migration without steps is one step", () => {
  assert.deepEqual(applyMigrations([], undefined, { new_tag: "v1", new_sqlite_classes: ["A"] }).classes, [
    { className: "A", sqlite: true },
  ]);
});

test("no migrations leave everything", () => {
  assert.deepEqual(applyMigrations(existing, "v1", undefined), { classes: existing, deleted: [], moved: [], tag: undefined });
});

test("refusals by name", () => {
  const apply = (step: object, oldTag: string | null = "v1") =>
    codeOf(() => applyMigrations(existing, "v1", { old_tag: oldTag ?? undefined, new_tag: "v2", steps: [step] }));
  assert.equal(apply({ new_sqlite_classes: ["A"] }), "durableObjects.alreadyExists");
  assert.equal(apply({ new_classes: ["A"] }), "durableObjects.alreadyExists");
  assert.equal(apply({ renamed_classes: [{ from: "X", to: "Y" }] }), "durableObjects.missingClass");
  assert.equal(apply({ new_sqlite_classes: ["B"], renamed_classes: [{ from: "A", to: "B" }] }), "durableObjects.alreadyExists");
  assert.equal(apply({ deleted_classes: ["X"] }), "durableObjects.missingClass");
  assert.equal(apply({ transferred_classes: [{ from: "A", from_script: "s", to: "B" }] }), "durableObjects.missingClass");
  assert.equal(apply({ new_sqlite_classes: ["not a name"] }), "durableObjects.invalidMigration");
  assert.equal(apply({ new_sqlite_classes: ["B"] }, "v0"), "durableObjects.tagMismatch");
  assert.equal(apply({ new_sqlite_classes: ["B"] }, null), "durableObjects.tagMismatch");
});
