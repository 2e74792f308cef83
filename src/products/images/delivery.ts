/**
 * Hosted images as everybody sees them: `/{account hash}/{id}/{variant}` on the delivery host, and under
 * `/cdn-cgi/imagedelivery/` on every zone. A private image needs a signed URL unless the variant is always public; what has
 * been made of an image is kept in the content cache under its file's name, which no other file ever has.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ContentStore } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { answerError, answerImage } from "./answer.ts";
import { ImageError } from "./errors.ts";
import type { HostedImage, HostedImages } from "./hosted.ts";
import { imageIdOf } from "./image-path.ts";
import type { SigningKeys } from "./keys.ts";
import { acceptedBy, resolved } from "./negotiation.ts";
import type { Requested } from "./options.ts";
import { type Job, rendered } from "./transformation.ts";
import type { Turns } from "./turns.ts";
import { looksLikeOptions, urlOptionsOf } from "./url-options.ts";
import { DEFAULT_BROWSER_TTL_S, type Variants } from "./variants.ts";
import type { Views } from "./views.ts";

/** Prefix of delivery URLs on zones. */
export const CUSTOM_PREFIX = "/cdn-cgi/imagedelivery/";
/** Results are kept for this long, or as long as there is room. */
const KEEP_MS = 30 * 24 * 3600_000;
/** Documented, behind the browser's own time. */
const STALE_S = 7200;
const HOUR_S = 3600;

interface Delivered {
  readonly image: HostedImage & { readonly file: NonNullable<HostedImage["file"]> };
  readonly options: Job["options"];
  readonly cacheControl: string;
}

export function imageDelivery(deps: {
  readonly kernel: KernelSlice;
  readonly hosted: HostedImages;
  readonly variants: Variants;
  readonly keys: SigningKeys;
  readonly views: Views;
  readonly cache: ContentStore;
  readonly turns: Turns;
}) {
  const { kernel, hosted, variants, keys, views, cache, turns } = deps;

  /** What a path and query mean. Throws `ImageError`. */
  async function find(request: IncomingMessage): Promise<Delivered> {
    const target = request.url as string;
    const question = target.indexOf("?");
    const path = question < 0 ? target : target.slice(0, question);
    const [, hash, ...rest] = path.replace(CUSTOM_PREFIX, "/").split("/");
    const variantName = rest.pop();
    const id = imageIdOf(rest);
    if (hash !== views.hash || variantName === undefined || id === undefined) throw notFound();
    const image = await hosted.find(id);
    if (image?.file === undefined) throw notFound();
    const delivered = { ...image, file: image.file };
    const named = variants.get(variantName);
    const flexible = named === undefined && looksLikeOptions(variantName);
    if (named === undefined && !flexible) throw notFound();
    if (flexible && !variants.config().flexible_variants) throw new ImageError(9401, "Flexible variants are not enabled", { status: 403 });
    if (image.signed && named?.neverRequireSignedURLs !== true) {
      if (flexible) throw new ImageError(9401, "Flexible variants cannot be used with signed URLs", { status: 403 });
      const seconds = secondsLeft(target, question < 0 ? "" : target.slice(question + 1));
      return { image: delivered, options: variantOptions(named?.options), cacheControl: `private, max-age=${seconds}` };
    }
    const seconds = named?.options.browser_ttl ?? variants.config().browser_ttl ?? DEFAULT_BROWSER_TTL_S;
    return {
      image: delivered,
      options: flexible ? hostedOptions(resolved(urlOptionsOf(variantName), request.headers)) : variantOptions(named?.options),
      cacheControl: `public, max-age=${seconds}, stale-while-revalidate=${STALE_S}`,
    };
  }

  /** Of a signed URL that is good, the seconds until it ends. Throws `ImageError`. */
  function secondsLeft(target: string, query: string): number {
    const refused = (why: string): ImageError => new ImageError(9401, why, { status: 403 });
    const params = new URLSearchParams(query);
    const signature = params.get("sig");
    if (signature === null) throw refused("This image needs a signed URL");
    // The signature covers the query as it was before it was added, at the end as documented; that of the path on the delivery host.
    params.delete("sig");
    const path = target.slice(0, target.indexOf("?")).replace(CUSTOM_PREFIX, "/");
    const signed =
      params.size === 0 ? [path, `${path}?`] : [`${path}?${params.toString()}`, `${CUSTOM_PREFIX}${path.slice(1)}?${params.toString()}`];
    if (!signed.some((text) => keys.verifies(text, signature))) throw refused("The signature does not match");
    const expires = params.get("exp");
    if (expires === null) return HOUR_S;
    const left = Number(expires) - Math.floor(kernel.clock.now() / 1000);
    if (!(left > 0)) throw refused("The signed URL has expired");
    return left;
  }

  return {
    async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
      request.resume();
      try {
        if (request.method !== "GET" && request.method !== "HEAD") throw new ImageError(9401, "GET and HEAD only", { status: 405 });
        const { image, options, cacheControl } = await find(request);
        const accepted = acceptedBy(request.headers);
        const key = JSON.stringify(["hosted", image.file.blob, options, accepted]);
        const kept = await cache.find(key);
        const made =
          kept === undefined
            ? await turns.take(async () => rendered({ bytes: Buffer.from(await kernel.blobs.bytes(image.file.blob)), options, accepted }))
            : { type: kept.headers["content-type"] as string, bytes: kept.bytes };
        if (kept === undefined) await cache.put(key, { headers: { "content-type": made.type }, bytes: made.bytes }, { forMs: KEEP_MS });
        const etag = `"cf-${createHash("sha256").update(key).digest("hex").slice(0, 24)}:${image.file.blob.slice(0, 16)}"`;
        answerImage(request, response, made, {
          "cache-control": cacheControl,
          etag,
          vary: "Accept",
          "last-modified": new Date(image.uploaded).toUTCString(),
          "cf-cache-status": kept === undefined ? "MISS" : "HIT",
          "cf-resized": "internal=ok",
        });
      } catch (error) {
        answerError(request, response, error, kernel.log);
      }
    },
  };
}

const notFound = (): ImageError => new ImageError(9404, "Image not found");

const variantOptions = (options: Partial<NonNullable<ReturnType<Variants["get"]>>["options"]> = {}): Job["options"] => {
  const { fit, width, height, metadata, blur } = options;
  return { fit, width, height, metadata, blur, format: "original" };
};

/** Unless another format is asked for, the client's newest. */
const hostedOptions = (options: Omit<Requested, "width"> & { width?: number | undefined }): Job["options"] => ({
  ...options,
  format: options.format === undefined || options.format === "auto" ? "original" : options.format,
});
