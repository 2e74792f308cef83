/**
 * Every error of R2 with status, code and text (docs/r2/api/error-codes), in the order of the codes. The same
 * table serves the three doors: the binding shows message and code, REST the v4 envelope, S3 the name in `s3Code`.
 */
import { defineErrors, type PlatformError } from "../../kernel/errors.ts";

const table = {
  internal: { status: 500, apiCode: 10001, message: "We encountered an internal error. Please try again." },
  unauthorized: { status: 401, apiCode: 10002, message: "Unauthorized" },
  accessDenied: { status: 403, apiCode: 10003, message: "Access Denied" },
  invalidBucketName: { status: 400, apiCode: 10005, message: "The specified bucket name is not valid." },
  noSuchBucket: { status: 404, apiCode: 10006, message: "The specified bucket does not exist." },
  noSuchKey: { status: 404, apiCode: 10007, message: "The specified key does not exist." },
  bucketNotEmpty: { status: 409, apiCode: 10008, message: "The bucket you tried to delete is not empty." },
  tooManyBuckets: { status: 400, apiCode: 10009, message: "You have attempted to create more buckets than allowed" },
  entityTooSmall: { status: 400, apiCode: 10011, message: "Your proposed upload is smaller than the minimum allowed object size." },
  metadataTooLarge: { status: 400, apiCode: 10012, message: "Your metadata headers exceed the maximum allowed metadata size." },
  incompleteBody: {
    status: 400,
    apiCode: 10013,
    message: "You did not provide the number of bytes specified by the Content-Length HTTP header",
  },
  invalidDigest: { status: 400, apiCode: 10014, message: "The checksum or Content-MD5 you specified is not valid." },
  invalidObjectName: { status: 400, apiCode: 10020, message: "The specified object name is not valid." },
  invalidMaxKeys: { status: 400, apiCode: 10022, message: "MaxKeys params must be positive integer <= 1000." },
  noSuchUpload: { status: 404, apiCode: 10024, message: "The specified multipart upload does not exist." },
  invalidPart: { status: 400, apiCode: 10025, message: "One or more of the specified parts could not be found." },
  invalidArgument: { status: 400, apiCode: 10029, message: "Invalid argument" },
  preconditionFailed: { status: 412, apiCode: 10031, message: "At least one of the pre-conditions you specified did not hold." },
  missingContentLength: { status: 411, apiCode: 10033, message: "You must provide the Content-Length HTTP header." },
  badDigest: { status: 400, apiCode: 10037, message: "The Content-MD5 you specified did not match what we received." },
  invalidRange: { status: 416, apiCode: 10039, message: "The requested range is not satisfiable" },
  malformedJson: { status: 400, apiCode: 10040, message: "The JSON you provided was not well formed." },
  serviceUnavailable: { status: 503, apiCode: 10043, message: "Please reduce your request rate." },
  badUpload: { status: 400, apiCode: 10048, message: "There was a problem with the multipart upload." },
  clientDisconnect: { status: 400, apiCode: 10054, message: "The client disconnected before the request was complete." },
  tooManyRequests: { status: 429, apiCode: 10058, message: "Reduce your concurrent request rate for the same object." },
  noCorsConfiguration: { status: 404, apiCode: 10059, message: "The CORS configuration does not exist." },
  objectLocked: { status: 403, apiCode: 10069, message: "Object is locked by the bucket policy." },
  bucketConflict: { status: 409, apiCode: 10073, message: "The bucket you tried to create already exists, and you own it." },
  // Code and meaning as wrangler reads them; the text is ours.
  dataCatalogEnabled: { status: 409, apiCode: 10081, message: "The bucket has a data catalog, which this operation may invalidate." },
  entityTooLarge: { status: 400, apiCode: 100100, message: "Your proposed upload exceeds the maximum allowed object size." },
  invalidStorageClass: { status: 400, apiCode: 10062, message: "The storage class specified is not valid." },
  ssecInvalid: {
    status: 400,
    apiCode: 10060,
    message: "The encryption parameters are not applicable to this object.",
  },
  ssecRequired: {
    status: 400,
    apiCode: 10061,
    message:
      "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
  },
  ssecWrongKey: { status: 403, apiCode: 10063, message: "The encryption key provided does not match the key of the object." },
  invalidConfiguration: { status: 400, apiCode: 10055, message: "The configuration is not valid." },
  bindingNotFound: { status: 400, apiCode: 10085, message: "R2 bucket not found. Please use a different name and try again." },
  domainNotFound: { status: 404, apiCode: 10064, message: "The specified custom domain does not exist." },
  // Own codes: those of event notifications are not documented.
  queueNotFound: { status: 404, apiCode: 10110, message: "The queue does not exist." },
  notificationOverlap: { status: 409, apiCode: 10111, message: "Event notification rules overlap." },
  tooManyNotificationRules: { status: 400, apiCode: 10112, message: "A bucket has at most 100 event notification rules." },
  domainTaken: { status: 409, apiCode: 10065, message: "The specified custom domain is connected to a bucket already." },
} as const;

export type R2ErrorKey = keyof typeof table;

export const r2Error = defineErrors("r2", table);

/** The `<Code>` of each error on the S3 door. */
const s3Codes: Readonly<Record<R2ErrorKey, string>> = {
  internal: "InternalError",
  unauthorized: "Unauthorized",
  accessDenied: "AccessDenied",
  invalidBucketName: "InvalidBucketName",
  noSuchBucket: "NoSuchBucket",
  noSuchKey: "NoSuchKey",
  bucketNotEmpty: "BucketNotEmpty",
  tooManyBuckets: "TooManyBuckets",
  entityTooSmall: "EntityTooSmall",
  metadataTooLarge: "MetadataTooLarge",
  incompleteBody: "IncompleteBody",
  invalidDigest: "InvalidDigest",
  invalidObjectName: "InvalidObjectName",
  invalidMaxKeys: "InvalidMaxKeys",
  noSuchUpload: "NoSuchUpload",
  invalidPart: "InvalidPart",
  invalidArgument: "InvalidArgument",
  preconditionFailed: "PreconditionFailed",
  missingContentLength: "MissingContentLength",
  badDigest: "BadDigest",
  invalidRange: "InvalidRange",
  malformedJson: "MalformedJSON",
  serviceUnavailable: "ServiceUnavailable",
  badUpload: "InvalidPart",
  clientDisconnect: "ClientDisconnect",
  tooManyRequests: "TooManyRequests",
  noCorsConfiguration: "NoSuchCORSConfiguration",
  objectLocked: "ObjectLockedByBucketPolicy",
  bucketConflict: "BucketConflict",
  dataCatalogEnabled: "DataCatalogEnabled",
  entityTooLarge: "EntityTooLarge",
  invalidStorageClass: "InvalidStorageClass",
  ssecInvalid: "InvalidRequest",
  ssecRequired: "InvalidRequest",
  ssecWrongKey: "AccessDenied",
  invalidConfiguration: "InvalidRequest",
  bindingNotFound: "NoSuchBucket",
  domainNotFound: "NoSuchDomain",
  domainTaken: "DomainConflict",
  queueNotFound: "NoSuchQueue",
  notificationOverlap: "InvalidArgument",
  tooManyNotificationRules: "InvalidArgument",
};

/** S3's name for an error; errors of other scopes are internal, except a full disk. */
export function s3Code(error: PlatformError): string {
  const [scope, key] = error.code.split(".");
  if (scope === "r2") return s3Codes[key as R2ErrorKey];
  if (error.code === "platform.notImplemented") return "NotImplemented";
  return error.spec.status === 507 || error.spec.status === 503 ? "ServiceUnavailable" : "InternalError";
}
