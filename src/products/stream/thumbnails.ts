/** Pictures of a video at a time, and moving ones: options of their URLs, and ffmpeg's part of making them. */
import type { Ffmpeg } from "./ffmpeg.ts";
import { INPUT } from "./ffmpeg.ts";

export interface ThumbnailOptions {
  readonly time: number;
  readonly width: number;
  readonly height: number;
  readonly fit: "crop" | "clip" | "scale" | "fill";
  readonly duration: number;
  readonly fps: number;
}

const SIDE_MAX = 2000;
const SIDE_DEFAULT = 640;
/** Of a moving picture. */
const DURATION_MAX_S = 60;
const FPS_MAX = 30;

/** "8m", "5m2s", "1h12m27s", "3.5s", or a plain number of seconds; undefined for anything else. */
export function secondsFrom(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const [, hours, minutes, seconds] = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text) ?? [];
  if (hours === undefined && minutes === undefined && seconds === undefined) return undefined;
  return Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
}

/** Documented defaults; where only one side is given, or none, the other follows from the picture. */
export function thumbnailOptions(
  query: URLSearchParams,
  video: { width: number; height: number; duration: number; thumbnailTimestampPct: number },
): ThumbnailOptions {
  const side = (name: string): number | undefined => {
    const value = Number(query.get(name));
    return Number.isInteger(value) && value > 0 ? Math.min(value, SIDE_MAX) : undefined;
  };
  const ratio = video.width / video.height;
  const [givenWidth, givenHeight] = [side("width"), side("height")];
  const width = givenWidth ?? Math.max(1, Math.round(givenHeight === undefined ? SIDE_DEFAULT : givenHeight * ratio));
  const height = givenHeight ?? Math.max(1, Math.round(width / ratio));
  const fit = query.get("fit");
  const latest = Math.max(0, video.duration - 0.1);
  const time = secondsFrom(query.get("time")) ?? video.thumbnailTimestampPct * video.duration;
  const fps = Number(query.get("fps"));
  return {
    ...{ time: Math.min(time, latest), width, height },
    fit: fit === "clip" || fit === "scale" || fit === "fill" ? fit : "crop",
    duration: Math.min(secondsFrom(query.get("duration")) ?? 5, DURATION_MAX_S, Math.max(0.1, video.duration - Math.min(time, latest))),
    fps: fps > 0 ? Math.min(fps, FPS_MAX) : 8,
  };
}

/** ffmpeg's filter that fits a picture into a size. */
export function fitted({ width, height, fit }: Pick<ThumbnailOptions, "width" | "height" | "fit">): string {
  if (fit === "scale") return `scale=${width}:${height}`;
  if (fit === "crop") return `scale=${width}:${height}:force_original_aspect_ratio=increase,crop=${width}:${height}`;
  const inside = `scale=${width}:${height}:force_original_aspect_ratio=decrease`;
  return fit === "clip" ? inside : `${inside},pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2:black`;
}

export function still(ffmpeg: Ffmpeg, path: string, options: ThumbnailOptions, format: "jpg" | "png" = "jpg"): Promise<Buffer> {
  const codec = format === "png" ? ["-c:v", "png"] : ["-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"];
  const args = [
    "-threads",
    "1",
    ...INPUT,
    "-ss",
    String(options.time),
    "-i",
    `file:${path}`,
    "-map",
    "0:v:0",
    "-frames:v",
    "1",
    "-vf",
    fitted(options),
  ];
  return ffmpeg.output([...args, ...codec, "-f", "image2pipe", "pipe:1"]);
}

export function moving(ffmpeg: Ffmpeg, path: string, options: ThumbnailOptions): Promise<Buffer> {
  const palette = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer";
  const filter = `[0:v:0]fps=${options.fps},${fitted(options)},${palette}`;
  const window = ["-ss", String(options.time), "-t", String(options.duration)];
  return ffmpeg.output([
    "-threads",
    "1",
    ...INPUT,
    ...window,
    "-i",
    `file:${path}`,
    "-filter_complex",
    filter,
    "-loop",
    "0",
    "-f",
    "gif",
    "pipe:1",
  ]);
}
