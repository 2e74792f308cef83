/**
 * Requests for maintenance and their history. The SDK has no methods for them yet: its own `post` and `get` call the paths
 * that the documentation names ("Queue maintenance with the API").
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { finishedRun, maintain, type Run, tablePath } from "../maintenance-runs.ts";
import { lake } from "../pyiceberg/lake.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const sdk = platform.sdk();
const rights = ["Workers R2 Data Catalog Write", "Workers R2 Storage Write"];
const path = (bucket: string, table: string): string => tablePath(platform, bucket, table);

const tables = (py: (script: string) => Promise<unknown>, names: readonly string[]) =>
  py(`
catalog.create_namespace("ns")
for name in ${JSON.stringify(names)}:
    table = catalog.create_table(name, pa.schema([("id", pa.int64())]))
    for i in range(2): table.append(pa.table({"id": [i]}))
`);

test("[r2-data-catalog-44] runs are queued once for each request id, up to a day's limit, and listed in pages with what they did", {
  skip: noPython,
}, async () => {
  const { bucket, warehouse, py } = await lake(platform, "queued-lake");
  await tables(py, ["ns.t"]);
  const table = path(bucket, "ns.t");
  const queue = (body: object, type = "compaction") =>
    sdk.post(`${table}/maintenance-configs/${type}/queue`, { body }) as Promise<{ result: { request_id: string; status: string } }>;
  const code = (wanted: number) => (error: unknown) => {
    assert.equal((error as { errors: { code: number }[] }).errors[0]?.code, wanted, String(error));
    return true;
  };
  await assert.rejects(queue({}), code(40012));
  await sdk.r2DataCatalog.namespaces.tables.maintenanceConfigs.update("t", {
    account_id,
    bucket_name: bucket,
    namespace: "ns",
    compaction: { state: "enabled", target_size_mb: "64" },
    snapshot_expiration: { state: "enabled", max_snapshot_age: "30d", min_snapshots_to_keep: 1 },
  });
  // The schedule's own first run.
  const first = await finishedRun(platform, bucket, "ns.t", () => true);
  assert.deepEqual([first.request_id, first.status], [null, "succeeded"]);
  assert.equal(first.operations.compaction.input_files, 2);
  assert.equal(first.operations.snapshot_expiration.expired_snapshots, 0);

  const request_id = randomUUID();
  const queued = await queue({ request_id }, "snapshot_expiration");
  assert.deepEqual([queued.result.request_id, queued.result.status], [request_id, "queued"]);
  const run = await finishedRun(platform, bucket, "ns.t", (one) => one.request_id === request_id);
  assert.deepEqual([run.status, run.operations.compaction.input_files], ["succeeded", 0]);
  assert.deepEqual((await queue({ request_id })).result, queued.result);
  await assert.rejects(queue({ request_id: "not-a-uuid" }), code(40001));
  await assert.rejects(queue({}, "vacuum"), code(40001));
  const unknown = tablePath(platform, bucket, "ns.absent");
  assert.equal((await platform.rest("POST", `${unknown}/maintenance-configs/compaction/queue`, {})).status, 404);
  assert.equal((await platform.rest("GET", `${unknown}/maintenance-runs`)).status, 404);

  for (let i = 1; i < 24; i++) await maintain(platform, bucket, "ns.t");
  await assert.rejects(sdk.post(`${table}/maintenance-configs/compaction/queue`, { body: {}, maxRetries: 0 }), code(42901));
  assert.deepEqual((await queue({ request_id })).result, queued.result);

  type Page = { result: { runs: Run[]; next_page_token: string | null } };
  const seen: Run[] = [];
  for (let token: string | null = ""; token !== null; ) {
    const page = (await sdk.get(`${table}/maintenance-runs`, { query: { page_size: 10, page_token: token } })) as Page;
    assert.ok(page.result.runs.length <= 10);
    seen.push(...page.result.runs);
    token = page.result.next_page_token;
  }
  assert.equal(seen.length, 25);
  assert.equal(new Set(seen.map((one) => one.id)).size, 25);
  assert.deepEqual(
    seen.map((one) => one.started_at),
    seen
      .map((one) => one.started_at)
      .toSorted()
      .reverse(),
  );

  const { body } = await platform.rest("POST", "/graphql", {
    query: `query ($a: String!, $w: String!) { viewer { accounts(filter: { accountTag: $a }) {
      r2CatalogTableMaintenanceAdaptiveGroups(limit: 10, filter: { warehouseName: $w, jobType: "compaction" }) {
        count dimensions { tableName success } sum { filesProcessed filesOutput } } } } }`,
    variables: { a: account_id, w: warehouse },
  });
  const groups = (body as unknown as { data: { viewer: { accounts: { r2CatalogTableMaintenanceAdaptiveGroups: object[] }[] } } }).data;
  assert.deepEqual(groups.viewer.accounts[0]?.r2CatalogTableMaintenanceAdaptiveGroups, [
    { count: 25, dimensions: { tableName: "t", success: 1 }, sum: { filesProcessed: 2, filesOutput: 1 } },
  ]);
});

test("maintenance works with the rights of its token and of no other, and asks for them at each run", { skip: noPython }, async () => {
  const { bucket, py } = await lake(platform, "guarded-lake");
  await tables(py, ["ns.t", "ns.u"]);
  const { bucket: elsewhere } = await lake(platform, "other-lake");
  const on = (name: string) => ({ [`com.cloudflare.edge.r2.bucket.${account_id}_default_${name}`]: "*" });
  const stranger = await platform.token(["Workers R2 Data Catalog Write", "Workers R2 Storage Bucket Item Write"], on(elsewhere));
  const reader = await platform.token(["Workers R2 Data Catalog Read"]);
  for (const { value } of [stranger, reader]) {
    const request = (method: string, tail: string, body?: unknown) => platform.rest(method, `${path(bucket, "ns.t")}${tail}`, body, value);
    assert.equal((await request("POST", "/maintenance-configs/compaction/queue", {})).status, 403);
    assert.equal((await request("POST", "/maintenance-configs", { compaction: { state: "enabled" } })).status, 403);
  }
  assert.equal((await platform.rest("GET", `${path(bucket, "ns.t")}/maintenance-runs`, undefined, stranger.value)).status, 403);

  // A token that may change the catalog's settings but not its objects turns maintenance on: the run has no more rights.
  const catalogOnly = await platform.token(["Workers R2 Data Catalog Write"]);
  const enabled = await platform.rest(
    "POST",
    `${path(bucket, "ns.t")}/maintenance-configs`,
    { compaction: { state: "enabled" } },
    catalogOnly.value,
  );
  assert.equal(enabled.status, 200);
  const refused = await finishedRun(platform, bucket, "ns.t", () => true);
  assert.deepEqual([refused.status, refused.operations], ["failed", {}]);
  assert.match(refused.message, /lacks write access/);

  // A credential is asked for its rights when it is stored, and at every run.
  const credential = await platform.token(rights);
  await sdk.r2DataCatalog.credentials.create(bucket, { account_id, token: credential.value });
  assert.equal((await maintain(platform, bucket, "ns.t")).status, "succeeded");
  await platform.rest("DELETE", `/accounts/${account_id}/tokens/${credential.id}`);
  const late = await maintain(platform, bucket, "ns.t");
  assert.equal(late.status, "failed");
  assert.match(late.message, /no longer valid/);
});
