/**
 * One transformation from a file to a file, whichever door it was asked for at: by URL, by a Worker's fetch(), or as a
 * variant of a hosted image. Decides with `negotiation.ts` what it becomes; knows nothing of where files come from.
 */
import { encoded, type File } from "./encode.ts";
import { ImageError } from "./errors.ts";
import { type ImageInfo, infoOf } from "./formats.ts";
import { HOSTED_MAX_BYTES } from "./limits.ts";
import { type Accepted, chooseFormat, keepsFrames, qualityOf } from "./negotiation.ts";
import { type Draw, type Requested, type Transform, transformOf } from "./options.ts";
import { decode, isOpaque, overlaid, type Picture, transformed } from "./picture.ts";
import { sanitized } from "./svg.ts";

export interface Job {
  readonly bytes: Buffer;
  readonly options: Omit<Requested, "width" | "format"> & {
    readonly width?: number | undefined;
    readonly format?: Requested["format"] | "original";
  };
  readonly overlays?: readonly { readonly bytes: Buffer; readonly transform: Transform; readonly draw: Draw }[];
  readonly accepted: Accepted;
}

export interface Result extends File {
  readonly width: number;
  readonly height: number;
}

export async function rendered({ bytes, options, overlays = [], accepted }: Job): Promise<Result> {
  const info = await infoOf(bytes);
  const { format, anim = true, compression, metadata } = options;
  if (info.type === "image/svg+xml") return svg(bytes, format);
  // Documented: an animation that is too large is passed through.
  if (info.oversized && anim) return { type: info.type, bytes, width: info.width, height: info.height };
  const asked = { format, anim, fast: compression === "fast" };
  const moving = keepsFrames(info, asked);
  let picture = await transformed(await decode(bytes, { anim: moving, info }), transformOf(options));
  for (const { bytes: file, transform, draw } of overlays)
    picture = await overlaid(picture, await transformed(await decode(file), transform), draw);
  if (format === "json") return description(bytes, info, picture);
  const opaque = (!info.alpha && !bringsAlpha(options)) || (await isOpaque(picture));
  const choice = chooseFormat(info, picture, opaque, moving, asked, accepted);
  const made = await encoded(picture, {
    format: choice.type,
    quality: qualityOf(options.quality),
    baseline: choice.baseline,
    fast: asked.fast,
    exif: info.exif,
    metadata,
  });
  return { ...made, width: picture.width, height: picture.height };
}

/** Colours that may be seen through, put around the picture. */
const bringsAlpha = ({ border, background }: Job["options"]): boolean => border !== undefined || background !== undefined;

function svg(bytes: Buffer, format: Job["options"]["format"]): Result {
  if (bytes.byteLength > HOSTED_MAX_BYTES) throw new ImageError(9402, "the SVG image is too large");
  if (format === "json") {
    const text = JSON.stringify({ original: { file_size: bytes.byteLength, format: "image/svg+xml" } });
    return { type: "application/json", bytes: Buffer.from(text), width: 0, height: 0 };
  }
  return { type: "image/svg+xml", bytes: sanitized(bytes), width: 0, height: 0 };
}

function description(bytes: Buffer, { type, width, height, frames }: ImageInfo, picture: Picture): Result {
  const original = { file_size: bytes.byteLength, width, height, format: type, ...(picture.frames > 1 && { frames }) };
  const text = JSON.stringify({ width: picture.width, height: picture.height, original });
  return { type: "application/json", bytes: Buffer.from(text), width: picture.width, height: picture.height };
}
