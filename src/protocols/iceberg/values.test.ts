import assert from "node:assert/strict";
import { test } from "node:test";
import { type PrimitiveName, primitive } from "./types.ts";
import {
  compareValues,
  decimalSize,
  decodeValue,
  encodeLowerBound,
  encodeUpperBound,
  encodeValue,
  type Value,
  valueFromJson,
} from "./values.ts";

test("values of every type survive their binary form", () => {
  const samples: readonly (readonly [PrimitiveName, Value, string])[] = [
    ["boolean", true, "01"],
    ["int", -2, "feffffff"],
    ["long", 2n ** 62n, "0000000000000040"],
    ["float", 1.5, "0000c03f"],
    ["double", -0.5, "000000000000e0bf"],
    ["date", 17486, "4e440000"],
    ["timestamptz", -1n, "ffffffffffffffff"],
    ["decimal(10, 2)", 1420n, "058c"],
    ["decimal(10, 2)", -128n, "80"],
    ["decimal(10, 2)", 128n, "0080"],
    ["decimal(10, 2)", 0n, "00"],
    ["string", "é", "c3a9"],
    ["uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7", "f79c3e09677c4bbda4793f349cb785e7"],
    ["fixed[2]", Buffer.from("0aff", "hex"), "0aff"],
  ];
  for (const [type, value, hex] of samples) {
    const bytes = encodeValue(primitive(type), value);
    assert.equal(Buffer.from(bytes).toString("hex"), hex, type);
    assert.deepEqual(decodeValue(primitive(type), bytes), value, type);
  }
});

test("bounds from before a type promotion are read", () => {
  assert.equal(decodeValue(primitive("long"), Buffer.from("feffffff", "hex")), -2n);
  assert.equal(decodeValue(primitive("double"), Buffer.from("0000c03f", "hex")), 1.5);
  assert.equal(decodeValue(primitive("timestamp"), Buffer.from("01000000", "hex")), 86_400_000_000n);
  assert.throws(() => decodeValue(primitive("int"), Buffer.alloc(3)), { kind: "corrupt" });
});

test("values out of range or of another type are refused", () => {
  assert.throws(() => encodeValue(primitive("int"), 2 ** 31), { kind: "invalid" });
  assert.throws(() => encodeValue(primitive("string"), 1), { kind: "invalid" });
  assert.throws(() => encodeValue(primitive("variant"), "x"), { kind: "invalid" });
});

test("strings are ordered by their UTF-8 bytes", () => {
  const ordered = ["", "a", "ab", "b", "é", "\uffff", "🧊"];
  for (let i = 1; i < ordered.length; i++) {
    assert.ok(compareValues(ordered[i - 1] as string, ordered[i] as string) < 0, ordered[i]);
    assert.ok(compareValues(ordered[i] as string, ordered[i - 1] as string) > 0, ordered[i]);
  }
});

test("long bounds are cut so that they still bound", () => {
  const type = primitive("string");
  const text = "abcdefghijklmnopqrstuvwxyz";
  assert.equal(Buffer.from(encodeLowerBound(type, text)).toString(), "abcdefghijklmnop");
  assert.equal(Buffer.from(encodeUpperBound(type, text) as Uint8Array).toString(), "abcdefghijklmnoq");
  assert.equal(encodeUpperBound(type, "\u{10ffff}".repeat(17)), undefined);
  assert.deepEqual(encodeUpperBound(primitive("binary"), new Uint8Array(20).fill(255)), undefined);
  const bytes = Buffer.concat([Buffer.alloc(15, 1), Buffer.alloc(5, 255)]);
  assert.deepEqual(
    Buffer.from(encodeUpperBound(primitive("binary"), bytes) as Uint8Array),
    Buffer.concat([Buffer.alloc(14, 1), Buffer.from([2])]),
  );
});

test("sizes of decimals are the fewest bytes that hold the precision", () => {
  assert.deepEqual([1, 2, 3, 9, 10, 18, 19, 38].map(decimalSize), [1, 1, 2, 4, 5, 8, 9, 16]);
});

test("JSON defaults are read by type", () => {
  const read = (type: PrimitiveName, json: unknown): Value => valueFromJson(primitive(type), json);
  assert.equal(read("decimal(9, 2)", "14.2"), 1420n);
  assert.equal(read("decimal(9, 2)", "-0.05"), -5n);
  assert.equal(read("date", "1970-01-03"), 2);
  assert.equal(read("time", "22:31:08.123456"), 81068123456n);
  assert.equal(read("timestamptz", "1970-01-01T01:00:00.000001+01:00"), 1n);
  assert.deepEqual(read("binary", "00ff"), Buffer.from([0, 255]));
  for (const [type, json] of [
    ["int", 1.5],
    ["int", 2 ** 31],
    ["date", "1970-13-01"],
    ["decimal(9, 2)", "1.234"],
    ["fixed[1]", "0"],
    ["variant", {}],
  ] as const)
    assert.throws(() => read(type, json), { kind: "invalid" }, `${type} ${String(json)}`);
});
