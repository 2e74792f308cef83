/** Snapshot expiration, turned on by wrangler and the SDK, of tables whose older snapshots pyiceberg wrote under an earlier clock. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { maintain } from "../maintenance-runs.ts";
import { type Lake, lake } from "./lake.ts";

const platform = await startPlatform({ after });

async function objects(on: TestPlatform, bucket: string): Promise<string[]> {
  const { Contents = [] } = await on.s3().send(new ListObjectsV2Command({ Bucket: bucket }));
  return Contents.map(({ Key = "" }) => Key);
}

/** Eight snapshots, 40 to 33 days old, and two new ones; the old ones wrote a file each, of which an overwrite kept none. */
const history = (py: Lake["py"], name: string) =>
  py(`
import time
real = time.time
DAY = 86400
catalog.create_namespace_if_not_exists("ns")
table = catalog.create_table("${name}", pa.schema([("id", pa.int64())]))
for i in range(7):
    time.time = lambda: real() - (40 - i) * DAY
    table.append(pa.table({"id": [i]}))
time.time = lambda: real() - 33 * DAY
table.delete("id >= 0")
time.time = real
for i in range(2): table.append(pa.table({"id": [100 + i]}))
`);

const shown = async (py: Lake["py"], name: string): Promise<{ snapshots: number; ids: number[]; refs: string[] }> =>
  JSON.parse(
    (
      await py(`
import json
table = catalog.load_table("${name}")
print(json.dumps({"snapshots": len(table.metadata.snapshots), "ids": sorted(table.scan().to_arrow()["id"].to_pylist()), "refs": sorted(table.metadata.refs)}))
`)
    ).stdout,
  );

test("[r2-data-catalog-29, r2-data-catalog-31] only snapshots that are old and beyond the newest go, and with them files that nothing else names", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "expired-lake");
  await history(py, "ns.t");
  const before = await objects(platform, bucket);
  const credential = (await platform.token(["Workers R2 Data Catalog Write", "Workers R2 Storage Write"])).value;
  const enable = (...args: string[]) =>
    platform.wrangler(["r2", "bucket", "catalog", "snapshot-expiration", "enable", bucket, "--token", credential, ...args]);

  // All are older than 50 days or among the newest: none goes.
  await enable("--older-than-days", "50", "--retain-last", "1");
  assert.equal((await maintain(platform, bucket, "ns.t")).operations.snapshot_expiration.expired_snapshots, 0);
  await enable("--older-than-days", "30", "--retain-last", "10");
  assert.equal((await maintain(platform, bucket, "ns.t")).operations.snapshot_expiration.expired_snapshots, 0);
  assert.deepEqual(await shown(py, "ns.t"), { snapshots: 10, ids: [100, 101], refs: ["main"] });

  // Three old ones are among the newest five; a tag keeps one, and what it names.
  await py(
    `catalog.load_table("ns.t").manage_snapshots().create_tag(catalog.load_table("ns.t").metadata.snapshots[2].snapshot_id, "kept").commit()`,
  );
  await enable("--older-than-days", "30", "--retain-last", "5");
  const run = await maintain(platform, bucket, "ns.t");
  assert.equal(run.status, "succeeded", run.message);
  const runs = async () => JSON.stringify(run.operations.snapshot_expiration);
  assert.deepEqual(await shown(py, "ns.t"), { snapshots: 6, ids: [100, 101], refs: ["kept", "main"] }, await runs());
  const { stdout } = await py(`
table = catalog.load_table("ns.t")
print([table.scan(snapshot_id=s.snapshot_id).to_arrow().num_rows for s in table.metadata.snapshots])
`);
  assert.equal(stdout.trim(), "[3, 6, 7, 0, 1, 2]");
  const now = await objects(platform, bucket);
  const lists = (keys: string[]) => keys.filter((key) => /\/snap-[^/]*\.avro$/.test(key)).length;
  assert.deepEqual([lists(before), lists(now)], [10, 6]);
  assert.ok(
    before.filter((key) => key.endsWith(".parquet")).every((key) => now.includes(key)),
    "files in use were deleted",
  );

  // Without the tag and with one snapshot to keep, the files that were overwritten go too.
  await py(`catalog.load_table("ns.t").manage_snapshots().remove_tag("kept").commit()`);
  await enable("--older-than-days", "30", "--retain-last", "1");
  await maintain(platform, bucket, "ns.t");
  assert.deepEqual(await shown(py, "ns.t"), { snapshots: 2, ids: [100, 101], refs: ["main"] });
  const left = (await objects(platform, bucket)).filter((key) => key.endsWith(".parquet"));
  assert.equal(left.length, 2);
});

test("[r2-data-catalog-30] expiration is set for one table, and disabled by wrangler without a question when forced", {
  skip: noPython,
}, async () => {
  const { bucket, py } = await lake(platform, "table-expiry");
  await history(py, "ns.one");
  await history(py, "ns.two");
  const wrangler = (...args: string[]) => platform.wrangler(["r2", "bucket", "catalog", "snapshot-expiration", ...args]);
  await wrangler("enable", bucket, "ns", "one", "--older-than-days", "30", "--retain-last", "2");
  const run = await maintain(platform, bucket, "ns.one");
  assert.equal(run.status, "succeeded", run.message);
  assert.equal((await shown(py, "ns.one")).snapshots, 2);
  assert.equal((await shown(py, "ns.two")).snapshots, 10);

  await wrangler("disable", bucket, "ns", "one", "--force");
  await assert.rejects(maintain(platform, bucket, "ns.one"), /40012/);
  const config = await platform.sdk().r2DataCatalog.namespaces.tables.maintenanceConfigs.get("one", {
    account_id: platform.ready.account_id,
    bucket_name: bucket,
    namespace: "ns",
  });
  assert.deepEqual(config.maintenance_config?.snapshot_expiration, {
    state: "disabled",
    max_snapshot_age: "30d",
    min_snapshots_to_keep: 2,
  });
});

test("[r2-data-catalog-31] files of expired snapshots stay when the operator says so", { skip: noPython }, async (t) => {
  const keeping = await startPlatform(t, { config: { "r2_data_catalog.delete_expired_files": false } });
  const { bucket, py } = await lake(keeping, "kept-files");
  await history(py, "ns.t");
  const before = (await objects(keeping, bucket)).filter((key) => !key.endsWith(".metadata.json"));
  await keeping.wrangler([
    "r2",
    "bucket",
    "catalog",
    "snapshot-expiration",
    "enable",
    bucket,
    "ns",
    "t",
    "--older-than-days",
    "30",
    "--retain-last",
    "1",
  ]);
  await maintain(keeping, bucket, "ns.t");
  assert.equal((await shown(py, "ns.t")).snapshots, 2);
  const now = await objects(keeping, bucket);
  assert.deepEqual(
    before.filter((key) => !now.includes(key)),
    [],
  );
});
