/**
 * Headers of S3 requests as values: metadata, storage class, conditions, the customer's key; and the headers that
 * R2 knows and refuses, which are listed by name so that none is silently ignored.
 */
import { createHash } from "node:crypto";
import {
  decodeRfc2047,
  encodeRfc2047,
  invalidArgument,
  notImplementedHeader,
  S3Error,
  type S3Operation,
} from "../../../protocols/s3/index.ts";
import { headerCondition } from "../conditions.ts";
import { r2Error } from "../errors.ts";
import type { CustomMetadata, HttpMetadata, ObjectMetadata, StorageClass, StoredObject } from "../model.ts";
import { type SsecKey, ssecKey } from "../ssec.ts";
import { header, type S3Request, utf8Header } from "./request.ts";

const OWNER = ["x-amz-expected-bucket-owner"];
const SOURCE_OWNER = ["x-amz-source-expected-bucket-owner"];
const WRITE = [
  ...OWNER,
  "x-amz-tagging",
  "x-amz-grant-full-control",
  "x-amz-grant-read",
  "x-amz-grant-read-acp",
  "x-amz-grant-write",
  "x-amz-grant-write-acp",
  "x-amz-website-redirect-location",
  "x-amz-object-lock-mode",
  "x-amz-object-lock-retain-until-date",
  "x-amz-object-lock-legal-hold",
  "x-amz-server-side-encryption-aws-kms-key-id",
  "x-amz-server-side-encryption-context",
  "x-amz-server-side-encryption-bucket-key-enabled",
];
const DELETE = [...OWNER, "x-amz-mfa", "x-amz-bypass-governance-retention"];
/** Refused on an operation (the ✖ columns of R2's compatibility table). Operations that are missing here refuse the bucket's owner. */
const REFUSED: Readonly<Partial<Record<S3Operation, readonly string[]>>> = {
  ListBuckets: [],
  PutObject: WRITE,
  CreateMultipartUpload: WRITE,
  CopyObject: [...WRITE, ...SOURCE_OWNER, "x-amz-tagging-directive", "x-amz-checksum-algorithm"],
  UploadPart: [...OWNER, "x-amz-server-side-encryption"],
  UploadPartCopy: [...OWNER, ...SOURCE_OWNER],
  DeleteObject: DELETE,
  DeleteObjects: DELETE,
  CreateBucket: [...OWNER, ...WRITE.filter((name) => name.startsWith("x-amz-grant-"))],
};

const CANNED_ACLS = new Set([
  "private",
  "public-read",
  "public-read-write",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
]);

/** Throws NotImplemented for a header that the operation does not have. */
export function screenHeaders(c: S3Request): void {
  for (const name of REFUSED[c.operation] ?? OWNER) {
    const value = header(c, name);
    if (value !== undefined) throw notImplementedHeader(name, value);
  }
  // R2 has no ACLs, so every canned one is without effect, and everything at rest is AES256 to its clients.
  const acl = header(c, "x-amz-acl");
  if (acl !== undefined && !CANNED_ACLS.has(acl)) throw notImplementedHeader("x-amz-acl", acl);
  const encryption = header(c, "x-amz-server-side-encryption");
  if (encryption !== undefined && encryption !== "AES256") throw notImplementedHeader("x-amz-server-side-encryption", encryption);
  if (c.operation === "CreateBucket" && header(c, "x-amz-bucket-object-lock-enabled")?.toLowerCase() === "true") {
    throw notImplementedHeader("x-amz-bucket-object-lock-enabled", "true");
  }
}

/** HTTP metadata and custom metadata as the request gives them. */
export function requestMetadata(c: S3Request): ObjectMetadata {
  const storageClass = requestStorageClass(c);
  return { http: httpMetadata(c), custom: customMetadata(c), ...(storageClass && { storageClass }) };
}

function httpMetadata(c: S3Request): HttpMetadata {
  const value = (name: string) => {
    const text = header(c, name);
    return text === undefined || text === "" ? undefined : utf8Header(text);
  };
  // "aws-chunked" says how the body travelled, not what it is.
  const encoding = value("content-encoding")
    ?.split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "aws-chunked" && one !== "")
    .join(",");
  const expires = value("expires");
  const expiry = expires === undefined ? Number.NaN : Date.parse(expires);
  const [type, language, disposition, control] = ["content-type", "content-language", "content-disposition", "cache-control"].map(value);
  return {
    ...(type !== undefined && { contentType: type }),
    ...(language !== undefined && { contentLanguage: language }),
    ...(disposition !== undefined && { contentDisposition: disposition }),
    ...(encoding && { contentEncoding: encoding }),
    ...(control !== undefined && { cacheControl: control }),
    ...(!Number.isNaN(expiry) && { cacheExpiry: expiry }),
  };
}

const META = "x-amz-meta-";

function customMetadata(c: S3Request): CustomMetadata {
  const custom: Record<string, string> = {};
  const { rawHeaders } = c.raw;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (!name.startsWith(META)) continue;
    const value = decodeRfc2047(utf8Header((rawHeaders[i + 1] as string).trim()));
    const key = name.slice(META.length);
    custom[key] = Object.hasOwn(custom, key) ? `${custom[key]},${value}` : value;
  }
  return custom;
}

function requestStorageClass(c: S3Request): StorageClass | undefined {
  switch (header(c, "x-amz-storage-class")) {
    case undefined:
      return undefined;
    case "STANDARD":
      return "Standard";
    case "STANDARD_IA":
      return "InfrequentAccess";
    default:
      throw r2Error("invalidStorageClass");
  }
}

export const s3StorageClass = (storageClass: StorageClass): string => (storageClass === "Standard" ? "STANDARD" : "STANDARD_IA");

/** Conditions of the request itself. */
export const requestCondition = (c: S3Request) => headerCondition((name) => header(c, name));

/** Conditions on the source of a copy. */
export const sourceCondition = (c: S3Request) =>
  headerCondition((name) => header(c, name), {
    match: "x-amz-copy-source-if-match",
    noneMatch: "x-amz-copy-source-if-none-match",
    modifiedSince: "x-amz-copy-source-if-modified-since",
    unmodifiedSince: "x-amz-copy-source-if-unmodified-since",
  });

/** Conditions on what a copy replaces: R2's own headers. */
export const destinationCondition = (c: S3Request) =>
  headerCondition((name) => header(c, name), {
    match: "cf-copy-destination-if-match",
    noneMatch: "cf-copy-destination-if-none-match",
    modifiedSince: "cf-copy-destination-if-modified-since",
    unmodifiedSince: "cf-copy-destination-if-unmodified-since",
  });

const SSEC = "server-side-encryption-customer-";

/** The customer's key, of the request or of the copy's source. Throws in R2's order of checks. */
export function requestSsecKey(c: S3Request, source = false): SsecKey | undefined {
  const prefix = `x-amz-${source ? "copy-source-" : ""}${SSEC}`;
  const [algorithm, key, md5] = [header(c, `${prefix}algorithm`), header(c, `${prefix}key`), header(c, `${prefix}key-md5`)];
  if (algorithm === undefined && key === undefined && md5 === undefined) return undefined;
  const must = (what: string) =>
    invalidArgument(`Requests specifying Server Side Encryption with Customer provided keys must provide ${what}.`);
  if (key === undefined) throw must("an appropriate secret key");
  if (md5 === undefined) throw must("the client calculated MD5 of the secret key");
  if (algorithm === undefined) throw must("a valid encryption algorithm");
  if (algorithm !== "AES256") {
    throw new S3Error({
      status: 400,
      code: "InvalidEncryptionAlgorithmError",
      message: "The encryption request that you specified is not valid. The valid value is AES256.",
    });
  }
  const bytes = ssecKey(Buffer.from(key, "base64"));
  if (createHash("md5").update(bytes).digest("base64") !== md5) {
    throw invalidArgument("The calculated MD5 hash of the key did not match the hash that was provided.");
  }
  return bytes;
}

export function ssecHeaders(object: { ssec: { keyMd5: string } | null }): Record<string, string> {
  if (object.ssec === null) return {};
  return {
    [`x-amz-${SSEC}algorithm`]: "AES256",
    [`x-amz-${SSEC}key-md5`]: Buffer.from(object.ssec.keyMd5, "hex").toString("base64"),
  };
}

export const quoted = (etag: string): string => `"${etag}"`;

const httpDate = (ms: number): string => new Date(ms).toUTCString();

/** A metadata value as a header can carry it. */
const safe = (value: string): string => (/^[\x20-\x7e]*$/.test(value) ? value : encodeRfc2047(value));

/** Headers that describe an object. Values that a header cannot carry are counted in `x-amz-missing-meta`. */
export function objectHeaders(object: StoredObject): Record<string, string | number> {
  const headers: Record<string, string | number> = {
    etag: quoted(object.etag),
    "last-modified": httpDate(object.uploaded),
    "accept-ranges": "bytes",
    "content-type": object.http.contentType === undefined ? "application/octet-stream" : safe(object.http.contentType),
    "x-amz-version-id": object.version,
    ...ssecHeaders(object),
  };
  const { contentLanguage, contentDisposition, contentEncoding, cacheControl, cacheExpiry } = object.http;
  if (contentLanguage !== undefined) headers["content-language"] = safe(contentLanguage);
  if (contentDisposition !== undefined) headers["content-disposition"] = safe(contentDisposition);
  if (contentEncoding !== undefined) headers["content-encoding"] = safe(contentEncoding);
  if (cacheControl !== undefined) headers["cache-control"] = safe(cacheControl);
  if (cacheExpiry !== undefined) headers.expires = httpDate(cacheExpiry);
  if (object.storageClass !== "Standard") headers["x-amz-storage-class"] = s3StorageClass(object.storageClass);
  let missing = 0;
  for (const [key, value] of Object.entries(object.custom)) {
    if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(key)) headers[META + key] = encodeRfc2047(value);
    else missing++;
  }
  if (missing > 0) headers["x-amz-missing-meta"] = missing;
  return headers;
}
