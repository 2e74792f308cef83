/**
 * What can be asked of a picture: as Worker code writes it for the binding (`ImageTransform` and `ImageDrawOptions` in the
 * types of Workers) and for `fetch` (`RequestInitCfPropertiesImage`); URLs come to the same by `url-options.ts`. What is not
 * implemented is refused by name, and so is what is not known.
 */
import { z } from "zod";
import { ImageError } from "./errors.ts";
import { SIDE_MAX } from "./limits.ts";

const side = z.number().int().min(1).max(SIDE_MAX);
const inset = z.number().int().min(0).max(SIDE_MAX);
const factor = z.number().min(0).max(100);
const colour = z.string().min(1).max(100);
const share = z.number().min(0).max(1);

const borderToTrim = z.strictObject({
  color: colour.optional(),
  tolerance: z.number().min(0).max(255).optional(),
  keep: inset.optional(),
});

const transformSchema = z.strictObject({
  width: side.optional(),
  height: side.optional(),
  fit: z.enum(["scale-down", "contain", "cover", "crop", "pad", "squeeze"]).optional(),
  gravity: z
    .union([
      z.enum(["auto", "left", "right", "top", "bottom", "center"]),
      z.strictObject({ x: share.default(0.5), y: share.default(0.5), mode: z.enum(["remainder", "box-center"]).optional() }),
    ])
    .optional(),
  background: colour.optional(),
  blur: z.number().min(1).max(250).optional(),
  border: z
    .strictObject({
      color: colour.optional(),
      width: inset.optional(),
      top: inset.optional(),
      right: inset.optional(),
      bottom: inset.optional(),
      left: inset.optional(),
    })
    .optional(),
  brightness: factor.optional(),
  contrast: factor.optional(),
  gamma: factor.optional(),
  saturation: factor.optional(),
  sharpen: z.number().min(0).max(10).optional(),
  flip: z.enum(["h", "v", "hv"]).optional(),
  rotate: z.union([z.literal(0), z.literal(90), z.literal(180), z.literal(270)]).optional(),
  trim: z
    .union([
      z.literal("border"),
      z.strictObject({
        top: inset.optional(),
        right: inset.optional(),
        bottom: inset.optional(),
        left: inset.optional(),
        width: side.optional(),
        height: side.optional(),
        border: z.union([z.boolean(), borderToTrim]).optional(),
      }),
    ])
    .optional(),
  /** How what is enlarged is made up; the other way needs a model. */
  upscale: z.literal("interpolate").optional(),
});

const drawSchema = z
  .strictObject({
    opacity: share.optional(),
    repeat: z.union([z.boolean(), z.enum(["x", "y"])]).optional(),
    composite: z.enum(["over", "in", "atop", "out", "xor", "lighter"]).optional(),
    top: z.number().int().optional(),
    left: z.number().int().optional(),
    bottom: z.number().int().optional(),
    right: z.number().int().optional(),
  })
  .refine(({ left, right }) => left === undefined || right === undefined, "left and right cannot both be set")
  .refine(({ top, bottom }) => top === undefined || bottom === undefined, "top and bottom cannot both be set");

const quality = z.union([z.number().int().min(1).max(100), z.enum(["low", "medium-low", "medium-high", "high"])]);
/** Of a whole request: what the picture becomes, and as what it is delivered. */
const requestSchema = transformSchema.extend({
  /** Multiplies lengths. */
  dpr: z.number().min(0.1).max(10).optional(),
  width: z.union([side, z.literal("auto")]).optional(),
  quality: quality.optional(),
  format: z.enum(["auto", "avif", "webp", "jpeg", "baseline-jpeg", "png", "png-force", "svg", "json"]).optional(),
  anim: z.boolean().optional(),
  metadata: z.enum(["keep", "copyright", "none"]).optional(),
  compression: z.literal("fast").optional(),
  "slow-connection-quality": quality.optional(),
  onerror: z.literal("redirect").optional(),
});

/** Overlays of one picture, each of which is fetched. */
const OVERLAYS_MAX = 20;

const overlaySchema = transformSchema.safeExtend(drawSchema.shape).extend({ url: z.string().min(1).max(8192) });

const fetchSchema = requestSchema.omit({ onerror: true, "slow-connection-quality": true }).extend({
  draw: z
    .array(
      overlaySchema.check(({ value, issues }) => {
        for (const [one, other] of [
          ["left", "right"],
          ["top", "bottom"],
        ] as const)
          if (value[one] !== undefined && value[other] !== undefined)
            issues.push({ code: "custom", input: value, message: `${one} and ${other} cannot both be set` });
      }),
    )
    .max(OVERLAYS_MAX)
    .optional(),
  "origin-auth": z.literal("share-publicly").optional(),
});

export type Transform = z.infer<typeof transformSchema>;
export type Draw = z.infer<typeof drawSchema>;
export type Requested = z.infer<typeof requestSchema>;
export type Overlay = z.infer<typeof overlaySchema>;
export type Fetched = z.infer<typeof fetchSchema>;

/** `cf.image` of a Worker's fetch(). Throws `ImageError` 9401. */
export const fetchOptionsOf = (value: unknown): Fetched => parsed(fetchSchema, value);

/** Options of a URL, by their full names and in their own types. Throws `ImageError` 9401. */
export const requestOptionsOf = (value: unknown): Requested => parsed(requestSchema, value);

/** What is done to the picture, lengths multiplied by `dpr`. */
export function transformOf({
  dpr = 1,
  width,
  trim,
  border,
  ...rest
}: Omit<Requested, "width" | "format"> & { width?: number | undefined }): Transform {
  const scaled = <T extends object>(lengths: T): T =>
    Object.fromEntries(
      Object.entries(lengths).map(([name, value]) => [name, typeof value === "number" ? Math.round(value * dpr) : value]),
    ) as T;
  const { fit, gravity, background, blur, brightness, contrast, gamma, saturation, sharpen, flip, rotate, height } = rest;
  const tones = { blur, brightness, contrast, gamma, saturation, sharpen };
  const capped = (length: number | undefined): number | undefined =>
    length === undefined ? undefined : Math.min(SIDE_MAX, Math.max(1, Math.round(length * dpr)));
  return {
    ...{ fit, gravity, background, flip, rotate, ...tones },
    width: capped(width),
    height: capped(height),
    trim: typeof trim === "object" ? scaled(trim) : trim,
    border: border && scaled(border),
  };
}

/** One of the steps that a Worker's chain of calls has become; images are known by number, 0 is the canvas. */
export type Step =
  | { readonly image: number; readonly transform: Transform }
  | { readonly image: number; readonly drawn: number; readonly draw: Draw };

const stepsSchema = z.array(z.looseObject({})).max(100);
const index = z.number().int().min(0).max(100);

/** The part `transforms` of the binding's form. Throws `ImageError` 9401. */
export function stepsOf(json: string): Step[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ImageError(9401, "transforms are no JSON", { cause });
  }
  return parsed(stepsSchema, value).map(({ imageIndex, drawImageIndex, targetImageIndex, ...given }) => {
    // Astro's adapter says `fit: null` where nothing is asked for.
    const options = Object.fromEntries(Object.entries(given).filter(([, option]) => option !== null));
    if (drawImageIndex === undefined) return { image: parsed(index, imageIndex), transform: parsed(transformSchema, options) };
    return { image: parsed(index, targetImageIndex), drawn: parsed(index, drawImageIndex), draw: parsed(drawSchema, options) };
  });
}

function parsed<T>(schema: { safeParse(value: unknown): z.ZodSafeParseResult<T> }, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ImageError(9401, [issue?.path.join("."), issue?.message].filter(Boolean).join(": "));
}
