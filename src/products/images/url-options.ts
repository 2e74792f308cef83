/**
 * The options of a transformation's URL, `width=80,quality=75`, and of a flexible variant (docs: Images, Transform via URL).
 * Pure. They come out as a Worker would write them, by their full names.
 */
import { ImageError } from "./errors.ts";
import { type Requested, requestOptionsOf } from "./options.ts";

const ALIASES: Readonly<Record<string, string>> = {
  w: "width",
  h: "height",
  f: "format",
  q: "quality",
  g: "gravity",
  scq: "slow-connection-quality",
};

const NUMBERS = new Set(
  ["width", "height", "quality", "slow-connection-quality", "blur", "brightness", "contrast", "gamma", "saturation", "sharpen"].concat([
    "dpr",
    "rotate",
  ]),
);
const NUMBER = /^-?\d+(\.\d+)?$/;

/** Throws `ImageError` 9401. `text` is one segment of the path as it came. */
export function urlOptionsOf(text: string): Requested {
  const options: Record<string, unknown> = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals <= 0) throw invalid(part === "" ? "an option is empty" : `"${part}" is no option`);
    const given = part.slice(0, equals);
    const name = ALIASES[given] ?? given;
    set(options, name, decoded(part.slice(equals + 1)));
  }
  return requestOptionsOf(options);
}

/** Whether a segment of a path is meant as options. */
export const looksLikeOptions = (text: string): boolean => text.includes("=");

function set(options: Record<string, unknown>, name: string, value: string): void {
  if (name === "border") throw invalid("border can be set by Workers only");
  if (name.startsWith("trim")) options.trim = trimmed(options.trim, name, value);
  else if (name === "gravity" && /^[\d.]+x[\d.]+$/.test(value)) {
    const [x, y] = value.split("x").map(Number);
    options.gravity = { x, y };
  } else if (name === "anim") {
    if (value !== "true" && value !== "false") throw invalid("anim: true or false");
    options.anim = value === "true";
  } else options[name] = NUMBERS.has(name) && NUMBER.test(value) ? Number(value) : value;
}

/** `trim=top;right;bottom;left`, `trim=border`, `trim.width=…`, `trim.border.color=…`: what was given before is added to. */
function trimmed(before: unknown, name: string, value: string): unknown {
  const so = typeof before === "object" && before !== null ? (before as Record<string, unknown>) : {};
  const number = (text: string): unknown => (NUMBER.test(text) ? Number(text) : text);
  if (name === "trim") {
    if (value === "border") return { ...so, border: so.border ?? true };
    const sides = value.split(";");
    if (sides.length !== 4) throw invalid("trim: four numbers, top;right;bottom;left");
    const [top, right, bottom, left] = sides.map(number);
    return { ...so, top, right, bottom, left };
  }
  const [, member = "", ofBorder] = name.split(".");
  if (member !== "border" || ofBorder === undefined) return { ...so, [member]: number(value) };
  const border = typeof so.border === "object" ? so.border : {};
  return { ...so, border: { ...border, [ofBorder]: ofBorder === "color" ? value : number(value) } };
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch (cause) {
    throw invalid(`"${value}" is not encoded as in a URL`, cause);
  }
}

const invalid = (message: string, cause?: unknown): ImageError => new ImageError(9401, message, { cause });
