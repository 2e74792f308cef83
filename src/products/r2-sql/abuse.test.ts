/** Everything that DuckDB could do beyond reading the tables of the query, and texts made to break the parser. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { field, openLake } from "./lake.test.ts";

const refused = (pattern?: RegExp) => (error: unknown) => {
  assert(error instanceof PlatformError, String(error));
  assert(["r2-sql.invalidSql", "r2-sql.invalidQuery"].includes(error.code), `${error.code}: ${error.message}`);
  if (pattern !== undefined) assert.match(error.message, pattern);
  return true;
};

const TABLES = [
  "read_csv('/etc/passwd')",
  "read_csv_auto('/etc/passwd')",
  "read_text('/etc/passwd')",
  "read_blob('/etc/passwd')",
  "read_json('/etc/passwd')",
  "read_ndjson_objects('/etc/passwd')",
  "read_parquet('SECRET')",
  "parquet_scan('SECRET')",
  "parquet_metadata('SECRET')",
  "parquet_schema('SECRET')",
  "sniff_csv('/etc/passwd')",
  "glob('/etc/*')",
  "duckdb_settings()",
  "duckdb_secrets()",
  "duckdb_tables()",
  "duckdb_functions()",
  "duckdb_extensions()",
  "duckdb_logs()",
  "duckdb_temporary_files()",
  "pragma_database_list()",
  "pragma_version()",
  "query('SELECT 1')",
  "query_table('scan')",
  "json_execute_serialized_sql('{}')",
  "which_secret('a', 'b')",
  "range(10)",
  "generate_series(1, 10)",
  "unnest([1, 2])",
  "repeat(1, 10)",
  "summary((SELECT 1))",
  "checkpoint()",
  "'/etc/passwd'",
  "'SECRET'",
  '"SECRET"',
  "'https://example.com/x.parquet'",
  "information_schema.tables",
  "information_schema.schemata",
  "pg_catalog.pg_tables",
  "pg_catalog.pg_settings",
  "system.information_schema.tables",
  "main.sqlite_master",
  "sqlite_master",
  "memory.main.t",
  "temp.main.t",
  "duckdb_tables",
  "(VALUES (1), (2))",
  "(SHOW TABLES)",
  "(DESCRIBE ns.t)",
  "(SUMMARIZE ns.t)",
  "(FROM ns.t SELECT *) PIVOT (count(*) FOR id IN (1))",
  "ns.t AT (VERSION => 1)",
  "ns.t TABLESAMPLE 10%",
];

const STATEMENTS = [
  "ATTACH '/tmp/other.db'",
  "DETACH memory",
  "USE memory",
  "COPY ns.t TO '/tmp/out.csv'",
  "COPY (SELECT * FROM ns.t) TO '/tmp/out.parquet'",
  "EXPORT DATABASE '/tmp/out'",
  "IMPORT DATABASE '/tmp/out'",
  "PRAGMA database_list",
  "SET memory_limit = '100GB'",
  "RESET memory_limit",
  "INSTALL httpfs",
  "LOAD httpfs",
  "CALL pragma_version()",
  "CREATE TABLE x (a INT)",
  "CREATE MACRO m() AS 1",
  "CREATE SECRET s (TYPE S3)",
  "INSERT INTO ns.t VALUES (1, 'a')",
  "UPDATE ns.t SET id = 1",
  "DELETE FROM ns.t",
  "MERGE INTO ns.t USING ns.t ON true WHEN MATCHED THEN DELETE",
  "ALTER TABLE ns.t ADD COLUMN x INT",
  "DROP TABLE ns.t",
  "TRUNCATE ns.t",
  "VACUUM",
  "CHECKPOINT",
  "BEGIN",
  "EXECUTE x",
  "PREPARE x AS SELECT 1",
  "EXPLAIN ANALYZE SELECT * FROM ns.t",
  "EXPLAIN COPY ns.t TO '/tmp/x'",
  "EXPLAIN (FORMAT json) SELECT * FROM ns.t",
  "SHOW ALL TABLES",
  "SHOW memory_limit",
  "SUMMARIZE ns.t",
  "PIVOT ns.t ON id",
  "FROM ns.t",
  "VALUES (1)",
  "TABLE ns.t",
  "SELECT * FROM ns.t; DROP TABLE ns.t",
  "SELECT * FROM ns.t; SELECT * FROM ns.t",
  "SELECT * INTO x FROM ns.t",
  "WITH x AS (INSERT INTO ns.t VALUES (1, 'a') RETURNING *) SELECT * FROM x",
  "WITH RECURSIVE x AS (SELECT id FROM ns.t UNION ALL SELECT id FROM x) SELECT * FROM x",
];

const EXPRESSIONS = [
  "getenv('HOME')",
  "current_setting('memory_limit')",
  "read_text('/etc/passwd')",
  "getvariable('x')",
  "set_config('memory_limit', '1GB', false)",
  "pg_read_file('/etc/passwd')",
  "query('SELECT 1')",
  "unnest([1, 2])",
  "list_transform([1], x -> x)",
  "list_transform([1], lambda x: x)",
  "COLUMNS('.*')",
  "system.main.upper('x')",
  "other.upper('x')",
  "array_agg(id)",
  "string_agg(name, ',')",
  "median(id)",
  "nextval('x')",
  "txid_current()",
  "version()",
  "current_database()",
  "error('x')",
  "write_log('x')",
  "json_serialize_sql('SELECT 1')",
  "parse_path('/a/b')",
  "add_parquet_key('a', 'b')",
  "in_search_path('a', 'b')",
  "create_sort_key(id, 'ASC')",
  "__internal_compress_string_utinyint(name)",
  "id::JSON",
  "id::ns.foo",
  "name COLLATE nocase",
  "name ~ 'x'",
  "name ->> 'x'",
  "#1",
  "$1",
  "?",
  "1 AS a, * EXCLUDE (id)",
];

test("[r2-sql-26] powers of the engine are refused, wherever they stand", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string")]);
  const file = await lake.append("ns.t", "SELECT i AS id, 'n' || i AS name FROM range(3) t(i)");
  const before = JSON.stringify(await lake.query("SELECT * FROM ns.t ORDER BY id").then((result) => result.rows));
  for (const written of TABLES) {
    // The table's own file is the one path that the engine could open.
    const table = written.replace("SECRET", file);
    for (const sql of [
      `SELECT * FROM ${table}`,
      `SELECT * FROM ns.t, ${table}`,
      `SELECT * FROM ns.t LEFT JOIN ${table} ON true`,
      `WITH x AS (SELECT * FROM ${table}) SELECT * FROM x`,
      `SELECT * FROM (SELECT * FROM ${table}) x`,
      `SELECT (SELECT count(*) FROM ${table}) FROM ns.t`,
      `SELECT * FROM ns.t WHERE id IN (SELECT 1 FROM ${table})`,
      `SELECT id FROM ns.t UNION ALL SELECT 1 FROM ${table}`,
      `SELECT * FROM ns.t WHERE EXISTS (SELECT 1 FROM ${table})`,
      `SELECT id FROM ns.t ORDER BY (SELECT 1 FROM ${table})`,
      `SELECT sum((SELECT 1 FROM ${table})) OVER (PARTITION BY id) FROM ns.t`,
    ])
      await assert.rejects(lake.query(sql), refused(), sql);
  }
  for (const sql of STATEMENTS) await assert.rejects(lake.query(sql), refused(), sql);
  for (const expression of EXPRESSIONS)
    for (const sql of [
      `SELECT ${expression} FROM ns.t`,
      `SELECT id FROM ns.t WHERE (SELECT ${expression} FROM ns.t LIMIT 1) IS NULL`,
      `SELECT id FROM ns.t ORDER BY CASE WHEN true THEN ${expression} END`,
    ])
      await assert.rejects(lake.query(sql), refused(), sql);
  assert.equal(JSON.stringify((await lake.query("SELECT * FROM ns.t ORDER BY id")).rows), before);
});

test("a name or a text of the query never becomes SQL of the engine", async (t) => {
  const lake = await openLake(t);
  const evil = `a"; DROP TABLE x; --`;
  await lake.create("ns.t", [field(1, "id", "long"), field(2, evil, "string"), field(3, "it's", "string")]);
  await lake.append("ns.t", `SELECT 1 AS id, 'x' AS "a""; DROP TABLE x; --", 'y' AS "it's"`);
  const quotedEvil = `"a""; DROP TABLE x; --"`;
  const { rows } = await lake.query(
    `SELECT ${quotedEvil}, "it's", ${quotedEvil} || '''; --' AS ${quotedEvil.replace("a", "b")}, 'a\u2028b\\' AS "x""y" FROM ns.t AS ${quotedEvil} WHERE ${quotedEvil} = 'x' -- '`,
  );
  assert.deepEqual(rows, [{ [evil]: "x", "it's": "y", 'b"; DROP TABLE x; --': "x'; --", 'x"y': "a\u2028b\\" }]);
});

test("columns that the engine adds to a file are not columns of the table, and local paths stay unknown", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string")]);
  const file = await lake.append("ns.t", "SELECT i AS id, 'n' || i AS name FROM range(3) t(i)");
  for (const column of ["filename", "file_row_number", "file_index", "rowid", '"FileName"', "t.FILENAME", "ns.t.filename"])
    for (const sql of [
      `SELECT ${column} FROM ns.t`,
      `SELECT ${column} AS filename FROM ns.t ORDER BY filename`,
      `SELECT id FROM ns.t WHERE ${column} IS NOT NULL`,
      `WITH c AS (SELECT id FROM ns.t) SELECT c.id FROM c JOIN ns.t ON c.id = t.id GROUP BY c.id, ${column}`,
      `SELECT (SELECT max(${column}) FROM ns.t) AS m FROM ns.t`,
      `SELECT id FROM ns.t QUALIFY row_number() OVER (ORDER BY ${column}) = 1`,
    ])
      await assert.rejects(lake.query(sql), refused(/not found|does not|before it is defined/), sql);
  await assert.rejects(lake.query("SELECT a.id FROM ns.t AS a JOIN ns.t AS b USING (filename)"), refused(/does not/));
  const row = { id: 0, name: "n0" };
  assert.deepEqual((await lake.query("SELECT * FROM ns.t ORDER BY id LIMIT 1")).rows, [row]);
  assert.deepEqual((await lake.query("SELECT t FROM ns.t ORDER BY id LIMIT 1")).rows, [{ t: row }]);
  assert.deepEqual((await lake.query("SELECT * FROM ns.t AS a NATURAL JOIN ns.t AS b ORDER BY id LIMIT 1")).rows, [row]);
  await writeFile(file, "not Parquet at all");
  await assert.rejects(lake.query("SELECT * FROM ns.t"), (error: unknown) => {
    assert(error instanceof PlatformError);
    assert.match(error.message, /ns\.t\/data\/0\.parquet/);
    assert(!error.message.includes(lake.dir), error.message);
    return true;
  });
  assert.equal(lake.held, 0);
});

test("texts made to break the parser get an answer, and the engine goes on", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string")]);
  await lake.append("ns.t", "SELECT 1 AS id, 'a' AS name");
  const from = " FROM ns.t";
  const texts = {
    "a megabyte": `SELECT '${"x".repeat(1024 * 1024)}'${from}`,
    "deep parentheses": `SELECT ${"(".repeat(50_000)}1${")".repeat(50_000)}${from}`,
    "a long sum": `SELECT ${"1 + ".repeat(20_000)}1${from}`,
    "a long chain of NOT": `SELECT id${from} WHERE ${"NOT ".repeat(20_000)}true`,
    "deep subqueries": `SELECT * FROM ${"(SELECT * FROM ".repeat(1000)}ns.t${") x".repeat(1000)}`,
    "many CASE levels": `SELECT ${"CASE WHEN true THEN ".repeat(2000)}1${" END".repeat(2000)}${from}`,
    "a null character": `SELECT 'a\0b'${from}`,
    "an unterminated string": "SELECT 'a FROM ns.t",
    "an unterminated name": 'SELECT "a FROM ns.t',
    "an unterminated comment": "SELECT 1 /* FROM ns.t",
    "only a comment": "-- SELECT 1",
    nothing: "   ",
    "only semicolons": ";;;",
    "half a word": "SELEC",
    "a bad character": "SELECT \u0001",
  };
  for (const [name, sql] of Object.entries(texts)) await assert.rejects(lake.query(sql), refused(), name);
  const long = `SELECT id${from} WHERE id IN (${Array.from({ length: 20_000 }, (_, i) => i).join(",")})`;
  assert.equal((await lake.query(long)).rows.length, 1, "a long list is no attack");
  assert.equal((await lake.query("SELECT * FROM ns.t;")).rows.length, 1);
});

test("functions that could make huge values are bounded", async (t) => {
  const lake = await openLake(t, { memoryMb: 128 });
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string")]);
  await lake.append("ns.t", "SELECT 1 AS id, 'a' AS name");
  for (const call of [
    "range(0, 1000000000)",
    "range(1000000000)",
    "generate_series(1, 1000000000)",
    "repeat('x', 1000000000)",
    "lpad('x', 1000000000, 'y')",
    "rpad('x', 1000000000)",
    "array_repeat('x', 1000000000)",
    "array_resize(make_array(1), 1000000000, 0)",
  ])
    await assert.rejects(lake.query(`SELECT ${call} FROM ns.t`), refused(/more than 1000000 elements/), call);
});
