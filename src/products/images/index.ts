/**
 * Images: hosted ones with their variants, images from elsewhere transformed by URL and by Workers' fetch(), and the binding
 * `images`. This file puts the parts together; see README.md for the surface.
 */
import type { HostRoute, KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { batchTokens } from "./batch.ts";
import { imagesBinding, imagesServer } from "./binding.ts";
import { CUSTOM_PREFIX, imageDelivery } from "./delivery.ts";
import { openHostedImages } from "./hosted.ts";
import { hostedBinding } from "./hosted-binding.ts";
import { openSigningKeys } from "./keys.ts";
import { migrations } from "./migrations.ts";
import { uploadNotices } from "./notices.ts";
import { polishFor } from "./polish.ts";
import { imageRoutes } from "./routes.ts";
import { openSources } from "./source.ts";
import { CF_HEADER, imageTransforms, PROTO_HEADER, TRANSFORM_PREFIX } from "./transforms.ts";
import { openTurns } from "./turns.ts";
import { creatorUploads } from "./uploads.ts";
import { openUsage } from "./usage.ts";
import { openVariants } from "./variants.ts";
import { BATCH_HOST, DELIVERY_HOST, imageViews, UPLOAD_HOST } from "./views.ts";
import { openZoneSettings } from "./zone-settings.ts";

export const images = {
  name: "images",
  status: "beta",
  needs: ["contentCache", "notifier", "zones"],
  provides: ["imageTransforms"],
  migrations,
  permissions: [
    { id: "0cf6473ad41449e7b7b743d14fc20c60", name: "Images Read", scopes: ["com.cloudflare.api.account"] },
    { id: "618ec6c64a3a42f8b08bdcb147ded4e4", name: "Images Write", scopes: ["com.cloudflare.api.account"] },
    { id: "517b21aee92c4d89936c976ba6e4be55", name: "Zone Settings Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "3030687196b94b638145a3953da2b699", name: "Zone Settings Write", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { config, accountId, urls, mint } = kernel;
  const zones = kernel.get("zones");
  const cache = kernel.get("contentCache").open("images");
  const turns = openTurns(config["images.transforms_at_once"], config["images.transforms_waiting_max"]);
  const variants = await openVariants(kernel.meta);
  const keys = await openSigningKeys(kernel);
  const settings = await openZoneSettings(kernel, zones);
  const hosted = openHostedImages(kernel);
  const views = imageViews(accountId, urls, variants);
  const sources = openSources(kernel, zones, cache);
  const batch = batchTokens(kernel);
  const usage = openUsage(kernel);
  const delivery = imageDelivery({ kernel, hosted, variants, keys, views, cache, turns });
  const uploads = creatorUploads(kernel, hosted, views, uploadNotices(kernel.get("notifier")));
  const transforms = imageTransforms({ kernel, zones, settings, sources, cache, turns, usage });
  const serveBinding = imagesServer(kernel, turns, sources);
  const serveHosted = hostedBinding({ kernel, hosted, keys, views });

  const hosts: HostRoute[] = [
    {
      name: "imagedelivery",
      patterns: [DELIVERY_HOST],
      publicHosts: ["imagedelivery.net"],
      template: `/${views.hash}`,
      wholeHost: true,
      handle: (_params, request, response) => delivery.handle(request, response),
    },
    {
      name: "imagedelivery_upload",
      patterns: [UPLOAD_HOST],
      publicHosts: ["upload.imagedelivery.net"],
      template: `/${views.hash}`,
      wholeHost: true,
      handle: (_params, request, response) => uploads.handle(request, response),
    },
    {
      name: "imagedelivery_batch",
      patterns: [BATCH_HOST],
      publicHosts: ["batch.imagedelivery.net"],
      template: "/images",
      wholeHost: true,
      handle: (_params, request, response) => batch.handle(request, response),
    },
    {
      name: "images_on_zones",
      patterns: [],
      paths: [TRANSFORM_PREFIX, CUSTOM_PREFIX],
      resolve: (host) => (zones.ofHost(host) === undefined ? undefined : {}),
      handle: (_params, request, response) =>
        request.url?.startsWith(TRANSFORM_PREFIX) === true ? transforms.handleUrl(request, response) : delivery.handle(request, response),
    },
  ];

  return {
    routes: [...imageRoutes({ kernel, hosted, variants, keys, views, sources, batch }), ...settings.routes],
    hosts,
    bindings: { images: imagesBinding(kernel) },
    internal(claims, request, response) {
      if (claims.kind === "fetch") return transforms.handleFetch(claims, request, response);
      return claims.kind === "hosted" ? serveHosted(request, response) : serveBinding(request, response);
    },
    offers: {
      imageTransforms: {
        allows: (zone, url) => settings.value(zone.id, "transformations") !== "off" && (url === undefined || settings.allows(zone, url)),
        polish: (url, request, { status, headers }) =>
          polishFor({ zones, settings, cache, turns, log: kernel.log }, url, request, status, headers),
        service: (name, names) =>
          mint.node(name, { kind: "fetch", zones: names.join(" ") }, { cfBlobHeader: CF_HEADER, forwardedProtoHeader: PROTO_HEADER }),
      },
    },
    check: async () => ({ ok: true, detail: `${await hosted.count()} images, ${await usage.count()} unique transformations this month` }),
    stop: () => sources.close(),
  };
}
