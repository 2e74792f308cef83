import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDocument } from "./parse.ts";

test("a query with variables, arguments, aliases and comments", () => {
  const [operation] = parseDocument(`
    # a comment
    query Named($tag: string!, $list: [Int!]! = [1, 2]) {
      viewer { found: accounts(filter: { accountTag: $tag, n_in: $list, deep: { a: "q\\"\\u00e9", b: -1.5e2, c: null, d: true } }, orderBy: [date_DESC]) { id, n } }
    }`);
  assert.equal(operation?.name, "Named");
  const number = (value: number) => ({ kind: "literal", value });
  assert.deepEqual(operation?.defaults, { list: { kind: "list", items: [number(1), number(2)] } });
  const accounts = operation?.selection[0]?.selection[0];
  assert.deepEqual([accounts?.name, accounts?.key, accounts?.selection.map((f) => f.name)], ["accounts", "found", ["id", "n"]]);
  assert.deepEqual(JSON.parse(JSON.stringify(accounts?.arguments)), {
    filter: {
      kind: "object",
      fields: {
        accountTag: { kind: "variable", name: "tag" },
        n_in: { kind: "variable", name: "list" },
        deep: {
          kind: "object",
          fields: {
            a: { kind: "literal", value: 'q"é' },
            b: number(-150),
            c: { kind: "literal", value: null },
            d: { kind: "literal", value: true },
          },
        },
      },
    },
    orderBy: { kind: "list", items: [{ kind: "enum", name: "date_DESC" }] },
  });
});

test("fragments are filled in, inline ones too", () => {
  const [operation] = parseDocument("{ a { ...F ... on T { y } ... { z } } } fragment F on T { x { ...G } } fragment G on U { w }");
  assert.deepEqual(
    operation?.selection[0]?.selection.map((f) => [f.name, ...f.selection.map((s) => s.name)]),
    [["x", "w"], ["y"], ["z"]],
  );
});

for (const [name, text, message] of [
  ["an unclosed selection", "{ a { b }", /unexpected the end/],
  ["a stray character", "{ a ^ }", /unexpected character "\^" at offset 4/],
  ["a mutation", "mutation { a }", /unexpected mutation/],
  ["a directive", "{ a @include(if: true) }", /directives are not supported/],
  ["a fragment that contains itself", "{ ...F } fragment F on T { a { ...F } }", /contains itself/],
  ["an unknown fragment", "{ ...F }", /unknown fragment "F"/],
  ["nothing", "  ", /no query/],
  [
    "a bomb of fragments",
    `{ ...F0 } ${Array.from({ length: 20 }, (_, i) => `fragment F${i} on T { a { ...F${i + 1} } b { ...F${i + 1} } }`).join(" ")} fragment F20 on T { x }`,
    /too many fields/,
  ],
] as const) {
  test(`refused: ${name}`, () => assert.throws(() => parseDocument(text), message));
}
