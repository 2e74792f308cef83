import assert from "node:assert/strict";
import { test } from "node:test";
import { applyTransform, canTransform, hashValue, parseTransform, transformResultType } from "./transforms.ts";
import { type PrimitiveName, primitive } from "./types.ts";
import { type Value, valueFromJson } from "./values.ts";

const from = (type: PrimitiveName, json: unknown): Value => valueFromJson(primitive(type), json);
const apply = (transform: string, type: PrimitiveName, value: Value | null): Value | null =>
  applyTransform(parseTransform(transform), primitive(type), value);

test("hashes of every type are those of appendix B", () => {
  const vectors: readonly (readonly [PrimitiveName, Value, number])[] = [
    ["int", 34, 2017239379],
    ["long", 34n, 2017239379],
    ["decimal(4, 2)", from("decimal(4, 2)", "14.20"), -500754589],
    ["date", from("date", "2017-11-16"), -653330422],
    ["time", from("time", "22:31:08"), -662762989],
    ["timestamp", from("timestamp", "2017-11-16T22:31:08"), -2047944441],
    ["timestamp", from("timestamp", "2017-11-16T22:31:08.000001"), -1207196810],
    ["timestamptz", from("timestamptz", "2017-11-16T14:31:08-08:00"), -2047944441],
    ["timestamp_ns", from("timestamp_ns", "2017-11-16T22:31:08.000001001"), -1207196810],
    ["string", "iceberg", 1210000089],
    ["uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7", 1488055340],
    ["fixed[4]", Buffer.from([0, 1, 2, 3]), -188683207],
    ["binary", Buffer.from([0, 1, 2, 3]), -188683207],
  ];
  for (const [type, value, hash] of vectors) assert.equal(hashValue(primitive(type), value), hash, type);
});

test("buckets are never negative", () => {
  assert.equal(apply("bucket[16]", "string", "iceberg"), 1210000089 % 16);
  assert.equal(apply("bucket[16]", "date", from("date", "2017-11-16")), (-653330422 & 0x7fffffff) % 16);
});

test("truncation rounds towards minus infinity and counts code points", () => {
  assert.equal(apply("truncate[10]", "int", 1), 0);
  assert.equal(apply("truncate[10]", "int", -1), -10);
  assert.equal(apply("truncate[10]", "long", -1n), -10n);
  assert.equal(apply("truncate[50]", "decimal(4, 2)", 1065n), 1050n);
  assert.equal(apply("truncate[3]", "string", "iceberg"), "ice");
  assert.equal(apply("truncate[2]", "string", "🧊🧊🧊"), "🧊🧊");
  assert.deepEqual(apply("truncate[3]", "binary", Buffer.from([1, 2, 3, 4])), Buffer.from([1, 2, 3]));
});

test("date parts count from 1970, also before it", () => {
  const late = from("timestamptz", "2017-12-01T10:12:55.038194Z");
  assert.equal(apply("year", "timestamptz", late), 47);
  assert.equal(apply("month", "timestamptz", late), 575);
  assert.equal(apply("day", "timestamptz", late), 17501);
  assert.equal(apply("hour", "timestamptz", late), 420034);
  const early = from("timestamp", "1969-12-31T23:59:58.999999");
  for (const part of ["year", "month", "day", "hour"]) assert.equal(apply(part, "timestamp", early), -1, part);
  assert.equal(apply("month", "date", from("date", "1969-01-01")), -12);
  assert.equal(apply("day", "timestamp_ns", from("timestamp_ns", "1970-01-02T00:00:00.000000001")), 1);
});

test("null and void give null", () => {
  assert.equal(apply("day", "date", null), null);
  assert.equal(apply("void", "string", "x"), null);
});

test("each transform takes the types of the specification and gives its result type", () => {
  const takes = (transform: string, type: PrimitiveName): boolean => canTransform(parseTransform(transform), primitive(type));
  assert.equal(takes("hour", "date"), false);
  assert.equal(takes("day", "string"), false);
  assert.equal(takes("bucket[4]", "double"), false);
  assert.equal(takes("truncate[4]", "uuid"), false);
  assert.equal(takes("identity", "geometry"), false);
  assert.equal(takes("identity", "boolean"), true);
  assert.equal(transformResultType(parseTransform("day"), "timestamp"), "date");
  assert.equal(transformResultType(parseTransform("truncate[4]"), "decimal(9, 2)"), "decimal(9, 2)");
});

test("an unknown transform is kept by name and cannot be applied", () => {
  assert.deepEqual(parseTransform("zorder[3]"), { kind: "unknown", text: "zorder[3]" });
  assert.throws(() => apply("zorder[3]", "int", 1), /unknown transform: zorder\[3\]/);
  assert.deepEqual(parseTransform("bucket[0]"), { kind: "unknown", text: "bucket[0]" });
});
