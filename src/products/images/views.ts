/** Hosted images as the API shows them, and their URLs. */
import { createHash } from "node:crypto";
import type { PlatformUrls } from "../../kernel/product.ts";
import type { HostedImage } from "./hosted.ts";
import type { Variants } from "./variants.ts";

/** Host names under the platform's domain; the real service's are these under imagedelivery.net. */
export const DELIVERY_HOST = "imagedelivery";
export const UPLOAD_HOST = "upload.imagedelivery";
export const BATCH_HOST = "batch.imagedelivery";

/** The account's name in URLs of its images: says nothing of the account's id. */
export const accountHash = (accountId: string): string =>
  createHash("sha256").update(`images account ${accountId}`).digest().subarray(0, 16).toString("base64url");

export interface ImageView {
  readonly id: string;
  readonly filename?: string;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly uploaded: string;
  readonly requireSignedURLs: boolean;
  readonly variants: readonly string[];
  readonly creator?: string;
  readonly draft?: true;
}

export interface Views {
  readonly hash: string;
  image(image: HostedImage): ImageView;
  /** Where an image is delivered as a variant. */
  url(id: string, variant: string): string;
  uploadUrl(id: string): string;
}

export function imageViews(accountId: string, urls: PlatformUrls, variants: Variants): Views {
  const hash = accountHash(accountId);
  const url = (id: string, variant: string): string => `${urls.host(DELIVERY_HOST)}/${hash}/${pathOf(id)}/${variant}`;
  return {
    hash,
    url,
    uploadUrl: (id) => `${urls.host(UPLOAD_HOST)}/${hash}/${pathOf(id)}`,
    image: ({ id, filename, meta, uploaded, signed, creator, file }) => ({
      id,
      ...(filename !== null && { filename }),
      // The SDK's name and the documentation's.
      ...(Object.keys(meta).length > 0 && { meta, metadata: meta }),
      uploaded: new Date(uploaded).toISOString(),
      requireSignedURLs: signed,
      variants: variants.all().map((variant) => url(id, variant.id)),
      ...(creator !== null && { creator }),
      ...(file === undefined && { draft: true as const }),
    }),
  };
}

/** An id in a path: its slashes are the path's, `%` becomes `%25` as documented. */
const pathOf = (id: string): string => id.split("/").map(encodeURIComponent).join("/");
