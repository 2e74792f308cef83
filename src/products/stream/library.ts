/** What happens to videos besides their encoding: how they come to be, and how they go, by hand, by schedule or unused. */

import type { z } from "zod";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import type { Ffmpeg } from "./ffmpeg.ts";
import type { Intake } from "./intake.ts";
import { LIST_MAX, VIDEO_MAX_BYTES } from "./limits.ts";
import {
  type clipSchema,
  type common,
  type copySchema,
  deletionOf,
  detailsOf,
  type directSchema,
  expiryOf,
  tusOptions,
  uploadMetadata,
} from "./options.ts";
import { fetchable } from "./remote.ts";
import type { Storage } from "./storage.ts";
import type { Tracks } from "./tracks.ts";
import type { NewVideo, Video, Videos } from "./videos.ts";
import type { Watermarks } from "./watermarks.ts";
import type { Work } from "./work.ts";

export interface Library {
  copy(given: z.infer<typeof copySchema>): Promise<Video>;
  direct(given: z.infer<typeof directSchema>): Promise<Video>;
  clip(given: z.infer<typeof clipSchema>): Promise<Video>;
  /** A video whose file comes by tus. */
  tus(headers: Headers, direct: boolean): Promise<Video>;
  /** A video whose file has come in a form. */
  uploaded(filename: string, creator: string | undefined): Promise<Video>;
  remove(uid: string): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

const SWEEP_EVERY_MS = 5_000;

export function openLibrary(parts: {
  readonly kernel: KernelSlice;
  readonly videos: Videos;
  readonly tracks: Tracks;
  readonly watermarks: Watermarks;
  readonly storage: Storage;
  readonly ffmpeg: Ffmpeg;
  readonly intake: Intake;
  readonly work: Work;
}): Library {
  const { kernel, videos, tracks, watermarks, storage, ffmpeg, intake, work } = parts;
  const { meta, leases, clock, log } = kernel;
  let timer: NodeJS.Timeout | undefined;
  let sweeping: Promise<void> | undefined;

  /** What all new videos share. */
  async function described(given: z.infer<typeof common>): Promise<Omit<NewVideo, "state" | "source">> {
    ffmpeg.demand();
    await videos.demandRoom();
    const watermark = given.watermark == null ? null : await watermarks.get(given.watermark.uid);
    return {
      ...detailsOf(given),
      watermark,
      creator: given.creator ?? null,
      deletion: deletionOf(given.scheduledDeletion, clock.now()) ?? null,
    };
  }

  async function create(video: NewVideo): Promise<Video> {
    const made = await videos.create(video);
    if (made.state !== "pendingupload") work.wake();
    return made;
  }

  async function remove(uid: string): Promise<void> {
    await videos.get(uid);
    await work.cancel(uid);
    await intake.drop(uid);
    const all = await tracks.of(uid);
    const captions = await meta.all<{ blob: BlobId }>("SELECT blob FROM stream_captions WHERE video = ? LIMIT 1000", uid);
    const { discard, blobs } = await meta.transaction(async (tx) => {
      const row = await tx.get<{ source: string | null }>("SELECT source FROM stream_videos WHERE uid = ?", uid);
      const source = JSON.parse(row?.source ?? "null") as Video["source"];
      const blobs = [...captions.map(({ blob }) => blob), ...(source?.kind === "file" ? [source.blob] : [])];
      for (const blob of blobs) await leases.revoke(tx, blob);
      await tx.run("DELETE FROM stream_captions WHERE video = ?", uid);
      await videos.remove(tx, uid);
      return { discard: await tracks.remove(tx, all), blobs };
    });
    await discard();
    for (const blob of blobs) await leases.discard(blob);
  }

  /** Uploads that never came, and videos whose time is over. */
  async function sweep(): Promise<void> {
    const now = clock.now();
    const unused = "(state = 'pendingupload' AND expires IS NOT NULL AND expires < ?)";
    const due = await meta.all<{ uid: string }>(
      `SELECT uid FROM stream_videos WHERE ${unused} OR (deletion IS NOT NULL AND deletion < ?) ORDER BY created LIMIT ${LIST_MAX}`,
      ...[now, now],
    );
    for (const { uid } of due) await remove(uid).catch((error: unknown) => log.warn("stream.sweep_failed", { uid, error }));
    await watermarks.sweep();
  }

  return {
    async copy(given) {
      const url = fetchable(given.url ?? given.input ?? "");
      if (url === undefined) throw streamError("badRequest", "Bad Request: url must be a URL of http or https");
      const video = await described(given);
      const name = given.name ?? url.pathname.split("/").at(-1) ?? "";
      const meta = { "downloaded-from": url.href, ...(name !== "" && { name }), ...given.meta };
      return create({ ...video, meta, state: "downloading", source: { kind: "url", url: url.href } });
    },
    async direct(given) {
      const video = await described(given);
      await storage.reserve(given.maxDurationSeconds);
      return create({
        ...video,
        ...{ state: "pendingupload", source: { kind: "upload" }, expires: expiryOf(given.expiry, clock.now()) },
        ...{ maxDurationSeconds: given.maxDurationSeconds, reserved: given.maxDurationSeconds },
      });
    },
    async clip(given) {
      const { clippedFromVideoUID: from, startTimeSeconds: start, endTimeSeconds: end } = given;
      const whole = await videos.get(from);
      if (whole.state !== "ready") throw streamError("notReady");
      if (!(end > start) || end > whole.duration + 0.5)
        throw streamError("badRequest", "Bad Request: startTimeSeconds and endTimeSeconds must be times of the video, in order");
      const name = whole.details.meta.name;
      const meta = given.meta ?? (typeof name === "string" ? { name } : {});
      return create({ ...(await described(given)), meta, clippedFrom: from, state: "queued", source: { kind: "clip", from, start, end } });
    },
    async tus(headers, direct) {
      if (headers.get("tus-resumable") !== "1.0.0") throw streamError("badRequest", "Bad Request: Tus-Resumable must be 1.0.0");
      const length = Number(headers.get("upload-length") ?? Number.NaN);
      if (!Number.isSafeInteger(length) || length <= 0)
        throw streamError("badRequest", "Bad Request: Upload-Length must be the file's size");
      if (length > VIDEO_MAX_BYTES) throw streamError("tooLarge", "Request Entity Too Large: a video has at most 30 GB");
      const given = tusOptions(uploadMetadata(headers.get("upload-metadata")));
      const video = await described({ ...given, creator: headers.get("upload-creator") ?? undefined });
      const seconds = given.maxDurationSeconds ?? null;
      if (seconds !== null) await storage.reserve(seconds);
      // Whoever has a token may take a day to go on; a creator's URL ends sooner.
      const expires = given.expiry === undefined && !direct ? clock.now() + 24 * 3600_000 : expiryOf(given.expiry, clock.now());
      return create({
        ...video,
        state: "pendingupload",
        source: { kind: "tus", length },
        size: length,
        expires,
        maxDurationSeconds: seconds,
        reserved: seconds ?? 0,
      });
    },
    async uploaded(filename, creator) {
      const meta = filename === "" ? {} : { filename, name: filename };
      return create({ ...(await described({ meta, creator })), state: "pendingupload", source: { kind: "upload" } });
    },
    remove,
    start() {
      timer = setInterval(() => {
        sweeping ??= sweep()
          .catch((error: unknown) => log.warn("stream.sweep_failed", { error }))
          .finally(() => {
            sweeping = undefined;
          });
      }, SWEEP_EVERY_MS).unref();
    },
    async stop() {
      clearInterval(timer);
      await sweeping;
    },
  };
}
