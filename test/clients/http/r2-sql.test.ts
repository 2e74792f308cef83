/**
 * R2 SQL by its REST API: tables that pyiceberg wrote, compared with what pyarrow and DuckDB say of the same rows; access,
 * and requests that are none. Needs Python.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { type Lake, lake } from "../pyiceberg/lake.ts";

const platform = await startPlatform({ after });
const account = platform.ready.account_id;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly type: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: answers have as many shapes as there are queries.
  readonly json: any;
}

async function send(path: string, init: { method?: string; headers?: Record<string, string>; body?: string }): Promise<Answer> {
  const response = await platform.fetch(`${platform.host("sql")}${path}`, { method: "POST", ...init });
  const text = await response.text();
  const type = response.headers.get("content-type");
  return { status: response.status, text, type, json: type === "application/json" ? JSON.parse(text) : undefined };
}

const query = (bucket: string, sql: string, token = platform.ready.api_token, product = "r2-sql"): Promise<Answer> =>
  send(`/${product}/query/${bucket}`, {
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });

/** Rows of a query that must succeed. */
// biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are queries.
async function rows(bucket: string, sql: string): Promise<any[]> {
  const { status, json, text } = await query(bucket, sql);
  assert.equal(status, 200, `${sql}: ${text}`);
  return json.result.rows;
}

async function metrics(bucket: string, sql: string): Promise<{ files_scanned: number; bytes_scanned: number }> {
  const { json, text } = await query(bucket, sql);
  assert.equal(json.success, true, text);
  return json.result.metrics;
}

/** The printed JSON of a Python program on the lake. */
async function python<T>(lakeOfTest: Lake, script: string): Promise<T> {
  const { stdout } = await lakeOfTest.py(`import json\n${script}`);
  return JSON.parse(stdout.trim().split("\n").at(-1) as string) as T;
}

const SALES = `
import datetime as dt
import pyarrow as pa
n = 3000
start = dt.datetime(2025, 9, 20, 22, 30, 11, 872554, dt.timezone.utc)
df = pa.table({
    "id": pa.array(range(n), pa.int64()),
    "customer_id": [f"cust-{i % 700}" for i in range(n)],
    "region": [["North", "South", "East", "West"][i % 4] for i in range(n)],
    "department": [None if i % 10 == 9 else ["Engineering", "Sales", "Marketing"][i % 3] for i in range(n)],
    "total_amount": pa.array([None if i % 50 == 7 else (i * 37 % 1000) / 4 for i in range(n)], pa.float64()),
    "quantity": pa.array([i % 20 - 5 for i in range(n)], pa.int32()),
    "is_completed": [i % 3 == 0 for i in range(n)],
    "timestamp": pa.array([start + dt.timedelta(hours=i // 100 * 24, minutes=i % 80) for i in range(n)], pa.timestamp("us", "UTC")),
    "sale_date": pa.array([dt.date(2025, 9, 20) + dt.timedelta(days=i // 100) for i in range(n)], pa.date32()),
})
`;

const shared = await lake(platform, "sql-lake");
await shared.py(`${SALES}
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.transforms import DayTransform
catalog.create_namespace("ns")
table = catalog.create_table(("ns", "sales"), schema=df.schema)
with table.update_spec() as spec:
    spec.add_field("timestamp", DayTransform(), "day")
table.append(df)
catalog.create_namespace("empty_one")
catalog.create_table(("ns", "empty"), schema=df.schema)
`);

test("[r2-sql-01] the documented request gives rows and metrics, under both names of the product", async () => {
  for (const product of ["r2-sql", "basin-sql"]) {
    const { status, json, type } = await query("sql-lake", "SELECT * FROM ns.sales limit 10;", undefined, product);
    assert.equal(status, 200);
    assert.equal(type, "application/json");
    assert.deepEqual(Object.keys(json), ["result", "success", "errors", "messages"]);
    assert.deepEqual([json.success, json.errors, json.messages], [true, [], []]);
    assert.equal(json.result.rows.length, 10);
    assert.deepEqual(json.result.schema[0], { name: "id", descriptor: { type: { name: "int64" }, nullable: true } });
    assert.deepEqual(
      Object.keys(json.result.rows[0]),
      json.result.schema.map((column: { name: string }) => column.name),
    );
    assert.deepEqual(Object.keys(json.result.metrics).sort(), ["bytes_scanned", "files_scanned", "r2_requests_count"]);
    assert.match(json.result.request_id, /^[0-9a-f]{32}$/);
  }
  const warehouse = await send("/basin-sql/query/sql-lake", {
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json; charset=utf-8" },
    body: JSON.stringify({ warehouse: shared.warehouse, query: "SELECT count(*) AS n FROM ns.sales" }),
  });
  assert.deepEqual(warehouse.json.result.rows, [{ n: 3000 }]);
});

test("[r2-sql-04] a query needs a token with R2 SQL, Data Catalog and R2 storage permission on the bucket", async () => {
  await lake(platform, "sql-other");
  const sql = "SELECT count(*) AS n FROM ns.sales";
  const without = await send("/r2-sql/query/sql-lake", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });
  assert.deepEqual(
    [without.status, without.json.success, without.json.errors],
    [401, false, [{ code: 80007, message: "Unauthenticated." }]],
  );
  const unknown = await query("sql-lake", sql, "no-such-token");
  assert.deepEqual([unknown.status, unknown.json.errors], [403, [{ code: 80011, message: "Invalid token." }]]);

  const all = ["Workers R2 SQL Read", "Workers R2 Data Catalog Read", "Workers R2 Storage Read"];
  const onBucket = (name: string) => ({ [`com.cloudflare.edge.r2.bucket.${account}_default_${name}`]: "*" });
  const full = await platform.token(all);
  assert.deepEqual((await query("sql-lake", sql, full.value)).json.result.rows, [{ n: 3000 }]);
  const narrow = await platform.token(
    ["Workers R2 SQL Read", "Workers R2 Data Catalog Write", "Workers R2 Storage Bucket Item Read"],
    onBucket("sql-lake"),
  );
  assert.equal((await query("sql-lake", sql, narrow.value)).status, 200);
  for (const bucket of ["sql-other", "no-such-bucket"]) {
    const refused = await query(bucket, sql, narrow.value);
    assert.deepEqual([refused.status, refused.json.errors], [403, [{ code: 10000, message: "Authentication error" }]], bucket);
  }
  for (const missing of all) {
    const { value } = await platform.token(all.filter((group) => group !== missing));
    assert.equal((await query("sql-lake", sql, value)).status, 403, missing);
  }
  const revoked = await platform.token(all);
  await platform.rest("DELETE", `/accounts/${account}/tokens/${revoked.id}`);
  assert.equal((await query("sql-lake", sql, revoked.value)).status, 403);
});

test("[r2-sql-05] SHOW DATABASES and SHOW NAMESPACES list the namespaces", async () => {
  for (const sql of ["SHOW DATABASES;", "SHOW NAMESPACES", "show databases"])
    assert.deepEqual(await rows("sql-lake", sql), [{ namespace: "empty_one" }, { namespace: "ns" }], sql);
});

test("[r2-sql-06] SHOW TABLES lists a namespace's tables and refuses one that does not exist", async () => {
  assert.deepEqual(await rows("sql-lake", "SHOW TABLES IN ns;"), [{ table_name: "empty" }, { table_name: "sales" }]);
  assert.deepEqual(await rows("sql-lake", "SHOW TABLES IN empty_one"), []);
  const { status, json } = await query("sql-lake", "SHOW TABLES IN nope");
  assert.deepEqual([status, json.errors], [400, [{ code: 40004, message: 'invalid query: namespace "nope" does not exist' }]]);
});

test("[r2-sql-07] DESCRIBE gives column names and types", async () => {
  const described = await rows("sql-lake", "DESCRIBE ns.sales;");
  assert.deepEqual(
    described.map((column) => [column.column_name, column.type, column.required]),
    [
      ["id", "long", false],
      ["customer_id", "string", false],
      ["region", "string", false],
      ["department", "string", false],
      ["total_amount", "double", false],
      ["quantity", "int", false],
      ["is_completed", "boolean", false],
      ["timestamp", "timestamptz", false],
      ["sale_date", "date", false],
    ],
  );
});

test("[r2-sql-09] without LIMIT a query gives 500 rows", async () => {
  assert.equal((await rows("sql-lake", "SELECT * FROM ns.sales")).length, 500);
  assert.equal((await rows("sql-lake", "SELECT id FROM ns.sales WHERE quantity > 0 ORDER BY id")).length, 500);
  assert.deepEqual(await rows("sql-lake", "SELECT * FROM ns.empty"), []);
});

test("[r2-sql-10] LIMIT is between 1 and 10,000", async () => {
  assert.equal((await rows("sql-lake", "SELECT id FROM ns.sales LIMIT 10000")).length, 3000);
  assert.equal((await rows("sql-lake", "SELECT id FROM ns.sales LIMIT 1")).length, 1);
  for (const [limit, message] of [
    [0, "invalid SQL: LIMIT must be between 1 and 10000"],
    [10001, "invalid SQL: maximum LIMIT is 10000"],
  ]) {
    const { status, json } = await query("sql-lake", `SELECT id FROM ns.sales LIMIT ${limit}`);
    assert.deepEqual([status, json.success, json.result, json.errors], [400, false, null, [{ code: 40003, message }]]);
  }
});

const ORACLE = `${SALES}
import pyarrow.compute as pc
ts = lambda text: dt.datetime.fromisoformat(text)
def value(v):
    if isinstance(v, dt.datetime): return v.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return v.isoformat() if isinstance(v, dt.date) else v
full = lambda table: [[value(v) for v in row.values()] for row in table.to_pylist()]
ids = lambda condition: sorted(full(df.filter(condition).select(["id"])))
def groups(table, keys, aggregates):
    return sorted(full(table.group_by(keys).aggregate(aggregates)), key=lambda g: [(v is None, v) for v in g[:len(keys)]])
`;

// Sums of floating-point numbers depend on the order of addition.
const rounded = (value: unknown): unknown => (typeof value === "number" ? Number(value.toPrecision(12)) : value);

type Pair = readonly [sql: string, python: string];
const questions: Pair[] = [];
let answers: Promise<unknown[][][]> | undefined;

/** One program for all questions: starting Python takes longer than answering them. */
const oracleAnswers = (): Promise<unknown[][][]> => {
  answers ??= python<unknown[][][]>(shared, `${ORACLE}\nprint(json.dumps([${questions.map(([, oracle]) => oracle).join(",\n")}]))`);
  return answers;
};

/** A test that compares each query's rows with pyarrow's answer to the same question over the rows that pyiceberg wrote. */
function compared(title: string, pairs: readonly Pair[]): void {
  questions.push(...pairs);
  test(title, async () => {
    for (const pair of pairs) {
      const [sql] = pair;
      const expected = (await oracleAnswers())[questions.indexOf(pair)] as unknown[][];
      let found = (await rows("sql-lake", sql)).map((one) => Object.values(one));
      if (!sql.includes("ORDER BY")) found = found.sort((one, other) => (one[0] as number) - (other[0] as number));
      assert(found.length > 0, sql);
      assert.deepEqual(
        found.map((one) => one.map(rounded)),
        expected.map((one) => one.map(rounded)),
        sql,
      );
    }
  });
}

compared("[r2-sql-08] columns and rows are those of the table", [
  ["SELECT * FROM ns.sales WHERE id < 20 ORDER BY id", "full(df.slice(0, 20))"],
  ["SELECT id, region FROM ns.sales ORDER BY id LIMIT 3", "full(df.select(['id', 'region']).slice(0, 3))"],
]);

compared("[r2-sql-12] integers, floats, texts and booleans filter", [
  ["SELECT id FROM ns.sales WHERE quantity = 3 ORDER BY id", "ids(pc.field('quantity') == 3)"],
  [
    "SELECT id FROM ns.sales WHERE total_amount >= 85.5 AND total_amount < 86.5 ORDER BY id",
    "ids((pc.field('total_amount') >= 85.5) & (pc.field('total_amount') < 86.5))",
  ],
  ["SELECT id FROM ns.sales WHERE customer_id = 'cust-13' ORDER BY id", "ids(pc.field('customer_id') == 'cust-13')"],
  [
    "SELECT id FROM ns.sales WHERE region != 'North' AND region != 'East' LIMIT 10000",
    "ids((pc.field('region') != 'North') & (pc.field('region') != 'East'))",
  ],
  ["SELECT id FROM ns.sales WHERE is_completed = true LIMIT 10000", "ids(pc.field('is_completed'))"],
  [
    "SELECT id FROM ns.sales WHERE is_completed = false AND quantity < -4 LIMIT 10000",
    "ids(~pc.field('is_completed') & (pc.field('quantity') < -4))",
  ],
]);

compared("[r2-sql-13] timestamps and dates filter", [
  [
    "SELECT id FROM ns.sales WHERE timestamp BETWEEN '2025-09-24T22:00:00Z' AND '2025-09-25T22:45:00Z' LIMIT 10000",
    "ids((pc.field('timestamp') >= ts('2025-09-24T22:00:00+00:00')) & (pc.field('timestamp') <= ts('2025-09-25T22:45:00+00:00')))",
  ],
  ["SELECT id FROM ns.sales WHERE timestamp > '2025-10-15' LIMIT 10000", "ids(pc.field('timestamp') > ts('2025-10-15T00:00:00+00:00'))"],
  ["SELECT id FROM ns.sales WHERE sale_date >= '2025-10-15' LIMIT 10000", "ids(pc.field('sale_date') >= dt.date(2025, 10, 15))"],
  ["SELECT id FROM ns.sales WHERE timestamp = '2025-09-20T22:30:11.872554Z'", "ids(pc.field('timestamp') == start)"],
]);

compared("[r2-sql-14] prefixes, nulls and NOT filter", [
  ["SELECT id FROM ns.sales WHERE customer_id LIKE 'cust-69%' LIMIT 10000", "ids(pc.starts_with(pc.field('customer_id'), 'cust-69'))"],
  ["SELECT id FROM ns.sales WHERE department IS NULL LIMIT 10000", "ids(pc.field('department').is_null())"],
  [
    "SELECT id FROM ns.sales WHERE department IS NOT NULL AND NOT region = 'North' LIMIT 10000",
    "ids(pc.field('department').is_valid() & (pc.field('region') != 'North'))",
  ],
]);

compared("[r2-sql-15] AND binds tighter than OR, parentheses tighter than both", [
  [
    "SELECT id FROM ns.sales WHERE (quantity = 3 OR quantity = 7) AND region = 'North' AND is_completed = true LIMIT 10000",
    "ids(((pc.field('quantity') == 3) | (pc.field('quantity') == 7)) & (pc.field('region') == 'North') & pc.field('is_completed'))",
  ],
  [
    "SELECT id FROM ns.sales WHERE quantity = 4 OR quantity = 7 AND region = 'North' LIMIT 10000",
    "ids((pc.field('quantity') == 4) | ((pc.field('quantity') == 7) & (pc.field('region') == 'North')))",
  ],
]);

compared("[r2-sql-16] aggregates over the whole table equal pyarrow's", [
  [
    "SELECT COUNT(*), SUM(quantity), AVG(total_amount), MIN(total_amount), MAX(total_amount), MIN(customer_id) FROM ns.sales",
    "[[df.num_rows, pc.sum(df['quantity']).as_py(), pc.mean(df['total_amount']).as_py(), pc.min(df['total_amount']).as_py(), pc.max(df['total_amount']).as_py(), pc.min(df['customer_id']).as_py()]]",
  ],
  [
    "SELECT SUM(total_amount) FROM ns.sales WHERE region = 'East'",
    "[[pc.sum(df.filter(pc.field('region') == 'East')['total_amount']).as_py()]]",
  ],
]);

compared("[r2-sql-17] groups of one and more columns equal pyarrow's", [
  ["SELECT department, COUNT(*) FROM ns.sales GROUP BY department ORDER BY department", "groups(df, ['department'], [([], 'count_all')])"],
  [
    "SELECT region, department, MIN(quantity), SUM(total_amount) FROM ns.sales WHERE is_completed = true GROUP BY region, department ORDER BY region, department",
    "groups(df.filter(pc.field('is_completed')), ['region', 'department'], [('quantity', 'min'), ('total_amount', 'sum')])",
  ],
  [
    "SELECT region, AVG(total_amount) FROM ns.sales GROUP BY region ORDER BY region LIMIT 2",
    "groups(df, ['region'], [('total_amount', 'mean')])[:2]",
  ],
]);

compared("[r2-sql-18] HAVING filters groups", [
  [
    "SELECT region, COUNT(*) FROM ns.sales WHERE quantity > 0 GROUP BY region HAVING COUNT(*) >= 560 ORDER BY region",
    "[g for g in groups(df.filter(pc.field('quantity') > 0), ['region'], [([], 'count_all')]) if g[1] >= 560]",
  ],
  [
    "SELECT customer_id, SUM(quantity) FROM ns.sales GROUP BY customer_id HAVING SUM(quantity) BETWEEN 40 AND 60 AND AVG(total_amount) IS NOT NULL ORDER BY customer_id LIMIT 10000",
    "[g[:2] for g in groups(df, ['customer_id'], [('quantity', 'sum'), ('total_amount', 'mean')]) if 40 <= g[1] <= 60 and g[2] is not None]",
  ],
  [
    "SELECT department, MIN(total_amount), MAX(total_amount) FROM ns.sales GROUP BY department HAVING MIN(total_amount) < 1 AND MAX(total_amount) > 200 ORDER BY department",
    "[g for g in groups(df, ['department'], [('total_amount', 'min'), ('total_amount', 'max')]) if g[1] < 1 and g[2] > 200]",
  ],
]);

compared("[r2-sql-20] the ten largest groups by an aggregate are pyarrow's", [
  [
    "SELECT customer_id, SUM(total_amount) FROM ns.sales GROUP BY customer_id ORDER BY SUM(total_amount) DESC, customer_id LIMIT 10",
    "sorted(groups(df, ['customer_id'], [('total_amount', 'sum')]), key=lambda g: (g[1] is not None, -(g[1] or 0), g[0]))[:10]",
  ],
  [
    "SELECT department, COUNT(*) FROM ns.sales GROUP BY department ORDER BY COUNT(*) DESC, department LIMIT 2",
    "sorted(groups(df, ['department'], [([], 'count_all')]), key=lambda g: (-g[1], g[0] or '~'))[:2]",
  ],
]);

test("[r2-sql-26] nothing but reading is possible, and the data stay as they are", async () => {
  const state = () =>
    python(
      shared,
      "t = catalog.load_table(('ns', 'sales')); print(json.dumps([t.metadata_location, t.scan().to_arrow().num_rows, [str(x) for x in catalog.list_tables('ns')]]))",
    );
  const before = await state();
  for (const sql of [
    "INSERT INTO ns.sales (id) VALUES (1)",
    "UPDATE ns.sales SET quantity = 1 WHERE id = 1",
    "DELETE FROM ns.sales",
    "CREATE TABLE ns.test (id INT)",
    "CREATE OR REPLACE VIEW ns.v AS SELECT 1",
    "ALTER TABLE ns.sales ADD COLUMN new_field STRING",
    "DROP TABLE ns.sales",
    "TRUNCATE TABLE ns.sales",
    "COPY ns.sales TO 'x.parquet'",
  ]) {
    const { status, json } = await query("sql-lake", sql);
    assert.deepEqual([status, json.errors], [400, [{ code: 40003, message: "invalid SQL: only read-only queries are allowed" }]], sql);
  }
  for (const sql of [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM duckdb_settings()",
    "SELECT getenv('HOME') FROM ns.sales",
  ]) {
    const { status, json } = await query("sql-lake", sql);
    assert.equal(status, 400, sql);
    assert.equal(json.success, false);
  }
  assert.deepEqual(await state(), before);
});

test("[r2-sql-27] a filter on the partition's day reads fewer files and bytes", async () => {
  const all = await metrics("sql-lake", "SELECT SUM(quantity) FROM ns.sales");
  assert.equal(all.files_scanned, 30);
  const day = await metrics(
    "sql-lake",
    "SELECT SUM(quantity) FROM ns.sales WHERE timestamp BETWEEN '2025-09-25T00:00:00Z' AND '2025-09-25T23:59:59Z'",
  );
  assert.equal(day.files_scanned, 1);
  assert(day.bytes_scanned > 0 && day.bytes_scanned * 10 < all.bytes_scanned, JSON.stringify([day, all]));
  const none = await metrics("sql-lake", "SELECT SUM(quantity) FROM ns.sales WHERE timestamp > '2030-01-01'");
  assert.deepEqual([none.files_scanned, none.bytes_scanned], [0, 0]);
});

test("[r2-sql-28] fewer columns are fewer bytes", async () => {
  // One after another on a warm engine: an engine that has just started also reads itself.
  await metrics("sql-lake", "SELECT quantity FROM ns.sales LIMIT 1");
  const read: { readonly bytes_scanned: number }[] = [];
  for (const columns of ["quantity", "quantity, customer_id", "*"])
    read.push(await metrics("sql-lake", `SELECT ${columns} FROM ns.sales ORDER BY quantity LIMIT 10000`));
  const [one, some, all] = read;
  assert(one && some && all);
  assert(one.bytes_scanned < some.bytes_scanned && some.bytes_scanned < all.bytes_scanned, JSON.stringify([one, some, all]));
});

test("[r2-sql-30] a row can be queried as soon as its commit is answered", async () => {
  const fresh = await lake(platform, "sql-fresh");
  const counts: number[] = [];
  await fresh.py("catalog.create_namespace('ns')\ncatalog.create_table(('ns', 't'), schema=pa.schema([('id', pa.int64())]))");
  for (let i = 0; i < 3; i++) {
    await fresh.py(`catalog.load_table(("ns", "t")).append(pa.table({"id": [${i}]}))`);
    counts.push((await rows("sql-fresh", "SELECT count(*) AS n FROM ns.t"))[0].n);
  }
  assert.deepEqual(counts, [1, 2, 3]);
  await fresh.py(`catalog.load_table(("ns", "t")).delete("id == 1")`);
  assert.deepEqual(await rows("sql-fresh", "SELECT id FROM ns.t ORDER BY id"), [{ id: 0 }, { id: 2 }]);
  await fresh.py(`catalog.load_table(("ns", "t")).overwrite(pa.table({"id": [9]}))`);
  assert.deepEqual(await rows("sql-fresh", "SELECT id FROM ns.t"), [{ id: 9 }]);
});

test("[r2-sql-31] every primitive type and an evolved schema read as pyiceberg reads them", async () => {
  const typed = await lake(platform, "sql-types");
  const expected = await python<unknown[]>(
    typed,
    `
import base64, datetime as dt, uuid
from decimal import Decimal
from pyiceberg.schema import Schema
from pyiceberg.types import *
utc = dt.timezone.utc
schema = Schema(
    NestedField(1, "b", BooleanType()), NestedField(2, "i", IntegerType()), NestedField(3, "l", LongType()),
    NestedField(4, "f", FloatType()), NestedField(5, "d", DoubleType()), NestedField(6, "dec", DecimalType(38, 10)),
    NestedField(7, "day", DateType()), NestedField(8, "clock", TimeType()), NestedField(9, "ts", TimestampType()),
    NestedField(10, "tz", TimestamptzType()), NestedField(11, "s", StringType()), NestedField(12, "u", UUIDType()),
    NestedField(13, "fixed", FixedType(3)), NestedField(14, "bin", BinaryType()),
    NestedField(15, "st", StructType(NestedField(16, "x", IntegerType()), NestedField(17, "y", StringType()))),
    NestedField(18, "li", ListType(19, LongType(), element_required=False)), NestedField(20, "m", MapType(21, StringType(), 22, DoubleType(), value_required=False)),
)
catalog.create_namespace("ns")
table = catalog.create_table(("ns", "types"), schema=schema)
arrow = table.schema().as_arrow()
row = {
    "b": True, "i": -2147483648, "l": 9223372036854775807, "f": 0.1, "d": 1e300, "dec": Decimal("1234567890123456789012345678.0123456789"),
    "day": dt.date(1969, 12, 31), "clock": dt.time(23, 59, 59, 999999), "ts": dt.datetime(2025, 9, 20, 22, 30, 11, 872554),
    "tz": dt.datetime(2025, 9, 20, 22, 30, 11, 872554, utc), "s": "ü \\u2028 '\\"", "u": uuid.UUID("6b29fc40-ca47-1067-b31d-00dd010662da").bytes,
    "fixed": b"\\x00\\x01\\xff", "bin": b"\\x00\\xff", "st": {"x": 1, "y": None}, "li": [1, None, 3], "m": [("k", 1.5)],
}
table.append(pa.Table.from_pylist([row, {}], schema=arrow))
catalog.create_table(("ns", "evolved"), schema=pa.schema([("a", pa.int32()), ("b", pa.string()), ("c", pa.float32()), ("gone", pa.string())]))
t = catalog.load_table(("ns", "evolved"))
t.append(pa.table({"a": pa.array([1], pa.int32()), "b": ["one"], "c": pa.array([0.5], pa.float32()), "gone": ["x"]}))
with t.update_schema() as update:
    update.rename_column("b", "name")
    update.update_column("a", field_type=LongType())
    update.update_column("c", field_type=DoubleType())
    update.delete_column("gone")
    update.add_column("added", StringType())
t = catalog.load_table(("ns", "evolved"))
with t.update_schema() as update:
    # Old names with a new meaning: files are read by field id.
    update.add_column("gone", LongType())
    update.add_column("b", LongType())
    update.move_first("added")
t = catalog.load_table(("ns", "evolved"))
t.append(pa.table({"added": ["new"], "a": [2**40], "name": ["two"], "c": [0.25], "gone": [7], "b": [8]}))
print(json.dumps(t.scan().to_arrow().sort_by("a").to_pylist()))
`,
  );
  const { text } = await query("sql-types", "SELECT * FROM ns.types ORDER BY b");
  assert.ok(
    text.includes(
      '"rows":[{"b":true,"i":-2147483648,"l":9223372036854775807,"f":0.1,"d":1e+300,"dec":1234567890123456789012345678.0123456789,"day":"1969-12-31",' +
        '"clock":"23:59:59.999999","ts":"2025-09-20T22:30:11.872554Z","tz":"2025-09-20T22:30:11.872554Z","s":"ü \u2028 \'\\"","u":"6b29fc40-ca47-1067-b31d-00dd010662da",' +
        '"fixed":"AAH/","bin":"AP8=","st":{"x":1,"y":null},"li":[1,null,3],"m":{"k":1.5}},',
    ),
    text,
  );
  assert.deepEqual(await rows("sql-types", "SELECT * FROM ns.evolved ORDER BY a"), expected);
  assert.deepEqual(await rows("sql-types", "SELECT name FROM ns.evolved WHERE b = 8"), [{ name: "two" }]);
  assert.deepEqual(await rows("sql-types", "SELECT name FROM ns.evolved WHERE added IS NULL AND c = 0.5"), [{ name: "one" }]);
  assert.deepEqual(
    await rows(
      "sql-types",
      "SELECT count(*) AS n FROM ns.types WHERE l = 9223372036854775807 AND dec > 1234567890123456789012345678 AND u = '6b29fc40-ca47-1067-b31d-00dd010662da'",
    ),
    [{ n: 1 }],
  );
});

test("[r2-sql-33] nested columns print whole as JSON values", async () => {
  const [row] = await rows("sql-types", "SELECT st, li, m, st['x'] AS x, li[3] AS third FROM ns.types WHERE i IS NOT NULL");
  assert.deepEqual(row, { st: { x: 1, y: null }, li: [1, null, 3], m: { k: 1.5 }, x: 1, third: 3 });
});

/** A million rows: `v` from 0 to 999,999 in mixed order, weights, columns with 1,000 and 100,000 values, a skewed text. */
const million = (async () => {
  const large = await lake(platform, "sql-million");
  const bounds = await python<{ p: number[]; weighted: number; top: [string, number][] }>(
    large,
    `
import pyarrow.compute as pc
n = 1_000_000
v = [(i * 7919) % n for i in range(n)]
names = [f"name-{min(i % 1000, 20)}" for i in range(n)]
weights = [i % 10 for i in range(n)]
df = pa.table({"v": pa.array(v, pa.int64()), "w": pa.array(weights, pa.int32()), "k1": pa.array([x % 1000 for x in v], pa.int64()),
    "k100": pa.array([x % 100_000 for x in v], pa.int64()), "name": names, "price": pa.array([x / 4 for x in v], pa.float64())})
catalog.create_namespace("ns")
catalog.create_table(("ns", "m"), schema=df.schema).append(df)
half, seen, weighted = sum(weights) * 0.5, 0, None
for x, w in sorted(zip(v, weights)):
    seen += w
    if seen >= half:
        weighted = x
        break
counts = sorted(((r["counts"], r["values"]) for r in pc.value_counts(df["name"]).to_pylist()), reverse=True)
print(json.dumps({"p": [q.as_py() for q in pc.quantile(df["v"], [0.25, 0.5, 0.75])], "weighted": weighted, "top": [[name, count] for count, name in counts[:1]]}))
`,
  );
  return { bucket: large.bucket, bounds };
})();

const near = (found: number, exact: number, share: number, what: string): void =>
  assert(Math.abs(found - exact) <= exact * share, `${what}: ${found} is not within ${share * 100} % of ${exact}`);

test("[r2-sql-21] percentiles, weighted ones and the median of a million rows are within a few per cent", async () => {
  const { bucket, bounds } = await million;
  const [row] = await rows(
    bucket,
    `SELECT approx_percentile_cont(v, 0.25) AS p25, approx_percentile_cont(v, 0.5) AS p50, approx_percentile_cont(v, 0.75) AS p75,
      approx_median(price) AS m, approx_percentile_cont_with_weight(v, w, 0.5) AS weighted FROM ns.m`,
  );
  near(row.p25, bounds.p[0] as number, 0.03, "p25");
  near(row.p50, bounds.p[1] as number, 0.03, "p50");
  near(row.p75, bounds.p[2] as number, 0.03, "p75");
  near(row.m, (bounds.p[1] as number) / 4, 0.03, "median");
  near(row.weighted, bounds.weighted, 0.03, "weighted");
  for (const call of [
    "approx_percentile_cont(v, 1.5)",
    "approx_percentile_cont(v, -0.1)",
    "approx_percentile_cont_with_weight(v, w, 1.5)",
  ]) {
    const { status, json } = await query(bucket, `SELECT ${call} FROM ns.m`);
    assert.deepEqual([status, json.errors[0].code], [400, 40004], call);
  }
});

test("[r2-sql-22] distinct counts of 1,000, 100,000 and a million values are within a few per cent", async () => {
  const { bucket } = await million;
  const [row] = await rows(
    bucket,
    "SELECT approx_distinct(k1) AS a, approx_distinct(k100) AS b, approx_distinct(v) AS c, approx_distinct(name) AS d FROM ns.m",
  );
  near(row.a, 1000, 0.03, "1,000");
  near(row.b, 100_000, 0.03, "100,000");
  near(row.c, 1_000_000, 0.03, "1,000,000");
  assert.equal(row.d, 21);
});

test("[r2-sql-23] the most frequent values come with their counts", async () => {
  const { bucket, bounds } = await million;
  const [row] = await rows(bucket, "SELECT approx_top_k(name, 3) FROM ns.m");
  const top = row["approx_top_k(name, Int64(3))"];
  assert.deepEqual(top[0], { value: bounds.top[0]?.[0], count: bounds.top[0]?.[1] });
  assert.deepEqual(
    top.slice(1).map((one: { count: number }) => one.count),
    [1000, 1000],
  );
  for (const k of ["0", "-1", "1.5", "'3'"]) {
    const { status, json } = await query(bucket, `SELECT approx_top_k(name, ${k}) FROM ns.m`);
    assert.deepEqual([status, json.errors[0].code], [400, 40004], k);
  }
});

test("[r2-sql-24] exact and approximate aggregates stand side by side", async () => {
  const { bucket } = await million;
  const [row] = await rows(bucket, "SELECT COUNT(*), SUM(price), AVG(price), approx_percentile_cont(price, 0.5) FROM ns.m");
  assert.deepEqual(Object.keys(row), ["count(*)", "sum(price)", "avg(price)", "approx_percentile_cont(price, Float64(0.5))"]);
  assert.deepEqual([row["count(*)"], row["sum(price)"], row["avg(price)"]], [1_000_000, 124_999_875_000, 124_999.875]);
  near(row["approx_percentile_cont(price, Float64(0.5))"], 125_000, 0.03, "median");
});

test("requests that are no queries get an answer that says so", async () => {
  const headers = { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" };
  const path = "/r2-sql/query/sql-lake";
  const body = JSON.stringify({ query: "SELECT 1" });
  const cases: readonly (readonly [name: string, path: string, init: Parameters<typeof send>[1], status: number, code: number])[] = [
    ["not JSON", path, { headers, body: "{" }, 400, 40001],
    ["empty", path, { headers, body: "" }, 400, 40001],
    ["a list", path, { headers, body: "[]" }, 400, 40001],
    ["null", path, { headers, body: "null" }, 400, 40001],
    ["no query", path, { headers, body: "{}" }, 400, 40001],
    ["a number", path, { headers, body: '{"query":1}' }, 400, 40001],
    ["another warehouse", path, { headers, body: JSON.stringify({ query: "SELECT 1", warehouse: `${account}_other` }) }, 400, 40001],
    ["a form", path, { headers: { ...headers, "content-type": "application/x-www-form-urlencoded" }, body }, 415, 40001],
    ["no type", path, { headers: { authorization: headers.authorization, "content-type": "" }, body }, 415, 40001],
    ["3 MB", path, { headers, body: JSON.stringify({ query: "x".repeat(3_000_000) }) }, 413, 40001],
    ["1 MB of SQL", path, { headers, body: JSON.stringify({ query: `SELECT '${"x".repeat(1_000_000)}' FROM ns.sales` }) }, 400, 40003],
    ["another product", "/d1/query/sql-lake", { headers, body }, 404, 10007],
    ["no bucket", "/r2-sql/query/", { headers, body }, 404, 10007],
    ["a bucket that does not exist", "/r2-sql/query/no-such-bucket", { headers, body }, 404, 10007],
    ["a bad escape", "/r2-sql/query/%E0%A4%A", { headers, body }, 404, 10007],
    ["a path that climbs", "/r2-sql/query/..%2f..%2fetc", { headers, body }, 404, 10007],
  ];
  for (const [name, where, init, status, code] of cases) {
    const answer = await send(where, init);
    assert.deepEqual(
      [answer.status, answer.json?.success, answer.json?.errors?.[0]?.code],
      [status, false, code],
      `${name}: ${answer.text}`,
    );
  }
  const get = await send(path, { method: "GET", headers });
  assert.deepEqual([get.status, get.text], [405, "Method not allowed."]);
  const base = platform.host("sql").replace(account, "0123456789abcdef0123456789abcdef");
  const other = await platform.fetch(`${base}${path}`, { method: "POST", headers, body });
  assert.deepEqual([other.status, ((await other.json()) as { errors: { code: number }[] }).errors[0]?.code], [400, 80016]);
  const { CreateBucketCommand } = await import("@aws-sdk/client-s3");
  await platform.s3().send(new CreateBucketCommand({ Bucket: "sql-no-catalog" }));
  assert.equal((await query("sql-no-catalog", "SHOW DATABASES")).json.errors[0].code, 40401);
});

test("a table whose file is gone or belongs to another bucket is an error, never fewer rows", async () => {
  const { DeleteObjectCommand, ListObjectsV2Command, GetObjectCommand, PutObjectCommand } = await import("@aws-sdk/client-s3");
  const broken = await lake(platform, "sql-broken");
  await broken.py(`
catalog.create_namespace("ns")
t = catalog.create_table(("ns", "t"), schema=pa.schema([("id", pa.int64())]))
t.append(pa.table({"id": [1]}))
t.append(pa.table({"id": [2]}))
`);
  const s3 = platform.s3();
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: "sql-broken" }));
  const data = Contents.map((object) => object.Key as string).filter((key) => key.endsWith(".parquet"));
  const bytes = await (await s3.send(new GetObjectCommand({ Bucket: "sql-broken", Key: data[0] as string }))).Body?.transformToByteArray();
  await s3.send(new DeleteObjectCommand({ Bucket: "sql-broken", Key: data[0] as string }));
  const { status, json } = await query("sql-broken", "SELECT * FROM ns.t");
  assert.deepEqual(
    [status, json.errors],
    [500, [{ code: 80002, message: `A data file of the table is missing from the bucket: ${data[0]}` }]],
  );
  await s3.send(new PutObjectCommand({ Bucket: "sql-broken", Key: data[0] as string, Body: bytes as Uint8Array }));
  assert.equal((await rows("sql-broken", "SELECT * FROM ns.t")).length, 2);

  // A token for this bucket alone adds another bucket's file to its table.
  const foreign = await python<string>(
    shared,
    "print(json.dumps(next(iter(catalog.load_table(('ns', 'sales')).scan().plan_files())).file.file_path))",
  );
  await broken.py(`
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record
t = catalog.load_table(("ns", "t"))
df = DataFile.from_args(content=DataFileContent.DATA, file_path=${JSON.stringify(foreign)}, file_format=FileFormat.PARQUET, partition=Record(),
    record_count=100, file_size_in_bytes=1000, column_sizes={}, value_counts={}, null_value_counts={}, nan_value_counts={}, lower_bounds={}, upper_bounds={},
    key_metadata=None, split_offsets=None, equality_ids=None, sort_order_id=None)
df.spec_id = 0
with t.transaction() as tx:
    with tx.update_snapshot().fast_append() as append:
        append.append_data_file(df)
`);
  const crossed = await query("sql-broken", "SELECT * FROM ns.t LIMIT 10000");
  assert.equal(crossed.status, 500, crossed.text);
  assert.equal(crossed.json.errors[0].code, 80003);
  assert.match(crossed.json.errors[0].message, /names a file in another bucket/);
});

test("queries run side by side, and one whose client leaves does not go on", async () => {
  const slow =
    "SELECT count(*) FROM ns.sales a, ns.sales b, ns.sales c, ns.sales d WHERE a.quantity + b.quantity + c.quantity + d.quantity = 1000000";
  const leaving = new AbortController();
  const left = assert.rejects(
    platform.fetch(`${platform.host("sql")}/r2-sql/query/sql-lake`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: slow }),
      signal: leaving.signal,
    }),
  );
  const quick = await Promise.all(Array.from({ length: 12 }, (_, i) => rows("sql-lake", `SELECT id FROM ns.sales WHERE id = ${i}`)));
  assert.deepEqual(
    quick.map(([row]) => row.id),
    Array.from({ length: 12 }, (_, i) => i),
  );
  leaving.abort();
  await left;
  assert.equal((await rows("sql-lake", "SELECT count(*) AS n FROM ns.sales"))[0].n, 3000);
});
