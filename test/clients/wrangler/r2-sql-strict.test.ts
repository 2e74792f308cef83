/** The older dialect of R2 SQL, by wrangler and REST on a platform that was started with `r2_sql.strict`. Needs Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { lake } from "../pyiceberg/lake.ts";

const platform = await startPlatform({ after }, { config: { "r2_sql.strict": true } });
const shared = await lake(platform, "strict-lake");
// Days come in no order, neither between files nor in them.
await shared.py(`
import datetime as dt
from pyiceberg.transforms import DayTransform, IdentityTransform
start = dt.datetime(2025, 9, 20, tzinfo=dt.timezone.utc)
def events(days):
    n = len(days)
    return pa.table({
        "user_id": [f"u{d % 3}" for d in days],
        "status": pa.array([200 if d % 2 else 404 for d in days], pa.int64()),
        "cpu_usage": [80 + d / 2 for d in days],
        "is_active": [d % 4 == 0 for d in days],
        "timestamp": pa.array([start + dt.timedelta(days=d, hours=d % 7) for d in days], pa.timestamp("us", "UTC")),
        "tags": [["a", "b"] for _ in days],
        "metadata": [{"user_id": "x", "country": "US"} for _ in days],
    })
catalog.create_namespace("ns")
first = events([3, 11, 7, 0])
table = catalog.create_table(("ns", "events"), schema=first.schema)
with table.update_spec() as spec:
    spec.add_field("timestamp", DayTransform(), "day")
for days in ([3, 11, 7, 0], [9, 1, 5], [2, 10, 4, 8, 6]):
    table.append(events(days))
two = catalog.create_table(("ns", "two"), schema=pa.schema([("region", pa.string()), ("n", pa.int64())]))
with two.update_spec() as spec:
    spec.add_field("region", IdentityTransform(), "region")
    spec.add_field("n", IdentityTransform(), "n")
two.append(pa.table({"region": ["a", "b", "a", "b"], "n": [1, 2, 3, 4]}))
`);

async function query(sql: string) {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/strict-lake`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query: sql }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are queries.
  return (await response.json()) as any;
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function rows(sql: string): Promise<any[]> {
  const answer = await query(sql);
  assert.equal(answer.success, true, `${sql}: ${JSON.stringify(answer.errors)}`);
  return answer.result.rows;
}

const wrangler = (sql: string) => platform.exec("wrangler", ["r2", "sql", "query", shared.warehouse, sql]);

const days = (found: readonly { timestamp: string }[]): number[] =>
  found.map(({ timestamp }) => (Date.parse(timestamp.slice(0, 10)) - Date.parse("2025-09-20")) / 86_400_000);

test("[r2-sql-19] rows come by the partition key, newest first unless ASC is written, and by nothing else", async () => {
  const newest = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
  assert.deepEqual(days(await rows("SELECT timestamp FROM ns.events ORDER BY timestamp")), newest);
  assert.deepEqual(days(await rows("SELECT timestamp, status FROM ns.events ORDER BY timestamp DESC")), newest);
  assert.deepEqual(days(await rows("SELECT timestamp FROM ns.events ORDER BY timestamp ASC")), newest.toReversed());
  assert.deepEqual(days(await rows("SELECT * FROM ns.events")), newest, "the default, without ORDER BY");
  assert.deepEqual(days(await rows("SELECT * FROM ns.events WHERE status = 200 LIMIT 3")), [11, 9, 7]);
  // "DESC on all columns of the partition key".
  assert.deepEqual(await rows("SELECT region, n FROM ns.two"), [
    { region: "b", n: 4 },
    { region: "b", n: 2 },
    { region: "a", n: 3 },
    { region: "a", n: 1 },
  ]);
  assert.deepEqual(
    (await rows("SELECT n FROM ns.two ORDER BY n")).map((row) => row.n),
    [4, 3, 2, 1],
  );
  for (const sql of [
    "SELECT * FROM ns.events ORDER BY status DESC",
    "SELECT user_id, COUNT(*) FROM ns.events GROUP BY user_id ORDER BY status",
  ])
    assert.match((await query(sql)).errors[0].message, /ORDER BY is supported on columns of the partition key/, sql);

  const { stdout } = await wrangler("SELECT timestamp FROM ns.events LIMIT 4");
  assert.deepEqual(
    [...stdout.matchAll(/2025-\d\d-\d\d/g)].map(([day]) => day),
    ["2025-10-01", "2025-09-30", "2025-09-29", "2025-09-28"],
  );
});

/** The pages' own examples of what is invalid, and the text that they give for it. */
const REFUSED: readonly (readonly [string, string])[] = [
  ["SELECT user_id WHERE status = 200;", "expected exactly 1 table in FROM clause"],
  ["SELECT UPPER(user_id) FROM events WHERE status = 200", "Function not supported"],
  ["SELECT COUNT(department) FROM sales", "Function not supported"],
  ["SELECT COUNT(DISTINCT region) FROM sales", "Function not supported"],
  ["SELECT metadata.user_id FROM events", "Cannot access nested fields"],
  ["SELECT json_field->>'property' FROM logs", "Cannot access nested fields"],
  ["SELECT user_id, 'active' as status, 1 as priority FROM users", "aliases (AS) are not supported"],
  ["SELECT user_id AS uid, timestamp AS ts FROM my_table;", "aliases (AS) are not supported"],
  ["SELECT COUNT(*) AS total FROM sales GROUP BY department", "aliases (AS) are not supported"],
  ["SELECT * FROM table_name AS alias", "aliases (AS) are not supported"],
  ["SELECT a.*, b.* FROM table1 a, table2 b WHERE a.id = b.id", "Multiple tables not supported"],
  ["SELECT * FROM table1, table2;", "Multiple tables not supported"],
  ["SELECT * FROM events JOIN users ON events.user_id = users.id", "JOIN operations not allowed"],
  ["SELECT * FROM (SELECT user_id FROM events WHERE status = 200) as active_users", "only table name is supported in FROM clause"],
  ["SELECT * FROM read_parquet('x')", "only table name is supported in FROM clause"],
  ["SELECT * FROM logs WHERE tags[0] = 'error'", "This feature is not implemented: GetFieldAccess"],
  ["SELECT * FROM events WHERE 'admin' = ANY(roles)", "This feature is not implemented: GetFieldAccess"],
  ["SELECT * FROM requests WHERE metadata.country = 'US'", "Error during planning: could not parse compound"],
  ["SELECT * FROM logs WHERE json_data->>'level' = 'error'", "unsupported binary operator"],
  ["SELECT * FROM logs WHERE response_time + latency > 5000", "unsupported binary operator"],
  ["SELECT * FROM events WHERE start_time < end_time", "right argument to a binary expression must be a literal"],
  ["SELECT * FROM events WHERE col_a = col_b", "right argument to a binary expression must be a literal"],
  ["SELECT * FROM ns.events LIMIT 50000", "maximum LIMIT is 10000"],
  ["SELECT * FROM events LIMIT 100 OFFSET 200", "OFFSET not supported"],
  ["SELECT * FROM events LIMIT 100, 100", "OFFSET not supported"],
  ["ALTER TABLE events ADD COLUMN new_field STRING", "invalid SQL: only top-level SELECT clause is supported"],
  ["UPDATE events SET status = 200 WHERE user_id = '123'", "invalid SQL: only top-level SELECT clause is supported"],
  ["WITH x AS (SELECT * FROM ns.events) SELECT * FROM x", "invalid SQL: only top-level SELECT clause is supported"],
  ["SELECT * FROM ns.events UNION ALL SELECT * FROM ns.events", "invalid SQL: only top-level SELECT clause is supported"],
];

/** What the same pages show as valid, on the tables here, with the number of rows. */
const ACCEPTED: readonly (readonly [string, number])[] = [
  ["SELECT user_id FROM ns.events WHERE status = 200 AND timestamp BETWEEN '2025-09-24T01:00:00Z' AND '2025-09-25T23:00:00Z';", 1],
  ["SELECT metadata FROM ns.events LIMIT 1", 1],
  ["SELECT * FROM ns.events WHERE user_id IN ('u0', 'u1')", 8],
  ["SELECT * FROM ns.events WHERE user_id LIKE '%1%'", 4],
  ["SELECT * FROM ns.events WHERE (status = 404 OR status = 500) AND NOT user_id LIKE 'u2%'", 4],
  ["SELECT events.user_id FROM ns.events WHERE cpu_usage >= 83.5 AND is_active", 1],
  ["SELECT * FROM ns.events WHERE user_id IS NOT NULL AND timestamp >= '2025-09-30'", 2],
  ["SELECT COUNT(*), SUM(status), AVG(cpu_usage), MIN(timestamp), MAX(timestamp) FROM ns.events", 1],
  ["SELECT user_id, status, COUNT(*) FROM ns.events GROUP BY user_id, status HAVING COUNT(*) >= 2 AND COUNT(*) < 1000", 6],
  ["SELECT SUM(cpu_usage) FROM ns.events GROUP BY user_id ORDER BY SUM(status) DESC", 3],
  ["SELECT approx_percentile_cont(cpu_usage, 0.5), approx_distinct(user_id), approx_top_k(user_id, 3) FROM ns.events", 1],
  ["SHOW TABLES IN ns", 2],
  ["DESCRIBE ns.events", 7],
];

test("[r2-sql-25] every documented refusal has its text, and every documented query of the older dialect runs", async () => {
  for (const [sql, text] of REFUSED) {
    const { success, errors } = await query(sql);
    assert.equal(success, false, sql);
    assert.equal(errors[0].code, 40003, sql);
    assert(errors[0].message.includes(text), `${sql}: ${errors[0].message}`);
  }
  for (const [sql, count] of ACCEPTED) assert.equal((await rows(sql)).length, count, sql);
  // Without a direction, aggregates are in descending order too.
  const [most] = await rows("SELECT user_id, MAX(cpu_usage) FROM ns.events GROUP BY user_id ORDER BY MAX(cpu_usage) LIMIT 1");
  assert.equal(most["max(cpu_usage)"], 85.5);
  const { stdout, stderr } = await wrangler("SELECT user_id AS uid FROM ns.events");
  assert.match(stdout + stderr, /40003.*aliases \(AS\) are not supported/s);
});
