/**
 * What can be asked of a picture, as Worker code writes it (`ImageTransform` and `ImageDrawOptions` in the types of Workers).
 * What is not implemented is refused by name.
 */
import { z } from "zod";
import { ImageError } from "./errors.ts";

/** Documented longest side. */
const SIDE_MAX = 12_000;
const side = z.number().int().min(1).max(SIDE_MAX);
const inset = z.number().int().min(0).max(SIDE_MAX);
const factor = z.number().min(0).max(100);
const colour = z.string().min(1).max(100);
const share = z.number().min(0).max(1);

const transformSchema = z.strictObject({
  width: side.optional(),
  height: side.optional(),
  fit: z.enum(["scale-down", "contain", "cover", "crop", "pad", "squeeze"]).optional(),
  gravity: z
    .union([
      z.enum(["left", "right", "top", "bottom", "center"]),
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
    .strictObject({
      top: inset.optional(),
      right: inset.optional(),
      bottom: inset.optional(),
      left: inset.optional(),
      width: side.optional(),
      height: side.optional(),
    })
    .optional(),
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

export type Transform = z.infer<typeof transformSchema>;
export type Draw = z.infer<typeof drawSchema>;

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
