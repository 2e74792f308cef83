import assert from "node:assert/strict";
import { test } from "node:test";
import { snappyDecompress } from "./snappy.ts";

test("literals and overlapping copies are read", () => {
  // Length 11, literal "abc", then a copy of 8 bytes from 3 back that overlaps itself.
  const block = Buffer.from([11, (3 - 1) << 2, 0x61, 0x62, 0x63, ((8 - 4) << 2) | 1, 3]);
  assert.equal(snappyDecompress(block, 100).toString(), "abcabcabcab");
});

test("blocks that lie about their length or reach outside are refused", () => {
  assert.throws(() => snappyDecompress(Buffer.from([200, 1, 0]), 100), /too large/);
  assert.throws(() => snappyDecompress(Buffer.from([5, 0, 0x61]), 100), /shorter/);
  assert.throws(() => snappyDecompress(Buffer.from([5, 0, 0x61, 1, 9]), 100), /before the block/);
  assert.throws(() => snappyDecompress(Buffer.from([1, 60 << 2]), 100), /cut short/);
});
