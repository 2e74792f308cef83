/**
 * What the Iceberg REST API refuses, and that a refusal changes nothing; and the operations that pyiceberg has no call
 * for. Requests are made by hand, because no client sends most of them. Needs Python.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { lake } from "./lake.ts";

const platform = await startPlatform({ after });
const own = await lake(platform, "refusing-lake");
const { prefix } = (await own.request("GET", `/config?warehouse=${own.warehouse}`)).json.overrides as { prefix: string };
const call = (method: string, path: string, body?: unknown) => own.request(method, `/${prefix}${path}`, body);

const schema = { type: "struct", fields: [{ id: 1, name: "id", required: false, type: "long" }] };

async function table(namespace: string, name: string, more: object = {}) {
  const answer = await call("POST", `/namespaces/${namespace}/tables`, { name, schema, ...more });
  assert.equal(answer.status, 200, answer.text);
  return answer.json as { "metadata-location": string; metadata: { "table-uuid": string; location: string } };
}

async function refused(method: string, path: string, body: unknown, status: number, type: string, text = ""): Promise<void> {
  const answer = await call(method, path, body);
  assert.deepEqual(
    [answer.status, answer.json?.error?.type, answer.json?.error?.code],
    [status, type, status],
    `${method} ${path}: ${answer.text}`,
  );
  assert.ok(answer.json.error.message.includes(text), `${answer.json.error.message} does not say ${text}`);
}

const create = (namespace: string[]) => call("POST", "/namespaces", { namespace });
await create(["ns"]);

test("namespaces: names, depth, properties and parameters", async () => {
  const bad = (namespace: unknown, text = "") => refused("POST", "/namespaces", { namespace }, 400, "BadRequestException", text);
  await bad([], "at least one level");
  await bad([""], "Empty");
  await bad(["a.b"], "period");
  await bad(["a\u001fb"], "control");
  await bad(["SYSTEM"], "reserved");
  await bad(["information_schema"], "reserved");
  await bad(["a", "b", "c", "d", "e", "f"], "5 levels");
  await bad("text");
  await bad([1]);
  await bad(["x".repeat(2000)], "bytes");
  await refused("POST", "/namespaces", { namespace: ["p"], properties: { Upper: "x" } }, 400, "BadRequestException", "lowercase");
  await refused("POST", "/namespaces", "{", 400, "BadRequestException", "JSON");
  await create(["props"]);
  const properties = (body: unknown, status: number, type: string) => refused("POST", "/namespaces/props/properties", body, status, type);
  await properties({ removals: ["a"], updates: { a: "1" } }, 422, "UnprocessableEntityException");
  await properties({ updates: { location: "s3://x/y" } }, 400, "BadRequestException");
  await properties({ updates: { a: 1 } }, 400, "BadRequestException");
  assert.deepEqual((await call("GET", "/namespaces/props")).json.properties, {});
  for (const parameter of ["recursive", "force", "purge"])
    await refused("DELETE", `/namespaces/props?${parameter}=true`, undefined, 400, "BadRequestException", parameter);
  await refused("GET", "/namespaces?pageSize=0", undefined, 400, "BadRequestException");
  await refused("GET", "/namespaces?pageToken=nonsense", undefined, 400, "BadRequestException");
  await refused("GET", "/namespaces?parent=absent", undefined, 404, "NoSuchNamespaceException");
  await refused("GET", "/namespaces/%FF", undefined, 400, "BadRequestException");
});

test("lists are cut into pages", async () => {
  await create(["paged"]);
  for (const name of ["c", "a", "b"]) await table("paged", name);
  const names: string[] = [];
  let token = "";
  do {
    const { json } = await call("GET", `/namespaces/paged/tables?pageSize=2&pageToken=${token}`);
    names.push(...json.identifiers.map((identifier: { name: string }) => identifier.name));
    token = json["next-page-token"] ?? "";
  } while (token !== "");
  assert.deepEqual(names, ["a", "b", "c"]);
  assert.equal((await call("GET", "/namespaces/paged/tables")).json.identifiers.length, 3);
});

test("tables: names, formats, schemas and properties", async () => {
  const bad = (body: object, status = 400, type = "BadRequestException", text = "") =>
    refused("POST", "/namespaces/ns/tables", { name: "bad", schema, ...body }, status, type, text);
  await bad({ name: "" }, 400, "BadRequestException", "Empty");
  await bad({ name: undefined });
  await bad({ schema: undefined });
  await bad(
    { schema: { type: "struct", fields: [{ id: 1, name: "x", required: true, type: "money" }] } },
    400,
    "BadRequestException",
    "money",
  );
  await bad(
    { "partition-spec": { fields: [{ "source-id": 9, name: "x", transform: "identity" }] } },
    400,
    "BadRequestException",
    "source column",
  );
  await bad({ properties: { "format-version": "4" } }, 400, "InvalidFormatVersion");
  await bad({ properties: { "write.data.path": "s3://x" } }, 409, "FailedToSetProperties", "write.data.path");
  await bad({ properties: { "write.metadata.path": "s3://x" } }, 409, "FailedToSetProperties");
  await bad({ properties: { "write.metadata.metrics.default": "none" } }, 409, "FailedToSetProperties");
  await bad(
    { properties: { "cloudflare-data-catalog.maintenance.interval-seconds": "60" } },
    400,
    "InvalidMaintenanceIntervalPropertyValue",
  );
  await bad({ properties: [] });
  assert.equal((await call("HEAD", "/namespaces/ns/tables/bad")).status, 404);
  const { metadata } = await table("ns", "allowed", {
    properties: { "format-version": "1", "write.metadata.previous-versions-max": "3", "write.metadata.compression-codec": "gzip" },
  });
  assert.deepEqual((metadata as unknown as { properties: object }).properties, {
    "write.metadata.previous-versions-max": "3",
    "write.metadata.compression-codec": "gzip",
  });
  assert.equal((metadata as unknown as { "format-version": number })["format-version"], 1);
  assert.equal((await call("GET", "/namespaces/ns/tables/allowed")).json.metadata["format-version"], 1);
});

test("tables lie inside the bucket, in a place of their own", async () => {
  const at = (location: string, text: string) =>
    refused("POST", "/namespaces/ns/tables", { name: "placed", schema, location }, 400, "InvalidLocation", text);
  await at("s3://another-bucket/t", "not inside the bucket");
  await at(`s3://${own.bucket}/`, "not inside the bucket");
  await at("gs://x/y", "not inside the bucket");
  await at(`s3://${own.bucket}/a/../b`, "relative");
  await platform.s3().send(new PutObjectCommand({ Bucket: own.bucket, Key: "taken/file", Body: "x" }));
  await at(`s3://${own.bucket}/taken`, "already contains files");
  const { metadata } = await table("ns", "outer", { location: `s3://${own.bucket}/outer/` });
  assert.equal(metadata.location, `s3://${own.bucket}/outer`);
  await at(`s3://${own.bucket}/outer/inner`, "overlaps");
  const staged = [
    { action: "assign-uuid", uuid: "11111111-2222-4333-8444-555555555555" },
    { action: "add-schema", schema },
    { action: "set-location", location: "s3://another-bucket/t" },
  ];
  const commit = { requirements: [{ type: "assert-create" }], updates: staged };
  await refused("POST", "/namespaces/ns/tables/placed", commit, 400, "InvalidLocation");
  assert.equal((await call("HEAD", "/namespaces/ns/tables/placed")).status, 404);
});

test("commits: requirements, actions and what cannot change", async () => {
  const { metadata, "metadata-location": location } = await table("ns", "committed");
  const path = "/namespaces/ns/tables/committed";
  const commit = (requirements: unknown, updates: unknown, status: number, type: string, text = "") =>
    refused("POST", path, { requirements, updates }, status, type, text);
  const change = [{ action: "set-properties", updates: { a: "b" } }];
  await commit(
    [{ type: "assert-table-uuid", uuid: "99999999-2222-4333-8444-555555555555" }],
    change,
    409,
    "CommitFailedException",
    "UUID does not match",
  );
  await commit(
    [{ type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": 5 }],
    change,
    409,
    "CommitFailedException",
    "main is missing",
  );
  await commit(
    [{ type: "assert-current-schema-id", "current-schema-id": 3 }],
    change,
    409,
    "CommitFailedException",
    "current schema changed",
  );
  await commit([{ type: "assert-create" }], change, 409, "CommitFailedException", "already exists");
  await commit([{ type: "assert-anything" }], change, 400, "BadRequestException", "assert-anything");
  await commit([], [{ action: "explode" }], 400, "BadRequestException", "explode");
  await commit([], [{ action: "add-snapshot", snapshot: {} }], 400, "BadRequestException", "snapshot-id");
  await commit([], [...change, { action: "set-current-schema", "schema-id": 7 }], 400, "BadRequestException", "unknown schema");
  await commit([], [{ action: "assign-uuid", uuid: "99999999-2222-4333-8444-555555555555" }], 400, "BadRequestException", "uuid");
  await commit([], [{ action: "set-location", location: `s3://${own.bucket}/moved` }], 400, "BadRequestException", "location");
  await commit([], [{ action: "set-properties", updates: { "write.data.path": "x" } }], 409, "FailedToSetProperties");
  await commit([], [{ action: "remove-properties", removals: ["write.metadata.path"] }], 409, "FailedToSetProperties");
  await commit([], [{ action: "add-encryption-key", "encryption-key": {} }], 501, "UnsupportedOperationException", "encryption");
  await commit([], "nothing", 400, "BadRequestException");
  await refused(
    "POST",
    path,
    { identifier: { namespace: ["ns"], name: "other" }, updates: change },
    400,
    "BadRequestException",
    "identifier",
  );
  await refused("POST", "/namespaces/ns/tables/absent", { requirements: [], updates: change }, 404, "NoSuchTableException");
  const after = (await call("GET", path)).json;
  assert.equal(after["metadata-location"], location, "no refused commit may move the pointer");
  assert.deepEqual(after.metadata, metadata);
  const unchanged = await call("POST", path, { requirements: [], updates: [] });
  assert.deepEqual([unchanged.status, unchanged.json["metadata-location"]], [200, location]);
});

test("[r2-data-catalog-15] a transaction over several tables applies as a whole or not at all", async () => {
  await create(["tx"]);
  const [a, b] = [await table("tx", "a"), await table("tx", "b")];
  const change = (name: string, uuid: string, value: string) => ({
    identifier: { namespace: ["tx"], name },
    requirements: [{ type: "assert-table-uuid", uuid }],
    updates: [{ action: "set-properties", updates: { value } }],
  });
  const created = {
    identifier: { namespace: ["tx"], name: "c" },
    requirements: [{ type: "assert-create" }],
    updates: [
      { action: "add-schema", schema },
      { action: "set-current-schema", "schema-id": -1 },
    ],
  };
  const value = async (name: string) => (await call("GET", `/namespaces/tx/tables/${name}`)).json.metadata.properties.value;
  const commit = (...changes: unknown[]) => call("POST", "/transactions/commit", { "table-changes": changes });

  const failed = await commit(
    change("a", a.metadata["table-uuid"], "1"),
    created,
    change("b", "99999999-2222-4333-8444-555555555555", "1"),
  );
  assert.deepEqual([failed.status, failed.json.error.type], [409, "CommitFailedException"]);
  assert.deepEqual([await value("a"), await value("b")], [undefined, undefined]);
  assert.equal((await call("HEAD", "/namespaces/tx/tables/c")).status, 404);

  const done = await commit(change("a", a.metadata["table-uuid"], "1"), created, change("b", b.metadata["table-uuid"], "2"));
  assert.deepEqual([done.status, done.text], [204, ""]);
  assert.deepEqual([await value("a"), await value("b")], ["1", "2"]);
  assert.equal((await call("HEAD", "/namespaces/tx/tables/c")).status, 204);

  const twice = await commit(change("a", a.metadata["table-uuid"], "3"), change("a", a.metadata["table-uuid"], "4"));
  assert.deepEqual([twice.status, await value("a")], [400, "1"]);
  const missing = await commit(change("absent", a.metadata["table-uuid"], "3"), change("a", a.metadata["table-uuid"], "4"));
  assert.deepEqual([missing.status, await value("a")], [404, "1"]);
});

test("commits of many at once to one table all apply, or are told that they conflict", async () => {
  const { metadata } = await table("ns", "busy");
  const requirements = [{ type: "assert-table-uuid", uuid: metadata["table-uuid"] }];
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      call("POST", "/namespaces/ns/tables/busy", { requirements, updates: [{ action: "set-properties", updates: { [`k${i}`]: "v" } }] }),
    ),
  );
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  const { properties, "metadata-log": log } = (await call("GET", "/namespaces/ns/tables/busy")).json.metadata;
  assert.equal(Object.keys(properties).length, 30);
  assert.equal(log.length, 30);
});

test("[r2-data-catalog-22] views are created, listed, loaded, replaced, renamed and dropped", async () => {
  await create(["views"]);
  const version = (sql: string, id: number) => ({
    "version-id": id,
    "timestamp-ms": 1,
    "schema-id": 0,
    summary: { engine: "test" },
    representations: [{ type: "sql", sql, dialect: "spark" }],
    "default-namespace": ["views"],
  });
  const created = await call("POST", "/namespaces/views/views", {
    name: "v",
    schema,
    "view-version": version("SELECT 1 AS id", 1),
    properties: {},
  });
  assert.equal(created.status, 200, created.text);
  await refused(
    "POST",
    "/namespaces/views/views",
    { name: "v", schema, "view-version": version("SELECT 1", 1) },
    409,
    "AlreadyExistsException",
    "View",
  );
  await refused("POST", "/namespaces/views/tables", { name: "v", schema }, 409, "AlreadyExistsException", "View");
  await refused("POST", "/namespaces/views/views", { name: "w", schema, "view-version": {} }, 400, "BadRequestException");
  await refused("GET", "/namespaces/views/views/absent", undefined, 404, "NoSuchViewException");
  await refused("DELETE", "/namespaces/views/views/v?force=true", undefined, 400, "BadRequestException", "force");
  await refused("DELETE", "/namespaces/views", undefined, 409, "NamespaceNotEmptyException");
  const replaced = await call("POST", "/namespaces/views/views/v", {
    requirements: [{ type: "assert-view-uuid", uuid: created.json.metadata["view-uuid"] }],
    updates: [
      { action: "add-view-version", "view-version": version("SELECT 2 AS id", 2) },
      { action: "set-current-view-version", "view-version-id": -1 },
    ],
  });
  assert.equal(replaced.json.metadata["current-version-id"], 2, replaced.text);
  assert.equal(
    (await call("POST", "/views/rename", { source: { namespace: ["views"], name: "v" }, destination: { namespace: ["views"], name: "w" } }))
      .status,
    204,
  );
  await own.py(`
assert catalog.list_views("views") == [("views", "w")]
assert catalog.view_exists("views.w") and not catalog.view_exists("views.v")
catalog.drop_view("views.w")
assert catalog.list_views("views") == []
`);
});

test("endpoints of the specification that are not supported say so by name", async () => {
  await table("ns", "plain");
  const unsupported: readonly (readonly [string, string])[] = [
    ["POST", `/${prefix}/namespaces/ns/tables/plain/plan`],
    ["POST", `/${prefix}/namespaces/ns/tables/plain/sign`],
    ["GET", `/${prefix}/namespaces/ns/functions`],
    ["POST", `/${prefix}/namespaces/ns/register-view`],
    ["POST", "/oauth/tokens"],
  ];
  for (const [method, path] of unsupported) {
    const answer = await own.request(method, path, method === "POST" ? {} : undefined);
    assert.deepEqual([answer.status, answer.json.error.type], [501, "UnsupportedOperationException"], path);
    assert.ok(answer.json.error.message.includes("is not supported"), answer.text);
  }
  assert.equal((await own.request("GET", "/nonsense")).status, 404);
  assert.equal((await call("POST", "/namespaces/ns/tables/plain/metrics", { "report-type": "scan-report" })).status, 204);
});

test("[r2-data-catalog-42] the real service's limits on writes, where they are switched on", async (t) => {
  const strict = await startPlatform(t, { config: { "r2_data_catalog.rate_limits": true } });
  const limited = await lake(strict, "limited-lake");
  const base = (await limited.request("GET", `/config?warehouse=${limited.warehouse}`)).json.overrides.prefix as string;
  const post = (path: string, body: unknown) => limited.request("POST", `/${base}${path}`, body);
  await post("/namespaces", { namespace: ["ns"] });
  const created: number[] = [];
  for (let i = 0; i < 11; i++) created.push((await post("/namespaces/ns/tables", { name: `t${i}`, schema })).status);
  assert.deepEqual(created, [...Array.from({ length: 10 }, () => 200), 429]);
  const committed: number[] = [];
  for (let i = 0; i < 21; i++) committed.push((await post("/namespaces/ns/tables/t0", { requirements: [], updates: [] })).status);
  assert.deepEqual(committed, [...Array.from({ length: 20 }, () => 200), 429]);
  assert.equal((await post("/namespaces/ns/tables/t1", { requirements: [], updates: [] })).status, 200, "another table has its own limit");
  const response = await strict.fetch(`${limited.uri}/v1/${base}/namespaces/ns/tables`, {
    method: "POST",
    headers: { authorization: `Bearer ${strict.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "more", schema }),
  });
  assert.deepEqual([response.status, response.headers.get("retry-after")], [429, "60"]);
  assert.equal(((await response.json()) as { error: { type: string } }).error.type, "TooManyRequestsException");
  assert.equal((await limited.request("GET", `/${base}/namespaces/ns/tables/t0`)).status, 200, "reads are not limited");
});
