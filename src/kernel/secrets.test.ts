import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";
import { secretBox } from "./secrets.ts";

const box = secretBox(randomBytes(32));

test("a sealed text opens only for its purpose, with its key, and unchanged", () => {
  const sealed = box.seal("hunter2 ✓", "workers.secret");
  assert.equal(box.open(sealed, "workers.secret"), "hunter2 ✓");
  assert.ok(!sealed.includes("hunter2"));
  assert.throws(() => box.open(sealed, "pipelines.sink"));
  assert.throws(() => secretBox(randomBytes(32)).open(sealed, "workers.secret"));
  assert.throws(() => box.open(`${sealed.slice(0, -2)}AA`, "workers.secret"));
  assert.throws(() => box.open("v2.abc", "workers.secret"), /unknown format v2/);
});

test("equal texts are sealed differently, and derived keys differ by purpose", () => {
  assert.notEqual(box.seal("a", "p"), box.seal("a", "p"));
  assert.deepEqual(box.derive("x"), box.derive("x"));
  assert.notDeepEqual(box.derive("x"), box.derive("y"));
});
