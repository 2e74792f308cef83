/**
 * The work that videos wait for: fetching, encoding, files to download, sounds that were added. Only so much is done at a
 * time; the rows are the queue. Whatever was under way when the platform died is begun again: its half-made tracks are
 * deleted first. A video's last transaction makes it ready, gives its file up, and notes the webhook.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { LocalFile } from "../../kernel/blobs/blobs.ts";
import { isDiskFull } from "../../kernel/durable-files.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Encoder, Made } from "./encode.ts";
import { VideoError } from "./errors.ts";
import { type Ffmpeg, INPUT } from "./ffmpeg.ts";
import { AUDIO_MAX_BYTES, VIDEO_MAX_BYTES } from "./limits.ts";
import type { Notices } from "./notices.ts";
import { probeVideo } from "./probe.ts";
import { fetchable, type Remote, RemoteError } from "./remote.ts";
import type { Storage } from "./storage.ts";
import type { Track, Tracks } from "./tracks.ts";
import { newUid, type Video, type VideoSource, type Videos } from "./videos.ts";
import type { Watermarks } from "./watermarks.ts";

export interface Work {
  /** Something new waits. */
  wake(): void;
  /** Ends what is under way for a video, and resolves when it has. */
  cancel(uid: string): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  readonly video: string;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

const RETRY_MS = 5_000;
const ATTEMPTS_MAX = 3;
const PROGRESS_EVERY_MS = 500;
class Cancelled extends Error {}

export interface WorkParts {
  readonly kernel: KernelSlice;
  readonly videos: Videos;
  readonly tracks: Tracks;
  readonly watermarks: Watermarks;
  readonly ffmpeg: Ffmpeg;
  readonly encoder: Encoder;
  readonly remote: Remote;
  readonly notices: Notices;
  readonly storage: Storage;
}

export async function openWork(parts: WorkParts): Promise<Work> {
  const { kernel, videos, tracks } = parts;
  const root = join(kernel.directory, "work");
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const max = kernel.config["stream.jobs_at_once"];
  const running = new Map<string, Running>();
  const attempts = new Map<string, number>();
  /** What is tried again after a pause. */
  const paused = new Set<string>();
  let stopped = false;
  let looking: Promise<void> | undefined;
  let again = false;
  let retry: NodeJS.Timeout | undefined;

  const jobs = jobsFor(parts);

  function begin(
    key: string,
    video: string,
    work: (directory: string, signal: AbortSignal) => Promise<void>,
    giveUp: () => Promise<void>,
  ): void {
    const abort = new AbortController();
    const directory = join(root, newUid());
    const done = (async () => {
      try {
        await mkdir(directory);
        await work(directory, abort.signal);
        attempts.delete(key);
      } catch (error) {
        if (abort.signal.aborted) return;
        await failed(key, error, giveUp);
      } finally {
        await rm(directory, { recursive: true, force: true }).catch((error: unknown) =>
          kernel.log.warn("stream.scratch_left", { directory, error }),
        );
        running.delete(key);
        if (!abort.signal.aborted) wake();
      }
    })();
    running.set(key, { video, abort, done });
  }

  /** A failure of ours: tried again later, and given up when it goes on. A full disk is waited for. */
  async function failed(key: string, error: unknown, giveUp: () => Promise<void>): Promise<void> {
    const count = (attempts.get(key) ?? 0) + 1;
    kernel.log.warn("stream.job_failed", { job: key, attempt: count, error });
    if (count >= ATTEMPTS_MAX && !isDiskFull(error)) {
      attempts.delete(key);
      return giveUp().catch((cause: unknown) => kernel.log.error("stream.job_lost", { job: key, error: cause }));
    }
    attempts.set(key, count);
    retry ??= setTimeout(() => {
      retry = undefined;
      paused.clear();
      wake();
    }, RETRY_MS * count).unref();
    paused.add(key);
  }
  async function look(): Promise<void> {
    if (stopped || running.size >= max) return;
    const free = (key: string): boolean => !running.has(key) && !paused.has(key);
    const wanted = max + paused.size;
    for (const video of await videos.waiting(wanted)) {
      const key = `video ${video.uid}`;
      if (!stopped && running.size < max && free(key))
        begin(
          key,
          video.uid,
          (directory, signal) => jobs.video(video, directory, signal),
          () => jobs.fail(video.uid, new VideoError("ERR_UNKNOWN")),
        );
    }
    for (const track of await tracks.waiting(wanted)) {
      const key = `track ${track.id}`;
      if (!stopped && running.size < max && free(key))
        begin(
          key,
          track.video,
          (directory, signal) => jobs.track(track, directory, signal),
          () => jobs.failTrack(track),
        );
    }
  }

  function wake(): void {
    if (stopped) return;
    again = true;
    looking ??= (async () => {
      while (again) {
        again = false;
        await look().catch((error: unknown) => kernel.log.error("stream.queue_failed", { error }));
      }
      looking = undefined;
    })();
  }

  return {
    wake,
    async cancel(uid) {
      const own = [...running.values()].filter(({ video }) => video === uid);
      for (const { abort } of own) abort.abort(new Cancelled());
      await Promise.all(own.map(({ done }) => done));
      if (own.length > 0) wake();
    },
    async stop() {
      stopped = true;
      clearTimeout(retry);
      await looking;
      const all = [...running.values()];
      for (const { abort } of all) abort.abort(new Cancelled());
      await Promise.all(all.map(({ done }) => done));
    },
  };
}

/** What is done for one video or track. */
function jobsFor({ kernel, videos, tracks, watermarks, ffmpeg, encoder, remote, notices, storage }: WorkParts) {
  const { meta, blobs, leases, clock } = kernel;

  /** A video has failed for good: its file goes, and the webhook hears of it. */
  async function fail(uid: string, error: VideoError): Promise<void> {
    const video = await videos.find(uid);
    if (video === undefined) return;
    const left = await tracks.of(uid);
    const blob = video.source?.kind === "file" ? video.source.blob : undefined;
    const after = await meta.transaction(async (tx) => {
      const details = { error: { code: error.code, text: error.message } };
      await videos.change(uid, { state: "error", source: null, reserved: 0, readyAt: null, details }, undefined, tx);
      if (blob !== undefined) await leases.revoke(tx, blob);
      const discard = await tracks.remove(tx, left);
      return { discard, notify: await notices.add(tx, uid) };
    });
    if (blob !== undefined) await leases.discard(blob);
    await after.discard();
    after.notify();
  }

  async function fetched(video: Video & { source: { kind: "url" } & VideoSource }, directory: string, signal: AbortSignal): Promise<void> {
    const url = fetchable((video.source as { url: string }).url);
    if (url === undefined) throw new VideoError("ERR_FETCH_ORIGIN_ERROR");
    const path = join(directory, "source");
    const { size } = await remote.download(url, path, { maxBytes: VIDEO_MAX_BYTES, signal }).catch((cause: unknown) => {
      throw cause instanceof RemoteError ? new VideoError("ERR_FETCH_ORIGIN_ERROR", { cause }) : cause;
    });
    const blob = await leases.take();
    await blobs.adopt(path, blob);
    await meta.transaction(async (tx) => {
      await leases.settle(tx, blob);
      const still = await videos.change(
        video.uid,
        { state: "queued", source: { kind: "file", blob }, size, uploaded: clock.now() },
        undefined,
        tx,
      );
      if (!still) throw new Cancelled();
    });
  }

  /** The file that a video is encoded from. A clip's is put together from the tracks of the video that it is cut from. */
  async function sourceOf(
    video: Video,
    directory: string,
    signal: AbortSignal,
  ): Promise<LocalFile & { part?: { start: number; end: number } }> {
    const { source } = video;
    if (source?.kind === "file") return blobs.localFile(source.blob);
    if (source?.kind !== "clip") throw new Error(`the video ${video.uid} has no source`);
    const path = join(directory, "whole.mp4");
    await joined(await tracks.of(source.from), path, signal);
    return { path, release: async () => undefined, part: { start: source.start, end: source.end } };
  }

  /** The best picture with the sound, as one MP4 file; nothing is encoded anew. */
  async function joined(all: readonly Track[], path: string, signal: AbortSignal, window: readonly string[] = []): Promise<void> {
    const parts = [best(all), all.find(({ kind }) => kind === "audio")].filter((track) => track?.blob != null) as Track[];
    if (parts[0]?.kind !== "video") throw new VideoError("ERR_UNKNOWN");
    const files = await Promise.all(parts.map(({ blob }) => blobs.localFile(blob as NonNullable<Track["blob"]>)));
    try {
      const inputs = files.flatMap((file) => [...window, ...INPUT, "-i", `file:${file.path}`]);
      const maps = files.flatMap((_, i) => ["-map", String(i)]);
      await ffmpeg.run([...inputs, ...maps, "-c", "copy", "-movflags", "+faststart", "-f", "mp4", `file:${path}`], { signal });
    } finally {
      await Promise.all(files.map((file) => file.release()));
    }
  }

  async function kept(uid: string, made: readonly Made[], change: Parameters<Videos["change"]>[1]): Promise<void> {
    const rows: Track[] = [];
    for (const { kind, path, info } of made) {
      const { size } = await stat(path);
      const blob = await leases.take();
      await blobs.adopt(path, blob);
      const label = kind === "audio" ? "original" : `${info.height}p`;
      rows.push({
        id: newUid(),
        video: uid,
        kind,
        status: "ready",
        label,
        isDefault: kind === "audio",
        created: clock.now(),
        source: null,
        blob,
        size,
        info,
      });
    }
    await meta.transaction(async (tx) => {
      for (const track of rows) {
        await leases.settle(tx, track.blob as NonNullable<Track["blob"]>);
        await tracks.put(tx, track);
      }
      if (!(await videos.change(uid, change, undefined, tx))) throw new Cancelled();
    });
  }

  async function encode(video: Video, directory: string, signal: AbortSignal): Promise<void> {
    const { uid, details } = video;
    const halfMade = await tracks.of(uid);
    if (halfMade.length > 0) await (await meta.transaction((tx) => tracks.remove(tx, halfMade)))();
    const file = await sourceOf(video, directory, signal);
    let stamp: LocalFile | undefined;
    try {
      const probe = await probeVideo(ffmpeg, file.path, details.maxDurationSeconds);
      const duration = file.part === undefined ? probe.duration : Math.min(file.part.end, probe.duration) - file.part.start;
      await storage.demand(Math.ceil(duration), uid);
      const { width, height } = probe.picture;
      await videos.change(uid, { state: "inprogress", pct: 0, duration: round(duration), width, height, readyAt: null });
      if (details.watermark !== null) stamp = await blobs.localFile(await watermarks.picture(details.watermark.uid));
      const watermark = details.watermark === null || stamp === undefined ? undefined : { profile: details.watermark, path: stamp.path };
      const progress = throttled(clock, (pct) =>
        videos.change(uid, { pct }, ["inprogress"]).then(
          () => undefined,
          () => undefined,
        ),
      );
      const part = file.part;
      for await (const made of encoder.encode({ path: file.path, directory, probe, watermark, part, signal, progress }))
        await kept(uid, made, { readyAt: clock.now() });
    } finally {
      await file.release();
      await stamp?.release();
    }
  }

  async function finish(uid: string): Promise<void> {
    const video = await videos.find(uid);
    if (video === undefined) return;
    const blob = video.source?.kind === "file" ? video.source.blob : undefined;
    const notify = await meta.transaction(async (tx) => {
      await videos.change(uid, { state: "ready", pct: 100, source: null, reserved: 0, readyAt: clock.now() }, undefined, tx);
      if (blob !== undefined) await leases.revoke(tx, blob);
      return notices.add(tx, uid);
    });
    if (blob !== undefined) await leases.discard(blob);
    notify();
  }

  async function makeTrack(
    track: Track,
    video: Video,
    directory: string,
    signal: AbortSignal,
  ): Promise<{ path: string; info: Track["info"] }> {
    const path = join(directory, "made");
    if (track.kind === "mp4") {
      await joined(await tracks.of(video.uid), path, signal);
      return { path, info: null };
    }
    if (track.kind === "m4a") {
      const sound = (await tracks.of(video.uid)).find(({ kind }) => kind === "audio");
      if (sound?.blob == null) throw new VideoError("ERR_UNKNOWN");
      const file = await blobs.localFile(sound.blob);
      const args = [...INPUT, "-i", `file:${file.path}`, "-c", "copy", "-movflags", "+faststart", "-f", "mp4", `file:${path}`];
      await ffmpeg.run(args, { signal }).finally(() => file.release());
      return { path, info: null };
    }
    const { source } = track;
    if (source === null) throw new Error(`the track ${track.id} has no source`);
    const given = join(directory, "given");
    const file = source.kind === "file" ? await blobs.localFile(source.blob) : { path: given, release: async () => undefined };
    try {
      if (source.kind === "url") await remote.download(new URL(source.url), given, { maxBytes: AUDIO_MAX_BYTES, signal });
      return await encoder.encodeSound({ path: file.path, directory, seconds: video.duration, signal });
    } finally {
      await file.release();
    }
  }

  async function failTrack(track: Track): Promise<void> {
    await replaceSource(track, { ...track, status: "error", source: null });
  }

  /** Writes the track as it is now; what it was made from goes. */
  async function replaceSource(before: Track, after: Track): Promise<void> {
    const given = before.source?.kind === "file" ? before.source.blob : undefined;
    await meta.transaction(async (tx) => {
      if (after.blob !== null) await leases.settle(tx, after.blob);
      if (given !== undefined) await leases.revoke(tx, given);
      const now = await tracks.find(before.video, before.id);
      if (now === undefined) throw new Cancelled();
      await tracks.put(tx, { ...after, label: now.label, isDefault: now.isDefault });
    });
    if (given !== undefined) await leases.discard(given);
  }

  return {
    fail,
    failTrack,
    async video(first: Video, directory: string, signal: AbortSignal): Promise<void> {
      try {
        if (first.source?.kind === "url") await fetched(first as Parameters<typeof fetched>[0], directory, signal);
        const video = await videos.find(first.uid);
        if (video === undefined) return;
        await encode(video, directory, signal);
        await finish(video.uid);
      } catch (error) {
        if (error instanceof Cancelled) return;
        if (!(error instanceof VideoError) || signal.aborted) throw error;
        kernel.log.info("stream.video_refused", { uid: first.uid, code: error.code, why: String(error.cause ?? "") });
        await fail(first.uid, error);
      }
    },
    async track(track: Track, directory: string, signal: AbortSignal): Promise<void> {
      const video = await videos.find(track.video);
      if (video === undefined) return;
      try {
        const { path, info } = await makeTrack(track, video, directory, signal);
        const { size } = await stat(path);
        const blob = await leases.take();
        await blobs.adopt(path, blob);
        await replaceSource(track, { ...track, status: "ready", source: null, blob, size, info });
      } catch (error) {
        if (error instanceof Cancelled) return;
        if (signal.aborted || isDiskFull(error)) throw error;
        kernel.log.info("stream.track_refused", { id: track.id, why: String(error) });
        await failTrack(track);
      }
    },
  };
}

/** The largest rendition. */
export const best = (all: readonly Track[]): Track | undefined =>
  all.filter(({ kind, status }) => kind === "video" && status === "ready").sort((a, b) => (b.info?.height ?? 0) - (a.info?.height ?? 0))[0];

const round = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/** Tells a percentage at most so often, and one after the other. */
function throttled(clock: KernelSlice["clock"], tell: (pct: number) => Promise<void>): (pct: number) => void {
  let told = 0;
  let busy = false;
  return (pct) => {
    if (busy || clock.now() - told < PROGRESS_EVERY_MS) return;
    told = clock.now();
    busy = true;
    void tell(Math.min(99, Math.round(pct))).finally(() => {
      busy = false;
    });
  };
}
