/**
 * Pictures in memory, stills and animations, and what is done to them, by sharp (libvips). A picture is decoded once, and
 * each step's result is raw pixels, so that steps apply in the order in which they were asked for, to each frame alike.
 * Sizes are checked before anything is decoded.
 */
import type { Blend, OutputInfo, Sharp } from "sharp";
import { ImageError } from "./errors.ts";
import { type ImageInfo, infoOf } from "./formats.ts";
import { type Box, type Frame, frameOf, positionOf, type Size, trimmedBox } from "./geometry.ts";
import { heicPixels } from "./heic.ts";
import { PIXELS_MAX, SIDE_MAX } from "./limits.ts";
import type { Draw, Transform } from "./options.ts";
import { sharp } from "./sharp.ts";

export interface Picture extends Size {
  /** RGBA, 8 bits each, frame after frame; of a still that has seen no step yet, the file as it came. */
  readonly content: { readonly pixels: Buffer } | { readonly file: Buffer };
  readonly frames: number;
  /** Milliseconds for each frame. */
  readonly delays: readonly number[];
  readonly loop: number;
}

/** Work on one picture ends after this long. */
const STEP_TIMEOUT_S = 30;

/** Upright, in sRGB. With `anim` an animation keeps its frames, else it becomes its first. */
export async function decode(bytes: Buffer, { anim = false, info }: { anim?: boolean; info?: ImageInfo } = {}): Promise<Picture> {
  const { type, width, height, frames, delays, loop, oversized } = info ?? (await infoOf(bytes));
  if (type === "image/svg+xml") throw new ImageError(9520, "SVG images cannot be transformed");
  if (type === "image/heic") {
    const decoded = await heicPixels(bytes);
    return { content: { pixels: decoded.pixels }, width: decoded.width, height: decoded.height, frames: 1, delays: [], loop: 0 };
  }
  const still: Picture = { content: { file: bytes }, width, height, frames: 1, delays: [], loop: 0 };
  if (!anim || frames === 1) return still;
  if (oversized) throw new ImageError(9402, "the animation has more than 50 megapixels");
  const { data, info: out } = await pixelsOf(
    sharp(bytes, { animated: true, limitInputPixels: PIXELS_MAX }).timeout({ seconds: STEP_TIMEOUT_S }),
    true,
  );
  const tall = out.pageHeight ?? out.height;
  return { content: { pixels: data }, width: out.width, height: tall, frames: out.height / tall, delays, loop };
}

const RAW = 4;

/** One frame, as a pipeline. */
export function open({ content, width, height }: Picture, frame = 0): Sharp {
  if ("file" in content) return sharp(content.file, { limitInputPixels: PIXELS_MAX }).timeout({ seconds: STEP_TIMEOUT_S }).autoOrient();
  const bytes = width * height * RAW;
  const pixels = content.pixels.subarray(frame * bytes, (frame + 1) * bytes);
  return sharp(pixels, { raw: { width, height, channels: RAW }, limitInputPixels: false }).timeout({ seconds: STEP_TIMEOUT_S });
}

/** All frames below each other, for formats that have them. */
export function openAll(picture: Picture): Sharp {
  const { content, width, height, frames } = picture;
  if ("file" in content || frames === 1) return open(picture);
  return sharp(content.pixels, { raw: { width, height: height * frames, channels: RAW, pageHeight: height }, limitInputPixels: false });
}

/** `fromFile`: what fails is the file's doing. */
async function pixelsOf(pipeline: Sharp, fromFile: boolean): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    return await pipeline.toColourspace("srgb").ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  } catch (cause) {
    throw failure(cause, fromFile);
  }
}

export function failure(cause: unknown, fromFile: boolean): ImageError {
  if (cause instanceof ImageError) return cause;
  if (/timeout/i.test((cause as Error).message)) return new ImageError(9529, "the image timed out while processing", { cause });
  return fromFile
    ? new ImageError(9412, "the image is damaged", { cause })
    : new ImageError(9523, "the image could not be transformed", { cause });
}

/** The change made to each frame. */
async function step(picture: Picture, change: (pipeline: Sharp) => Sharp): Promise<Picture> {
  const done: Buffer[] = [];
  let size: Size = picture;
  for (let frame = 0; frame < picture.frames; frame++) {
    const { data, info } = await pixelsOf(change(open(picture, frame)), "file" in picture.content);
    done.push(data);
    size = info;
  }
  const pixels = done.length === 1 ? (done[0] as Buffer) : Buffer.concat(done);
  return { ...picture, content: { pixels }, width: size.width, height: size.height };
}

/** With four channels, which a file need not have. */
const raw = async (picture: Picture): Promise<Picture> => ("file" in picture.content ? step(picture, (p) => p) : picture);

/** Trimmed first, then flipped, turned, resized; then the tones, the background, and the border around it all. */
export async function transformed(picture: Picture, options: Transform): Promise<Picture> {
  const { trim, flip, rotate, background, border } = options;
  let current = picture;
  if (trim !== undefined) current = await trimmed(current, trim);
  if (flip !== undefined) current = await step(current, (p) => p.flip(flip.includes("v")).flop(flip.includes("h")));
  if (rotate) current = await step(current, (p) => p.rotate(rotate));
  const frame = frameOf(current, options);
  if (frame !== undefined) current = await framed(current, frame, options);
  if (hasTones(options)) current = await step(await raw(current), (p) => toned(p, options));
  if (background !== undefined) current = await onColour(current, background);
  if (border !== undefined) {
    const { color = "white", width = 0, top = width, right = width, bottom = width, left = width } = border;
    if (current.width + left + right > SIDE_MAX || current.height + top + bottom > SIDE_MAX)
      throw new ImageError(9401, `border: the image would be longer than ${SIDE_MAX} pixels`);
    current = await step(current, (p) => p.extend({ top, right, bottom, left, background: colourOf(color) }));
  }
  return current;
}

async function framed(picture: Picture, { scaled, kept, canvas }: Frame, { gravity, background }: Transform): Promise<Picture> {
  let current = picture;
  if (scaled.width !== current.width || scaled.height !== current.height)
    current = await step(current, (p) => p.resize({ ...scaled, fit: "fill" }));
  if (kept.width !== scaled.width || kept.height !== scaled.height) {
    const box = gravity === "auto" ? await salient(current, kept) : kept;
    current = await step(current, (p) => p.extract(box));
  }
  if (canvas === undefined) return current;
  const edges = around(kept, canvas);
  return step(current, (p) => p.extend({ ...edges, background: colourOf(background ?? "white") }));
}

/** The part of that size which draws the eye, in the first frame. */
async function salient(picture: Picture, { width, height }: Size): Promise<Box> {
  const { info } = await pixelsOf(open(picture).resize({ width, height, fit: "cover", position: "attention" }), false);
  return { left: Math.abs(info.cropOffsetLeft ?? 0), top: Math.abs(info.cropOffsetTop ?? 0), width, height };
}

async function trimmed(picture: Picture, trim: NonNullable<Transform["trim"]>): Promise<Picture> {
  const { border, ...lengths } = trim === "border" ? { border: true } : trim;
  let current = picture;
  if (Object.values(lengths).some((length) => length !== undefined)) {
    const kept = trimmedBox(current, lengths);
    if (kept === undefined) throw new ImageError(9401, "trim: nothing of the image would be left");
    current = await step(current, (p) => p.extract(kept));
  }
  if (border === undefined || border === false) return current;
  const { color, tolerance, keep = 0 } = border === true ? {} : border;
  const found = open(current).trim({
    ...(color !== undefined && { background: colourOf(color) }),
    ...(tolerance !== undefined && { threshold: tolerance }),
  });
  const { info } = await pixelsOf(found, "file" in current.content);
  const [left, top] = [Math.abs(info.trimOffsetLeft ?? 0), Math.abs(info.trimOffsetTop ?? 0)];
  const box = { left: Math.max(0, left - keep), top: Math.max(0, top - keep) };
  const { width, height } = current;
  const kept = {
    ...box,
    width: Math.min(width, left + info.width + keep) - box.left,
    height: Math.min(height, top + info.height + keep) - box.top,
  };
  return step(current, (p) => p.extract(kept));
}

function around(inner: Size, outer: Size) {
  const left = Math.floor((outer.width - inner.width) / 2);
  const top = Math.floor((outer.height - inner.height) / 2);
  return { left, top, right: outer.width - inner.width - left, bottom: outer.height - inner.height - top };
}

/** A colour that is seen through lets what it lies under be seen through. */
function onColour(picture: Picture, background: string): Promise<Picture> {
  const { width, height } = picture;
  const input = { create: { width, height, channels: RAW, background: colourOf(background) } } as const;
  return step(picture, (p) => p.composite([{ input, blend: "dest-over" }]));
}

const hasTones = ({ blur, brightness, contrast, gamma, saturation, sharpen }: Transform): boolean =>
  [blur, brightness, contrast, gamma, saturation, sharpen].some((value) => value !== undefined);

/** sharp's exponents end here. */
const GAMMA_MAX = 3;

/** 1 is no change; 0 is ignored but for saturation, which it takes away. The alpha channel stays as it is. */
function toned(pipeline: Sharp, { blur, brightness, contrast, gamma, saturation, sharpen }: Transform): Sharp {
  let p = pipeline;
  if (saturation !== undefined) p = p.modulate({ saturation });
  // One line for both: contrast turns around the middle grey, then the brightness multiplies.
  if (contrast || brightness) {
    const [steep, bright] = [contrast || 1, brightness || 1];
    const [slope, shift] = [steep * bright, 128 * (1 - steep) * bright];
    p = p.linear([slope, slope, slope, 1], [shift, shift, shift, 0]);
  }
  // An exponent before and one after: the first darkens, the second lightens.
  if (gamma) p = gamma < 1 ? p.gamma(Math.min(GAMMA_MAX, 1 / gamma), 1) : p.gamma(1, Math.min(GAMMA_MAX, gamma));
  if (blur) p = p.blur(Math.max(0.3, blur / 2));
  if (sharpen) p = p.sharpen({ sigma: 1, m1: sharpen / 2, m2: sharpen * 2 });
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

/** The overlay's first frame on the canvas: tiled or once, in the middle unless an edge is named; what lies outside is cut off. */
export async function overlaid(canvas: Picture, overlay: Picture, options: Draw): Promise<Picture> {
  const { opacity = 1, repeat = false, composite = "over" } = options;
  const seen = opacity === 1 ? await raw(overlay) : await step(await raw(overlay), (p) => p.linear([1, 1, 1, opacity], [0, 0, 0, 0]));
  const { pixels: tile } = seen.content as { pixels: Buffer };
  const size = { width: seen.width, height: seen.height };
  const { left, top } = positionOf(canvas, size, options);
  const layer = Buffer.alloc(canvas.width * canvas.height * RAW);
  for (const y of starts(top, size.height, canvas.height, repeat === true || repeat === "y"))
    for (const x of starts(left, size.width, canvas.width, repeat === true || repeat === "x"))
      stamp(layer, canvas, { ...size, tile }, x, y);
  const shape = { width: canvas.width, height: canvas.height, channels: RAW } as const;
  return step(canvas, (p) => p.composite([{ input: layer, raw: shape, blend: blends[composite] }]));
}

/** Whether nothing is seen through any of its pixels. A file without an alpha channel need not be asked. */
export async function isOpaque(picture: Picture): Promise<boolean> {
  const { pixels } = (await raw(picture)).content as { pixels: Buffer };
  for (let at = RAW - 1; at < pixels.length; at += RAW) if (pixels[at] !== 255) return false;
  return true;
}

/** Where tiles begin along an axis. */
function starts(from: number, length: number, end: number, tiled: boolean): number[] {
  if (!tiled) return [from];
  const all: number[] = [];
  for (let at = from - Math.ceil(from / length) * length; at < end; at += length) all.push(at);
  return all;
}

/** Copies rows of pixels, as far as they lie on the layer. */
function stamp(layer: Buffer, { width, height }: Size, { tile, ...size }: Size & { tile: Buffer }, x: number, y: number): void {
  const from = Math.max(0, -x);
  const to = Math.min(size.width, width - x);
  if (from >= to) return;
  for (let row = Math.max(0, -y); row < Math.min(size.height, height - y); row++)
    tile.copy(layer, ((y + row) * width + x + from) * RAW, (row * size.width + from) * RAW, (row * size.width + to) * RAW);
}

/** A CSS colour for sharp, which reads the older notations. Throws `ImageError` 9401 for what is none. */
export function colourOf(css: string): string {
  const [, name, values] = /^(rgba?|hsla?)\(([^)]*)\)$/i.exec(css.trim()) ?? [];
  const parts = values?.split(/[\s,/]+/).filter(Boolean);
  const colour = parts === undefined ? css.trim() : `${name}(${parts.join(", ")})`;
  try {
    sharp({ create: { width: 1, height: 1, channels: RAW, background: colour } });
  } catch (cause) {
    throw new ImageError(9401, `"${css}" is no colour`, { cause });
  }
  return colour;
}
