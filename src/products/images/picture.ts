/**
 * Pictures in memory, and what is done to them, by sharp (libvips). A picture is decoded once, and each step's result is
 * raw pixels, so that steps apply in the order in which they were asked for. Sizes are checked before anything is decoded.
 */
import sharp, { type Blend, type Sharp } from "sharp";
import { ImageError } from "./errors.ts";
import { frameOf, positionOf, type Size } from "./geometry.ts";
import type { Draw, Transform } from "./options.ts";

export interface Picture extends Size {
  /** RGBA, 8 bits each. */
  readonly pixels: Buffer;
}

export interface ImageInfo {
  /** Media type. */
  readonly format: string;
  readonly fileSize: number;
  readonly width: number;
  readonly height: number;
}

/** Documented bounds of what comes in. */
const PIXELS_MAX = 100_000_000;
const SIDE_MAX = 12_000;

const types: Readonly<Record<string, string>> = {
  jpeg: "image/jpeg",
  png: "image/png",
  gif: "image/gif",
  webp: "image/webp",
  heif: "image/avif",
  svg: "image/svg+xml",
};

/** Throws 9412 for what is no image, 9413 and 9402 for one that is too large. */
export async function infoOf(bytes: Buffer): Promise<ImageInfo> {
  const { format, width, height, pageHeight, orientation } = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw new ImageError(9412, "the input is not an image that can be read", { cause });
    });
  const type = types[format ?? ""];
  if (type === undefined || width === undefined || height === undefined)
    throw new ImageError(9412, `the format ${format} is not supported`);
  const tall = pageHeight ?? height;
  if (width * tall > PIXELS_MAX) throw new ImageError(9413, "the image has more than 100 megapixels");
  if (width > SIDE_MAX || tall > SIDE_MAX) throw new ImageError(9402, `the image is longer than ${SIDE_MAX} pixels`);
  // Of the picture as it is seen: a camera held upright is noted in EXIF.
  const turned = (orientation ?? 1) >= 5;
  return { format: type, fileSize: bytes.byteLength, width: turned ? tall : width, height: turned ? width : tall };
}

/** The first frame, upright, in sRGB. */
export async function decode(bytes: Buffer): Promise<Picture> {
  const { format } = await infoOf(bytes);
  if (format === "image/svg+xml") throw new ImageError(9520, "SVG images cannot be transformed");
  return drawn(sharp(bytes, { limitInputPixels: PIXELS_MAX }).autoOrient()).catch((cause: unknown) => {
    throw new ImageError(9412, "the image is damaged", { cause });
  });
}

const open = ({ pixels, width, height }: Picture): Sharp => sharp(pixels, { raw: { width, height, channels: 4 } });

async function drawn(pipeline: Sharp): Promise<Picture> {
  const { data, info } = await pipeline.toColourspace("srgb").ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return { pixels: data, width: info.width, height: info.height };
}

/** Trimmed first, then flipped, turned, resized; then the tones, the background, and the border around it all. */
export async function transformed(picture: Picture, options: Transform): Promise<Picture> {
  let current = picture;
  const step = async (change: (pipeline: Sharp) => Sharp): Promise<void> => {
    current = await drawn(change(open(current)));
  };
  const { trim, flip, rotate, background } = options;
  if (trim !== undefined) {
    const kept = trimmed(current, trim);
    await step((p) => p.extract(kept));
  }
  if (flip !== undefined) await step((p) => p.flip(flip.includes("v")).flop(flip.includes("h")));
  if (rotate) await step((p) => p.rotate(rotate));
  const frame = frameOf(current, options);
  if (frame !== undefined) {
    const { scaled, kept, canvas } = frame;
    await step((p) => p.resize({ ...scaled, fit: "fill" }));
    if (kept.width !== scaled.width || kept.height !== scaled.height) await step((p) => p.extract(kept));
    if (canvas !== undefined) await step((p) => p.extend({ ...around(kept, canvas), background: colourOf(background ?? "white") }));
  }
  if (hasTones(options)) await step((p) => toned(p, options));
  if (background !== undefined) {
    const base = { width: current.width, height: current.height, channels: 4, background: colourOf(background) } as const;
    const over = { input: current.pixels, raw: { width: current.width, height: current.height, channels: 4 } } as const;
    current = await drawn(sharp({ create: base }).composite([over]));
  }
  const { border } = options;
  if (border !== undefined) {
    const { color = "white", width = 0, top = width, right = width, bottom = width, left = width } = border;
    await step((p) => p.extend({ top, right, bottom, left, background: colourOf(color) }));
  }
  return current;
}

function trimmed(from: Size, { top = 0, left = 0, right = 0, bottom = 0, width, height }: NonNullable<Transform["trim"]>) {
  const kept = { left, top, width: width ?? from.width - left - right, height: height ?? from.height - top - bottom };
  if (kept.width < 1 || kept.height < 1 || left + kept.width > from.width || top + kept.height > from.height)
    throw new ImageError(9401, "trim: nothing of the image would be left");
  return kept;
}

function around(inner: Size, outer: Size) {
  const left = Math.floor((outer.width - inner.width) / 2);
  const top = Math.floor((outer.height - inner.height) / 2);
  return { left, top, right: outer.width - inner.width - left, bottom: outer.height - inner.height - top };
}

const hasTones = ({ blur, brightness, contrast, gamma, saturation, sharpen }: Transform): boolean =>
  [blur, brightness, contrast, gamma, saturation, sharpen].some((value) => value !== undefined);

/** 1 is no change; 0 is ignored but for saturation, which it takes away. */
function toned(pipeline: Sharp, { blur, brightness, contrast, gamma, saturation, sharpen }: Transform): Sharp {
  let p = pipeline;
  if (saturation !== undefined) p = p.modulate({ saturation });
  // Around the middle grey, and the alpha channel as it is.
  if (contrast) p = p.linear([contrast, contrast, contrast, 1], [...Array.from({ length: 3 }, () => 128 * (1 - contrast)), 0]);
  if (brightness) p = p.linear([brightness, brightness, brightness, 1], [0, 0, 0, 0]);
  if (gamma) p = p.linear([gamma, gamma, gamma, 1], [0, 0, 0, 0]);
  if (blur) p = p.blur(Math.max(0.3, blur / 2));
  if (sharpen) p = p.sharpen({ sigma: sharpen });
  return p;
}

const blends: Readonly<Record<NonNullable<Draw["composite"]>, Blend>> = {
  over: "over",
  in: "in",
  atop: "atop",
  out: "out",
  xor: "xor",
  lighter: "add",
};

/** The overlay on the canvas: tiled or once, in the middle unless an edge is named; what lies outside is cut off. */
export async function overlaid(canvas: Picture, overlay: Picture, options: Draw): Promise<Picture> {
  const { opacity = 1, repeat = false, composite = "over" } = options;
  const faded = opacity === 1 ? overlay : await drawn(open(overlay).linear([1, 1, 1, opacity], [0, 0, 0, 0]));
  const { left, top } = positionOf(canvas, faded, options);
  const layer = Buffer.alloc(canvas.pixels.length);
  const starts = (from: number, step: number, end: number, tiled: boolean): number[] => {
    if (!tiled) return [from];
    const all: number[] = [];
    for (let at = from - Math.ceil(from / step) * step; at < end; at += step) all.push(at);
    return all;
  };
  for (const y of starts(top, faded.height, canvas.height, repeat === true || repeat === "y"))
    for (const x of starts(left, faded.width, canvas.width, repeat === true || repeat === "x")) stamp(layer, canvas, faded, x, y);
  const raw = { width: canvas.width, height: canvas.height, channels: 4 } as const;
  return drawn(open(canvas).composite([{ input: layer, raw, blend: blends[composite] }]));
}

/** Copies rows of pixels, as far as they lie on the layer. */
function stamp(layer: Buffer, { width, height }: Size, tile: Picture, x: number, y: number): void {
  const from = Math.max(0, -x);
  const to = Math.min(tile.width, width - x);
  if (from >= to) return;
  for (let row = Math.max(0, -y); row < Math.min(tile.height, height - y); row++)
    tile.pixels.copy(layer, ((y + row) * width + x + from) * 4, (row * tile.width + from) * 4, (row * tile.width + to) * 4);
}

export interface Output {
  /** Media type, or "rgb" and "rgba" for raw pixels. */
  readonly format: string;
  /** 1 to 100. */
  readonly quality?: number;
  readonly background?: string;
}

/** Documented default. */
const QUALITY = 85;

export async function encoded(picture: Picture, { format, quality, background }: Output): Promise<{ bytes: Buffer; type: string }> {
  const base = background === undefined ? open(picture) : open(picture).flatten({ background: colourOf(background) });
  const q = quality ?? QUALITY;
  const as = (pipeline: Sharp, type = format) => pipeline.toBuffer().then((bytes) => ({ bytes, type }));
  switch (format) {
    case "image/jpeg": {
      const progressive = picture.width * picture.height >= 150 * 150 && picture.width * picture.height <= 3000 * 3000;
      return as(base.flatten({ background: "white" }).jpeg({ quality: q, progressive }));
    }
    case "image/png":
      return as(quality === undefined ? base.png() : base.png({ palette: true, quality }));
    case "image/webp":
      return as(q === 100 ? base.webp({ lossless: true }) : base.webp({ quality: q }));
    case "image/avif":
      return as(base.avif({ quality: q, effort: 2 }));
    case "image/gif":
      return as(base.gif());
    case "rgb":
      return as(base.removeAlpha().raw(), "image/x-rgb");
    case "rgba":
      return as(base.ensureAlpha().raw(), "image/x-rgba");
    default:
      throw new ImageError(9520, `the output format ${format} is not supported`);
  }
}

/** A CSS colour for sharp, which reads the older notations. */
function colourOf(css: string): string {
  const [, name, values] = /^(rgba?|hsla?)\(([^)]*)\)$/i.exec(css.trim()) ?? [];
  return name === undefined
    ? css.trim()
    : `${name}(${(values as string)
        .split(/[\s,/]+/)
        .filter(Boolean)
        .join(", ")})`;
}
