/**
 * R2 by binding: a Worker deployed by wrangler runs each test's code against `env.B` and returns what it found. The
 * code is a function's source; what it returns is compared here.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { CompleteMultipartUploadCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, uploadedWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const s3 = platform.s3();
const account = platform.ready.account_id;
const Bucket = "worker-bucket";
const post = await platform.rest("POST", `/accounts/${account}/r2/buckets`, { name: Bucket });
assert.equal(post.status, 200, JSON.stringify(post.body));

type Program = (env: { B: R2Bucket; C: R2Bucket }, request: Request) => Promise<unknown>;
// The programs run in the Worker; here they are only text, so the types of the binding are written out loosely.
// biome-ignore lint/suspicious/noExplicitAny: the binding's own types are those of the Workers runtime.
type R2Bucket = any;

const programs: Record<string, Program> = {
  async basics({ B }) {
    const stored = await B.put("dir/k", "hello", { httpMetadata: { contentType: "text/plain" }, customMetadata: { a: "grüße" } });
    const got = await B.get("dir/k");
    const head = await B.head("dir/k");
    const shape = (o: R2Bucket) => [
      o.key,
      o.size,
      o.etag,
      o.httpEtag,
      o.version,
      o.storageClass,
      o.httpMetadata,
      o.customMetadata,
      o.checksums.toJSON(),
    ];
    const kinds = [];
    for (const value of [new Uint8Array([1, 2, 3]), new Uint8Array([1, 2, 3]).buffer, new Blob(["abc"]), "text", null, ""]) {
      await B.put("kind", value);
      kinds.push((await (await B.get("kind")).arrayBuffer()).byteLength);
    }
    await B.delete("dir/k");
    await B.delete(["kind", "never"]);
    return {
      same: JSON.stringify(shape(stored)) === JSON.stringify(shape(head)),
      shape: shape(head),
      text: await got.text(),
      uploaded: head.uploaded instanceof Date && Math.abs(head.uploaded - Date.now()) < 60_000,
      range: got.range,
      kinds,
      missing: [await B.get("dir/k"), await B.head("kind"), await B.get("never")],
    };
  },
  async list({ B }) {
    const names: string[] = [];
    for (let i = 0; i < 2500; i++) names.push(`list/${String(i).padStart(4, "0")}`);
    for (let at = 0; at < names.length; at += 100) await Promise.all(names.slice(at, at + 100).map((name) => B.put(name, "")));
    const sizes = [];
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await B.list({ prefix: "list/", cursor });
      sizes.push(page.objects.length);
      seen.push(...page.objects.map((o: R2Bucket) => o.key));
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor);
    const grouped = await B.list({ prefix: "list/", delimiter: "00", limit: 10 });
    const after = await B.list({ prefix: "list/", startAfter: "list/2497" });
    await B.put("meta/1", "", { httpMetadata: { contentType: "x/y" }, customMetadata: { a: "b" } });
    const plain = (await B.list({ prefix: "meta/" })).objects[0];
    const full = (await B.list({ prefix: "meta/", include: ["httpMetadata", "customMetadata"] })).objects[0];
    for (let at = 0; at < names.length; at += 1000) await B.delete(names.slice(at, at + 1000));
    const tooMany = await B.delete(names.slice(0, 1001)).catch((e: Error) => e.message);
    return {
      sizes,
      ordered: JSON.stringify(seen) === JSON.stringify(names),
      prefixes: grouped.delimitedPrefixes.slice(0, 3),
      count: grouped.delimitedPrefixes.length + grouped.objects.length,
      after: after.objects.map((o: R2Bucket) => o.key),
      plain: [plain.httpMetadata, plain.customMetadata],
      full: [full.httpMetadata, full.customMetadata],
      left: (await B.list({ prefix: "list/" })).objects.length,
      tooMany,
    };
  },
  async longLists({ B }) {
    const value = "m".repeat(8000);
    for (let i = 0; i < 150; i++) await B.put(`long/${i}`, "", { customMetadata: { value } });
    let total = 0;
    let pages = 0;
    let cursor: string | undefined;
    do {
      const page = await B.list({ prefix: "long/", include: ["customMetadata"], cursor });
      total += page.objects.filter((o: R2Bucket) => o.customMetadata.value === value).length;
      pages++;
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor);
    return { total, several: pages > 1 };
  },
  async conditions({ B }) {
    const one = await B.put("cond", "one");
    const out: unknown[] = [];
    out.push(await B.put("cond", "two", { onlyIf: { etagMatches: "0".repeat(32) } }));
    out.push(await B.put("cond", "two", { onlyIf: new Headers({ "if-none-match": "*" }) }));
    const failed = await B.get("cond", { onlyIf: { etagDoesNotMatch: one.etag } });
    out.push([failed.key, "body" in failed, failed.size]);
    out.push(await (await B.get("cond", { onlyIf: { etagMatches: one.etag } })).text());
    out.push("body" in (await B.get("cond", { onlyIf: { uploadedBefore: new Date(0) } })));
    out.push("body" in (await B.get("cond", { onlyIf: new Headers({ "if-modified-since": new Date(Date.now() + 5000).toUTCString() }) })));
    out.push((await B.put("cond", "two", { onlyIf: { etagMatches: one.etag } })).size);
    out.push((await B.put("cond-new", "x", { onlyIf: { etagDoesNotMatch: "*" } })).key);
    return out;
  },
  async ranges({ B }) {
    await B.put("range", "0123456789");
    const read = async (range: unknown) => {
      const got = await B.get("range", { range });
      return [await got.text(), got.range];
    };
    const fails = (range: unknown) => B.get("range", { range }).catch((e: Error) => e.message);
    return [
      await read({ offset: 2, length: 3 }),
      await read({ offset: 8 }),
      await read({ length: 2 }),
      await read({ suffix: 3 }),
      await read({ offset: 5, length: 100 }),
      await read({ suffix: 100 }),
      await read(new Headers({ range: "bytes=0-0" })),
      await read(new Headers({ range: "bytes=4-" })),
      await read(new Headers({ range: "nonsense" })),
      await fails({ offset: 11 }),
      await fails({ suffix: 0 }),
    ];
  },
  async checksums({ B }) {
    const digest = async (name: string, text: string) =>
      [...new Uint8Array(await crypto.subtle.digest(name, new TextEncoder().encode(text)))]
        .map((b) => b.toString(16).padStart(2, "0"))
        .join("");
    const sha256 = await digest("SHA-256", "abc");
    const object = await B.put("sum", "abc", { sha256 });
    const wrong = await B.put("sum-wrong", "abd", { sha256 }).catch((e: Error) => e.message);
    const md5 = await B.put("sum-md5", "abc", { md5: "900150983cd24fb0d6963f7d28e17f72" });
    const sha512 = await B.put("sum-512", "abc", { sha512: await digest("SHA-512", "abc") });
    return {
      sum: (await B.head("sum")).checksums.toJSON(),
      put: object.checksums.toJSON(),
      wrong,
      none: await B.head("sum-wrong"),
      md5: md5.checksums.toJSON(),
      sha512: Object.entries(sha512.checksums.toJSON()).flatMap(([name, hex]) => (hex === undefined ? [] : [name])),
    };
  },
  async metadata({ B }) {
    const http = {
      contentType: "text/plain",
      contentLanguage: "de",
      contentDisposition: "inline",
      contentEncoding: "identity",
      cacheControl: "no-store",
    };
    await B.put("meta", "x", {
      httpMetadata: { ...http, cacheExpiry: new Date(1893456000000) },
      customMetadata: { text: "grüße 🦆", Ü: "key" },
    });
    const headers = new Headers();
    const object = await B.head("meta");
    object.writeHttpMetadata(headers);
    await B.put("meta-headers", "x", {
      httpMetadata: new Headers({ "content-type": "x/y", expires: "Tue, 01 Jan 2030 00:00:00 GMT", other: "z" }),
    });
    const large = await B.put("meta-large", "x", { customMetadata: { a: "b".repeat(8192) } }).catch((e: Error) => e.message);
    return { headers: [...headers], custom: object.customMetadata, fromHeaders: (await B.head("meta-headers")).httpMetadata, large };
  },
  async multipart({ B }) {
    const upload = await B.createMultipartUpload("big", { httpMetadata: { contentType: "x/big" }, customMetadata: { a: "b" } });
    const first = new Uint8Array(5 * 1024 * 1024).fill(1);
    const parts = [await upload.uploadPart(1, first), await upload.uploadPart(2, "the end")];
    const object = await upload.complete(parts);
    const got = await B.get("big", { range: { offset: first.length - 1, length: 4 } });
    const again = await upload.complete(parts).catch((e: Error) => e.message);
    const small = await B.createMultipartUpload("small");
    const tiny = [await small.uploadPart(1, "a"), await small.uploadPart(2, "b")];
    const tooSmall = await small.complete(tiny).catch((e: Error) => e.message);
    await small.abort();
    await small.abort();
    const resumed = await B.resumeMultipartUpload("small", small.uploadId)
      .uploadPart(1, "x")
      .catch((e: Error) => e.message);
    return {
      etag: object.etag,
      etags: parts.map((p: R2Bucket) => p.etag),
      size: object.size,
      metadata: [object.httpMetadata, object.customMetadata],
      range: [...new Uint8Array(await got.arrayBuffer())],
      again,
      tooSmall,
      resumed,
      small: await B.head("small"),
    };
  },
  async multipartForS3({ B }) {
    const upload = await B.createMultipartUpload("across-doors");
    const part = await upload.uploadPart(1, "from the binding");
    return { uploadId: upload.uploadId, etag: part.etag };
  },
  async stream({ B }, request) {
    const object = await B.put("stream", request.body);
    return { size: object.size, md5: object.checksums.toJSON().md5 };
  },
  async storageClass({ B }) {
    await B.put("ia", "x", { storageClass: "InfrequentAccess" });
    const wrong = await B.put("ia", "x", { storageClass: "Glacier" }).catch((e: Error) => e.message);
    return [(await B.head("ia")).storageClass, wrong];
  },
  async ssec({ B }) {
    const ssecKey = new Uint8Array(32).fill(7).buffer;
    const object = await B.put("ssec", "secret text", { ssecKey });
    const got = await B.get("ssec", { ssecKey, range: { offset: 7 } });
    return {
      keyMd5: object.ssecKeyMd5,
      text: await got.text(),
      without: await B.get("ssec").catch((e: Error) => e.message),
      other: await B.get("ssec", { ssecKey: "0".repeat(64) }).catch((e: Error) => e.message),
    };
  },
  async errors({ B, C }) {
    const message = (promise: Promise<unknown>) =>
      promise.then(
        () => "no error",
        (e: Error) => e.message,
      );
    return [
      await message(B.put("k".repeat(1025), "x")),
      await message(C.get("k")),
      await message(B.list({ limit: 5000 })),
      await message(B.list({ cursor: "made-up" })),
    ];
  },
  async read({ B }, request) {
    const got = await B.get(new URL(request.url).searchParams.get("key"));
    return got === null ? null : await got.text();
  },
};

const source = `
const programs = { ${Object.values(programs)
  .map((program) => program.toString())
  .join(",\n")} };
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/download") {
      const object = await env.B.get(searchParams.get("key"), { range: request.headers });
      const headers = new Headers();
      object.writeHttpMetadata(headers);
      return new Response(object.body, { headers });
    }
    try {
      return Response.json({ result: await programs[pathname.slice(1)](env, request) ?? null });
    } catch (error) {
      return Response.json({ error: error.stack });
    }
  },
};`;

await platform.rest("POST", `/accounts/${account}/r2/buckets`, { name: "deleted-later" });
const project = await uploadedWorker(platform, {
  files: { "index.js": source },
  config: {
    name: "r2-binding",
    r2_buckets: [
      { binding: "B", bucket_name: Bucket },
      { binding: "C", bucket_name: "deleted-later" },
    ],
  },
});

// biome-ignore lint/suspicious/noExplicitAny: each program returns a shape of its own, which its test checks.
async function run(name: keyof typeof programs, init: object = {}, query = ""): Promise<any> {
  const answer = await platform.fetch(`${project.url}/${name}${query}`, init);
  const { result, error } = (await answer.json()) as { result: unknown; error?: string };
  assert.equal(error, undefined, error);
  return result;
}

const md5 = (data: string | Uint8Array) => createHash("md5").update(data).digest("hex");

test("[r2-01] put, get, head and delete by binding; what is missing is null", async () => {
  const out = await run("basics");
  assert.equal(out.same, true);
  const [key, size, etag, httpEtag, version, storageClass, http, custom, checksums] = out.shape;
  assert.deepEqual(
    [key, size, etag, httpEtag, storageClass, http, custom, checksums],
    ["dir/k", 5, md5("hello"), `"${md5("hello")}"`, "Standard", { contentType: "text/plain" }, { a: "grüße" }, { md5: md5("hello") }],
  );
  assert.match(version, /^[0-9a-f]{32}$/);
  assert.deepEqual(
    [out.text, out.uploaded, out.range, out.kinds, out.missing],
    ["hello", true, { offset: 0, length: 5 }, [3, 3, 3, 4, 0, 0], [null, null, null]],
  );
});

test("[r2-02] 2,500 keys come in pages of 1000, 1000 and 500, with groups, start and metadata", async () => {
  const out = await run("list");
  assert.deepEqual(out.sizes, [1000, 1000, 500]);
  assert.equal(out.ordered, true);
  assert.deepEqual([out.prefixes, out.count], [["list/00", "list/0100"], 10]);
  assert.deepEqual(out.after, ["list/2498", "list/2499"]);
  assert.deepEqual(out.full, [{ contentType: "x/y" }, { a: "b" }]);
  assert.deepEqual([out.plain, out.left], [[null, null], 0]);
  assert.match(out.tooMany, /^delete: /);
  assert.deepEqual(await run("longLists"), { total: 150, several: true });
});

test("[r2-03] a put on a stale etag is null, a get without its condition has no body", async () => {
  assert.deepEqual(await run("conditions"), [null, null, ["cond", false, 3], "one", false, false, 3, "cond-new"]);
});

test("[r2-04] ranges give exact bytes and are cut to the object", async () => {
  const range = (offset: number, length: number) => ({ offset, length });
  assert.deepEqual(await run("ranges"), [
    ["234", range(2, 3)],
    ["89", range(8, 2)],
    ["01", range(0, 2)],
    ["789", range(7, 3)],
    ["56789", range(5, 5)],
    ["0123456789", range(0, 10)],
    ["0", range(0, 1)],
    ["456789", range(4, 6)],
    ["0123456789", range(0, 10)],
    "get: The requested range is not satisfiable (10039)",
    "get: The requested range is not satisfiable (10039)",
  ]);
});

test("[r2-05] a wrong checksum is 10037 and stores nothing; right ones are kept", async () => {
  const out = await run("checksums");
  const sha256 = createHash("sha256").update("abc").digest("hex");
  assert.deepEqual(
    [out.sum, out.put],
    [
      { md5: md5("abc"), sha256 },
      { md5: md5("abc"), sha256 },
    ],
  );
  assert.match(out.wrong, /^put: The SHA-256 checksum you specified did not match what we received\.\n.*\n.* \(10037\)$/);
  assert.deepEqual([out.none, out.md5, out.sha512], [null, { md5: md5("abc") }, ["md5", "sha512"]]);
});

test("[r2-06] HTTP and custom metadata survive, and are the same at the S3 door", async () => {
  const out = await run("metadata");
  assert.deepEqual(Object.fromEntries(out.headers), {
    "content-type": "text/plain",
    "content-language": "de",
    "content-disposition": "inline",
    "content-encoding": "identity",
    "cache-control": "no-store",
    expires: "Tue, 01 Jan 2030 00:00:00 GMT",
  });
  assert.deepEqual(out.custom, { text: "grüße 🦆", Ü: "key" });
  assert.deepEqual(out.fromHeaders, { contentType: "x/y", cacheExpiry: "2030-01-01T00:00:00.000Z" });
  assert.equal(out.large, "put: Your metadata headers exceed the maximum allowed metadata size. (10012)");
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "meta" }));
  const word = /^=\?UTF-8\?B\?(.*)\?=$/.exec(head.Metadata?.text ?? "")?.[1] ?? "";
  assert.equal(Buffer.from(word, "base64").toString("utf8"), "grüße 🦆");
  assert.deepEqual([head.MissingMeta, head.CacheControl, head.ContentLanguage], [1, "no-store", "de"]);
  await s3.send(new PutObjectCommand({ Bucket, Key: "from-s3", Body: "by S3", Metadata: { text: head.Metadata?.text as string } }));
  assert.equal(await run("read", {}, "?key=from-s3"), "by S3");
});

test("[r2-07] multipart by binding", async () => {
  const out = await run("multipart");
  const first = Buffer.alloc(5 * 1024 * 1024, 1);
  assert.deepEqual(out.etags, [md5(first), md5("the end")]);
  const etag = createHash("md5")
    .update(Buffer.from(md5(first), "hex"))
    .update(Buffer.from(md5("the end"), "hex"))
    .digest("hex");
  assert.deepEqual([out.etag, out.size, out.metadata], [`${etag}-2`, first.length + 7, [{ contentType: "x/big" }, { a: "b" }]]);
  assert.deepEqual(out.range, [1, ...Buffer.from("the")]);
  assert.equal(out.again, "completeMultipartUpload: The specified multipart upload does not exist. (10024)");
  assert.equal(out.tooSmall, "completeMultipartUpload: Your proposed upload is smaller than the minimum allowed object size. (10011)");
  assert.equal(out.resumed, "uploadPart: The specified multipart upload does not exist. (10024)");
  assert.equal(out.small, null);
});

test("[r2-08] an upload begun by binding is finished by S3", async () => {
  const { uploadId: UploadId, etag: ETag } = await run("multipartForS3");
  await s3.send(
    new CompleteMultipartUploadCommand({ Bucket, Key: "across-doors", UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
  );
  assert.equal(await run("read", {}, "?key=across-doors"), "from the binding");
});

test("[r2-09] what S3 has written a Worker sees at once, and the other way round", async () => {
  for (let i = 0; i < 20; i++) {
    await s3.send(new PutObjectCommand({ Bucket, Key: "seen", Body: `${i}` }));
    assert.equal(await run("read", {}, "?key=seen"), `${i}`);
  }
});

test("bodies stream through a Worker in both directions", async () => {
  const data = randomBytes(40 * 1024 * 1024);
  assert.deepEqual(await run("stream", { method: "PUT", body: data }), { size: data.length, md5: md5(data) });
  const whole = await platform.fetch(`${project.url}/download?key=stream`);
  assert.ok(data.equals(Buffer.from(await whole.arrayBuffer())));
  const part = await platform.fetch(`${project.url}/download?key=stream`, { headers: { range: "bytes=1000-1009" } });
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), data.subarray(1000, 1010));
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "stream" }));
  assert.ok(data.equals(Buffer.from((await Body?.transformToByteArray()) as Uint8Array)));
});

test("[r2-39] a storage class is kept, an unknown one refused", async () => {
  assert.deepEqual(await run("storageClass"), ["InfrequentAccess", "put: The storage class specified is not valid. (10062)"]);
});

test("[r2-28] an object under the customer's key needs it", async () => {
  const out = await run("ssec");
  assert.deepEqual([out.keyMd5, out.text], [md5(Buffer.alloc(32, 7)), "text"]);
  assert.match(out.without, /^get: .*Server Side Encryption/);
  assert.match(out.other, /^get: .*key/);
});

test("errors carry R2's texts and codes", async () => {
  await platform.rest("DELETE", `/accounts/${account}/r2/buckets/deleted-later`);
  assert.deepEqual(await run("errors"), [
    "put: The specified object name is not valid. (10020)",
    "get: The specified bucket does not exist. (10006)",
    "list: MaxKeys params must be positive integer <= 1000. (10022)",
    "list: The continuation token provided is incorrect (10029)",
  ]);
});

test("a bucket that is only in the configuration is made at deploy, or refused when wrangler may not make it", async () => {
  const options = (name: string) => ({
    files: { "index.js": "export default { fetch: async (request, env) => Response.json(await env.B.head('k')) }" },
    config: { name, r2_buckets: [{ binding: "B", bucket_name: `bucket-of-${name}` }] },
  });
  const refused = await workerProject(platform, options("r2-refused"));
  const { stdout, stderr } = await refused.wrangler(["deploy", "--x-provision=false"], { code: 1 });
  assert.match(stdout + stderr, /R2 bucket 'bucket-of-r2-refused' not found\. Please use a different name and try again\. \[code: 10085\]/);
  const made = await deployWorker(platform, options("r2-made"));
  assert.equal(await (await platform.fetch(made.url)).text(), "null");
});
