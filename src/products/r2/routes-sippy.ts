/** REST of Sippy: /accounts/{account}/r2/buckets/{bucket}/sippy, as wrangler and the SDK send it. */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { Auth, RequestContext, Route } from "../../kernel/product.ts";
import type { R2 } from "./context.ts";
import { principalGrant } from "./credentials.ts";
import { equalText } from "./equal-text.ts";
import { r2Error } from "./errors.ts";
import type { Bucket } from "./model.ts";
import { BASE, bucketOf, route } from "./rest.ts";
import type { SippySetting } from "./sippy.ts";
import { SourceError, type SourceSecrets } from "./sippy-source.ts";

const PATH = `${BASE}/:bucket/sippy`;

const bucketName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,221}$/, "must be a bucket's name");
const key = z.string().min(1).max(256);
const source = z.discriminatedUnion("provider", [
  z.object({
    provider: z.literal("aws"),
    bucket: bucketName,
    region: z.string().regex(/^[a-z0-9-]{1,40}$/, "must be a region"),
    accessKeyId: key,
    secretAccessKey: key,
  }),
  z.object({ provider: z.literal("s3"), bucketUrl: z.url({ protocol: /^https?$/ }), accessKeyId: key, secretAccessKey: key }),
  z.object({ provider: z.literal("gcs"), bucket: bucketName, clientEmail: key, privateKey: z.string().min(1).max(10_000) }),
  z.looseObject({ provider: z.literal("azure") }),
]);
const body = z.object({
  source,
  destination: z.object({ provider: z.literal("r2").optional(), accessKeyId: key, secretAccessKey: key }),
});

export function sippyRoutes(r2: R2, auth: Auth): Route[] {
  async function requested(context: RequestContext): Promise<{
    bucket: Bucket;
    setting: Omit<SippySetting, "sealed">;
    secrets: SourceSecrets;
  }> {
    const bucket = await bucketOf(r2, context);
    const given = await context.json(body);
    await checkDestination(bucket, given.destination);
    return {
      bucket,
      setting: { source: sourceOf(given.source), destinationKeyId: given.destination.accessKeyId },
      secrets: secretsOf(given.source),
    };
  }

  /** The key with which the client lets Sippy write must be one of the account, with the right to. */
  async function checkDestination(bucket: Bucket, { accessKeyId, secretAccessKey }: z.infer<typeof body>["destination"]): Promise<void> {
    const known = await auth.accessKey(accessKeyId);
    const proven = known !== undefined && equalText(known.secretAccessKey, secretAccessKey);
    const grant = proven ? principalGrant(known.principal, r2.accountId) : undefined;
    if (!grant?.objects("write", bucket.jurisdiction, bucket.name, { prefix: "" })) {
      throw r2Error("accessDenied", "The R2 access key of the destination may not write to this bucket.");
    }
  }

  function sourceOf(given: z.infer<typeof source>): SippySetting["source"] {
    switch (given.provider) {
      case "aws": {
        const endpoint = r2.config["r2.sippy_aws_endpoint"].replace("{region}", given.region);
        return { provider: "aws", url: `${endpoint}/${given.bucket}`, region: given.region, bucket: given.bucket };
      }
      case "s3": {
        const { origin, pathname, username, password, search, hash } = new URL(given.bucketUrl);
        if (username || password || search || hash) throw platformError("badRequest", "bucketUrl must be a bucket's plain URL");
        return { provider: "s3", url: `${origin}${pathname.replace(/\/+$/, "")}`, region: "us-east-1" };
      }
      case "gcs": {
        const [endpoint, tokenUrl] = [r2.config["r2.sippy_gcs_endpoint"], r2.config["r2.sippy_gcs_token_url"]];
        return { provider: "gcs", url: `${endpoint}/${given.bucket}`, tokenUrl, clientEmail: given.clientEmail, bucket: given.bucket };
      }
      default:
        throw platformError("notImplemented", "Sippy from Azure is not implemented by this version of Freehold");
    }
  }

  function view(bucket: Bucket) {
    const setting = r2.sippy.setting(bucket.id);
    if (setting === undefined) return { enabled: false };
    const { provider, url, bucket: name } = setting.source;
    return {
      enabled: true,
      source: {
        provider,
        ...(name !== undefined && { bucket: name }),
        ...(setting.source.provider === "aws" && { region: setting.source.region }),
        ...(provider === "s3" && { bucketUrl: url }),
      },
      destination: { provider: "r2", account: r2.accountId, bucket: bucket.name, accessKeyId: setting.destinationKeyId },
    };
  }

  const validate = (method: "POST" | "PUT"): Route =>
    route(r2, `r2.sippy.validate_${method.toLowerCase()}`, method, `${PATH}/validate`, "write", async (context) => {
      const { setting, secrets } = await requested(context);
      try {
        await r2.sippy.trial(setting.source, secrets).check();
      } catch (cause) {
        if (!(cause instanceof SourceError)) throw cause;
        throw r2Error("invalidConfiguration", `The source bucket cannot be read: ${cause.message}`, { cause });
      }
      return { valid: true };
    });

  return [
    route(r2, "r2.sippy.get", "GET", PATH, "read", async (context) => view(await bucketOf(r2, context))),
    route(r2, "r2.sippy.put", "PUT", PATH, "write", async (context) => {
      const { bucket, setting, secrets } = await requested(context);
      await r2.sippy.enable(bucket, setting, secrets);
      return view(bucket);
    }),
    route(r2, "r2.sippy.delete", "DELETE", PATH, "write", async (context) => {
      await r2.sippy.disable(await bucketOf(r2, context));
      return { enabled: false };
    }),
    // The release notes name the path and no method.
    validate("POST"),
    validate("PUT"),
  ];
}

function secretsOf(given: z.infer<typeof source>): SourceSecrets {
  if (given.provider === "gcs") return { privateKey: given.privateKey };
  if (given.provider === "azure") return {};
  return { accessKeyId: given.accessKeyId, secretAccessKey: given.secretAccessKey };
}
