/** The platform's side of `env.IMAGES.hosted` (`hosted-binding.worker.ts`): each call is a path, its options a query. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { parseJson, parseWith, readBody } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { imagesError } from "./errors.ts";
import type { HostedImages } from "./hosted.ts";
import type { SigningKeys } from "./keys.ts";
import { HOSTED_MAX_BYTES } from "./limits.ts";
import { type MetadataFilter, metadataFilter } from "./metadata-filter.ts";
import { continuation, EXPIRY, expiryOf, tokenOf } from "./routes.ts";
import type { Views } from "./views.ts";

const description = {
  requireSignedURLs: z.boolean().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  creator: z.string().max(1024).optional(),
};
const id = z.string().min(1);
const scalar = z.union([z.string(), z.number(), z.boolean()]);
const operators = z.strictObject({
  eq: scalar.optional(),
  in: z.union([z.array(z.string()), z.array(z.number())]).optional(),
  ...{ gt: z.number().optional(), gte: z.number().optional(), lt: z.number().optional(), lte: z.number().optional() },
});
const schemas = {
  upload: z.object({
    ...description,
    id: id.optional(),
    filename: z.string().max(1024).optional(),
    encoding: z.literal("base64").optional(),
  }),
  update: z.object({ ...description, id }),
  list: z.object({
    limit: z.number().int().min(1).max(1000).optional(),
    cursor: z.string().optional(),
    sortOrder: z.enum(["asc", "desc"]).optional(),
    creator: z.string().optional(),
    filter: z.object({ metadata: z.record(z.string(), z.union([scalar, operators])).optional() }).optional(),
  }),
  direct: z.object({ ...description, id: id.optional(), expiresIn: z.number().positive().optional() }),
  signed: z.object({ id, variant: z.string().min(1), expiresIn: z.number().positive().optional(), keyName: z.string().optional() }),
  one: z.object({ id }),
};

const HOUR_S = 3600;
/** Base64 is a third longer than what it stands for. */
const BODY_MAX_BYTES = Math.ceil((HOSTED_MAX_BYTES * 4) / 3) + 4;

export function hostedBinding(deps: {
  readonly kernel: KernelSlice;
  readonly hosted: HostedImages;
  readonly keys: SigningKeys;
  readonly views: Views;
}) {
  const { kernel, hosted, keys, views } = deps;

  const calls: Readonly<Record<string, (options: unknown, request: IncomingMessage) => Promise<unknown>>> = {
    async upload(options, request) {
      const { encoding, filename, ...given } = parseWith(schemas.upload, options);
      const body = await readBody(request, { maxBytes: BODY_MAX_BYTES, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] });
      const bytes = encoding === "base64" ? Buffer.from(body.toString("latin1"), "base64") : body;
      return views.image(await hosted.create({ bytes, filename }, given));
    },
    async list(options) {
      const { limit = 1000, cursor, sortOrder = "desc", creator, filter } = parseWith(schemas.list, options);
      const filters = filtersOf(filter?.metadata ?? {});
      const found = await hosted.list({
        limit: limit + 1,
        ascending: sortOrder === "asc",
        after: tokenOf(cursor ?? null),
        creator,
        filters,
      });
      const shown = found.slice(0, limit);
      const last = shown.at(-1);
      const more = found.length > limit && last !== undefined;
      return { images: shown.map(views.image), ...(more && { cursor: continuation(last) }), listComplete: !more };
    },
    async "direct-upload"(options) {
      const { expiresIn, ...given } = parseWith(schemas.direct, options);
      const now = kernel.clock.now();
      const expires = expiresIn === undefined ? now + EXPIRY.default : expiryOf(new Date(now + expiresIn * 1000).toISOString(), now);
      const image = await hosted.draft(given, expires);
      return { id: image.id, uploadURL: views.uploadUrl(image.id) };
    },
    async details(options) {
      const image = await hosted.find(parseWith(schemas.one, options).id);
      return image === undefined ? null : views.image(image);
    },
    async update(options) {
      const { id: name, ...change } = parseWith(schemas.update, options);
      return views.image(await hosted.change(name, change));
    },
    async delete(options) {
      const { id: name } = parseWith(schemas.one, options);
      if ((await hosted.find(name)) === undefined) return false;
      await hosted.remove(name);
      return true;
    },
    async "signed-url"(options) {
      const { id: name, variant, expiresIn = HOUR_S, keyName } = parseWith(schemas.signed, options);
      await hosted.get(name);
      const url = new URL(views.url(name, variant));
      url.searchParams.set("exp", String(Math.floor(kernel.clock.now() / 1000 + expiresIn)));
      const signature = keys.sign(`${url.pathname}${url.search}`, keyName);
      if (signature === undefined) throw imagesError("keyNotFound");
      url.searchParams.set("sig", signature);
      return url.href;
    },
  };

  async function bytes(options: unknown, response: ServerResponse): Promise<void> {
    const image = await hosted.find(parseWith(schemas.one, options).id);
    if (image?.file === undefined) return void response.writeHead(204).end();
    response.writeHead(200, { "content-length": image.file.size }).end(await kernel.blobs.bytes(image.file.blob));
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const { pathname, searchParams } = new URL(request.url as string, "http://images");
      const name = pathname.slice(1);
      const options = parseJson(searchParams.get("options") ?? "{}");
      if (name === "bytes") return await bytes(options, response);
      const answer = Object.hasOwn(calls, name) ? await calls[name]?.(options, request) : undefined;
      const body = JSON.stringify(answer ?? null);
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
    } catch (error) {
      request.resume();
      if (!(error instanceof PlatformError)) throw error;
      response.writeHead(error.spec.status, { "content-type": "application/json" });
      response.end(JSON.stringify({ code: error.spec.apiCode, message: error.message }));
    }
  };
}

function filtersOf(metadata: Readonly<Record<string, unknown>>): MetadataFilter[] {
  return Object.entries(metadata).flatMap(([path, wanted]) => {
    const tests = typeof wanted === "object" && wanted !== null ? wanted : { eq: wanted };
    return Object.entries(tests).map(([operator, value]) => metadataFilter(path.split("."), operator, [value].flat()));
  });
}
