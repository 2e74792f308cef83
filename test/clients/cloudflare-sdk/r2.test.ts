/** R2's REST API by the `cloudflare` package: what it reads of our answers is what it expects. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { after, test } from "node:test";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { noCurl } from "../../harness/programs.ts";

const platform = await startPlatform({ after });
const account_id = platform.ready.account_id;
const { buckets, temporaryCredentials } = platform.sdk().r2;
const s3 = platform.s3();

async function newBucket(name: string): Promise<string> {
  await buckets.create({ account_id, name });
  return name;
}

const put = (Bucket: string, Key: string, Body: string = Key) => s3.send(new PutObjectCommand({ Bucket, Key, Body }));

async function fails(promise: Promise<unknown>, status: number, name?: string): Promise<void> {
  const error = await promise.then(
    () => assert.fail("the request succeeded"),
    (reason: { name: string; $metadata?: { httpStatusCode?: number }; status?: number }) => reason,
  );
  assert.equal(error.$metadata?.httpStatusCode ?? error.status, status, String(error));
  if (name !== undefined) assert.equal(error.name, name);
}

test("[r2-41, r2-43] buckets are created, read, listed, edited and deleted", async () => {
  const created = await buckets.create({ account_id, name: "sdk-life", locationHint: "apac", storageClass: "InfrequentAccess" });
  const { creation_date, ...rest } = created;
  assert.deepEqual(rest, { name: "sdk-life", location: "apac", jurisdiction: "default", storage_class: "InfrequentAccess" });
  assert.ok(Math.abs(Date.parse(creation_date as string) - Date.now()) < 60_000);
  assert.deepEqual(await buckets.get("sdk-life", { account_id }), created);
  const edited = await buckets.edit("sdk-life", { account_id, storage_class: "Standard" });
  assert.equal(edited.storage_class, "Standard");
  for (const name of ["sdk-list-a", "sdk-list-b", "sdk-list-c"]) await newBucket(name);
  const names = async (options: object) => (await buckets.list({ account_id, ...options })).buckets?.map(({ name }) => name);
  assert.deepEqual(await names({ name_contains: "k-list" }), ["sdk-list-a", "sdk-list-b", "sdk-list-c"]);
  assert.deepEqual(await names({ name_contains: "k-list", direction: "desc", per_page: 2 }), ["sdk-list-c", "sdk-list-b"]);
  assert.deepEqual(await names({ name_contains: "k-list", start_after: "sdk-list-a" }), ["sdk-list-b", "sdk-list-c"]);
  assert.deepEqual(await names({ name_contains: "k%list" }), []);
  await buckets.delete("sdk-life", { account_id });
  await fails(buckets.get("sdk-life", { account_id }), 404);
  await fails(buckets.create({ account_id, name: "sdk-list-a" }), 409);
  await fails(buckets.create({ account_id, name: "Not A Name" }), 400);
});

test("[r2-41] objects are uploaded, listed, read on conditions and deleted", async () => {
  const bucket_name = await newBucket("sdk-objects");
  const key = "dir/a b?c#d%.txt";
  const params = { account_id, bucket_name };
  const md5 = createHash("md5").update("hello").digest("hex");
  const uploaded = await buckets.objects.upload(key, Buffer.from("hello"), { ...params, "cf-r2-storage-class": "InfrequentAccess" });
  assert.deepEqual([uploaded.key, uploaded.etag, uploaded.size, uploaded.storage_class], [key, md5, "5", "InfrequentAccess"]);
  for (const other of ["dir/b", "top"]) await put(bucket_name, other);
  const listed = [];
  for await (const object of buckets.objects.list(bucket_name, { account_id, per_page: 1 })) listed.push(object.key);
  assert.deepEqual(listed, [key, "dir/b", "top"]);
  const grouped = await platform.rest("GET", `/accounts/${account_id}/r2/buckets/${bucket_name}/objects?delimiter=/`);
  assert.deepEqual(
    [(grouped.body.result as { key: string }[]).map((object) => object.key), grouped.body.result_info?.delimited],
    [["top"], ["dir/"]],
  );
  const got = await buckets.objects.get(key, params);
  assert.deepEqual(
    [await got.text(), got.headers.get("etag"), got.headers.get("content-type")],
    ["hello", `"${md5}"`, "application/octet-stream"],
  );
  const unchanged = await buckets.objects.get(key, { ...params, "If-None-Match": `"${md5}"` }).catch((error) => error);
  assert.equal(unchanged.status, 304);
  assert.equal((await buckets.objects.delete(key, params)).key, key);
  await fails(buckets.objects.get(key, params), 404);
});

test("[r2-41] settings are kept as sent", async () => {
  const name = await newBucket("sdk-settings");
  const cors = [
    {
      id: "r",
      allowed: { methods: ["GET" as const], origins: ["https://a.example"], headers: ["x-a"] },
      exposeHeaders: ["etag"],
      maxAgeSeconds: 9,
    },
  ];
  await buckets.cors.update(name, { account_id, rules: cors });
  assert.deepEqual((await buckets.cors.get(name, { account_id })).rules, cors);
  await buckets.cors.delete(name, { account_id });
  assert.deepEqual((await buckets.cors.get(name, { account_id })).rules, []);
  for (const origins of [["https://a.example/path"], ["no scheme"], []]) {
    await fails(buckets.cors.update(name, { account_id, rules: [{ allowed: { methods: ["GET"], origins } }] }), 400);
  }
  const lifecycle = [
    { id: "x", enabled: true, conditions: { prefix: "p/" }, deleteObjectsTransition: { condition: { type: "Age" as const, maxAge: 100 } } },
  ];
  await buckets.lifecycle.update(name, { account_id, rules: lifecycle });
  assert.deepEqual((await buckets.lifecycle.get(name, { account_id })).rules, lifecycle);
  const lock = [{ id: "l", enabled: true, prefix: "", condition: { type: "Date" as const, date: "2000-01-01T00:00:00Z" } }];
  await buckets.locks.update(name, { account_id, rules: lock });
  assert.deepEqual((await buckets.locks.get(name, { account_id })).rules, lock);
  assert.equal((await buckets.sippy.get(name, { account_id })).enabled, false);
  await fails(buckets.domains.custom.create(name, { account_id, domain: "api.cloudflare.com", enabled: true, zoneId: "z" }), 400);
  await fails(buckets.domains.custom.create(name, { account_id, domain: `x.${platform.ready.domain}`, enabled: true, zoneId: "z" }), 400);
  await put(name, "k", "12345");
  const metrics = await buckets.metrics.list({ account_id });
  assert.ok((metrics.standard?.published?.payloadSize ?? 0) >= 5 && (metrics.standard?.published?.objects ?? 0) >= 1);
});

test("a token for reading reads, and one without R2 does nothing", async () => {
  const name = await newBucket("sdk-rights");
  const reader = platform.sdk((await platform.token(["Workers R2 Storage Read"])).value).r2.buckets;
  await reader.get(name, { account_id });
  await fails(reader.create({ account_id, name: "not-mine" }), 403);
  const resource = { [`com.cloudflare.edge.r2.bucket.${account_id}_default_${name}`]: "*" };
  const scoped = platform.sdk((await platform.token(["Workers R2 Storage Bucket Item Write"], resource)).value).r2.buckets;
  await fails(scoped.get(name, { account_id }), 403);
  // A policy of the account's group on one bucket is not a policy on the account.
  const narrow = platform.sdk((await platform.token(["Workers R2 Storage Write"], resource)).value).r2.buckets;
  await fails(narrow.delete(name, { account_id }), 403);
});

const client = (key: { accessKeyId: string; secretAccessKey: string; sessionToken: string }) =>
  new S3Client({ endpoint: platform.ready.s3.endpoint, region: "auto", forcePathStyle: true, credentials: key, maxAttempts: 1 });

test("[r2-22] temporary credentials reach their prefix and objects, until they expire", async () => {
  const [Bucket, other] = [await newBucket("temporary"), await newBucket("temporary-other")];
  for (const key of ["in/a", "one", "out"]) await put(Bucket, key);
  await put(other, "in/a");
  const parentAccessKeyId = platform.ready.s3.access_key_id;
  const create = async (permission: "object-read-only" | "object-read-write", options: object = {}) => {
    const key = await temporaryCredentials.create({
      account_id,
      bucket: Bucket,
      parentAccessKeyId,
      permission,
      ttlSeconds: 60,
      ...options,
    });
    return client(key as { accessKeyId: string; secretAccessKey: string; sessionToken: string });
  };
  const limited = await create("object-read-only", { prefixes: ["in/"], objects: ["one"] });
  for (const Key of ["in/a", "one"]) await limited.send(new GetObjectCommand({ Bucket, Key }));
  assert.equal((await limited.send(new ListObjectsV2Command({ Bucket, Prefix: "in/" }))).KeyCount, 1);
  for (const command of [
    new GetObjectCommand({ Bucket, Key: "out" }),
    new GetObjectCommand({ Bucket: other, Key: "in/a" }),
    new ListObjectsV2Command({ Bucket }),
    new ListObjectsV2Command({ Bucket, Prefix: "i" }),
    new PutObjectCommand({ Bucket, Key: "in/new", Body: "" }),
    new DeleteObjectCommand({ Bucket, Key: "in/a" }),
  ]) {
    await fails(limited.send(command as never), 403, "AccessDenied");
  }
  const writer = await create("object-read-write", { prefixes: ["in/"] });
  await writer.send(new PutObjectCommand({ Bucket, Key: "in/new", Body: "x" }));
  await fails(writer.send(new PutObjectCommand({ Bucket, Key: "new", Body: "x" })), 403, "AccessDenied");

  const short = await create("object-read-only", { ttlSeconds: 1 });
  await new Promise((resolve) => setTimeout(resolve, 2100));
  await fails(short.send(new GetObjectCommand({ Bucket, Key: "one" })), 401, "Unauthorized");

  // Neither a parent nor a caller can give what it does not have.
  const reader = await platform.token(["Workers R2 Storage Read"]);
  const request = { account_id, bucket: Bucket, permission: "object-read-write" as const, ttlSeconds: 60 };
  await fails(temporaryCredentials.create({ ...request, parentAccessKeyId: reader.id }), 403);
  await fails(platform.sdk(reader.value).r2.temporaryCredentials.create({ ...request, parentAccessKeyId }), 403);
  await fails(temporaryCredentials.create({ ...request, parentAccessKeyId, ttlSeconds: 604_801 }), 400);
});

test("[r2-23] credentials signed by the client are accepted, with their actions, and die with their parent", async () => {
  const Bucket = await newBucket("locally-signed");
  await put(Bucket, "k");
  const parent = await platform.token(["Workers R2 Storage Write"]);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const mint = (claims: object, secret = parent.s3.secretAccessKey) => {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      sub: account_id,
      iss: parent.id,
      aud: `${account_id}.r2.cloudflarestorage.com`,
      bucket: Bucket,
      iat: now,
      exp: now + 60,
      ...claims,
    };
    const unsigned = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(payload)}`;
    const jwt = `${unsigned}.${createHmac("sha256", secret).update(unsigned).digest("base64url")}`;
    return client({
      accessKeyId: parent.id,
      secretAccessKey: createHash("sha256").update(jwt).digest("hex"),
      sessionToken: Buffer.from(`jwt/${jwt}`).toString("base64"),
    });
  };
  const writer = mint({ scope: "object-read-write", actions: ["PutObject"] });
  await writer.send(new PutObjectCommand({ Bucket, Key: "new", Body: "x" }));
  await fails(writer.send(new GetObjectCommand({ Bucket, Key: "k" })), 403, "AccessDenied");
  const get = new GetObjectCommand({ Bucket, Key: "k" });
  await mint({ scope: "object-read-only" }).send(get);
  await fails(mint({ scope: "object-read-only", exp: 1 }).send(get), 401, "Unauthorized");
  await fails(mint({ scope: "object-read-only", sub: "0".repeat(32) }).send(get), 401, "Unauthorized");
  await fails(mint({ scope: "everything" }).send(get), 401, "Unauthorized");
  await fails(mint({ scope: "object-read-only" }, "0".repeat(64)).send(get), 401, "Unauthorized");
  const living = mint({ scope: "object-read-only" });
  await platform.rest("DELETE", `/accounts/${account_id}/tokens/${parent.id}`);
  await fails(living.send(get), 401, "Unauthorized");
});

test("[r2-30] CORS rules answer preflights and mark answers, errors included", async () => {
  const Bucket = await newBucket("cors");
  await buckets.cors.update(Bucket, {
    account_id,
    rules: [
      {
        allowed: { origins: ["https://app.example"], methods: ["PUT", "GET"], headers: ["Content-Type", "x-amz-*"] },
        exposeHeaders: ["ETag"],
        maxAgeSeconds: 600,
      },
    ],
  });
  const url = `${platform.host("r2")}/${Bucket}/k`;
  const preflight = (origin: string, method: string, headers: string) =>
    platform.fetch(url, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": method, "access-control-request-headers": headers },
    });
  const allowed = await preflight("https://app.example", "PUT", "content-type, X-Amz-Date");
  assert.equal(allowed.status, 204);
  assert.deepEqual(
    ["origin", "methods", "headers"].map((name) => allowed.headers.get(`access-control-allow-${name}`)),
    ["https://app.example", "PUT, GET", "content-type, x-amz-date"],
  );
  assert.equal(allowed.headers.get("access-control-max-age"), "600");
  for (const [origin, method, headers] of [
    ["https://evil.example", "PUT", ""],
    ["https://app.example", "DELETE", ""],
    ["https://app.example", "PUT", "x-other"],
  ] as const) {
    const refused = await preflight(origin, method, headers);
    assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [403, null]);
  }
  const unsigned = await platform.fetch(url, { headers: { origin: "https://app.example" } });
  assert.deepEqual(
    [unsigned.status, unsigned.headers.get("access-control-allow-origin"), unsigned.headers.get("access-control-expose-headers")],
    [400, "https://app.example", "ETag"],
  );
  const elsewhere = await platform.fetch(url, { headers: { origin: "https://evil.example" } });
  assert.equal(elsewhere.headers.get("access-control-allow-origin"), null);
});

test("[r2-31] lifecycle rules show in x-amz-expiration and delete what is due", async (t) => {
  const own = await startPlatform(t, { config: { "r2.lifecycle_interval_s": 0.2 } });
  const rules = own.sdk().r2.buckets.lifecycle;
  const [client, account] = [own.s3(), own.ready.account_id];
  const Bucket = "lifecycle";
  await own.sdk().r2.buckets.create({ account_id: account, name: Bucket });
  for (const Key of ["logs/1", "logs/2", "kept"]) await client.send(new PutObjectCommand({ Bucket, Key, Body: "x" }));
  const age = (maxAge: number) => ({ condition: { type: "Age" as const, maxAge } });
  const rule = (id: string, prefix: string) => ({ id, enabled: true, conditions: { prefix } });
  await rules.update(Bucket, { account_id: account, rules: [{ ...rule("later", ""), deleteObjectsTransition: age(86_400) }] });
  const head = await client.send(new HeadObjectCommand({ Bucket, Key: "logs/1" }));
  const [, date, id] = /^expiry-date="(.*)", rule-id="(.*)"$/.exec(head.Expiration ?? "") ?? [];
  assert.equal(id, "later");
  assert.equal(Date.parse(date as string), (head.LastModified as Date).getTime() + 86_400_000);

  const past = { condition: { type: "Date" as const, date: "2020-01-01T00:00:00Z" } };
  await rules.update(Bucket, {
    account_id: account,
    rules: [
      { ...rule("due", "logs/"), deleteObjectsTransition: past },
      { ...rule("cold", "kept"), storageClassTransitions: [{ ...past, storageClass: "InfrequentAccess" as const }] },
    ],
  });
  for (const deadline = Date.now() + 10_000; ; ) {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    if (Contents.length === 1 && Contents[0]?.StorageClass === "STANDARD_IA") break;
    assert.ok(Date.now() < deadline, JSON.stringify(Contents));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test("[r2-32] a locked object is neither deleted nor replaced, at any door", async () => {
  const Bucket = await newBucket("locks");
  for (const key of ["logs/1", "free"]) await put(Bucket, key);
  await buckets.locks.update(Bucket, {
    account_id,
    rules: [{ id: "l", enabled: true, prefix: "logs/", condition: { type: "Indefinite" } }],
  });
  await fails(s3.send(new DeleteObjectCommand({ Bucket, Key: "logs/1" })), 403, "ObjectLockedByBucketPolicy");
  await fails(put(Bucket, "logs/1", "new"), 403, "ObjectLockedByBucketPolicy");
  await fails(buckets.objects.delete("logs/1", { account_id, bucket_name: Bucket }), 403);
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "free" }));
  await put(Bucket, "logs/2");
  await buckets.locks.update(Bucket, { account_id, rules: [] });
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "logs/1" }));
});

test("[r2-35] a development URL serves the bucket to everybody while it is enabled", { skip: noCurl }, async () => {
  const Bucket = await newBucket("dev-url");
  await s3.send(
    new PutObjectCommand({ Bucket, Key: "dir/a b.txt", Body: "0123456789", ContentType: "text/plain", CacheControl: "max-age=5" }),
  );
  const before = await buckets.domains.managed.list(Bucket, { account_id });
  assert.equal(before.enabled, false);
  const url = `http://${before.domain}/dir/a%20b.txt`;
  assert.equal((await platform.fetch(url)).status, 401);
  assert.equal((await buckets.domains.managed.update(Bucket, { account_id, enabled: true })).domain, before.domain);
  const got = await platform.fetch(url);
  assert.deepEqual(
    [got.status, await got.text(), got.headers.get("content-type"), got.headers.get("cache-control")],
    [200, "0123456789", "text/plain", "max-age=5"],
  );
  const etag = got.headers.get("etag") as string;
  assert.equal((await platform.fetch(url, { headers: { "if-none-match": etag } })).status, 304);
  const part = await platform.fetch(url, { headers: { range: "bytes=2-4" } });
  assert.deepEqual([part.status, await part.text(), part.headers.get("content-range")], [206, "234", "bytes 2-4/10"]);
  assert.equal((await platform.fetch(url, { method: "HEAD" })).headers.get("content-length"), "10");
  for (const [path, method, status] of [
    ["/", "GET", 404],
    ["/missing", "GET", 404],
    ["/dir/a%20b.txt", "PUT", 405],
    ["/dir/a%20b.txt", "DELETE", 405],
  ] as const) {
    const answer = await platform.fetch(`http://${before.domain}${path}`, { method });
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [status, "text/html; charset=utf-8"]);
  }
  // The real service's name for it leads here as well.
  const label = before.domain.split(".")[0];
  const curl = await platform.exec("curl", ["-sS", "--fail", `https://${label}.r2.dev/dir/a%20b.txt`]);
  assert.equal(curl.stdout, "0123456789");
  await buckets.domains.managed.update(Bucket, { account_id, enabled: false });
  assert.equal((await platform.fetch(url)).status, 401);
});

test("[r2-36] a custom domain serves its bucket, and stops when it is disabled or removed", { skip: noCurl }, async () => {
  const Bucket = await newBucket("custom-domain");
  await put(Bucket, "k", "by domain");
  const domain = "files.customer.example";
  const params = { account_id, bucket_name: Bucket };
  const get = (path: string) =>
    platform.exec("curl", ["-sS", "-o", "-", "-w", "\n%{http_code}", `https://${domain}${path}`], { code: "any" });
  await buckets.domains.custom.create(Bucket, { account_id, domain, enabled: true, zoneId: "z" });
  assert.equal((await get("/k")).stdout, "by domain\n200");
  assert.match((await get("/missing")).stdout, /<html.*\n404$/s);
  assert.match((await get("/client/v4/user")).stdout, /\n404$/);
  const other = await newBucket("custom-domain-other");
  await fails(buckets.domains.custom.create(other, { account_id, domain, enabled: true, zoneId: "z" }), 409);
  await buckets.domains.custom.update(domain, { ...params, enabled: false });
  assert.doesNotMatch((await get("/k")).stdout, /by domain/);
  await buckets.domains.custom.update(domain, { ...params, enabled: true });
  assert.equal((await get("/k")).stdout, "by domain\n200");
  assert.equal((await buckets.domains.custom.list(Bucket, { account_id })).domains[0]?.status.ssl, "active");
  await buckets.domains.custom.delete(domain, params);
  assert.doesNotMatch((await get("/k")).stdout, /by domain/);
});

test("[r2-37] a zone's custom domain answers from the cache until the zone is purged; others, the binding's way and S3 never do", {
  skip: noCurl,
}, async () => {
  const Bucket = await newBucket("cached-domain");
  const zone = await platform.sdk().zones.create({ account: { id: account_id }, name: "cached.example" });
  for (const domain of ["files.cached.example", "files.uncached.example"])
    await buckets.domains.custom.create(Bucket, { account_id, domain, enabled: true, zoneId: zone.id });
  const get = async (url: string, ...more: string[]) => {
    const { stdout } = await platform.exec("curl", ["-sS", "-i", ...more, `https://${url}`]);
    // The first head is the way's to the host.
    const [, head = "", body = ""] = stdout.split("\r\n\r\n");
    return { status: /^cf-cache-status: (.*?)\r?$/im.exec(head)?.[1], age: /^age: (\d+)/im.exec(head)?.[1], body };
  };
  const url = "files.cached.example/app.css";
  await put(Bucket, "app.css", "first");
  await put(Bucket, "page.html", "first");
  assert.deepEqual(await get(url), { status: "MISS", age: undefined, body: "first" });
  await put(Bucket, "app.css", "second");
  await put(Bucket, "page.html", "second");
  const hit = await get(url);
  assert.deepEqual([hit.status, hit.body, Number(hit.age) >= 0], ["HIT", "first", true]);
  assert.deepEqual((await get(url, "-H", "Range: bytes=0-2")).body, "sec");
  assert.deepEqual(await get(`${url}?v=2`), { status: "MISS", age: undefined, body: "second" });
  assert.equal((await get("files.uncached.example/app.css")).body, "second");
  assert.deepEqual(await get("files.cached.example/page.html"), { status: undefined, age: undefined, body: "second" });
  assert.equal(await (await s3.send(new GetObjectCommand({ Bucket, Key: "app.css" }))).Body?.transformToString(), "second");
  // Deleted, and still there.
  await s3.send(new DeleteObjectCommand({ Bucket, Key: "app.css" }));
  assert.equal((await get(url)).status, "HIT");
  await platform.sdk().cache.purge({ zone_id: zone.id, files: [`https://${url}`] });
  assert.match((await get(url)).body, /Object not found/);
  await s3.send(new PutObjectCommand({ Bucket, Key: "private.css", Body: "x", CacheControl: "private" }));
  for (let i = 0; i < 2; i++) assert.equal((await get("files.cached.example/private.css")).status, "BYPASS");
});

test("[r2-49] the analytics API counts requests by action and status, and what a bucket holds", async () => {
  const Bucket = await newBucket("metrics");
  for (const key of ["a", "b", "c"]) await put(Bucket, key, "12345");
  await (await s3.send(new GetObjectCommand({ Bucket, Key: "a" }))).Body?.transformToString();
  await fails(s3.send(new GetObjectCommand({ Bucket, Key: "missing" })), 404);
  await buckets.objects.get("b", { account_id, bucket_name: Bucket });
  const now = Date.now();
  const query = `query ($tag: String!, $bucket: String!, $from: Time!, $to: Time!) {
    viewer { accounts(filter: { accountTag: $tag }) {
      operations: r2OperationsAdaptiveGroups(limit: 100, filter: { bucketName: $bucket, datetime_geq: $from, datetime_leq: $to }, orderBy: [actionType_ASC]) {
        sum { requests responseObjectSize } dimensions { actionType actionStatus }
      }
      storage: r2StorageAdaptiveGroups(limit: 1, filter: { bucketName: $bucket, datetime_geq: $from, datetime_leq: $to }) {
        max { objectCount payloadSize uploadCount } dimensions { bucketName }
      }
    } }
  }`;
  const variables = {
    tag: account_id,
    bucket: Bucket,
    from: new Date(now - 3_600_000).toISOString(),
    to: new Date(now + 60_000).toISOString(),
  };
  const answer = await platform.fetch("/client/v4/graphql", {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await answer.json()) as {
    data: { viewer: { accounts: { operations: object[]; storage: object[] }[] } };
    errors: unknown;
  };
  assert.equal(errors, null);
  const [found] = data.viewer.accounts;
  assert.deepEqual(found?.operations, [
    { sum: { requests: 2, responseObjectSize: 10 }, dimensions: { actionType: "GetObject", actionStatus: "success" } },
    { sum: { requests: 1, responseObjectSize: 0 }, dimensions: { actionType: "GetObject", actionStatus: "userError" } },
    { sum: { requests: 3, responseObjectSize: 0 }, dimensions: { actionType: "PutObject", actionStatus: "success" } },
  ]);
  assert.deepEqual(found?.storage, [{ max: { objectCount: 3, payloadSize: 15, uploadCount: 0 }, dimensions: { bucketName: Bucket } }]);
});
