/** R2 Data Catalog by wrangler: enable, get, disable, and the settings of maintenance. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const account = platform.ready.account_id;
const headers = { authorization: `Bearer ${platform.ready.api_token}` };

const bucket = async (name: string): Promise<string> => {
  await platform.s3().send(new CreateBucketCommand({ Bucket: name }));
  return name;
};
const config = (name: string) =>
  platform.fetch(`${platform.host("catalog", { bucket: name })}/v1/config?warehouse=${account}_${name}`, { headers });

test("[r2-data-catalog-01] enable prints URI and warehouse, get shows the status, disable stops the serving", async () => {
  const name = await bucket("wrangler-lake");
  const before = await platform.wrangler(["r2", "bucket", "catalog", "get", name]);
  assert.match(before.stdout, /is not enabled for bucket 'wrangler-lake'/);
  assert.equal((await config(name)).status, 404);

  const enabled = await platform.wrangler(["r2", "bucket", "catalog", "enable", name]);
  assert.ok(enabled.stdout.includes(`Catalog URI: 'https://catalog.cloudflarestorage.com/${account}/${name}'`), enabled.stdout);
  assert.ok(enabled.stdout.includes(`Warehouse: '${account}_${name}'`), enabled.stdout);
  const got = await platform.wrangler(["r2", "bucket", "catalog", "get", name]);
  assert.match(got.stdout, /Status:\s+active/);
  assert.ok(got.stdout.includes(`${account}_${name}`));
  assert.equal((await config(name)).status, 200);

  const disabled = await platform.wrangler(["r2", "bucket", "catalog", "disable", name]);
  assert.match(disabled.stdout, /Successfully disabled/);
  assert.match((await platform.wrangler(["r2", "bucket", "catalog", "get", name])).stdout, /Status:\s+inactive/);
  assert.equal((await config(name)).status, 404);

  const never = await platform.wrangler(["r2", "bucket", "catalog", "disable", await bucket("never-a-lake")]);
  assert.match(never.stdout, /is not enabled for bucket 'never-a-lake'/);
  const noBucket = await platform.wrangler(["basin", "catalog", "enable", "no-such-bucket"], { code: 1 });
  assert.match(noBucket.stdout + noBucket.stderr, /The specified bucket does not exist\. \[code: 10006\]/);
});

test("settings of maintenance are stored for the catalog and for a table, in every spelling that wrangler has", async () => {
  const name = await bucket("maintained-lake");
  await platform.wrangler(["basin", "catalog", "enable", name]);
  const { overrides } = (await (await config(name)).json()) as { overrides: { prefix: string } };
  const rest = (path: string, body: unknown) =>
    platform.fetch(`${platform.host("catalog", { bucket: name })}/v1/${overrides.prefix}${path}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  await rest("/namespaces", { namespace: ["ns"] });
  await rest("/namespaces/ns/tables", {
    name: "t",
    schema: { type: "struct", fields: [{ id: 1, name: "id", required: false, type: "long" }] },
  });

  const catalog = ["r2", "bucket", "catalog"];
  await platform.wrangler([...catalog, "compaction", "enable", name, "--target-size", "256", "--token", "a-token"]);
  await platform.wrangler([
    ...catalog,
    "snapshot-expiration",
    "enable",
    name,
    "--older-than-days",
    "7",
    "--retain-last",
    "10",
    "--token",
    "a-token",
  ]);
  await platform.wrangler([...catalog, "compaction", "enable", name, "ns", "t", "--target-size", "512"]);
  await platform.wrangler([...catalog, "snapshot-expiration", "enable", name, "ns", "t", "--older-than-days", "2", "--retain-last", "5"]);
  const base = `/accounts/${account}/r2-catalog/${name}`;
  const table = `${base}/namespaces/ns/tables/t/maintenance-configs`;
  const shown = async (path: string) => (await platform.rest("GET", path)).body.result;
  assert.deepEqual(await shown(`${base}/maintenance-configs`), {
    credential_status: "present",
    maintenance_config: {
      compaction: { state: "enabled", target_size_mb: "256" },
      snapshot_expiration: { state: "enabled", max_snapshot_age: "7d", min_snapshots_to_keep: 10 },
    },
  });
  assert.deepEqual(await shown(table), {
    maintenance_config: {
      compaction: { state: "enabled", target_size_mb: "512" },
      snapshot_expiration: { state: "enabled", max_snapshot_age: "2d", min_snapshots_to_keep: 5 },
    },
  });
  await platform.wrangler([...catalog, "compaction", "disable", name]);
  await platform.wrangler([...catalog, "snapshot-expiration", "disable", name, "ns", "t", "--force"]);
  assert.equal((await shown(`${base}/maintenance-configs`)).maintenance_config.compaction.state, "disabled");
  assert.equal((await shown(table)).maintenance_config.snapshot_expiration.state, "disabled");
});

test("[r2-data-catalog-32] a missing token and a namespace without a table are errors of the client", async () => {
  const said = async (...args: string[]) => {
    const { stdout, stderr } = await platform.wrangler(["r2", "bucket", "catalog", ...args], { code: 1 });
    return stdout + stderr;
  };
  assert.match(await said("compaction", "enable", "any-lake"), /token/i);
  assert.match(await said("compaction", "enable", "any-lake", "ns"), /Both namespace and table must be provided/);
  assert.match(await said("snapshot-expiration", "enable", "any-lake"), /token/i);
});
