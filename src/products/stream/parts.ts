/** Parts of a video as URLs ask for them: previews of its end and clips (docs: Live instant clipping). Pure. */
import { DeliveryError } from "./answers.ts";
import { CLIP_MAX_S, PREVIEW_MAX_S } from "./limits.ts";
import type { Part } from "./manifests.ts";
import { secondsFrom } from "./thumbnails.ts";

export const partQuery = ({ from, to }: Part): string => `?from=${from}&to=${to}`;

/** What `partQuery` wrote. */
export function partFrom(query: URLSearchParams): Part | undefined {
  const [from, to] = [Number(query.get("from") ?? Number.NaN), Number(query.get("to") ?? Number.NaN)];
  return from >= 0 && to > from ? { from, to } : undefined;
}

/** The last so many seconds; undefined where a preview is not asked for. */
export function previewOf(query: URLSearchParams, duration: number): Part | undefined {
  const seconds = secondsFrom(query.get("duration"));
  if (seconds === undefined || seconds <= 0) return undefined;
  return { from: Math.max(0, duration - Math.min(seconds, PREVIEW_MAX_S)), to: duration };
}

/** Throws a `DeliveryError` for what is no clip. */
export function clipOf(query: URLSearchParams, duration: number): Part {
  const [from, length] = [secondsFrom(query.get("time")) ?? 0, secondsFrom(query.get("duration"))];
  if (length === undefined || length <= 0 || length > CLIP_MAX_S) throw new DeliveryError(400, "duration: at most 60 seconds");
  if (from >= duration) throw new DeliveryError(400, "time: past the end of the video");
  return { from, to: Math.min(duration, from + length) };
}
