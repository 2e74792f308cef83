/** Parts of a video as MP4 files that are made when they are asked for and kept nowhere (docs: Live instant clipping). */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { KernelSlice } from "../../kernel/product.ts";
import { DeliveryError } from "./answers.ts";
import { type Ffmpeg, INPUT } from "./ffmpeg.ts";
import { audioCodec, videoCodec } from "./ladder.ts";
import type { Part } from "./manifests.ts";
import type { Tracks } from "./tracks.ts";
import { newUid, type Video } from "./videos.ts";
import { best } from "./work.ts";

export interface Clips {
  /** The file is there for the time of `use`. */
  make(video: Video, part: Part, use: (path: string, size: number) => Promise<void>): Promise<void>;
}

const BITRATE = 4_000_000;

export async function openClips(kernel: KernelSlice, tracks: Tracks, ffmpeg: Ffmpeg): Promise<Clips> {
  const directory = join(kernel.directory, "clips");
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  return {
    async make({ uid }, { from, to }, use) {
      const all = await tracks.of(uid);
      const picture = best(all)?.blob;
      if (picture == null) throw new DeliveryError(404, "the video has no picture yet");
      const sound = all.find(({ kind }) => kind === "audio")?.blob;
      const files = await Promise.all([picture, ...(sound == null ? [] : [sound])].map((blob) => kernel.blobs.localFile(blob)));
      const path = join(directory, newUid());
      try {
        const window = ["-ss", String(from), "-t", String(to - from)];
        const inputs = files.flatMap((file) => [...window, ...INPUT, "-i", `file:${file.path}`]);
        const codecs = [
          ...videoCodec(BITRATE, kernel.config["stream.preset"]),
          ...audioCodec,
          "-threads",
          String(kernel.config["stream.threads"]),
        ];
        await ffmpeg.run([
          ...inputs,
          ...files.flatMap((_, i) => ["-map", String(i)]),
          ...codecs,
          "-movflags",
          "+faststart",
          "-f",
          "mp4",
          `file:${path}`,
        ]);
        await use(path, (await stat(path)).size);
      } finally {
        await Promise.all(files.map((file) => file.release()));
        await rm(path, { force: true });
      }
    },
  };
}
