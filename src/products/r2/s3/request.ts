/** One request at the S3 door on its way through: what it is about, who signed it, and how to answer it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Principal } from "../../../kernel/api/tokens.ts";
import type { S3Operation } from "../../../protocols/s3/index.ts";
import { type Authentication, headerValue, queryPairs, type RawRequest, type VerifiedSignature } from "../../../protocols/sigv4/index.ts";
import { requireBucket } from "../buckets.ts";
import type { R2 } from "../context.ts";
import type { Grant } from "../credentials.ts";
import { r2Error } from "../errors.ts";
import type { Bucket, Jurisdiction } from "../model.ts";

/** Where a request leads, from host and path. */
export interface Target {
  readonly jurisdiction: Jurisdiction;
  readonly account: string;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
}

export interface S3Request {
  readonly r2: R2;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly raw: RawRequest;
  readonly query: ReadonlyMap<string, string>;
  readonly target: Target;
  readonly operation: S3Operation;
  readonly authentication: Authentication;
  readonly signature: VerifiedSignature;
  /** Whose request it is. */
  readonly principal: Principal;
  readonly grant: Grant;
}

/** A request after its bucket was found. */
export interface BucketRequest extends S3Request {
  readonly bucket: Bucket;
}

/** A request about one key. */
export interface ObjectRequest extends BucketRequest {
  readonly key: string;
}

export function rawRequest(request: IncomingMessage): RawRequest {
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  return {
    method: request.method ?? "GET",
    path: mark === -1 ? url : url.slice(0, mark),
    query: mark === -1 ? "" : url.slice(mark + 1),
    rawHeaders: request.rawHeaders,
  };
}

export const queryMap = (raw: RawRequest): ReadonlyMap<string, string> => new Map(queryPairs(raw.query));

/** A header's value, trimmed; undefined when it is missing. */
export const header = (c: S3Request, name: string): string | undefined => headerValue(c.raw.rawHeaders, name);

/** Header values are bytes; clients write UTF-8. */
export const utf8Header = (value: string): string => {
  const bytes = Buffer.from(value, "latin1");
  const text = bytes.toString("utf8");
  // What is not UTF-8 is the Latin-1 that Node has read already.
  return text.includes("\ufffd") ? value : text;
};

export async function withBucket(c: S3Request): Promise<BucketRequest> {
  return { ...c, bucket: await requireBucket(c.r2, c.target.bucket as string, c.target.jurisdiction) };
}

/**
 * The target in a path ("/bucket/key", or "/key" when the host names the bucket). The key is decoded once and
 * otherwise left as it is: no segment of it means anything. Throws `r2.invalidObjectName` when it does not decode.
 */
export function targetOf(host: { account: string; bucket?: string | undefined; jurisdiction: Jurisdiction }, path: string): Target {
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch (cause) {
      throw r2Error("invalidObjectName", undefined, { cause });
    }
  };
  const rest = path.startsWith("/") ? path.slice(1) : path;
  if (host.bucket !== undefined) return { ...host, bucket: host.bucket, key: rest === "" ? undefined : decode(rest) };
  const slash = rest.indexOf("/");
  const bucket = decode(slash === -1 ? rest : rest.slice(0, slash));
  const key = slash === -1 ? "" : rest.slice(slash + 1);
  return {
    account: host.account,
    jurisdiction: host.jurisdiction,
    bucket: bucket === "" ? undefined : bucket,
    key: key === "" ? undefined : decode(key),
  };
}
