/** Parts of a video as MP4 files that are made when they are asked for and kept nowhere (docs: Live instant clipping). */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { KernelSlice } from "../../kernel/product.ts";
import { DeliveryError } from "./answers.ts";
import { type Ffmpeg, INPUT } from "./ffmpeg.ts";
import { audioCodec, videoCodec } from "./ladder.ts";
import type { Part } from "./manifests.ts";
import type { Tracks } from "./tracks.ts";
import { newUid, type Video } from "./videos.ts";
import { best } from "./work.ts";

/** Called while the file is there. */
export type ClipUse = (path: string, size: number) => Promise<void>;

export interface Clips {
  make(video: Video, part: Part, use: ClipUse): Promise<void>;
  /** Of files that together are one video with sound; `part` counts from their beginning. */
  makeOf(paths: readonly string[], part: Part, use: ClipUse): Promise<void>;
}

const BITRATE = 4_000_000;

export async function openClips(kernel: KernelSlice, tracks: Tracks, ffmpeg: Ffmpeg): Promise<Clips> {
  const directory = join(kernel.directory, "clips");
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });

  /** One file is a video with or without sound; of two the second is the sound. */
  async function cut(files: readonly string[], { from, to }: Part, use: ClipUse): Promise<void> {
    const path = join(directory, newUid());
    const window = ["-ss", String(from), "-t", String(to - from)];
    const maps = files.length === 1 ? ["-map", "0:v", "-map", "0:a?"] : files.flatMap((_, i) => ["-map", String(i)]);
    const codecs = [...videoCodec(BITRATE, kernel.config["stream.preset"]), ...audioCodec];
    const threads = ["-threads", String(kernel.config["stream.threads"])];
    try {
      const inputs = files.flatMap((file) => [...window, ...INPUT, "-i", `file:${file}`]);
      await ffmpeg.run([...inputs, ...maps, ...codecs, ...threads, "-movflags", "+faststart", "-f", "mp4", `file:${path}`]);
      await use(path, (await stat(path)).size);
    } finally {
      await rm(path, { force: true });
    }
  }

  return {
    async make({ uid }, part, use) {
      const all = await tracks.of(uid);
      const picture = best(all)?.blob;
      if (picture == null) throw new DeliveryError(404, "the video has no picture yet");
      const sound = all.find(({ kind }) => kind === "audio")?.blob;
      const files = await Promise.all([picture, ...(sound == null ? [] : [sound])].map((blob) => kernel.blobs.localFile(blob)));
      try {
        await cut(
          files.map(({ path }) => path),
          part,
          use,
        );
      } finally {
        await Promise.all(files.map((file) => file.release()));
      }
    },
    async makeOf(paths, part, use) {
      const whole = join(directory, newUid());
      try {
        for (const path of paths) await pipeline(createReadStream(path), createWriteStream(whole, { flags: "a" }));
        await cut([whole], part, use);
      } finally {
        await rm(whole, { force: true });
      }
    },
  };
}
