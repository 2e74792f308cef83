/** ListObjects, ListObjectsV2 and ListMultipartUploads. */
import { invalidArgument, invalidMaxKeys, notImplemented, type XmlElement } from "../../../protocols/s3/index.ts";
import { uriEncode } from "../../../protocols/sigv4/index.ts";
import { LIST_MAX } from "../limits.ts";
import { listObjects } from "../list.ts";
import type { StoredObject } from "../model.ts";
import { listUploads } from "../multipart.ts";
import { isoDate, owner } from "./buckets.ts";
import { quoted, s3StorageClass } from "./headers.ts";
import type { BucketRequest, S3Request } from "./request.ts";
import { sendXml } from "./respond.ts";

/** How names are written: as they are, or percent-encoded when the client asks for it. */
function encoder(c: S3Request): { encode: (name: string) => string; type: string | undefined } {
  const type = c.query.get("encoding-type");
  if (type !== undefined && type !== "url") throw notImplemented(`Unrecognized encoding-type "${type}"`);
  return { encode: type === "url" ? uriEncode : (name) => name, type };
}

/** A page size as R2 reads it: fractions are cut, more than the limit is allowed and means the limit. */
export function pageSize(c: S3Request, name: string): { asked: number; limit: number } {
  const text = c.query.get(name);
  if (text === undefined) return { asked: LIST_MAX, limit: LIST_MAX };
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value) || value < 0) throw invalidMaxKeys();
  const asked = Math.floor(value);
  return { asked, limit: Math.min(asked, LIST_MAX) };
}

export const listObjectsV1 = (c: BucketRequest): Promise<void> => list(c, false);
export const listObjectsV2 = (c: BucketRequest): Promise<void> => list(c, true);

async function list(c: BucketRequest, second: boolean): Promise<void> {
  const { query, r2, bucket } = c;
  const { encode, type } = encoder(c);
  const { asked, limit } = pageSize(c, "max-keys");
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter");
  const marker = second ? undefined : query.get("marker");
  const startAfter = second ? query.get("start-after") : marker;
  const token = second ? query.get("continuation-token") : undefined;
  if (token === "") throw invalidArgument("The continuation token provided is incorrect");

  // A page of none still tells whether there is anything.
  const page = await listObjects(r2, bucket, { prefix, delimiter, startAfter, cursor: token, limit: Math.max(limit, 1) });
  const objects = limit === 0 ? [] : page.objects;
  const prefixes = limit === 0 ? [] : page.prefixes;
  const truncated = limit === 0 ? page.objects.length + page.prefixes.length > 0 : page.truncated;
  const withOwner = !second || query.get("fetch-owner") === "true";

  sendXml(c, "ListBucketResult", [
    ["Name", bucket.name],
    ...objects.map((object): XmlElement => ["Contents", contents(object, encode, withOwner ? r2.accountId : undefined)]),
    ["IsTruncated", truncated],
    ...prefixes.map((group): XmlElement => ["CommonPrefixes", [["Prefix", encode(group)]]]),
    ["Prefix", encode(prefix)],
    ["Delimiter", delimiter && encode(delimiter)],
    ...(second
      ? ([
          ["StartAfter", startAfter && encode(startAfter)],
          ["ContinuationToken", token],
          ["NextContinuationToken", limit === 0 ? undefined : page.cursor],
        ] as const)
      : ([
          ["Marker", encode(marker ?? "")],
          ["NextMarker", truncated && limit > 0 && page.last !== undefined ? encode(page.last) : undefined],
        ] as const)),
    ["MaxKeys", asked],
    ["KeyCount", second ? objects.length + prefixes.length : undefined],
    ["EncodingType", type],
  ]);
}

function contents(object: StoredObject, encode: (name: string) => string, accountId: string | undefined): XmlElement[] {
  const { s3 } = object.checksums;
  return [
    ["Key", encode(object.name)],
    ["LastModified", isoDate(object.uploaded)],
    ["ETag", quoted(object.etag)],
    ["ChecksumAlgorithm", s3?.algorithm.toUpperCase()],
    ["ChecksumType", s3?.type],
    ["Size", object.size],
    ["StorageClass", s3StorageClass(object.storageClass)],
    ...(accountId === undefined ? [] : [owner(accountId)]),
  ];
}

export async function listMultipartUploads(c: BucketRequest): Promise<void> {
  const { query, r2, bucket } = c;
  const { encode, type } = encoder(c);
  const { asked, limit } = pageSize(c, "max-uploads");
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const keyMarker = query.get("key-marker") ?? "";
  const uploadIdMarker = query.get("upload-id-marker") ?? "";
  const page = await listUploads(r2, bucket, { prefix, delimiter, keyMarker, uploadIdMarker, limit: Math.max(limit, 1) });
  const uploads = limit === 0 ? [] : page.uploads;
  sendXml(c, "ListMultipartUploadsResult", [
    ["Bucket", bucket.name],
    ["KeyMarker", encode(keyMarker)],
    ["UploadIdMarker", uploadIdMarker],
    ["NextKeyMarker", page.truncated ? encode(page.nextKeyMarker) : undefined],
    ["NextUploadIdMarker", page.truncated ? page.nextUploadIdMarker : undefined],
    ["Prefix", encode(prefix)],
    ["Delimiter", delimiter === "" ? undefined : encode(delimiter)],
    ["EncodingType", type],
    ["MaxUploads", asked],
    ["IsTruncated", page.truncated],
    ...uploads.map(
      (upload): XmlElement => [
        "Upload",
        [
          ["Key", encode(upload.name)],
          ["UploadId", upload.uploadId],
          ["Initiator", owner(r2.accountId)[1]],
          owner(r2.accountId),
          ["StorageClass", s3StorageClass(upload.storageClass)],
          ["Initiated", isoDate(upload.created)],
          ["ChecksumAlgorithm", upload.checksumAlgorithm?.toUpperCase()],
          ["ChecksumType", upload.checksumType ?? undefined],
        ],
      ],
    ),
    ...page.prefixes.map((group): XmlElement => ["CommonPrefixes", [["Prefix", encode(group)]]]),
  ]);
}
