/**
 * Files on their way in. A file is written under this product's directory first; it becomes a blob, and the video that waits
 * for it a queued one, in one transaction. A resumable upload (tus 1.0.0) is a file that grows: what was acknowledged is on
 * disk, and its length is what the client is told to go on from.
 */
import { mkdir, open, readdir, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError, VideoError } from "./errors.ts";
import type { Ffmpeg } from "./ffmpeg.ts";
import { receiveForm, type UploadedForm } from "./form.ts";
import { BASIC_MAX_BYTES } from "./limits.ts";
import { probeVideo } from "./probe.ts";
import { isUid, newUid, type Video, type Videos } from "./videos.ts";
import type { Work } from "./work.ts";

export interface Intake {
  /** A video from a form, whose file must be one. Throws `stream.notVideo`, `stream.tooLarge`, `stream.badRequest`. */
  form(body: AsyncIterable<Uint8Array> | null, contentType: string | null, video: (form: UploadedForm) => Promise<Video>): Promise<Video>;
  /** A file from a form that is no video, for the time of `use`. */
  withFile<T>(
    body: AsyncIterable<Uint8Array> | null,
    contentType: string | null,
    maxBytes: number,
    use: (path: string, form: UploadedForm) => Promise<T>,
  ): Promise<T>;
  /** Bytes of a resumable upload that are on disk. */
  offset(uid: string): Promise<number>;
  /**
   * Adds bytes at that offset, until the chunks end or break off; resolves with the new offset. A complete file becomes its
   * video's. Throws `stream.conflict` for another offset.
   */
  append(
    video: Video & { readonly source: { readonly kind: "tus"; readonly length: number } },
    offset: number,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<number>;
  /** Drops what has come of an upload. */
  drop(uid: string): Promise<void>;
}

export async function openIntake(kernel: KernelSlice, videos: Videos, ffmpeg: Ffmpeg, work: Work): Promise<Intake> {
  const { meta, blobs, leases, clock } = kernel;
  const scratch = join(kernel.directory, "incoming");
  const uploads = join(kernel.directory, "uploads");
  await rm(scratch, { recursive: true, force: true });
  for (const directory of [scratch, uploads]) await mkdir(directory, { recursive: true });
  // Uploads whose video is gone, or has its file already: the process died between the two.
  for (const name of await readdir(uploads)) {
    const video = isUid(name) ? await videos.find(name) : undefined;
    if (video?.source?.kind !== "tus") await rm(join(uploads, name), { force: true });
  }
  const each = oneAtATime();
  const pathOf = (uid: string): string => join(uploads, uid);

  /** The file is the video's from now on. */
  async function accept(uid: string, path: string, size: number): Promise<void> {
    const blob = await leases.take();
    await blobs.adopt(path, blob);
    const accepted = await meta.transaction(async (tx) => {
      await leases.settle(tx, blob);
      const change = { state: "queued" as const, source: { kind: "file" as const, blob }, size, uploaded: clock.now(), expires: null };
      const there = await videos.change(uid, change, ["pendingupload"], tx);
      if (!there) await leases.revoke(tx, blob);
      return there;
    });
    if (!accepted) {
      await leases.discard(blob);
      throw streamError("uploadGone");
    }
    work.wake();
  }

  async function withFile<T>(
    body: AsyncIterable<Uint8Array> | null,
    contentType: string | null,
    maxBytes: number,
    use: (path: string, form: UploadedForm) => Promise<T>,
  ): Promise<T> {
    const path = join(scratch, newUid());
    try {
      const form = await receiveForm(body, contentType, path, { maxBytes, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] });
      return await use(path, form);
    } finally {
      await rm(path, { force: true });
    }
  }

  return {
    withFile,
    form: (body, contentType, videoFor) =>
      withFile(body, contentType, BASIC_MAX_BYTES, async (path, form) => {
        if (form.file === undefined) throw streamError("badRequest", "Bad Request: the form has no file");
        await probeVideo(ffmpeg, path, null).catch((cause: unknown) => {
          throw cause instanceof VideoError ? streamError("notVideo", undefined, { cause }) : cause;
        });
        const video = await videoFor(form);
        await accept(video.uid, path, form.file.size);
        return videos.get(video.uid);
      }),
    async offset(uid) {
      const found = await stat(pathOf(uid)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      return found?.size ?? 0;
    },
    append: (video, offset, chunks) =>
      each(video.uid, async () => {
        const { uid, source } = video;
        const handle = await open(pathOf(uid), "a");
        let at: number;
        try {
          at = (await handle.stat()).size;
          if (at !== offset) throw streamError("conflict", `Conflict: the upload stands at ${at}`);
          for await (const chunk of chunks) {
            if (at + chunk.byteLength > source.length) {
              await truncate(pathOf(uid), offset);
              throw streamError("tooLarge", "Request Entity Too Large: the upload is longer than it was said to be");
            }
            await handle.appendFile(chunk);
            at += chunk.byteLength;
          }
        } finally {
          // Also what came before the connection broke is kept.
          await handle.sync();
          await handle.close();
        }
        if (at === source.length) await accept(uid, pathOf(uid), at);
        return at;
      }),
    drop: (uid) => each(uid, () => rm(pathOf(uid), { force: true })),
  };
}
