/** Queries from text to rows: results against DuckDB itself on the same files, the documented limits, names and types. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { field, openLake } from "./lake.test.ts";

test("a table that was appended to twice gives all its rows", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long"), field(2, "name", "string")]);
  await lake.append("ns.t", "SELECT i AS id, 'n' || i AS name FROM range(3) t(i)");
  await lake.append("ns.t", "SELECT i AS id, 'n' || i AS name FROM range(3, 5) t(i)");
  const { rows, columns, metrics } = await lake.query("SELECT * FROM ns.t ORDER BY id");
  assert.deepEqual(
    rows,
    [0, 1, 2, 3, 4].map((id) => ({ id, name: `n${id}` })),
  );
  assert.deepEqual(columns, [
    { name: "id", descriptor: { type: { name: "int64" }, nullable: true } },
    { name: "name", descriptor: { type: { name: "string" }, nullable: true } },
  ]);
  assert.equal(metrics.filesScanned, 2);
  assert.equal(lake.held, 0);
});

const fails = (code: string, pattern: RegExp) => (error: unknown) => {
  assert(error instanceof PlatformError, String(error));
  assert.equal(error.code, `r2-sql.${code}`, error.message);
  assert.match(error.message, pattern);
  return true;
};

const SALES = [
  field(1, "id", "long"),
  field(2, "customer_id", "string"),
  field(3, "region", "string"),
  field(4, "department", "string"),
  field(5, "total_amount", "double"),
  field(6, "quantity", "int"),
  field(7, "unit_price", "decimal(10, 2)"),
  field(8, "is_completed", "boolean"),
  field(9, "timestamp", "timestamptz"),
  field(10, "sale_date", "date"),
];
const SALES_SQL = (from: number, to: number) => `
  SELECT i AS id, 'cust-' || i % 40 AS customer_id, ['North', 'South', 'East', 'West'][i % 4 + 1] AS region,
    CASE WHEN i % 10 = 9 THEN NULL ELSE ['Engineering', 'Sales', 'Marketing'][i % 3 + 1] END AS department,
    CASE WHEN i % 50 = 7 THEN NULL ELSE (i * 37 % 1000) / 4.0 END::DOUBLE AS total_amount, (i % 20 - 5)::INTEGER AS quantity,
    ((i * 13 % 500) / 100.0)::DECIMAL(10, 2) AS unit_price, i % 3 = 0 AS is_completed,
    TIMESTAMPTZ '2025-09-20 22:30:11.872554+00' + i * INTERVAL 1 HOUR AS timestamp, DATE '2025-09-20' + (i // 24)::INTEGER AS sale_date
  FROM range(${from}, ${to}) t(i)`;

async function sales(t: Parameters<typeof openLake>[0]) {
  const lake = await openLake(t);
  await lake.create("ns.sales", SALES);
  await lake.append("ns.sales", SALES_SQL(0, 700));
  await lake.append("ns.sales", SALES_SQL(700, 1200));
  await lake.duckdb.run(`CREATE TABLE sales AS ${SALES_SQL(0, 1200)}`);
  return lake;
}

test("values have the JSON form of the real service", async (t) => {
  const lake = await openLake(t);
  const struct = { type: "struct", fields: [field(20, "x", "int"), field(21, "y", "string")] } as const;
  await lake.create("ns.t", [
    field(1, "big", "long"),
    field(2, "f", "float"),
    field(3, "d", "double"),
    field(4, "dec", "decimal(38, 9)"),
    field(5, "s", struct),
    field(6, "l", { type: "list", "element-id": 30, element: "timestamptz", "element-required": false }),
    field(7, "m", { type: "map", "key-id": 40, key: "string", "value-id": 41, value: "long", "value-required": false }),
    field(8, "ts", "timestamp"),
    field(9, "day", "date"),
    field(10, "clock", "time"),
    field(11, "id", "uuid"),
    field(12, "bytes", "binary"),
    field(13, "ok", "boolean"),
    field(14, "text", "string"),
  ]);
  await lake.append(
    "ns.t",
    `SELECT 9223372036854775807 AS big, 0.1::FLOAT AS f, 'nan'::DOUBLE AS d, 12345678901234567890123456789.123456789::DECIMAL(38, 9) AS dec,
      {'x': NULL::INTEGER, 'y': 'ü"'} AS s, [TIMESTAMPTZ '1969-12-31 23:59:59.999999+00', NULL] AS l, MAP {'k': 9007199254740993} AS m,
      TIMESTAMP '2025-09-20 22:30:11.872554' AS ts, DATE '2025-09-20' AS day, TIME '14:30:00.5' AS clock,
      '6B29FC40-CA47-1067-B31D-00DD010662DA'::UUID AS id, '\\x00\\xFF'::BLOB AS bytes, true AS ok, 'a\u2028\n' AS text
     UNION ALL SELECT NULL, NULL, 1e300, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL`,
  );
  const { text, columns } = await lake.query("SELECT * FROM ns.t ORDER BY big");
  const first =
    '{"big":9223372036854775807,"f":0.1,"d":null,"dec":12345678901234567890123456789.123456789,"s":{"x":null,"y":"ü\\""},' +
    '"l":["1969-12-31T23:59:59.999999Z",null],"m":{"k":9007199254740993},"ts":"2025-09-20T22:30:11.872554Z","day":"2025-09-20",' +
    '"clock":"14:30:00.500000","id":"6b29fc40-ca47-1067-b31d-00dd010662da","bytes":"AP8=","ok":true,"text":"a\u2028\\n"}';
  const second =
    '{"big":null,"f":null,"d":1e+300,"dec":null,"s":null,"l":null,"m":null,"ts":null,"day":null,"clock":null,"id":null,"bytes":null,"ok":null,"text":null}';
  assert.equal(text, `[${first},${second}]`);
  assert.deepEqual(
    columns.map(({ name, descriptor }) => `${name} ${JSON.stringify(descriptor.type)}`),
    [
      'big {"name":"int64"}',
      'f {"name":"float32"}',
      'd {"name":"float64"}',
      'dec {"name":"decimal128","precision":38,"scale":9}',
      's {"name":"struct","fields":[{"type":{"name":"int32"},"nullable":true,"name":"x"},{"type":{"name":"string"},"nullable":true,"name":"y"}]}',
      'l {"name":"list","item":{"type":{"name":"timestamp","unit":"microsecond"},"nullable":true}}',
      'm {"name":"map","key":{"type":{"name":"string"},"nullable":true},"value":{"type":{"name":"int64"},"nullable":true}}',
      'ts {"name":"timestamp","unit":"microsecond"}',
      'day {"name":"date32"}',
      'clock {"name":"time"}',
      'id {"name":"uuid"}',
      'bytes {"name":"bytes"}',
      'ok {"name":"bool"}',
      'text {"name":"string"}',
    ],
  );
});

test("columns without an alias have the real engine's names", async (t) => {
  const lake = await sales(t);
  const { columns } = await lake.query(
    `SELECT COUNT(*), SUM(total_amount), region, sales.region, ns.sales.department, total_amount * 1.1, approx_top_k(region, 3), CAST(quantity AS INT),
      UPPER(region) AS up, COUNT(*) FROM ns.sales GROUP BY ALL`,
  );
  assert.deepEqual(
    columns.map((column) => column.name),
    [
      "count(*)",
      "sum(total_amount)",
      "region",
      "region:1",
      "department",
      "total_amount * Float64(1.1)",
      "approx_top_k(region, Int64(3))",
      "quantity",
      "up",
      "count(*):1",
    ],
  );
});

test("names that DuckDB reserves are names, and columns win over functions without parentheses", async (t) => {
  const lake = await openLake(t);
  const names = ["user", "default", "order", "table", "current_date", "select", "timestamp", "offset"];
  await lake.create(
    "default.order",
    names.map((name, i) => field(i + 1, name, "long")),
  );
  await lake.append("default.order", `SELECT ${names.map((name, i) => `${i} AS "${name}"`).join(", ")}`);
  const { rows } = await lake.query(
    `SELECT user, default, table, timestamp, current_date, order.order, default.order.offset, "select" FROM default.order -- default.
     WHERE default.order.select = 5 AND 'default.order' != "order"::VARCHAR /* table */ AND default = 1;`,
  );
  assert.deepEqual(rows, [{ user: 0, default: 1, table: 3, timestamp: 6, current_date: 4, order: 2, offset: 7, select: 5 }]);
  assert.match((await lake.query("EXPLAIN SELECT default FROM default.order")).rows[0].plan, /default\.order/);
  assert.equal((await lake.query("DESCRIBE default.order")).rows.length, names.length);
});

/** Queries of the dialect; the oracle runs the same text on a copy of the table, unless it needs another. */
const SAME: readonly (string | readonly [string, string])[] = [
  "SELECT id, region FROM ns.sales WHERE quantity = 3 AND is_completed = true ORDER BY id",
  "SELECT id FROM ns.sales WHERE total_amount > 100.5 AND total_amount <= 200 ORDER BY id",
  "SELECT id FROM ns.sales WHERE unit_price = 1.30 ORDER BY id",
  "SELECT id FROM ns.sales WHERE region != 'North' AND region <> 'South' AND quantity < 0 ORDER BY id",
  "SELECT id FROM ns.sales WHERE timestamp BETWEEN '2025-09-24T01:00:00Z' AND '2025-09-25T01:00:00Z' ORDER BY id",
  "SELECT id FROM ns.sales WHERE timestamp >= '2025-10-01' AND timestamp < '2025-10-03T00:00:00+02:00' ORDER BY id",
  "SELECT id FROM ns.sales WHERE sale_date >= '2025-10-30' ORDER BY id",
  "SELECT id FROM ns.sales WHERE sale_date = DATE '2025-09-21' ORDER BY id",
  "SELECT id FROM ns.sales WHERE customer_id LIKE 'cust-1%' AND NOT (region = 'North' OR department IS NULL) ORDER BY id",
  "SELECT id FROM ns.sales WHERE department IS NULL ORDER BY id",
  "SELECT id FROM ns.sales WHERE department IS NOT NULL AND NOT is_completed ORDER BY id LIMIT 10000",
  "SELECT id FROM ns.sales WHERE (region = 'East' OR region = 'West') AND quantity >= 10 ORDER BY id",
  "SELECT id FROM ns.sales WHERE region = 'East' OR region = 'West' AND quantity >= 10 ORDER BY id LIMIT 10000",
  "SELECT id FROM ns.sales WHERE department ILIKE '%ENG%' AND id IN (1, 3, 6, 12) ORDER BY id",
  "SELECT id FROM ns.sales WHERE department NOT LIKE 'S%' AND id NOT IN (0, 3) AND id NOT BETWEEN 10 AND 1190 ORDER BY id",
  "SELECT id FROM ns.sales WHERE department SIMILAR TO '(Sal|Mark).*' AND id < 20 ORDER BY id",
  "SELECT id FROM ns.sales WHERE is_completed IS TRUE AND id < 20 ORDER BY id",
  "SELECT id FROM ns.sales WHERE (department = 'Sales') IS NOT TRUE AND id < 20 ORDER BY id",
  "SELECT COUNT(*), SUM(quantity), AVG(total_amount), MIN(total_amount), MAX(customer_id) FROM ns.sales",
  "SELECT COUNT(*), COUNT(department), COUNT(DISTINCT region) FROM ns.sales WHERE quantity > 3",
  "SELECT region, COUNT(*), SUM(total_amount) FROM ns.sales WHERE is_completed GROUP BY region ORDER BY region",
  "SELECT region, department, MIN(unit_price), MAX(unit_price) FROM ns.sales GROUP BY region, department ORDER BY 1, 2 LIMIT 5",
  "SELECT customer_id, COUNT(*) FROM ns.sales GROUP BY customer_id HAVING COUNT(*) > 10 AND SUM(quantity) BETWEEN 100 AND 400 AND AVG(total_amount) IS NOT NULL ORDER BY customer_id",
  "SELECT customer_id, SUM(total_amount) FROM ns.sales GROUP BY customer_id ORDER BY SUM(total_amount) DESC, customer_id LIMIT 10",
  "SELECT department, COUNT(*) AS dept_count FROM ns.sales GROUP BY department ORDER BY dept_count DESC, department ASC",
  "SELECT var_samp(total_amount), stddev_pop(total_amount), corr(total_amount, CAST(quantity AS DOUBLE)), bit_xor(id), bool_or(is_completed) FROM ns.sales WHERE total_amount IS NOT NULL",
  [
    "SELECT department, first_value(customer_id ORDER BY total_amount ASC, id) AS a, last_value(customer_id ORDER BY total_amount, id) AS b FROM ns.sales WHERE total_amount IS NOT NULL GROUP BY department ORDER BY 1",
    "SELECT department, first(customer_id ORDER BY total_amount ASC, id) AS a, last(customer_id ORDER BY total_amount, id) AS b FROM ns.sales WHERE total_amount IS NOT NULL GROUP BY department ORDER BY 1",
  ],
  "SELECT region, SUM(quantity) FILTER (WHERE is_completed) AS done FROM ns.sales GROUP BY region ORDER BY region",
  "SELECT id, total_amount * 1.1 AS more, quantity % 7 AS rest, -quantity AS neg, quantity + 1 - 2 AS x, region || '/' || customer_id AS label FROM ns.sales ORDER BY id LIMIT 50",
  "SELECT id, CASE WHEN total_amount > 200 THEN 'high' WHEN total_amount > 100 THEN 'mid' ELSE 'low' END AS tier, CASE region WHEN 'North' THEN 'N' END AS code FROM ns.sales ORDER BY id LIMIT 40",
  "SELECT id, CAST(unit_price AS INT) AS a, TRY_CAST(customer_id AS INT) AS b, quantity::DOUBLE AS c, EXTRACT(YEAR FROM timestamp) AS y FROM ns.sales ORDER BY id LIMIT 20",
  "SELECT DISTINCT region, department FROM ns.sales ORDER BY region, department",
  "SELECT DISTINCT ON (region) region, customer_id, total_amount FROM ns.sales ORDER BY region, total_amount DESC NULLS LAST, customer_id",
  "SELECT a.id, b.id AS other FROM ns.sales a INNER JOIN ns.sales b ON a.id = b.id - 1 AND b.quantity > 11 WHERE a.region = 'East' ORDER BY a.id",
  "SELECT a.id, b.id AS other FROM ns.sales a LEFT JOIN ns.sales b ON a.id = b.id - 1000 WHERE b.id IS NULL AND a.id < 205 ORDER BY a.id",
  "SELECT a.id, b.id AS other FROM ns.sales a FULL OUTER JOIN ns.sales b ON a.id = b.id + 1190 WHERE a.id IS NULL OR b.id IS NULL ORDER BY a.id, b.id LIMIT 30",
  "SELECT a.id FROM ns.sales a, ns.sales b WHERE a.id = b.quantity AND b.id < 30 ORDER BY a.id",
  "SELECT count(*) AS n FROM ns.sales a CROSS JOIN ns.sales b WHERE a.id < 3 AND b.id < 4",
  "WITH f AS (SELECT id, department, total_amount FROM ns.sales WHERE total_amount > 0), s AS (SELECT department, COUNT(*) AS n, round(AVG(total_amount), 2) AS avg_amount FROM f GROUP BY department) SELECT * FROM s WHERE n > 100 ORDER BY avg_amount DESC",
  "SELECT sub.region, sub.n FROM (SELECT region, COUNT(*) AS n FROM ns.sales GROUP BY region) sub WHERE sub.n > 100 ORDER BY sub.region",
  "SELECT id FROM ns.sales WHERE customer_id IN (SELECT customer_id FROM ns.sales WHERE id < 3) ORDER BY id",
  "SELECT id FROM ns.sales s WHERE NOT EXISTS (SELECT 1 FROM ns.sales o WHERE o.id = s.id + 1) ORDER BY id",
  "SELECT id, (SELECT COUNT(*) FROM ns.sales) AS total FROM ns.sales WHERE total_amount > (SELECT AVG(total_amount) FROM ns.sales) ORDER BY id LIMIT 20",
  "SELECT region FROM ns.sales WHERE id < 2 UNION SELECT region FROM ns.sales WHERE id = 1 ORDER BY region",
  "SELECT id FROM ns.sales WHERE id < 5 UNION ALL SELECT id FROM ns.sales WHERE id < 3 ORDER BY id",
  "(SELECT id FROM ns.sales WHERE id < 5) EXCEPT (SELECT id FROM ns.sales WHERE id < 3) ORDER BY id",
  "SELECT id FROM ns.sales WHERE id < 5 INTERSECT SELECT id FROM ns.sales WHERE id > 2 ORDER BY id",
  "SELECT id, ROW_NUMBER() OVER (PARTITION BY region ORDER BY total_amount DESC, id) AS r, LAG(total_amount, 2, 0.0) OVER (PARTITION BY region ORDER BY id) AS prev FROM ns.sales ORDER BY id LIMIT 100",
  "SELECT id, SUM(quantity) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS running, NTILE(4) OVER (ORDER BY id) AS q, COUNT(*) OVER (PARTITION BY region) AS n FROM ns.sales ORDER BY id LIMIT 100",
  "SELECT id, region FROM ns.sales QUALIFY ROW_NUMBER() OVER (PARTITION BY region ORDER BY id DESC) <= 2 ORDER BY id",
  "SELECT region, department, SUM(quantity) AS total FROM ns.sales GROUP BY CUBE (region, department) ORDER BY 1, 2, 3",
  "SELECT department, SUM(quantity) AS total, GROUPING(department) AS g FROM ns.sales GROUP BY ROLLUP (department) ORDER BY 1, 3",
  "SELECT region, department, COUNT(*) AS n FROM ns.sales GROUP BY GROUPING SETS ((region, department), (region), ()) ORDER BY 1, 2, 3",
  "SELECT Region, SALES.Department FROM NS.Sales WHERE REGION = 'North' ORDER BY ID LIMIT 3",
  'SELECT "region" FROM "ns"."sales" AS "s" WHERE "s"."id" = 4',
  "SELECT ns.sales.id FROM ns.sales WHERE ns.sales.region = 'East' ORDER BY ns.sales.id LIMIT 4",
];

test("[r2-sql-34, r2-sql-35] the dialect gives what DuckDB gives on the same rows", async (t) => {
  const lake = await sales(t);
  for (const query of SAME) {
    const [sql, oracle] = typeof query === "string" ? [query, query] : query;
    const limited = /LIMIT \d+$/.test(oracle) ? oracle : `${oracle} LIMIT 500`;
    const local = limited.replaceAll(/\bns\.sales\b/gi, "sales").replaceAll('"ns"."sales"', "sales");
    const expected = await lake.duckdb.all(local);
    const { rows } = await lake.query(sql);
    const values = (list: readonly object[]): unknown[] => list.map((row) => Object.values(row).map(comparable));
    assert.deepEqual(values(rows), values(expected), sql);
    assert(rows.length > 0, `no rows: ${sql}`);
  }
});

/** Numbers as such, whatever the driver makes of them. */
function comparable(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "object" && value !== null && "value" in value && "scale" in value) return Number(String(value));
  return typeof value === "number" ? Math.round(value * 1e6) / 1e6 : value;
}

test("a count of rows reads no data, and a query of a CTE is not taken for one of its table", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long")]);
  for (const from of [0, 1000]) await lake.append("ns.t", `SELECT i AS id FROM range(${from}, ${from + 1000}) t(i)`);
  const counted = await lake.query("SELECT COUNT(*) AS n, count(*), count(*) FROM ns.t");
  assert.equal(counted.text, '[{"n":2000,"count(*)":2000,"count(*):1":2000}]');
  assert.deepEqual(counted.columns[0], { name: "n", descriptor: { type: { name: "int64" }, nullable: true } });
  assert.deepEqual([counted.metrics.filesScanned, counted.metrics.bytesScanned], [0, 0]);
  for (const [sql, n] of [
    ["SELECT count(*) AS n FROM ns.t WHERE id >= 500", 1500],
    ["SELECT count(*) FILTER (WHERE id < 10) AS n FROM ns.t", 10],
    ["SELECT count(*) AS n FROM ns.t HAVING count(*) > 5", 2000],
    ["SELECT DISTINCT count(*) AS n FROM ns.t", 2000],
    ["SELECT count(*) + 1 AS n FROM ns.t", 2001],
    ["WITH t AS (SELECT * FROM ns.t WHERE id > 1990) SELECT count(*) AS n FROM t", 9],
  ] as const)
    assert.deepEqual((await lake.query(sql)).rows, [{ n }], sql);
  assert.equal((await lake.query("WITH x AS (SELECT * FROM ns.t WHERE id % 1000 = 999) SELECT * FROM x LIMIT 2")).rows.length, 2);
});

test("[r2-sql-11] rows are limited to 500, LIMIT to 1 to 10,000, and OFFSET is refused", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "id", "long")]);
  await lake.append("ns.t", "SELECT i AS id FROM range(12000) t(i)");
  assert.equal((await lake.query("SELECT * FROM ns.t")).rows.length, 500);
  assert.equal((await lake.query("SELECT * FROM ns.t ORDER BY id")).rows.length, 500);
  assert.equal((await lake.query("SELECT id FROM ns.t UNION ALL SELECT id FROM ns.t")).rows.length, 500);
  assert.equal((await lake.query("WITH x AS (SELECT * FROM ns.t LIMIT 11000) SELECT count(*) AS n FROM x")).rows[0].n, 11000);
  assert.equal((await lake.query("SELECT * FROM ns.t LIMIT 10000")).rows.length, 10000);
  assert.equal((await lake.query("SELECT * FROM ns.t LIMIT 1;")).rows.length, 1);
  for (const [sql, pattern] of [
    ["SELECT * FROM ns.t LIMIT 0", /LIMIT must be between 1 and 10000/],
    ["SELECT * FROM ns.t LIMIT 10001", /maximum LIMIT is 10000/],
    ["SELECT * FROM ns.t LIMIT 99999999999999999999", /maximum LIMIT is 10000/],
    ["SELECT * FROM ns.t LIMIT 100 OFFSET 200", /unsupported feature: OFFSET clause is not supported/],
    ["SELECT * FROM ns.t OFFSET 200", /unsupported feature: OFFSET clause is not supported/],
    ["SELECT * FROM ns.t LIMIT 100, 100", /unsupported feature: OFFSET clause is not supported/],
    ["SELECT * FROM (SELECT * FROM ns.t LIMIT 5 OFFSET 1) x", /unsupported feature: OFFSET clause is not supported/],
    ["SELECT * FROM ns.t LIMIT 10%", /unsupported feature: LIMIT in percent/],
  ] as const)
    await assert.rejects(lake.query(sql), fails("invalidSql", pattern), sql);
  for (const limit of ["10 * 10", "COUNT(*)", "'10'", "-1", "1.5", "(SELECT 1 FROM ns.t)"])
    await assert.rejects(lake.query(`SELECT * FROM ns.t LIMIT ${limit}`), fails("invalidQuery", /LIMIT must be an integer literal/), limit);
});

test("mistakes get the documented codes and texts", async (t) => {
  const lake = await sales(t);
  for (const [sql, code, pattern] of [
    ["SELECT user_id WHERE status = 200", "invalidSql", /expected exactly 1 table in FROM clause/],
    ["SELECT 1", "invalidSql", /expected exactly 1 table in FROM clause/],
    ["SELECT FROM WHERE", "invalidSql", /^invalid SQL: syntax error at or near/],
    ["ALTER TABLE ns.sales ADD COLUMN x STRING", "invalidSql", /only read-only queries are allowed/],
    ["UPDATE ns.sales SET id = 1", "invalidSql", /only read-only queries are allowed/],
    ["SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY id) FROM ns.sales", "invalidSql", /Function not supported|unsupported/],
    ["SELECT MEDIAN(id) FROM ns.sales", "invalidSql", /Function not supported: median/],
    ["SELECT approx_percentile_cont(total_amount, 1.5) FROM ns.sales", "invalidQuery", /between 0\.0 and 1\.0/],
    ["SELECT approx_top_k(region, 0) FROM ns.sales", "invalidQuery", /k of approx_top_k must be a positive integer/],
    ["SELECT doc->>'level' FROM ns.sales", "invalidSql", /unsupported binary operator/],
    ["SELECT nope FROM ns.sales", "invalidQuery", /^invalid query: .*nope.*not found/],
    ["SELECT upper(region, 1) FROM ns.sales", "invalidQuery", /upper takes 1 arguments, not 2/],
    ["SELECT quantity + region FROM ns.sales", "invalidQuery", /^invalid query: /],
    ["SELECT CAST(customer_id AS INT) FROM ns.sales", "invalidQuery", /Could not convert string/],
    ["SELECT * FROM ns.nope", "invalidQuery", /table "ns\.nope" does not exist/],
    ["SELECT * FROM nope.sales", "invalidQuery", /namespace "nope" does not exist/],
    ["SELECT * FROM sales", "invalidQuery", /must be qualified: namespace_name\.table_name/],
    ["SELECT region, count(*) FROM ns.sales", "invalidQuery", /GROUP BY/],
    ["DESCRIBE ns.nope", "invalidQuery", /table "ns\.nope" does not exist/],
    ["DESCRIBE sales", "invalidQuery", /must be qualified/],
    ["DESCRIBE", "invalidSql", /expected DESCRIBE/],
    ["SHOW TABLES", "invalidSql", /unsupported feature: SHOW TABLES/],
    ["SHOW TABLES IN nope", "invalidQuery", /namespace "nope" does not exist/],
  ] as const)
    await assert.rejects(lake.query(sql), fails(code, pattern), sql);
});

test("[r2-sql-37] SHOW, DESCRIBE and EXPLAIN answer without reading data", async (t) => {
  const lake = await sales(t);
  await lake.create("other.t", [field(1, "id", "long")]);
  const rows = async (sql: string) => {
    const result = await lake.query(sql);
    assert.deepEqual(result.metrics, { bytesScanned: 0, filesScanned: 0, requests: 0 });
    return result.rows;
  };
  for (const sql of ["SHOW DATABASES", "show namespaces;", "SHOW SCHEMAS -- all"])
    assert.deepEqual(await rows(sql), [{ namespace: "ns" }, { namespace: "other" }], sql);
  for (const sql of ["SHOW TABLES IN ns", 'SHOW TABLES FROM "ns"', "SHOW TABLES IN NS;"])
    assert.deepEqual(await rows(sql), [{ table_name: "sales" }], sql);
  const described = await rows("DESCRIBE ns.sales");
  assert.deepEqual(described[6], {
    column_name: "unit_price",
    type: "decimal(10, 2)",
    required: false,
    initial_default: null,
    write_default: null,
    doc: null,
  });
  const text = await rows("EXPLAIN SELECT region, count(*) FROM ns.sales WHERE id >= 900 AND region = 'North' GROUP BY region");
  assert.match(
    text[0].plan,
    /^IcebergScan: ns\.sales files=1 bytes=\d+ files_pruned=1 manifests_pruned=0 predicate=\(id >= 900 AND region = North\)$/,
  );
  assert.match(text[1].plan, /HASH_GROUP_BY|PERFECT_HASH_GROUP_BY/);
  const json = await rows("EXPLAIN FORMAT JSON SELECT * FROM ns.sales LIMIT 10");
  assert.equal(JSON.parse(json[0].plan).scans[0].table, "ns.sales");
  assert(!JSON.stringify([text, json]).includes(lake.dir));
});

test("weighted percentiles equal those of the rows repeated by their weight", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "v", "long"), field(2, "w", "int"), field(3, "g", "string")]);
  await lake.append(
    "ns.t",
    "SELECT (i * 37) % 1000 AS v, (i % 5 - 1)::INTEGER AS w, 'g' || i % 2 AS g FROM range(1000) t(i) UNION ALL SELECT NULL, 5, 'g0' UNION ALL SELECT 7, NULL, 'g1'",
  );
  const { rows } = await lake.query(
    "SELECT g, approx_percentile_cont_with_weight(v, w, 0.5) AS m, approx_percentile_cont_with_weight(v, w, 0.9) FILTER (WHERE v < 500 OR v > 990) AS p FROM ns.t GROUP BY g ORDER BY g",
  );
  const exact = await lake.duckdb.all<{ g: string; m: number; p: number }>(
    `SELECT g, quantile_disc(v, 0.5)::DOUBLE AS m, quantile_disc(v, 0.9) FILTER (WHERE v < 500 OR v > 990)::DOUBLE AS p
     FROM (SELECT (i * 37) % 1000 AS v, 'g' || i % 2 AS g, unnest(range(greatest(i % 5 - 1, 0))) FROM range(1000) t(i)) GROUP BY g ORDER BY g`,
  );
  assert.deepEqual(rows, exact);
  await assert.rejects(
    lake.query("SELECT approx_percentile_cont_with_weight(v, w, 1.5) FROM ns.t"),
    fails("invalidQuery", /between 0\.0 and 1\.0/),
  );
});

test("distinct counts and frequent values are close on many values, in each group, and skip nulls", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "g", "string"), field(2, "v", "long"), field(3, "name", "string")]);
  // Groups of 50, 1,000 and 200,000 values; names with the frequencies 1/2, 1/3, 1/4 … of their group.
  const group = (name: string, rows: number) =>
    `SELECT '${name}' AS g, i * 7919 AS v, CASE WHEN i % 10 = 0 THEN NULL ELSE 'n' || floor(${rows} / (i + 1)) END AS name FROM range(${rows}) t(i)`;
  await lake.append(
    "ns.t",
    [group("few", 50), group("some", 1000), group("many", 200_000), "SELECT 'none', NULL, NULL"].join(" UNION ALL "),
  );
  const { rows } = await lake.query(
    "SELECT g, approx_distinct(v) AS d, approx_distinct(v) FILTER (WHERE v < 79190) AS low, approx_top_k(name, 5) AS top FROM ns.t GROUP BY g ORDER BY d",
  );
  assert.deepEqual(
    rows.map((row) => [row.g, row.low]),
    [
      ["none", 0],
      ["few", 10],
      ["some", 10],
      ["many", 10],
    ],
  );
  for (const [i, wanted] of [0, 50, 1000, 200_000].entries())
    assert(Math.abs(rows[i].d - wanted) <= wanted * 0.03, `${rows[i].d} of ${wanted}`);
  assert.equal(rows[0].top, null);
  const exact = await lake.duckdb.all<{ value: string; count: bigint }>(
    `SELECT name AS value, count(*) AS count FROM (${group("many", 200_000)}) WHERE name IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 5`,
  );
  for (const [i, { value, count }] of exact.entries()) {
    const found = rows[3].top[i];
    assert.equal(found.value, value);
    assert(found.count >= Number(count) && found.count <= Number(count) * 1.03, `${found.count} of ${count}`);
  }
  assert.deepEqual((await lake.query("SELECT approx_top_k(g, 1) AS top FROM ns.t")).rows[0].top, [{ value: "many", count: 200_000 }]);
  await assert.rejects(lake.query("SELECT approx_top_k(g, 10001) FROM ns.t"), fails("invalidQuery", /at most 10000/));
});

test("approximate aggregates are close to the exact ones", async (t) => {
  const lake = await openLake(t);
  await lake.create("ns.t", [field(1, "v", "long"), field(2, "name", "string")]);
  await lake.append("ns.t", "SELECT (i * 7919) % 100000 AS v, 'n' || least(i % 1000, 9) AS name FROM range(100000) t(i)");
  const { rows } = await lake.query(
    "SELECT COUNT(*) AS n, approx_percentile_cont(v, 0.25) AS p25, approx_median(v) AS p50, approx_distinct(v) AS d, approx_distinct(name) AS names, approx_top_k(name, 2) AS top FROM ns.t",
  );
  const [row] = rows;
  assert.equal(row.n, 100000);
  assert(Math.abs(row.p25 - 25000) < 500, row.p25);
  assert(Math.abs(row.p50 - 50000) < 500, row.p50);
  assert(Math.abs(row.d - 100000) < 3000, row.d);
  assert.equal(row.names, 10);
  assert.deepEqual(row.top, [
    { value: "n9", count: 99100 },
    { value: "n8", count: 100 },
  ]);
});
