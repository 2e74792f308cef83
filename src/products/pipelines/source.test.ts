/**
 * What the check at ingest lets through, DuckDB must read without loss: goal is that no value of an accepted event turns
 * into NULL or into another one. Method: generated values of each type, the check's verdict, and the table that
 * `sourceSql` makes of the accepted ones, compared with what JavaScript makes of the same text.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type DuckDb, openDuckDb } from "../../kernel/duckdb/engine.ts";
import { parseFields, type WireField } from "./fields.ts";
import { readPayload } from "./payload.ts";
import { recordCheck } from "./record-check.ts";
import { encodeBatch } from "./records.ts";
import { sourceSql } from "./source.ts";
import { engineFunctions, macros } from "./sql/functions.ts";

let db: DuckDb;
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "pipelines-source-"));
  db = await openDuckDb({
    directories: [directory],
    spill: join(directory, "spill"),
    memoryMb: 256,
    functions: engineFunctions(),
    setup: macros,
  });
});
after(async () => {
  await db.close();
  await rm(directory, { recursive: true });
});

/** Column f of the accepted events, as text of `cast`, and how many were dropped. */
async function read(field: WireField, values: readonly string[], cast = "f"): Promise<{ found: unknown[]; dropped: number }> {
  const fields = parseFields({
    fields: [
      { name: "f", ...field },
      { name: "other", type: "string" },
    ],
  });
  const body = `[${values.map((value) => `{"other":"o","f":${value},"unknown":[{}]}`).join(",\n")}]`;
  const batch = encodeBatch(Buffer.from(body), recordCheck(fields), 1_764_000_000_000);
  assert.ok(batch !== undefined);
  const payload = readPayload(batch.payload);
  const file = join(directory, "lines.ndjson");
  await writeFile(file, payload.lines);
  const rows = await db.use((c) =>
    c.all<{ x: unknown; other: string }>(`SELECT ${cast} AS x, other FROM (${sourceSql(fields, [file], 1e6)})`),
  );
  assert.ok(rows.every((row) => row.other === "o"));
  return { found: rows.map((row) => row.x), dropped: payload.dropped.reduce((sum, { count }) => sum + count, 0) };
}

async function same(field: WireField, values: readonly string[], expected: readonly unknown[], cast?: string): Promise<void> {
  const { found, dropped } = await read(field, values, cast);
  assert.equal(dropped, 0);
  assert.deepEqual(found, expected);
}

test("strings keep every character", async () => {
  const texts = [
    "",
    "plain",
    "é ключ 日本 😀",
    'quo"te',
    "back\\slash",
    "line\nbreak\r\ttab",
    "\u0000nul\u001f",
    "\u2028",
    '{"a":1}',
    "1e5",
    "null",
    " pad ",
  ];
  await same(
    { type: "string" },
    texts.map((text) => JSON.stringify(text)),
    texts,
  );
  await same({ type: "string" }, ['"\\u00e9\\/\\ud83d\\ude00\\u0041"'], ["é/😀A"]);
});

test("integers keep every digit, in all their spellings", async () => {
  const int64 = [
    "0",
    "-0",
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "1e3",
    "10.0",
    '"9223372036854775807"',
    '"-5"',
  ];
  const expected = [0n, 0n, 9223372036854775807n, -9223372036854775808n, 9007199254740993n, 1000n, 10n, 9223372036854775807n, -5n];
  await same({ type: "int64" }, int64, expected);
  await same({ type: "int32" }, ["2147483647", "-2147483648", "1E2", '"7"'], [2147483647, -2147483648, 100, 7]);
  await same({ type: "uint64" }, ["18446744073709551615", '"18446744073709551615"'], [18446744073709551615n, 18446744073709551615n]);
  await same({ type: "uint32" }, ["4294967295"], [4294967295]);
});

test("generated numbers read as JavaScript reads them", async () => {
  let state = 42;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const numbers = Array.from({ length: 3000 }, () => (random() - 0.5) * 10 ** Math.floor(random() * 600 - 300));
  await same({ type: "float64" }, numbers.map(String), numbers);
  await same({ type: "float64" }, ["1.7976931348623157e308", "5e-324", "-0.0", '"1.25e-3"'], [1.7976931348623157e308, 5e-324, -0, 1.25e-3]);
  const integers = numbers.map((n) => Math.round(n)).filter(Number.isSafeInteger);
  await same({ type: "int64" }, integers.map(String), integers.map(BigInt));
});

test("times of every form and unit are the same instant", async () => {
  const instants = [
    "2025-11-21T08:30:00Z",
    "1969-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2024-02-29T12:00:00.5Z",
  ];
  const micros = (text: string): string => String(BigInt(Date.parse(text)) * 1000n + (text.includes(".999999") ? 999n : 0n));
  const cast = "epoch_us(f)::VARCHAR";
  await same(
    { type: "timestamp" },
    instants.map((text) => JSON.stringify(text)),
    instants.map(micros),
    cast,
  );
  const spellings = [
    "2025-11-21T10:30:00+02:00",
    "2025-11-21t08:30:00z",
    "2025-11-21 08:30:00",
    "2025-11-21T08:30:00.000000000Z",
    "2025-11-21 03:00:00-05:30",
  ];
  await same(
    { type: "timestamp" },
    spellings.map((text) => JSON.stringify(text)),
    spellings.map(() => micros("2025-11-21T08:30:00Z")),
    cast,
  );
  for (const [unit, factor] of [
    ["second", 1],
    ["millisecond", 1e3],
    ["microsecond", 1e6],
    ["nanosecond", 1e9],
  ] as const)
    await same(
      { type: "timestamp", unit },
      [String(1_700_000_000 * factor), String(-86_400 * factor), "0"],
      ["1700000000000000", "-86400000000", "0"],
      cast,
    );
  await same(
    { type: "timestamp", unit: "nanosecond" },
    ["1700000000123456789", '"2023-11-14T22:13:20.5Z"'],
    ["1700000000123456789", "1700000000500000000"],
    "epoch_ns(f)::VARCHAR",
  );
  await same({ type: "timestamp" }, ["1.7e12", "1700000000000.0", "100e2"], ["1700000000000000", "1700000000000000", "10000000"], cast);
});

test("binary, booleans, JSON and decimals", async () => {
  await same({ type: "binary" }, ['""', '"aGk="', '"/+8="'], ["", "6869", "FFEF"], "hex(f)");
  await same({ type: "bool" }, ["true", "false", "null"], [true, false, null]);
  await same(
    { type: "json" },
    ['{"b":[1,{"a":null}],"a":"x"}', "[1.50]", '"s"', "12345678901234567890", "null"],
    ['{"b":[1,{"a":null}],"a":"x"}', "[1.5]", '"s"', "12345678901234567890", null],
  );
  await same(
    { type: "decimal128", precision: 38, scale: 10 },
    ["1.5", "-0.0000000001", '"12345678901234567890.5"'],
    ["1.5000000000", "-0.0000000001", "12345678901234567890.5000000000"],
    "f::VARCHAR",
  );
});

test("lists and structs, with conversions inside them", async () => {
  await same(
    { type: "list", items: { type: "list", items: { type: "int32" } } },
    ["[[1,null],[],null]", "[]"],
    [[[1, null], [], null], []],
  );
  const nested: WireField = {
    type: "struct",
    fields: [
      { name: "at", type: "timestamp", unit: "second" },
      { name: "bytes", type: "binary" },
      {
        name: "list",
        type: "list",
        items: {
          type: "struct",
          fields: [
            { name: "t", type: "timestamp" },
            { name: "n", type: "int64" },
          ],
        },
      },
      { name: "odd \"name'", type: "string" },
    ],
  };
  const value = '{"at":0,"bytes":"aGk=","list":[{"t":"1970-01-01T00:00:01Z","n":1,"more":2},null,{}],"odd \\"name\'":"x"}';
  const { found, dropped } = await read(nested, [value, "{}", "null"]);
  assert.equal(dropped, 0);
  assert.deepEqual(found, [
    {
      at: new Date(0),
      bytes: Buffer.from("hi"),
      list: [{ t: new Date(1000), n: 1n }, null, { t: null, n: null }],
      "odd \"name'": "x",
    },
    { at: null, bytes: null, list: null, "odd \"name'": null },
    null,
  ]);
});

test("dropped events leave no row", async () => {
  const { found, dropped } = await read({ type: "int32" }, ["1", '"x"', "2.5", "3"]);
  assert.deepEqual([found, dropped], [[1, 3], 2]);
});
