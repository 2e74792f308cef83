import assert from "node:assert/strict";
import { SourceMap } from "node:module";
import { test } from "node:test";
import { originalStack } from "./source-maps.ts";

/** Line 1, column 1 of the bundle is line 1, column 1 of src/a.ts; line 2 is its line 3. */
const map = new SourceMap({
  version: 3,
  file: "index.js",
  sources: ["../src/a.ts"],
  sourcesContent: [""],
  names: [],
  mappings: "AAAA;AAEA",
  sourceRoot: "",
});
const maps = new Map([["index.js", map]]);

test("frames of bundled modules point to the sources; everything else stays", () => {
  const stack = [
    "RangeError: at index.js:1:1 is no frame",
    "    at deep (index.js:2:1)",
    "    at async Object.fetch (index.js:1:1)",
    "    at index.js:2:1",
    "    at other.js:1:1",
    "    at native code",
    "",
  ].join("\n");
  assert.equal(
    originalStack(stack, maps),
    [
      "RangeError: at index.js:1:1 is no frame",
      "    at deep (src/a.ts:3:1)",
      "    at async Object.fetch (src/a.ts:1:1)",
      "    at src/a.ts:3:1",
      "    at other.js:1:1",
      "    at native code",
      "",
    ].join("\n"),
  );
});

test("a stack of hostile text is passed over", () => {
  for (const text of ["x".repeat(5_000_000), `    at ${"(".repeat(1_000_000)}`, `${`    at ${"a:1".repeat(300)}\n`.repeat(5_000)}`])
    assert.equal(originalStack(text, maps), text);
});
