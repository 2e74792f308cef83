/** Every function of the documentation, run by the engine as a pipeline runs it, and what no documented example shows. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Example, exampleEvent, exampleFields, examples, jsonExamples } from "../../../../test/clients/pipelines-examples.ts";
import { type DuckDb, DuckDbError, openDuckDb } from "../../../kernel/duckdb/engine.ts";
import { type Field, parseFields, type WireField } from "../fields.ts";
import { fileWriter } from "../file-writer.ts";
import { type JsonEncoding, jsonList } from "../output.ts";
import { readPayload } from "../payload.ts";
import { recordCheck } from "../record-check.ts";
import { encodeBatch } from "../records.ts";
import { type CompiledStatement, compilePipeline } from "./compile.ts";
import { engineFunctions, macros } from "./functions.ts";

const NOW = Date.UTC(2025, 10, 21, 8);
const fields: Field[] = parseFields({ fields: exampleFields as WireField[] });
let db: DuckDb;
let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "pipelines-functions-"));
  const options = { directories: [directory], spill: join(directory, "spill"), memoryMb: 512, functions: engineFunctions(), setup: macros };
  db = await openDuckDb(options);
});
after(async () => {
  await db.close();
  await rm(directory, { recursive: true });
});

async function compile(select: string): Promise<CompiledStatement> {
  const table = { stream: (name: string) => ({ id: name, name, fields }), sink: (name: string) => ({ id: name, name }) };
  const [statement] = await db.use((c) => compilePipeline(`INSERT INTO out SELECT ${select} FROM events`, table, c, NOW));
  return statement as CompiledStatement;
}

/** The rows of an NDJSON file that a sink of that statement writes, one for each event. */
async function written(
  statement: CompiledStatement,
  events: readonly unknown[] = [exampleEvent],
  encoding: JsonEncoding = { timestamps: "rfc3339", decimals: "number", unstructured: false },
): Promise<Record<string, unknown>[]> {
  const batch = encodeBatch(Buffer.from(JSON.stringify(events)), recordCheck(fields), NOW);
  assert.ok(batch !== undefined);
  const lines = join(directory, `${Math.random()}.ndjson`);
  await writeFile(lines, readPayload(batch.payload).lines);

  const plan = {
    version: 1 as const,
    select: statement.select,
    guarded: statement.guarded,
    output: jsonList(statement.columns, encoding),
    columns: [],
  };
  const job = { plan, fields, lines: [lines], linesBytes: 1000, records: events.length };
  const writer = fileWriter(db, directory, 1_000_000, { timeoutMs: 60_000, fileBytes: 1e9 }, (error: DuckDbError) =>
    assert.ok(error instanceof DuckDbError),
  );
  const format = { type: "json", compression: "uncompressed", rowGroupBytes: 1 } as const;
  const file = await writer.write({ ...job, format }, AbortSignal.timeout(30_000));
  if (file === undefined) return [];
  const text = (await readFile(file.path, "utf8")).trimEnd();
  return text.split("\n").map((line) => JSON.parse(line, exact as never) as Record<string, unknown>);
}

/** Integers that a number cannot hold, as text. */
const exact = (_key: string, value: unknown, { source }: { source: string }): unknown =>
  typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) ? source : value;

async function check(list: readonly Example[]): Promise<void> {
  const [row] = await written(await compile(list.map(([expression], i) => `${expression} AS e${i}`).join(", ")));
  for (const [i, [expression, expected]] of list.entries()) assert.deepEqual(row?.[`e${i}`], expected, expression);
}

for (const [group, list] of Object.entries(examples)) test(`${group} functions give what the documentation says`, () => check(list));

test("JSON values that are missing or mistyped are empty, zero or false; operators bind tighter than comparisons", () =>
  check(jsonExamples));

/** The headings of the documentation's pages. */
const documented = `
  abs acos acosh asin asinh atan atanh atan2 cbrt ceil cos cosh degrees exp factorial floor gcd isnan iszero lcm ln log log10 log2
  nanvl pi power pow radians random round signum sin sinh sqrt tan tanh trunc coalesce nullif nvl nvl2 ifnull ascii bit_length btrim
  char_length character_length concat concat_ws chr ends_with initcap instr left length lower lpad ltrim octet_length repeat replace
  reverse right rpad rtrim split_part starts_with strpos substr translate to_hex trim upper uuid overlay levenshtein substr_index
  find_in_set encode decode regexp_like regexp_match regexp_replace position json_contains json_get json_get_str json_get_int
  json_get_float json_get_bool json_get_json json_as_text json_length extract_json extract_json_string date_bin date_trunc datetrunc
  date_part datepart extract make_date to_char date_format to_timestamp to_timestamp_millis to_timestamp_micros to_timestamp_nanos
  to_timestamp_seconds from_unixtime now array_append array_sort array_resize array_cat array_concat array_contains array_has
  array_has_all array_has_any array_dims array_distinct array_element array_extract array_fill flatten array_indexof array_intersect
  array_join array_length array_ndims array_prepend array_pop_front array_pop_back array_position array_positions array_push_back
  array_push_front array_repeat array_remove array_remove_n array_remove_all array_replace array_replace_n array_replace_all
  array_reverse array_slice array_to_string array_union array_except cardinality empty generate_series list_append list_push_back
  list_cat list_concat list_dims list_distinct list_element list_empty list_except list_extract list_has list_has_all list_has_any
  list_indexof list_intersect list_join list_length list_ndims list_prepend list_pop_back list_pop_front list_position
  list_positions list_push_front list_repeat list_resize list_remove list_remove_n list_remove_all list_replace list_replace_n
  list_replace_all list_reverse list_slice list_sort list_to_string list_union make_array array_empty make_list string_to_array
  string_to_list trim_array range struct digest md5 sha224 sha256 sha384 sha512 arrow_cast arrow_typeof`;

test("no function of the documentation is without an example", () => {
  const text = Object.values(examples)
    .flat()
    .map(([expression]) => expression)
    .join("\n");
  const missing = documented
    .trim()
    .split(/\s+/)
    .filter((name) => !new RegExp(`\\b${name}\\(`).test(text));
  assert.deepEqual(missing, []);
});

test("what fails on a value is NULL there and nowhere else; integers wrap around", async () => {
  const statement = await compile(
    "id, id * 1317624576693539402 AS wrapped, small + 2147483640 AS wide, small * small AS square, 1 / (id - 7) AS divided, " +
      "make_date(2023, id, 31) AS day, decode(word, 'hex') AS bytes, uuid() <> '' AS volatile, chr(id - 9) AS c",
  );
  const events = [exampleEvent, { ...exampleEvent, id: 1, word: "6869" }];
  assert.deepEqual(await written(statement, events), [
    {
      id: 7,
      wrapped: "-9223372036854775802",
      wide: 2147483649,
      square: 81,
      divided: null,
      day: "2023-07-31",
      bytes: null,
      volatile: true,
      c: null,
    },
    {
      id: 1,
      wrapped: "1317624576693539402",
      wide: 2147483649,
      square: 81,
      divided: 0,
      day: "2023-01-31",
      bytes: "aGk=",
      volatile: true,
      c: null,
    },
  ]);
  const [over] = await written(await compile("id + 9223372036854775807 AS sum, 0 - 2 - 9223372036854775807 AS below"));
  assert.deepEqual(over, { sum: "-9223372036854775802", below: "9223372036854775807" });
});

test("NDJSON has no NaN, and decimals and times as the sink wants them", async () => {
  const statement = await compile(
    "acos(2) AS a, [ln(0), 1.5] AS b, struct(1.0 / 0) AS c, 1.5::decimal(10, 2) AS d, -1.5::decimal(10, 2) AS e, to_timestamp_seconds(1) AS f, to_timestamp(1.5) AS g",
  );
  const bytes = (digits: string): string => Buffer.from(digits, "hex").toString("base64");
  const shown = await written(statement, [exampleEvent], { timestamps: "unix_millis", decimals: "bytes", unstructured: false });
  assert.deepEqual(shown, [
    { a: null, b: [null, 1.5], c: { c0: null }, d: bytes(`${"0".repeat(30)}96`), e: bytes(`${"f".repeat(30)}6a`), f: 1000, g: 1500 },
  ]);
  const strings = await written(await compile("-0.05::decimal(38, 2) AS d"), [exampleEvent], {
    timestamps: "rfc3339",
    decimals: "string",
    unstructured: false,
  });
  assert.deepEqual(strings, [{ d: "-0.05" }]);
});

test("a sink of unstructured JSON takes one JSON column, value", async () => {
  const encoding: JsonEncoding = { timestamps: "rfc3339", decimals: "number", unstructured: true };
  assert.deepEqual(await written(await compile("data->'list' AS value"), [exampleEvent], encoding), [{ value: [1, 2, 3] }]);
  for (const select of ["data AS other", "word AS value", "data AS value, id"])
    await assert.rejects(
      compile(select).then((statement) => written(statement, [exampleEvent], encoding)),
      /a single column called value/,
    );
});

const operators: readonly Example[] = [
  ["5 / 2", 2],
  ["-7 / 2", -3],
  ["-7 % 3", -1],
  ["5 / 2.0", 2.5],
  ["7 & 3 | 8", 11],
  ["6 ^ 3", 5],
  ["1 << 3", 8],
  ["-16 >> 2", -4],
  ["'a' || 1 || word", "a1Köln"],
  ["[1] || 2", [1, 2]],
  ["0 || [1]", [0, 1]],
  ["[1] || [2]", [1, 2]],
  ["word ~ 'ö'", true],
  ["word ~* '^k' AND word !~ '^k' AND word !~* '^x'", true],
  ["word SIMILAR TO 'K.*'", true],
  ["'a_c' LIKE 'a\\_c' AND NOT 'abc' LIKE 'a\\_c'", true],
  ["word ILIKE 'kö%'", true],
  ["id BETWEEN 1 AND 7 AND id NOT IN (1, 2)", true],
  ["id IS DISTINCT FROM NULL AND (NULL > 1) IS UNKNOWN", true],
  ["CASE id WHEN 7 THEN 'seven' ELSE 'other' END", "seven"],
  ["CASE WHEN id > 7 THEN 1 END", null],
  ["at = '2022-08-03T16:38:50.123456+02:00'", true],
  ["at > '2022-08-03' AND at + interval '1 day' > at", true],
  ["2::decimal(10, 2) / 3::decimal(10, 2)", 0.666666],
  ["arrow_typeof(-2::decimal(10, 2) / 3)", "Decimal128(14, 6)"],
  ["-0.3::decimal(10, 1) / 0.1::decimal(10, 1)", -3],
  ["1::decimal(38, 10) / 3", 0.33333333333333],
  ["1::decimal(10, 2) / 0", null],
  ["1::decimal(10, 2) / 1.5 > 0.66", true],
  ["date '2020-01-31' + interval '1 month'", "2020-02-29"],
  ["interval '1 hour' + date '2020-01-31'", "2020-01-31"],
  ["date '2020-01-31' - INTERVAL 1 DAY", "2020-01-30"],
  ["tags[1]", "x"],
  ["tags[-1]", "y"],
  ["tags[0]", null],
  ["tags[2:2]", ["y"]],
  ["nested.x", 1],
  ["nested['x']", 1],
  ["X'A123' = raw", true],
  ["CAST('12' AS INT) + CAST(1.9 AS INT) + CAST(-1.9 AS INT)", 12],
  ["CAST('1.5' AS INT)", null],
  ["CAST('abc' AS INT)", null],
  ["CAST(300 AS TINYINT)", null],
  ["CAST(1e20 AS VARCHAR)", "1e20"],
  ["CAST(0.0000001 AS TEXT)", "1e-7"],
  ["CAST(1.0 AS STRING)", "1.0"],
  ["CAST(true AS VARCHAR)", "true"],
  ["CAST('yes' AS BOOLEAN)", true],
  ["CAST(X'6162' AS VARCHAR)", "ab"],
  ["CAST('\\x41' AS BYTEA)", "XHg0MQ=="],
  ["'2023-05-17T22:16:00.648662+01:00'::timestamp", "2023-05-17T21:16:00.648662Z"],
  ["'0001-01-01'::timestamp", "0001-01-01T00:00:00.000000Z"],
  ["'2020-01-01'::date", "2020-01-01"],
  ["arrow_typeof(1.5::decimal)", "Decimal128(38, 10)"],
  ["arrow_typeof(small + small)", "Int32"],
  ["arrow_typeof(small + 1)", "Int64"],
  ["arrow_typeof(small / 2)", "Int64"],
  ["arrow_typeof(NULL)", "Null"],
  [
    "arrow_typeof([[1.5]])",
    'List(Field { name: "item", data_type: List(Field { name: "item", data_type: Float64, nullable: true, dict_id: 0, dict_is_ordered: false, metadata: {} }), nullable: true, dict_id: 0, dict_is_ordered: false, metadata: {} })',
  ],
  ["arrow_typeof(struct(1, 'x'))", "Struct(c0 Int64, c1 Utf8)"],
];
test("operators, casts and access to lists and structs are DataFusion's", () => check(operators));

const details: readonly Example[] = [
  ["to_char(at, '%c')", "Wed Aug  3 14:38:50 2022"],
  ["to_char(at, '%e %k %l %I %p %P %j %U %W %V %G %u %w')", " 3 14  2 02 PM pm 215 31 31 31 2022 3 3"],
  ["to_char(at, '%-d/%_m/%0e %D %F %T %R %r')", "3/ 8/03 08/03/22 2022-08-03 14:38:50 14:38 02:38:50 PM"],
  [
    "to_char(at, '%f %.f %3f %.9f %s %C %y %q %a %A %b %B %% %n')",
    "123456000 .123456 123 .123456000 1659537530 20 22 3 Wed Wednesday Aug August % \n",
  ],
  ["to_char(at, 'it''s')", "it's"],
  ["to_timestamp('Sep 8 2020 3:04PM', '%b %d %Y %I:%M%p')", "2020-09-08T15:04:00.000000000Z"],
  ["to_timestamp('2020-09-08 12:00:00+02:00', '%Y-%m-%d %H:%M:%S%z')", "2020-09-08T10:00:00.000000000Z"],
  ["to_timestamp('2020-09-08T12:00:00.5Z', '%+')", "2020-09-08T12:00:00.500000000Z"],
  ["to_timestamp('garbage')", null],
  ["to_timestamp('garbage', '%Y')", null],
  ["regexp_match('foobarbequebaz', '(?:bar)(?P<q>beque)')", ["beque"]],
  ["regexp_replace('foobarbaz', 'b(?P<q>..)', '$q$$$1-$none', 'g')", "fooar$ar-az$az-"],
  ["regexp_replace(word, '(.)', '\\1\\1', 'g')", "KKööllnn"],
  ["regexp_like('٣', '^\\d$') AND regexp_like('ä', '^[\\w]$') AND NOT regexp_like('ä', '\\W')", true],
  ["regexp_like('abc', ' a b # comment\n c ', 'x')", true],
  ["regexp_like('a\r', 'a.', 'R')", false],
  ["regexp_like('a\nb', 'a.b', 's') AND NOT regexp_like('a\nb', 'a.b')", true],
  ["regexp_like(word, word) AND regexp_like(upper(word), word, 'i')", true],
  ["array_distinct([2, NULL, 1, NULL])", [null, 1, 2]],
  ["array_except([1, NULL, 2], [2])", [null, 1]],
  ["array_except([], [1])", []],
  ["array_union([1, NULL], [NULL])", [null, 1]],
  ["array_intersect([1, NULL], [NULL])", [null]],
  ["array_remove_n([1, NULL, NULL, 2], NULL, 1)", [1, null, 2]],
  ["array_remove([1, 2], 3)", [1, 2]],
  ["array_sort(['b', NULL, 'a'])", [null, "a", "b"]],
  ["array_to_string([1.5, NULL, 2.0], ',', '*')", "1.5,*,2"],
  ["array_slice([1, 2, 3, 4], -3, -2)", [2, 3]],
  ["range(5, 1, -2)", [5, 3]],
  ["range(1, 5, 0)", null],
  ["range(100000000)", null],
  ["repeat('x', 100000000)", null],
  ["replace(repeat('x', 1000000), 'x', repeat('y', 1000000))", null],
  ["array_to_string([1, NULL, 2], word)", "1Köln2"],
  ["array_to_string([1, 2], NULL)", null],
  ["substr_index('aKölnbKölnc', word, 2)", "aKölnb"],
  ["array_to_string(range(100000), repeat('y', 1000000))", null],
  ["array_repeat(array_repeat('x', 100000), 100000)", null],
  ["length(lpad('x', 2000000000, 'y'))", null],
  ["decode('aGVsbG8=', 'base64') = decode('aGVsbG8', 'base64')", true],
  ["md5(raw)", "83e827a7094a1fe61f051736414015eb"],
  ["make_date(NULL, 1, 1)", null],
  ["date_trunc('day', '2022-08-03T23:30:00-01:00')", "2022-08-04T00:00:00.000000Z"],
  ["date_bin(interval '1 month', at)", "2022-08-01T00:00:00.000000Z"],
  ["date_bin(interval '1 century', at)", "1970-01-01T00:00:00.000000Z"],
  ["coalesce(isnan(nanvl(ln(-1), acos(2))), false)", true],
  ["ln(0) < -1e300", true],
];
test("formats, patterns, sets and sizes", () => check(details));

test("words that only DuckDB reserves name columns", async () => {
  const [row] = await written(await compile('at IS NOT NULL AS default, id AS offset, id AS desc, id AS "table", id AS check'));
  assert.deepEqual(row, { default: true, offset: 7, desc: 7, table: 7, check: 7 });
});

const refused: readonly (readonly [string, RegExp])[] = [
  ["regexp_like(word, '(?=a)')", /look-ahead/],
  ["regexp_like(word, '(?<!a)b')", /look-behind/],
  ["regexp_like(word, '(a)\\1')", /backreferences are not supported/],
  ["regexp_like(word, '[a&&b]')", /set operations/],
  ["regexp_like(word, 'a', 'q')", /unknown regular expression flag 'q'/],
  ["regexp_like(word, 'a', 'g')", /only supported by regexp_replace/],
  ["regexp_like(word, '(a{1000}){1000}')", /repetition|too large/],
  ["regexp_like(word, '(')", /missing \)/],
  ["regexp_match(word, word)", /must be a string literal/],
  ["digest(word, 'crc32')", /no built-in digest algorithm named 'crc32'/],
  ["encode(word, 'utf16')", /no built-in encoding named 'utf16'/],
  ["date_trunc('fortnight', at)", /does not support 'fortnight'/],
  ["to_char(at, '%Q')", /%Q is not supported/],
  ["to_timestamp(word, '%Z')", /%Z is not supported/],
  ["arrow_cast(id, 'Int7')", /Unsupported type 'Int7'/],
  ["extract_json(data, 'list')", /must begin with \$/],
  ["extract_json(data, '$.list[?match(@, ''(a+)+'')]')", /no such function/],
  ["extract_json(data, '$..a..b')", /more than one '\.\.'/],
  ["extract_json(data, '$[?@..a]')", /more than one value/],
  [`extract_json(data, '$${"[0,0]".repeat(20)}')`, /so many selectors/],
  ["data @> 'x'", /unexpected "@"/],
  ["array_sort(tags, 'UP')", /must be 'ASC' or 'DESC'/],
  ["__freehold_digest(raw, 'md5')", /Invalid function '__freehold_digest'/],
  ["unhex('00')", /Invalid function 'unhex'/],
  ["read_text('/etc/passwd')", /Invalid function 'read_text'/],
  [`${"abs(".repeat(300)}id${")".repeat(300)}`, /nested too deeply/],
  [`${"acos(".repeat(40)}id${")".repeat(40)}`, /too complex/],
  [`coalesce(${Array.from({ length: 51 }, () => "repeat('x', 1000000)").join(", ")})`, /more than 50 calls/],
  [Array.from({ length: 9 }, () => "repeat('x', 1000000)").join(" || "), /join more than 8 texts/],
  [`${"(".repeat(20_000)}id${")".repeat(20_000)}`, /parser error|too deep|nested/i],
  [`'${"x".repeat(1_000_000)}'`, /longer than 100000 characters/],
];
test("what cannot run is refused by name, and soon", async () => {
  for (const [expression, pattern] of refused)
    await assert.rejects(compile(`${expression} AS r`), (error: Error) => {
      assert.match(error.message, pattern, expression.slice(0, 80));
      assert.ok(error.message.length < 1000, error.message);
      return true;
    });
});
