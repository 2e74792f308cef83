import assert from "node:assert/strict";
import test from "node:test";
import { asJson, decode, encode, NotSerialisable } from "./values.worker.ts";

const through = (value: unknown): unknown => decode(encode(value).text);

test("values come back equal, of whatever kind", () => {
  const bytes = new Uint8Array([1, 2, 255]);
  const values = [
    "text",
    0,
    -0,
    Number.NaN,
    Number.NEGATIVE_INFINITY,
    12n,
    true,
    null,
    undefined,
    [1, [2, undefined]],
    { a: { b: [new Date(5), /x+/gi] }, u: undefined },
    new Map<unknown, unknown>([[{ k: 1 }, new Set([1n])]]),
    bytes,
    bytes.buffer,
    new Float64Array([1.5]),
    new DataView(bytes.buffer, 1, 2),
    new Date(Number.NaN),
  ];
  for (const value of values) assert.deepEqual(through(value), value);
});

test("shared references and cycles are kept", () => {
  const shared = { n: 1 };
  const root: { list: unknown[]; self?: unknown } = { list: [shared, shared] };
  root.self = root;
  const back = through(root) as typeof root;
  assert.equal(back.self, back);
  assert.equal(back.list[0], back.list[1]);
  assert.deepEqual(asJson(encode(root).text), { list: [{ n: 1 }, { n: 1 }], self: null });
});

test("an error keeps name, message and cause, and a member called __proto__ is a member", () => {
  const error = new TypeError("bad", { cause: 7 });
  const back = through(error) as Error;
  assert.deepEqual([back.name, back.message, back.cause], ["TypeError", "bad", 7]);
  const odd = through(JSON.parse('{"__proto__": {"admin": true}}')) as { admin?: boolean };
  assert.equal(odd.admin, undefined);
  assert.deepEqual(Object.keys(odd as object), ["__proto__"]);
});

test("what cannot be stored is refused", () => {
  for (const value of [() => 1, { f() {} }, Symbol("s"), new (class Odd {})(), new WeakMap()])
    assert.throws(() => encode(value), NotSerialisable);
});

test("binary data counts with its own size", () => {
  const { bytes, text } = encode(new Uint8Array(1000));
  assert.ok(bytes < 1100 && text.length > 1300);
});
