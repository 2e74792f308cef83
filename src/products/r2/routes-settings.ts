/** REST of a bucket's settings, except for those with files of their own: event notifications and Sippy. */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { PlatformUrls, RequestContext, Route } from "../../kernel/product.ts";
import { deleteSetting, readSetting, type SettingKind, writeSetting } from "./buckets.ts";
import { bucketChange } from "./changes.ts";
import type { R2 } from "./context.ts";
import { checkCorsRules, corsSchema } from "./cors.ts";
import type { CustomDomains } from "./domains.ts";
import { checkLifecycleRules, type LifecycleRule, lifecycleRules, lifecycleSchema } from "./lifecycle-rules.ts";
import { RULES_MAX } from "./limits.ts";
import type { Bucket } from "./model.ts";
import { publicName } from "./public.ts";
import { BASE, bucketOf, route, writableBucketOf } from "./rest.ts";

const BUCKET = `${BASE}/:bucket`;

const lockSchema = z.object({
  rules: z
    .array(
      z.object({
        id: z.string().min(1).max(255),
        enabled: z.boolean(),
        prefix: z.string().optional(),
        condition: z.discriminatedUnion("type", [
          z.object({ type: z.literal("Age"), maxAgeSeconds: z.number().int().positive() }),
          z.object({ type: z.literal("Date"), date: z.string().refine((text) => !Number.isNaN(Date.parse(text)), "must be a date") }),
          z.object({ type: z.literal("Indefinite") }),
        ]),
      }),
    )
    .max(RULES_MAX)
    .default([]),
});

const enabledSchema = z.object({ enabled: z.boolean() });

const domainSchema = z.object({
  domain: z
    .string()
    .toLowerCase()
    .regex(/^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, "must be a host name"),
  zoneId: z.string().min(1),
  enabled: z.boolean().default(true),
  minTLS: z.enum(["1.0", "1.1", "1.2", "1.3"]).optional(),
  ciphers: z.array(z.string()).optional(),
});
const domainChangeSchema = domainSchema.omit({ domain: true }).partial();

export function settingRoutes(r2: R2, urls: PlatformUrls, domains: CustomDomains): Route[] {
  const read = <T>(bucket: Bucket, kind: SettingKind) => readSetting<T>(r2.meta, bucket.id, kind);
  const managedView = (bucket: Bucket, enabled: boolean) => ({
    bucketId: bucket.id,
    domain: urls.host(publicName(bucket)).replace(/^https?:\/\//, ""),
    enabled,
  });

  return [
    route(
      r2,
      "r2.cors.get",
      "GET",
      `${BUCKET}/cors`,
      "read",
      async (context) => (await read(await bucketOf(r2, context), "cors")) ?? { rules: [] },
    ),
    route(r2, "r2.cors.put", "PUT", `${BUCKET}/cors`, "write", async (context) => {
      const policy = await context.json(corsSchema);
      checkCorsRules(policy.rules);
      const bucket = await bucketOf(r2, context);
      await writeSetting(r2, bucket, "cors", policy);
      context.audit(bucketChange("PutBucketCors", bucket.name, policy));
      return {};
    }),
    route(r2, "r2.cors.delete", "DELETE", `${BUCKET}/cors`, "write", async (context) => {
      const bucket = await bucketOf(r2, context);
      await deleteSetting(r2, bucket, "cors");
      context.audit(bucketChange("DeleteBucketCors", bucket.name));
      return {};
    }),
    route(r2, "r2.lifecycle.get", "GET", `${BUCKET}/lifecycle`, "read", async (context) => ({
      rules: lifecycleRules(await read<{ rules: LifecycleRule[] }>(await bucketOf(r2, context), "lifecycle")),
    })),
    route(r2, "r2.lifecycle.put", "PUT", `${BUCKET}/lifecycle`, "write", async (context) => {
      const policy = await context.json(lifecycleSchema);
      checkLifecycleRules(policy.rules);
      const bucket = await writableBucketOf(r2, context);
      await writeSetting(r2, bucket, "lifecycle", policy);
      context.audit(bucketChange("PutBucketLifecycleConfiguration", bucket.name, policy));
      return {};
    }),
    route(
      r2,
      "r2.locks.get",
      "GET",
      `${BUCKET}/lock`,
      "read",
      async (context) => (await read(await bucketOf(r2, context), "lock")) ?? { rules: [] },
    ),
    route(r2, "r2.locks.put", "PUT", `${BUCKET}/lock`, "write", async (context) => {
      const policy = await context.json(lockSchema);
      await writeSetting(r2, await bucketOf(r2, context), "lock", policy);
      return {};
    }),
    route(r2, "r2.domains.managed.get", "GET", `${BUCKET}/domains/managed`, "read", async (context) => {
      const bucket = await bucketOf(r2, context);
      return managedView(bucket, (await read<{ enabled: boolean }>(bucket, "managed"))?.enabled ?? false);
    }),
    route(r2, "r2.domains.managed.put", "PUT", `${BUCKET}/domains/managed`, "write", async (context) => {
      const { enabled } = await context.json(enabledSchema);
      const bucket = await bucketOf(r2, context);
      await writeSetting(r2, bucket, "managed", { enabled });
      context.audit(bucketChange("ChangeBucketVisibility", bucket.name, { enabled }));
      return managedView(bucket, enabled);
    }),
    // There is one region: uploads are local whatever this says, so it is kept and shown.
    route(r2, "r2.localUploads.get", "GET", `${BUCKET}/local-uploads`, "read", async (context) => ({
      enabled: (await read<{ enabled: boolean }>(await bucketOf(r2, context), "local-uploads"))?.enabled ?? false,
    })),
    route(r2, "r2.localUploads.put", "PUT", `${BUCKET}/local-uploads`, "write", async (context) => {
      const setting = await context.json(enabledSchema);
      const bucket = await bucketOf(r2, context);
      if (bucket.jurisdiction !== "default") {
        throw platformError("badRequest", "Local uploads are not available for buckets with a jurisdiction.");
      }
      await writeSetting(r2, bucket, "local-uploads", setting);
      return setting;
    }),
    ...domainRoutes(r2, domains),
  ];
}

function domainRoutes(r2: R2, domains: CustomDomains): Route[] {
  const CUSTOM = `${BUCKET}/domains/custom`;
  const domainOf = (context: RequestContext): string => (context.params.domain ?? "").toLowerCase();
  /** Our TLS begins at 1.2, so what asks for less is served, and what asks for more is refused. */
  const checkTls = ({ minTLS, ciphers }: { minTLS?: string | undefined; ciphers?: readonly string[] | undefined }) => {
    if (minTLS === "1.3") throw platformError("notImplemented", "minTLS 1.3 is not implemented by this version of Freehold");
    if (ciphers !== undefined && ciphers.length > 0) {
      throw platformError("notImplemented", "ciphers of custom domains are not implemented by this version of Freehold");
    }
  };
  return [
    route(r2, "r2.domains.custom.list", "GET", CUSTOM, "read", async (context) => ({
      domains: await domains.list(await bucketOf(r2, context)),
    })),
    route(r2, "r2.domains.custom.create", "POST", CUSTOM, "write", async (context) => {
      const request = await context.json(domainSchema);
      checkTls(request);
      const bucket = await bucketOf(r2, context);
      context.audit(bucketChange("AddCustomDomain", bucket.name, { domain: request.domain }));
      return domains.add(bucket, request);
    }),
    route(r2, "r2.domains.custom.get", "GET", `${CUSTOM}/:domain`, "read", async (context) =>
      domains.get(await bucketOf(r2, context), domainOf(context)),
    ),
    route(r2, "r2.domains.custom.update", "PUT", `${CUSTOM}/:domain`, "write", async (context) => {
      const change = await context.json(domainChangeSchema);
      checkTls(change);
      return domains.change(await bucketOf(r2, context), domainOf(context), change);
    }),
    route(r2, "r2.domains.custom.delete", "DELETE", `${CUSTOM}/:domain`, "write", async (context) => {
      const domain = domainOf(context);
      const bucket = await bucketOf(r2, context);
      await domains.remove(bucket, domain);
      context.audit(bucketChange("RemoveCustomDomain", bucket.name, { domain }));
      return { domain };
    }),
  ];
}
