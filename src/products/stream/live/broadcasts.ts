/**
 * Broadcasts: what an encoder publishes becomes a new video, live by HLS while it lasts, and a recording afterwards (docs:
 * Start a live stream). Everything that comes is written to a file as it comes; at the end, also at that of a platform which
 * died, the file is what the video is encoded from. How encoders and viewers connect is `doors.ts`'s to know.
 */

import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { KernelSlice } from "../../../kernel/product.ts";
import { isUid, type Videos } from "../videos.ts";
import type { Work } from "../work.ts";
import { FLV_HEAD, type FlvTag, flvBytes, foreignCodec } from "./flv.ts";
import type { LiveInput, LiveInputs } from "./inputs.ts";
import type { LiveMetrics } from "./metrics.ts";
import type { LiveNotices } from "./notices.ts";
import { openPackager, type Packager } from "./packager.ts";
import { type Listener, openRelay, type Relay } from "./relay.ts";
import type { Publication } from "./rtmp.ts";

export interface Live {
  /** An encoder with an input's key wants to begin; undefined where it may not. `close` ends its connection. */
  publish(input: LiveInput, close: () => void): Promise<Publication | undefined>;
  /** Hears what an input broadcasts; answers how to leave, or undefined where nothing is. */
  join(input: string, listener: Listener): (() => void) | undefined;
  /** The video that an input broadcasts now. */
  current(input: string): string | undefined;
  connected(input: string): boolean;
  /** Where the head and segments of a live video lie, and what there is of them; undefined when it is not live. */
  packaged(video: string): { readonly directory: string; readonly packager: Packager } | undefined;
  /** Somebody looked at a live video. */
  watched(video: string, viewer: string): void;
  viewers(video: string): number;
  /** Ends what an input broadcasts. */
  disconnect(input: string): void;
  /** Ends every broadcast; the doors are shut before. */
  stop(): Promise<void>;
}

interface Broadcast {
  readonly input: string;
  /** Undefined where nothing is recorded. */
  readonly video: string | undefined;
  readonly file: WriteStream | undefined;
  readonly packager: Packager | undefined;
  readonly relay: Relay;
  /** Milliseconds that are added to the encoder's own: it begins anew when it comes back. */
  offset: number;
  last: number;
  close: (() => void) | undefined;
  waiting: NodeJS.Timeout | undefined;
  readonly timeoutMs: number;
}

/** A viewer is one who has asked within this time. */
const VIEWER_MS = 30_000;
const VIEWERS_MAX = 100_000;
const RECORDING = "recording.flv";
/** Documented: what is longer is cut. */
const RECORDING_MAX_MS = 7 * 24 * 3600_000;
/** Between two connections of one broadcast. */
const SEAM_MS = 40;

export async function openLive(parts: {
  readonly kernel: KernelSlice;
  readonly inputs: LiveInputs;
  readonly videos: Videos;
  readonly work: Work;
  readonly notices: LiveNotices;
  readonly metrics: LiveMetrics;
  /** A broadcast has begun: whoever passes it on may join. */
  begun(input: string): void;
}): Promise<Live> {
  const { kernel, inputs, videos, work, notices, metrics } = parts;
  const { clock, log, meta, blobs, leases } = kernel;
  const root = join(kernel.directory, "live");
  await mkdir(root, { recursive: true });
  const broadcasts = new Map<string, Broadcast>();
  const ending = new Set<Promise<void>>();
  const viewers = new Map<string, Map<string, number>>();
  let stopped = false;

  for (const uid of await readdir(root)) if (isUid(uid)) await recorded(uid);

  /** The file of a broadcast that is over becomes its video's. */
  async function recorded(uid: string): Promise<void> {
    const path = join(root, uid, RECORDING);
    const found = await stat(path).catch(() => undefined);
    const video = await videos.find(uid);
    if (video?.state === "live-inprogress" && found !== undefined && found.size > FLV_HEAD.length) {
      const input = video.liveInput === null ? undefined : await inputs.find(video.liveInput);
      const days = input?.deleteRecordingAfterDays ?? null;
      const blob = await leases.take();
      await blobs.adopt(path, blob);
      const deletion = days === null ? null : clock.now() + days * 24 * 3600_000;
      const there = await meta.transaction(async (tx) => {
        await leases.settle(tx, blob);
        const kept = await videos.change(
          uid,
          { state: "queued", source: { kind: "file", blob }, size: found.size, deletion },
          ["live-inprogress"],
          tx,
        );
        if (!kept) await leases.revoke(tx, blob);
        return kept;
      });
      if (!there) await leases.discard(blob);
    } else if (video?.state === "live-inprogress") {
      await videos.change(uid, { state: "error", details: { error: { code: "ERR_UNKNOWN", text: "Nothing was broadcast." } } });
    }
    await rm(join(root, uid), { recursive: true, force: true });
    work.wake();
  }

  async function begin(input: LiveInput): Promise<Broadcast> {
    const timeoutMs = input.recording.timeoutSeconds * 1000;
    const common = { input: input.uid, relay: openRelay(), offset: 0, last: 0, close: undefined, waiting: undefined, timeoutMs };
    if (input.recording.mode === "off") return { ...common, video: undefined, file: undefined, packager: undefined };
    const { recording, meta: about, defaultCreator } = input;
    const name = `${typeof about.name === "string" ? about.name : "Live"} ${new Date(clock.now()).toISOString().slice(0, 16).replace("T", " ")} UTC`;
    const video = await videos.create({
      ...{ state: "live-inprogress", source: null, liveInput: input.uid, creator: defaultCreator, meta: { ...about, name } },
      ...{ requireSignedURLs: recording.requireSignedURLs, allowedOrigins: recording.allowedOrigins ?? [] },
    });
    const directory = join(root, video.uid);
    await mkdir(directory, { recursive: true });
    const file = createWriteStream(join(directory, RECORDING));
    file.on("error", (error: Error) => log.warn("stream.live_write_failed", { uid: video.uid, error }));
    file.write(FLV_HEAD);
    return { ...common, video: video.uid, file, packager: openPackager(directory) };
  }

  async function finish(broadcast: Broadcast): Promise<void> {
    clearTimeout(broadcast.waiting);
    const { video, file, packager, relay } = broadcast;
    relay.end();
    await packager?.end().catch((error: unknown) => log.warn("stream.live_write_failed", { uid: video, error }));
    broadcasts.delete(broadcast.input);
    if (video === undefined || file === undefined) return;
    viewers.delete(video);
    await new Promise<void>((resolve) => (file.closed ? resolve() : file.end(resolve)));
    await recorded(video);
  }

  function over(broadcast: Broadcast): Promise<void> {
    const done = finish(broadcast).catch((error: unknown) => log.error("stream.live_end_failed", { input: broadcast.input, error }));
    ending.add(done);
    void done.finally(() => ending.delete(done));
    return done;
  }

  /** What players could not play is not recorded either: the encoder is sent away. Says whether it was. */
  function refused({ input, video, close }: Broadcast, tag: FlvTag): boolean {
    // Where nothing is played, anything may come.
    const foreign = video === undefined ? undefined : foreignCodec(tag);
    if (foreign === undefined) return false;
    const codecs = { video: "", audio: "", [foreign.kind]: foreign.codec };
    notices.errored(input, foreign.kind === "video" ? "ERR_UNSUPPORTED_VIDEO_CODEC" : "ERR_UNSUPPORTED_AUDIO_CODEC", codecs);
    close?.();
    return true;
  }

  /** Waits where the disk does not keep up: the encoder is slowed down then. */
  async function take(broadcast: Broadcast, { type, time, data }: FlvTag): Promise<void> {
    const tag: FlvTag = { type, time: broadcast.offset + time, data };
    broadcast.last = Math.max(broadcast.last, tag.time);
    broadcast.relay.take(tag);
    const { file, packager } = broadcast;
    // What encoders say about a broadcast names a duration of nothing, anew each time they come back.
    if (file === undefined || packager === undefined || tag.type === 18 || tag.time > RECORDING_MAX_MS) return;
    const full = file.writable && !file.write(flvBytes(tag));
    await packager.take(tag).catch((error: unknown) => log.warn("stream.live_write_failed", { uid: broadcast.video, error }));
    if (full) await Promise.race([once(file, "drain"), once(file, "close")]).catch(() => undefined);
  }

  async function publish(input: LiveInput, close: () => void): Promise<Publication | undefined> {
    if (stopped || !input.enabled) return undefined;
    const known = broadcasts.get(input.uid);
    // One encoder at a time.
    if (known?.close !== undefined || known?.packager?.ended === true) return undefined;
    const broadcast = known ?? (await begin(input));
    if (broadcasts.has(input.uid) && known === undefined) {
      await finishUnused(broadcast);
      return undefined;
    }
    clearTimeout(broadcast.waiting);
    broadcast.offset = known === undefined ? 0 : broadcast.last + SEAM_MS;
    broadcast.close = close;
    broadcasts.set(input.uid, broadcast);
    notices.connected(input.uid);
    log.info("stream.live_connected", { input: input.uid, video: broadcast.video });
    const meter = metrics.meter(input.uid);
    if (known === undefined) parts.begun(input.uid);
    return {
      async tag(tag) {
        if (refused(broadcast, tag)) return;
        meter.take(tag);
        await take(broadcast, tag);
      },
      ended() {
        broadcast.close = undefined;
        notices.disconnected(input.uid);
        log.info("stream.live_disconnected", { input: input.uid, video: broadcast.video });
        if (broadcast.timeoutMs === 0 || stopped) void over(broadcast);
        else broadcast.waiting = setTimeout(() => void over(broadcast), broadcast.timeoutMs).unref();
      },
    };
  }

  /** Another encoder was faster: nothing has come of this one. */
  async function finishUnused({ video, file }: Broadcast): Promise<void> {
    if (video === undefined || file === undefined) return;
    await new Promise<void>((resolve) => file.end(resolve));
    await recorded(video);
  }

  return {
    publish,
    join: (input, listener) => broadcasts.get(input)?.relay.join(listener),
    current: (input) => broadcasts.get(input)?.video,
    connected: (input) => broadcasts.get(input)?.close !== undefined,
    packaged(video) {
      const packager = [...broadcasts.values()].find((broadcast) => broadcast.video === video)?.packager;
      return packager === undefined ? undefined : { directory: join(root, video), packager };
    },
    watched(video, viewer) {
      const seen = viewers.get(video) ?? new Map<string, number>();
      if (seen.size < VIEWERS_MAX) seen.set(viewer, clock.now());
      viewers.set(video, seen);
    },
    viewers(video) {
      const seen = viewers.get(video);
      const since = clock.now() - VIEWER_MS;
      for (const [viewer, at] of seen ?? []) if (at < since) seen?.delete(viewer);
      return seen?.size ?? 0;
    },
    disconnect(input) {
      const broadcast = broadcasts.get(input);
      if (broadcast?.close !== undefined) broadcast.close();
      else if (broadcast !== undefined) void over(broadcast);
    },
    async stop() {
      stopped = true;
      for (const broadcast of [...broadcasts.values()]) if (broadcast.close === undefined) void over(broadcast);
      while (broadcasts.size > 0 || ending.size > 0) await Promise.all([...ending, new Promise((resolve) => setImmediate(resolve))]);
    },
  };
}
