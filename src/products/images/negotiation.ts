/**
 * As what a picture is delivered: its format by what was asked for and by what the client takes, its quality, and widths
 * and qualities that depend on the client (docs: Images, Transform via URL; Make responsive images). Pure.
 */
import type { ImageInfo, ImageType } from "./formats.ts";
import type { Size } from "./geometry.ts";
import { AVIF_ASKED_SIDE_MAX, AVIF_SIDE_MAX } from "./limits.ts";
import type { Requested } from "./options.ts";

/** Headers of a client's request, by names in lower case. */
export type ClientHeaders = Readonly<Record<string, string | string[] | undefined>>;

const header = (headers: ClientHeaders, name: string): string => String(headers[name] ?? "");

/** Which newer formats the client says it takes. */
export interface Accepted {
  readonly avif: boolean;
  readonly webp: boolean;
}

export function acceptedBy(headers: ClientHeaders): Accepted {
  const accept = header(headers, "accept");
  return { avif: /image\/avif/i.test(accept), webp: /image\/webp/i.test(accept) };
}

/** Documented widths of `width=auto`: large desktop, desktop, tablet, mobile. */
const WIDTHS = [1200, 960, 768, 320] as const;

/** By client hints where there are any, else by the kind of device that the user agent names. */
export function automaticWidth(headers: ClientHeaders): number {
  const viewport = Number.parseFloat(header(headers, "sec-ch-viewport-width") || header(headers, "viewport-width"));
  if (Number.isFinite(viewport) && viewport > 0) {
    const density = Number.parseFloat(header(headers, "sec-ch-dpr") || header(headers, "dpr"));
    const wanted = viewport * (Number.isFinite(density) && density > 0 ? density : 1);
    // The smallest that fills the screen, or the largest there is.
    return [...WIDTHS].reverse().find((width) => width >= wanted) ?? WIDTHS[0];
  }
  const agent = header(headers, "user-agent");
  const [, desktop, tablet, mobile] = WIDTHS;
  if (/iPad|Tablet|Android(?!.*Mobile)/i.test(agent)) return tablet;
  return /Mobi|iPhone|iPod|Android/i.test(agent) ? mobile : desktop;
}

/** Documented bounds of a slow connection, each told by a hint. */
export function isSlow(headers: ClientHeaders): boolean {
  const number = (name: string): number => Number.parseFloat(header(headers, name));
  return (
    number("rtt") > 150 ||
    header(headers, "save-data").toLowerCase() === "on" ||
    /^(slow-2g|2g|3g)$/i.test(header(headers, "ect")) ||
    number("downlink") < 5
  );
}

/** The options as they are for this client: a width in pixels, one quality. */
export function resolved(options: Requested, headers: ClientHeaders): Omit<Requested, "width"> & { width?: number | undefined } {
  const { width, "slow-connection-quality": slow, quality, ...rest } = options;
  return {
    ...rest,
    ...(width !== undefined && { width: width === "auto" ? automaticWidth(headers) : width }),
    ...{ quality: slow !== undefined && isSlow(headers) ? slow : quality },
  };
}

/** Qualities by their names; the real service chooses by what the eye sees. */
const NAMED = { low: 35, "medium-low": 50, "medium-high": 70, high: 90 } as const;
export const qualityOf = (quality: Requested["quality"]): number | undefined => (typeof quality === "string" ? NAMED[quality] : quality);

export interface Choice {
  readonly type: ImageType;
  readonly baseline?: boolean;
}

interface Asked {
  readonly format: Requested["format"] | "original";
  readonly anim: boolean;
  readonly fast: boolean;
}

/** Types that come in and are not delivered for want of a better one. */
const UNSERVED: ReadonlySet<string> = new Set(["image/svg+xml", "image/avif", "image/heic"]);
const STILL: ReadonlySet<string> = new Set(["jpeg", "baseline-jpeg", "png", "png-force"]);

/** Whether the frames of an animation are wanted in what comes out. */
export const keepsFrames = ({ frames }: ImageInfo, { format, anim }: Asked): boolean => frames > 1 && anim && !STILL.has(format ?? "");

/**
 * The format. `opaque`: nothing is seen through the picture. `moving`: it has kept its frames. Where `format` is "original"
 * the client's newest comes first, and the file's own is the last resort: hosted images.
 */
export function chooseFormat(
  info: ImageInfo,
  size: Size,
  opaque: boolean,
  moving: boolean,
  { format, fast }: Asked,
  accepted: Accepted,
): Choice {
  const longest = Math.max(size.width, size.height);
  if (moving)
    return {
      type:
        format === "webp" || format === "avif" || ((format === "auto" || format === "original") && accepted.webp)
          ? "image/webp"
          : "image/gif",
    };
  const standard: Choice = { type: opaque ? "image/jpeg" : "image/png" };
  if (fast && format !== "png" && format !== "png-force") return standard;
  switch (format) {
    case "avif":
      return { type: longest <= AVIF_ASKED_SIDE_MAX ? "image/avif" : "image/webp" };
    case "webp":
      return { type: "image/webp" };
    case "jpeg":
      return { type: "image/jpeg" };
    case "baseline-jpeg":
      return { type: "image/jpeg", baseline: true };
    case "png":
    case "png-force":
      return { type: "image/png" };
    case "auto":
    case "original":
      if (accepted.avif && longest <= AVIF_SIDE_MAX) return { type: "image/avif" };
      if (accepted.webp) return { type: "image/webp" };
      return format === "auto" || UNSERVED.has(info.type) ? standard : { type: info.type };
    default:
      return standard;
  }
}
