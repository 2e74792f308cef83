import assert from "node:assert/strict";
import { test } from "node:test";
import avsc from "avsc";
import type { AvroSchema } from "./avro.ts";
import { avroReader, Cursor, Pairs } from "./avro-reader.ts";

/** What the reader makes of what avsc writes. */
function roundTrip(schema: AvroSchema, value: unknown): unknown {
  const cursor = new Cursor(avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: "never" }).toBuffer(value));
  const read = avroReader(schema)(cursor);
  assert.ok(cursor.atEnd);
  return read;
}

test("values of every type are read as another library has written them", () => {
  const point = { type: "record", name: "Point", namespace: "n", fields: [{ name: "x", type: "int" }] };
  const schema = {
    type: "record",
    name: "All",
    fields: [
      { name: "nothing", type: "null" },
      { name: "yes", type: "boolean" },
      { name: "small", type: "int" },
      { name: "float", type: "float" },
      { name: "double", type: "double" },
      { name: "bytes", type: "bytes" },
      { name: "text", type: "string" },
      { name: "fixed", type: { type: "fixed", name: "Four", size: 4 } },
      { name: "symbol", type: { type: "enum", name: "Letters", symbols: ["A", "B"] } },
      { name: "list", type: { type: "array", items: "string" } },
      { name: "map", type: { type: "map", values: "int" } },
      { name: "point", type: ["null", point] },
      { name: "again", type: ["null", "n.Point"] },
    ],
  };
  const value = {
    nothing: null,
    yes: true,
    small: -7,
    float: 0.5,
    double: -1e300,
    bytes: Buffer.from([1, 2]),
    text: "ä€😀",
    fixed: Buffer.from("four"),
    symbol: "B",
    list: ["a", ""],
    map: { one: 1, two: 2 },
    point: { x: 3 },
    again: null,
  };
  assert.deepEqual(roundTrip(schema, value), value);
});

test("longs of every size are read", () => {
  const sizes: [bigint, number[]][] = [
    [0n, [0]],
    [-1n, [1]],
    [64n, [0x80, 0x01]],
    [BigInt(Number.MAX_SAFE_INTEGER), [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]],
    [2n ** 63n - 1n, [0xfe, ...Array(8).fill(0xff), 0x01]],
    [-(2n ** 63n), [...Array(9).fill(0xff), 0x01]],
  ];
  for (const [value, bytes] of sizes) assert.equal(BigInt(new Cursor(Buffer.from(bytes)).long()), value);
  assert.throws(() => new Cursor(Buffer.alloc(20, 0xff)).long(), /too long/);
});

test("pairs by an integer are views that look like a map", () => {
  const pair = {
    type: "record",
    name: "pair",
    fields: [
      { name: "key", type: "int" },
      { name: "value", type: "bytes" },
    ],
  };
  const given = [
    { key: 1, value: Buffer.from("one") },
    { key: 300, value: Buffer.from("") },
  ];
  const pairs = roundTrip({ type: "array", items: pair }, given) as Pairs<Buffer>;
  assert.ok(pairs instanceof Pairs);
  assert.deepEqual(new Map(pairs), new Map(given.map(({ key, value }) => [key, value])));
  assert.deepEqual(
    [pairs.size, String(pairs.get(1)), pairs.get(2), pairs.has(300), [...pairs.keys()]],
    [2, "one", undefined, true, [1, 300]],
  );
  assert.ok(pairs.isAlike(roundTrip({ type: "array", items: pair }, given) as Pairs));
  assert.ok(!pairs.isAlike(roundTrip({ type: "array", items: pair }, given.slice(1)) as Pairs));
});

test("what is cut short, or counts more than it has, is an error", () => {
  const strings = avroReader({ type: "array", items: "string" });
  for (const bytes of [[], [2], [2, 10, 65], [0xfe, 0xff, 0xff, 0xff, 0x0f, 2], [1]]) {
    assert.throws(() => strings(new Cursor(Buffer.from(bytes))), /cut short|more items than bytes/);
  }
  assert.throws(() => avroReader({ type: "array", items: "null" })(new Cursor(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x10]))), /more items/);
  assert.throws(() => avroReader(["null", "int"])(new Cursor(Buffer.from([4]))), /no such branch/);
  assert.throws(() => avroReader("thing"), /no type thing/);
});
