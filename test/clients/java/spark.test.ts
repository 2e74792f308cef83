/**
 * Spark SQL with the Iceberg runtime: tables of every format version, rows changed by copy-on-write and by merge-on-read,
 * history, and the procedures. What Spark wrote is also read by pyiceberg and R2 SQL. One session for all, for its start is
 * what takes the time.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { noJava } from "../../harness/jvm.ts";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { DUCKDB } from "../duckdb/duckdb.ts";
import { lake } from "../pyiceberg/lake.ts";
import { r2SqlRows } from "../r2-sql-rows.ts";
import { type Spark, startSpark } from "./spark.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "spark-lake");
const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
let spark: Spark;
const noJavaAndPython = noJava || noPython;
if (noJavaAndPython === false) {
  spark = await startSpark(platform, own);
  after(() => spark.stop());
}

const r2Sql = (query: string) => r2SqlRows(platform, own.bucket, query);
const load = async (table: string) => (await own.request("GET", `/${prefix}/namespaces/sales/tables/${table}`)).json;

/** Keys of the bucket under a table's location. */
async function keysOf(location: string): Promise<string[]> {
  const wanted = location.replace(`s3://${own.bucket}/`, "");
  const { Contents = [] } = await platform.s3().send(new ListObjectsV2Command({ Bucket: own.bucket, Prefix: `${wanted}/` }));
  return Contents.map((object) => object.Key as string);
}

test("[r2-data-catalog-33] Spark SQL creates, changes and drops tables, and its procedures maintain them", {
  skip: noJavaAndPython,
}, async () => {
  const { sql } = spark;
  await sql("CREATE NAMESPACE IF NOT EXISTS sales");
  await sql(`CREATE TABLE sales.orders (id BIGINT, name STRING, at TIMESTAMP) USING iceberg PARTITIONED BY (days(at))
    TBLPROPERTIES ('cloudflare-data-catalog.deletion.grace-period-seconds' = '0')`);
  await sql(`INSERT INTO sales.orders VALUES (1, 'a', TIMESTAMP '2025-01-01 00:00:00'), (2, 'b', TIMESTAMP '2025-01-01 01:00:00'),
    (3, 'c', TIMESTAMP '2025-01-02 00:00:00'), (4, 'd', TIMESTAMP '2023-01-02 00:00:00')`);
  const [first] = await sql("SELECT CAST(snapshot_id AS STRING) AS id FROM sales.orders.snapshots");
  await sql("DELETE FROM r2dc.sales.orders WHERE name = 'b'");
  await sql("DELETE FROM r2dc.sales.orders WHERE at < '2024-01-01'");
  await sql("UPDATE sales.orders SET name = 'changed' WHERE id = 3");
  await sql(`MERGE INTO sales.orders t USING (SELECT 1L AS id, 'merged' AS name UNION ALL SELECT 9L, 'new') s ON t.id = s.id
    WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name, at) VALUES (s.id, s.name, TIMESTAMP '2025-01-03 00:00:00')`);
  const changed = [
    { id: 1, name: "merged" },
    { id: 3, name: "changed" },
    { id: 9, name: "new" },
  ];
  assert.deepEqual(await sql("SELECT id, name FROM sales.orders ORDER BY id"), changed);
  assert.deepEqual(await r2Sql("SELECT id, name FROM sales.orders ORDER BY id"), changed);
  const before = await sql(`SELECT id, name FROM sales.orders VERSION AS OF ${first.id} ORDER BY id`);
  assert.deepEqual(
    before.map((row) => row.name),
    ["a", "b", "c", "d"],
  );

  await sql("CREATE TABLE sales.copied USING iceberg AS SELECT id, upper(name) AS name FROM sales.orders");
  assert.deepEqual(
    (await r2Sql("SELECT name FROM sales.copied ORDER BY name")).map((row) => row.name),
    ["CHANGED", "MERGED", "NEW"],
  );
  await sql("ALTER TABLE sales.copied DROP COLUMN name");
  await sql("ALTER TABLE sales.copied ADD COLUMN price DECIMAL(9, 2)");
  await sql("CREATE OR REPLACE TABLE sales.copied USING iceberg AS SELECT id AS number FROM sales.orders");
  assert.deepEqual(await r2Sql("SELECT count(number) AS n FROM sales.copied"), [{ n: 3 }]);
  assert.equal((await sql("SELECT snapshot_id FROM sales.copied.history")).length, 2, "a table that is replaced keeps its history");

  await sql("ALTER TABLE sales.orders CREATE BRANCH audit");
  await sql("INSERT INTO sales.orders.branch_audit VALUES (100, 'branch', TIMESTAMP '2025-01-03 00:00:00')");
  assert.deepEqual(await sql("SELECT count(*) AS n FROM sales.orders VERSION AS OF 'audit'"), [{ n: 4 }]);
  assert.deepEqual(await r2Sql("SELECT count(*) AS n FROM sales.orders"), [{ n: 3 }]);
  await sql("CALL r2dc.system.fast_forward('sales.orders', 'main', 'audit')");
  assert.deepEqual(await r2Sql("SELECT count(*) AS n FROM sales.orders"), [{ n: 4 }]);
  await sql("CREATE VIEW sales.ids AS SELECT id FROM sales.orders");
  assert.deepEqual(await sql("SELECT max(id) AS id FROM sales.ids"), [{ id: 100 }]);

  const [rewritten] = await sql("CALL r2dc.system.rewrite_data_files(table => 'sales.orders', options => map('rewrite-all', 'true'))");
  assert.ok(rewritten.rewritten_data_files_count > rewritten.added_data_files_count, JSON.stringify(rewritten));
  const [manifests] = await sql("CALL r2dc.system.rewrite_manifests('sales.orders')");
  assert.ok(manifests.rewritten_manifests_count > manifests.added_manifests_count, JSON.stringify(manifests));
  await sql("ALTER TABLE sales.orders DROP BRANCH audit");
  const [expired] = await sql(
    "CALL r2dc.system.expire_snapshots(table => 'sales.orders', older_than => TIMESTAMP '2040-01-01 00:00:00', retain_last => 1)",
  );
  assert.ok(expired.deleted_data_files_count > 0 && expired.deleted_manifest_lists_count > 0, JSON.stringify(expired));
  assert.equal((await load("orders")).metadata.snapshots.length, 1);

  // A file that no snapshot names, old enough to be one: the procedure takes its age from a listing, here one of our own.
  const { location } = (await load("orders")).metadata as { location: string };
  const orphan = `${location}/data/orphan.parquet`;
  await platform.s3().send(new PutObjectCommand({ Bucket: own.bucket, Key: orphan.slice(`s3://${own.bucket}/`.length), Body: "x" }));
  await sql(`CREATE TEMPORARY VIEW listing AS SELECT '${orphan}' AS file_path, TIMESTAMP '2020-01-01 00:00:00' AS last_modified`);
  assert.deepEqual(
    await sql("CALL r2dc.system.remove_orphan_files(table => 'sales.orders', dry_run => true, prefix_listing => true)"),
    [],
    "by the bucket's own listing it is too young",
  );
  assert.deepEqual(await sql("CALL r2dc.system.remove_orphan_files(table => 'sales.orders', file_list_view => 'listing')"), [
    { orphan_file_location: orphan },
  ]);
  const kept = await keysOf(location);
  assert.ok(kept.length > 0 && !kept.some((key) => key.endsWith("orphan.parquet")), kept.join());
  assert.deepEqual(await r2Sql("SELECT id FROM sales.orders ORDER BY id"), [{ id: 1 }, { id: 3 }, { id: 9 }, { id: 100 }]);

  const copied = (await load("copied")).metadata.location as string;
  await sql("DROP TABLE r2dc.sales.copied");
  assert.ok((await keysOf(copied)).length > 0, "DROP keeps files");
  await sql("DROP TABLE r2dc.sales.orders PURGE");
  assert.deepEqual(await keysOf(location), [], "PURGE removes them");
  await sql("CREATE TABLE sales.left (id BIGINT) USING iceberg");
  await assert.rejects(sql("DROP NAMESPACE r2dc.sales"), /not empty/);
  for (const { tableName } of await sql("SHOW TABLES IN r2dc.sales")) await sql(`DROP TABLE r2dc.sales.${tableName} PURGE`);
  await sql("DROP VIEW sales.ids");
  await sql("DROP NAMESPACE r2dc.sales CASCADE");
  assert.deepEqual(await sql("SHOW NAMESPACES"), []);
});

test("[r2-data-catalog-23, r2-sql-32] tables of format versions 1, 2 and 3, and rows deleted by vectors", {
  skip: noJavaAndPython,
}, async () => {
  const { sql } = spark;
  await sql("CREATE NAMESPACE IF NOT EXISTS sales");
  const merge = "'write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read'";
  for (const version of [1, 2, 3]) {
    await sql(`CREATE TABLE sales.v${version} USING iceberg TBLPROPERTIES ('format-version' = '${version}', ${merge})
      AS SELECT id, id % 7 AS m FROM range(0, 100000, 1, 1)`);
    assert.equal((await load(`v${version}`)).metadata["format-version"], version);
  }
  const lineage = (table: { metadata: Record<string, unknown> }) => {
    const snapshot = (table.metadata.snapshots as Record<string, unknown>[]).at(-1);
    return [table.metadata["next-row-id"], snapshot?.["first-row-id"], snapshot?.["added-rows"]];
  };
  assert.deepEqual(lineage(await load("v3")), [100_000, 0, 100_000]);
  assert.deepEqual(lineage(await load("v2")), [undefined, undefined, undefined]);
  const deletes = async (table: string) =>
    (await sql(`SELECT DISTINCT file_format AS format FROM sales.${table}.delete_files ORDER BY format`)).map((row) => row.format);
  for (const table of ["v2", "v3"]) {
    // Sparse and dense, a range, and rows that are deleted after they were changed.
    await sql(`DELETE FROM sales.${table} WHERE m = 3 OR id BETWEEN 40000 AND 75000`);
    await sql(`UPDATE sales.${table} SET m = -1 WHERE id < 10`);
    await sql(`DELETE FROM sales.${table} WHERE id = 4 OR id % 1000 = 1`);
  }
  assert.deepEqual([await deletes("v2"), await deletes("v3")], [["PARQUET"], ["PUFFIN"]]);
  await sql("ALTER TABLE sales.v2 SET TBLPROPERTIES ('format-version' = '3')");
  await sql("DELETE FROM sales.v2 WHERE id = 5");
  await sql("DELETE FROM sales.v3 WHERE id = 5");
  assert.deepEqual(await deletes("v2"), ["PARQUET", "PUFFIN"], "the upgraded table has deletes of both kinds");

  const rows = Array.from({ length: 100_000 }, (_, id) => ({ id, m: id < 10 ? -1 : id % 7 })).filter(
    ({ id }) => !(id % 7 === 3 || (id >= 40_000 && id <= 75_000) || id === 4 || id === 5 || id % 1000 === 1),
  );
  const expected = { n: rows.length, sum: rows.reduce((sum, { id }) => sum + id, 0), m: rows.reduce((sum, { m }) => sum + m, 0) };
  for (const table of ["v2", "v3"]) {
    const query = `SELECT count(*) AS n, sum(id) AS sum, sum(m) AS m FROM sales.${table}`;
    assert.deepEqual(await sql(query), [expected], table);
    assert.deepEqual(await r2Sql(query), [expected], table);
    assert.deepEqual(
      await r2Sql(`SELECT id, m FROM sales.${table} WHERE id < 14 OR id > 99990 ORDER BY id`),
      rows.filter(({ id }) => id < 14 || id > 99_990),
      table,
    );
  }
  // pyiceberg reads the same rows.
  await own.py(`
for name in ["v2", "v3"]:
    rows = catalog.load_table(f"sales.{name}").scan().to_arrow().to_pydict()
    assert (len(rows["id"]), sum(rows["id"]), sum(rows["m"])) == (${expected.n}, ${expected.sum}, ${expected.m}), name
assert len(catalog.load_table("sales.v1").scan().to_arrow()) == 100000
`);
});

test("writers of three engines at once lose no row", { skip: noJavaAndPython }, async () => {
  const { sql } = spark;
  await sql("CREATE NAMESPACE IF NOT EXISTS sales");
  await sql("CREATE TABLE sales.shared (engine STRING, n BIGINT) USING iceberg TBLPROPERTIES ('commit.retry.num-retries' = '50')");
  const APPENDS = 6;
  const bySpark = async (): Promise<void> => {
    for (let n = 0; n < APPENDS; n++) await sql(`INSERT INTO sales.shared VALUES ('spark', ${n})`);
  };
  // Neither repeats a commit that lost by itself.
  const byPyiceberg = own.py(`
from pyiceberg.exceptions import CommitFailedException
for n in range(${APPENDS}):
    while True:
        table = catalog.load_table("sales.shared")
        try:
            table.append(pa.table({"engine": ["pyiceberg"], "n": pa.array([n], pa.int64())}))
            break
        except CommitFailedException:
            pass
`);
  const byDuckDb = own.py(`${DUCKDB}
for n in range(${APPENDS}):
    while True:
        try:
            db.execute(f"INSERT INTO my_r2_catalog.sales.shared VALUES ('duckdb', {n})")
            break
        except duckdb.TransactionException as e:
            assert "409" in str(e) or "onflict" in str(e) or "Requirement failed" in str(e), e
`);
  await Promise.all([bySpark(), byPyiceberg, byDuckDb]);
  const rows = await r2Sql(
    "SELECT engine, count(*) AS n, count(DISTINCT n) AS d, sum(n) AS sum FROM sales.shared GROUP BY engine ORDER BY engine",
  );
  const each = { n: APPENDS, d: APPENDS, sum: (APPENDS * (APPENDS - 1)) / 2 };
  assert.deepEqual(
    rows,
    ["duckdb", "pyiceberg", "spark"].map((engine) => ({ engine, ...each })),
  );
  // Spark keeps what it knew of a table for half a minute.
  await sql("REFRESH TABLE sales.shared");
  assert.deepEqual(await sql("SELECT count(*) AS n FROM sales.shared"), [{ n: 3 * APPENDS }]);
});
