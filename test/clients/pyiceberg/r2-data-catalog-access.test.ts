/** Who may do what: vended credentials, tokens of too little right, other accounts and buckets. Needs Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { type Lake, lake } from "./lake.ts";

const platform = await startPlatform({ after });
const shared = await lake(platform, "access-lake");
const account = platform.ready.account_id;

const CATALOG_READ = "Workers R2 Data Catalog Read";
const CATALOG_WRITE = "Workers R2 Data Catalog Write";
const onBucket = (bucket: string) => ({ [`com.cloudflare.edge.r2.bucket.${account}_default_${bucket}`]: "*" });

await shared.py(`
catalog.create_namespace("ns")
catalog.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1, 2]}))
`);

/** Uses the vended keys of a table by boto3 as anybody who got hold of them could. */
const BOTO = `
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
def vended(table):
    p = table.io.properties
    return boto3.client("s3", endpoint_url=p["s3.endpoint"], region_name=p["s3.region"], aws_access_key_id=p["s3.access-key-id"],
        aws_secret_access_key=p["s3.secret-access-key"], aws_session_token=p["s3.session-token"], config=Config(s3={"addressing_style": "path"}))
def denied(fn, status=403):
    try:
        fn()
    except ClientError as e:
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == status, e
        return
    raise AssertionError("was allowed")
`;

test("[r2-data-catalog-18] a client with only the token reads and writes data files", async () => {
  const other = await lake(platform, "other-lake");
  await shared.py(
    `${BOTO}
table = catalog.load_table("ns.t")
p = table.io.properties
assert p["s3.remote-signing-enabled"] == "false" and p["s3.region"] == p["client.region"] == "auto", p
table.append(pa.table({"id": [3]}))
assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 2, 3]
s3 = vended(table)
s3.put_object(Bucket=BUCKET, Key="by-vended-keys", Body=b"x")
assert s3.get_object(Bucket=BUCKET, Key="by-vended-keys")["Body"].read() == b"x"
denied(lambda: s3.list_objects_v2(Bucket="${other.bucket}"))
denied(lambda: s3.put_object(Bucket="${other.bucket}", Key="x", Body=b"x"))
denied(lambda: s3.list_buckets())
denied(lambda: s3.create_bucket(Bucket="made-by-vended-keys"))
`,
  );
});

test("credentials are given on their own, for the bucket's prefix", async () => {
  const [{ prefix, config }] = (await prefixed(shared, "GET", "/namespaces/ns/tables/t/credentials")).json["storage-credentials"];
  assert.equal(prefix, `s3://${shared.bucket}/`);
  assert.equal(config["s3.endpoint"], platform.ready.gateway);
  assert.equal(config["s3.path-style-access"], "true");
  assert.equal((await prefixed(shared, "GET", "/namespaces/ns/tables/absent/credentials")).status, 404);
});

test("[r2-data-catalog-19] with a read-only token a scan works and an append is refused", async () => {
  const token = await platform.token([CATALOG_READ, "Workers R2 Storage Read"]);
  await shared.py(
    `${BOTO}
from pyiceberg.exceptions import ForbiddenError
table = catalog.load_table("ns.t")
assert {1, 2} <= set(table.scan().to_arrow()["id"].to_pylist())
denied(lambda: vended(table).put_object(Bucket=BUCKET, Key="x", Body=b"x"))
raises(OSError, "", lambda: table.append(pa.table({"id": [9]})))
raises(ForbiddenError, "", lambda: catalog.create_namespace("made"))
raises(ForbiddenError, "", lambda: table.update_schema().add_column("x", __import__("pyiceberg.types").types.LongType()).commit())
raises(ForbiddenError, "", lambda: catalog.drop_table("ns.t"))
assert 9 not in catalog.load_table("ns.t").scan().to_arrow()["id"].to_pylist()
`,
    { token: token.value },
  );
});

test("rights are those of the bucket that the token names", async () => {
  const narrow = await lake(platform, "narrow-lake");
  const token = await platform.token([CATALOG_WRITE, "Workers R2 Storage Bucket Item Write"], onBucket(narrow.bucket));
  await narrow.py(
    `
catalog.create_namespace("ns")
catalog.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
assert catalog.load_table("ns.t").scan().to_arrow()["id"].to_pylist() == [1]
`,
    { token: token.value },
  );
  const elsewhere = await shared.request("GET", `/config?warehouse=${shared.warehouse}`, undefined, {
    authorization: `Bearer ${token.value}`,
  });
  assert.equal(elsewhere.status, 403);
  const listed = await platform.rest("GET", `/accounts/${account}/r2-catalog`, undefined, token.value);
  assert.deepEqual(
    listed.body.result.warehouses.map((w: { bucket: string }) => w.bucket),
    [narrow.bucket],
  );
  assert.equal((await platform.rest("GET", `/accounts/${account}/r2-catalog/${shared.bucket}`, undefined, token.value)).status, 403);
});

test("[r2-data-catalog-20] own S3 keys with path style and region auto read the same files", async () => {
  const token = await platform.token(["Workers R2 Storage Read"]);
  await shared.py(
    `
import pyarrow.parquet as pq
from pyarrow.fs import S3FileSystem
files = [task.file.file_path for task in catalog.load_table("ns.t").scan().plan_files()]
s3 = S3FileSystem(access_key=os.environ["OWN_KEY"], secret_key=os.environ["OWN_SECRET"], region="auto", endpoint_override=os.environ["ENDPOINT"], scheme="http", force_virtual_addressing=False)
ids = [i for f in files for i in pq.read_table(f.removeprefix("s3://"), filesystem=s3)["id"].to_pylist()]
assert {1, 2} <= set(ids), ids
`,
    {
      env: {
        OWN_KEY: token.s3.accessKeyId,
        OWN_SECRET: token.s3.secretAccessKey,
        ENDPOINT: platform.ready.gateway.replace("http://", ""),
      },
    },
  );
});

test("[r2-data-catalog-21] requests without a good token get 401, object-only tokens 403, in plain text", async () => {
  const path = `/config?warehouse=${shared.warehouse}`;
  const none: Record<string, string>[] = [
    {},
    { authorization: "Bearer nonsense" },
    { authorization: "Basic eDp5" },
    { authorization: "Bearer" },
  ];
  for (const headers of none) {
    const { status, contentType, text } = await shared.request("GET", path, undefined, headers);
    assert.deepEqual([status, contentType.split(";")[0], text], [401, "text/plain", "Unauthorized"], JSON.stringify(headers));
  }
  const tooLittle: readonly (readonly [readonly string[], Record<string, string> | undefined])[] = [
    [["Workers R2 Storage Bucket Item Write"], onBucket(shared.bucket)],
    [["Workers R2 Storage Write"], undefined],
    [[CATALOG_WRITE], undefined],
    [[CATALOG_WRITE, "Workers R2 Storage Bucket Item Write"], onBucket("other-bucket")],
  ];
  for (const [permissions, resources] of tooLittle) {
    const token = await platform.token(permissions, resources);
    const { status, contentType, text } = await shared.request("GET", path, undefined, { authorization: `Bearer ${token.value}` });
    assert.deepEqual([status, contentType.split(";")[0], text], [403, "text/plain", "Forbidden"], permissions.join());
  }
  const objectOnly = await platform.token(["Workers R2 Storage Bucket Item Write"], onBucket(shared.bucket));
  await shared.py("", { token: "nonsense", code: 1 }).then(({ stderr }) => assert.match(stderr, /UnauthorizedError/));
  await shared.py("", { token: objectOnly.value, code: 1 }).then(({ stderr }) => assert.match(stderr, /ForbiddenError/));
  const revoked = await platform.token([CATALOG_READ, "Workers R2 Storage Read"]);
  const headers = { authorization: `Bearer ${revoked.value}` };
  assert.equal((await shared.request("GET", path, undefined, headers)).status, 200);
  await platform.rest("DELETE", `/accounts/${account}/tokens/${revoked.id}`);
  assert.equal((await shared.request("GET", path, undefined, headers)).status, 401);
});

test("vended keys end with the token that they were given to", async () => {
  const token = await platform.token([CATALOG_READ, "Workers R2 Storage Read"]);
  const headers = { authorization: `Bearer ${token.value}` };
  const { json } = await prefixed(shared, "GET", "/namespaces/ns/tables/t", undefined, headers);
  await platform.rest("DELETE", `/accounts/${account}/tokens/${token.id}`);
  await shared.py(
    `${BOTO}
import json
class Table: pass
table = Table(); table.io = Table(); table.io.properties = json.loads(os.environ["VENDED"])
denied(lambda: vended(table).list_objects_v2(Bucket=BUCKET), 401)
`,
    { env: { VENDED: JSON.stringify(json.config) } },
  );
});

test("another account's id in the path is refused, whatever the token may do", async () => {
  const stranger = shared.uri.replace(account, "0".repeat(32));
  const response = await platform.fetch(`${stranger}/v1/config?warehouse=x`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.deepEqual([response.status, await response.text()], [403, "Forbidden"]);
  const control = await platform.rest("GET", `/accounts/${"0".repeat(32)}/r2-catalog`);
  assert.equal(control.status, 403);
});

/** A request under the catalog's prefix. */
async function prefixed(own: Lake, method: string, path: string, body?: unknown, headers?: Record<string, string>) {
  const { json } = await own.request("GET", `/config?warehouse=${own.warehouse}`);
  return own.request(method, `/${json.overrides.prefix}${path}`, body, headers);
}
