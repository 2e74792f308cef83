/**
 * Which S3 operation a request is: a name from a closed list, or a refusal. What R2 does not have is listed
 * by name, because it answers each with "<name> not implemented" and never with a neighbouring operation.
 * Decided from method, path and query alone; headers are the next step's.
 */
import { invalidArgument, notImplemented, routeNotFound } from "./errors.ts";

export type ServiceOperation = "ListBuckets";

export type BucketOperation =
  | "CreateBucket"
  | "HeadBucket"
  | "DeleteBucket"
  | "GetBucketLocation"
  | "GetBucketCors"
  | "PutBucketCors"
  | "DeleteBucketCors"
  | "GetBucketEncryption"
  | "PutBucketEncryption"
  | "DeleteBucketEncryption"
  | "GetBucketLifecycleConfiguration"
  | "PutBucketLifecycleConfiguration"
  | "DeleteBucketLifecycle"
  | "GetBucketAcl"
  | "GetBucketVersioning"
  | "GetBucketTagging"
  | "GetBucketReplication"
  | "GetObjectLockConfiguration"
  | "ListObjects"
  | "ListObjectsV2"
  | "ListMultipartUploads"
  | "DeleteObjects";

export type ObjectOperation =
  | "GetObject"
  | "HeadObject"
  | "PutObject"
  | "CopyObject"
  | "DeleteObject"
  | "CreateMultipartUpload"
  | "UploadPart"
  | "UploadPartCopy"
  | "CompleteMultipartUpload"
  | "AbortMultipartUpload"
  | "ListParts";

export type S3Operation = ServiceOperation | BucketOperation | ObjectOperation;

export interface S3Target {
  readonly method: string;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly query: ReadonlyMap<string, string>;
  /** The request has `x-amz-copy-source`. */
  readonly copies: boolean;
}

type Subresources = Readonly<Record<string, string>>;

const BUCKET_GET: Readonly<Record<string, BucketOperation>> = {
  location: "GetBucketLocation",
  cors: "GetBucketCors",
  encryption: "GetBucketEncryption",
  lifecycle: "GetBucketLifecycleConfiguration",
  acl: "GetBucketAcl",
  versioning: "GetBucketVersioning",
  tagging: "GetBucketTagging",
  replication: "GetBucketReplication",
  "object-lock": "GetObjectLockConfiguration",
  uploads: "ListMultipartUploads",
};

const BUCKET_PUT: Readonly<Record<string, BucketOperation>> = {
  cors: "PutBucketCors",
  encryption: "PutBucketEncryption",
  lifecycle: "PutBucketLifecycleConfiguration",
};

const BUCKET_DELETE: Readonly<Record<string, BucketOperation>> = {
  cors: "DeleteBucketCors",
  encryption: "DeleteBucketEncryption",
  lifecycle: "DeleteBucketLifecycle",
};

/** Names of what R2 knows and refuses, by query parameter; spelling slips included, clients compare texts. */
const BUCKET_GET_MISSING: Subresources = {
  versions: "ListObjectVersions",
  policy: "GetBucketPolicy",
  policyStatus: "GetGetBucketPolicyStatus",
  website: "GetBucketWebsite",
  notification: "GetBucketNotificationConfiguration",
  requestPayment: "GetBucketRequestPayment",
  logging: "GetBucketLogging",
  accelerate: "GetBucketAccelerateConfiguration",
  publicAccessBlock: "GetPublicAccessBlock",
  ownershipControls: "GetBucketOwnershipControls",
  "intelligent-tiering": "GetBucketIntelligentTieringConfiguration",
  inventory: "GetBucketInventoryConfiguration",
  metrics: "GetBucketMetricsConfiguration",
  analytics: "GetBucketAnalyticsConfiguration",
};

const BUCKET_PUT_MISSING: Subresources = {
  accelerate: "PutBucketAccelerateConfiguration",
  acl: "PutBucketAcl",
  analytics: "PutBucketAnalyticsConfiguration",
  "intelligent-tiering": "PutBucketIntelligentTieringConfiguration",
  inventory: "PutBucketInventoryConfiguration",
  logging: "PutBucketLogging",
  metrics: "PutBucketMetricsConfiguration",
  notification: "PutBucketNotificationConfiguration",
  "object-lock": "PutObjectLockConfiguration",
  ownershipControls: "PutBucketOwnershipControls",
  policy: "PutBucketPolicy",
  publicAccessBlock: "PutPublicAccessBlock",
  replication: "PutBucketReplication",
  requestPayment: "PutBucketRequestPayment",
  tagging: "PutBucketTagging",
  versioning: "PutBucketVersioning",
  website: "PutBucketWebsite",
};

const BUCKET_DELETE_MISSING: Subresources = {
  analytics: "DeleteBucketAnalyticsConfiguration",
  "intelligent-tiering": "DeleteBucketIntelligentTieringConfiguration",
  inventory: "DeleteBucketInventoryConfiguration",
  metrics: "DeleteBucketMetricsConfiguration",
  ownershipControls: "DeleteBucketOwnershipControls",
  policy: "DeleteBucketPolicy",
  publicAccessBlock: "DeletePublicAccessBlock",
  replication: "DeleteBucketReplication",
  tagging: "DeleteBucketTagging",
  website: "DeleteBucketWebsite",
};

const OBJECT_MISSING: Readonly<Record<string, Subresources>> = {
  GET: {
    tagging: "GetObjectTagging",
    acl: "GetObjectAcl",
    attributes: "GetObjectAttributes",
    torrent: "GetObjectTorrent",
    retention: "GetObjectRetention",
    "legal-hold": "GetObjectLegalHold",
  },
  PUT: {
    tagging: "PutObjectTagging",
    acl: "PutObjectAcl",
    retention: "PutObjectRetention",
    "legal-hold": "PutObjectLegalHold",
  },
  POST: { select: "SelectObjectContent", restore: "RestoreObject" },
  DELETE: { tagging: "DeleteObjectTagging" },
};

const LIST_PARAMETERS: ReadonlySet<string> = new Set(["prefix", "delimiter", "marker", "max-keys", "encoding-type"]);
const LIST_V2_PARAMETERS: ReadonlySet<string> = new Set([
  "list-type",
  "prefix",
  "delimiter",
  "continuation-token",
  "start-after",
  "max-keys",
  "encoding-type",
  "fetch-owner",
]);

/** Parameters that say nothing about the operation: those of signing, and two that R2 ignores by name. */
const ignored = (name: string): boolean => /^x-amz-/i.test(name) || name === "x-id" || name === "x-purpose";

/** The operation, or an `S3Error` that says what is not there. */
export function detectOperation(target: S3Target): S3Operation {
  if (target.bucket === undefined) {
    if (target.method !== "GET") throw routeNotFound();
    return "ListBuckets";
  }
  return target.key === undefined ? detectBucket(target) : detectObject(target);
}

function first<T extends string>(table: Readonly<Record<string, T>>, query: ReadonlyMap<string, string>): T | undefined {
  for (const name of query.keys()) if (Object.hasOwn(table, name)) return table[name];
  return undefined;
}

function detectBucket({ method, query }: S3Target): BucketOperation {
  switch (method) {
    case "HEAD":
      return "HeadBucket";
    case "GET": {
      const operation = first(BUCKET_GET, query);
      if (operation === "GetBucketLocation") {
        for (const name of query.keys()) {
          if (name !== "location" && !ignored(name)) throw invalidArgument(`Search param ${name} is unsupported for bucket location`);
        }
      }
      if (operation !== undefined) return operation;
      refuse(BUCKET_GET_MISSING, query);
      return detectList(query);
    }
    case "PUT":
      return detectMutation(method, query, BUCKET_PUT, BUCKET_PUT_MISSING, "CreateBucket");
    case "DELETE":
      return detectMutation(method, query, BUCKET_DELETE, BUCKET_DELETE_MISSING, "DeleteBucket");
    case "POST":
      if (query.has("delete")) return "DeleteObjects";
      // A browser's form upload; the doubled words are the service's own.
      throw notImplemented("Presigned post requests are not yet implemented");
    default:
      throw routeNotFound();
  }
}

function refuse(table: Subresources, query: ReadonlyMap<string, string>): void {
  const name = first(table, query);
  if (name !== undefined) throw notImplemented(name);
}

function detectMutation(
  method: string,
  query: ReadonlyMap<string, string>,
  known: Readonly<Record<string, BucketOperation>>,
  missing: Subresources,
  bare: BucketOperation,
): BucketOperation {
  const operation = first(known, query);
  if (operation !== undefined) return operation;
  refuse(missing, query);
  const unsupported = [...query.keys()].filter((name) => !ignored(name));
  if (unsupported.length > 0) {
    throw invalidArgument(`Unsupported search param(s) ${unsupported.map((name) => `"${name}"`).join(", ")} on a ${method} bucket route`);
  }
  return bare;
}

function detectList(query: ReadonlyMap<string, string>): BucketOperation {
  const type = query.get("list-type");
  if (type !== undefined && type !== "2") throw notImplemented(`ListObjectsV${type}`);
  const second = type === "2";
  if (!second && query.has("continuation-token")) throw invalidArgument("continuation-token not supported in ListObjects");
  const allowed = second ? LIST_V2_PARAMETERS : LIST_PARAMETERS;
  for (const name of query.keys()) {
    if (!allowed.has(name) && !ignored(name)) throw notImplemented(`ListObjectsV${second ? 2 : 1} search parameter ${name}`);
  }
  return second ? "ListObjectsV2" : "ListObjects";
}

function detectObject({ method, query, copies }: S3Target): S3Operation {
  if (query.has("uploadId")) {
    const partNumber = query.get("partNumber");
    if (partNumber !== undefined && !/^ *-?\d*$/.test(partNumber)) throw routeNotFound();
    if (method === "GET") return "ListParts";
    if (method === "PUT" && partNumber !== undefined) return copies ? "UploadPartCopy" : "UploadPart";
    if (method === "POST") return "CompleteMultipartUpload";
    if (method === "DELETE") return "AbortMultipartUpload";
  }
  if (query.has("uploads")) {
    if (method === "POST") return "CreateMultipartUpload";
    if (method === "GET") return "ListMultipartUploads";
  }
  refuse(OBJECT_MISSING[method] ?? {}, query);
  switch (method) {
    case "GET":
      return "GetObject";
    case "HEAD":
      return "HeadObject";
    case "PUT":
      return copies ? "CopyObject" : "PutObject";
    case "POST":
      // s3cmd puts with POST; a copy source is not looked at here.
      return "PutObject";
    case "DELETE":
      return "DeleteObject";
    default:
      throw routeNotFound();
  }
}
