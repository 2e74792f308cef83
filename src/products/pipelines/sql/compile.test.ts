import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type DuckDb, openDuckDb } from "../../../kernel/duckdb/engine.ts";
import { type Field, parseFields, TIME, type WireField } from "../fields.ts";
import { readPayload } from "../payload.ts";
import { recordCheck } from "../record-check.ts";
import { encodeBatch } from "../records.ts";
import { SOURCE, sourceSql } from "../source.ts";
import { type CompiledStatement, compilePipeline, type Tables } from "./compile.ts";
import { engineFunctions, macros } from "./functions.ts";
import { SqlError } from "./sql-error.ts";

const NOW = Date.UTC(2025, 10, 21, 8);
let db: DuckDb;
let directory: string;
let files = 0;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "pipelines-sql-"));
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

const eventFields: WireField[] = [
  { name: "user_id", type: "string", required: true },
  { name: "event_type", type: "string" },
  { name: "amount", type: "float64" },
  { name: "n", type: "int32" },
  { name: "tags", type: "list", items: { type: "string" } },
  {
    name: "meta",
    type: "struct",
    fields: [
      { name: "source", type: "string" },
      { name: "at", type: "timestamp", unit: "second" },
    ],
  },
  { name: "data", type: "json" },
];

const tables = (fields: Field[] | undefined): Tables => ({
  stream: (name) => (name === "events" ? { id: "s1", name, fields } : undefined),
  sink: (name) => (["out", "out2"].includes(name) ? { id: name, name } : undefined),
});

function compile(sql: string, wire: WireField[] | undefined = eventFields): Promise<CompiledStatement[]> {
  return db.use((c) => compilePipeline(sql, tables(wire && parseFields({ fields: wire })), c, NOW));
}

/** Rows that the pipeline makes of the events, without the hidden column. */
async function rows(sql: string, events: unknown[], wire: WireField[] | undefined = eventFields): Promise<unknown[][]> {
  const fields = wire && parseFields({ fields: wire });
  const [statement] = await db.use((c) => compilePipeline(sql, tables(fields), c, NOW));
  const batch = encodeBatch(Buffer.from(JSON.stringify(events)), fields && recordCheck(fields), NOW);
  assert.ok(batch !== undefined && statement !== undefined);
  const file = join(directory, `${files++}.ndjson`);
  await writeFile(file, readPayload(batch.payload).lines);
  const found = await db.use((c) => c.all(`WITH ${SOURCE} AS (${sourceSql(fields, [file], 1_000_000)}) ${statement.select}`));
  return found.map((row) => {
    const { [TIME]: time, ...columns } = row as Record<string, unknown>;
    assert.deepEqual(time, new Date(NOW));
    assert.deepEqual(
      Object.keys(columns),
      statement.columns.map((column) => column.name),
    );
    return Object.values(columns);
  });
}

const sample = [
  {
    user_id: "a",
    event_type: "purchase",
    amount: 100,
    n: 7,
    tags: ["x", "y"],
    meta: { source: "web", at: 1_700_000_000 },
    data: { k: [1, { z: "deep" }], s: "t" },
  },
  { user_id: "b", event_type: "view", n: -7 },
];

test("passthrough keeps every column in the schema's order", async () => {
  const [statement] = await compile("INSERT INTO out SELECT * FROM events");
  assert.deepEqual(
    statement?.columns.map(({ name, type }) => `${name} ${type}`),
    [
      "user_id VARCHAR",
      "event_type VARCHAR",
      "amount DOUBLE",
      "n INTEGER",
      "tags VARCHAR[]",
      'meta STRUCT("source" VARCHAR, "at" TIMESTAMP)',
      "data VARCHAR",
    ],
  );
  const [first, second] = await rows("INSERT INTO out SELECT * FROM events;", sample);
  assert.deepEqual(first, [
    "a",
    "purchase",
    100,
    7,
    ["x", "y"],
    { source: "web", at: new Date(1_700_000_000_000) },
    '{"k":[1,{"z":"deep"}],"s":"t"}',
  ]);
  assert.deepEqual(second, ["b", "view", null, -7, null, null, null]);
});

test("WHERE, expressions and aliases of the documentation", async () => {
  assert.deepEqual(await rows("INSERT INTO out SELECT user_id FROM events WHERE event_type = 'purchase' AND amount > 50", sample), [["a"]]);
  assert.deepEqual(
    await rows("insert into out select user_id, UPPER(event_type) as t, amount * 1.1 as amount_with_tax from events", sample),
    [
      ["a", "PURCHASE", 100 * 1.1],
      ["b", "VIEW", null],
    ],
  );
  assert.deepEqual(
    await rows("INSERT INTO out SELECT e.user_id FROM events e WHERE e.user_id LIKE 'a%' AND e.amount IS NOT NULL", sample),
    [["a"]],
  );
});

test("a CTE may stand before or after INSERT INTO, and subqueries in FROM", async () => {
  const expected = [["a", 110.00000000000001]];
  const cte = "WITH filtered AS (SELECT user_id, event_type, amount FROM events WHERE amount > 50)";
  const main = "SELECT user_id, amount * 1.1 AS x FROM filtered WHERE event_type = 'purchase';";
  assert.deepEqual(await rows(`INSERT INTO out ${cte} ${main}`, sample), expected);
  assert.deepEqual(await rows(`${cte} INSERT INTO out ${main}`, sample), expected);
  assert.deepEqual(
    await rows("INSERT INTO out SELECT u FROM (SELECT user_id AS u, n FROM events WHERE n < 0) AS q WHERE q.n = -7", sample),
    [["b"]],
  );
});

test("lists, structs and JSON are taken apart", async () => {
  const sql = `INSERT INTO out SELECT tags[1] AS first, meta.source, events.meta.at AS at, data->'k'->1->>'z' AS deep,
    data->>'nope' AS missing, json_get_int(data, 'k', 0) AS i, json_get_str(data, 'k') AS mistyped, struct(user_id, n).c1 AS c FROM events`;
  const [first, second] = await rows(sql, sample);
  assert.deepEqual(first, ["x", "web", new Date(1_700_000_000_000), "deep", "", 1n, "", 7]);
  assert.deepEqual(second, [null, null, null, "", "", 0n, "", -7]);
});

test("UNNEST makes a row per element", async () => {
  assert.deepEqual(await rows("INSERT INTO out SELECT user_id, UNNEST(tags) AS tag FROM events", sample), [
    ["a", "x"],
    ["a", "y"],
  ]);
  await assert.rejects(compile("INSERT INTO out SELECT unnest(tags) a, unnest(tags) b FROM events"), /only one array/);
  await assert.rejects(
    compile("INSERT INTO out SELECT user_id FROM events WHERE unnest(tags) = 'x'"),
    /may only appear as an item of SELECT/,
  );
});

test("an unstructured stream has one column, value", async () => {
  const unstructured = async (sql: string, events: unknown[]) => {
    const [statement] = await db.use((c) => compilePipeline(sql, tables(undefined), c, NOW));
    const batch = encodeBatch(Buffer.from(JSON.stringify(events)), undefined, NOW);
    const file = join(directory, `${files++}.ndjson`);
    await writeFile(file, readPayload((batch as { payload: Uint8Array }).payload).lines);
    return db.use((c) =>
      c.all(`WITH ${SOURCE} AS (${sourceSql(undefined, [file], 1_000_000)}) SELECT * EXCLUDE (${TIME}) FROM (${statement?.select})`),
    );
  };
  assert.deepEqual(await unstructured("INSERT INTO out SELECT * FROM events", [{ a: 1 }, [2], "x", 3]), [
    { value: '{"a":1}' },
    { value: "[2]" },
    { value: '"x"' },
    { value: "3" },
  ]);
  assert.deepEqual(await unstructured("INSERT INTO out SELECT value->>'a' AS a FROM events", [{ a: 1 }]), [{ a: "1" }]);
});

test("numbers behave as in DataFusion: integers divide to integers, literals are 64 bits wide, casts cut", async () => {
  const sql =
    "INSERT INTO out SELECT n / 2 AS q, n % 4 AS r, n / 0 AS z, 1 AS one, 1.5 AS d, CAST(amount / 3 AS INT) AS c, CAST(event_type AS INT) AS bad FROM events";
  const [statement] = await compile(sql);
  assert.deepEqual(
    statement?.columns.map(({ type }) => String(type)),
    ["BIGINT", "BIGINT", "BIGINT", "BIGINT", "DOUBLE", "INTEGER", "INTEGER"],
  );
  assert.deepEqual(await rows(sql, sample), [
    [3n, 3n, null, 1n, 1.5, 33, null],
    [-3n, -3n, null, 1n, 1.5, null, null],
  ]);
});

test("binary literals, casts and NULL", async () => {
  const [row] = await rows(
    "INSERT INTO out SELECT X'A123' AS b, n::TEXT AS t, data::json AS j, TRUE AS y, NULL::BIGINT AS z, now() AS at FROM events",
    sample,
  );
  assert.deepEqual(row, [Buffer.from([0xa1, 0x23]), "7", '{"k":[1,{"z":"deep"}],"s":"t"}', true, null, new Date(NOW)]);
});

test("several INSERTs route one stream to several sinks", async () => {
  const statements = await compile(
    "INSERT INTO out SELECT * FROM events WHERE n > 0; -- comment; with semicolon\nINSERT INTO out2 (who) SELECT user_id FROM events WHERE event_type = ';';",
  );
  assert.deepEqual(
    statements.map(({ sink, columns }) => [sink.name, columns.length]),
    [
      ["out", 7],
      ["out2", 1],
    ],
  );
  assert.equal(statements[1]?.columns[0]?.name, "who");
  await assert.rejects(compile("INSERT INTO out SELECT * FROM events; INSERT INTO out SELECT * FROM events"), /written by two/);
});

const refused: readonly (readonly [string, RegExp])[] = [
  ["", /SQL query is empty/],
  ["SELECT * FROM events", /INSERT INTO <sink> SELECT/],
  ["INSERT INTO nope SELECT * FROM events", /table 'nope' not found: there is no sink/],
  ["INSERT INTO out SELECT * FROM nope", /table 'nope' not found: there is no stream/],
  ["INSERT INTO out SELECT * FROM out2", /it is a sink/],
  ["INSERT INTO out SELECT nope FROM events", /No field named nope. Valid fields are events.user_id, /],
  ["INSERT INTO out SELECT e.nope FROM events e", /No field named e.nope. Valid fields are e.user_id, /],
  ["INSERT INTO out SELECT meta.nope FROM events", /nope/],
  ["INSERT INTO out SELEC * FROM events", /expected SELECT/],
  ["INSERT INTO out SELECT FROM WHERE", /sql parser error: .*syntax error|sql parser error/],
  ["INSERT INTO out SELECT user_id, USER_ID FROM events", /Projections require unique expression names/],
  ["INSERT INTO out SELECT count(*) FROM events", /Invalid function 'count_star'/],
  ["INSERT INTO out SELECT sum(n) OVER () FROM events", /window functions are not supported/],
  ["INSERT INTO out SELECT nosuch(n) FROM events", /Invalid function 'nosuch'/],
  ["INSERT INTO out SELECT upper(user_id, n) FROM events", /expects 1 arguments, got 2/],
  ["INSERT INTO out SELECT abs(user_id) FROM events", /abs/],
  ["INSERT INTO out SELECT a.user_id FROM events a JOIN events b ON true", /joins are not supported/],
  ["INSERT INTO out SELECT * FROM events, events b", /joins are not supported/],
  ["INSERT INTO out SELECT user_id FROM events GROUP BY user_id", /GROUP BY is not supported/],
  ["INSERT INTO out SELECT DISTINCT user_id FROM events", /DISTINCT is not supported/],
  ["INSERT INTO out SELECT user_id FROM events ORDER BY 1", /ORDER BY is not supported/],
  ["INSERT INTO out SELECT user_id FROM events LIMIT 1", /LIMIT is not supported/],
  ["INSERT INTO out SELECT user_id FROM events UNION ALL SELECT user_id FROM events", /set operations/],
  ["INSERT INTO out SELECT (SELECT 1) AS a FROM events", /subqueries are only supported in FROM/],
  ["INSERT INTO out SELECT 1 AS a", /needs a FROM clause/],
  ["INSERT INTO out SELECT * FROM read_text('/etc/passwd')", /table functions are not supported/],
  ["INSERT INTO out SELECT * FROM '/etc/passwd'", /not found/],
  ["INSERT INTO out SELECT * FROM duckdb_settings", /not found/],
  ["INSERT INTO out SELECT * FROM information_schema.tables", /not found/],
  ["INSERT INTO out SELECT getenv('HOME') AS a FROM events", /Invalid function/],
  ["INSERT INTO out SELECT current_setting('threads') AS a FROM events", /Invalid function/],
  ["INSERT INTO out SELECT __freehold_time AS a FROM events", /No field named __freehold_time/],
  ["INSERT INTO out SELECT n AS __ingest_ts FROM events", /reserved/],
  ["INSERT INTO out (__freehold_time) SELECT n FROM events", /reserved/],
  ["INSERT INTO out SELECT * EXCLUDE (n) FROM events", /EXCLUDE/],
  ["INSERT INTO out SELECT COLUMNS('.*') FROM events", /not supported/],
  ["INSERT INTO out SELECT list_transform(tags, lambda x: x) AS a FROM events", /Invalid function 'list_transform'|parser error/],
  ["INSERT INTO out SELECT n::nosuch AS a FROM events", /unsupported SQL type/],
  ["INSERT INTO out SELECT $1 AS a FROM events", /unexpected "\$"/],
  ["INSERT INTO out SELECT ? AS a FROM events", /unsupported expression|parser error/],
  ["INSERT INTO out SELECT 'a", /unterminated string/],
  ["INSERT INTO out VALUES (1)", /expected SELECT/],
  ["DROP TABLE events; INSERT INTO out SELECT * FROM events", /INSERT INTO/],
  ["INSERT INTO out (a) SELECT user_id, n FROM events", /names 1 columns/],
];

test("what the dialect does not have is refused by name", async () => {
  for (const [sql, pattern] of refused)
    await assert.rejects(compile(sql), (error: unknown) => {
      assert.ok(error instanceof SqlError, `${sql}: ${error}`);
      assert.match(error.message, pattern, sql);
      assert.doesNotMatch(error.message, /__source|LINE 1/, sql);
      return true;
    });
});

/** Queries that build on each other: each makes `v` of the one before by the expression. */
function chain(expression: string, length: number): string {
  const steps = Array.from({ length }, (_, i) => `q${i + 1} AS (SELECT ${expression} AS v FROM q${i})`);
  return `WITH q0 AS (SELECT user_id AS v FROM events), ${steps.join(", ")}`;
}

test("a value that would hold a column over and over is refused before anything runs", async () => {
  const growing = [
    "v || v",
    "concat(v, v)",
    "concat_ws(',', v, v)",
    "[v, v]",
    "struct(v, v)",
    "CASE WHEN v IS NULL THEN v ELSE upper(v || v) END",
  ];
  for (const expression of growing) {
    await assert.rejects(
      compile(`INSERT INTO out ${chain(expression, 20)} SELECT v FROM q20`),
      /a value would hold the column "user_id", or a part of it, more than 16 times/,
      expression,
    );
    const [statement] = await compile(`INSERT INTO out ${chain(expression, 4)} SELECT v FROM q4`);
    assert.equal(statement?.growth, 16, expression);
  }
  // In a condition, too, where nothing of it is kept.
  await assert.rejects(
    compile(`INSERT INTO out ${chain("v || v", 4)} SELECT 1 AS one FROM q4 WHERE length(v || v) > 3`),
    /more than 16 times/,
  );
  // Looking at a value often makes nothing of it, nor does holding many columns.
  const branches = Array.from({ length: 150 }, (_, i) => `WHEN user_id = '${i}' OR user_id LIKE '${i}%' THEN '${i}'`).join(" ");
  const [looked] = await compile(`INSERT INTO out SELECT CASE ${branches} ELSE user_id || event_type END AS v FROM events`);
  assert.equal(looked?.growth, 1);
  // Parts beside each other are not the same; parts of parts are.
  const keys = Array.from({ length: 60 }, (_, i) => `data->>'key${i}'`).join(", ");
  const [beside] = await compile(`INSERT INTO out SELECT concat_ws(',', ${keys}, meta.source, tags[1], tags[2]) AS v FROM events`);
  assert.equal(beside?.growth, 1);
  const [within] = await compile("INSERT INTO out SELECT concat_ws(',', data, data->'a', data->'a'->>'b', data->>'c') AS v FROM events");
  assert.equal(within?.growth, 3);
  // A member of what was made of a part may be the whole part.
  const wrapped = Array.from({ length: 17 }, (_, i) => `[${"'', ".repeat(i)}user_id][${i + 1}]`).join(" || ");
  await assert.rejects(compile(`INSERT INTO out SELECT ${wrapped} AS v FROM events`), /more than 16 times/);
});
