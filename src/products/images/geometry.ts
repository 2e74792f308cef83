/** Sizes and positions: how large a picture becomes under `fit`, and which part of it stays. Pure. */
import type { Draw, Transform } from "./options.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Frame {
  /** The whole picture's new size. */
  readonly scaled: Size;
  /** The part of it that stays. */
  readonly kept: Size & { readonly left: number; readonly top: number };
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
  const [x, y] = pointOf(gravity);
  const left = Math.round(Math.max(0, scaled.width - area.width) * x);
  const top = Math.round(Math.max(0, scaled.height - area.height) * y);
  return { scaled, kept: { left, top, width: Math.min(area.width, scaled.width), height: Math.min(area.height, scaled.height) } };
}

const times = ({ width, height }: Size, factor: number): Size => ({
  width: Math.max(1, Math.round(width * factor)),
  height: Math.max(1, Math.round(height * factor)),
});

/** Shares of what is cut off that fall on the left and on the top. */
function pointOf(gravity: Transform["gravity"]): readonly [number, number] {
  if (typeof gravity === "object") return [gravity.x, gravity.y];
  const sides = { left: [0, 0.5], right: [1, 0.5], top: [0.5, 0], bottom: [0.5, 1], center: [0.5, 0.5] } as const;
  return sides[gravity ?? "center"];
}

/** Where an overlay lies: in the middle of what no edge is named for. */
export function positionOf(canvas: Size, overlay: Size, { left, right, top, bottom }: Draw): { left: number; top: number } {
  const along = (length: number, own: number, near?: number, far?: number): number =>
    near ?? (far === undefined ? Math.round((length - own) / 2) : length - own - far);
  return { left: along(canvas.width, overlay.width, left, right), top: along(canvas.height, overlay.height, top, bottom) };
}
