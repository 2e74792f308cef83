/**
 * The system's `ffmpeg` and `ffprobe`, run for bytes of strangers: only the containers of videos are opened (no playlist, no
 * list of files, nothing that names another file or address), only files and pipes are read, at low priority, within a time,
 * and never longer than the platform lives. Nothing here knows what a video is.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Config } from "../../kernel/config.ts";
import { streamError } from "./errors.ts";

/** Containers that may be opened: the documented ones, and those of audio tracks and captured live video. */
const CONTAINERS = "mov,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,mxf,lxf,gxf,ogg,mp3,aac,wav,flac,gif";
/** Before each input. */
export const INPUT = ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS] as const;

const STDERR_MAX_CHARACTERS = 4_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;

/** It ended with a failure, or was ended because of its time. */
export class FfmpegError extends Error {}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Seconds of output that are done, as they come. */
  progress?(seconds: number): void;
  readonly input?: Readable;
}

export interface Ffmpeg {
  /** Throws `stream.unsupported` where a program is missing. */
  demand(): void;
  /** Runs ffmpeg. Rejects with `FfmpegError`, or with the signal's reason. */
  run(args: readonly string[], options?: RunOptions): Promise<void>;
  /** The same, and answers what it wrote to its standard output. */
  output(args: readonly string[], options?: RunOptions): Promise<Buffer>;
  /** What ffprobe says of a file, as JSON. */
  probe(path: string): Promise<unknown>;
  /** Starts one that has no end of its own: live video. `onError` hears the last of its words when it fails. */
  start(args: readonly string[]): LiveProcess;
}

export interface LiveProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves when it is gone, with its last words. */
  readonly ended: Promise<string>;
  kill(): void;
}

export function openFfmpeg(config: Config): Ffmpeg {
  const ffmpeg = findProgram("ffmpeg", config["stream.ffmpeg"]);
  const ffprobe = findProgram("ffprobe", config["stream.ffprobe"]);
  const timeoutMs = config["stream.job_timeout_s"] * 1000;
  const quiet = ["-hide_banner", "-nostdin", "-loglevel", "error", "-y"];

  function demand(): void {
    if (ffmpeg === undefined || ffprobe === undefined) throw streamError("unsupported");
  }

  function launch(program: string | undefined, args: readonly string[]) {
    if (program === undefined) throw streamError("unsupported");
    const [command, ...rest] = [...wrapper(), program, ...args];
    const child = spawn(command as string, rest, {
      env: { PATH: process.env.PATH ?? "", LANG: "C.UTF-8" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let words = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      words = `${words}${text}`.slice(-STDERR_MAX_CHARACTERS);
    });
    // Whoever writes to one that has ended hears of it by its end.
    child.stdin.on("error", () => undefined);
    const ended = new Promise<{ code: number | null; words: string }>((resolve) => {
      child.once("error", (error) => resolve({ code: null, words: error.message }));
      child.once("close", (code) => resolve({ code, words }));
    });
    return { child, ended };
  }

  async function work(program: string | undefined, args: readonly string[], options: RunOptions, read: (chunk: Buffer) => void) {
    options.signal?.throwIfAborted();
    const { child, ended } = launch(program, args);
    const stop = (): void => void child.kill("SIGKILL");
    options.signal?.addEventListener("abort", stop);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stop();
    }, timeoutMs);
    child.stdout.on("data", read);
    if (options.input === undefined) child.stdin.end();
    else options.input.on("error", stop).pipe(child.stdin);
    const { code, words } = await ended;
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", stop);
    options.signal?.throwIfAborted();
    if (late) throw new FfmpegError(`it took longer than ${timeoutMs / 1000} s`);
    if (code !== 0) throw new FfmpegError(words.trim() || `it ended with ${code}`);
  }

  async function collected(program: string | undefined, args: readonly string[], options: RunOptions): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    await work(program, args, options, (chunk) => {
      size += chunk.byteLength;
      if (size <= OUTPUT_MAX_BYTES) chunks.push(chunk);
    });
    if (size > OUTPUT_MAX_BYTES) throw new FfmpegError("its output is too large");
    return Buffer.concat(chunks);
  }

  return {
    demand,
    async run(args, options = {}) {
      const { progress } = options;
      if (progress === undefined) return work(ffmpeg, [...quiet, ...args], options, () => undefined);
      let rest = "";
      await work(ffmpeg, [...quiet, "-progress", "pipe:1", ...args], options, (chunk) => {
        const lines = `${rest}${chunk.toString("latin1")}`.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const time = /^out_time_us=(\d+)/.exec(line)?.[1];
          if (time !== undefined) progress(Number(time) / 1e6);
        }
      });
    },
    output: (args, options = {}) => collected(ffmpeg, [...quiet, ...args], options),
    async probe(path) {
      const args = ["-v", "error", ...INPUT, "-show_format", "-show_streams", "-of", "json", `file:${path}`];
      return JSON.parse((await collected(ffprobe, args, {})).toString("utf8"));
    },
    start(args) {
      const { child, ended } = launch(ffmpeg, ["-hide_banner", "-loglevel", "error", "-y", ...args]);
      return {
        stdin: child.stdin,
        stdout: child.stdout,
        ended: ended.then(({ words }) => words.trim()),
        kill: () => void child.kill("SIGKILL"),
      };
    },
  };
}

/** The configured program, or the first of that name on PATH; undefined when there is none. */
function findProgram(name: string, configured: string): string | undefined {
  const candidates =
    configured === "" ? [...(process.env.PATH ?? "").split(delimiter), "/usr/bin"].map((path) => join(path, name)) : [configured];
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Low priority; and where the host has setpriv, the kernel ends the program when our process dies. */
function wrapper(): string[] {
  const setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].find((path) => process.platform === "linux" && existsSync(path));
  return [...(setpriv === undefined ? [] : [setpriv, "--pdeathsig", "KILL", "--"]), "/usr/bin/env", "nice", "-n", "10"];
}
