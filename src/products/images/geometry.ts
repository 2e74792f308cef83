/** Sizes and positions: how large a picture becomes under `fit`, and which part of it stays. Pure. */
import type { Draw, Transform } from "./options.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Box extends Size {
  readonly left: number;
  readonly top: number;
}

export interface Frame {
  /** The whole picture's new size. */
  readonly scaled: Size;
  /** The part of it that stays. */
  readonly kept: Box;
  /** Size of the canvas that the picture lies on, in the middle, when it is larger. */
  readonly canvas?: Size;
}

/** Docs: Images, Transform via URL, `fit`. `scale-down` is the default. */
export function frameOf(from: Size, { width, height, fit = "scale-down", gravity }: Transform): Frame | undefined {
  if (width === undefined && height === undefined) return undefined;
  const whole = (scaled: Size): Frame => ({ scaled, kept: { ...scaled, left: 0, top: 0 } });
  const within = Math.min((width ?? Number.POSITIVE_INFINITY) / from.width, (height ?? Number.POSITIVE_INFINITY) / from.height);
  if (fit === "squeeze") return whole({ width: width ?? from.width, height: height ?? from.height });
  if (fit === "contain") return whole(times(from, within));
  if (fit === "scale-down" || width === undefined || height === undefined)
    return whole(times(from, fit === "scale-down" || fit === "crop" ? Math.min(1, within) : within));
  if (fit === "pad") return { ...whole(times(from, within)), canvas: { width, height } };
  // crop never enlarges: what is smaller than the area on one side keeps that side.
  const area = fit === "cover" ? { width, height } : { width: Math.min(width, from.width), height: Math.min(height, from.height) };
  const scaled = times(from, Math.max(area.width / from.width, area.height / from.height));
  const size = { width: Math.min(area.width, scaled.width), height: Math.min(area.height, scaled.height) };
  const [left, top] = [
    offset(scaled.width, size.width, gravity, "x", ["left", "right"]),
    offset(scaled.height, size.height, gravity, "y", ["top", "bottom"]),
  ];
  return { scaled, kept: { left, top, ...size } };
}

const times = ({ width, height }: Size, factor: number): Size => ({
  width: Math.max(1, Math.round(width * factor)),
  height: Math.max(1, Math.round(height * factor)),
});

/**
 * Where the part that stays begins along an axis. Coordinates say which share of what is cut off falls before it or, with
 * `box-center`, which point of the picture it has in its middle.
 */
function offset(
  whole: number,
  part: number,
  gravity: Transform["gravity"],
  axis: "x" | "y",
  [near, far]: readonly [string, string],
): number {
  const rest = whole - part;
  if (typeof gravity !== "object") return Math.round(rest * (gravity === near ? 0 : gravity === far ? 1 : 0.5));
  if (gravity.mode !== "box-center") return Math.round(rest * gravity[axis]);
  return Math.min(rest, Math.max(0, Math.round(whole * gravity[axis] - part / 2)));
}

/** Where an overlay lies: in the middle of what no edge is named for. */
export function positionOf(canvas: Size, overlay: Size, { left, right, top, bottom }: Draw): { left: number; top: number } {
  const along = (length: number, own: number, near?: number, far?: number): number =>
    near ?? (far === undefined ? Math.round((length - own) / 2) : length - own - far);
  return { left: along(canvas.width, overlay.width, left, right), top: along(canvas.height, overlay.height, top, bottom) };
}

/** What `trim` by lengths leaves; undefined when that is nothing. */
export function trimmedBox(
  from: Size,
  trim: { readonly [length in "top" | "right" | "bottom" | "left" | "width" | "height"]?: number | undefined },
): Box | undefined {
  const { top = 0, left = 0, right = 0, bottom = 0 } = trim;
  const box = { left, top, width: trim.width ?? from.width - left - right, height: trim.height ?? from.height - top - bottom };
  return box.width < 1 || box.height < 1 || left + box.width > from.width || top + box.height > from.height ? undefined : box;
}
