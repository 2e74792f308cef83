/**
 * Public buckets over plain HTTP (docs/r2/buckets/public-buckets): GET and HEAD of a known path, by the bucket's
 * development URL or a custom domain. No listing, no writing, errors as small pages.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import type { BlobRange } from "../../kernel/blobs/blobs.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { parseRange, S3Error } from "../../protocols/s3/index.ts";
import { readSetting } from "./buckets.ts";
import { evaluate, headerCondition, type Verdict } from "./conditions.ts";
import type { R2 } from "./context.ts";
import { type CorsRule, corsHeaders, preflightHeaders } from "./cors.ts";
import type { CustomDomains } from "./domains.ts";
import type { Bucket, StoredObject } from "./model.ts";
import { wholeObject } from "./objects.ts";
import type { CachePlace, PublicCache } from "./public-cache.ts";
import { httpHeaders } from "./public-headers.ts";
import { type BucketRow, toBucket } from "./rows.ts";
import { sendBody } from "./send-body.ts";
import { getThrough } from "./sippy-read.ts";

/** First labels of a bucket's development URL under the platform's domain. */
export const publicName = (bucket: Bucket): string => `pub-${bucket.id}.r2dev`;

/** An answer that is a page instead of an object. */
class PageError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const notFound = () => new PageError(404, "Object not found");

export interface PublicDoor {
  /** By the label of a development URL: "pub-<id>". */
  byLabel(label: string, request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** By a custom domain. */
  byDomain(domain: string, request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export function publicDoor(r2: R2, domains: CustomDomains, cache: PublicCache): PublicDoor {
  async function bucketById(id: string): Promise<Bucket | undefined> {
    const row = await r2.meta.get<BucketRow>(
      "SELECT id, jurisdiction, name, location, storage_class, created FROM r2_buckets WHERE id = ?",
      id,
    );
    return row && toBucket(row);
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    find: () => Promise<Bucket>,
    placeOf: (bucket: Bucket) => CachePlace | undefined = () => undefined,
  ): Promise<void> {
    try {
      const bucket = await find();
      await serve(r2, bucket, placeOf(bucket), request, response);
    } catch (error) {
      if (response.destroyed || response.headersSent) {
        response.destroy();
        return;
      }
      const { status, message } = explain(r2, error);
      const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${status}</title></head><body><h1>Error ${status}</h1><p>${message}</p></body></html>\n`;
      response.writeHead(status, { "content-type": "text/html; charset=utf-8", "content-length": Buffer.byteLength(page) });
      response.end(request.method === "HEAD" ? undefined : page);
    }
  }

  return {
    byLabel: (label, request, response) =>
      answer(request, response, async () => {
        const bucket = await bucketById(/^pub-([0-9a-f]{32})$/.exec(label)?.[1] ?? "");
        if (bucket === undefined) throw notFound();
        const setting = await readSetting<{ enabled: boolean }>(r2.meta, bucket.id, "managed");
        if (setting?.enabled !== true) throw new PageError(401, "This bucket cannot be viewed");
        return bucket;
      }),
    byDomain: (domain, request, response) =>
      answer(
        request,
        response,
        async () => {
          const id = domains.bucketId(domain);
          const bucket = id === undefined ? undefined : await bucketById(id);
          if (bucket === undefined) throw notFound();
          return bucket;
        },
        (bucket) => cache.place(bucket, domain, request),
      ),
  };
}

function explain(r2: R2, error: unknown): { status: number; message: string } {
  if (error instanceof PageError) return error;
  if (error instanceof S3Error) return { status: error.failure.status, message: "The range cannot be served" };
  if (error instanceof PlatformError && error.spec.status < 500)
    return { status: error.spec.status, message: "The request cannot be served" };
  r2.log.error("r2.public_failed", { error });
  return { status: 500, message: "Internal error" };
}

async function serve(
  r2: R2,
  bucket: Bucket,
  place: CachePlace | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = "GET" } = request;
  const copy = await place?.find();
  if (copy !== undefined) {
    response.writeHead(200, { ...copy.headers, "content-length": copy.bytes.length }).end(method === "HEAD" ? undefined : copy.bytes);
    return;
  }
  const origin = request.headers.origin;
  const rules = origin === undefined ? [] : ((await readSetting<{ rules: CorsRule[] }>(r2.meta, bucket.id, "cors"))?.rules ?? []);
  if (method === "OPTIONS") {
    // docs/r2/platform/release-notes 2024-02-20.
    if (origin === undefined) throw new PageError(400, "A preflight request needs an Origin");
    const asked = request.headers["access-control-request-method"] ?? "GET";
    const headers = preflightHeaders(rules, origin, asked, request.headers["access-control-request-headers"]);
    if (headers === undefined) throw new PageError(403, "This origin is not allowed");
    response.writeHead(204, headers).end();
    return;
  }
  if (method !== "GET" && method !== "HEAD") throw new PageError(405, "Method not allowed");

  let key: string;
  try {
    key = decodeURIComponent((request.url ?? "/").split("?")[0]?.slice(1) ?? "");
  } catch {
    throw notFound();
  }
  if (key === "") throw notFound();
  const condition = headerCondition((name) => request.headers[name] as string | undefined);
  let verdict = "holds" as Verdict;
  let partial = false;
  const choose = (object: StoredObject): BlobRange | undefined => {
    verdict = condition === undefined ? "holds" : evaluate(condition, object);
    if (verdict !== "holds") return undefined;
    partial = method === "GET" && request.headers.range !== undefined;
    return partial ? parseRange(request.headers.range as string, object.size) : wholeObject(object);
  };
  const opened = await getThrough(r2, bucket, key, choose, { metadataOnly: method === "HEAD" });
  if (opened === undefined) throw notFound();
  const headers = httpHeaders(opened.object);
  if (origin !== undefined) for (const [name, value] of Object.entries(corsHeaders(rules, origin, method))) headers.set(name, value);
  if (opened.body === undefined) {
    response.writeHead(verdict === "unmodified" ? 304 : 412, Object.fromEntries(headers)).end();
    return;
  }
  const { object, range, body } = opened;
  const { status, keep } = place?.decide(headers, range.length) ?? {};
  if (status !== undefined) headers.set("cf-cache-status", status);
  headers.set("content-length", String(range.length));
  if (partial) headers.set("content-range", `bytes ${range.offset}-${range.offset + range.length - 1}/${object.size}`);
  response.writeHead(partial ? 206 : 200, Object.fromEntries(headers));
  if (method === "HEAD") {
    body.destroy();
    response.end();
    return;
  }
  if (keep === undefined) return sendBody(body, range.length, response);
  const bytes = await buffer(body);
  await keep(bytes);
  response.end(bytes);
}
