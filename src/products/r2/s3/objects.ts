/** Operations on objects: get, head, put, copy, delete. */
import type { BlobRange } from "../../../kernel/blobs/blobs.ts";
import { invalidArgument, notImplemented, parseDelete, parseRange, S3Error, type XmlElement } from "../../../protocols/s3/index.ts";
import { createBucket, findBucket, requireBucket } from "../buckets.ts";
import { bucketChange } from "../changes.ts";
import { evaluate } from "../conditions.ts";
import { r2Error } from "../errors.ts";
import { keyIdentity } from "../limits.ts";
import type { Bucket, ObjectMetadata, S3Checksum, StoredObject } from "../model.ts";
import { copyObject, deleteObjects, putObject, wholeObject } from "../objects.ts";
import { sendBody } from "../send-body.ts";
import { getThrough, headThrough } from "../sippy-read.ts";
import { checkKey } from "../ssec.ts";
import { type ClaimedChecksum, readText, requestBody } from "./body.ts";
import { isoDate, record } from "./buckets.ts";
import { expirationHeader } from "./expiration.ts";
import {
  destinationCondition,
  objectHeaders,
  quoted,
  requestCondition,
  requestMetadata,
  requestSsecKey,
  sourceCondition,
  ssecHeaders,
} from "./headers.ts";
import { type BucketRequest, header, type ObjectRequest, type S3Request } from "./request.ts";
import { sendEmpty, sendHead, sendXml } from "./respond.ts";

/** Ends a read with an answer of its own: the object is there, its bytes are not sent. */
class NotModified extends Error {
  readonly object: StoredObject;
  constructor(object: StoredObject) {
    super("not modified");
    this.object = object;
  }
}

function checkCondition(c: S3Request, object: StoredObject): void {
  const condition = requestCondition(c);
  const verdict = condition === undefined ? "holds" : evaluate(condition, object);
  if (verdict === "failed") throw r2Error("preconditionFailed");
  if (verdict === "unmodified") throw new NotModified(object);
}

function sendNotModified(c: S3Request, object: StoredObject): void {
  const { etag, "last-modified": modified, "cache-control": control, expires } = objectHeaders(object);
  sendHead(c.response, 304, { etag, "last-modified": modified, "cache-control": control, expires });
  c.response.end();
}

interface Selection {
  readonly range: BlobRange;
  readonly partial: boolean;
  /** Number of parts, when one was asked for. */
  readonly parts?: number;
}

/** The bytes that a request asks for. `Range` counts for GET only. */
function select(c: S3Request, object: StoredObject): Selection {
  const partNumber = c.query.get("partNumber");
  const rangeHeader = c.operation === "GetObject" ? header(c, "range") : undefined;
  if (partNumber !== undefined) {
    if (rangeHeader !== undefined) throw invalidArgument("Cannot specify both Range header and partNumber query parameter.");
    return { ...selectPart(partNumber, object), partial: true };
  }
  if (rangeHeader === undefined) return { range: wholeObject(object), partial: false };
  return { range: parseRange(rangeHeader, object.size), partial: true };
}

function selectPart(text: string, object: StoredObject): { range: BlobRange; parts: number } {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 10_000) {
    throw invalidArgument("Part number must be an integer between 1 and 10000, inclusive.");
  }
  const parts = Math.max(object.partCount, 1);
  if (number > parts) {
    throw new S3Error({ status: 416, code: "InvalidPartNumber", message: "The requested partnumber is not satisfiable" });
  }
  const partSize = object.partSize === 0 ? object.size : object.partSize;
  const offset = (number - 1) * partSize;
  return { range: { offset, length: Math.min(partSize, object.size - offset) }, parts };
}

/** `response-…` parameters replace headers of the answer (they are signed like the rest of the query). */
const OVERRIDES = ["content-type", "content-language", "content-disposition", "content-encoding", "cache-control", "expires"] as const;

async function readHeaders(
  c: ObjectRequest,
  object: StoredObject,
  selection: Selection,
): Promise<Record<string, string | number | undefined>> {
  const headers: Record<string, string | number | undefined> = objectHeaders(object);
  headers["content-length"] = selection.range.length;
  headers["x-amz-expiration"] = await expirationHeader(c.r2, c.bucket, object);
  if (selection.partial) {
    const { offset, length } = selection.range;
    if (object.size > 0) headers["content-range"] = `bytes ${offset}-${offset + length - 1}/${object.size}`;
  }
  if (selection.parts !== undefined && object.partCount > 0) headers["x-amz-mp-parts-count"] = selection.parts;
  // The checksum is of the whole object; with a range it would not fit what is sent.
  if (!selection.partial && header(c, "x-amz-checksum-mode")?.toUpperCase() === "ENABLED") Object.assign(headers, checksumHeaders(object));
  for (const name of OVERRIDES) {
    const value = c.query.get(`response-${name}`);
    if (value !== undefined && /^[\x20-\x7e]*$/.test(value)) headers[name] = value;
  }
  return headers;
}

export function checksumHeaders(object: { checksums: { s3?: S3Checksum } }): Record<string, string> {
  const { s3 } = object.checksums;
  return s3 === undefined ? {} : { [`x-amz-checksum-${s3.algorithm}`]: s3.value, "x-amz-checksum-type": s3.type };
}

export async function getObjectOperation(c: ObjectRequest): Promise<void> {
  let selection: Selection | undefined;
  try {
    const opened = await getThrough(
      c.r2,
      c.bucket,
      c.key,
      (object) => {
        checkCondition(c, object);
        selection = select(c, object);
        return selection.range;
      },
      { key: requestSsecKey(c) },
    );
    if (opened?.body === undefined || selection === undefined) throw r2Error("noSuchKey");
    try {
      sendHead(c.response, selection.partial ? 206 : 200, await readHeaders(c, opened.object, selection));
    } catch (error) {
      opened.body.destroy();
      throw error;
    }
    await sendBody(opened.body, opened.range.length, c.response);
  } catch (error) {
    if (error instanceof NotModified) return sendNotModified(c, error.object);
    throw error;
  }
}

export async function headObjectOperation(c: ObjectRequest): Promise<void> {
  const object = await headThrough(c.r2, c.bucket, c.key);
  if (object === undefined) throw r2Error("noSuchKey");
  checkKey(object.ssec, requestSsecKey(c));
  try {
    checkCondition(c, object);
  } catch (error) {
    if (error instanceof NotModified) return sendNotModified(c, error.object);
    throw error;
  }
  const selection = select(c, object);
  sendHead(c.response, selection.partial ? 206 : 200, await readHeaders(c, object, selection));
  c.response.end();
}

/** The bucket, made on the way when the request asks for that (docs/r2/api/s3/extensions). */
export async function bucketForWrite(c: S3Request): Promise<Bucket> {
  const { bucket: name = "", jurisdiction } = c.target;
  const found = await findBucket(c.r2, name, jurisdiction);
  if (found !== undefined) return found;
  if (header(c, "cf-create-bucket-if-missing") !== "true") throw r2Error("noSuchBucket");
  if (!c.grant.account("write")) throw r2Error("accessDenied");
  try {
    const made = await createBucket(c.r2, name, { jurisdiction });
    await record(c, bucketChange("CreateBucket", name));
    return made;
  } catch (error) {
    // Made by someone else meanwhile: that is what was asked for.
    const made = await findBucket(c.r2, name, jurisdiction);
    if (made === undefined) throw error;
    return made;
  }
}

const fullObject = (claim: ClaimedChecksum | undefined): S3Checksum | undefined => claim && { ...claim, type: "FULL_OBJECT" };

export async function putObjectOperation(c: S3Request): Promise<void> {
  const bucket = await bucketForWrite(c);
  const { body, digests, verify } = requestBody(c);
  const object = await putObject(c.r2, bucket, c.target.key as string, body, {
    ...requestMetadata(c),
    condition: requestCondition(c),
    digests,
    verify: (computed) => fullObject(verify(computed)),
    ssecKey: requestSsecKey(c),
    sniff: true,
  });
  sendEmpty(c, 200, {
    etag: quoted(object.etag),
    "x-amz-version-id": object.version,
    "x-amz-expiration": await expirationHeader(c.r2, bucket, object),
    ...checksumHeaders(object),
    ...ssecHeaders(object),
  });
}

/** Bucket and key of `x-amz-copy-source`, checked against the caller's rights. */
export async function copySource(c: S3Request): Promise<{ bucket: Bucket; name: string }> {
  const [encoded = "", version] = (header(c, "x-amz-copy-source") ?? "").split("?versionId=");
  if (version !== undefined && version !== "null") throw notImplemented("versionId in x-amz-copy-source");
  let source: string;
  try {
    source = decodeURIComponent(encoded.replace(/^\//, ""));
  } catch (cause) {
    throw r2Error("invalidObjectName", undefined, { cause });
  }
  const slash = source.indexOf("/");
  if (slash < 1 || slash === source.length - 1) throw invalidArgument("copy source bucket name");
  const [name, key] = [source.slice(0, slash), source.slice(slash + 1)];
  const { jurisdiction } = c.target;
  if (!c.grant.objects("read", jurisdiction, name, { key: keyIdentity(key) }, "GetObject")) throw r2Error("accessDenied");
  return { bucket: await requireBucket(c.r2, name, jurisdiction), name: key };
}

/** Metadata of a copy; MERGE is R2's own: what the request gives wins, the rest is kept. */
function copiedMetadata(c: S3Request, given: ObjectMetadata): (source: StoredObject) => Pick<ObjectMetadata, "http" | "custom"> {
  const directive = header(c, "x-amz-metadata-directive") ?? "COPY";
  switch (directive) {
    case "COPY":
      return ({ http, custom }) => ({ http, custom });
    case "REPLACE":
      return () => ({ http: given.http, custom: given.custom });
    case "MERGE":
      return ({ http, custom }) => ({ http: { ...http, ...given.http }, custom: { ...custom, ...given.custom } });
    default:
      throw invalidArgument(`metadata directive ${directive}.`);
  }
}

export async function copyObjectOperation(c: ObjectRequest): Promise<void> {
  const given = requestMetadata(c);
  const metadata = copiedMetadata(c, given);
  const { source, copy } = await copyObject(
    c.r2,
    await copySource(c),
    { bucket: c.bucket, name: c.key },
    {
      metadata,
      sourceCondition: sourceCondition(c),
      condition: destinationCondition(c),
      sourceKey: requestSsecKey(c, true),
      ssecKey: requestSsecKey(c),
      ...(given.storageClass && { storageClass: given.storageClass }),
    },
  );
  sendXml(
    c,
    "CopyObjectResult",
    [["ETag", quoted(copy.etag)], ["LastModified", isoDate(copy.uploaded)], ...checksumElements(copy.checksums.s3)],
    {
      "x-amz-version-id": copy.version,
      "x-amz-copy-source-version-id": source.version,
      "x-amz-expiration": await expirationHeader(c.r2, c.bucket, copy),
      ...ssecHeaders(copy),
    },
  );
}

/** A checksum as elements: `ChecksumCRC32` and its type. */
export function checksumElements(s3: S3Checksum | undefined): XmlElement[] {
  if (s3 === undefined) return [];
  return [
    [`Checksum${s3.algorithm.toUpperCase()}`, s3.value],
    ["ChecksumType", s3.type],
  ];
}

export async function deleteObjectOperation(c: ObjectRequest): Promise<void> {
  const { locked } = await deleteObjects(c.r2, c.bucket, [c.key]);
  if (locked.length > 0) throw r2Error("objectLocked");
  sendEmpty(c, 204);
}

export async function deleteObjectsOperation(c: BucketRequest): Promise<void> {
  const { keys } = parseDelete(await readText(c));
  const { jurisdiction } = c.target;
  const errors = new Map<string, { code: string; message: string }>();
  const denied = r2Error("accessDenied");
  const allowed = keys.filter((key) => {
    if (c.grant.objects("write", jurisdiction, c.bucket.name, { key: keyIdentity(key) }, "DeleteObject")) return true;
    errors.set(key, { code: "AccessDenied", message: denied.message });
    return false;
  });
  const { locked } = await deleteObjects(c.r2, c.bucket, allowed);
  const held = r2Error("objectLocked");
  for (const key of locked) errors.set(key, { code: "ObjectLockedByBucketPolicy", message: held.message });
  // Keys that were not there are reported as deleted, as S3 does.
  sendXml(
    c,
    "DeleteResult",
    keys.map((key): XmlElement => {
      const error = errors.get(key);
      if (error === undefined) return ["Deleted", [["Key", key]]];
      return [
        "Error",
        [
          ["Key", key],
          ["Code", error.code],
          ["Message", error.message],
        ],
      ];
    }),
  );
}
