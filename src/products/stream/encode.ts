/**
 * Makes the tracks of a video from its file: the smallest rendition and the sound first, so that it can be watched early,
 * then all others in one go. Knows files in and files out; no rows.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { VideoError } from "./errors.ts";
import { type Ffmpeg, FfmpegError, INPUT } from "./ffmpeg.ts";
import { audioCodec, ladderOf, normalized, type Rendition, segmented, videoCodec } from "./ladder.ts";
import type { Picture, Probe } from "./probe.ts";
import { probeFile } from "./probe.ts";
import { parseIndex } from "./segments.ts";
import type { TrackInfo } from "./tracks.ts";
import { overlay, type Watermark } from "./watermarks.ts";

/** A finished file in the job's directory. */
export interface Made {
  readonly kind: "video" | "audio";
  readonly path: string;
  readonly info: TrackInfo;
}

export interface EncodeJob {
  readonly path: string;
  readonly directory: string;
  readonly probe: Probe & { readonly picture: Picture };
  readonly watermark: { readonly profile: Watermark; readonly path: string } | undefined;
  /** Seconds of the file that are wanted; all without it. */
  readonly part?: { readonly start: number; readonly end: number } | undefined;
  readonly signal: AbortSignal;
  /** Percent of all that is done. */
  progress(percent: number): void;
}

export const AUDIO_CODECS = "mp4a.40.2";
/** Share of the first step in what `progress` tells. */
const FIRST_SHARE = 30;

export interface Encoder {
  /** The tracks of each step, when it is done. */
  encode(job: EncodeJob): AsyncGenerator<Made[]>;
  /** One sound track of exactly that many seconds from any file with sound. */
  encodeSound(job: Pick<EncodeJob, "path" | "directory" | "signal"> & { readonly seconds: number }): Promise<Made>;
}

export function encoder(ffmpeg: Ffmpeg, { threads, preset }: { readonly threads: number; readonly preset: string }): Encoder {
  const limits = ["-threads", String(threads), "-filter_threads", String(threads), "-filter_complex_threads", String(threads)];

  async function made(kind: "video" | "audio", directory: string, name: string): Promise<Made> {
    const index = parseIndex(await readFile(join(directory, `${name}.m3u8`), "utf8"));
    const path = join(directory, `${name}.m4s`);
    if (kind === "audio") return { kind, path, info: { ...index, codecs: AUDIO_CODECS } };
    const { picture } = await probeFile(ffmpeg, path);
    if (picture === undefined) throw new Error("the encoder wrote no picture");
    const { codecs, width, height, fps } = picture;
    return { kind, path, info: { ...index, codecs, width, height, fps } };
  }

  /** Arguments that make these renditions of the input's picture. */
  function pictures(job: EncodeJob, renditions: readonly Rendition[]): string[] {
    const marks = renditions.map((_, i) => `[s${i}]`).join("");
    const head = `[0:v:0]${normalized(job.probe.picture)},split=${renditions.length}${marks}`;
    const stamp = job.watermark === undefined ? "" : `;[1:v]split=${renditions.length}${renditions.map((_, i) => `[w${i}]`).join("")}`;
    const scaled = renditions.map((rendition, i) => {
      const { width, height } = rendition;
      const base = `[s${i}]scale=${width}:${height}:flags=bicubic,setsar=1`;
      if (job.watermark === undefined) return `${base}[v${i}]`;
      return `${base}[b${i}];${overlay(job.watermark.profile, rendition, `w${i}`, `b${i}`)}[v${i}]`;
    });
    const outputs = renditions.flatMap(({ bitrate, height }, i) => [
      ...["-map", `[v${i}]`, ...videoCodec(bitrate, preset), ...limits],
      ...segmented(join(job.directory, `v${height}.m3u8`)),
    ]);
    return ["-filter_complex", [`${head}${stamp}`, ...scaled].join(";"), ...outputs];
  }

  function inputs({ path, part, watermark }: EncodeJob): string[] {
    const window = part === undefined ? [] : ["-ss", String(part.start), "-t", String(part.end - part.start)];
    const stamp = watermark === undefined ? [] : ["-protocol_whitelist", "file,pipe", "-f", "png_pipe", "-i", `file:${watermark.path}`];
    return [...limits, ...INPUT, ...window, "-i", `file:${path}`, ...stamp];
  }

  return {
    async *encode(job) {
      const { probe, directory, signal, part } = job;
      const [smallest, ...larger] = ladderOf(probe.picture);
      const seconds = part === undefined ? probe.duration : part.end - part.start;
      const share = (from: number, to: number) => (done: number) =>
        job.progress(from + (to - from) * Math.min(1, done / Math.max(seconds, 0.1)));
      const sound = probe.sound ? ["-map", "0:a:0", ...audioCodec, ...segmented(join(directory, "audio.m3u8"))] : [];
      try {
        const first = [...inputs(job), ...pictures(job, [smallest as Rendition]), ...sound];
        await ffmpeg.run(first, { signal, progress: share(0, larger.length === 0 ? 100 : FIRST_SHARE) });
        yield [await made("video", directory, `v${smallest?.height}`), ...(probe.sound ? [await made("audio", directory, "audio")] : [])];
        if (larger.length === 0) return;
        await ffmpeg.run([...inputs(job), ...pictures(job, larger)], { signal, progress: share(FIRST_SHARE, 100) });
        yield await Promise.all(larger.map(({ height }) => made("video", directory, `v${height}`)));
      } catch (cause) {
        throw cause instanceof FfmpegError ? new VideoError("ERR_MALFORMED_VIDEO", { cause }) : cause;
      }
    },
    async encodeSound({ path, directory, seconds, signal }) {
      // What is too short is filled up with silence, what is too long is cut (docs: Add additional audio tracks).
      const shaped = ["-map", "0:a:0", "-af", "apad", "-t", String(seconds), ...audioCodec];
      await ffmpeg.run([...limits, ...INPUT, "-i", `file:${path}`, ...shaped, ...segmented(join(directory, "audio.m3u8"))], { signal });
      return made("audio", directory, "audio");
    },
  };
}
