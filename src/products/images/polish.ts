/**
 * Polish: images that a zone's origin answers with, made smaller on their way (docs: Polish). Never larger than they came,
 * without loss unless the zone allows it, and said by `Cf-Polished` what was done. What was made is kept under the image's
 * URL, by what it was made from, so that an image that has changed is made anew.
 */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Sharp } from "sharp";
import type { ContentStore, ImagePolish, Zones } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import { ImageError } from "./errors.ts";
import { type ImageInfo, infoOf } from "./formats.ts";
import { withoutMetadata } from "./jpeg.ts";
import { sharp } from "./sharp.ts";
import { isOurs } from "./source.ts";
import type { Turns } from "./turns.ts";
import type { ZoneSettings } from "./zone-settings.ts";

/** Documented recommendation, past which nothing is tried. */
const INPUT_MAX_BYTES = 20 * 1024 * 1024;
const SIDE_MAX = 4000;
const QUALITY = 85;
const KEEP_MS = 24 * 3600_000;

interface Options {
  readonly lossy: boolean;
  /** The zone has WebP versions, and the client takes them. */
  readonly webp: boolean;
}

interface Polished {
  readonly bytes: Buffer;
  readonly type: string;
  /** Of `Cf-Polished`. */
  readonly status: string;
}

export interface Polishing {
  readonly zones: Zones;
  readonly settings: ZoneSettings;
  readonly cache: ContentStore;
  readonly turns: Turns;
  readonly log: Log;
}

export function polishFor(
  { zones, settings, cache, turns, log }: Polishing,
  url: URL,
  request: IncomingHttpHeaders,
  status: number,
  headers: IncomingHttpHeaders,
): ImagePolish | undefined {
  const zone = zones.ofHost(url.hostname);
  const level = zone === undefined ? "off" : settings.value(zone.id, "polish");
  const type = /^image\/([\w.+-]+)/i.exec(headers["content-type"] ?? "")?.[1]?.toLowerCase();
  if (zone === undefined || level === "off" || status !== 200 || type === undefined || type === "svg+xml") return undefined;
  if (/private|no-store|no-cache/.test(headers["cache-control"] ?? "") || headers["content-encoding"] !== undefined || isOurs(request.via))
    return undefined;
  const size = Number(headers["content-length"]);
  if (!(size > 0)) return undefined;
  const only = (what: string): ImagePolish => ({ headers: { "cf-polished": `status=${what}` } });
  if ((headers.vary ?? "accept-encoding").toLowerCase() !== "accept-encoding") return only("vary_header_present");
  if (!["jpeg", "jpg", "png", "gif"].includes(type)) return only("format_not_supported");
  if (size > INPUT_MAX_BYTES) return only("input_too_large");
  const wantsWebp = settings.value(zone.id, "webp") === "on";
  const options: Options = { lossy: level === "lossy", webp: wantsWebp && /image\/webp/.test(request.accept ?? "") };
  return {
    headers: {},
    async take(body) {
      const key = JSON.stringify(["polish", createHash("sha256").update(body).digest("base64url"), options]);
      const kept = await cache.find(key);
      const made =
        kept === undefined
          ? await turns.take(() => polished(body, options)).catch((error: unknown) => failed(error, body, log))
          : ({ bytes: kept.bytes, type: kept.headers.type, status: kept.headers.status } as Polished);
      if (kept === undefined)
        await cache.put(key, { headers: { type: made.type, status: made.status }, bytes: made.bytes }, { url: url.href, forMs: KEEP_MS });
      const smaller = made.bytes.length < body.length;
      const status = [`origSize=${body.length}`, ...(made.status === "" ? [] : [`status=${made.status}`])].join(", ");
      return {
        bytes: smaller ? made.bytes : body,
        headers: {
          "cf-polished": status,
          ...(smaller && { "content-type": made.type }),
          ...(!smaller && { warning: 'cf-images 299 "original is smaller"' }),
          ...(wantsWebp && { vary: "Accept" }),
        },
      };
    },
  };
}

function failed(error: unknown, bytes: Buffer, log: Log): Polished {
  if (!(error instanceof ImageError)) log.warn("images.polish_failed", { error });
  const tooLarge = error instanceof ImageError && (error.number === 9413 || error.number === 9402);
  return { bytes, type: "", status: tooLarge ? "input_too_large" : error instanceof ImageError ? "cannot_optimize" : "internal_error" };
}

async function polished(bytes: Buffer, { lossy, webp }: Options): Promise<Polished> {
  const info = await infoOf(bytes);
  const original: Polished = { bytes, type: info.type, status: "not_compressed" };
  if (info.width > SIDE_MAX || info.height > SIDE_MAX) return { ...original, status: "input_too_large" };
  if (info.type !== "image/jpeg" && info.type !== "image/png") return original;
  const candidates = await (info.type === "image/jpeg" ? jpegs(bytes, lossy) : pngs(bytes, info, lossy));
  let best = candidates.reduce((least, one) => (one.bytes.length < least.bytes.length ? one : least), original);
  if (!webp || (info.type === "image/jpeg" && !lossy)) return best;
  const converted = await toWebp(bytes, lossy);
  if (converted === undefined) return best;
  if (converted.length < best.bytes.length) best = { bytes: converted, type: "image/webp", status: "" };
  else best = { ...best, status: "webp_bigger" };
  return best;
}

const upright = (bytes: Buffer): Sharp =>
  sharp(bytes, { limitInputPixels: SIDE_MAX * SIDE_MAX })
    .timeout({ seconds: 30 })
    .autoOrient();

async function jpegs(bytes: Buffer, lossy: boolean): Promise<Polished[]> {
  const stripped = withoutMetadata(bytes);
  const found: Polished[] = stripped === undefined ? [] : [{ bytes: stripped, type: "image/jpeg", status: "" }];
  if (lossy)
    found.push({
      bytes: await damaged(upright(bytes).jpeg({ quality: QUALITY, mozjpeg: true })),
      type: "image/jpeg",
      status: `qual=${QUALITY}`,
    });
  return found;
}

async function pngs(bytes: Buffer, info: ImageInfo, lossy: boolean): Promise<Polished[]> {
  const found: Polished[] = [];
  const again = await damaged(sharp(bytes).png({ compressionLevel: 9, effort: 10, adaptiveFiltering: true }));
  // Colours that a profile changes, and depths that are not ours, do not come out as they went in.
  if (await sameInEveryPixel(bytes, again)) found.push({ bytes: again, type: "image/png", status: "" });
  if (lossy) found.push({ bytes: await damaged(upright(bytes).png({ palette: true, quality: 90 })), type: "image/png", status: "" });
  if (lossy && !info.alpha)
    found.push({
      bytes: await damaged(upright(bytes).jpeg({ quality: QUALITY, mozjpeg: true })),
      type: "image/jpeg",
      status: `qual=${QUALITY}`,
    });
  return found;
}

/** Without loss only where it is none. */
async function toWebp(bytes: Buffer, lossy: boolean): Promise<Buffer | undefined> {
  if (lossy) return damaged(upright(bytes).webp({ quality: QUALITY }));
  const converted = await damaged(sharp(bytes).webp({ lossless: true, exact: true }));
  return (await sameInEveryPixel(bytes, converted)) ? converted : undefined;
}

async function sameInEveryPixel(one: Buffer, other: Buffer): Promise<boolean> {
  const { hasProfile, depth } = await sharp(one).metadata();
  if (hasProfile || depth !== "uchar") return false;
  const pixels = (bytes: Buffer): Promise<Buffer> => sharp(bytes).toColourspace("srgb").ensureAlpha().raw().toBuffer();
  return (await pixels(one)).equals(await pixels(other));
}

/** What cannot be decoded is the origin's doing. */
async function damaged(pipeline: Sharp): Promise<Buffer> {
  try {
    return await pipeline.toBuffer();
  } catch (cause) {
    throw new ImageError(9412, "the image is damaged", { cause });
  }
}
