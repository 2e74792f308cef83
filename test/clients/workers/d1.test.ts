/** D1 by binding: Worker code on the platform, deployed by wrangler. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "runtime.system_hang_timeout_ms": 4_000 } });
const base = `/accounts/${platform.ready.account_id}/d1/database`;
const database = async (name: string): Promise<string> => (await platform.rest("POST", base, { name })).body.result.uuid;
const ids = { DB: await database("workers-db"), OTHER: await database("workers-other") };

// Each path is one piece of Worker code; what it returns is the answer's JSON.
const source = `
const thrown = async (work) => { try { await work(); return null; } catch (e) { return { message: e.message, cause: e.cause?.message }; } };
const code = {
  async beverages({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS Customers");
    await DB.exec("CREATE TABLE Customers (CustomerId INTEGER PRIMARY KEY, CompanyName TEXT, ContactName TEXT)");
    const insert = await DB.prepare("INSERT INTO Customers VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?)")
      .bind(1, "Alfreds Futterkiste", "Maria Anders", 4, "Around the Horn", "Thomas Hardy", 11, "Bs Beverages", "Victoria Ashworth", 13, "Bs Beverages", "Random Name").run();
    const statement = DB.prepare("SELECT * FROM Customers WHERE CompanyName = ?").bind("Bs Beverages");
    const { results, success, meta } = await statement.all();
    return { insert: [insert.success, insert.meta.changes, insert.meta.last_row_id, insert.results], results, success, metaNames: Object.keys(meta).sort(), run: (await statement.run()).results };
  },
  async shapes({ DB }) {
    const one = DB.prepare("SELECT * FROM Customers WHERE CompanyName = ? ORDER BY CustomerId").bind("Bs Beverages");
    return {
      row: await one.first(), value: await one.first("CustomerId"), none: await DB.prepare("SELECT 1 WHERE 0").first(),
      missing: await thrown(() => one.first("Nope")),
      raw: await one.raw(), header: await one.raw({ columnNames: true }), rawNone: await DB.prepare("SELECT 1 AS a WHERE 0").raw({ columnNames: true }),
    };
  },
  async batch({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS b");
    await DB.exec("CREATE TABLE b (id INTEGER PRIMARY KEY, v TEXT NOT NULL)");
    const insert = DB.prepare("INSERT INTO b (v) VALUES (?)");
    const good = await DB.batch([insert.bind("one"), insert.bind("two"), DB.prepare("SELECT count(*) AS n FROM b")]);
    const failed = await thrown(() => DB.batch([insert.bind("three"), insert.bind(null), insert.bind("four")]));
    return { ids: good.slice(0, 2).map((r) => r.meta.last_row_id), counted: good[2].results, failed, after: await DB.prepare("SELECT v FROM b ORDER BY id").raw() };
  },
  async exec({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS e");
    const good = await DB.exec("CREATE TABLE e (a)\\nINSERT INTO e VALUES (1)\\nINSERT INTO e VALUES (2)");
    const failed = await thrown(() => DB.exec("INSERT INTO e VALUES (3)\\nINSERTZ INTO e VALUES (4)\\nINSERT INTO e VALUES (5)"));
    const first = await thrown(() => DB.exec("SELEC 1"));
    return { count: good.count, duration: typeof good.duration, failed, first, rows: await DB.prepare("SELECT a FROM e").raw() };
  },
  async meta({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS scan");
    await DB.exec("CREATE TABLE scan (id INTEGER PRIMARY KEY, k INTEGER, v TEXT)");
    const made = await DB.prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO scan (k, v) SELECT i, 'v' || i FROM n").run();
    const find = () => DB.prepare("SELECT v FROM scan WHERE k = ?").bind(4321).all();
    const scan = (await find()).meta;
    await DB.exec("CREATE INDEX scan_k ON scan (k)");
    const indexed = (await find()).meta;
    const one = (await DB.prepare("INSERT INTO scan (k, v) VALUES (0, 'x')").run()).meta;
    const none = (await DB.prepare("UPDATE scan SET v = 'y' WHERE id = -1").run()).meta;
    return { made: made.meta, scan, indexed, one, none };
  },
  async types({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS types");
    await DB.exec("CREATE TABLE types (n, i INTEGER, r REAL, t TEXT, y INTEGER, b BLOB)");
    const bytes = new Uint8Array([0, 1, 254, 255]);
    await DB.prepare("INSERT INTO types VALUES (?, ?, ?, ?, ?, ?)").bind(null, 42, 1.5, "тест 😀", true, bytes.buffer).run();
    await DB.prepare("INSERT INTO types VALUES (?, ?, ?, ?, ?, ?)").bind(null, -1, 1e300, "", false, bytes.subarray(1, 3)).run();
    return {
      rows: (await DB.prepare("SELECT * FROM types").all()).results,
      kinds: await DB.prepare("SELECT typeof(n), typeof(i), typeof(r), typeof(t), typeof(y), typeof(b), length(b) FROM types").raw(),
      undefined: await thrown(() => DB.prepare("SELECT ?").bind(undefined).all()),
      bigint: await thrown(() => DB.prepare("SELECT ?").bind(1n).all()),
      past53: await DB.prepare("SELECT 9007199254740993 AS n").first("n"),
    };
  },
  async errors({ DB }) {
    return {
      syntax: await thrown(() => DB.prepare("INSERTZ INTO t VALUES (1)").run()),
      table: await thrown(() => DB.prepare("SELECT * FROM nowhere").all()),
      column: await thrown(() => DB.prepare("SELECT nope FROM sqlite_master").all()),
      comment: await thrown(() => DB.prepare("-- nothing here").run()),
      empty: await thrown(() => DB.prepare("").run()),
      begin: await thrown(() => DB.prepare("BEGIN TRANSACTION").run()),
      parameters: await thrown(() => DB.prepare("SELECT ?, ?").bind(1).all()),
      manyParameters: await thrown(() => DB.prepare("SELECT " + Array(101).fill("?").join()).bind(...Array(101).fill(1)).all()),
      reserved: await thrown(() => DB.prepare("CREATE TABLE _cf_mine (a)").run()),
      attach: await thrown(() => DB.prepare("ATTACH '/etc/passwd' AS p").run()),
      fine: await DB.prepare("SELECT 1 AS one; -- done").first("one"),
    };
  },
  async ordered({ DB }) {
    return DB.prepare("SELECT ?2 AS second, ?1 AS first, ?2 AS again").bind("a", "b").first();
  },
  async features({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS docs");
    await DB.exec("CREATE VIRTUAL TABLE docs USING fts5(title, body)");
    await DB.batch([["one", "the quick brown fox"], ["two", "lazy dogs sleep"]].map((row) => DB.prepare("INSERT INTO docs VALUES (?, ?)").bind(...row)));
    return {
      match: await DB.prepare("SELECT title FROM docs WHERE docs MATCH ? ORDER BY rank").bind("fox OR cat").raw(),
      snippet: await DB.prepare("SELECT highlight(docs, 1, '<', '>') FROM docs WHERE docs MATCH 'quick'").raw(),
      json: await DB.prepare("SELECT value FROM json_each(?) WHERE value IN (SELECT value FROM json_each(?))").bind("[1,2,3]", "[2,3,4]").raw(),
      arrow: await DB.prepare("SELECT '{\\"a\\":{\\"b\\":[10,20]}}' -> 'a' ->> '$.b[1]' AS v").first("v"),
      math: await DB.prepare("SELECT sqrt(16), ceil(2.1), pow(2, 10)").raw(),
    };
  },
  async plans({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS orders");
    await DB.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, data TEXT, price REAL, qty INTEGER, total REAL AS (price * qty), kind TEXT GENERATED ALWAYS AS (json_extract(data, '$.kind')) STORED)");
    await DB.exec("CREATE INDEX orders_kind ON orders (kind) WHERE kind IS NOT NULL");
    await DB.prepare("INSERT INTO orders (data, price, qty) VALUES (?, ?, ?)").bind('{"kind":"book"}', 2.5, 4).run();
    return {
      generated: await DB.prepare("SELECT total, kind FROM orders").first(),
      plan: (await DB.prepare("EXPLAIN QUERY PLAN SELECT * FROM orders WHERE kind = 'book'").all()).results.map((r) => r.detail),
    };
  },
  async references({ DB }) {
    for (const t of ["child", "parent"]) await DB.exec("DROP TABLE IF EXISTS " + t);
    await DB.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY)");
    await DB.exec("CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id) ON DELETE CASCADE)");
    const orphan = DB.prepare("INSERT INTO child (parent) VALUES (1)");
    const refused = await thrown(() => orphan.run());
    await DB.batch([DB.prepare("PRAGMA defer_foreign_keys = on"), orphan, DB.prepare("INSERT INTO parent VALUES (1)")]);
    const stillRefused = await thrown(() => DB.batch([DB.prepare("PRAGMA defer_foreign_keys = on"), DB.prepare("INSERT INTO child (parent) VALUES (2)")]));
    // Calls that arrive together share a commit; a constraint that fails there fails its own call only.
    const together = await Promise.all(Array.from({ length: 30 }, (_, i) => thrown(() => i % 10 === 5
      ? DB.batch([DB.prepare("PRAGMA defer_foreign_keys = on"), DB.prepare("INSERT INTO child (parent) VALUES (3)")])
      : DB.prepare("INSERT INTO parent VALUES (?)").bind(100 + i).run())));
    const failed = together.flatMap((outcome, i) => outcome === null ? [] : [[i, outcome.message]]);
    const parents = await DB.prepare("SELECT count(*) AS n FROM parent").first("n");
    const before = await DB.prepare("SELECT count(*) AS n FROM child").first("n");
    await DB.prepare("DELETE FROM parent WHERE id = 1").run();
    return { refused, stillRefused, failed, parents, before, cascaded: await DB.prepare("SELECT count(*) AS n FROM child").first("n") };
  },
  async pragmas({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS p (a INTEGER PRIMARY KEY, b TEXT)");
    await DB.exec("CREATE INDEX IF NOT EXISTS p_b ON p (b)");
    const out = {};
    for (const pragma of ["table_list", "table_info('p')", "table_xinfo('p')", "index_list('p')", "index_info('p_b')", "index_xinfo('p_b')", "quick_check", "foreign_key_check",
      "foreign_key_list('p')", "case_sensitive_like = on", "ignore_check_constraints = on", "legacy_alter_table = on", "recursive_triggers = on", "reverse_unordered_selects = on",
      "foreign_keys = on", "defer_foreign_keys = on", "optimize"]) out[pragma] = await thrown(() => DB.prepare("PRAGMA " + pragma).all());
    return out;
  },
  async sessions({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS s (v)");
    const session = DB.withSession();
    const before = session.getBookmark();
    await session.prepare("INSERT INTO s VALUES (1)").run();
    const first = session.getBookmark();
    const counted = await session.prepare("SELECT count(*) AS n FROM s").first("n");
    const second = session.getBookmark();
    const resumed = DB.withSession(second);
    const [{ results }] = await resumed.batch([resumed.prepare("SELECT count(*) AS n FROM s")]);
    const third = resumed.getBookmark();
    const primary = DB.withSession("first-primary");
    const { meta } = await primary.prepare("SELECT 1").all();
    return { before, first, second, third, counted, resumed: results[0].n, primary: meta.served_by_primary, plain: primary.getBookmark() !== null };
  },
  async own(env) {
    for (const name of ["DB", "OTHER"]) { await env[name].exec("CREATE TABLE IF NOT EXISTS whose (v)"); await env[name].prepare("INSERT INTO whose VALUES (?)").bind(name).run(); }
    return [await env.DB.prepare("SELECT DISTINCT v FROM whose").raw(), await env.OTHER.prepare("SELECT DISTINCT v FROM whose").raw()];
  },
  async together({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v UNIQUE)");
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => DB.prepare("INSERT INTO t (v) VALUES (?) RETURNING v").bind(i % 150).first("v")));
    const values = outcomes.filter((o) => o.status === "fulfilled").map((o) => o.value).sort((a, b) => a - b);
    const failures = new Set(outcomes.filter((o) => o.status === "rejected").map((o) => o.reason.message));
    return { values: values.length, distinct: new Set(values).size, failures: [...failures], rows: await DB.prepare("SELECT count(*) AS n FROM t").first("n") };
  },
  async large({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS l (id INTEGER PRIMARY KEY, v TEXT)");
    await DB.prepare("DELETE FROM l").run();
    const value = "x".repeat(1_000_000);
    for (let i = 0; i < 4; i++) await DB.prepare("INSERT INTO l (v) VALUES (?)").bind(value).run();
    const all = await Promise.all(Array.from({ length: 12 }, () => DB.prepare("SELECT v FROM l").raw()));
    return all.map((rows) => rows.length === 4 && rows.every(([v]) => v === value));
  },
  async abandon({ DB }) {
    const slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT count(*) FROM n";
    // Not awaited: the response ends the Worker's request, and with it the connections of these queries.
    for (let i = 0; i < 20; i++) DB.prepare(slow).all().catch(() => undefined);
    await DB.prepare("SELECT 1").first();
    return "gone";
  },
  async one({ OTHER, DB }) { return [await OTHER.prepare("SELECT 1 AS n").first("n"), await DB.prepare("SELECT 1 AS n").first("n")]; },
  async endless({ DB }) {
    return thrown(() => DB.prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n").all());
  },
  async huge({ DB }) {
    return thrown(() => DB.prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n").all());
  },
  async durable({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS d (v)");
    return (await DB.prepare("INSERT INTO d SELECT ? RETURNING v").bind(crypto.randomUUID()).first("v"));
  },
  async kept({ DB }) { return DB.prepare("SELECT v FROM d").raw(); },
};
export default {
  async fetch(request, env) {
    try { return Response.json(await code[new URL(request.url).pathname.slice(1)](env)); }
    catch (e) { return new Response(e.stack, { status: 500 }); }
  },
};
`;

const project = await deployWorker(platform, {
  files: { "index.js": source },
  config: {
    name: "d1-worker",
    d1_databases: [
      { binding: "DB", database_name: "workers-db", database_id: ids.DB },
      { binding: "OTHER", database_name: "workers-other", database_id: ids.OTHER },
    ],
  },
});

// biome-ignore lint/suspicious/noExplicitAny: each path answers in its own shape.
async function run(path: string): Promise<any> {
  const response = await platform.fetch(`${project.url}/${path}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

const customers = [
  { CustomerId: 11, CompanyName: "Bs Beverages", ContactName: "Victoria Ashworth" },
  { CustomerId: 13, CompanyName: "Bs Beverages", ContactName: "Random Name" },
];

test("[d1-01] prepare, bind, run and all", async () => {
  const { insert, results, success, metaNames, run: ran } = await run("beverages");
  assert.deepEqual(insert, [true, 4, 13, []]);
  assert.deepEqual([results, success, ran], [customers, true, customers]);
  const documented = [
    "changed_db",
    "changes",
    "duration",
    "last_row_id",
    "rows_read",
    "rows_written",
    "served_by",
    "size_after",
    "timings",
  ];
  for (const name of documented) assert(metaNames.includes(name), `meta has no ${name}`);
});

test("[d1-02] first, raw and column names", async () => {
  await run("beverages");
  const { row, value, none, missing, raw, header, rawNone } = await run("shapes");
  const rows = customers.map((customer) => Object.values(customer));
  assert.deepEqual([row, value, none], [customers[0], 11, null]);
  assert.equal(missing.message, "D1_COLUMN_NOTFOUND: Column not found (Nope)");
  assert.deepEqual([raw, header, rawNone], [rows, [["CustomerId", "CompanyName", "ContactName"], ...rows], [["a"]]]);
});

test("[d1-03] a batch whose second statement fails leaves nothing of the first", async () => {
  const { ids: made, counted, failed, after: left } = await run("batch");
  assert.deepEqual([made, counted], [[1, 2], [{ n: 2 }]]);
  assert.equal(failed.message, "D1_ERROR: NOT NULL constraint failed: b.v: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)");
  assert.deepEqual(left, [["one"], ["two"]]);
});

test("[d1-04] exec counts its lines and names the one that fails", async () => {
  const { count, duration, failed, first, rows } = await run("exec");
  assert.deepEqual([count, duration], [3, "number"]);
  assert.equal(
    failed.message,
    'D1_EXEC_ERROR: Error in line 2: INSERTZ INTO e VALUES (4): near "INSERTZ": syntax error at offset 0: SQLITE_ERROR',
  );
  assert.equal(first.message, 'D1_EXEC_ERROR: Error in line 1: SELEC 1: near "SELEC": syntax error at offset 0: SQLITE_ERROR');
  assert.deepEqual(rows, [[1], [2]]);
});

test("[d1-05] meta counts the rows that were read and written", async () => {
  const { made, scan, indexed, one, none } = await run("meta");
  assert.deepEqual([made.changes, made.changed_db], [5000, true]);
  assert.equal(scan.rows_read, 5000);
  assert.equal(indexed.rows_read, 2);
  assert.deepEqual([scan.rows_written, scan.changed_db, scan.changes], [0, false, 0]);
  // One row in the table, one in its index.
  assert.deepEqual([one.rows_written, one.changes, one.last_row_id, one.changed_db], [2, 1, 5001, true]);
  assert.deepEqual([none.changes, none.rows_written], [0, 0]);
  assert(one.size_after > 100_000);
});

test("[d1-06] six types come back as they went in; undefined is refused", async () => {
  const { rows, kinds, undefined: none, bigint, past53 } = await run("types");
  assert.deepEqual(rows, [
    { n: null, i: 42, r: 1.5, t: "тест 😀", y: 1, b: [0, 1, 254, 255] },
    { n: null, i: -1, r: 1e300, t: "", y: 0, b: [1, 254] },
  ]);
  assert.deepEqual(kinds, [
    ["null", "integer", "real", "text", "integer", "blob", 4],
    ["null", "integer", "real", "text", "integer", "blob", 2],
  ]);
  assert.equal(none.message, "D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'");
  assert.equal(bigint.message, "D1_TYPE_ERROR: Type 'bigint' not supported for value '1'");
  assert.equal(past53, 9007199254740992);
});

test("[d1-07] errors have the documented texts", async () => {
  const errors = await run("errors");
  const text = (name: string) => errors[name].message;
  assert.equal(text("syntax"), 'D1_ERROR: near "INSERTZ": syntax error at offset 0: SQLITE_ERROR');
  assert.equal(errors.syntax.cause, 'near "INSERTZ": syntax error at offset 0: SQLITE_ERROR');
  assert.equal(text("table"), "D1_ERROR: no such table: nowhere: SQLITE_ERROR");
  assert.equal(text("column"), "D1_ERROR: no such column: nope at offset 7: SQLITE_ERROR");
  assert.equal(text("comment"), "D1_ERROR: No SQL statements detected.");
  assert.equal(text("empty"), "D1_ERROR: No SQL statements detected.");
  assert.match(text("begin"), /^D1_ERROR: To execute a transaction/);
  assert.match(text("parameters"), /^D1_ERROR: Wrong number of parameter bindings/);
  assert.match(text("manyParameters"), /^D1_ERROR: too many SQL variables/);
  assert.match(text("reserved"), /^D1_ERROR: not authorized/);
  assert.match(text("attach"), /^D1_ERROR: not authorized/);
  assert.equal(errors.fine, 1);
});

test("[d1-08] parameters are bound by their numbers", async () => {
  assert.deepEqual(await run("ordered"), { second: "b", first: "a", again: "b" });
});

test("[d1-09] full-text search, JSON and mathematical functions", async () => {
  assert.deepEqual(await run("features"), {
    match: [["one"]],
    snippet: [["the <quick> brown fox"]],
    json: [[2], [3]],
    arrow: 20,
    math: [[4, 3, 1024]],
  });
});

test("[d1-10] generated columns, partial indexes and query plans", async () => {
  const { generated, plan } = await run("plans");
  assert.deepEqual(generated, { total: 10, kind: "book" });
  assert.match(plan[0], /USING INDEX orders_kind/);
});

test("[d1-11] foreign keys are kept, and checked at the end when deferred", async () => {
  const { refused, stillRefused, failed, parents, before, cascaded } = await run("references");
  assert.match(refused.message, /^D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT/);
  assert.match(stillRefused.message, /^D1_ERROR: FOREIGN KEY constraint failed/);
  assert.deepEqual(
    failed.map(([i]: [number]) => i),
    [5, 15, 25],
  );
  for (const [, message] of failed) assert.match(message, /^D1_ERROR: FOREIGN KEY constraint failed/);
  assert.equal(parents, 28);
  assert.deepEqual([before, cascaded], [1, 0]);
});

test("[d1-12] every listed PRAGMA answers", async () => {
  for (const [pragma, failure] of Object.entries(await run("pragmas"))) assert.equal(failure, null, pragma);
});

test("[d1-28] a session's bookmark grows and carries to the next one", async () => {
  const { before, first, second, third, counted, resumed, primary, plain } = await run("sessions");
  assert.equal(before, null);
  for (const bookmark of [first, second, third]) assert.match(bookmark, /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
  assert(first < second && second < third, `${first} ${second} ${third}`);
  assert.equal(counted, resumed);
  assert.deepEqual([primary, plain], [true, true]);
});

test("two bindings are two databases: neither sees the other's rows", async () => {
  assert.deepEqual(await run("own"), [[["DB"]], [["OTHER"]]]);
});

test("calls that arrive together succeed and fail each by itself", async () => {
  const { values, distinct, failures, rows } = await run("together");
  assert.deepEqual([values, distinct, rows], [150, 150, 150]);
  assert.deepEqual(failures, ["D1_ERROR: UNIQUE constraint failed: t.v: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"]);
});

test("answers of many megabytes that arrive together are all whole", { timeout: 60_000 }, async () => {
  assert.deepEqual(await run("large"), Array(12).fill(true));
});

test("requests that are given up do not hold up the others", { timeout: 60_000 }, async () => {
  for (let i = 0; i < 5; i++) {
    assert.equal(await run("abandon"), "gone");
    assert.deepEqual(await run("one"), [1, 1]);
  }
});

test("a result that never ends is cut off", { timeout: 60_000 }, async () => {
  assert.equal((await run("huge")).message, "D1_ERROR: The query's result is larger than 24 MiB");
  assert.deepEqual(await run("one"), [1, 1]);
});

test("a query that never ends is ended, and every database serves on", { timeout: 60_000 }, async () => {
  platform.expectErrors(/system\.hung/);
  assert.equal((await run("endless")).message, "D1_ERROR: Network connection lost.");
  const deadline = Date.now() + 20_000;
  const again = async (): Promise<unknown> => run("one").catch((error) => (Date.now() < deadline ? again() : Promise.reject(error)));
  assert.deepEqual(await again(), [1, 1]);
});

test("[d1-43] a row whose insert was answered is there after SIGKILL", { timeout: 60_000 }, async () => {
  const acknowledged: string[] = [];
  const enough = Promise.withResolvers<void>();
  const writers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const value = await run("durable").catch(() => undefined);
      if (value === undefined) return;
      if (acknowledged.push(value) === 200) enough.resolve();
    }
  });
  await Promise.race([enough.promise, Promise.all(writers)]);
  await platform.kill9();
  await Promise.all(writers);
  await platform.restart();
  const kept = new Set((await run("kept")).flat());
  assert(acknowledged.length >= 200);
  assert.deepEqual(
    acknowledged.filter((value) => !kept.has(value)),
    [],
  );
});
