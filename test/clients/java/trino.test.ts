/**
 * Trino's Iceberg connector on the catalog: the documented script with keys of its own, then everything that its SQL can do to
 * tables and views with vended ones. What Trino wrote is also read by pyiceberg and R2 SQL. One server for all, for its start
 * is what takes the time.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { lake } from "../pyiceberg/lake.ts";
import { r2SqlRows } from "../r2-sql-rows.ts";
import { noTrino, type Properties, startTrino, type Trino } from "./trino.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "trino-lake");
const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
const skip = noTrino || noPython;

/** The documentation's `r2.properties`, line by line. */
const documented: Properties = {
  "connector.name": "iceberg",
  "fs.native-s3.enabled": "true",
  "s3.region": "auto",
  "s3.aws-access-key": platform.ready.s3.access_key_id,
  "s3.aws-secret-key": platform.ready.s3.secret_access_key,
  "s3.endpoint": platform.ready.s3.endpoint,
  "s3.path-style-access": "true",
  "iceberg.catalog.type": "rest",
  "iceberg.rest-catalog.uri": own.uri,
  "iceberg.rest-catalog.warehouse": own.warehouse,
  "iceberg.rest-catalog.security": "OAUTH2",
  "iceberg.rest-catalog.oauth2.token": platform.ready.api_token,
};
/** Without keys: Trino takes those of the catalog, but not its endpoint. */
const { "s3.aws-access-key": _key, "s3.aws-secret-key": _secret, ...keyless } = documented;
const vended: Properties = {
  ...keyless,
  "iceberg.rest-catalog.vended-credentials-enabled": "true",
  "iceberg.rest-catalog.nested-namespace-enabled": "true",
  "iceberg.expire-snapshots.min-retention": "0s",
  "iceberg.remove-orphan-files.min-retention": "0s",
};

let trino: Trino;
if (skip === false) {
  const reader = await platform.token(["Workers R2 Data Catalog Read", "Workers R2 Storage Read"]);
  trino = await startTrino(platform, {
    r2: documented,
    lake: vended,
    reader: { ...vended, "iceberg.rest-catalog.oauth2.token": reader.value },
  });
  after(() => trino.stop());
}

const r2Sql = (query: string) => r2SqlRows(platform, own.bucket, query);
const load = async (table: string) => (await own.request("GET", `/${prefix}/namespaces/sales/tables/${table}`)).json;
const files = (table: string) => trino.sql(`SELECT DISTINCT content, file_format FROM lake.sales."${table}$files" ORDER BY 1, 2`);

test("Trino runs the documented script with the documented properties", { skip }, async () => {
  const { sql } = trino;
  assert.deepEqual(await sql("SHOW SCHEMAS IN r2"), [{ Schema: "information_schema" }, { Schema: "system" }]);
  await sql("CREATE SCHEMA r2.example_schema");
  await sql(`CREATE TABLE r2.example_schema.yearly_clicks (
        year,
        clicks
    )
    WITH (
       partitioning = ARRAY['year']
    )
    AS VALUES
        (2021, 10000),
        (2022, 20000)`);
  assert.deepEqual(await sql("SHOW TABLES IN r2.example_schema"), [{ Table: "yearly_clicks" }]);
  const clicks = [
    { year: 2021, clicks: 10_000 },
    { year: 2022, clicks: 20_000 },
  ];
  const rows = await sql("SELECT * FROM r2.example_schema.yearly_clicks");
  assert.deepEqual(
    rows.sort((a, b) => a.year - b.year),
    clicks,
  );
  assert.deepEqual(await r2Sql("SELECT * FROM example_schema.yearly_clicks ORDER BY year"), clicks);
});

test("Trino changes rows, columns and layouts, reads the past, and its maintenance leaves the rows", { skip }, async () => {
  const { sql } = trino;
  await sql("CREATE SCHEMA lake.sales");
  await sql(`CREATE TABLE lake.sales.orders (id bigint, name varchar, at timestamp(6), item ROW(sku varchar, n integer))
    WITH (partitioning = ARRAY['day(at)'], sorted_by = ARRAY['id'])`);
  await sql(`INSERT INTO lake.sales.orders VALUES (1, 'a', TIMESTAMP '2025-01-01 00:00:00', ROW('x', 1)),
    (2, 'b', TIMESTAMP '2025-01-01 01:00:00', ROW('y', 2)), (3, 'c', TIMESTAMP '2025-01-02 00:00:00', ROW('z', 3)),
    (4, 'd', TIMESTAMP '2023-01-02 00:00:00', NULL)`);
  const first = String(
    (await sql('SELECT max_by(CAST(snapshot_id AS varchar), committed_at) AS id FROM lake.sales."orders$snapshots"'))[0]?.id,
  );
  await sql("UPDATE lake.sales.orders SET name = 'changed' WHERE id = 3");
  await sql("DELETE FROM lake.sales.orders WHERE name = 'b'");
  await sql("DELETE FROM lake.sales.orders WHERE at < TIMESTAMP '2024-01-01 00:00:00'");
  await sql(`MERGE INTO lake.sales.orders t USING (VALUES (1, 'merged'), (9, 'new')) s (id, name) ON t.id = s.id
    WHEN MATCHED THEN UPDATE SET name = s.name
    WHEN NOT MATCHED THEN INSERT (id, name, at) VALUES (s.id, s.name, TIMESTAMP '2025-01-03 00:00:00')`);
  const changed = [
    { id: 1, name: "merged" },
    { id: 3, name: "changed" },
    { id: 9, name: "new" },
  ];
  const query = "SELECT id, name FROM sales.orders ORDER BY id";
  assert.deepEqual(await sql(query.replace("sales", "lake.sales")), changed);
  assert.deepEqual(await r2Sql(query), changed);
  assert.deepEqual(await files("orders"), [
    { content: 0, file_format: "PARQUET" },
    { content: 1, file_format: "PARQUET" },
  ]);
  const past = await sql(`SELECT id FROM lake.sales.orders FOR VERSION AS OF ${first} ORDER BY id`);
  assert.deepEqual(past, [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }]);

  await sql("ALTER TABLE lake.sales.orders ADD COLUMN price decimal(9, 2)");
  await sql("ALTER TABLE lake.sales.orders ADD COLUMN item.color varchar");
  await sql("ALTER TABLE lake.sales.orders RENAME COLUMN name TO title");
  await sql("ALTER TABLE lake.sales.orders ADD COLUMN stock integer");
  await sql("ALTER TABLE lake.sales.orders ALTER COLUMN stock SET DATA TYPE bigint");
  await sql("ALTER TABLE lake.sales.orders SET PROPERTIES partitioning = ARRAY['month(at)', 'bucket(id, 4)']");
  await sql(`INSERT INTO lake.sales.orders (id, title, at, price, item, stock)
    VALUES (10, 'ten', TIMESTAMP '2025-02-01 00:00:00', 1.5, ROW('a', 1, 'red'), 5000000000)`);
  await sql("ALTER TABLE lake.sales.orders DROP COLUMN stock");
  const evolved = "SELECT id, title, item.color AS color, price FROM sales.orders WHERE id > 3 ORDER BY id";
  const colored = [
    { id: 9, title: "new", color: null, price: null },
    { id: 10, title: "ten", color: "red", price: 1.5 },
  ];
  assert.deepEqual(await r2Sql(evolved), colored);

  await sql("ANALYZE lake.sales.orders");
  const distinct = await sql("SHOW STATS FOR lake.sales.orders");
  assert.equal(distinct.find((row) => row.column_name === "id")?.distinct_values_count, 4);
  const { statistics, "current-snapshot-id": current } = (await load("orders")).metadata;
  assert.equal(statistics.at(-1)["snapshot-id"], current);
  const metrics = async (procedure: string) =>
    Object.fromEntries(
      (await sql(`ALTER TABLE lake.sales.orders EXECUTE ${procedure}`)).map((row) => [row.metric_name, row.metric_value as number]),
    );
  const optimized = await metrics("optimize");
  assert.ok((optimized.removed_delete_files_count as number) > 0, JSON.stringify(optimized));
  const manifests = await metrics("optimize_manifests");
  assert.ok((manifests.rewritten_manifests_count as number) > (manifests.added_manifests_count as number), JSON.stringify(manifests));
  await metrics("expire_snapshots(retention_threshold => '0s')");
  assert.equal((await load("orders")).metadata.snapshots.length, 1);
  const orphans = await metrics("remove_orphan_files(retention_threshold => '0s')");
  assert.ok((orphans.scanned_files_count as number) >= (orphans.active_files_count as number), JSON.stringify(orphans));
  assert.deepEqual(await files("orders"), [{ content: 0, file_format: "PARQUET" }]);
  assert.deepEqual(await sql(evolved.replace("sales", "lake.sales")), [colored[0], { ...colored[1], price: "1.50" }]);
  assert.deepEqual(await r2Sql(evolved), colored);
  await own.py(`
rows = catalog.load_table("sales.orders").scan().to_arrow().sort_by("id").to_pydict()
assert rows["id"] == [1, 3, 9, 10] and rows["title"] == ["merged", "changed", "new", "ten"], rows
assert [item and item["color"] for item in rows["item"]] == [None, None, None, "red"], rows
`);
});

test("Trino's tables of version 3: deletion vectors and default values are read by all", { skip }, async () => {
  const { sql } = trino;
  await sql("CREATE SCHEMA IF NOT EXISTS lake.sales");
  await sql("CREATE TABLE lake.sales.v3 WITH (format_version = 3) AS SELECT n AS id, n % 7 AS m FROM UNNEST(sequence(0, 9999)) t (n)");
  await sql("DELETE FROM lake.sales.v3 WHERE m = 3");
  await sql("UPDATE lake.sales.v3 SET m = -1 WHERE id < 10");
  await sql("ALTER TABLE lake.sales.v3 ADD COLUMN q integer DEFAULT 7");
  assert.deepEqual(await files("v3"), [
    { content: 0, file_format: "PARQUET" },
    { content: 1, file_format: "PUFFIN" },
  ]);
  const kept = Array.from({ length: 10_000 }, (_, id) => ({ id, m: id < 10 ? -1 : id % 7 })).filter(({ id }) => id % 7 !== 3);
  const sum = (field: "id" | "m"): number => kept.reduce((total, row) => total + row[field], 0);
  const expected = { n: kept.length, id: sum("id"), m: sum("m"), q: 7 * kept.length };
  const query = "SELECT count(*) AS n, sum(id) AS id, sum(m) AS m, sum(q) AS q FROM sales.v3";
  assert.deepEqual(await sql(query.replace("sales", "lake.sales")), [expected]);
  assert.deepEqual(await r2Sql(query), [expected]);
  await own.py(`
rows = catalog.load_table("sales.v3").scan().to_arrow().to_pydict()
assert (len(rows["id"]), sum(rows["id"]), sum(rows["m"]), sum(rows["q"])) == (${Object.values(expected).join()})
`);
});

test("Trino's views, renames, nested schemas and drops", { skip }, async () => {
  const { sql } = trino;
  const keys = async (location: string): Promise<number> => {
    const wanted = `${location.replace(`s3://${own.bucket}/`, "")}/`;
    return (await platform.s3().send(new ListObjectsV2Command({ Bucket: own.bucket, Prefix: wanted }))).KeyCount ?? 0;
  };
  await sql("CREATE SCHEMA IF NOT EXISTS lake.sales");
  await sql("CREATE TABLE lake.sales.source AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) t (id, name)");
  await sql("CREATE VIEW lake.sales.names AS SELECT name FROM lake.sales.source");
  await sql("CREATE OR REPLACE VIEW lake.sales.names AS SELECT upper(name) AS name FROM lake.sales.source WHERE id > 1");
  await sql("ALTER VIEW lake.sales.names RENAME TO lake.sales.capitals");
  await sql("COMMENT ON VIEW lake.sales.capitals IS 'loud'");
  assert.deepEqual(await sql("SELECT * FROM lake.sales.capitals"), [{ name: "B" }]);
  const view = (await own.request("GET", `/${prefix}/namespaces/sales/views/capitals`)).json.metadata;
  assert.deepEqual([view.versions.length, view.properties.comment], [2, "loud"]);
  await own.py('assert catalog.list_views("sales") == [("sales", "capitals")]');
  await sql("DROP VIEW lake.sales.capitals");

  await sql("CREATE OR REPLACE TABLE lake.sales.source AS SELECT 5 AS number");
  assert.deepEqual(await r2Sql("SELECT * FROM sales.source"), [{ number: 5 }]);
  await sql("ALTER TABLE lake.sales.source RENAME TO lake.sales.renamed");
  await sql("COMMENT ON TABLE lake.sales.renamed IS 'one number'");
  const { metadata, "metadata-location": metadataFile } = await load("renamed");
  assert.equal(metadata.properties.comment, "one number");
  await assert.rejects(sql("INSERT INTO reader.sales.renamed VALUES 6"));
  await assert.rejects(sql("DROP TABLE reader.sales.renamed"), /Failed to drop table/);
  await assert.rejects(sql("CREATE TABLE reader.sales.more (a integer)"));
  assert.deepEqual(await sql("SELECT * FROM reader.sales.renamed"), [{ number: 5 }]);
  assert.equal((await load("renamed"))["metadata-location"], metadataFile, "who may only read changed nothing");

  await sql('CREATE SCHEMA lake."sales.deep"');
  await sql('CREATE TABLE lake."sales.deep".t AS SELECT 1 AS a');
  assert.deepEqual(await sql('SELECT * FROM lake."sales.deep".t'), [{ a: 1 }]);
  await sql('DROP SCHEMA lake."sales.deep" CASCADE');
  await assert.rejects(sql("DROP SCHEMA lake.sales"), /non-empty/);

  await sql("TRUNCATE TABLE lake.sales.renamed");
  assert.deepEqual(await r2Sql("SELECT count(*) AS n FROM sales.renamed"), [{ n: 0 }]);
  await sql("CALL lake.system.unregister_table('sales', 'renamed')");
  await assert.rejects(sql("SELECT * FROM lake.sales.renamed"), /does not exist/);
  assert.ok((await keys(metadata.location)) > 0, "a table that is unregistered keeps its files");
});

test("Trino and pyiceberg append to one table at the same time, and no row is lost", { skip }, async () => {
  const APPENDS = 8;
  const { sql } = trino;
  await sql("CREATE SCHEMA IF NOT EXISTS lake.sales");
  await sql("CREATE TABLE lake.sales.shared (engine varchar, n bigint) WITH (max_commit_retry = 50)");
  const byTrino = async (writer: number): Promise<void> => {
    for (let n = 0; n < APPENDS; n++) await sql(`INSERT INTO lake.sales.shared VALUES ('trino-${writer}', ${n})`);
  };
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
  await Promise.all([byTrino(1), byTrino(2), byPyiceberg]);
  const query = "SELECT engine, count(*) AS n, count(DISTINCT n) AS d FROM sales.shared GROUP BY engine ORDER BY engine";
  const expected = ["pyiceberg", "trino-1", "trino-2"].map((engine) => ({ engine, n: APPENDS, d: APPENDS }));
  assert.deepEqual(await sql(query.replace("sales", "lake.sales")), expected);
  assert.deepEqual(await r2Sql(query), expected);
});
