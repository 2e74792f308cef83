/** ffmpeg and ffprobe as clients: small test videos, what is in a file or stream, pictures' pixels. */
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const DEADLINE_MS = 60_000;

/** Why videos cannot be made here, or false. A file that needs them says "Needs FFmpeg." in its opening comment. */
export const noFFmpeg: string | false =
  ["ffmpeg", "ffprobe"].some((program) => spawnSync(program, ["-version"]).error !== undefined) && "ffmpeg with ffprobe is not installed";

/** Runs ffmpeg; rejects with all it said when it fails. */
export async function ffmpeg(...args: string[]): Promise<Buffer> {
  const options = { encoding: "buffer", maxBuffer: 64 * 1024 * 1024, timeout: DEADLINE_MS } as const;
  return (await execute("ffmpeg", ["-hide_banner", "-nostdin", "-loglevel", "error", "-y", ...args], options)).stdout;
}

export interface TestVideo {
  readonly seconds: number;
  readonly size?: string;
  readonly rate?: number;
  readonly sound?: boolean;
  /** A plain colour in place of the test picture. */
  readonly colour?: string;
}

/** Writes a small MP4 file (H.264, AAC) and answers its path. */
export async function testVideo(
  directory: string,
  name: string,
  { seconds, size = "320x180", rate = 10, sound = true, colour }: TestVideo,
): Promise<string> {
  const path = join(directory, name);
  const picture =
    colour === undefined
      ? `testsrc=size=${size}:rate=${rate}:duration=${seconds}`
      : `color=${colour}:size=${size}:rate=${rate}:duration=${seconds}`;
  const tone = sound ? ["-f", "lavfi", "-i", `sine=frequency=440:duration=${seconds}`, "-c:a", "aac"] : [];
  await ffmpeg("-f", "lavfi", "-i", picture, ...tone, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path);
  return path;
}

export interface ProbedStream {
  readonly codec_type: string;
  readonly codec_name: string;
  readonly width?: number;
  readonly height?: number;
  readonly nb_read_frames?: string;
}

/** What ffprobe reads of a file or URL; names on this machine lead to it by the proxy of no client, so URLs have an address. */
export async function ffprobe(
  source: string,
  ...args: string[]
): Promise<{ streams: ProbedStream[]; format: { duration?: string; format_name: string } }> {
  const { stdout } = await execute("ffprobe", ["-v", "error", "-show_streams", "-show_format", "-of", "json", ...args, source], {
    timeout: DEADLINE_MS,
  });
  return JSON.parse(stdout);
}
