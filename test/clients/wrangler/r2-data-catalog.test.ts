/** R2 Data Catalog by wrangler: enable, get, disable, and the settings of maintenance. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

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
  const token = await platform.token(["Workers R2 Data Catalog Write", "Workers R2 Storage Write"]);
  await platform.wrangler([...catalog, "compaction", "enable", name, "--target-size", "256", "--token", token.value]);
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
    token.value,
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

test("[r2-data-catalog-40] put and delete of objects in a bucket with a catalog ask first", async () => {
  const name = await bucket("guarded-lake");
  const s3 = platform.s3();
  const question = "Basin Catalog is enabled for this bucket. Proceeding may leave Basin Catalog in an invalid state. Continue?";
  const object = (verb: string, ...more: string[]) =>
    platform.wrangler(["r2", "object", verb, `${name}/file`, "--remote", ...more], { input: "text" });
  const asked = async (...args: Parameters<typeof object>) => {
    const { stdout, stderr } = await object(...args);
    return (stdout + stderr).includes(question);
  };
  const refusal = async (method: string, key: string, check = "true") => {
    const response = await platform.fetch(`${platform.ready.api}/accounts/${account}/r2/buckets/${name}/objects/${key}`, {
      method,
      headers: { ...headers, "cf-r2-data-catalog-check": check },
      ...(method === "PUT" && { body: "new" }),
    });
    const { errors } = (await response.json()) as { errors: { code: number }[] };
    return [response.status, errors[0]?.code];
  };
  const content = async (key: string) =>
    s3.send(new GetObjectCommand({ Bucket: name, Key: key })).then(
      ({ Body }) => Body?.transformToString(),
      () => undefined,
    );

  await s3.send(new PutObjectCommand({ Bucket: name, Key: "file", Body: "old" }));
  await platform.sdk().r2DataCatalog.enable(name, { account_id: account });
  // Without a terminal wrangler answers its own question with yes, and repeats the request without asking.
  assert.equal(await asked("delete"), true);
  assert.equal(await content("file"), undefined);
  assert.equal(await asked("put", "--pipe"), true);
  assert.equal(await content("file"), "text");
  assert.equal(await asked("put", "--pipe", "--force"), false);
  // Who leaves it at the refusal has changed nothing.
  assert.deepEqual(await refusal("PUT", "file"), [409, 10081]);
  assert.deepEqual(await refusal("DELETE", "file"), [409, 10081]);
  assert.equal(await content("file"), "text");
  assert.deepEqual(await refusal("PUT", "file", "false"), [200, undefined]);
  await platform.sdk().r2DataCatalog.disable(name, { account_id: account });
  assert.equal(await asked("delete"), false);
});

test("[r2-data-catalog-41] lifecycle rules of a bucket with a catalog ask first", async () => {
  const name = await bucket("guarded-rules");
  const lifecycle = async (...args: string[]) => {
    const { stdout, stderr } = await platform.wrangler(["r2", "bucket", "lifecycle", ...args]);
    return stdout + stderr;
  };
  const path = `/accounts/${account}/r2/buckets/${name}/lifecycle`;
  const rules = async () => ((await platform.rest("GET", path)).body.result as { rules: { id: string }[] }).rules.map((rule) => rule.id);
  const before = await rules();
  const add = (id: string, ...more: string[]) => lifecycle("add", name, id, `${id}/`, "--expire-days", "3", ...more);
  const question = /Basin Catalog is enabled for this bucket/;
  await platform.sdk().r2DataCatalog.enable(name, { account_id: account });
  assert.match(await add("asked"), question);
  assert.doesNotMatch(await add("forced", "--force"), question);
  assert.deepEqual(await rules(), [...before, "asked", "forced"]);
  const refused = await platform.fetch(`${platform.ready.api}${path}`, {
    method: "PUT",
    headers: { ...headers, "cf-r2-data-catalog-check": "true", "content-type": "application/json" },
    body: JSON.stringify({ rules: [] }),
  });
  assert.deepEqual([refused.status, ((await refused.json()) as { errors: { code: number }[] }).errors[0]?.code], [409, 10081]);
  const dir = await temporaryDirectory("freehold-rules-");
  const file = join(dir, "rules.json");
  await writeFile(file, JSON.stringify({ rules: [] }));
  assert.match(await lifecycle("set", name, "--file", file), question);
  assert.deepEqual(await rules(), []);
});
