import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { parseFields, type WireField } from "./fields.ts";
import { readPayload } from "./payload.ts";
import { recordCheck } from "./record-check.ts";
import { encodeBatch } from "./records.ts";

const NOW = 1_764_000_000_123;
const check = (fields: WireField[]) => recordCheck(parseFields({ fields }));

function lines(body: string, fields?: WireField[]): string[] {
  const batch = encodeBatch(Buffer.from(body), fields && check(fields), NOW);
  assert.ok(batch !== undefined);
  const payload = readPayload(batch.payload);
  assert.equal(payload.time, NOW);
  const text = Buffer.from(payload.lines).toString();
  return text === "" ? [] : text.slice(0, -1).split("\n");
}

const code = (expected: string) => (error: unknown) => error instanceof PlatformError && error.code === `pipelines.ingest.${expected}`;

test("each event becomes one line with the time of ingest, its text kept as it was sent", () => {
  assert.deepEqual(lines('[{"a":12345678901234567890.50,"b":"x\\u0041"} ,\r\n {"a":[1,{"c":"],["}], "d":"\\"}" }]'), [
    `{"t":${NOW},"v":{"a":12345678901234567890.50,"b":"x\\u0041"}}`,
    `{"t":${NOW},"v":{"a":[1,{"c":"],["}], "d":"\\"}" }}`,
  ]);
});

test("line breaks between tokens become spaces, so that an event stays on its line", () => {
  assert.deepEqual(lines('[\n  {\n    "a": 1\n  },\r\n  2\n]'), [`{"t":${NOW},"v":{     "a": 1   }}`, `{"t":${NOW},"v":2}`]);
});

test("an empty array commits nothing", () => {
  assert.equal(encodeBatch(Buffer.from(" [ ] "), undefined, NOW), undefined);
});

test("what is not a JSON array of events is refused as a whole", () => {
  const structured = check([{ name: "a", type: "string" }]);
  for (const body of ["", "{", "[1,]", "[1] x", "[{]}", '["\n"]', "[01]", "[NaN]"])
    assert.throws(() => encodeBatch(Buffer.from(body), undefined, NOW), code("malformed"), body);
  assert.throws(() => encodeBatch(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), undefined, NOW), code("malformed"));
  assert.throws(() => encodeBatch(Buffer.from('["\\ud83d"]'), undefined, NOW), code("malformed"));
  assert.doesNotThrow(() => encodeBatch(Buffer.from('["\\ud83d\\ude00"]'), undefined, NOW));
  for (const body of ["{}", "1", "null", '"[]"'])
    assert.throws(() => encodeBatch(Buffer.from(body), undefined, NOW), code("notArray"), body);
  for (const body of ["[1]", "[null]", "[[]]", '[{},"x"]'])
    assert.throws(() => encodeBatch(Buffer.from(body), structured, NOW), code("notObject"), body);
  assert.throws(() => encodeBatch(Buffer.from(`[${"[".repeat(101)}${"]".repeat(101)}]`), undefined, NOW), code("tooDeep"));
  assert.doesNotThrow(() => encodeBatch(Buffer.from(`[${"[".repeat(100)}${"]".repeat(100)}]`), undefined, NOW));
  // Deeper than any stack: must be an answer, not a crash.
  assert.throws(() => encodeBatch(Buffer.from(`${"[".repeat(400_000)}${"]".repeat(400_000)}`), undefined, NOW), code("tooDeep"));
});

test("events that do not fit the schema are dropped and counted by the documented types", () => {
  const fields: WireField[] = [
    { name: "user_id", type: "string", required: true },
    { name: "amount", type: "float64" },
    { name: "at", type: "timestamp" },
  ];
  const events = [
    { user_id: "good", amount: 1.5, at: "2025-11-21T08:00:00Z", more: true },
    { amount: 1 },
    { user_id: null },
    { user_id: "x", amount: "much" },
    { user_id: "x", at: "yesterday" },
    { user_id: 7 },
    { user_id: "good too", amount: null },
  ];
  const batch = encodeBatch(Buffer.from(JSON.stringify(events)), check(fields), NOW);
  assert.ok(batch !== undefined);
  assert.equal(batch.count, 7);
  const payload = readPayload(batch.payload);
  assert.deepEqual(payload.dropped, [
    { type: "missing_field", message: 'missing required field "user_id"', count: 1 },
    { type: "null_value", message: 'required field "user_id" is null', count: 1 },
    { type: "type_mismatch", message: 'field "amount": expected float64, got string', count: 1 },
    { type: "parse_failure", message: 'field "at": not an RFC 3339 timestamp', count: 1 },
    { type: "type_mismatch", message: 'field "user_id": expected string, got number', count: 1 },
  ]);
  assert.equal(payload.bytes, JSON.stringify(events).length - "[]".length - ",".length * 6);
  assert.equal(Buffer.from(payload.lines).toString().match(/good/g)?.length, 2);
  assert.deepEqual(lines(JSON.stringify([{ user_id: 1 }]), fields), []);
});

function verdict(field: WireField, json: string): string {
  const batch = encodeBatch(Buffer.from(`[{"f":${json}}]`), check([{ name: "f", ...field }]), NOW);
  assert.ok(batch !== undefined);
  return readPayload(batch.payload).dropped[0]?.type ?? "ok";
}

test("more kinds of errors than are told apart are counted by type, and the entry stays small", () => {
  const fields = Array.from({ length: 500 }, (_, i): WireField => ({ name: `f${i}`, type: "int32" }));
  const events = fields.flatMap((_, i) => [{ [`f${i}`]: "x" }, { [`f${i}`]: 1e12 }]);
  const batch = encodeBatch(Buffer.from(JSON.stringify(events)), check(fields), NOW);
  const dropped = readPayload(batch?.payload ?? Buffer.alloc(0)).dropped;
  assert.ok(dropped.length <= 102);
  const total = (type: string) => dropped.filter((one) => one.type === type).reduce((sum, { count }) => sum + count, 0);
  assert.deepEqual([total("type_mismatch"), total("parse_failure")], [500, 500]);
});

test("entries of the first version of the journal's payload are read", () => {
  const example = Buffer.from(JSON.stringify({ type: "null_value", message: "why" }));
  const header = Buffer.alloc(36);
  header[0] = 1;
  header.writeDoubleLE(NOW, 8);
  for (const [i, count] of [0, 2, 0, 1].entries()) header.writeUInt32LE(count, 16 + 4 * i);
  header.writeUInt32LE(example.length, 32);
  const line = Buffer.from(`{"t":${NOW},"v":{}}\n`);
  const { lines: found, ...rest } = readPayload(Buffer.concat([header, example, line]));
  assert.deepEqual(Buffer.from(found), line);
  assert.deepEqual(rest, {
    time: NOW,
    bytes: line.length,
    dropped: [
      { type: "type_mismatch", message: "", count: 2 },
      { type: "null_value", message: "why", count: 1 },
    ],
  });
});

test("each type takes the documented forms and nothing else", () => {
  const table: [WireField, Record<string, string>][] = [
    [{ type: "string" }, { '""': "ok", "1": "type_mismatch", "{}": "type_mismatch", null: "ok" }],
    [{ type: "bool" }, { true: "ok", "1": "type_mismatch", '"true"': "type_mismatch" }],
    [
      { type: "int32" },
      {
        "1": "ok",
        "1e3": "ok",
        "-2147483648": "ok",
        "2147483648": "parse_failure",
        "1.5": "type_mismatch",
        '"12"': "ok",
        '"a"': "type_mismatch",
      },
    ],
    [
      { type: "int64" },
      {
        "9223372036854775807": "ok",
        "9223372036854775808": "parse_failure",
        "-9223372036854775808": "ok",
        "-9223372036854775809": "parse_failure",
        '"9223372036854775807"': "ok",
        '"9223372036854775808"': "parse_failure",
        "1e30": "parse_failure",
      },
    ],
    [{ type: "uint32" }, { "4294967295": "ok", "-1": "parse_failure" }],
    [{ type: "uint64" }, { "18446744073709551615": "ok", "18446744073709551616": "parse_failure" }],
    [{ type: "float32" }, { "3.4e38": "ok", "1e39": "parse_failure" }],
    [{ type: "float64" }, { "1e308": "ok", "1e309": "parse_failure", '"1.5"': "ok", '"x"': "type_mismatch", "[]": "type_mismatch" }],
    [
      { type: "decimal128", precision: 4, scale: 2 },
      { "99.99": "ok", "100": "parse_failure" },
    ],
    [{ type: "binary" }, { '"aGk="': "ok", '"aGk"': "parse_failure", '"a-_="': "parse_failure", "1": "type_mismatch" }],
    [{ type: "json" }, { "1": "ok", "{}": "ok", '[1,"a"]': "ok" }],
    [
      { type: "timestamp" },
      {
        '"2024-02-29T23:59:59.123456Z"': "ok",
        '"2025-02-29T00:00:00Z"': "parse_failure",
        '"2025-01-01T00:00:00+02:00"': "ok",
        '"2025-01-01 00:00:00"': "ok",
        '"2025-13-01T00:00:00Z"': "parse_failure",
        "1764000000000": "ok",
        "1.5": "type_mismatch",
        "1e17": "parse_failure",
        true: "type_mismatch",
      },
    ],
    [
      { type: "list", items: { type: "int32" } },
      { "[1,null]": "ok", '["a"]': "type_mismatch", "{}": "type_mismatch" },
    ],
    [{ type: "list", items: { type: "int32", required: true } }, { "[null]": "null_value" }],
    [
      { type: "struct", fields: [{ name: "a", type: "string", required: true }] },
      { '{"a":"x"}': "ok", "{}": "missing_field", '{"a":null}': "null_value", "[]": "type_mismatch", '"x"': "type_mismatch" },
    ],
  ];
  for (const [field, cases] of table)
    for (const [json, expected] of Object.entries(cases)) assert.equal(verdict(field, json), expected, `${field.type} ${json}`);
});

test("names that every object inherits are ordinary field names", () => {
  const fields: WireField[] = [{ name: "constructor", type: "string", required: true }];
  assert.deepEqual(lines("[{}]", fields), []);
  assert.equal(lines('[{"constructor":"x"}]', fields).length, 1);
  assert.deepEqual(lines("[{}]", [{ name: "__proto__", type: "string", required: true }]), []);
});

test("a schema that cannot be read is refused with the field's place", () => {
  const refused = (fields: WireField[], pattern: RegExp) =>
    assert.throws(
      () => parseFields({ fields }),
      (error: unknown) => error instanceof PlatformError && pattern.test(error.message),
    );
  refused([{ name: "a", type: "nope" }], /fields\[0\]: unknown type "nope"/);
  refused([{ name: "a", type: "list" }], /a list needs items/);
  refused(
    [
      { name: "a", type: "string" },
      { name: "A", type: "string" },
    ],
    /duplicate field name "A"/,
  );
  refused([{ name: "__ingest_ts", type: "string" }], /reserved/);
  refused([], /at least one field/);
});
