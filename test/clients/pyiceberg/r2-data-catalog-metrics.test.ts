/** What pyiceberg asked of the catalog, by its own count and by the GraphQL queries of the documentation. Needs Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { askAnalytics, rowsOf } from "../analytics.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const shared = await lake(platform, "measured-lake");
const dataset = "r2CatalogDataOperationsAdaptiveGroups";
const own = `warehouseName: "${shared.warehouse}"`;

/** Requests as pyiceberg's HTTP session sent them: "METHOD path status" → [requests, bytes of their bodies]. */
async function session(): Promise<Record<string, [number, number]>> {
  const { stdout } = await shared.py(`
import json, re
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
seen = {}
def note(response, *args, **more):
    path = re.sub(r"^.*/v1/[^/]+", "", response.request.url.split("?")[0])
    body = response.request.body or b""
    entry = seen.setdefault(f"{response.request.method} {path} {response.status_code}", [0, 0])
    entry[0] += 1
    entry[1] += len(body.encode() if isinstance(body, str) else body)
catalog._session.hooks["response"].append(note)
data = pa.table({"id": [1, 2, 3]})
catalog.create_namespace("shop")
catalog.list_namespaces()
table = catalog.create_table("shop.orders", schema=data.schema)
for _ in range(3):
    table.append(data)
catalog.load_table("shop.orders")
raises(NoSuchTableError, "", lambda: catalog.load_table("shop.none"))
raises(TableAlreadyExistsError, "", lambda: catalog.create_table("shop.orders", schema=data.schema))
catalog.list_tables("shop")
catalog.rename_table("shop.orders", "shop.sales")
catalog.drop_table("shop.sales")
print(json.dumps(seen))
`);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Record<string, [number, number]>;
}

/** The operation, table and status that the metrics should have for each line of the session. */
const operations: readonly [RegExp, string, string][] = [
  [/^POST \/namespaces \d+$/, "create-namespace", ""],
  [/^GET \/namespaces \d+$/, "list-namespaces", ""],
  [/^POST \/namespaces\/shop\/tables \d+$/, "create-table", "orders"],
  [/^POST \/namespaces\/shop\/tables\/orders \d+$/, "commit-table", "orders"],
  [/^GET \/namespaces\/shop\/tables\/orders \d+$/, "load-table", "orders"],
  // After a rename pyiceberg loads the table by its new name.
  [/^GET \/namespaces\/shop\/tables\/sales \d+$/, "load-table", "sales"],
  [/^GET \/namespaces\/shop\/tables\/none \d+$/, "load-table", ""],
  [/^GET \/namespaces\/shop\/tables \d+$/, "list-tables", ""],
  [/^GET \/namespaces\/shop \d+$/, "load-namespace", ""],
  [/^HEAD \/namespaces\/shop \d+$/, "namespace-exists", ""],
  [/^POST \/tables\/rename \d+$/, "rename-table", ""],
  [/^DELETE \/namespaces\/shop\/tables\/sales \d+$/, "drop-table", "sales"],
];

test("[r2-data-catalog-43] requests are counted by operation, table and status, with bytes and durations", async () => {
  const seen = await session();
  const expected = new Map<string, { count: number; bytes: number }>([["get-config//200", { count: 1, bytes: 0 }]]);
  for (const [line, [count, bytes]] of Object.entries(seen)) {
    const [, operation, table] = operations.find(([pattern]) => pattern.test(line)) ?? assert.fail(`no operation is named for ${line}`);
    expected.set(`${operation}/${table}/${line.split(" ").at(-1)}`, { count, bytes });
  }
  assert.equal(expected.get("commit-table/orders/200")?.count, 3);
  assert.ok((expected.get("create-table/orders/409")?.bytes ?? 0) > 0);
  assert.equal(expected.get("load-table//404")?.count, 1);

  const asked = () =>
    rowsOf(
      platform,
      dataset,
      own,
      "orderBy: [count_DESC]",
      "count dimensions { operation tableName httpStatus } sum { requestBodyBytes requestDurationMs } avg { requestDurationMs } quantiles { requestDurationMsP50 requestDurationMsP90 requestDurationMsP99 }",
    );
  type Row = {
    count: number;
    dimensions: { operation: string; tableName: string; httpStatus: number };
    sum: { requestBodyBytes: number; requestDurationMs: number };
    avg: { requestDurationMs: number };
    quantiles: { requestDurationMsP50: number; requestDurationMsP90: number; requestDurationMsP99: number };
  };
  const rows = (await asked()) as unknown as Row[];
  const found = new Map(
    rows.map(({ count, dimensions, sum }) => [
      `${dimensions.operation}/${dimensions.tableName}/${dimensions.httpStatus}`,
      { count, bytes: sum.requestBodyBytes },
    ]),
  );
  assert.deepEqual(Object.fromEntries([...found].sort()), Object.fromEntries([...expected].sort()));
  for (const { count, sum, avg, quantiles } of rows) {
    assert.equal(avg.requestDurationMs, sum.requestDurationMs / count);
    const { requestDurationMsP50: p50, requestDurationMsP90: p90, requestDurationMsP99: p99 } = quantiles;
    assert.ok(p50 <= p90 && p90 <= p99 && p99 <= sum.requestDurationMs, JSON.stringify(quantiles));
  }
  const commits = `${own} operation: "commit-table" namespaceName: "shop" httpStatus_lt: 300`;
  assert.deepEqual(await rowsOf(platform, dataset, commits, "", "count"), [{ count: 3 }]);
  const byTime = await rowsOf(platform, dataset, own, "", "count dimensions { warehouseName date datetimeHour }");
  assert.equal(
    byTime.reduce((sum, row) => sum + Number(row.count), 0),
    rows.reduce((sum, row) => sum + row.count, 0),
  );

  await platform.restart();
  assert.deepEqual(await asked(), rows);
});

test("a token for one bucket sees no figures of the account's catalogs", async () => {
  const query = `{ viewer { accounts(filter: { accountTag: "${platform.ready.account_id}" }) { ${dataset}(limit: 1) { count } } } }`;
  const resource = `com.cloudflare.edge.r2.bucket.${platform.ready.account_id}_default_${shared.bucket}`;
  const { value } = await platform.token(["Workers R2 Data Catalog Read", "Workers R2 Storage Bucket Item Read"], { [resource]: "*" });
  assert.match((await askAnalytics(platform, query, {}, value)).errors?.[0]?.message ?? "", /not authorized for dataset/);
  const whole = await platform.token(["Workers R2 Data Catalog Read"]);
  assert.equal((await askAnalytics(platform, query, {}, whole.value)).errors, null);
});
