/** REST of buckets, account metrics and temporary credentials. */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { Auth, Route } from "../../kernel/product.ts";
import { createBucket, deleteBucket, listBuckets, setStorageClass } from "./buckets.ts";
import { bucketChange } from "./changes.ts";
import type { R2 } from "./context.ts";
import { principalGrant, temporaryKey } from "./credentials.ts";
import { r2Error } from "./errors.ts";
import { locations } from "./model.ts";
import { groups } from "./permissions.ts";
import { BASE, bucketOf, bucketView, jurisdictionOf, perPage, route, storageClassOf } from "./rest.ts";

const LIST_MAX = 1000;

const createSchema = z.object({
  name: z.string(),
  locationHint: z
    .string()
    .transform((hint) => hint.toLowerCase())
    .pipe(z.enum(locations))
    .optional(),
  storageClass: z.string().optional(),
});

const temporarySchema = z.object({
  bucket: z.string().min(1),
  parentAccessKeyId: z.string().min(1),
  permission: z.enum(["admin-read-write", "admin-read-only", "object-read-write", "object-read-only"]),
  ttlSeconds: z.number().int().min(1).max(604_800),
  prefixes: z.array(z.string()).optional(),
  objects: z.array(z.string()).optional(),
});

export function bucketRoutes(r2: R2, auth: Auth): Route[] {
  return [
    route(r2, "r2.buckets.list", "GET", BASE, "read", async (context) => {
      const limit = perPage(context, LIST_MAX, LIST_MAX);
      const descending = context.query.get("direction") === "desc";
      const cursor = context.query.get("cursor");
      const { buckets, truncated } = await listBuckets(r2, {
        jurisdiction: jurisdictionOf(context),
        nameContains: context.query.get("name_contains") ?? undefined,
        startAfter: cursor ? Buffer.from(cursor, "base64url").toString("utf8") : (context.query.get("start_after") ?? undefined),
        descending,
        limit,
      });
      const next = truncated ? Buffer.from(buckets.at(-1)?.name ?? "").toString("base64url") : "";
      // The list lies one level deeper than in other list answers; clients read `result.buckets`.
      return Response.json({
        success: true,
        errors: [],
        messages: [],
        result: { buckets: buckets.map(bucketView) },
        result_info: { cursor: next, per_page: limit },
      });
    }),
    route(r2, "r2.buckets.create", "POST", BASE, "write", async (context) => {
      const { name, locationHint, storageClass } = await context.json(createSchema);
      const bucket = await createBucket(r2, name, {
        jurisdiction: jurisdictionOf(context),
        location: locationHint,
        storageClass: storageClassOf(storageClass),
      });
      context.audit(bucketChange("CreateBucket", bucket.name));
      return bucketView(bucket);
    }),
    route(r2, "r2.buckets.get", "GET", `${BASE}/:bucket`, "read", async (context) => bucketView(await bucketOf(r2, context))),
    route(r2, "r2.buckets.edit", "PATCH", `${BASE}/:bucket`, "write", async (context) => {
      const storageClass = storageClassOf(context.headers.get("cf-r2-storage-class"));
      const bucket = await bucketOf(r2, context);
      if (storageClass === undefined) return bucketView(bucket);
      context.audit(bucketChange("PutBucketStorageClass", bucket.name, { storageClass }));
      return bucketView(await setStorageClass(r2, bucket, storageClass));
    }),
    route(r2, "r2.buckets.delete", "DELETE", `${BASE}/:bucket`, "write", async (context) => {
      const bucket = await bucketOf(r2, context);
      await deleteBucket(r2, bucket);
      context.audit(bucketChange("DeleteBucket", bucket.name));
      return {};
    }),
    route(r2, "r2.metrics.get", "GET", "/accounts/:account/r2/metrics", "read", () => accountMetrics(r2)),
    {
      op: "r2.temporaryCredentials.create",
      method: "POST",
      path: "/accounts/:account/r2/temp-access-credentials",
      permission: Object.values(groups),
      async handle(context) {
        const request = await context.json(temporarySchema);
        const jurisdiction = jurisdictionOf(context);
        const right = request.permission.endsWith("-write") ? "write" : "read";
        const parent = await auth.accessKey(request.parentAccessKeyId);
        if (parent === undefined) throw r2Error("invalidArgument", "The parent access key does not exist.");
        // Neither the caller nor the parent may hand out more than it has.
        for (const principal of [context.principal, parent.principal]) {
          const grant = principalGrant(principal, r2.accountId);
          const allowed = request.permission.startsWith("admin-")
            ? grant.bucket(right, jurisdiction, request.bucket)
            : grant.objects(right, jurisdiction, request.bucket, { prefix: "" });
          if (!allowed) throw platformError("forbidden");
        }
        const issued = Math.floor(r2.clock.now() / 1000);
        const { prefixes, objects } = request;
        return temporaryKey(
          {
            sub: r2.accountId,
            iss: request.parentAccessKeyId,
            bucket: request.bucket,
            scope: request.permission,
            ...(jurisdiction !== "default" && { jurisdiction }),
            ...((prefixes || objects) && { paths: { prefixPaths: prefixes ?? [], objectPaths: objects ?? [] } }),
            iat: issued,
            exp: issued + request.ttlSeconds,
          },
          parent.secretAccessKey,
        );
      },
    },
  ];
}

interface Sums {
  storage_class: string;
  objects: number;
  payload: number | null;
  metadata: number | null;
}

/** Sums over the whole account, as stored now. */
async function accountMetrics(r2: R2): Promise<unknown> {
  const published = await r2.meta.all<Sums>(
    `SELECT storage_class, COUNT(*) AS objects, SUM(size) AS payload, SUM(length(http) + length(custom) - 4) AS metadata
     FROM r2_objects GROUP BY storage_class`,
  );
  const uploaded = await r2.meta.all<Sums>(
    `SELECT u.storage_class AS storage_class, COUNT(DISTINCT u.upload_id) AS objects, SUM(p.size) AS payload, 0 AS metadata
     FROM r2_uploads u LEFT JOIN r2_parts p ON p.upload_id = u.upload_id WHERE u.state = 'open' GROUP BY u.storage_class`,
  );
  const sums = (rows: readonly Sums[], storageClass: string) => {
    const row = rows.find((one) => one.storage_class === storageClass);
    return { payloadSize: row?.payload ?? 0, metadataSize: row?.metadata ?? 0, objects: row?.objects ?? 0 };
  };
  const of = (storageClass: string) => ({ published: sums(published, storageClass), uploaded: sums(uploaded, storageClass) });
  return { standard: of("Standard"), infrequentAccess: of("InfrequentAccess") };
}
