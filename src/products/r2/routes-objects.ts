/** REST of objects: what wrangler and the dashboard read and write without S3 keys. */
import { Readable } from "node:stream";
import { page } from "../../kernel/api/envelope.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { evaluate, headerCondition } from "./conditions.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { LIST_MAX } from "./limits.ts";
import { listObjects } from "./list.ts";
import type { HttpMetadata, StoredObject } from "./model.ts";
import { deleteObjects, getObject, putObject, wholeObject } from "./objects.ts";
import { httpHeaders } from "./public-headers.ts";
import { BASE, bucketOf, jurisdictionOf, perPage, route, storageClassOf, writableBucketOf } from "./rest.ts";
import { usageName } from "./usage.ts";

const OBJECTS = `${BASE}/:bucket/objects`;
/** Page size of lists when the client names none. */
const PER_PAGE = 20;

const keyOf = (context: RequestContext): string => context.params.key ?? "";

export function objectRoutes(r2: R2): Route[] {
  /** A route whose requests count as an operation on the bucket. */
  const counted = (
    op: string,
    method: Route["method"],
    path: string,
    action: string,
    handle: (context: RequestContext) => Promise<unknown>,
  ) =>
    route(r2, op, method, path, method === "GET" ? "read" : "write", async (context) => {
      const bucket = usageName({ jurisdiction: jurisdictionOf(context), name: context.params.bucket ?? "" });
      const count = (status: number, bytes = 0) => r2.usage.count({ bucket, action, status, bytes });
      try {
        const answer = await handle(context);
        if (answer instanceof Response) count(answer.status, Number(answer.headers.get("content-length") ?? 0));
        else count(200);
        return answer;
      } catch (error) {
        count(error instanceof PlatformError ? error.spec.status : 500);
        throw error;
      }
    });
  return [
    counted("r2.objects.list", "GET", OBJECTS, "ListObjects", async (context) => {
      const bucket = await bucketOf(r2, context);
      const limit = perPage(context, PER_PAGE, LIST_MAX);
      const option = (name: string) => context.query.get(name) ?? undefined;
      const listing = await listObjects(r2, bucket, {
        prefix: option("prefix"),
        delimiter: option("delimiter"),
        startAfter: option("start_after"),
        cursor: option("cursor"),
        limit,
      });
      return page(listing.objects.map(objectView), {
        ...(listing.cursor !== undefined && { cursor: listing.cursor }),
        is_truncated: listing.truncated,
        per_page: limit,
        delimited: listing.prefixes,
      });
    }),
    counted("r2.objects.get", "GET", `${OBJECTS}/:key{.+}`, "GetObject", (context) => getRoute(r2, context)),
    counted("r2.objects.put", "PUT", `${OBJECTS}/:key{.+}`, "PutObject", async (context) => {
      const bucket = await writableBucketOf(r2, context);
      const length = context.headers.get("content-length");
      const storageClass = storageClassOf(context.headers.get("cf-r2-storage-class"));
      const object = await putObject(
        r2,
        bucket,
        keyOf(context),
        {
          // The store has limits of its own, with R2's error.
          chunks: context.chunks(Number.POSITIVE_INFINITY),
          length: length === null ? undefined : Number(length),
        },
        { http: httpMetadata(context.headers), custom: {}, ...(storageClass && { storageClass }) },
      );
      return {
        key: object.name,
        etag: object.etag,
        version: object.version,
        size: String(object.size),
        storage_class: object.storageClass,
        uploaded: new Date(object.uploaded).toISOString(),
      };
    }),
    counted("r2.objects.delete", "DELETE", `${OBJECTS}/:key{.+}`, "DeleteObject", async (context) => {
      const key = keyOf(context);
      const { locked } = await deleteObjects(r2, await writableBucketOf(r2, context), [key]);
      if (locked.length > 0) throw r2Error("objectLocked");
      return { key };
    }),
  ];
}

const objectView = (object: StoredObject) => {
  const { cacheExpiry, ...http } = object.http;
  return {
    key: object.name,
    etag: object.etag,
    size: object.size,
    last_modified: new Date(object.uploaded).toISOString(),
    http_metadata: { ...http, ...(cacheExpiry !== undefined && { cacheExpiry: new Date(cacheExpiry).toISOString() }) },
    custom_metadata: object.custom,
    storage_class: object.storageClass,
    ssec: object.ssec !== null,
  };
};

async function getRoute(r2: R2, context: RequestContext): Promise<Response> {
  const condition = headerCondition((name) => context.headers.get(name) ?? undefined);
  let verdict = "holds";
  const opened = await getObject(r2, await bucketOf(r2, context), keyOf(context), (object) => {
    verdict = condition === undefined ? "holds" : evaluate(condition, object);
    return verdict === "holds" ? wholeObject(object) : undefined;
  });
  if (opened === undefined) throw r2Error("noSuchKey");
  if (verdict === "failed") throw r2Error("preconditionFailed");
  const headers = httpHeaders(opened.object);
  if (opened.body === undefined) return new Response(null, { status: 304, headers });
  headers.set("content-length", String(opened.object.size));
  return new Response(Readable.toWeb(opened.body) as ReadableStream, { headers });
}

function httpMetadata(headers: Headers): HttpMetadata {
  const value = (name: string) => headers.get(name) || undefined;
  const expires = value("expires");
  const expiry = expires === undefined ? Number.NaN : Date.parse(expires);
  const [type, language, disposition, encoding, control] = [
    value("content-type"),
    value("content-language"),
    value("content-disposition"),
    value("content-encoding"),
    value("cache-control"),
  ];
  return {
    ...(type !== undefined && { contentType: type }),
    ...(language !== undefined && { contentLanguage: language }),
    ...(disposition !== undefined && { contentDisposition: disposition }),
    ...(encoding !== undefined && { contentEncoding: encoding }),
    ...(control !== undefined && { cacheControl: control }),
    ...(!Number.isNaN(expiry) && { cacheExpiry: expiry }),
  };
}
