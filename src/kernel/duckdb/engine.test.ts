import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type DuckDb, DuckDbError, literal, openDuckDb, prepareDuckDb } from "./engine.ts";
import { parseSelects, SqlSyntaxError, type SyntaxNode, selectText } from "./parser.ts";

async function open(t: TestContext, memoryMb = 256): Promise<{ db: DuckDb; inside: string; outside: string }> {
  const root = await mkdtemp(join(tmpdir(), "duckdb-"));
  const [inside, outside] = [join(root, "inside"), join(root, "outside.json")];
  await writeFile(outside, '{"a":1}\n');
  await import("node:fs/promises").then((fs) => fs.mkdir(inside));
  const db = await openDuckDb({ directories: [inside], spill: join(inside, "spill"), memoryMb, setup: ["CREATE MACRO twice(x) AS x * 2"] });
  t.after(async () => {
    await db.close();
    await rm(root, { recursive: true });
  });
  return { db, inside, outside };
}

const kind = (expected: string) => (error: unknown) => error instanceof DuckDbError && error.kind === expected;

test("statements reach the given directories and no other file", async (t) => {
  const { db, inside, outside } = await open(t);
  await db.use(async (c) => {
    const file = join(inside, "t.parquet");
    assert.equal(await c.run(`COPY (SELECT twice(21) AS answer) TO ${literal(file)} (FORMAT parquet)`), 1);
    assert.deepEqual(await c.all(`SELECT * FROM read_parquet(${literal(file)})`), [{ answer: 42 }]);
    for (const path of [outside, join(inside, "..", "outside.json"), "/etc/passwd"]) {
      await assert.rejects(c.all(`SELECT * FROM read_text(${literal(path)})`), kind("permission"), path);
      await assert.rejects(c.all(`SELECT * FROM ${literal(path)}`), DuckDbError, path);
    }
    await assert.rejects(c.run(`COPY (SELECT 1) TO ${literal(join(inside, "..", "x"))}`), kind("permission"));
    await assert.rejects(c.run("ATTACH '/tmp/other.db'"), kind("permission"));
  });
});

test("the lock cannot be undone by a statement", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    for (const sql of [
      "SET enable_external_access = true",
      "SET lock_configuration = false",
      "SET memory_limit = '100GB'",
      "SET allowed_directories = ['/']",
      "RESET enable_external_access",
      "INSTALL httpfs",
      "LOAD httpfs",
    ]) {
      await assert.rejects(c.run(sql), DuckDbError, sql);
    }
  });
});

test("parameters, streaming and column types", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    assert.deepEqual(await c.get("SELECT $1 AS a, $2 || '!' AS b", [1, "it's"]), { a: 1, b: "it's!" });
    const rows = await c.query("SELECT i, i::VARCHAR AS s FROM range($1) t(i)", [10_000]);
    assert.deepEqual(
      rows.columns.map((column) => [column.name, column.type.toString()]),
      [
        ["i", "BIGINT"],
        ["s", "VARCHAR"],
      ],
    );
    let count = 0;
    for await (const chunk of rows.chunks()) count += chunk.rowCount;
    assert.equal(count, 10_000);
  });
});

test("a query that fails after thousands of rows fails, it does not end early", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    const sql = "SELECT CASE WHEN i = 90000 THEN error('stop' || i) ELSE repeat('x', 1000) END AS x FROM range(100000) t(i)";
    await assert.rejects(c.query(sql), kind("input"));
    await assert.rejects(c.all(sql), kind("input"));
  });
});

test("describe gives names and types without running the query", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    const columns = await c.describe("SELECT 1::INTEGER AS a, [{'x': 'y'}] AS b, (1 / 0)::INTEGER AS c");
    assert.deepEqual(
      columns.map((column) => `${column.name} ${column.type}`),
      ["a INTEGER", 'b STRUCT("x" VARCHAR)[]', "c INTEGER"],
    );
  });
});

test("errors have a kind and a text without the statement", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    await assert.rejects(c.all("SELEC 1"), kind("parser"));
    await assert.rejects(c.all("SELECT nope FROM (SELECT 1 AS a)"), (error: unknown) => {
      assert.ok(error instanceof DuckDbError);
      assert.equal(error.kind, "binder");
      assert.doesNotMatch(error.message, /LINE|SELECT/);
      return true;
    });
    await assert.rejects(c.all("SELECT 'x'::INTEGER"), kind("conversion"));
  });
});

test("a signal interrupts a running statement, and the connection goes on", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    await assert.rejects(
      c.run("SELECT count(*) FROM range(1000000000000) a", [], { signal: AbortSignal.timeout(100) }),
      kind("interrupted"),
    );
    assert.deepEqual(await c.all("SELECT 1 AS a"), [{ a: 1 }]);
  });
});

test("the parser gives a tree, its text, and the place of a mistake", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    const [node] = await parseSelects(c, "SELECT upper(a) AS b FROM t WHERE c > 1");
    assert.equal(node?.type, "SELECT_NODE");
    assert.equal(await selectText(c, node as SyntaxNode), "SELECT upper(a) AS b FROM t WHERE (c > 1)");
    assert.equal((await parseSelects(c, "SELECT 1; SELECT 2")).length, 2);
    await assert.rejects(
      parseSelects(c, "SELECT a FROM FROM t"),
      (error: unknown) => error instanceof SqlSyntaxError && error.position === 14 && /syntax error at or near "FROM"/.test(error.message),
    );
    await assert.rejects(parseSelects(c, "DROP TABLE t"), SqlSyntaxError);
  });
});

test("constants keep every digit through the parser and back", async (t) => {
  const { db } = await open(t);
  await db.use(async (c) => {
    const [node] = await parseSelects(c, "SELECT 9223372036854775807, 99999999999999999999");
    assert.equal(await selectText(c, node as SyntaxNode), "SELECT 9223372036854775807, 99999999999999999999");
  });
});

test("a prepared instance reads exactly the files it is locked to", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "duckdb-"));
  t.after(() => rm(root, { recursive: true }));
  const [mine, other] = [join(root, "mine.csv"), join(root, "other.csv")];
  await writeFile(mine, "a\n1\n");
  await writeFile(other, "a\n2\n");
  const db = await (await prepareDuckDb({ spill: join(root, "spill"), memoryMb: 64 })).lock({ files: [mine] });
  t.after(() => db.close());
  await db.use(async (c) => {
    assert.deepEqual(await c.all(`SELECT a FROM read_csv(${literal(mine)})`), [{ a: 1n }]);
    await assert.rejects(c.all(`SELECT a FROM read_csv(${literal(other)})`), kind("permission"));
    await assert.rejects(c.all(`SELECT * FROM glob(${literal(join(root, "*"))})`), kind("permission"));
  });
});

test("closing interrupts what runs, waits for it, and refuses what comes after", async (t) => {
  const ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b";
  for (let round = 0; round < 6; round++) {
    const { db } = await open(t);
    const [one, two, idle] = [await db.connect(), await db.connect(), await db.connect()];
    const rows = await two.query("SELECT i FROM range(100000) t(i)");
    const late = db.connect().then((connection) => connection.all(ENDLESS));
    const statements = [
      assert.rejects(one.all(ENDLESS), (error: unknown) => kind("interrupted")(error) || kind("closed")(error)),
      assert.rejects(one.run(`CREATE TABLE t AS ${ENDLESS}`), (error: unknown) => error instanceof DuckDbError),
      assert.rejects(late, (error: unknown) => kind("interrupted")(error) || kind("closed")(error)),
      rows.objects().catch(kind("closed")),
    ];
    // Half of the rounds close before the statements have begun.
    if (round % 2 === 0) await idle.all("SELECT sum(i) FROM range(1000000) t(i)");
    await Promise.all([db.close(), db.close()]);
    await Promise.all(statements);
    await assert.rejects(idle.all("SELECT 1"), kind("closed"));
    await assert.rejects(db.connect(), kind("closed"));
    await assert.rejects(
      db.use(async () => undefined),
      kind("closed"),
    );
  }
});

test("a connection that is closed while its statement runs leaves the others at work", async (t) => {
  const { db } = await open(t);
  const [one, two] = [await db.connect(), await db.connect()];
  const ended = assert.rejects(one.all("SELECT count(*) FROM range(1000000000000) a"), kind("interrupted"));
  await one.close();
  await ended;
  assert.deepEqual(await two.all("SELECT 1 AS a"), [{ a: 1 }]);
});
