/** The published examples of the S3 documentation (sigv4-streaming and sigv4-streaming-trailers), cut at every kind of boundary. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { signingKey } from "./canonical.ts";
import { ChunkedDecoder, type ChunkedOptions } from "./chunked.ts";
import type { VerifiedSignature } from "./verify.ts";

const scope = { date: "20130524", region: "us-east-1", service: "s3" };
const seed = (signature: string): VerifiedSignature => ({
  key: signingKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", scope),
  scope: "20130524/us-east-1/s3/aws4_request",
  amzDate: "20130524T000000Z",
  signature,
});

const chunk = (data: string, signature?: string) =>
  `${data.length.toString(16)}${signature ? `;chunk-signature=${signature}` : ""}\r\n${data}${data ? "\r\n" : ""}`;

const signedBody = [
  chunk("a".repeat(65536), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
  chunk("a".repeat(1024), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
  chunk("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
  "\r\n",
].join("");
const signedSeed = seed("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");

const trailerBody = [
  chunk("a".repeat(65536), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
  chunk("a".repeat(1024), "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
  chunk("", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
  "x-amz-checksum-crc32c:sOO8/Q==\r\n",
  "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
  "\r\n",
].join("");
const trailerSeed = seed("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");

function decode(body: string, options: ChunkedOptions, step: number): { payload: string; trailers: Record<string, string> } {
  const decoder = new ChunkedDecoder(options);
  const bytes = Buffer.from(body, "latin1");
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step) out.push(...decoder.push(bytes.subarray(at, at + step)));
  const trailers = decoder.finish();
  return { payload: Buffer.concat(out).toString("latin1"), trailers: Object.fromEntries(trailers) };
}

for (const step of [1, 7, 1000, 65_536, 1_000_000]) {
  test(`decodes signed chunks that arrive ${step} bytes at a time`, () => {
    assert.equal(decode(signedBody, { signature: signedSeed, trailer: false }, step).payload, "a".repeat(66_560));
  });
  test(`decodes signed chunks and a signed trailer that arrive ${step} bytes at a time`, () => {
    const { payload, trailers } = decode(trailerBody, { signature: trailerSeed, trailer: true }, step);
    assert.equal(payload.length, 66_560);
    assert.equal(trailers["x-amz-checksum-crc32c"], "sOO8/Q==");
  });
  test(`decodes unsigned chunks with a trailer that arrive ${step} bytes at a time`, () => {
    const body = `${chunk("hello ")}${chunk("world")}0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n`;
    const { payload, trailers } = decode(body, { trailer: true }, step);
    assert.equal(payload, "hello world");
    assert.deepEqual(trailers, { "x-amz-checksum-crc32": "DUoRhQ==" });
  });
}

test("a changed byte, chunk signature or trailer does not verify", () => {
  const options = { signature: trailerSeed, trailer: true };
  for (const bad of [
    trailerBody.replace("aaaa", "aaab"),
    trailerBody.replace("1c1344b1", "1c1344b2"),
    trailerBody.replace("sOO8/Q==", "sOO8/A=="),
    trailerBody.replace(/x-amz-trailer-signature.*\r\n/, ""),
    trailerBody.replace(/;chunk-signature=[0-9a-f]*/, ""),
  ]) {
    assert.throws(() => decode(bad, options, 1000), { message: /does not match/ });
  }
});

test("chunks cannot be dropped or swapped", () => {
  const [first, second, last] = signedBody.split(/(?<=\r\n)(?=400;)|(?<=\r\n)(?=0;)/) as [string, string, string];
  const options = { signature: signedSeed, trailer: false };
  assert.equal(decode(first + second + last, options, 1000).payload.length, 66_560);
  for (const bad of [first + last, second + last, second + first + last]) {
    assert.throws(() => decode(bad, options, 1000), { message: /does not match/ });
  }
});

test("a body that ends early is incomplete", () => {
  for (const cut of ["b\r\nhello", "b\r\nhello world\r\n", "b\r\nhello world", ""]) {
    assert.throws(() => decode(cut, { trailer: true }, 3), { message: /terminated unexpectedly/ });
  }
});

test("malformed chunks are refused", () => {
  for (const bad of [
    "zz\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello!\r\n0\r\n\r\n",
    `${"1".repeat(5000)}`,
    "0\r\nno colon\r\n\r\n",
    "0\r\n\r\nmore",
  ]) {
    assert.throws(() => decode(bad, { trailer: true }, 100), { name: "SignatureError" });
  }
});
