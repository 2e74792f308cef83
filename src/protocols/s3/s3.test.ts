import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeRfc2047,
  detectOperation,
  encodeRfc2047,
  parseCompleteMultipartUpload,
  parseCopyRange,
  parseCors,
  parseDelete,
  parseLifecycle,
  parseRange,
  S3Error,
  xmlDocument,
  xmlError,
} from "./index.ts";

const detect = (method: string, path: string, copies = false) => {
  const [target = "", query = ""] = path.split("?");
  const [, bucket, ...key] = target.split("/");
  return detectOperation({
    method,
    bucket: bucket || undefined,
    key: key.join("/") || undefined,
    query: new Map(new URLSearchParams(query)),
    copies,
  });
};

test("tells operations apart by method, path and query", () => {
  const cases: [string, string, string][] = [
    ["GET", "/", "ListBuckets"],
    ["GET", "/b?x-id=ListObjects", "ListObjects"],
    ["GET", "/b?list-type=2&prefix=a", "ListObjectsV2"],
    ["GET", "/b?location", "GetBucketLocation"],
    ["GET", "/b?uploads", "ListMultipartUploads"],
    ["PUT", "/b", "CreateBucket"],
    ["PUT", "/b?cors", "PutBucketCors"],
    ["HEAD", "/b", "HeadBucket"],
    ["DELETE", "/b", "DeleteBucket"],
    ["POST", "/b?delete", "DeleteObjects"],
    ["GET", "/b/k", "GetObject"],
    ["GET", "/b/k?uploadId=1", "ListParts"],
    ["HEAD", "/b/k?uploadId=1", "HeadObject"],
    ["PUT", "/b/k?uploadId=1", "PutObject"],
    ["PUT", "/b/k?uploadId=1&partNumber=1", "UploadPart"],
    ["POST", "/b/k?uploads", "CreateMultipartUpload"],
    ["POST", "/b/k?uploadId=1", "CompleteMultipartUpload"],
    ["DELETE", "/b/k?uploadId=1", "AbortMultipartUpload"],
    ["POST", "/b/k", "PutObject"],
    ["DELETE", "/b/k", "DeleteObject"],
  ];
  for (const [method, path, operation] of cases) assert.equal(detect(method, path), operation, `${method} ${path}`);
  assert.equal(detect("PUT", "/b/k", true), "CopyObject");
  assert.equal(detect("PUT", "/b/k?uploadId=1&partNumber=1", true), "UploadPartCopy");
});

test("refuses what R2 does not have, by name", () => {
  const cases: [string, string, number, string][] = [
    ["GET", "/b?policy", 501, "GetBucketPolicy not implemented"],
    ["PUT", "/b?versioning", 501, "PutBucketVersioning not implemented"],
    ["GET", "/b/k?tagging", 501, "GetObjectTagging not implemented"],
    ["DELETE", "/b/k?tagging", 501, "DeleteObjectTagging not implemented"],
    ["GET", "/b?list-type=3", 501, "ListObjectsV3 not implemented"],
    ["GET", "/b?list-type=2&what=1", 501, "ListObjectsV2 search parameter what not implemented"],
    ["GET", "/b?continuation-token=1", 400, "continuation-token not supported in ListObjects"],
    ["PUT", "/b?foo=1", 400, 'Unsupported search param(s) "foo" on a PUT bucket route'],
    ["POST", "/", 404, "No route matches this url."],
    ["PUT", "/b/k?uploadId=1&partNumber=1.0", 404, "No route matches this url."],
  ];
  for (const [method, path, status, message] of cases) {
    assert.throws(
      () => detect(method, path),
      (error: unknown) => error instanceof S3Error && error.failure.status === status && error.message === message,
      `${method} ${path}`,
    );
  }
});

test("documents carry the namespace, errors do not", () => {
  assert.equal(
    xmlDocument("ListAllMyBucketsResult", [["Buckets", []]]),
    '<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets/></ListAllMyBucketsResult>',
  );
  assert.equal(
    xmlDocument("LocationConstraint", "auto"),
    '<?xml version="1.0" encoding="UTF-8"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">auto</LocationConstraint>',
  );
  assert.equal(
    xmlError({ status: 400, code: "X", message: "it's <bad> & \u0001" }),
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>X</Code><Message>it&apos;s &lt;bad&gt; &amp; &#x1;</Message></Error>',
  );
  assert.equal(
    xmlDocument("VersioningConfiguration", []),
    '<?xml version="1.0" encoding="UTF-8"?><VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>',
  );
});

test("keys in DeleteObjects keep spaces, line breaks and numbers", () => {
  const { keys } = parseDelete(
    `<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key> a </Key></Object>\n<Object><Key>a&#xD;&#10;b&amp;&lt;</Key></Object><Object><Key>007</Key></Object></Delete>`,
  );
  assert.deepEqual(keys, [" a ", "a\r\nb&<", "007"]);
});

test("a malformed body is MalformedXML", () => {
  const many = Array.from({ length: 1001 }, (_, i) => `<Object><Key>${i}</Key></Object>`).join("");
  for (const body of [
    "",
    "not xml",
    "<Delete>",
    "<Delete></Delete>",
    "<Other/>",
    `<Delete>${many}</Delete>`,
    "<Delete><Object><Key>a</Key></Object><Quiet>maybe</Quiet></Delete>",
    "<Delete><Object><Key><b/></Key></Object></Delete>",
    '<!DOCTYPE a [<!ENTITY x "y">]><Delete><Object><Key>&x;</Key></Object></Delete>',
  ]) {
    assert.throws(() => parseDelete(body), { message: /not well formed/ }, body.slice(0, 60));
  }
  for (const body of [
    "<CompleteMultipartUpload/>",
    "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
  ]) {
    assert.throws(() => parseCompleteMultipartUpload(body), { message: /not well formed/ });
  }
  assert.throws(() => parseCors("<CORSConfiguration><CORSRule><Foo/></CORSRule></CORSConfiguration>"), { message: /not well formed/ });
});

test("reads parts, CORS and lifecycle rules", () => {
  assert.deepEqual(
    parseCompleteMultipartUpload(
      "<CompleteMultipartUpload><Part><ETag>&quot;e1&quot;</ETag><PartNumber>2</PartNumber><ChecksumCRC32>AAAA</ChecksumCRC32></Part><Part><PartNumber>1</PartNumber><ETag>e2</ETag></Part></CompleteMultipartUpload>",
    ),
    [
      { partNumber: 2, etag: "e1", checksums: { ChecksumCRC32: "AAAA" } },
      { partNumber: 1, etag: "e2", checksums: {} },
    ],
  );
  assert.deepEqual(
    parseCors(
      "<CORSConfiguration><CORSRule><AllowedOrigin>https://a</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><MaxAgeSeconds>5</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    ),
    [{ id: undefined, origins: ["https://a"], methods: ["GET", "PUT"], headers: [], exposeHeaders: [], maxAgeSeconds: 5 }],
  );
  assert.deepEqual(
    parseLifecycle(
      "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>p/</Prefix></Filter><Expiration><Days>3</Days></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
    ),
    [{ id: "r", enabled: true, prefix: "p/", expiration: { days: 3 }, transitions: [], abortDays: 7 }],
  );
});

test("ranges are inclusive, cut to the object, and refused when outside", () => {
  assert.deepEqual(parseRange("bytes=0-0", 10), { offset: 0, length: 1 });
  assert.deepEqual(parseRange("bytes=8-100", 10), { offset: 8, length: 2 });
  assert.deepEqual(parseRange("bytes=3-", 10), { offset: 3, length: 7 });
  assert.deepEqual(parseRange("bytes=-4", 10), { offset: 6, length: 4 });
  assert.deepEqual(parseRange("bytes=-40", 10), { offset: 0, length: 10 });
  assert.throws(() => parseRange("bytes=10-", 10), { message: "The requested range is not satisfiable" });
  assert.throws(() => parseRange("bytes=-0", 10), { message: "The requested range is not satisfiable" });
  assert.throws(() => parseRange("bytes=0-", 0), { message: "The requested range is not satisfiable" });
  assert.throws(() => parseRange("bytes=5-2", 10), { message: "range must be positive." });
  assert.throws(() => parseRange("bytes=0-1,3-4", 10), { message: /range must be in format/ });
  assert.deepEqual(parseCopyRange("bytes=2-100", 10), { offset: 2, length: 8 });
  assert.throws(() => parseCopyRange("bytes=2-", 10), { message: "Invalid x-amz-copy-source-range: bytes=2-" });
});

test("metadata survives RFC 2047 there and back", () => {
  for (const value of ["plain", "grüße 🦆", "Ä".repeat(200), "=?not a word", ""]) {
    const encoded = encodeRfc2047(value);
    assert.match(encoded, /^[\x20-\x7e]*$/);
    assert.equal(decodeRfc2047(encoded), value);
  }
  assert.equal(decodeRfc2047("=?UTF-8?Q?gr=C3=BC=C3=9Fe_x?="), "grüße x");
  assert.equal(decodeRfc2047("=?unknown-8bit?B?/w==?="), "=?unknown-8bit?B?/w==?=");
});
