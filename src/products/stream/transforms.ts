/**
 * Media transformations: `/cdn-cgi/media/{options}/{source URL}` on a zone that has transformations on cuts, resizes and
 * stills a video that is kept elsewhere. Whose videos may be, the zone's settings say, which are those of images. What comes
 * out is kept in the content cache for as long as there is room; the video itself is kept nowhere.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { ContentStore, ImageTransforms, Zones } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { notFoundPage } from "../../kernel/gateway/pages.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { answerFile, answerText, clientGone, corsHeaders } from "./answers.ts";
import { VideoError } from "./errors.ts";
import { type Ffmpeg, FfmpegError, INPUT } from "./ffmpeg.ts";
import { audioCodec, normalized } from "./ladder.ts";
import { type Probe, probeFile } from "./probe.ts";
import { fetchable, type Remote, RemoteError } from "./remote.ts";
import { type TransformOptions, transformFilter, transformOptions } from "./transform-options.ts";
import type { Turns } from "./turns.ts";
import { newUid } from "./videos.ts";

export const MEDIA_PREFIX = "/cdn-cgi/media/";
/** Documented limits of a source. */
export const SOURCE_MAX_BYTES = 100 * 1024 * 1024;
const SOURCE_MAX_S = 600;
const KEEP_MS = 30 * 24 * 3600_000;
/** Longest output where no duration is given. */
const DURATION_DEFAULT_S = 60;

/** Numbers of the documentation, with the status of each. */
const STATUS = {
  9401: 400,
  9402: 413,
  9404: 404,
  9406: 400,
  9407: 502,
  9408: 403,
  9412: 415,
  9419: 400,
  9504: 504,
  9509: 502,
  9522: 503,
  9523: 500,
} as const;

export class TransformError extends Error {
  readonly number: keyof typeof STATUS;
  readonly status: number;

  constructor(number: keyof typeof STATUS, message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super(message, options);
    this.number = number;
    this.status = options.status ?? STATUS[number];
  }
}

export interface Transformed {
  readonly type: string;
  readonly extension: string;
  readonly bytes: Buffer;
}

export interface MediaTransforms {
  handleUrl(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** What becomes of a file of a video. Throws `TransformError`. */
  transform(path: string, options: TransformOptions): Promise<Transformed>;
}

export async function openTransforms(parts: {
  readonly kernel: KernelSlice;
  readonly zones: Zones;
  readonly sources: Pick<ImageTransforms, "allows">;
  readonly remote: Remote;
  readonly ffmpeg: Ffmpeg;
  readonly cache: ContentStore;
  readonly turns: Turns;
}): Promise<MediaTransforms> {
  const { kernel, zones, sources, remote, ffmpeg, cache, turns } = parts;
  const directory = join(kernel.directory, "transforms");
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const limits = ["-threads", String(kernel.config["stream.threads"])];

  async function transform(path: string, options: TransformOptions): Promise<Transformed> {
    const probe = await probeFile(ffmpeg, path).catch((cause: unknown) => {
      throw cause instanceof VideoError ? new TransformError(9412, "the file is not a video", { cause }) : cause;
    });
    if (probe.duration > SOURCE_MAX_S) throw new TransformError(9402, "the video is longer than 10 minutes");
    if (options.mode === "audio" ? !probe.sound : probe.picture === undefined)
      throw new TransformError(9412, options.mode === "audio" ? "the file has no sound" : "the file is not a video");
    if (options.time >= probe.duration && options.time > 0) throw new TransformError(9401, "time: past the end of the video");
    const output = join(directory, newUid());
    try {
      const { args, type, extension } = recipe(options, probe);
      const length = options.mode === "frame" ? [] : ["-t", String(options.duration ?? DURATION_DEFAULT_S)];
      const input = [...limits, ...INPUT, "-ss", String(options.time), ...length, "-i", `file:${path}`];
      await ffmpeg.run([...input, ...args, ...limits, "-map_metadata", "-1", `file:${output}`]);
      return { type, extension, bytes: await readFile(output) };
    } catch (cause) {
      throw cause instanceof FfmpegError ? new TransformError(9412, "the video cannot be read", { cause }) : cause;
    } finally {
      await rm(output, { force: true });
    }
  }

  /** ffmpeg's arguments between the input and the output file. */
  function recipe(options: TransformOptions, { picture, duration, sound }: Probe): { args: string[]; type: string; extension: string } {
    if (options.mode === "audio")
      return { args: ["-map", "0:a:0", ...audioCodec, "-movflags", "+faststart", "-f", "mp4"], type: "audio/mp4", extension: "m4a" };
    if (picture === undefined) throw new Error("a video without a picture was let through");
    const size = transformFilter(options, picture);
    const filters = [normalized(picture), ...(size === undefined ? [] : [size])].join(",");
    const still = (format: "jpg" | "png", filter: string) => ({
      args: ["-map", "0:v:0", "-vf", filter, "-frames:v", "1", "-c:v", format === "png" ? "png" : "mjpeg", "-q:v", "4", "-f", "image2pipe"],
      type: format === "png" ? "image/png" : "image/jpeg",
      extension: format,
    });
    if (options.mode === "frame") return still(options.format === "png" ? "png" : "jpg", filters);
    if (options.mode === "spritesheet") {
      const shown = Math.min(options.duration ?? DURATION_DEFAULT_S, Math.max(duration - options.time, 0.1));
      const columns = Math.ceil(Math.sqrt(options.imageCount));
      const tiles = `fps=${options.imageCount / shown},tile=${columns}x${Math.ceil(options.imageCount / columns)}`;
      return still("jpg", `${filters},${tiles}`);
    }
    const audio = options.audio && sound ? ["-map", "0:a:0", ...audioCodec] : ["-an"];
    const codec = ["-c:v", "libx264", "-preset", kernel.config["stream.preset"], "-crf", "23"];
    return {
      args: ["-map", "0:v:0", "-vf", filters, ...codec, ...audio, "-movflags", "+faststart", "-f", "mp4"],
      type: "video/mp4",
      extension: "mp4",
    };
  }

  async function made(url: URL, options: TransformOptions): Promise<Transformed> {
    const { filename: _, ...what } = options;
    const key = JSON.stringify(["media", url.href, what]);
    const kept = await cache.find(key);
    if (kept !== undefined) return { type: kept.headers.type as string, extension: kept.headers.extension as string, bytes: kept.bytes };
    const path = join(directory, newUid());
    try {
      const result = await turns.take(async () => {
        const { type } = await remote.download(url, path, { maxBytes: SOURCE_MAX_BYTES, signal: AbortSignal.timeout(60_000) });
        if (/^text\/html/i.test(type)) throw new TransformError(9412, "the origin server returned a page, not a video");
        return transform(path, options);
      });
      await cache.put(
        key,
        { headers: { type: result.type, extension: result.extension }, bytes: result.bytes },
        { url: url.href, forMs: KEEP_MS },
      );
      return result;
    } finally {
      await rm(path, { force: true });
    }
  }

  return {
    transform,
    async handleUrl(request, response) {
      request.resume();
      const host = (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
      const zone = zones.ofHost(host);
      const allowed = zone === undefined ? undefined : (url: URL) => sources.allows(zone, url);
      if (zone === undefined || allowed === undefined || !sources.allows(zone)) return notFoundPage(request, response);
      try {
        if (request.method !== "GET" && request.method !== "HEAD") throw new TransformError(9401, "GET and HEAD only", { status: 405 });
        if (/\bstream\b/.test(String(request.headers.via ?? "")))
          throw new TransformError(9402, "a request loop: the video is transformed already", { status: 400 });
        const { options, url } = parsedTarget(request.url as string);
        if (!allowed(url)) throw new TransformError(9401, "Transformation origin is not in allowed origins list", { status: 403 });
        const { type, extension, bytes } = await made(url, options);
        const base =
          url.pathname
            .split("/")
            .at(-1)
            ?.replace(/\.[^.]*$/, "")
            .replace(/[^A-Za-z0-9_-]/g, "_") || "media";
        const name =
          options.filename === undefined
            ? `${base}.${extension}`
            : options.filename.includes(".")
              ? options.filename
              : `${options.filename}.${extension}`;
        const headers = {
          ...corsHeaders(request),
          "content-type": type,
          "content-disposition": `inline; filename="${name}"`,
          "cache-control": "public, max-age=3600",
          "cf-resized": "internal=ok",
        };
        await answerFile(
          request,
          response,
          async ({ offset, length }) => Readable.from([bytes.subarray(offset, offset + length)]),
          bytes.byteLength,
          headers,
        );
      } catch (error) {
        if (clientGone(error) || response.headersSent) return void response.destroy();
        const known = transformErrorOf(error);
        if (known.status === 500) kernel.log.error("stream.transform_failed", { url: request.url, error });
        const headers = { "cf-resized": `err=${known.number}`, "cache-control": "no-store", "x-content-type-options": "nosniff" };
        answerText(request, response, "text/plain; charset=utf-8", `ERROR ${known.number}: ${known.message}`, headers, known.status);
      }
    },
  };
}

export function transformErrorOf(error: unknown): TransformError {
  if (error instanceof TransformError) return error;
  if (error instanceof RemoteError) return new TransformError(error.number, error.message, { cause: error });
  if (error instanceof PlatformError) return new TransformError(9522, error.message, { cause: error, status: error.spec.status });
  if ((error as Error)?.name === "TimeoutError") return new TransformError(9504, "the origin server took too long", { cause: error });
  return new TransformError(9523, "the video could not be transformed", { cause: error });
}

/** `/cdn-cgi/media/{options}/{source URL}`. Throws `TransformError`. */
function parsedTarget(target: string): { options: TransformOptions; url: URL } {
  const rest = target.slice(MEDIA_PREFIX.length);
  const slash = rest.indexOf("/");
  const text = slash < 0 ? "" : rest.slice(slash + 1);
  if (slash <= 0 || text === "") throw new TransformError(9401, "the URL has no options, or no video");
  const entries = rest
    .slice(0, slash)
    .split(",")
    .map((part): [string, string] => {
      const [name = "", ...value] = part.split("=");
      return [name.trim(), value.join("=")];
    });
  const options = transformOptions(Object.fromEntries(entries));
  if ("wrong" in options) throw new TransformError(9401, options.wrong);
  if (/[^\x21-\x7e]/.test(text)) throw new TransformError(9419, "the video's URL has spaces or characters that are not escaped");
  // Servers on the way make one slash of two.
  const url = fetchable(text.replace(/^(https?):\/+/i, "$1://"));
  if (url === undefined) throw new TransformError(9406, "the video's URL is none of https");
  url.hash = "";
  return { options, url };
}
