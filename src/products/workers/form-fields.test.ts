import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldPath, objectOf } from "./form-fields.ts";

const decode = (...fields: [string, string][]): unknown =>
  JSON.parse(JSON.stringify(objectOf(fields.map(([name, value]) => [fieldPath(name, "metadata") as string[], value] as const))));

test("bracketed fields become objects and lists", () => {
  assert.deepEqual(
    decode(
      ["metadata[main_module]", "index.js"],
      ["metadata[compatibility_flags][]", "a"],
      ["metadata[compatibility_flags][]", "b"],
      ["metadata[bindings][][type]", "plain_text"],
      ["metadata[bindings][][name]", "A"],
      ["metadata[bindings][][type]", "service"],
      ["metadata[bindings][][name]", "B"],
      ["metadata[bindings][][props][tenant]", "1"],
      ["metadata[bindings][][list][]", "x"],
      ["metadata[bindings][][list][]", "y"],
      ["metadata[assets][config][html_handling]", "none"],
    ),
    {
      main_module: "index.js",
      compatibility_flags: ["a", "b"],
      bindings: [
        { type: "plain_text", name: "A" },
        { type: "service", name: "B", props: { tenant: "1" }, list: ["x", "y"] },
      ],
      assets: { config: { html_handling: "none" } },
    },
  );
});

test("other fields and broken names are no paths; no name reaches a prototype", () => {
  for (const name of ["metadata", "files[a]", "metadata[a", "metadata[a]b", `metadata${"[a]".repeat(30)}`])
    assert.equal(fieldPath(name, "metadata"), undefined, name);
  assert.deepEqual(fieldPath("files[src/index.js]", "files"), ["src/index.js"]);
  decode(["metadata[__proto__][polluted]", "yes"], ["metadata[constructor][prototype][polluted]", "yes"]);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});
