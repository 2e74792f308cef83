/**
 * What no S3 client sends: requests signed by the SDK's own signer and then broken, and bodies cut off on the wire. Each
 * is refused as documented and leaves everything as it was.
 */
import assert from "node:assert/strict";
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { once } from "node:events";
import { after, test } from "node:test";
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { SignatureV4 } from "@smithy/signature-v4";
import { startPlatform } from "../../harness/platform.ts";
import { answerOn, rawSocket } from "../../harness/raw-http.ts";

const platform = await startPlatform({ after });
const s3 = platform.s3();
const Bucket = "raw";
await s3.send(new CreateBucketCommand({ Bucket }));
await s3.send(new PutObjectCommand({ Bucket, Key: "there", Body: "before" }));
const endpoint = new URL(platform.ready.s3.endpoint);
const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = platform.ready.s3;

/** node:crypto in the form that the signer wants. */
class Sha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret as string);
  }
  update(data: string | Uint8Array): void {
    this.#hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

const signer = new SignatureV4({
  credentials: { accessKeyId, secretAccessKey },
  region: "auto",
  service: "s3",
  sha256: Sha256 as never,
  uriEscapePath: false,
  applyChecksum: false,
});

interface Options {
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: string;
  readonly query?: Readonly<Record<string, string>>;
}

/** Headers of a signed request. */
async function sign(method: string, path: string, { headers = {}, payload = "UNSIGNED-PAYLOAD", query = {} }: Options = {}) {
  const signed = (await signer.sign({
    method,
    protocol: "http:",
    hostname: endpoint.hostname,
    port: Number(endpoint.port),
    path,
    query,
    headers: { host: endpoint.host, "x-amz-content-sha256": payload, ...headers },
  } as never)) as unknown as { headers: Record<string, string> };
  return signed.headers;
}

const head = (method: string, target: string, headers: Record<string, string>) =>
  `${method} ${target} HTTP/1.1\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}`;

/** Sends a signed request with exactly these bytes as head and body; the status and S3 code of the answer. */
async function send(
  t: { after(fn: () => void): void },
  method: string,
  path: string,
  body: string | Buffer,
  options: Options = {},
): Promise<[number | undefined, string]> {
  const socket = await rawSocket(t, platform);
  const headers = await sign(method, path, options);
  const query = new URLSearchParams(options.query).toString();
  socket.write(`${head(method, query === "" ? path : `${path}?${query}`, headers)}connection: close\r\n\r\n`);
  socket.write(body);
  const { statuses, text } = await answerOn(socket);
  return [statuses.at(-1), /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? ""];
}

async function unchanged(): Promise<void> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
  assert.deepEqual(
    Contents.map(({ Key }) => Key),
    ["there"],
  );
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "there" }));
  assert.equal(await Body?.transformToString(), "before");
}

const put = "/raw/there";

test("a body that ends before its length leaves the object as it was", async (t) => {
  for (const size of [100, 20_000_000]) {
    const socket = await rawSocket(t, platform);
    const headers = await sign("PUT", put);
    socket.write(`${head("PUT", put, headers)}content-length: ${size}\r\n\r\n`);
    socket.write(Buffer.alloc(size / 2));
    // Half of it has arrived before the client goes.
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    await once(socket, "close");
  }
  await unchanged();
});

test("a body without a length is 411, one that claims too much is EntityTooLarge, before anything is read", async (t) => {
  assert.deepEqual(await send(t, "PUT", put, "0\r\n\r\n", { headers: { "transfer-encoding": "chunked" } }), [411, "MissingContentLength"]);
  const huge = String(6 * 1024 ** 3);
  assert.deepEqual(await send(t, "PUT", put, "x", { headers: { "content-length": huge } }), [400, "EntityTooLarge"]);
  await unchanged();
});

test("a body that is not what was signed is refused", async (t) => {
  const payload = createHash("sha256").update("what was signed").digest("hex");
  for (const body of ["what was sent..", "x".repeat(5_000_000)]) {
    assert.deepEqual(await send(t, "PUT", put, body, { payload, headers: { "content-length": String(body.length) } }), [
      400,
      "XAmzContentSHA256Mismatch",
    ]);
  }
  await unchanged();
});

test("aws-chunked bodies are refused when they are malformed, cut off or carry a wrong checksum", async (t) => {
  const chunked = (body: string, length: number, extra: Record<string, string> = {}) =>
    send(t, "PUT", put, body, {
      payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      headers: {
        "content-encoding": "aws-chunked",
        "content-length": String(body.length),
        "x-amz-decoded-content-length": String(length),
        "x-amz-trailer": "x-amz-checksum-crc32",
        ...extra,
      },
    });
  assert.deepEqual(await chunked("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 5), [400, "BadDigest"]);
  assert.deepEqual(await chunked("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", 6), [400, "IncompleteBody"]);
  assert.deepEqual(await chunked("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", 4), [400, "IncompleteBody"]);
  assert.deepEqual(await chunked("5\r\nhello\r\n0\r\n\r\n", 5), [400, "InvalidRequest"]);
  assert.deepEqual(await chunked("5\r\nhello\r\n", 5), [400, "IncompleteBody"]);
  assert.deepEqual(await chunked("nonsense\r\n", 5), [400, "InvalidRequest"]);
  assert.deepEqual(await chunked("5\r\nhello\r\n0\r\nx-amz-checksum-md4:x\r\n\r\n", 5, { "x-amz-trailer": "x-amz-checksum-md4" }), [
    501,
    "NotImplemented",
  ]);
  await unchanged();
  const signed = `5;chunk-signature=${"0".repeat(64)}\r\nhello\r\n0;chunk-signature=${"0".repeat(64)}\r\n\r\n`;
  assert.deepEqual(
    await send(t, "PUT", put, signed, {
      payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      headers: { "content-length": String(signed.length), "x-amz-decoded-content-length": "5" },
    }),
    [403, "SignatureDoesNotMatch"],
  );
  await unchanged();
});

test("metadata beyond 8,192 bytes is refused, up to them it is kept", async (t) => {
  const meta = (bytes: number): Record<string, string> => {
    const headers: Record<string, string> = { "content-length": "1" };
    for (let i = 0; bytes > 0; i++, bytes -= 1004)
      headers[`x-amz-meta-${String(i).padStart(4, "0")}`] = "v".repeat(Math.min(1000, bytes - 4));
    return headers;
  };
  assert.deepEqual(await send(t, "PUT", put, "x", { headers: meta(8193) }), [400, "MetadataTooLarge"]);
  await unchanged();
  assert.deepEqual(await send(t, "PUT", "/raw/meta", "x", { headers: meta(8192) }), [200, ""]);
  assert.deepEqual(await send(t, "DELETE", "/raw/meta", "", {}), [204, ""]);
});

test("keys that look like paths are keys", async (t) => {
  for (const path of ["/raw/../../../etc/passwd", "/raw//etc/passwd", "/raw/%2e%2e/%2e%2e/x", "/raw/a/./b", "/raw/%00"]) {
    assert.deepEqual(await send(t, "PUT", path, "x", { headers: { "content-length": "1" } }), [200, ""], path);
  }
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
  assert.deepEqual(
    Contents.map(({ Key }) => Key),
    ["\0", "../../../etc/passwd", "../../x", "/etc/passwd", "a/./b", "there"],
  );
  for (const path of ["/raw/../../../etc/passwd", "/raw//etc/passwd", "/raw/%2e%2e/%2e%2e/x", "/raw/a/./b", "/raw/%00"])
    await send(t, "DELETE", path, "");
  assert.deepEqual(await send(t, "PUT", `/raw/${"k".repeat(1025)}`, "x", { headers: { "content-length": "1" } }), [
    400,
    "InvalidObjectName",
  ]);
  await unchanged();
});

test("malformed XML changes nothing", async (t) => {
  for (const [path, query, body] of [
    ["/raw", { delete: "" }, "<Delete><Object><Key>there</Key></Object>"],
    ["/raw", { delete: "" }, '<!DOCTYPE x [<!ENTITY k "there">]><Delete><Object><Key>&k;</Key></Object></Delete>'],
    ["/raw/k", { uploadId: "x" }, "not xml"],
    ["/raw/k", { uploadId: "x" }, "<CompleteMultipartUpload></CompleteMultipartUpload>"],
  ] as const) {
    assert.deepEqual(await send(t, "POST", path, body, { query, headers: { "content-length": String(body.length) } }), [
      400,
      "MalformedXML",
    ]);
  }
  const long = "x".repeat(9_000_000);
  assert.deepEqual(await send(t, "POST", "/raw", long, { query: { delete: "" }, headers: { "content-length": String(long.length) } }), [
    400,
    "EntityTooLarge",
  ]);
  await unchanged();
});

test("another account's host, an unknown method and a broken part number are refused", async (t) => {
  assert.deepEqual(await send(t, "PATCH", put, "", { headers: { "content-length": "0" } }), [404, "RouteNotFound"]);
  assert.deepEqual(await send(t, "PUT", "/raw/k", "", { query: { partNumber: "0", uploadId: "x" }, headers: { "content-length": "0" } }), [
    400,
    "InvalidArgument",
  ]);
  const host = `${"0".repeat(32)}.r2.${platform.ready.domain}`;
  const headers = await sign("GET", put, { headers: { host } });
  const socket = await rawSocket(t, platform);
  socket.write(`${head("GET", put, headers)}connection: close\r\n\r\n`);
  const { text, statuses } = await answerOn(socket);
  assert.deepEqual([statuses, /<Code>(\w+)/.exec(text)?.[1]], [[401], "Unauthorized"]);
  const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
  assert.equal(Uploads, undefined);
});

test("a client that stops in the middle of its body is answered 408", async (t) => {
  const own = await startPlatform(t, { config: { "gateway.body_idle_timeout_ms": 400 } });
  await own.s3().send(new CreateBucketCommand({ Bucket }));
  const { s3: keys } = own.ready;
  const at = new URL(keys.endpoint);
  const local = new SignatureV4({
    credentials: { accessKeyId: keys.access_key_id, secretAccessKey: keys.secret_access_key },
    region: "auto",
    service: "s3",
    sha256: Sha256 as never,
    uriEscapePath: false,
    applyChecksum: false,
  });
  const signed = (await local.sign({
    method: "PUT",
    protocol: "http:",
    hostname: at.hostname,
    port: Number(at.port),
    path: "/raw/k",
    query: {},
    headers: { host: at.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
  } as never)) as unknown as { headers: Record<string, string> };
  const socket = await rawSocket(t, own);
  socket.write(`${head("PUT", "/raw/k", signed.headers)}content-length: 1000\r\n\r\nhalf`);
  const { statuses, text, closed } = await answerOn(socket);
  assert.deepEqual([statuses, /<Code>(\w+)/.exec(text)?.[1], closed], [[408], "RequestTimeout", true]);
  assert.equal((await own.s3().send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
});
