/** Operations on multipart uploads. */
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  invalidArgument,
  invalidRequest,
  notImplementedHeader,
  parseCompleteMultipartUpload,
  parseCopyRange,
  type XmlElement,
} from "../../../protocols/s3/index.ts";
import { uriEncode } from "../../../protocols/sigv4/index.ts";
import { evaluate } from "../conditions.ts";
import { r2Error } from "../errors.ts";
import type { S3Checksum } from "../model.ts";
import { abortUpload, createUpload, listParts, openUpload, type Part, uploadPart } from "../multipart.ts";
import { completeUpload } from "../multipart-complete.ts";
import { getObject, wholeObject } from "../objects.ts";
import { headerChecksum, readText, requestBody } from "./body.ts";
import { isoDate, owner } from "./buckets.ts";
import { quoted, requestCondition, requestMetadata, requestSsecKey, s3StorageClass, sourceCondition } from "./headers.ts";
import { pageSize } from "./lists.ts";
import { bucketForWrite, checksumElements, checksumHeaders, copySource } from "./objects.ts";
import { header, type ObjectRequest, type S3Request } from "./request.ts";
import { sendEmpty, sendXml } from "./respond.ts";

const uploadId = (c: S3Request): string => c.query.get("uploadId") as string;

function partNumber(c: S3Request): number {
  const text = c.query.get("partNumber") ?? "";
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 10_000) {
    throw invalidArgument("Part number must be an integer between 1 and 10000, inclusive.");
  }
  return number;
}

/** The checksum that all parts will have. CRC-64/NVME is of the whole object, the others are over the parts' (R2's table of types). */
function uploadChecksum(c: S3Request): { algorithm: ChecksumAlgorithm; type: S3Checksum["type"] } | undefined {
  const name = header(c, "x-amz-checksum-algorithm");
  if (name === undefined) return undefined;
  const algorithm = checksumAlgorithms.find((one) => one === name.toLowerCase());
  if (algorithm === undefined)
    throw invalidRequest(
      "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
    );
  const type = algorithm === "crc64nvme" ? "FULL_OBJECT" : "COMPOSITE";
  const asked = header(c, "x-amz-checksum-type")?.toUpperCase();
  if (asked !== undefined && asked !== type) throw notImplementedHeader("x-amz-checksum-type", asked);
  return { algorithm, type };
}

export async function createMultipartUpload(c: S3Request): Promise<void> {
  const bucket = await bucketForWrite(c);
  const checksum = uploadChecksum(c);
  const upload = await createUpload(c.r2, bucket, c.target.key as string, {
    ...requestMetadata(c),
    checksum,
    ssecKey: requestSsecKey(c),
  });
  sendXml(
    c,
    "InitiateMultipartUploadResult",
    [
      ["Bucket", bucket.name],
      ["Key", upload.name],
      ["UploadId", upload.uploadId],
    ],
    { "x-amz-checksum-algorithm": checksum?.algorithm.toUpperCase(), "x-amz-checksum-type": checksum?.type },
  );
}

const partHeaders = (part: Part): Record<string, string> =>
  part.checksum === null ? {} : { [`x-amz-checksum-${part.checksum.algorithm}`]: part.checksum.value };

export async function uploadPartOperation(c: ObjectRequest): Promise<void> {
  const number = partNumber(c);
  const { body, digests, verify } = requestBody(c);
  const part = await uploadPart(c.r2, c.bucket, c.key, uploadId(c), number, body, {
    digests,
    verify,
    ssecKey: requestSsecKey(c),
  });
  sendEmpty(c, 200, { etag: quoted(part.etag), ...partHeaders(part) });
}

export async function uploadPartCopyOperation(c: ObjectRequest): Promise<void> {
  const number = partNumber(c);
  // Looked for first: the source would be read in vain.
  await openUpload(c.r2.meta, c.bucket, c.key, uploadId(c));
  const source = await copySource(c);
  const rangeHeader = header(c, "x-amz-copy-source-range");
  const condition = sourceCondition(c);
  const opened = await getObject(
    c.r2,
    source.bucket,
    source.name,
    (object) => {
      // R2's table lists these conditions as missing; boto3's transfer manager has come to send them.
      if (condition !== undefined && evaluate(condition, object) !== "holds") throw r2Error("preconditionFailed");
      return rangeHeader === undefined ? wholeObject(object) : parseCopyRange(rangeHeader, object.size);
    },
    requestSsecKey(c, true),
  );
  if (opened?.body === undefined) throw r2Error("noSuchKey");
  const { body, range, object } = opened;
  try {
    const part = await uploadPart(
      c.r2,
      c.bucket,
      c.key,
      uploadId(c),
      number,
      { chunks: body, length: range.length },
      { ssecKey: requestSsecKey(c) },
    );
    sendXml(
      c,
      "CopyPartResult",
      [
        ["ETag", quoted(part.etag)],
        ["LastModified", isoDate(part.uploaded)],
        ...(part.checksum === null ? [] : ([[`Checksum${part.checksum.algorithm.toUpperCase()}`, part.checksum.value]] as const)),
      ],
      { "x-amz-copy-source-version-id": object.version },
    );
  } finally {
    body.destroy();
  }
}

export async function completeMultipartUpload(c: ObjectRequest): Promise<void> {
  const parts = parseCompleteMultipartUpload(await readText(c)).map((part) => ({
    number: part.partNumber,
    etag: part.etag,
    checksum: Object.values(part.checksums)[0],
  }));
  const size = header(c, "x-amz-mp-object-size");
  const object = await completeUpload(c.r2, c.bucket, c.key, uploadId(c), parts, {
    condition: requestCondition(c),
    checksum: headerChecksum(c)?.value,
    size: size === undefined ? undefined : Number(size),
  });
  sendXml(
    c,
    "CompleteMultipartUploadResult",
    [
      ["Location", `http://${header(c, "host") ?? ""}/${c.bucket.name}/${uriEncode(object.name).replaceAll("%2F", "/")}`],
      ["Bucket", c.bucket.name],
      ["Key", object.name],
      ["ETag", quoted(object.etag)],
      ...checksumElements(object.checksums.s3),
    ],
    { "x-amz-version-id": object.version, ...checksumHeaders(object) },
  );
}

export async function abortMultipartUpload(c: ObjectRequest): Promise<void> {
  await abortUpload(c.r2, c.bucket, c.key, uploadId(c));
  sendEmpty(c, 204);
}

export async function listPartsOperation(c: ObjectRequest): Promise<void> {
  const upload = await openUpload(c.r2.meta, c.bucket, c.key, uploadId(c));
  const { asked, limit } = pageSize(c, "max-parts");
  const marker = Number(c.query.get("part-number-marker") ?? 0);
  if (!Number.isInteger(marker) || marker < 0) throw invalidArgument("part-number-marker must be a non-negative integer.");
  const { parts, truncated } = await listParts(c.r2, upload, marker, limit);
  sendXml(c, "ListPartsResult", [
    ["Bucket", c.bucket.name],
    ["Key", upload.name],
    ["UploadId", upload.uploadId],
    ["Initiator", owner(c.r2.accountId)[1]],
    owner(c.r2.accountId),
    ["StorageClass", s3StorageClass(upload.storageClass)],
    ["PartNumberMarker", marker],
    ["NextPartNumberMarker", parts.at(-1)?.number ?? marker],
    ["MaxParts", asked],
    ["IsTruncated", truncated],
    ["ChecksumAlgorithm", upload.checksumAlgorithm?.toUpperCase()],
    ["ChecksumType", upload.checksumType ?? undefined],
    ...parts.map(
      (part): XmlElement => [
        "Part",
        [
          ["PartNumber", part.number],
          ["LastModified", isoDate(part.uploaded)],
          ["ETag", quoted(part.etag)],
          ["Size", part.size],
          ...(part.checksum === null ? [] : ([[`Checksum${part.checksum.algorithm.toUpperCase()}`, part.checksum.value]] as const)),
        ],
      ],
    ),
  ]);
}
