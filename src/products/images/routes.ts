/** REST of hosted images, as the `cloudflare` SDKs and the documentation's curl lines send it. */
import { z } from "zod";
import { readBody } from "../../kernel/api/body.ts";
import { page } from "../../kernel/api/envelope.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import type { BatchTokens } from "./batch.ts";
import { ImageError, imagesError } from "./errors.ts";
import { type UploadForm, uploadForm } from "./form.ts";
import type { HostedImages, Upload } from "./hosted.ts";
import type { SigningKeys } from "./keys.ts";
import { HOSTED_MAX_BYTES } from "./limits.ts";
import { metadataFilters } from "./metadata-filter.ts";
import type { Sources } from "./source.ts";
import { configSchema, type Variants, variantChange, variantSchema } from "./variants.ts";
import type { Views } from "./views.ts";

const ROOT = "/accounts/:account/images";
const V1 = `${ROOT}/v1`;
const V2 = `${ROOT}/v2`;
const READ = ["Images Read", "Images Write"] as const;
const WRITE = ["Images Write"] as const;

const MINUTE_MS = 60_000;
/** Documented life of an upload URL: by default, at least, at most. */
export const EXPIRY = { default: 30 * MINUTE_MS, min: 2 * MINUTE_MS, max: 360 * MINUTE_MS } as const;
/** Between a client's clock and ours, and on the way. */
const SLACK_MS = 5_000;

const directUpload = z.object({
  id: z.string().optional(),
  metadata: z.unknown().optional(),
  requireSignedURLs: z.boolean().optional(),
  creator: z.string().max(1024).optional(),
  expiry: z.string().optional(),
});
const imageChange = z.object({
  metadata: z.unknown().optional(),
  requireSignedURLs: z.boolean().optional(),
  creator: z.string().max(1024).optional(),
});

export function imageRoutes(deps: {
  readonly kernel: KernelSlice;
  readonly hosted: HostedImages;
  readonly variants: Variants;
  readonly keys: SigningKeys;
  readonly views: Views;
  readonly sources: Sources;
  readonly batch: BatchTokens;
}): Route[] {
  const { kernel, hosted, variants, keys, views, sources, batch } = deps;
  const idle = kernel.config["gateway.body_idle_timeout_ms"];
  const param = (c: RequestContext, name: string): string => c.params[name] as string;

  function form(c: RequestContext): Promise<UploadForm> {
    return uploadForm(c.request.body, c.headers.get("content-type"), idle);
  }

  async function uploadOf({ upload, url }: UploadForm): Promise<Upload> {
    if ((upload === undefined) === (url === undefined)) throw imagesError("badRequest", "Either file or url must be given");
    return upload ?? fetched(sources, url as string);
  }

  return [
    {
      op: "images.v1.create",
      method: "POST",
      path: V1,
      permission: WRITE,
      async handle(c) {
        const given = await form(c);
        const image = await hosted.create(await uploadOf(given), given);
        c.audit({ info: "UploadImage", type: "create", resource: { type: "image", id: image.id } });
        return views.image(image);
      },
    },
    {
      op: "images.v1.list",
      method: "GET",
      path: V1,
      permission: READ,
      async handle(c) {
        const number = whole(c.query.get("page"), 1, Number.MAX_SAFE_INTEGER / 1000);
        const perPage = whole(c.query.get("per_page"), 50, 100);
        const images = await hosted.page(number, perPage, c.query.get("creator") ?? undefined);
        const info = { page: number, per_page: perPage, count: images.length, total_count: await hosted.count() };
        return { ...page([], info), result: { images: images.map(views.image) } };
      },
    },
    ...settingRoutes({ variants, keys }),
    {
      op: "images.v1.stats",
      method: "GET",
      path: `${V1}/stats`,
      permission: READ,
      handle: async () => ({ count: { current: await hosted.count(), allowed: hosted.max } }),
    },
    {
      op: "images.v1.batchToken",
      method: "GET",
      path: `${V1}/batch_token`,
      permission: READ,
      handle: async (c) => batch.issue(c.principal),
    },
    {
      op: "images.v1.get",
      method: "GET",
      path: `${V1}/:image`,
      permission: READ,
      handle: async (c) => views.image(await hosted.get(param(c, "image"))),
    },
    {
      op: "images.v1.edit",
      method: "PATCH",
      path: `${V1}/:image`,
      permission: WRITE,
      async handle(c) {
        const image = await hosted.change(param(c, "image"), await c.json(imageChange));
        c.audit({ info: "UpdateImage", type: "update", resource: { type: "image", id: image.id } });
        return views.image(image);
      },
    },
    {
      op: "images.v1.delete",
      method: "DELETE",
      path: `${V1}/:image`,
      permission: WRITE,
      async handle(c) {
        await hosted.remove(param(c, "image"));
        c.audit({ info: "DeleteImage", type: "delete", resource: { type: "image", id: param(c, "image") } });
        return {};
      },
    },
    {
      op: "images.v1.blob",
      method: "GET",
      path: `${V1}/:image/blob`,
      permission: READ,
      async handle(c) {
        const { file, filename } = await hosted.get(param(c, "image"));
        if (file === undefined) throw imagesError("notFound");
        const bytes = await kernel.blobs.bytes(file.blob);
        // A stranger's file, under the API's name: nobody is to open it as a page.
        const headers = {
          "content-type": file.type,
          "content-security-policy": "default-src 'none'; sandbox",
          "x-content-type-options": "nosniff",
          "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent((filename ?? "image").toWellFormed())}`,
        };
        return new Response(new Uint8Array(bytes), { headers });
      },
    },
    {
      op: "images.v2.list",
      method: "GET",
      path: V2,
      permission: READ,
      async handle(c) {
        const limit = whole(c.query.get("per_page"), 1000, 1000);
        const order = c.query.get("sort_order") ?? "desc";
        if (order !== "asc" && order !== "desc") throw imagesError("badRequest", "sort_order: asc or desc");
        const after = tokenOf(c.query.get("continuation_token"));
        const creator = c.query.get("creator") ?? undefined;
        const query = { limit: limit + 1, ascending: order === "asc", after, creator, filters: metadataFilters(c.query) };
        const images = await hosted.list(query);
        const shown = images.slice(0, limit);
        const last = shown.at(-1);
        return {
          images: shown.map(views.image),
          continuation_token: images.length > limit && last !== undefined ? continuation(last) : null,
        };
      },
    },
    {
      op: "images.v2.directUpload",
      method: "POST",
      path: `${V2}/direct_upload`,
      permission: WRITE,
      async handle(c) {
        const asForm = /^multipart\/form-data/i.test(c.headers.get("content-type") ?? "");
        const given = asForm ? await form(c) : await jsonOrNothing(c);
        const image = await hosted.draft(given, expiryOf(given.expiry, kernel.clock.now()));
        c.audit({ info: "CreateDirectUpload", type: "create", resource: { type: "image", id: image.id } });
        return { id: image.id, uploadURL: views.uploadUrl(image.id) };
      },
    },
  ];

  /** Every option has a default: a body may be missing. */
  async function jsonOrNothing(c: RequestContext): Promise<z.infer<typeof directUpload>> {
    if (c.request.body === null || c.headers.get("content-length") === "0") {
      await readBody(c.request.body, { maxBytes: 1, idleTimeoutMs: idle });
      return {};
    }
    return c.json(directUpload);
  }
}

function settingRoutes({ variants, keys }: { variants: Variants; keys: SigningKeys }): Route[] {
  const id = (c: RequestContext): string => c.params.variant as string;
  const change = (c: RequestContext, info: string, type: "create" | "update" | "delete", resource: string, name: string): void =>
    c.audit({ info, type, resource: { type: resource, id: name } });
  return [
    {
      op: "images.variants.list",
      method: "GET",
      path: `${V1}/variants`,
      permission: READ,
      handle: async () => ({ variants: Object.fromEntries(variants.all().map((variant) => [variant.id, variant])) }),
    },
    {
      op: "images.variants.create",
      method: "POST",
      path: `${V1}/variants`,
      permission: WRITE,
      async handle(c) {
        const variant = await variants.create(await c.json(variantSchema));
        change(c, "CreateVariant", "create", "variant", variant.id);
        return { variant };
      },
    },
    {
      op: "images.variants.get",
      method: "GET",
      path: `${V1}/variants/:variant`,
      permission: READ,
      async handle(c) {
        const variant = variants.get(id(c));
        if (variant === undefined) throw imagesError("variantNotFound");
        return { variant };
      },
    },
    {
      op: "images.variants.edit",
      method: "PATCH",
      path: `${V1}/variants/:variant`,
      permission: WRITE,
      async handle(c) {
        const variant = await variants.change(id(c), await c.json(variantChange));
        change(c, "UpdateVariant", "update", "variant", variant.id);
        return { variant };
      },
    },
    {
      op: "images.variants.delete",
      method: "DELETE",
      path: `${V1}/variants/:variant`,
      permission: WRITE,
      async handle(c) {
        await variants.remove(id(c));
        change(c, "DeleteVariant", "delete", "variant", id(c));
        return {};
      },
    },
    {
      op: "images.config.edit",
      method: "PATCH",
      path: `${V1}/config`,
      permission: WRITE,
      async handle(c) {
        const config = await variants.configure(await c.json(configSchema));
        change(c, "UpdateImagesConfig", "update", "config", "delivery");
        return config;
      },
    },
    {
      op: "images.keys.list",
      method: "GET",
      path: `${V1}/keys`,
      permission: READ,
      handle: async () => ({ keys: keys.all() }),
    },
    {
      op: "images.keys.update",
      method: "PUT",
      path: `${V1}/keys/:key`,
      permission: WRITE,
      async handle(c) {
        const name = c.params.key as string;
        if (!/^[\w.-]{1,64}$/.test(name)) throw imagesError("badRequest", "A key's name: letters, digits, _ . and -, at most 64");
        await keys.create(name);
        change(c, "CreateSigningKey", "create", "signing_key", name);
        return { keys: keys.all() };
      },
    },
    {
      op: "images.keys.delete",
      method: "DELETE",
      path: `${V1}/keys/:key`,
      permission: WRITE,
      async handle(c) {
        await keys.remove(c.params.key as string);
        change(c, "DeleteSigningKey", "delete", "signing_key", c.params.key as string);
        return { keys: keys.all() };
      },
    },
  ];
}

/** The image that a URL gives. Documented: an error of its server is a 4xx of ours. */
async function fetched(sources: Sources, text: string): Promise<Upload> {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw imagesError("badRequest", "url: it must be one of http or https");
  try {
    const { bytes } = await sources.fetch(url, { maxBytes: HOSTED_MAX_BYTES });
    return { bytes, filename: url.pathname.split("/").at(-1) || undefined };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw error.number === 9402 ? imagesError("tooLarge") : imagesError("badRequest", error.text, { cause: error });
  }
}

/** When an upload URL ends. Throws `images.badRequest` outside the documented window. */
export function expiryOf(text: string | undefined, now: number): number {
  if (text === undefined) return now + EXPIRY.default;
  const at = Date.parse(text);
  if (!(at >= now + EXPIRY.min - SLACK_MS && at <= now + EXPIRY.max + SLACK_MS))
    throw imagesError("badRequest", "expiry: a time from two minutes to six hours ahead");
  return at;
}

function whole(text: string | null, fallback: number, max: number): number {
  const value = Number(text);
  return text === null || !Number.isInteger(value) || value < 1 ? fallback : Math.min(max, value);
}

export const continuation = ({ uploaded, id }: { uploaded: number; id: string }): string =>
  Buffer.from(JSON.stringify([1, uploaded, id])).toString("base64url");

export function tokenOf(text: string | null): { uploaded: number; id: string } | undefined {
  if (text === null || text === "") return undefined;
  try {
    const [version, uploaded, id] = JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as [number, number, string];
    if (version === 1 && Number.isSafeInteger(uploaded) && typeof id === "string") return { uploaded, id };
  } catch {
    // It is refused like any other text that is no token.
  }
  throw imagesError("badRequest", "continuation_token: it is none of ours");
}
