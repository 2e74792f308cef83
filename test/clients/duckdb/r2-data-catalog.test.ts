/** DuckDB's Iceberg extension on the catalog: attach, create, write, change and read, and what others see of it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { lake } from "../pyiceberg/lake.ts";
import { DUCKDB } from "./duckdb.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "duckdb-lake");

test("DuckDB attaches the catalog, and its tables are those of pyiceberg and R2 SQL", { skip: noPython }, async () => {
  await own.py(`${DUCKDB}
db.execute("CREATE SCHEMA my_r2_catalog.default")
db.execute("USE my_r2_catalog.default")
db.execute("CREATE TABLE my_iceberg_table AS SELECT a FROM range(4) t(a)")
assert [table[:3] for table in rows("SHOW ALL TABLES")] == [("my_r2_catalog", "default", "my_iceberg_table")]
assert rows("SELECT * FROM my_r2_catalog.default.my_iceberg_table ORDER BY a") == [(0,), (1,), (2,), (3,)]
db.execute("INSERT INTO my_iceberg_table SELECT range FROM range(10, 20)")
db.execute("DELETE FROM my_iceberg_table WHERE a IN (2, 15)")
db.execute("UPDATE my_iceberg_table SET a = 100 WHERE a = 3")
# All or nothing, over two tables.
db.execute("CREATE TABLE other (b VARCHAR)")
db.execute("BEGIN; INSERT INTO other VALUES ('lost'); INSERT INTO my_iceberg_table VALUES (-1); ROLLBACK")
db.execute("BEGIN; INSERT INTO other VALUES ('kept'); INSERT INTO my_iceberg_table VALUES (50); COMMIT")
expected = [0, 1, 10, 11, 12, 13, 14, 16, 17, 18, 19, 50, 100]
assert [a for (a,) in rows("SELECT a FROM my_iceberg_table ORDER BY a")] == expected

table = catalog.load_table("default.my_iceberg_table")
assert sorted(table.scan().to_arrow()["a"].to_pylist()) == expected
assert catalog.load_table("default.other").scan().to_arrow()["b"].to_pylist() == ["kept"]
table.append(pa.table({"a": pa.array([7], pa.int64())}))
assert len(rows("SELECT a FROM my_iceberg_table")) == len(expected) + 1
db.execute("DROP TABLE other")
assert not catalog.table_exists("default.other")
`);
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${own.bucket}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: 'SELECT count(*) AS n, sum(a) AS sum FROM "default".my_iceberg_table' }),
  });
  const { result } = (await response.json()) as { result: { rows: unknown[] } };
  assert.deepEqual(result.rows, [{ n: 14, sum: 288 }]);
});

test("a token that may only read cannot write by DuckDB", { skip: noPython }, async () => {
  const { value } = await platform.token(["Workers R2 Data Catalog Read", "Workers R2 Storage Read"]);
  await own.py(
    `${DUCKDB}
assert rows("SELECT count(*) FROM my_r2_catalog.default.my_iceberg_table") == [(14,)]
for statement in ["INSERT INTO my_r2_catalog.default.my_iceberg_table VALUES (1)", "CREATE TABLE my_r2_catalog.default.more (a INT)", "DROP TABLE my_r2_catalog.default.my_iceberg_table"]:
    raises(duckdb.Error, "", lambda: db.execute(statement))
assert rows("SELECT count(*) FROM my_r2_catalog.default.my_iceberg_table") == [(14,)]
`,
    { token: value },
  );
});
