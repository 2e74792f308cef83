/** What a file is, by ffprobe: the picture as it is shown (turned, with square pixels) and the sound. */

import { VideoError } from "./errors.ts";
import { type Ffmpeg, FfmpegError } from "./ffmpeg.ts";
import { DURATION_MIN_S } from "./limits.ts";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Frames a second. */
  readonly fps: number;
  /** Brighter than ordinary screens show: it is to be mapped. */
  readonly hdr: boolean;
  /** "avc1.64001f" of H.264, else the codec's name. */
  readonly codecs: string;
  readonly codec: string;
}

export interface Probe {
  /** Seconds; 0 when the file does not say. */
  readonly duration: number;
  readonly picture: Picture | undefined;
  readonly sound: boolean;
  readonly soundCodec: string | undefined;
}

interface RawStream {
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly profile?: string;
  readonly level?: number;
  readonly width?: number;
  readonly height?: number;
  readonly duration?: string;
  readonly avg_frame_rate?: string;
  readonly r_frame_rate?: string;
  readonly sample_aspect_ratio?: string;
  readonly color_transfer?: string;
  readonly disposition?: { readonly attached_pic?: number };
  readonly side_data_list?: readonly { readonly rotation?: number }[];
}

/** Throws a `VideoError` with ERR_NON_VIDEO for a file that is no container of video or sound. */
export async function probeFile(ffmpeg: Ffmpeg, path: string): Promise<Probe> {
  const raw = (await ffmpeg.probe(path).catch((cause: unknown) => {
    throw cause instanceof FfmpegError ? new VideoError("ERR_NON_VIDEO", { cause }) : cause;
  })) as { format?: { duration?: string }; streams?: readonly RawStream[] };
  const streams = raw.streams ?? [];
  const video = streams.find(({ codec_type, disposition }) => codec_type === "video" && disposition?.attached_pic !== 1);
  const audio = streams.find(({ codec_type }) => codec_type === "audio");
  const duration = Number(raw.format?.duration ?? video?.duration ?? audio?.duration ?? 0);
  return {
    duration: Number.isFinite(duration) ? duration : 0,
    picture: video === undefined ? undefined : pictureOf(video),
    sound: audio !== undefined,
    soundCodec: audio?.codec_name,
  };
}

/** The probe of a file that is to be a video. Throws a `VideoError` that says why it is none. */
export async function probeVideo(ffmpeg: Ffmpeg, path: string, maxSeconds: number | null): Promise<Probe & { picture: Picture }> {
  const { picture, ...probe } = await probeFile(ffmpeg, path);
  if (picture === undefined || !(picture.width > 0 && picture.height > 0)) throw new VideoError("ERR_NON_VIDEO");
  if (probe.duration < DURATION_MIN_S) throw new VideoError("ERR_DURATION_TOO_SHORT");
  if (maxSeconds !== null && probe.duration > maxSeconds) throw new VideoError("ERR_DURATION_EXCEED_CONSTRAINT");
  return { ...probe, picture };
}

function pictureOf(stream: RawStream): Picture {
  const [sarX = 1, sarY = 1] = (stream.sample_aspect_ratio ?? "1:1").split(":").map(Number);
  const stretch = sarX > 0 && sarY > 0 ? sarX / sarY : 1;
  const width = Math.round((stream.width ?? 0) * stretch);
  const height = stream.height ?? 0;
  const turned = Math.abs(stream.side_data_list?.find(({ rotation }) => rotation !== undefined)?.rotation ?? 0) % 180 === 90;
  return {
    ...(turned ? { width: height, height: width } : { width, height }),
    fps: rate(stream.avg_frame_rate) || rate(stream.r_frame_rate) || 30,
    hdr: stream.color_transfer === "smpte2084" || stream.color_transfer === "arib-std-b67",
    codec: stream.codec_name ?? "",
    codecs: codecsOf(stream),
  };
}

function rate(text = "0/1"): number {
  const [over = 0, under = 1] = text.split("/").map(Number);
  return under > 0 ? over / under : 0;
}

/** Profile and constraints of H.264 as its encoders write them (RFC 6381). */
const PROFILES: Readonly<Record<string, string>> = { "Constrained Baseline": "42e0", Baseline: "4200", Main: "4d40", High: "6400" };

function codecsOf({ codec_name, profile = "", level = 30 }: RawStream): string {
  if (codec_name !== "h264") return codec_name ?? "";
  return `avc1.${PROFILES[profile] ?? "6400"}${Math.max(level, 10).toString(16).padStart(2, "0")}`;
}
