/** Differences of files: a file is made again from the other, whatever their sizes. */
import assert from "node:assert/strict";
import { copyFile, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../../test/harness/temporary-directory.ts";
import { applyDifference, writeDifference } from "./difference.ts";

test("the older file is made again from the newer one and the difference, which holds no more than what changed", async () => {
  const directory = await temporaryDirectory("freehold-difference-");
  const [older, newer, difference, made] = ["older", "newer", "difference", "made"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
    string,
  ];
  const pattern = (size: number, seed: number) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * i + seed * 7) % 251));
  const big = pattern(3_000_000, 1);
  const changed = Buffer.from(big);
  changed.fill(9, 1_500_000, 1_500_010);
  changed.fill(9, 2_999_990);
  const cases: [Buffer, Buffer][] = [
    [big, changed],
    [big, big.subarray(0, 5000)],
    [big.subarray(0, 5000), big],
    [Buffer.alloc(0), big],
    [Buffer.concat([big, Buffer.alloc(20_000)]), big],
    [big, Buffer.alloc(0)],
    [big, big],
  ];
  for (const [i, [from, to]] of cases.entries()) {
    await Promise.all([writeFile(older, from), writeFile(newer, to)]);
    await writeDifference(older, newer, difference);
    await copyFile(newer, made);
    await applyDifference(difference, made);
    assert.ok((await readFile(made)).equals(from), `case ${i}`);
    if (i === 0 || i === 6) assert.ok((await stat(difference)).size < 10_000);
  }
  await writeDifference(older, newer, difference);
  await truncate(difference, 5);
  await assert.rejects(applyDifference(difference, made));
});
