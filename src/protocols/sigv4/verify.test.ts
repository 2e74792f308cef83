/** The published examples of the S3 documentation (sigv4-auth-using-authorization-header and sigv4-query-string-auth) and refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalRequest, hmacHex, type RawRequest, signingKey, stringToSign, uriEncode } from "./canonical.ts";
import { SignatureError } from "./errors.ts";
import { isSigned, parseAuthentication, verify } from "./verify.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW = Date.UTC(2013, 4, 24);
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function headerRequest(
  method: string,
  target: string,
  headers: Record<string, string>,
  signedHeaders: string,
  signature: string,
): RawRequest {
  const [path = "", query = ""] = target.split("?");
  const all: Record<string, string> = {
    Host: "examplebucket.s3.amazonaws.com",
    "x-amz-date": "20130524T000000Z",
    ...headers,
    Authorization: `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`,
  };
  return { method, path, query, rawHeaders: Object.entries(all).flat() };
}

const examples: [string, RawRequest][] = [
  [
    "GET with a range",
    headerRequest(
      "GET",
      "/test.txt",
      { Range: "bytes=0-9", "x-amz-content-sha256": EMPTY },
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
  ],
  [
    "PUT with a key that needs encoding",
    headerRequest(
      "PUT",
      "/test$file.text",
      {
        Date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      },
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
  ],
  [
    "a subresource without a value",
    headerRequest(
      "GET",
      "/?lifecycle",
      { "x-amz-content-sha256": EMPTY },
      "host;x-amz-content-sha256;x-amz-date",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
  ],
  [
    "list parameters",
    headerRequest(
      "GET",
      "/?max-keys=2&prefix=J",
      { "x-amz-content-sha256": EMPTY },
      "host;x-amz-content-sha256;x-amz-date",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
  ],
];

for (const [name, request] of examples) {
  test(`verifies the published example: ${name}`, () => {
    assert.ok(isSigned(request));
    const authentication = parseAuthentication(request, NOW);
    assert.equal(authentication.accessKeyId, "AKIAIOSFODNN7EXAMPLE");
    verify(request, authentication, SECRET);
    assert.throws(() => verify(request, authentication, `${SECRET}x`), { name: "SignatureError" });
  });
}

const presigned = (expires = "86400"): RawRequest => ({
  method: "GET",
  path: "/test.txt",
  query: `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=${expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`,
  rawHeaders: ["Host", "examplebucket.s3.amazonaws.com"],
});

test("verifies the published presigned URL until it expires", () => {
  const request = presigned();
  verify(request, parseAuthentication(request, NOW + 86_400_000), SECRET);
  assert.throws(() => parseAuthentication(request, NOW + 86_400_001), failure(400, "ExpiredRequest"));
});

test("a presigned URL that was changed does not match, and says what was computed", () => {
  const request = { ...presigned(), path: "/other.txt" };
  try {
    verify(request, parseAuthentication(request, NOW), SECRET);
    assert.fail("verified");
  } catch (error) {
    assert.ok(error instanceof SignatureError);
    assert.equal(error.failure.code, "SignatureDoesNotMatch");
    assert.match(error.failure.details?.CanonicalRequest ?? "", /^GET\n\/other\.txt\n/);
    assert.ok(error.failure.details?.StringToSign?.startsWith("AWS4-HMAC-SHA256\n"));
  }
});

test("the lifetime of a presigned URL is a number of seconds up to a week", () => {
  for (const [expires, message] of [
    ["", "X-Amz-Expires should be a number"],
    ["soon", "X-Amz-Expires should be a number"],
    ["604801", "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"],
  ] as const) {
    assert.throws(() => parseAuthentication(presigned(expires), NOW), { message });
  }
  assert.throws(() => parseAuthentication(presigned("0"), NOW), failure(400, "ExpiredRequest"));
});

test("missing presigned parameters are named together", () => {
  const request = { ...presigned(), query: "X-Amz-Credential=a&X-Amz-Date=b&X-Amz-Expires=1&X-Amz-SignedHeaders=host" };
  assert.throws(() => parseAuthentication(request, NOW), {
    message: "Required search parameters X-Amz-Algorithm,  X-Amz-Signature missing",
  });
});

test("refuses malformed header authentication with R2's words", () => {
  const base = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD", host: "h", "x-amz-date": "20130524T000000Z" };
  const attempt = (headers: Record<string, string>) =>
    parseAuthentication({ method: "GET", path: "/", query: "", rawHeaders: Object.entries(headers).flat() }, NOW);
  const auth = (credential: string, signed = "host") =>
    `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signed}, Signature=${"0".repeat(64)}`;
  const cases: [Record<string, string>, string][] = [
    [{}, "Authorization"],
    [{ authorization: "AWS4-HMAC-SHA256 x" }, "Missing x-amz-content-sha256"],
    [{ ...base, authorization: "Basic dXNlcg==" }, "Please use AWS4-HMAC-SHA256"],
    [{ ...base, authorization: auth("k/20130524/auto") }, "Credential sigv4 header should have at least 5 slash-separated parts, not 3"],
    [{ ...base, authorization: auth("k/20130524/auto/sqs/aws4_request") }, "Credential service should be s3, not sqs"],
    [{ ...base, authorization: auth("k/20130524/auto/s3/x") }, "Credential termination string should be aws4_request, not x"],
    [
      { ...base, authorization: auth("k/19990101/auto/s3/aws4_request") },
      "Credential signed date 19990101 does not match 20130524 from 'x-amz-date' header",
    ],
    [
      { ...base, "x-amz-date": "2013-05-24T00:00:00Z", authorization: auth("k/20130524/auto/s3/aws4_request") },
      "Date provided in 'x-amz-date' header (2013-05-24T00:00:00Z) didn't parse successfully",
    ],
    [{ ...base, authorization: auth("k/20130524/auto/s3/aws4_request", "x-amz-date") }, "Unauthorized"],
  ];
  for (const [headers, message] of cases) assert.throws(() => attempt(headers), { message });
  const skewed = { ...base, authorization: auth("k/20130524/auto/s3/aws4_request") };
  assert.throws(
    () => parseAuthentication({ method: "GET", path: "/", query: "", rawHeaders: Object.entries(skewed).flat() }, NOW + 900_001),
    failure(403, "RequestTimeTooSkewed"),
  );
});

test("a client that signs the path as it sends it verifies too", () => {
  const request: RawRequest = { method: "GET", path: "/a%2fb!(c)", query: "", rawHeaders: ["host", "h"] };
  const scope = { date: "20130524", region: "auto", service: "s3" };
  const canonical = canonicalRequest(request, ["host"], "UNSIGNED-PAYLOAD", { pathAsSent: true, headerBytes: false });
  const signature = hmacHex(signingKey(SECRET, scope), stringToSign("20130524T000000Z", scope, canonical));
  const signed: RawRequest = {
    ...request,
    rawHeaders: [
      "host",
      "h",
      "x-amz-date",
      "20130524T000000Z",
      "x-amz-content-sha256",
      "UNSIGNED-PAYLOAD",
      "authorization",
      `AWS4-HMAC-SHA256 Credential=k/20130524/auto/s3/aws4_request, SignedHeaders=host, Signature=${signature}`,
    ],
  };
  verify(signed, parseAuthentication(signed, NOW), SECRET);
});

test("encodes as AWS does", () => {
  assert.equal(uriEncode("a b+c/ü'(!)*~-_."), "a%20b%2Bc%2F%C3%BC%27%28%21%29%2A~-_.");
});

function failure(status: number, code: string) {
  return (error: unknown) => error instanceof SignatureError && error.failure.status === status && error.failure.code === code;
}
