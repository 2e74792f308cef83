/**
 * The S3 door: every request walks the same steps. Find what it is about; prove who signed it; name the
 * operation; check the right to it; refuse headers that it does not have; run it. Nothing is looked up before
 * the signature is proven, except for a browser's preflight, which carries none.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Auth } from "../../../kernel/product.ts";
import { detectOperation, type S3Operation } from "../../../protocols/s3/index.ts";
import { headerValue, parseAuthentication, verify } from "../../../protocols/sigv4/index.ts";
import { findBucket, readSetting } from "../buckets.ts";
import type { R2 } from "../context.ts";
import { type CorsRule, corsHeaders, preflightHeaders } from "../cors.ts";
import { type Grant, type Right, resolveSigner } from "../credentials.ts";
import { r2Error } from "../errors.ts";
import { keyIdentity } from "../limits.ts";
import { type Jurisdiction, jurisdictions } from "../model.ts";
import { usageName } from "../usage.ts";
import * as buckets from "./buckets.ts";
import { screenHeaders } from "./headers.ts";
import * as lists from "./lists.ts";
import * as multipart from "./multipart.ts";
import * as objects from "./objects.ts";
import {
  type BucketRequest,
  type ObjectRequest,
  queryMap,
  rawRequest,
  type S3Request,
  type Target,
  targetOf,
  withBucket,
} from "./request.ts";
import { drain, failureOf, sendFailure, sendHead } from "./respond.ts";

export interface S3Door {
  handle(params: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export function s3Door(r2: R2, auth: Auth): S3Door {
  return {
    async handle(params, request, response) {
      const head = request.method === "HEAD";
      try {
        const raw = rawRequest(request);
        const target = targetOf(hostOf(params), raw.path);
        const origin = headerValue(request.rawHeaders, "origin");
        if (request.method === "OPTIONS") return await preflight(r2, request, response, target, origin);
        if (origin !== undefined) await addCorsHeaders(r2, request, response, target, origin);

        const authentication = parseAuthentication(raw, r2.clock.now());
        if (target.account !== r2.accountId) throw r2Error("unauthorized");
        const { accessKeyId, sessionToken } = authentication;
        const signer = await resolveSigner(auth, r2.accountId, accessKeyId, sessionToken, r2.clock.now());
        const signature = verify(raw, authentication, signer.secretAccessKey);

        const query = queryMap(raw);
        const copies = headerValue(request.rawHeaders, "x-amz-copy-source") !== undefined;
        const operation = detectOperation({ method: raw.method, bucket: target.bucket, key: target.key, query, copies });
        const { grant, principal } = signer;
        const c: S3Request = { r2, request, response, raw, query, target, operation, authentication, signature, grant, principal };
        response.once("finish", () => countUse(c));
        if (!permitted(c)) throw r2Error("accessDenied");
        screenHeaders(c);
        await run(c);
      } catch (error) {
        // A client that went away is told nothing, and is no failure of ours.
        if (response.destroyed || (request.destroyed && !request.complete)) {
          response.destroy();
          return;
        }
        const failure = failureOf(r2, error);
        if (!response.headersSent) await drain(request);
        sendFailure(response, failure, head);
      }
    },
  };
}

function countUse({ r2, target, operation, response }: S3Request): void {
  const name = target.bucket === undefined ? "" : usageName({ jurisdiction: target.jurisdiction, name: target.bucket });
  const bytes = operation === "GetObject" && response.statusCode < 300 ? Number(response.getHeader("content-length") ?? 0) : 0;
  r2.usage.count({ bucket: name, action: operation, status: response.statusCode, bytes });
}

/** What the host name says. A jurisdiction stands between account and domain, where a bucket's account would. */
function hostOf(params: Readonly<Record<string, string>>): { account: string; bucket: string | undefined; jurisdiction: Jurisdiction } {
  const isJurisdiction = (text: string | undefined) => jurisdictions.find((one) => one === text);
  const named = isJurisdiction(params.jurisdiction);
  if (params.jurisdiction !== undefined && named === undefined) throw r2Error("noSuchBucket");
  if (named !== undefined) return { account: params.account ?? "", bucket: params.bucket, jurisdiction: named };
  const inPlaceOfAccount = params.bucket === undefined ? undefined : isJurisdiction(params.account);
  if (inPlaceOfAccount !== undefined) return { account: params.bucket ?? "", bucket: undefined, jurisdiction: inPlaceOfAccount };
  return { account: params.account ?? "", bucket: params.bucket, jurisdiction: "default" };
}

type Handler =
  | { readonly on: "service"; readonly right: Right; run(c: S3Request): Promise<void> | void }
  | { readonly on: "bucket"; readonly right: Right; run(c: BucketRequest): Promise<void> | void }
  /** Reads that whoever may read the bucket's objects may do. */
  | { readonly on: "listing"; readonly right: "read"; run(c: BucketRequest): Promise<void> | void }
  | { readonly on: "object"; readonly right: Right; run(c: ObjectRequest): Promise<void> | void }
  /** Writes of a key that may make its bucket on the way. */
  | { readonly on: "new object"; readonly right: "write"; run(c: S3Request): Promise<void> | void };

const handlers: Readonly<Record<S3Operation, Handler>> = {
  ListBuckets: { on: "service", right: "read", run: buckets.listBucketsOperation },
  CreateBucket: { on: "service", right: "write", run: buckets.createBucketOperation },
  DeleteBucket: { on: "bucket", right: "write", run: buckets.deleteBucketOperation },
  HeadBucket: { on: "listing", right: "read", run: buckets.headBucketOperation },
  GetBucketLocation: { on: "listing", right: "read", run: buckets.getBucketLocation },
  GetBucketCors: { on: "bucket", right: "read", run: buckets.getBucketCors },
  PutBucketCors: { on: "bucket", right: "write", run: buckets.putBucketCors },
  DeleteBucketCors: { on: "bucket", right: "write", run: buckets.deleteBucketCors },
  GetBucketEncryption: { on: "bucket", right: "read", run: buckets.getBucketEncryption },
  PutBucketEncryption: { on: "bucket", right: "write", run: buckets.putBucketEncryption },
  DeleteBucketEncryption: { on: "bucket", right: "write", run: buckets.deleteBucketEncryption },
  GetBucketLifecycleConfiguration: { on: "bucket", right: "read", run: buckets.getBucketLifecycle },
  PutBucketLifecycleConfiguration: { on: "bucket", right: "write", run: buckets.putBucketLifecycle },
  DeleteBucketLifecycle: { on: "bucket", right: "write", run: buckets.deleteBucketLifecycle },
  GetBucketAcl: { on: "bucket", right: "read", run: buckets.getBucketAcl },
  GetBucketVersioning: { on: "listing", right: "read", run: buckets.getBucketVersioning },
  GetBucketTagging: { on: "bucket", right: "read", run: buckets.getBucketTagging },
  GetBucketReplication: { on: "bucket", right: "read", run: buckets.getBucketReplication },
  GetObjectLockConfiguration: { on: "listing", right: "read", run: buckets.getObjectLockConfiguration },
  ListObjects: { on: "listing", right: "read", run: lists.listObjectsV1 },
  ListObjectsV2: { on: "listing", right: "read", run: lists.listObjectsV2 },
  ListMultipartUploads: { on: "listing", right: "read", run: lists.listMultipartUploads },
  // Rights are checked key by key.
  DeleteObjects: { on: "listing", right: "read", run: objects.deleteObjectsOperation },
  GetObject: { on: "object", right: "read", run: objects.getObjectOperation },
  HeadObject: { on: "object", right: "read", run: objects.headObjectOperation },
  PutObject: { on: "new object", right: "write", run: objects.putObjectOperation },
  CopyObject: { on: "object", right: "write", run: objects.copyObjectOperation },
  DeleteObject: { on: "object", right: "write", run: objects.deleteObjectOperation },
  CreateMultipartUpload: { on: "new object", right: "write", run: multipart.createMultipartUpload },
  UploadPart: { on: "object", right: "write", run: multipart.uploadPartOperation },
  UploadPartCopy: { on: "object", right: "write", run: multipart.uploadPartCopyOperation },
  CompleteMultipartUpload: { on: "object", right: "write", run: multipart.completeMultipartUpload },
  AbortMultipartUpload: { on: "object", right: "write", run: multipart.abortMultipartUpload },
  ListParts: { on: "object", right: "read", run: multipart.listPartsOperation },
};

function permitted(c: S3Request): boolean {
  const { on, right } = handlers[c.operation];
  const { bucket = "", key = "", jurisdiction } = c.target;
  const { grant, operation } = c;
  switch (on) {
    case "service":
      return grant.account(right);
    case "bucket":
      return grant.bucket(right, jurisdiction, bucket);
    case "listing":
      return mayList(c, grant, jurisdiction, bucket);
    default:
      return grant.objects(right, jurisdiction, bucket, { key: keyIdentity(key) }, operation);
  }
}

function mayList({ query, operation }: S3Request, grant: Grant, jurisdiction: Jurisdiction, bucket: string): boolean {
  switch (operation) {
    case "ListObjects":
    case "ListObjectsV2":
    case "ListMultipartUploads":
      return grant.objects("read", jurisdiction, bucket, { prefix: query.get("prefix") ?? "" }, operation);
    default:
      return grant.bucket("read", jurisdiction, bucket) || grant.somewhere(jurisdiction, bucket);
  }
}

async function run(c: S3Request): Promise<void> {
  const handler = handlers[c.operation];
  switch (handler.on) {
    case "service":
    case "new object":
      return handler.run(c);
    case "bucket":
    case "listing":
      return handler.run(await withBucket(c));
    case "object":
      return handler.run({ ...(await withBucket(c)), key: c.target.key as string });
  }
}

// --- CORS --------------------------------------------------------------------------------------------------

async function bucketRules(r2: R2, target: Target): Promise<readonly CorsRule[]> {
  const bucket = target.bucket === undefined ? undefined : await findBucket(r2, target.bucket, target.jurisdiction);
  return (bucket && (await readSetting<{ rules: CorsRule[] }>(r2.meta, bucket.id, "cors")))?.rules ?? [];
}

/** Set before anything else, so that errors reach the page as well. */
async function addCorsHeaders(r2: R2, request: IncomingMessage, response: ServerResponse, target: Target, origin: string): Promise<void> {
  const headers = corsHeaders(await bucketRules(r2, target), origin, request.method ?? "GET");
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}

async function preflight(
  r2: R2,
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
  origin: string | undefined,
): Promise<void> {
  const method = headerValue(request.rawHeaders, "access-control-request-method");
  if (origin === undefined || method === undefined) {
    throw r2Error("invalidArgument", "A preflight request needs the headers Origin and Access-Control-Request-Method.");
  }
  const requested = headerValue(request.rawHeaders, "access-control-request-headers");
  const headers = preflightHeaders(await bucketRules(r2, target), origin, method, requested);
  if (headers === undefined) throw r2Error("accessDenied", "CORS is not enabled for this bucket.");
  sendHead(response, 204, headers);
  response.end();
}
