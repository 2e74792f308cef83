/** Pictures as files. Which format is chosen for a client is `negotiation.ts`'s matter; here one is made. */
import type { Sharp } from "sharp";
import { ImageError } from "./errors.ts";
import { copyrightOf, withExif } from "./exif.ts";
import { PROGRESSIVE_MAX, PROGRESSIVE_MIN } from "./limits.ts";
import { colourOf, failure, open, openAll, type Picture } from "./picture.ts";

export interface Output {
  /** Media type, or "rgb" and "rgba" for raw pixels. */
  readonly format: string;
  /** 1 to 100; absent is the documented default. */
  readonly quality?: number | undefined;
  /** Under what is seen through. */
  readonly background?: string | undefined;
  /** JPEG in one pass. */
  readonly baseline?: boolean | undefined;
  /** The least work instead of the smallest file. */
  readonly fast?: boolean | undefined;
  /** EXIF data of the source, and what a JPEG keeps of it. */
  readonly exif?: Buffer | undefined;
  readonly metadata?: "keep" | "copyright" | "none" | undefined;
}

export interface File {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Formats that have animations; of one, others have the first frame. */
const MOVING = new Set(["image/gif", "image/webp"]);
/** Documented default. */
const QUALITY = 85;

export async function encoded(picture: Picture, output: Output): Promise<File> {
  const { format, quality, background, fast = false } = output;
  const all = MOVING.has(format) ? openAll(picture) : open(picture);
  const base = background === undefined ? all : all.flatten({ background: colourOf(background) });
  const q = quality ?? QUALITY;
  const as = (pipeline: Sharp, type: string): Promise<File> => fileOf(pipeline, type, "file" in picture.content);
  const animation = { delay: [...picture.delays], loop: picture.loop };
  switch (format) {
    case "image/jpeg":
      return jpeg(picture, output, base, q);
    case "image/png":
      return as(quality === undefined ? base.png(fast ? { compressionLevel: 2 } : {}) : base.png({ palette: true, quality }), format);
    case "image/webp": {
      const effort = fast ? 0 : 4;
      const how = q === 100 ? { lossless: true, effort } : { quality: q, effort };
      return as(base.webp(picture.frames > 1 ? { ...how, ...animation } : how), format);
    }
    case "image/avif":
      return as(base.avif({ quality: q, effort: 2 }), format);
    case "image/gif":
      return as(base.gif(picture.frames > 1 ? animation : {}), format);
    case "rgb":
      return as(base.removeAlpha().raw(), "image/x-rgb");
    case "rgba":
      return as(base.ensureAlpha().raw(), "image/x-rgba");
    default:
      throw new ImageError(9520, `the output format ${format} is not supported`);
  }
}

async function jpeg(
  picture: Picture,
  { baseline = false, exif, metadata = "copyright" }: Output,
  base: Sharp,
  quality: number,
): Promise<File> {
  const area = picture.width * picture.height;
  const progressive = !baseline && area >= PROGRESSIVE_MIN && area <= PROGRESSIVE_MAX;
  const flat = base.flatten({ background: "white" }).jpeg({ quality, progressive });
  const copyright = metadata === "copyright" ? copyrightOf(exif) : undefined;
  const described = copyright === undefined ? flat : flat.withExif({ IFD0: { Copyright: copyright } });
  const file = await fileOf(described, "image/jpeg", "file" in picture.content);
  return metadata === "keep" && exif !== undefined ? { ...file, bytes: withExif(file.bytes, exif) } : file;
}

async function fileOf(pipeline: Sharp, type: string, fromFile: boolean): Promise<File> {
  try {
    return { type, bytes: await pipeline.toBuffer() };
  } catch (cause) {
    throw failure(cause, fromFile);
  }
}
