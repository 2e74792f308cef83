/**
 * Broadcasts: what an encoder publishes by RTMPS becomes a new video, live by HLS while it lasts, and a recording afterwards
 * (docs: Start a live stream). Everything that comes is written to a file as it comes; ffmpeg cuts the segments beside it and
 * encodes nothing. At the end, also at that of a platform which died, the file is what the video is encoded from.
 */

import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createSecureContext, TLSSocket } from "node:tls";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Ffmpeg, LiveProcess } from "./ffmpeg.ts";
import type { LiveInput, LiveInputs } from "./live-inputs.ts";
import type { LiveNotices } from "./live-notices.ts";
import { FLV_HEAD, type FlvTag, flvBytes, foreignCodec, type Publication, serveRtmp } from "./rtmp.ts";
import { isUid, type Videos } from "./videos.ts";
import { DELIVERY_DOMAIN } from "./views.ts";
import type { Work } from "./work.ts";

export interface Live {
  /** "rtmps://…/live/", or undefined where no port is configured. Known once the gateway listens. */
  readonly url: string | undefined;
  /** The video that an input broadcasts now. */
  current(input: string): string | undefined;
  connected(input: string): boolean;
  /** Where the playlist (`live.m3u8`) and segments of a live video lie, or undefined. */
  directory(video: string): string | undefined;
  /** Somebody looked at a live video. */
  watched(video: string, viewer: string): void;
  viewers(video: string): number;
  /** Ends what an input broadcasts. */
  disconnect(input: string): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface Broadcast {
  readonly input: string;
  /** Undefined where nothing is recorded. */
  readonly video: string | undefined;
  readonly file: WriteStream | undefined;
  readonly process: LiveProcess | undefined;
  /** Milliseconds that are added to the encoder's own: it begins anew when it comes back. */
  offset: number;
  last: number;
  close: (() => void) | undefined;
  waiting: NodeJS.Timeout | undefined;
  readonly timeoutMs: number;
}

const CONNECTIONS_MAX = 200;
/** A viewer is one who has asked within this time. */
const VIEWER_MS = 30_000;
const VIEWERS_MAX = 100_000;
const SEGMENT_S = 2;
const SEGMENTS_SHOWN = 6;
const RECORDING = "recording.flv";
/** Documented: what is longer is cut. */
const RECORDING_MAX_MS = 7 * 24 * 3600_000;

export async function openLive(parts: {
  readonly kernel: KernelSlice;
  readonly inputs: LiveInputs;
  readonly videos: Videos;
  readonly ffmpeg: Ffmpeg;
  readonly work: Work;
  readonly notices: LiveNotices;
}): Promise<Live> {
  const { kernel, inputs, videos, ffmpeg, work, notices } = parts;
  const { config, clock, log, meta, blobs, leases, urls } = kernel;
  const root = join(kernel.directory, "live");
  await mkdir(root, { recursive: true });
  const port = config["stream.rtmps_port"];
  const host = `live.${DELIVERY_DOMAIN}`;
  const broadcasts = new Map<string, Broadcast>();
  const ending = new Set<Promise<void>>();
  const sockets = new Set<Socket>();
  const viewers = new Map<string, Map<string, number>>();
  let context: ReturnType<typeof createSecureContext> | undefined;
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
    const common = { input: input.uid, offset: 0, last: 0, close: undefined, waiting: undefined, timeoutMs };
    if (input.recording.mode === "off") return { ...common, video: undefined, file: undefined, process: undefined };
    const { recording, meta: about, defaultCreator } = input;
    const name = `${typeof about.name === "string" ? about.name : "Live"} ${new Date(clock.now()).toISOString().slice(0, 16).replace("T", " ")} UTC`;
    const video = await videos.create({
      ...{ state: "live-inprogress", source: null, liveInput: input.uid, creator: defaultCreator, meta: { ...about, name } },
      ...{ requireSignedURLs: recording.requireSignedURLs, allowedOrigins: recording.allowedOrigins ?? [] },
    });
    const directory = join(root, video.uid);
    await mkdir(directory, { recursive: true });
    const file = createWriteStream(join(directory, RECORDING));
    const playlist = ["-f", "hls", "-hls_time", String(SEGMENT_S), "-hls_list_size", String(SEGMENTS_SHOWN), "-hls_segment_type", "fmp4"];
    const segments = ["-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", join(directory, "%d.m4s")];
    const flags = ["-hls_flags", "independent_segments+delete_segments+temp_file", "-hls_delete_threshold", "6"];
    const input0 = ["-protocol_whitelist", "pipe", "-f", "flv", "-i", "pipe:0"];
    const process = ffmpeg.start([...input0, "-c", "copy", ...playlist, ...segments, ...flags, join(directory, "live.m3u8")]);
    process.stdout.resume();
    for (const stream of [file, process.stdin])
      stream.on("error", (error: Error) => log.warn("stream.live_write_failed", { uid: video.uid, error }));
    file.write(FLV_HEAD);
    process.stdin.write(FLV_HEAD);
    return { ...common, video: video.uid, file, process };
  }

  async function finish(broadcast: Broadcast): Promise<void> {
    clearTimeout(broadcast.waiting);
    broadcasts.delete(broadcast.input);
    const { video, file, process } = broadcast;
    if (video === undefined || file === undefined || process === undefined) return;
    viewers.delete(video);
    process.stdin.end();
    await new Promise<void>((resolve) => file.end(resolve));
    await process.ended;
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

  /** Waits where neither the disk nor ffmpeg keeps up: the encoder is slowed down then. */
  async function take(broadcast: Broadcast, { type, time, data }: FlvTag): Promise<void> {
    const at = broadcast.offset + time;
    if (broadcast.file === undefined || broadcast.process === undefined || at > RECORDING_MAX_MS) return;
    broadcast.last = Math.max(broadcast.last, at);
    const bytes = flvBytes({ type, time: at, data });
    const full = [broadcast.file, broadcast.process.stdin].filter((stream) => stream.writable && !stream.write(bytes));
    await Promise.all(full.map((stream) => Promise.race([once(stream, "drain"), once(stream, "close")]).catch(() => undefined)));
  }

  async function publish(key: string, close: () => void): Promise<Publication | undefined> {
    const input = await inputs.ofKey(key);
    if (stopped || input === undefined || !input.enabled) return undefined;
    const known = broadcasts.get(input.uid);
    // One encoder at a time.
    if (known?.close !== undefined) return undefined;
    const broadcast = known ?? (await begin(input));
    if (broadcasts.has(input.uid) && known === undefined) {
      await finish(broadcast);
      return undefined;
    }
    clearTimeout(broadcast.waiting);
    broadcast.offset = known === undefined ? 0 : broadcast.last + 40;
    broadcast.close = close;
    broadcasts.set(input.uid, broadcast);
    notices.connected(input.uid);
    log.info("stream.live_connected", { input: input.uid, video: broadcast.video });
    return {
      tag: async (tag) => void (refused(broadcast, tag) || (await take(broadcast, tag))),
      ended() {
        broadcast.close = undefined;
        notices.disconnected(input.uid);
        log.info("stream.live_disconnected", { input: input.uid, video: broadcast.video });
        if (broadcast.timeoutMs === 0 || stopped) void over(broadcast);
        else broadcast.waiting = setTimeout(() => void over(broadcast), broadcast.timeoutMs).unref();
      },
    };
  }

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => undefined);
    void (async () => {
      if (context === undefined) context = createSecureContext(await kernel.certificateFor(new URL(urls.host(host)).hostname));
      const secure = new TLSSocket(socket, { isServer: true, secureContext: context });
      secure.on("error", () => undefined);
      await serveRtmp(secure, publish);
    })()
      .catch((error: unknown) => log.info("stream.rtmp_ended", { why: String(error) }))
      .finally(() => socket.destroy());
  });
  server.maxConnections = CONNECTIONS_MAX;

  return {
    get url() {
      return port === 0 ? undefined : `rtmps://${new URL(urls.host(host)).hostname}:${port}/live/`;
    },
    current: (input) => broadcasts.get(input)?.video,
    connected: (input) => broadcasts.get(input)?.close !== undefined,
    directory: (video) => ([...broadcasts.values()].some((broadcast) => broadcast.video === video) ? join(root, video) : undefined),
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
    async start() {
      if (port === 0) return;
      server.listen(port, config["stream.rtmps_host"]);
      await once(server, "listening");
    },
    async stop() {
      stopped = true;
      if (server.listening)
        await new Promise<void>((resolve) => {
          server.close(() => resolve());
          for (const socket of sockets) socket.destroy();
        });
      for (const broadcast of [...broadcasts.values()]) if (broadcast.close === undefined) void over(broadcast);
      while (broadcasts.size > 0 || ending.size > 0) await Promise.all([...ending, new Promise((resolve) => setImmediate(resolve))]);
    },
  };
}
