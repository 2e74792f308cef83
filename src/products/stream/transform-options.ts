/** Options of media transformations, as their URLs and the binding say them (docs: Transform videos, Options). Pure. */

import { even } from "./ladder.ts";
import { secondsFrom } from "./thumbnails.ts";

export interface TransformOptions {
  readonly mode: "video" | "frame" | "spritesheet" | "audio";
  readonly time: number;
  /** Seconds; undefined: as much as there is, at most a minute. */
  readonly duration: number | undefined;
  readonly fit: "contain" | "scale-down" | "cover";
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly audio: boolean;
  readonly format: "jpg" | "png" | "m4a" | undefined;
  readonly filename: string | undefined;
  /** Pictures of a spritesheet. */
  readonly imageCount: number;
}

const TIME_MAX_S = 600;
const DURATION_S = { min: 1, max: 60 };
const SIDE = { min: 10, max: 2000 };
const FILENAME = /^[a-zA-Z0-9-_]+\.?[a-zA-Z0-9-_]+$/;
const IMAGES_MAX = 100;
const NAMES = new Set(["mode", "time", "duration", "fit", "width", "height", "audio", "format", "filename", "imageCount"]);

/** The options, or what is wrong with them. */
export function transformOptions(given: Readonly<Record<string, string>>): TransformOptions | { readonly wrong: string } {
  const unknown = Object.keys(given).find((name) => !NAMES.has(name));
  if (unknown !== undefined) return { wrong: `unknown option ${unknown}` };
  const mode = given.mode ?? "video";
  if (mode !== "video" && mode !== "frame" && mode !== "spritesheet" && mode !== "audio")
    return { wrong: "mode: video, frame, spritesheet or audio" };
  const time = given.time === undefined ? 0 : secondsFrom(given.time);
  if (time === undefined || time > TIME_MAX_S) return { wrong: "time: from 0 to 10m" };
  const duration = given.duration === undefined ? undefined : (secondsFrom(given.duration) ?? Number.NaN);
  if (duration !== undefined && !(duration >= DURATION_S.min && duration <= DURATION_S.max)) return { wrong: "duration: from 1s to 60s" };
  // One of the documented examples says `crop`.
  const fit = given.fit === "crop" ? "cover" : (given.fit ?? "contain");
  if (fit !== "contain" && fit !== "scale-down" && fit !== "cover") return { wrong: "fit: contain, scale-down or cover" };
  const [width, height] = [given.width, given.height].map((text) => (text === undefined ? undefined : Number(text)));
  for (const side of [width, height])
    if (side !== undefined && !(Number.isInteger(side) && side >= SIDE.min && side <= SIDE.max))
      return { wrong: "width and height: from 10 to 2000" };
  const audio = given.audio ?? "true";
  if ((audio !== "true" && audio !== "false") || (audio === "false" && mode === "audio"))
    return { wrong: "audio: true or false, and true where mode is audio" };
  const { format, filename } = given;
  const formats: Readonly<Record<string, readonly string[]>> = { frame: ["jpg", "png"], audio: ["m4a"] };
  if (format !== undefined && formats[mode]?.includes(format) !== true)
    return { wrong: `format: ${(formats[mode] ?? ["none"]).join(" or ")} where mode is ${mode}` };
  if (filename !== undefined && (filename.length > 120 || !FILENAME.test(filename)))
    return { wrong: "filename: letters, digits, - and _, with an extension" };
  const imageCount = given.imageCount === undefined ? 10 : Number(given.imageCount);
  if (!Number.isInteger(imageCount) || imageCount < 1 || imageCount > IMAGES_MAX) return { wrong: `imageCount: from 1 to ${IMAGES_MAX}` };
  return {
    mode,
    time,
    duration,
    fit,
    width,
    height,
    audio: audio === "true",
    format: format as TransformOptions["format"],
    filename,
    imageCount,
  };
}

/** ffmpeg's filter that makes a picture of that size fit; undefined when nothing was asked for. */
export function transformFilter({ fit, width, height }: TransformOptions, picture: { width: number; height: number }): string | undefined {
  if (width === undefined && height === undefined) return undefined;
  const [byWidth, byHeight] = [(width ?? Number.POSITIVE_INFINITY) / picture.width, (height ?? Number.POSITIVE_INFINITY) / picture.height];
  const [least, most] = [Math.min(byWidth, byHeight), Math.max(byWidth, byHeight)];
  if (fit === "cover" && Number.isFinite(most)) {
    const [w, h] = [even(width as number), even(height as number)];
    return `scale=${w}:${h}:force_original_aspect_ratio=increase,crop=${w}:${h}`;
  }
  const factor = fit === "scale-down" ? Math.min(1, least) : least;
  return `scale=${even(picture.width * factor)}:${even(picture.height * factor)}`;
}
