/** The renditions of a video: which there are for a size, and how ffmpeg makes them. Pure. */
import { FPS_MAX, SEGMENT_S } from "./limits.ts";
import type { Picture } from "./probe.ts";

export interface Rendition {
  readonly width: number;
  readonly height: number;
  /** Most bits a second. */
  readonly bitrate: number;
}

/** By the short side of the picture: a portrait is bounded by its width. */
const STEPS: readonly { readonly side: number; readonly bitrate: number }[] = [
  { side: 360, bitrate: 800_000 },
  { side: 480, bitrate: 1_400_000 },
  { side: 720, bitrate: 2_800_000 },
  { side: 1080, bitrate: 5_000_000 },
];

/** From the smallest to the largest. A picture below all steps is kept as it is. */
export function ladderOf({ width, height }: Pick<Picture, "width" | "height">): Rendition[] {
  const short = Math.min(width, height);
  const steps = STEPS.filter(({ side }) => side <= short);
  const wanted = steps.length > 0 ? steps : [{ side: short, bitrate: 600_000 }];
  return wanted.map(({ side, bitrate }) => ({ width: even((width * side) / short), height: even((height * side) / short), bitrate }));
}

/** H.264 with colours at half resolution has even sides. */
export const even = (value: number): number => Math.max(2, 2 * Math.round(value / 2));

/** What is done to the picture before it is scaled. */
export function normalized({ fps, hdr }: Pick<Picture, "fps" | "hdr">): string {
  const mapped = "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable,zscale=t=bt709:m=bt709:r=tv";
  return [
    "scale=trunc(iw*sar/2)*2:ih",
    "setsar=1",
    ...(fps > FPS_MAX ? [`fps=${FPS_MAX}`] : []),
    ...(hdr ? [mapped] : []),
    "format=yuv420p",
  ].join(",");
}

/** A key frame at the start of each segment, and no reference across it. */
export const videoCodec = (bitrate: number, preset: string): string[] => [
  ...[
    "-c:v",
    "libx264",
    "-preset",
    preset,
    "-profile:v",
    "high",
    "-crf",
    "23",
    "-maxrate",
    String(bitrate),
    "-bufsize",
    String(2 * bitrate),
  ],
  ...["-force_key_frames", `expr:gte(t,n_forced*${SEGMENT_S})`, "-sc_threshold", "0", "-flags", "+cgop", "-video_track_timescale", "90000"],
];

export const audioCodec = ["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"] as const;

/** One file with all segments; the playlist beside it says where each lies. */
export const segmented = (playlist: string): string[] => [
  ...["-f", "hls", "-hls_time", String(SEGMENT_S), "-hls_segment_type", "fmp4", "-hls_flags", "single_file", "-hls_playlist_type", "vod"],
  ...["-map_metadata", "-1", "-map_chapters", "-1", playlist],
];
