/**
 * What a file is, by its first bytes alone: whatever is none of the formats that come in never reaches a decoder. The
 * size of a picture is read from its head and bounded before anything is decoded.
 */
import type { Metadata } from "sharp";
import { ImageError } from "./errors.ts";
import type { Size } from "./geometry.ts";
import { ANIMATED_PIXELS_MAX, PIXELS_MAX, SIDE_MAX } from "./limits.ts";
import { sharp } from "./sharp.ts";

export type ImageType = "image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/avif" | "image/heic" | "image/svg+xml";

export interface ImageInfo extends Size {
  readonly type: ImageType;
  readonly fileSize: number;
  /** 1 for a still. */
  readonly frames: number;
  /** Milliseconds that each frame is shown. */
  readonly delays: readonly number[];
  /** How often the animation runs; 0 for ever. */
  readonly loop: number;
  readonly alpha: boolean;
  /** An animation larger than documented, which is passed through as it is. */
  readonly oversized: boolean;
  /** EXIF data as it stands in the file. */
  readonly exif: Buffer | undefined;
}

const startsWith = (bytes: Buffer, text: string, at = 0): boolean => bytes.toString("latin1", at, at + text.length) === text;

/** Undefined for what is no image that comes in. */
export function typeOf(bytes: Buffer): ImageType | undefined {
  if (startsWith(bytes, "\xff\xd8\xff")) return "image/jpeg";
  if (startsWith(bytes, "\x89PNG\r\n\x1a\n")) return "image/png";
  if (startsWith(bytes, "GIF87a") || startsWith(bytes, "GIF89a")) return "image/gif";
  if (startsWith(bytes, "RIFF") && startsWith(bytes, "WEBP", 8)) return "image/webp";
  if (startsWith(bytes, "ftyp", 4)) return heifTypeOf(bytes);
  return isSvg(bytes) ? "image/svg+xml" : undefined;
}

/** AVIF and HEIC are one container: its brands say which. */
function heifTypeOf(bytes: Buffer): ImageType | undefined {
  const brands = bytes.toString("latin1", 8, Math.min(bytes.readUInt32BE(0), 256)).match(/.{4}/gs) ?? [];
  if (brands.some((brand) => /^avi[fs]$/.test(brand))) return "image/avif";
  return brands.some((brand) => /^hei[cxms]$/.test(brand)) ? "image/heic" : undefined;
}

/** A document whose first element is `svg`. */
function isSvg(bytes: Buffer): boolean {
  const head = bytes.toString("utf8", 0, 64 * 1024).replace(/^\ufeff/, "");
  return /^\s*(?:<\?xml[^>]*>\s*|<!--[\s\S]*?-->\s*|<!DOCTYPE\s+(?:\w+:)?svg\b[^[>]*(?:\[[\s\S]*?\]\s*)?>\s*)*<(?:\w+:)?svg[\s/>]/i.test(
    head,
  );
}

/** Throws 9412 for what is no image or damaged at its head, 9413 and 9402 for one that is too large. */
export async function infoOf(bytes: Buffer): Promise<ImageInfo> {
  const type = typeOf(bytes);
  if (type === undefined) throw new ImageError(9412, "the input is not an image that can be read");
  const still = { frames: 1, delays: [], loop: 0, oversized: false, exif: undefined, fileSize: bytes.byteLength } as const;
  if (type === "image/svg+xml") return { ...still, type, width: 0, height: 0, alpha: true };
  const head = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw new ImageError(9412, "the image cannot be read", { cause });
    });
  const size = sizeOf(head);
  const frames = head.pages ?? 1;
  return {
    ...still,
    type,
    ...size,
    frames,
    delays: head.delay ?? [],
    loop: head.loop ?? 0,
    alpha: head.hasAlpha === true,
    oversized: frames > 1 && size.width * size.height * frames > ANIMATED_PIXELS_MAX,
    exif: head.exif,
  };
}

/** Of one frame, as it is seen: a camera held upright is noted in EXIF. */
function sizeOf({ format, width, height, pageHeight, orientation = 1 }: Metadata): Size {
  const tall = pageHeight ?? height;
  if (width * tall > PIXELS_MAX) throw new ImageError(9413, "the image exceeds the maximum image area of 100 megapixels");
  if (width > SIDE_MAX || tall > SIDE_MAX) throw new ImageError(9402, `the image is longer than ${SIDE_MAX} pixels`);
  // libheif has turned the picture already.
  return orientation >= 5 && format !== "heif" ? { width: tall, height: width } : { width, height: tall };
}
