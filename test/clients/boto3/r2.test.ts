/** R2 by boto3, unchanged: keys and endpoint come from the environment that `freehold exec` sets. Needs Python. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { python } from "../../harness/python.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after });

const PRELUDE = `
import boto3, hashlib, io, json, os, sys
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
def code(fn, **kwargs):
    try:
        fn(**kwargs)
    except ClientError as error:
        return [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]]
    return "succeeded"
def show(**values):
    print(json.dumps(values, default=str))
`;

/** What the program printed last, as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: each program prints a shape of its own, which its test checks.
async function run(script: string): Promise<any> {
  const { stdout } = await python(platform, PRELUDE + script);
  return JSON.parse(stdout.trim().split("\n").at(-1) as string);
}

test("[r2-10, r2-11] boto3 creates, lists and deletes buckets", async () => {
  const out = await run(`
s3.create_bucket(Bucket="boto-life")
again = code(s3.create_bucket, Bucket="boto-life")
names = [b["Name"] for b in s3.list_buckets()["Buckets"]]
region = s3.head_bucket(Bucket="boto-life")["BucketRegion"]
s3.put_object(Bucket="boto-life", Key="k", Body=b"")
full = code(s3.delete_bucket, Bucket="boto-life")
s3.delete_object(Bucket="boto-life", Key="k")
s3.delete_bucket(Bucket="boto-life")
gone = code(s3.head_bucket, Bucket="boto-life")
show(again=again, names=names, region=region, full=full, gone=gone)
`);
  assert.deepEqual(out, {
    again: [409, "BucketConflict"],
    names: ["boto-life"],
    region: "auto",
    full: [409, "BucketNotEmpty"],
    gone: [404, "404"],
  });
});

test("[r2-12, r2-14] boto3 puts with its default checksums, reads, copies, lists and deletes", async () => {
  const out = await run(`
s3.create_bucket(Bucket="boto-objects")
B = dict(Bucket="boto-objects")
body = os.urandom(300000)
put = s3.put_object(**B, Key="a b/ü+.bin", Body=body, Metadata={"k": "v"}, ContentType="x/y")
got = s3.get_object(**B, Key="a b/ü+.bin")
same = got["Body"].read() == body
s3.upload_fileobj(io.BytesIO(body), "boto-objects", "stream")
part = s3.get_object(**B, Key="stream", Range="bytes=10-19")["Body"].read() == body[10:20]
s3.copy_object(**B, Key="copy", CopySource={"Bucket": "boto-objects", "Key": "a b/ü+.bin"})
copied = s3.head_object(**B, Key="copy")
keys = [o["Key"] for o in s3.list_objects_v2(**B)["Contents"]]
missing = code(s3.get_object, **B, Key="missing")
deleted = [d["Key"] for d in s3.delete_objects(**B, Delete={"Objects": [{"Key": k} for k in keys]})["Deleted"]]
show(checksum=put.get("ChecksumCRC32") is not None, same=same, part=part, etag=put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest(),
  metadata=got["Metadata"], type=got["ContentType"], copied=copied["Metadata"], keys=keys, missing=missing, deleted=deleted,
  left=s3.list_objects_v2(**B)["KeyCount"])
`);
  assert.deepEqual(out, {
    checksum: true,
    same: true,
    part: true,
    etag: true,
    metadata: { k: "v" },
    type: "x/y",
    copied: { k: "v" },
    keys: ["a b/ü+.bin", "copy", "stream"],
    missing: [404, "NoSuchKey"],
    deleted: ["a b/ü+.bin", "copy", "stream"],
    left: 0,
  });
});

test("[r2-13] boto3's transfer manager uploads, copies and downloads in parts", async () => {
  const out = await run(`
from boto3.s3.transfer import TransferConfig
s3.create_bucket(Bucket="boto-parts")
config = TransferConfig(multipart_threshold=5*1024*1024, multipart_chunksize=5*1024*1024, max_concurrency=4)
body = os.urandom(23*1024*1024 + 17)
s3.upload_fileobj(io.BytesIO(body), "boto-parts", "big", Config=config, ExtraArgs={"ContentType": "x/big"})
head = s3.head_object(Bucket="boto-parts", Key="big", ChecksumMode="ENABLED")
s3.copy({"Bucket": "boto-parts", "Key": "big"}, "boto-parts", "copy", Config=config)
out = io.BytesIO()
s3.download_fileobj("boto-parts", "copy", out, Config=config)
sums = b"".join(hashlib.md5(body[i:i+5*1024*1024]).digest() for i in range(0, len(body), 5*1024*1024))
show(same=out.getvalue() == body, etag=head["ETag"] == '"%s-5"' % hashlib.md5(sums).hexdigest(), type=head["ContentType"],
  checksum=head["ChecksumType"], uploads="Uploads" in s3.list_multipart_uploads(Bucket="boto-parts"))
`);
  assert.deepEqual(out, { same: true, etag: true, type: "x/big", checksum: "COMPOSITE", uploads: false });
});

test("[r2-06] metadata beyond ASCII survives boto3 in RFC 2047, HTTP metadata as it is", async () => {
  const out = await run(`
import base64
s3.create_bucket(Bucket="boto-metadata")
word = "=?UTF-8?B?%s?=" % base64.b64encode("grüße 🦆".encode()).decode()
s3.put_object(Bucket="boto-metadata", Key="k", Body=b"x", Metadata={"text": word}, ContentLanguage="de", CacheControl="no-store",
  ContentDisposition="attachment; filename=x")
head = s3.head_object(Bucket="boto-metadata", Key="k")
large = code(s3.put_object, Bucket="boto-metadata", Key="large", Body=b"x", Metadata={"a": "b"*8192})
missing = code(s3.head_object, Bucket="boto-metadata", Key="large")
show(text=head["Metadata"]["text"] == word, rest=[head["ContentLanguage"], head["CacheControl"], head["ContentDisposition"]], large=large, missing=missing)
`);
  assert.deepEqual(out, {
    text: true,
    rest: ["de", "no-store", "attachment; filename=x"],
    large: [400, "MetadataTooLarge"],
    missing: [404, "404"],
  });
});

test("[r2-17] boto3's presigned URLs work until they expire or are changed", async () => {
  const urls = await run(`
s3.create_bucket(Bucket="boto-presigned")
P = {"Bucket": "boto-presigned", "Key": "dir/a b.txt"}
show(put=s3.generate_presigned_url("put_object", Params=P, ExpiresIn=60),
  typed=s3.generate_presigned_url("put_object", Params={**P, "ContentType": "text/plain"}, ExpiresIn=60),
  get=s3.generate_presigned_url("get_object", Params={**P, "ResponseContentType": "x/y"}, ExpiresIn=60),
  head=s3.generate_presigned_url("head_object", Params=P, ExpiresIn=60),
  short=s3.generate_presigned_url("get_object", Params=P, ExpiresIn=1),
  long=s3.generate_presigned_url("get_object", Params=P, ExpiresIn=604801),
  delete=s3.generate_presigned_url("delete_object", Params=P, ExpiresIn=60))
`);
  const fetch = (url: string, init: object = {}) => platform.fetch(url, init);
  assert.equal((await fetch(urls.put, { method: "PUT", body: "uploaded" })).status, 200);
  const got = await fetch(urls.get);
  assert.deepEqual([got.status, await got.text(), got.headers.get("content-type")], [200, "uploaded", "x/y"]);
  assert.equal((await fetch(urls.head, { method: "HEAD" })).headers.get("content-length"), "8");
  assert.equal((await fetch(urls.typed, { method: "PUT", body: "x", headers: { "content-type": "text/html" } })).status, 403);
  assert.equal((await fetch(urls.typed, { method: "PUT", body: "typed", headers: { "content-type": "text/plain" } })).status, 200);

  const refused = async (url: string, status: number, code: string, init: object = {}) => {
    const answer = await fetch(url, init);
    assert.deepEqual([answer.status, /<Code>(\w+)<\/Code>/.exec(await answer.text())?.[1]], [status, code]);
  };
  await refused(urls.get.replace("a%20b.txt", "other.txt"), 403, "SignatureDoesNotMatch");
  await refused(urls.get.replace("response-content-type=x", "response-content-type=z"), 403, "SignatureDoesNotMatch");
  await refused(urls.get, 403, "SignatureDoesNotMatch", { method: "DELETE" });
  await refused(urls.long, 400, "InvalidArgument");
  const issued = /X-Amz-Date=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(urls.short)?.slice(1).map(Number) as number[];
  const expires = Date.UTC(issued[0] as number, (issued[1] as number) - 1, issued[2], issued[3], issued[4], issued[5]) + 1000;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, expires - Date.now() + 50)));
  await refused(urls.short, 400, "ExpiredRequest");
  assert.equal((await fetch(urls.delete, { method: "DELETE" })).status, 204);
  await refused(urls.get, 404, "NoSuchKey");
});

const awsCli = spawnSync("aws", ["--version"]).status === 0;

test("[r2-12, r2-14, r2-24] the aws command line syncs, copies, changes classes and removes", {
  skip: !awsCli && "the aws command line is not installed",
}, async () => {
  const dir = await temporaryDirectory("freehold-aws-");
  await mkdir(join(dir, "in", "sub"), { recursive: true });
  const files = { "a.txt": "a", "sub/b.txt": "b", "sub/c d.txt": "c" };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, "in", name), text);
  const aws = async (...args: string[]) => (await platform.exec("aws", args, { cwd: dir })).stdout;
  await aws("s3", "mb", "s3://aws-cli");
  await aws("s3", "sync", "in", "s3://aws-cli/copy");
  assert.match(await aws("s3", "ls", "--recursive", "s3://aws-cli"), /copy\/a\.txt\n.*copy\/sub\/b\.txt\n.*copy\/sub\/c d\.txt/);
  await aws("s3", "sync", "s3://aws-cli/copy", "out");
  for (const [name, text] of Object.entries(files)) assert.equal(await readFile(join(dir, "out", name), "utf8"), text);
  await aws("s3", "cp", "s3://aws-cli/copy/a.txt", "s3://aws-cli/cold", "--storage-class", "STANDARD_IA");
  const head = JSON.parse(await aws("s3api", "head-object", "--bucket", "aws-cli", "--key", "cold"));
  assert.deepEqual([head.StorageClass, head.ETag], ["STANDARD_IA", `"${createHash("md5").update("a").digest("hex")}"`]);
  await aws("s3", "rb", "--force", "s3://aws-cli");
  assert.doesNotMatch(await aws("s3", "ls"), /aws-cli/);
});
