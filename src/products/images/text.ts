/**
 * Text as a picture, for `env.IMAGES.text()` and drawn text: the outlines of its letters in a font that a URL names, in one
 * colour, on nothing. No font of the machine is used, so that it looks the same everywhere.
 */
import opentype from "opentype.js";
import { z } from "zod";
import { ImageError } from "./errors.ts";
import { PIXELS_MAX, SIDE_MAX } from "./limits.ts";
import { colourOf, decode, type Picture } from "./picture.ts";
import { sharp } from "./sharp.ts";
import type { Sources } from "./source.ts";

const FONT_MAX_BYTES = 10 * 1024 * 1024;
const TEXT_MAX_CHARACTERS = 10_000;
/** Pixels of a point, as in CSS. */
const POINT = 96 / 72;
/** Points, where none are given. */
const SIZE = 12;

const schema = z.strictObject({
  text: z.string().min(1).max(TEXT_MAX_CHARACTERS),
  font: z.object({ url: z.url({ protocol: /^https?$/ }) }),
  size: z.number().min(1).max(2000).optional(),
  color: z.string().min(1).max(100).optional(),
});

/** `json`: the part of the binding's form. Throws 9401 for what is none, 9520 for a font that cannot be read. */
export async function textPicture(json: string, sources: Sources): Promise<Picture> {
  const given = schema.safeParse(JSON.parse(json));
  if (!given.success) throw new ImageError(9401, `text: ${given.error.issues[0]?.path.join(".")} ${given.error.issues[0]?.message}`);
  const { text, font, size = SIZE, color = "black" } = given.data;
  const { bytes } = await sources.fetch(new URL(font.url), { maxBytes: FONT_MAX_BYTES });
  const outlines = outlinesOf(bytes, text, size * POINT);
  const { width, height } = outlines;
  if (width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX)
    throw new ImageError(9401, "text: the image would be too large");
  // A colour that is one has no character that XML knows.
  const fill = colourOf(color).replace(/[<>&"]/g, "");
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><path d="${outlines.path}" fill="${fill}"/></svg>`;
  return decode(await sharp(Buffer.from(svg)).png().toBuffer());
}

function outlinesOf(bytes: Buffer, text: string, size: number): { path: string; width: number; height: number } {
  try {
    const font = opentype.parse(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer);
    const scale = size / font.unitsPerEm;
    const line = (font.ascender - font.descender) * scale;
    const lines = text.split("\n");
    const path = lines.map((one, n) => font.getPath(one, 0, font.ascender * scale + n * line, size).toPathData(2)).join("");
    const width = Math.max(1, Math.ceil(Math.max(...lines.map((one) => font.getAdvanceWidth(one, size)))));
    return { path, width, height: Math.max(1, Math.ceil(line * lines.length)) };
  } catch (cause) {
    throw new ImageError(9520, "the font cannot be read", { cause });
  }
}
