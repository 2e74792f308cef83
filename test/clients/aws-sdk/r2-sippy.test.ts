/** Sippy: a bucket of one platform fills itself from a bucket of another, read through every door. */
import assert from "node:assert/strict";
import { createHash, createVerify, generateKeyPairSync, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
/** What an offline machine cannot reach: Google's token endpoint and its storage. */
const google = createServer(async (request, response) => {
  if (request.url === "/token") {
    let form = "";
    for await (const chunk of request) form += chunk;
    const [head, claims, signature] = (new URLSearchParams(form).get("assertion") as string).split(".") as [string, string, string];
    const valid = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature, "base64url");
    const { iss } = JSON.parse(Buffer.from(claims, "base64url").toString());
    const ok = valid && iss === "sippy@project.iam.gserviceaccount.com";
    response.writeHead(ok ? 200 : 401, { "content-type": "application/json" });
    response.end(JSON.stringify({ access_token: "google-token", expires_in: 3600 }));
    return;
  }
  if (request.headers.authorization !== "Bearer google-token") return response.writeHead(401).end();
  if (request.url !== "/gcs-bucket/a%20b.txt") return response.writeHead(404).end();
  response.writeHead(200, { "content-length": 11, etag: '"gcs"', "x-amz-meta-kept": "yes", "x-goog-meta-dropped": "yes" });
  response.end(request.method === "HEAD" ? undefined : "from google");
}).listen(0, "127.0.0.1");
await new Promise((resolve) => google.once("listening", resolve));
after(() => google.close());
const googleUrl = `http://127.0.0.1:${(google.address() as { port: number }).port}`;

const source = await startPlatform({ after });
const target = await startPlatform(
  { after },
  {
    config: {
      "r2.sippy_allow_private": true,
      "r2.sippy_aws_endpoint": source.ready.s3.endpoint,
      "r2.sippy_gcs_endpoint": googleUrl,
      "r2.sippy_gcs_token_url": `${googleUrl}/token`,
    },
  },
);
const [from, to] = [source.s3(), target.s3()];
const destinationOf = ({ ready }: TestPlatform) => ({
  provider: "r2" as const,
  accessKeyId: ready.s3.access_key_id,
  secretAccessKey: ready.s3.secret_access_key,
});
const sourceKeys = { accessKeyId: source.ready.s3.access_key_id, secretAccessKey: source.ready.s3.secret_access_key };
const account_id = target.ready.account_id;
const sippyPath = (bucket: string, { ready } = target) => `/accounts/${ready.account_id}/r2/buckets/${bucket}/sippy`;

async function newBucket(name: string, on: TestPlatform): Promise<string> {
  await on.rest("POST", `/accounts/${on.ready.account_id}/r2/buckets`, { name });
  return name;
}

/** A bucket on each platform; the target's copies from the source's. */
async function pair(name: string): Promise<string> {
  await newBucket(name, source);
  await newBucket(name, target);
  const settings = {
    source: { provider: "s3" as const, bucketUrl: `${source.ready.s3.endpoint}/${name}`, ...sourceKeys },
    destination: destinationOf(target),
  };
  await target.sdk().r2.buckets.sippy.update(name, { account_id, ...settings });
  return name;
}

const keysOf = async (Bucket: string) => ((await to.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map(({ Key }) => Key);
async function copied(Bucket: string, Key: string): Promise<void> {
  for (const end = Date.now() + 20_000; !(await keysOf(Bucket)).includes(Key) && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 30));
  assert.ok((await keysOf(Bucket)).includes(Key), `${Key} was not copied`);
}
const refusal = async (work: Promise<unknown>): Promise<[number | undefined, string]> => {
  try {
    await work;
  } catch (error) {
    const { $metadata, name } = error as { $metadata?: { httpStatusCode?: number }; name: string };
    return [$metadata?.httpStatusCode, name];
  }
  throw new Error("it was not refused");
};

test("[r2-45] a miss is served from the source and copied, HEAD copies nothing", async () => {
  const Bucket = await pair("sippy-copies");
  const Key = "some dir/ä+b?.txt";
  const Metadata = { colour: "blue" };
  await from.send(new PutObjectCommand({ Bucket, Key, Body: "from afar", ContentType: "text/csv", CacheControl: "no-store", Metadata }));
  const head = await to.send(new HeadObjectCommand({ Bucket, Key }));
  assert.deepEqual([head.ContentLength, head.Metadata], [9, Metadata]);
  assert.deepEqual(await keysOf(Bucket), []);
  const got = await to.send(new GetObjectCommand({ Bucket, Key }));
  assert.equal(await got.Body?.transformToString(), "from afar");
  await copied(Bucket, Key);
  // From here on the source no longer matters.
  await from.send(new PutObjectCommand({ Bucket, Key, Body: "changed" }));
  const again = await to.send(new GetObjectCommand({ Bucket, Key }));
  assert.equal(await again.Body?.transformToString(), "from afar");
  assert.deepEqual(again.Metadata, Metadata);
  assert.equal(again.CacheControl, undefined);
  assert.notEqual(again.ContentType, "text/csv");
  // Deleted here and still there, it comes again.
  await to.send(new DeleteObjectCommand({ Bucket, Key }));
  assert.equal(await (await to.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToString(), "changed");
});

test("what the bucket has itself is served, what neither has is not found, and disabling ends the reading", async () => {
  const Bucket = await pair("sippy-own");
  for (const Key of ["both", "theirs", "later"]) await from.send(new PutObjectCommand({ Bucket, Key, Body: "theirs" }));
  await to.send(new PutObjectCommand({ Bucket, Key: "both", Body: "ours" }));
  const both = await to.send(new GetObjectCommand({ Bucket, Key: "both" }));
  assert.equal(await both.Body?.transformToString(), "ours");
  assert.deepEqual(await refusal(to.send(new GetObjectCommand({ Bucket, Key: "neither" }))), [404, "NoSuchKey"]);
  assert.deepEqual(await refusal(to.send(new GetObjectCommand({ Bucket, Key: "theirs", IfMatch: '"other"' }))), [
    412,
    "PreconditionFailed",
  ]);
  assert.deepEqual(await keysOf(Bucket), ["both"]);
  assert.deepEqual(await target.sdk().r2.buckets.sippy.delete(Bucket, { account_id }), { enabled: false });
  assert.deepEqual(await refusal(to.send(new GetObjectCommand({ Bucket, Key: "later" }))), [404, "NoSuchKey"]);
});

test("large objects stream: whole while they are copied, in part with the whole copied beside", async () => {
  const Bucket = await pair("sippy-large");
  const bytes = randomBytes(24 * 1024 * 1024);
  const sha = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
  for (const Key of ["whole", "part"]) await from.send(new PutObjectCommand({ Bucket, Key, Body: bytes }));
  const whole = await to.send(new GetObjectCommand({ Bucket, Key: "whole" }));
  assert.equal(sha((await whole.Body?.transformToByteArray()) as Uint8Array), sha(bytes));
  const part = await to.send(new GetObjectCommand({ Bucket, Key: "part", Range: "bytes=20000000-20000099" }));
  assert.equal(part.ContentRange, `bytes 20000000-20000099/${bytes.length}`);
  assert.deepEqual(Buffer.from((await part.Body?.transformToByteArray()) as Uint8Array), bytes.subarray(20_000_000, 20_000_100));
  for (const Key of ["whole", "part"]) {
    await copied(Bucket, Key);
    await from.send(new DeleteObjectCommand({ Bucket, Key }));
    const kept = await to.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(sha((await kept.Body?.transformToByteArray()) as Uint8Array), sha(bytes));
  }
});

test("a Worker's binding and the development URL read through as well", async () => {
  const bucket = await pair("sippy-doors");
  for (const Key of ["bound", "public", "looked-at"])
    await from.send(new PutObjectCommand({ Bucket: bucket, Key, Body: `value of ${Key}` }));
  const project = await deployWorker(target, {
    files: {
      "index.js": `export default { async fetch(request, { B }) {
        const head = await B.head("looked-at");
        return Response.json([head.size, await (await B.get("bound")).text(), await B.get("nothing")]);
      } }`,
    },
    config: { name: "sippy-reader", r2_buckets: [{ binding: "B", bucket_name: bucket }] },
  });
  assert.deepEqual(await (await target.fetch(project.url)).json(), [18, "value of bound", null]);
  const managed = await target.rest("PUT", `/accounts/${account_id}/r2/buckets/${bucket}/domains/managed`, { enabled: true });
  const url = `http://${managed.body.result.domain}`;
  const looked = await target.fetch(`${url}/looked-at`, { method: "HEAD" });
  assert.deepEqual([looked.status, looked.headers.get("content-length")], [200, "18"]);
  assert.equal(await (await target.fetch(`${url}/public`)).text(), "value of public");
  for (const key of ["bound", "public"]) await copied(bucket, key);
  assert.deepEqual(await keysOf(bucket), ["bound", "public"]);
});

test("AWS and GCS sources are enabled as wrangler sends them, shown without secrets, and kept over a restart", async () => {
  const Bucket = await newBucket("sippy-providers", target);
  await newBucket("aws-source", source);
  await from.send(new PutObjectCommand({ Bucket: "aws-source", Key: "aws.txt", Body: "from aws" }));
  const destination = destinationOf(target);
  const aws = { source: { provider: "aws", region: "us-east-1", bucket: "aws-source", ...sourceKeys }, destination };
  assert.equal((await target.rest("POST", `${sippyPath(Bucket)}/validate`, aws)).status, 200);
  assert.equal((await target.rest("PUT", sippyPath(Bucket), aws)).status, 200);
  const shown = await target.sdk().r2.buckets.sippy.get(Bucket, { account_id });
  assert.deepEqual(shown, {
    enabled: true,
    source: { provider: "aws", bucket: "aws-source", region: "us-east-1" },
    destination: { provider: "r2", account: account_id, bucket: Bucket, accessKeyId: destination.accessKeyId },
  });
  await target.kill9();
  await target.restart();
  assert.equal(await (await to.send(new GetObjectCommand({ Bucket, Key: "aws.txt" }))).Body?.transformToString(), "from aws");
  const clientEmail = "sippy@project.iam.gserviceaccount.com";
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  const gcs = { source: { provider: "gcs", bucket: "gcs-bucket", clientEmail, privateKey: pem }, destination };
  assert.equal((await target.rest("PUT", sippyPath(Bucket), gcs)).status, 200);
  const got = await to.send(new GetObjectCommand({ Bucket, Key: "a b.txt" }));
  assert.deepEqual([await got.Body?.transformToString(), got.Metadata], ["from google", { kept: "yes" }]);
  assert.deepEqual(await refusal(to.send(new GetObjectCommand({ Bucket, Key: "other" }))), [404, "NoSuchKey"]);
});

test("the source's secrets do not lie readable on disk", async () => {
  await pair("sippy-secrets");
  for (const name of (await readdir(target.dir)).filter((file) => file.startsWith("meta.sqlite"))) {
    let tail = Buffer.alloc(0);
    for await (const chunk of createReadStream(join(target.dir, name)) as AsyncIterable<Buffer>) {
      const bytes = Buffer.concat([tail, chunk]);
      assert.ok(!bytes.includes(sourceKeys.secretAccessKey) && !bytes.includes("PRIVATE KEY"), name);
      tail = bytes.subarray(-100);
    }
  }
});

test("a source in the platform's own network, a foreign key and an odd region or URL are refused", async () => {
  const bucket = await newBucket("sippy-refused", source);
  const destination = destinationOf(source);
  const put = (body: object) => source.rest("PUT", sippyPath(bucket, source), body);
  const inside = {
    source: { provider: "s3", bucketUrl: `${target.ready.s3.endpoint}/sippy-own`, accessKeyId: "a", secretAccessKey: "b" },
    destination,
  };
  const validated = await source.rest("POST", `${sippyPath(bucket, source)}/validate`, inside);
  assert.equal(validated.status, 400);
  assert.match(validated.body.errors[0]?.message ?? "", /no public address/);
  assert.equal((await put(inside)).status, 200);
  assert.deepEqual((await refusal(from.send(new GetObjectCommand({ Bucket: bucket, Key: "both" }))))[0], 503);
  assert.equal((await put({ ...inside, destination: { ...destination, secretAccessKey: "wrong" } })).status, 403);
  const readOnly = await source.token(["Workers R2 Storage Read"]);
  assert.equal((await put({ ...inside, destination: { provider: "r2", ...readOnly.s3 } })).status, 403);
  const aws = { provider: "aws", bucket: "b-b", accessKeyId: "a", secretAccessKey: "b" };
  assert.equal((await put({ destination, source: { ...aws, region: "evil.example/#" } })).status, 400);
  for (const bucketUrl of ["file:///etc/passwd", "ftp://example.com/b", "http://user:pass@example.com/b", "not a url"])
    assert.equal((await put({ ...inside, source: { ...inside.source, bucketUrl } })).status, 400, bucketUrl);
  assert.equal((await put({ destination, source: { provider: "azure" } })).status, 501);
});
