/** The control API of R2 Data Catalog by the SDK, under its old name and its new one. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const sdk = platform.sdk();

const DEFAULTS = {
  compaction: { state: "disabled", target_size_mb: "128" },
  snapshot_expiration: { state: "disabled", max_snapshot_age: "7d", min_snapshots_to_keep: 100 },
};

async function enabled(name: string): Promise<string> {
  await platform.s3().send(new CreateBucketCommand({ Bucket: name }));
  const { id, name: warehouse } = await sdk.r2DataCatalog.enable(name, { account_id });
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(warehouse, `${account_id}_${name}`);
  return id;
}

/** A request to the Iceberg REST API, to fill catalogs. */
async function iceberg(bucket: string, path: string, body: unknown): Promise<void> {
  const base = `${platform.host("catalog", { bucket })}/v1`;
  const headers = { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" };
  const config = await platform.fetch(`${base}/config?warehouse=${account_id}_${bucket}`, { headers });
  const { overrides } = (await config.json()) as { overrides: { prefix: string } };
  const response = await platform.fetch(`${base}/${overrides.prefix}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
}

const schema = { type: "struct", fields: [{ id: 1, name: "id", required: false, type: "long" }] };

const apiError = (code: number) => (error: unknown) => {
  assert.equal((error as { errors: { code: number }[] }).errors?.[0]?.code, code, String(error));
  return true;
};

for (const product of ["r2DataCatalog", "basinCatalog"] as const) {
  test(`[r2-data-catalog-37] ${product}: list, get, credential and maintenance settings`, async () => {
    const bucket = `sdk-${product.toLowerCase()}`;
    const id = await enabled(bucket);
    const api = sdk[product];
    const expected = {
      id,
      bucket,
      name: `${account_id}_${bucket}`,
      status: "active",
      credential_status: "absent",
      maintenance_config: DEFAULTS,
    };
    assert.deepEqual(await api.get(bucket, { account_id }), expected);
    const { warehouses } = await api.list({ account_id });
    assert.deepEqual(
      warehouses.find((warehouse) => warehouse.id === id),
      expected,
    );
    assert.deepEqual(await api.maintenanceConfigs.get(bucket, { account_id }), {
      credential_status: "absent",
      maintenance_config: DEFAULTS,
    });

    const badToken = async (token: string) =>
      assert.rejects(api.credentials.create(bucket, { account_id, token }), (error: { status?: number }) => error.status === 400);
    await badToken("secret-of-nobody");
    await badToken((await platform.token(["Workers R2 Data Catalog Read", "Workers R2 Storage Write"])).value);
    await badToken((await platform.token(["Workers R2 Data Catalog Write", "Workers R2 Storage Read"])).value);
    const maintenance = await platform.token(["Workers R2 Data Catalog Write", "Workers R2 Storage Write"]);
    assert.equal(await api.credentials.create(bucket, { account_id, token: maintenance.value }), null);
    const updated = await api.maintenanceConfigs.update(bucket, {
      account_id,
      compaction: { state: "enabled", target_size_mb: "64" },
      snapshot_expiration: { max_snapshot_age: "48h" },
    });
    const wanted = {
      compaction: { state: "enabled", target_size_mb: "64" },
      snapshot_expiration: { state: "disabled", max_snapshot_age: "48h", min_snapshots_to_keep: 100 },
    };
    assert.deepEqual(updated, wanted);
    const after_ = await api.get(bucket, { account_id });
    assert.deepEqual([after_.credential_status, after_.maintenance_config], ["present", wanted]);

    const refused = (body: object) =>
      assert.rejects(api.maintenanceConfigs.update(bucket, { account_id, ...body }), (error: { status?: number }) => error.status === 400);
    await refused({ compaction: { target_size_mb: "100" } });
    await refused({ snapshot_expiration: { max_snapshot_age: "soon" } });
    await refused({ snapshot_expiration: { min_snapshots_to_keep: 0 } });
    await refused({ compaction: { state: "perhaps" } });
    assert.deepEqual((await api.maintenanceConfigs.get(bucket, { account_id })).maintenance_config, wanted);

    await api.disable(bucket, { account_id });
    assert.equal((await api.get(bucket, { account_id })).status, "inactive");
    await assert.rejects(api.get("no-such-lake", { account_id }), apiError(40401));
    await assert.rejects(api.disable("no-such-lake", { account_id }), apiError(40401));
    await assert.rejects(api.credentials.create("no-such-lake", { account_id, token: "x" }), apiError(40401));
    await assert.rejects(api.enable("no-such-lake", { account_id }), apiError(10006));
  });
}

test("[r2-data-catalog-38] a catalog is deleted when it is empty, or by force, and its objects stay", async () => {
  const bucket = "sdk-deleted";
  await enabled(bucket);
  await iceberg(bucket, "/namespaces", { namespace: ["ns"] });
  await iceberg(bucket, "/namespaces/ns/tables", { name: "t", schema });
  await assert.rejects(sdk.r2DataCatalog.delete(bucket, { account_id }), (error: { status?: number }) => error.status === 409);
  await sdk.r2DataCatalog.delete(bucket, { account_id, force: true });
  await assert.rejects(sdk.r2DataCatalog.get(bucket, { account_id }), apiError(40401));
  const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
  const { KeyCount } = await platform.s3().send(new ListObjectsV2Command({ Bucket: bucket }));
  assert.equal(KeyCount, 1);
});

test("[r2-data-catalog-39] namespaces and tables are browsed in pages, with uuids and details", async () => {
  const bucket = "sdk-browsed";
  await enabled(bucket);
  for (const namespace of [["a"], ["b"], ["c"], ["a", "inner"]]) await iceberg(bucket, "/namespaces", { namespace });
  for (const name of ["t1", "t2", "t3"]) await iceberg(bucket, "/namespaces/a/tables", { name, schema });
  const { namespaces } = sdk.r2DataCatalog;
  const first = await namespaces.list(bucket, { account_id, page_size: 2, return_uuids: true, return_details: true });
  assert.deepEqual(first.namespaces, [["a"], ["b"]]);
  assert.equal(first.namespace_uuids?.length, 2);
  assert.deepEqual(
    first.details?.map((detail) => [detail.namespace, detail.namespace_uuid, typeof detail.created_at, detail.updated_at]),
    first.namespaces.map((path, i) => [path, first.namespace_uuids?.[i], "string", null]),
  );
  const rest = await namespaces.list(bucket, { account_id, page_size: 2, page_token: first.next_page_token ?? "" });
  assert.deepEqual([rest.namespaces, rest.next_page_token, rest.details], [[["c"]], null, undefined]);
  assert.deepEqual((await namespaces.list(bucket, { account_id, parent: "a" })).namespaces, [["a", "inner"]]);

  const tables = await namespaces.tables.list("a", {
    account_id,
    bucket_name: bucket,
    page_size: 2,
    return_uuids: true,
    return_details: true,
  });
  assert.deepEqual(
    tables.identifiers.map((identifier) => identifier.name),
    ["t1", "t2"],
  );
  assert.equal(tables.details?.[0]?.table_uuid, tables.table_uuids?.[0]);
  assert.match(tables.details?.[0]?.metadata_location ?? "", /^s3:\/\/sdk-browsed\/.*\.metadata\.json$/);
  const more = await namespaces.tables.list("a", { account_id, bucket_name: bucket, page_token: tables.next_page_token ?? "" });
  assert.deepEqual(
    more.identifiers.map((identifier) => identifier.name),
    ["t3"],
  );
  const config = await namespaces.tables.maintenanceConfigs.get("t1", { account_id, bucket_name: bucket, namespace: "a" });
  assert.deepEqual(config.maintenance_config, DEFAULTS);
  await assert.rejects(
    namespaces.tables.maintenanceConfigs.get("absent", { account_id, bucket_name: bucket, namespace: "a" }),
    (error: { status?: number }) => error.status === 404,
  );
});

test("[r2-data-catalog-45] the catalog of a bucket in another jurisdiction cannot be enabled", async () => {
  await sdk.r2.buckets.create({ account_id, name: "sdk-european", "cf-r2-jurisdiction": "eu" });
  await assert.rejects(sdk.r2DataCatalog.enable("sdk-european", { account_id }), apiError(10006));
  await assert.rejects(sdk.r2DataCatalog.get("sdk-european", { account_id }), apiError(40401));
});

test("a token for reading cannot change a catalog", async () => {
  const bucket = "sdk-read-only";
  await enabled(bucket);
  const reader = platform.sdk((await platform.token(["Workers R2 Data Catalog Read"])).value);
  assert.equal((await reader.r2DataCatalog.get(bucket, { account_id })).status, "active");
  const forbidden = (error: { status?: number }) => error.status === 403;
  await assert.rejects(reader.r2DataCatalog.disable(bucket, { account_id }), forbidden);
  await assert.rejects(reader.r2DataCatalog.credentials.create(bucket, { account_id, token: "x" }), forbidden);
  await assert.rejects(reader.r2DataCatalog.delete(bucket, { account_id, force: true }), forbidden);
  assert.equal((await sdk.r2DataCatalog.get(bucket, { account_id })).status, "active");
});
