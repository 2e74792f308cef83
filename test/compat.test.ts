/** docs/compat.md says what the tests claim, no more and no less. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { claimsIn, compatibility } from "../scripts/compat.ts";

test("docs/compat.md is up to date (node scripts/compat.ts makes it so)", async () => {
  const written = await readFile(new URL("../docs/compat.md", import.meta.url), "utf8");
  assert.ok(written === (await compatibility()), "docs/compat.md is stale: run `node scripts/compat.ts` and commit the result");
});

test("titles claim rows, singly and in lists; skipped ones with their reason", () => {
  const found = claimsIn(
    [
      'test("[kv-01] one", async () => {});',
      "test('[kv-02, r2-sql-03] two', { timeout: 5 }, async (t) => {});",
      'test(\n  "[kv-04] four",\n  { skip: !has("podman") && "no podman" },\n  async () => {},\n);',
      'test("[kv-08] eight", { skip: "needs a GPU", timeout: 5 }, () => {});',
      'test("[kv-14] ten", { skip: noHeadlessBrowser, timeout: 5 }, async () => {});',
      'test("[kv-13] eleven", {\n  skip: noBrowser,\n}, async () => {});',
      'test("[kv-12] twelve", { skip: noCurl || noBrowser }, async () => {});',
      `test.${"skip"}("[kv-09] nine", () => {});`,
      'test("[kv-05] five", { skip: false }, () => { const skip: string = "x"; });',
      'test("not a claim [kv-06]", () => {});',
      'assert.equal(x, "[kv-07] not a title");',
    ].join("\n"),
    "f.test.ts",
  );
  assert.deepEqual(
    found.map(({ row, title, skip }) => [row, title, skip?.when, skip?.reason]),
    [
      ["kv-01", "one", undefined, undefined],
      ["kv-02", "two", undefined, undefined],
      ["r2-sql-03", "two", undefined, undefined],
      ["kv-04", "four", "sometimes", "no podman"],
      ["kv-08", "eight", "always", "needs a GPU"],
      ["kv-14", "ten", "sometimes", "needs Headless Browser"],
      ["kv-13", "eleven", "sometimes", "needs Browser"],
      ["kv-12", "twelve", "sometimes", "needs Curl and Browser"],
      ["kv-09", "nine", "always", "no reason given"],
      ["kv-05", "five", undefined, undefined],
    ],
  );
});

test("a file that says what it needs is skipped as a whole where that is missing", () => {
  const needs = (comment: string) => claimsIn(`${comment}\ntest("[kv-01] one", () => {});\n/** Needs Nothing. */`, "f.test.ts")[0]?.skip;
  assert.deepEqual(needs("/** About it. Needs Python. */"), { when: "sometimes", reason: "needs Python" });
  assert.deepEqual(needs("/**\n * About it.\n * Needs Python.\n */"), { when: "sometimes", reason: "needs Python" });
  assert.equal(needs("/** About it. */"), undefined);
});
