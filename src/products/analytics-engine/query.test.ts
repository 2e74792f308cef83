/** The dialect of the SQL API over real parts: the documentation's examples, ClickHouse's results, and what must not be reached. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { HOUR_MS, timelineParts } from "../../../test/harness/timeline-parts.ts";
import { resolveConfig } from "../../kernel/config.ts";
import { QueryError } from "./errors.ts";
import { migrations } from "./migrations.ts";
import { openPoints, type Points } from "./points.ts";
import { openQueries } from "./query.ts";

type Point = { indexes?: [string]; blobs?: string[]; doubles?: (number | "NaN")[]; at?: number };

async function open(t: TestContext, settings: Record<string, unknown> = {}) {
  const parts = await timelineParts(t, migrations, settings);
  const start = (): Promise<Points> => parts.start(openPoints);
  let points = await start();
  const config = resolveConfig(settings, "test");
  const queries = () => openQueries(points, parts.clock, config);
  return {
    clock: parts.clock,
    meta: parts.meta,
    async reopen() {
      await points.stop();
      points = await start();
    },
    tend: () => points.timeline.tend(),
    async write(dataset: string, ...given: Point[]) {
      const wire = given.map(({ indexes: [index] = [""], blobs = [], doubles = [], at = parts.clock.time }) => [at, index, blobs, doubles]);
      assert.equal(await points.write(dataset, JSON.stringify(wire)), 200);
    },
    raw: (body: string) => points.write("raw", body),
    text: async (sql: string) => (await queries().run(sql)).body,
    rows: async (sql: string) => JSON.parse((await queries().run(sql)).body).data as Record<string, unknown>[],
    types: async (sql: string) => JSON.parse((await queries().run(sql)).body).meta as { name: string; type: string }[],
    async value(expression: string) {
      const [row] = JSON.parse((await queries().run(`SELECT ${expression} AS v`)).body).data as [{ v: unknown }];
      return row.v;
    },
    refused: async (sql: string, text: RegExp) => {
      await assert.rejects(queries().run(sql), (error) => error instanceof QueryError && text.test(error.message), sql);
    },
  };
}

test("values: functions and operators as documented, and as ClickHouse has them", async (t) => {
  const { value, refused, clock } = await open(t);
  clock.time = Date.UTC(2026, 10, 28, 12, 34, 56, 789);
  const day = "toDateTime('2025-10-27 16:55:25')";
  for (const [expression, wanted] of [
    ["'Hello Workers Analytics Engine'", "Hello Workers Analytics Engine"],
    ["'it''s \\'quoted\\' \\\\ %'", "it's 'quoted' \\ %"],
    ["42", 42],
    ["-42", "-42"],
    ["4.2", 4.2],
    ["1 + 2 * 3", "7"],
    ["7 / 2", 3.5],
    ["7 % 4", "3"],
    ["1 / 0", null],
    ["NOT (1 = 2) AND 'a' <> 'b' AND 3 BETWEEN 1 AND 3 AND 2 NOT IN (3, 4) AND 'a' IN ('a')", true],
    ["'error log' LIKE 'error%' AND 'X.JPG' ILIKE '%.jpg' AND 'log12' LIKE 'log__' AND 'a' NOT ILIKE '%debug%'", true],
    ["true OR false", true],
    ["if(4.5 <= 0, 'FREEZING', 'NOT FREEZING')", "NOT FREEZING"],
    ["intDiv(7, 2)", 3],
    ["intDiv(-7, 2)", "-4"],
    ["round(pow(double, 2), 1)", undefined],
    ["log(1)", 0],
    ["pow(3, 2)", 9],
    ["round(5.5)", 6],
    ["round(3.14, 1)", 3.1],
    ["floor(3.14, 1)", 3.1],
    ["ceil(3.14, 1)", 3.2],
    ["bitAnd(1, 3)", 1],
    ["bitCount(7)", 3],
    ["bitHammingDistance(3, 0)", 2],
    ["bitNot(1)", 254],
    ["bitOr(1, 2)", 3],
    ["bitRotateLeft(1, 1)", 2],
    ["bitRotateLeft(128, 1)", 1],
    ["bitRotateRight(1, 1)", 128],
    ["bitRotateRight(12, 2)", 3],
    ["bitShiftLeft(1, 1)", 2],
    ["bitShiftLeft(128, 1)", 0],
    ["bitShiftRight(1, 1)", 0],
    ["bitShiftRight(12, 2)", 3],
    ["bitTest(3, 1)", 1],
    ["bitTest(2, 0)", 0],
    ["bitXor(3, 3)", 0],
    ["bin(1)", "00000001"],
    ["hex(1)", "01"],
    ["hex('abc')", "616263"],
    ["length('Grüße')", "5"],
    ["empty('')", true],
    ["lower('ÄB')", "Äb"],
    ["lowerUTF8('ÄB')", "äb"],
    ["toUpper('äb')", "ÄB"],
    ["startsWith('prefix ...', 'prefix')", true],
    ["endsWith('prefix suffix', 'suffix')", true],
    ["position(':' IN 'hello: world')", "6"],
    ["substring('hello world', 6)", " world"],
    ["substring('hello: world', 1, position(':' IN 'hello: world')-1)", "hello"],
    ["format('blob1: {}, {}', 'x', 5)", "blob1: x, 5"],
    ["extract(SECOND from toDateTime('2022-06-06 11:30:15'))", 15],
    ["toUInt8('12')", 12],
    ["toUInt32(12.9)", 12],
    ["toUInt32(toDateTime(355924804))", 355_924_804],
    ["now()", "2026-11-28 12:34:56"],
    ["today()", "2026-11-28"],
    ["now() - INTERVAL '1' DAY", "2026-11-27 12:34:56"],
    ["toDateTime('355924804')", "1981-04-12 12:00:04"],
    ["toDateTime('1981-04-12 12:00:04')", "1981-04-12 12:00:04"],
    ["toUnixTimestamp(toDateTime('2022-12-01 16:17:00', 'America/New_York'))", 1_669_929_420],
    ["formatDateTime(toDateTime('2022-12-01 23:17:00', 'America/New_York'), '%Y-%m-%d %H:%i')", "2022-12-01 23:17"],
    ["formatDateTime(toDateTime('2022-12-01 23:17:00', 'America/New_York'), '%F %T', 'Etc/UTC')", "2022-12-02 04:17:00"],
    [`toYear(${day})`, 2025],
    [`toMonth(${day})`, 10],
    [`toDayOfMonth(${day})`, 27],
    [`toDayOfWeek(${day})`, 1],
    [`toHour(${day}) * 10000 + toMinute(${day}) * 100 + toSecond(${day})`, "165525"],
    [`toStartOfInterval(${day}, INTERVAL '15' MINUTE)`, "2025-10-27 16:45:00"],
    [`toStartOfInterval(${day}, INTERVAL '1' DAY, 'America/New_York')`, "2025-10-27 00:00:00"],
    [`toStartOfInterval(${day}, INTERVAL '3' MONTH)`, "2025-10-01 00:00:00"],
    [`toStartOfYear(${day})`, "2025-01-01 00:00:00"],
    [`toStartOfMonth(${day})`, "2025-10-01 00:00:00"],
    ["toStartOfWeek(toDateTime('2025-10-29 00:00:00'))", "2025-10-27 00:00:00"],
    ["toStartOfWeek(toDateTime('2025-11-02 23:59:59'))", "2025-10-27 00:00:00"],
    [`toStartOfDay(${day})`, "2025-10-27 00:00:00"],
    [`toStartOfHour(${day})`, "2025-10-27 16:00:00"],
    [`toStartOfFifteenMinutes(${day})`, "2025-10-27 16:45:00"],
    [`toStartOfTenMinutes(${day})`, "2025-10-27 16:50:00"],
    [`toStartOfFiveMinutes(${day})`, "2025-10-27 16:55:00"],
    [`toStartOfMinute(${day})`, "2025-10-27 16:55:00"],
    [`toYYYYMM(${day})`, 202_510],
    [`${day} > '2025-10-27 16:55:24'`, true],
  ] as const) {
    if (wanted === undefined) await refused(`SELECT ${expression}`, /^unable to find type of column: double$/);
    else assert.deepEqual(await value(expression), wanted, expression);
  }
});

test("rows are filtered, grouped and ordered; aggregates weigh them, aliases stand for what they name", async (t) => {
  const { write, rows, text, types } = await open(t);
  await write(
    "weather",
    { indexes: ["s1"], blobs: ["Seattle", "USA"], doubles: [25, 0.5] },
    { indexes: ["s2"], blobs: ["Seattle", "USA"], doubles: [15, 1] },
    { indexes: ["s3"], blobs: ["Oslo", "Norway"], doubles: [-5, 0.1] },
    { blobs: ["Oslo", "Norway"], doubles: [10, 3] },
  );
  await write("other-set", { blobs: ["elsewhere"], doubles: ["NaN"] });
  assert.deepEqual(
    await rows(`SELECT blob1 AS city, SUM(_sample_interval * double2) / SUM(_sample_interval) AS avg_humidity
      FROM weather WHERE double1 > 0 GROUP BY city ORDER BY avg_humidity DESC LIMIT 10`),
    [
      { city: "Oslo", avg_humidity: 3 },
      { city: "Seattle", avg_humidity: 0.75 },
    ],
  );
  assert.deepEqual(
    await rows(
      "SELECT blob1 AS city, avg(double1) AS avg_temp, count() AS readings FROM weather GROUP BY city HAVING avg_temp > 10 AND readings >= 2",
    ),
    [{ city: "Seattle", avg_temp: 20, readings: "2" }],
  );
  assert.deepEqual(
    await rows(`SELECT intDiv(toUInt32(timestamp), 300) * 300 AS t, blob1 AS city, max(double1) AS m FROM weather
      WHERE timestamp >= NOW() - INTERVAL '1' DAY GROUP BY t, city ORDER BY t, m DESC`),
    [
      { t: "1800000000", city: "Seattle", m: 25 },
      { t: "1800000000", city: "Oslo", m: 10 },
    ],
  );
  const [all] = await rows(`SELECT count() AS n, count(DISTINCT blob1) AS cities, sum(DISTINCT double2) AS s, min(double1) AS low,
      quantileExactWeighted(0.5)(double1, _sample_interval) AS median, quantileWeighted(0.75, double1, double2) AS heavy,
      argMax(blob1, double1) AS hottest, argMin(blob1, double1) AS coldest, topK(1)(blob2) AS top, topKWeighted(1)(blob1, double2) AS wet,
      countIf(double1 > 10) AS warm, sumIf(double2, blob1 = 'Oslo') AS oslo, avgIf(double1, blob1 = 'Seattle') AS seattle,
      sum(_sample_interval) AS total FROM weather`);
  assert.deepEqual(all, {
    n: "4",
    cities: "2",
    s: 4.6,
    low: -5,
    median: 10,
    heavy: 15,
    hottest: "Seattle",
    coldest: "Oslo",
    top: ["Norway"],
    wet: ["Oslo"],
    warm: "2",
    oslo: 3.1,
    seattle: 20,
    total: "4",
  });
  assert.deepEqual(await rows("SELECT blob1, quantileExactWeighted(0.5)(double1, double2) AS q FROM weather GROUP BY 1 ORDER BY 1"), [
    { blob1: "Oslo", q: 10 },
    { blob1: "Seattle", q: 15 },
  ]);
  assert.deepEqual(await rows("SELECT first_value(double1) AS f, last_value(double1) AS l FROM weather ORDER BY double1 DESC"), [
    { f: 25, l: -5 },
  ]);
  assert.deepEqual(await rows("SELECT sum(n) FROM (SELECT blob1 AS city, count() AS n FROM weather GROUP BY city) WHERE n > 1"), [
    { "sum(n)": "4" },
  ]);
  assert.deepEqual(await rows("SELECT count(), sum(double1) AS s, max(blob1) AS b FROM weather WHERE blob1 = 'nowhere'"), [
    { "count()": "0", s: 0, b: "" },
  ]);
  // A column that an alias hides is what the alias says, and within the alias itself.
  assert.deepEqual(await rows("SELECT lower(blob1) AS blob1, count() AS n FROM weather WHERE blob1 = 'oslo' GROUP BY blob1"), [
    { blob1: "oslo", n: "2" },
  ]);
  const [row] = await rows("SELECT * FROM weather WHERE index1 = ''");
  assert.deepEqual(Object.keys(row as object).length, 44);
  assert.deepEqual(
    [row?.dataset, row?._sample_interval, row?.timestamp, row?.blob3, row?.double20],
    ["weather", 1, "2027-01-15 08:00:00", "", 0],
  );
  assert.deepEqual(
    (await types("SELECT timestamp, blob1, double1, _sample_interval, count() FROM weather GROUP BY 1, 2, 3, 4 LIMIT 0")).map(
      ({ type }) => type,
    ),
    ["DateTime", "String", "Float64", "UInt32", "UInt64"],
  );
  assert.equal(await text('SELECT double1 FROM "other-set" FORMAT JSONEachRow'), '{"double1":null}\n');
  assert.equal(
    await text("SELECT blob1, double1 FROM weather ORDER BY double1 LIMIT 2 OFFSET 1 FORMAT TabSeparated;"),
    "Oslo\t10\nSeattle\t15\n",
  );
  assert.deepEqual(await rows("SHOW TABLES"), [{ dataset: "other-set" }, { dataset: "weather" }]);
  assert.equal(await text("SHOW TIMEZONE FORMAT TabSeparated"), "Etc/UTC\n");
});

test("points survive a start, become a file for each day, and go with their retention", async (t) => {
  const { clock, write, rows, reopen, tend, meta } = await open(t, { "analytics_engine.retention_days": 2 });
  const names = async () => (await rows("SELECT blob1 FROM d ORDER BY blob1")).map(({ blob1 }) => blob1);
  await write("d", { blobs: ["one"] });
  await reopen();
  assert.deepEqual(await names(), ["one"]);
  clock.time += 24 * HOUR_MS;
  await write("d", { blobs: ["two"] });
  await tend();
  assert.equal((await meta.all("SELECT blob FROM analytics_engine_files")).length, 2);
  await write("d", { blobs: ["three"] });
  assert.deepEqual(await names(), ["one", "three", "two"]);
  clock.time += 25 * HOUR_MS;
  await tend();
  assert.deepEqual(await names(), ["three", "two"]);
});

test("what is no query of the dialect is refused before it runs, and nothing but datasets is reached", async (t) => {
  const { write, rows, refused, text } = await open(t, {
    "analytics_engine.result_rows_max": 3,
    "analytics_engine.query_timeout_ms": 2_000,
  });
  await write("d", ...Array.from({ length: 5 }, (_, i) => ({ blobs: ["x' OR 1=1 --"], doubles: [i] })));
  for (const [sql, why] of [
    ["SELECT * FROM analytics_engine_files", /^unknown table: analytics_engine_files$/],
    ["SELECT * FROM recent_1", /^unknown table/],
    ["SELECT * FROM '/etc/passwd'", /^unable to parse query/],
    ['SELECT * FROM "/etc/passwd"', /^unknown table/],
    ["SELECT * FROM read_text('/etc/passwd')", /^unable to parse query/],
    ["SELECT read_text('/etc/passwd')", /^unknown function call: read_text$/],
    ["SELECT getenv('HOME')", /^unknown function call/],
    ["SELECT current_setting('memory_limit')", /^unknown function call/],
    ["SELECT ts FROM d", /^unable to find type of column: ts$/],
    ["SELECT g0 FROM d GROUP BY blob1", /^unable to find type of column: g0$/],
    ["SELECT blob2 FROM d GROUP BY blob1", /neither in GROUP BY/],
    ["SELECT blob1 FROM d UNION ALL SELECT blob2 FROM d", /^unable to parse query/],
    ["SELECT a.blob1 FROM d a, d b", /^unable to parse query/],
    ["SELECT blob1 FROM d JOIN d ON 1=1", /^unable to parse query/],
    ["SET memory_limit='1TB'", /^unable to parse query/],
    ["COPY d TO '/tmp/x'", /^unable to parse query/],
    ["ATTACH '/tmp/x'", /^unable to parse query/],
    ["SELECT 1; DROP TABLE recent_1", /^unable to parse query/],
    ["PRAGMA database_list", /^unable to parse query/],
    ["INSERT INTO d SELECT 1", /^unable to parse query/],
    ["SELECT * FROM d", /more than 3 rows/],
    ["SELECT sum(blob1) FROM d", /sum of a String/],
    ["SELECT count() FROM d WHERE count() > 1", /cannot stand here/],
    ["", /^unable to parse query/],
    [`SELECT ${"(".repeat(5_000)}1${")".repeat(5_000)}`, /nested too deeply/],
    [`SELECT ${Array(10_000).fill("1").join("+")}`, /more than 5000 parts/],
    [`SELECT ${Array.from({ length: 40 }, (_, i) => `${i === 0 ? "1" : `a${i - 1} + a${i - 1}`} AS a${i}`).join(", ")}`, /too complex/],
    ["SELECT a AS a, b AS c, c AS b FROM d", /^unable to find type of column/],
    ["SELECT 'a\\0b'", /zero byte/],
    ["SELECT formatDateTime(now(), '%Q')", /has no %Q/],
    ["SELECT 1 FORMAT Parquet", /unknown format/],
  ] as const)
    await refused(sql, why);
  // Texts of a query are texts.
  assert.deepEqual(await rows("SELECT count() AS n FROM d WHERE blob1 = 'x\\' OR 1=1 --'"), [{ n: "5" }]);
  assert.deepEqual(await rows('SELECT \'a\' AS "x""; DROP TABLE y; --"'), [{ 'x"; DROP TABLE y; --': "a" }]);
  assert.equal(await text("SELECT '\\t\\n' AS a FORMAT TabSeparated"), "\\t\\n\n");
});

test("a Worker's process cannot send what its binding would refuse", async (t) => {
  const { raw } = await open(t);
  for (const body of [
    "no JSON",
    "{}",
    JSON.stringify([[1, "x".repeat(97), [], []]]),
    JSON.stringify([[1, "", Array(21).fill(""), []]]),
    JSON.stringify([[1, "", ["x".repeat(16 * 1024 + 1)], []]]),
    JSON.stringify([[1, "", [], Array(21).fill(0)]]),
    JSON.stringify([[1, "", [], ["text"]]]),
    JSON.stringify([["1", "", [], []]]),
  ])
    assert.equal(await raw(body), 400, body.slice(0, 60));
  assert.equal(await raw(JSON.stringify([[1, "x".repeat(96), ["x".repeat(16 * 1024)], [1, "NaN"]]])), 200);
});
