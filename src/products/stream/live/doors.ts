/**
 * Where encoders and viewers of live video connect other than by HTTP: RTMPS on one port, SRT on another (docs: Start a live
 * stream; Use your own player). A broadcast is FLV's pieces inside; ffmpeg wraps them anew for SRT, and encodes nothing.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import type { KernelSlice } from "../../../kernel/product.ts";
import type { Ffmpeg } from "../ffmpeg.ts";
import { DELIVERY_DOMAIN } from "../views.ts";
import type { Live } from "./broadcasts.ts";
import { FLV_HEAD, flvBytes, flvTags } from "./flv.ts";
import type { LiveInput, LiveInputs } from "./inputs.ts";
import type { LiveNotices } from "./notices.ts";
import { type Publication, serveRtmp } from "./rtmp.ts";
import { PAYLOAD_BYTES, type SrtConnection } from "./srt/connection.ts";
import { openSrtListener, type SrtListener, type SrtPeer, type SrtStream } from "./srt/listener.ts";
import { REFUSAL } from "./srt/packets.ts";

export interface Doors {
  /** "rtmps://…/live/", or undefined where no port is configured. Known once the gateway listens. */
  readonly rtmps: string | undefined;
  /** "srt://…", likewise. */
  readonly srt: string | undefined;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const CONNECTIONS_MAX = 200;
/** Each has an ffmpeg of its own. */
const SRT_VIEWERS_MAX = 16;
/** What may wait for ffmpeg; datagrams cannot be slowed down. */
const UNSENT_MAX_BYTES = 32 * 1024 * 1024;
/** Before the id of an input whose broadcast is played by SRT. */
const PLAY = "play";

export function openDoors(parts: {
  readonly kernel: KernelSlice;
  readonly inputs: LiveInputs;
  readonly live: Live;
  readonly ffmpeg: Ffmpeg;
  readonly notices: LiveNotices;
}): Doors {
  const { kernel, inputs, live, ffmpeg, notices } = parts;
  const { config, log, urls } = kernel;
  const host = `live.${DELIVERY_DOMAIN}`;
  const sockets = new Set<Socket>();
  const bridges = new Set<Promise<unknown>>();
  let context: ReturnType<typeof createSecureContext> | undefined;
  let srt: SrtListener | undefined;
  let viewers = 0;

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => undefined);
    void (async () => {
      if (context === undefined) context = createSecureContext(await kernel.certificateFor(new URL(urls.host(host)).hostname));
      const secure = new TLSSocket(socket, { isServer: true, secureContext: context });
      secure.on("error", () => undefined);
      await serveRtmp(secure, {
        async publish(key, close) {
          const found = await inputs.ofKey(key);
          return found?.use === "publish" ? live.publish(found.input, close) : undefined;
        },
        async play(key, listener) {
          const found = await inputs.ofKey(key);
          return found?.use === "rtmpsPlayback" ? live.join(found.input.uid, listener) : undefined;
        },
      });
    })()
      .catch((error: unknown) => log.info("stream.rtmp_ended", { why: String(error) }))
      .finally(() => socket.destroy());
  });
  server.maxConnections = CONNECTIONS_MAX;

  async function findSrt(streamId: string): Promise<SrtStream | undefined> {
    const playing = streamId.startsWith(PLAY);
    const input = await inputs.find(playing ? streamId.slice(PLAY.length) : streamId);
    if (input === undefined) return undefined;
    return playing
      ? { passphrase: input.keys.srtPlayback, begin: async (connection) => playSrt(input, connection) }
      : { passphrase: input.keys.srt, begin: (connection) => publishSrt(input, connection) };
  }

  async function publishSrt(input: LiveInput, connection: SrtConnection): Promise<SrtPeer | number> {
    const publication = await live.publish(input, () => connection.close());
    if (publication === undefined) return REFUSAL.conflict;
    const probing = ["-fflags", "nobuffer", "-analyzeduration", "1000000", "-probesize", "1000000"];
    const first = ["-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy"];
    const wrapper = ffmpeg.start([
      ...["-protocol_whitelist", "pipe", ...probing, "-f", "mpegts", "-i", "pipe:0"],
      ...[...first, "-flvflags", "no_duration_filesize", "-flush_packets", "1", "-f", "flv", "pipe:1"],
    ]);
    track(unwrap(input.uid, publication, wrapper, connection));
    return {
      received(payload) {
        if (wrapper.stdin.writableLength > UNSENT_MAX_BYTES) connection.close();
        else if (wrapper.stdin.writable) wrapper.stdin.write(payload);
      },
      ended: () => void wrapper.stdin.end(),
    };
  }

  async function unwrap(input: string, publication: Publication, wrapper: ReturnType<Ffmpeg["start"]>, connection: SrtConnection) {
    try {
      for await (const tag of flvTags(wrapper.stdout)) await publication.tag(tag);
      const words = await wrapper.ended;
      // What FLV has no number for, players do not know either.
      const [, kind, codec = ""] = /(Video|Audio) codec (\w+) not compatible/i.exec(words) ?? [];
      if (kind === "Video") notices.errored(input, "ERR_UNSUPPORTED_VIDEO_CODEC", { video: codec, audio: "" });
      else if (kind !== undefined) notices.errored(input, "ERR_UNSUPPORTED_AUDIO_CODEC", { video: "", audio: codec });
    } finally {
      wrapper.kill();
      publication.ended();
      connection.close();
    }
  }

  function playSrt(input: LiveInput, connection: SrtConnection): SrtPeer | number {
    if (viewers >= SRT_VIEWERS_MAX) return REFUSAL.busy;
    const wrapper = ffmpeg.start([
      ...["-protocol_whitelist", "pipe", "-fflags", "nobuffer", "-probesize", "100000", "-analyzeduration", "200000"],
      ...["-f", "flv", "-i", "pipe:0", "-c", "copy", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "-f", "mpegts", "pipe:1"],
    ]);
    wrapper.stdin.write(FLV_HEAD);
    const leave = live.join(input.uid, {
      take(tag) {
        if (wrapper.stdin.writableLength > UNSENT_MAX_BYTES) connection.close();
        else if (wrapper.stdin.writable) wrapper.stdin.write(flvBytes(tag));
      },
      end: () => void wrapper.stdin.end(),
    });
    if (leave === undefined) {
      wrapper.kill();
      return REFUSAL.notFound;
    }
    viewers++;
    wrapper.stdout.on("data", (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += PAYLOAD_BYTES) connection.send(bytes.subarray(at, at + PAYLOAD_BYTES));
    });
    track(
      wrapper.ended.finally(() => {
        viewers--;
        leave();
        connection.close();
      }),
    );
    return { received: () => undefined, ended: () => wrapper.kill() };
  }

  function track(work: Promise<unknown>): void {
    const done = work.catch((error: unknown) => log.info("stream.srt_ended", { why: String(error) }));
    bridges.add(done);
    void done.finally(() => bridges.delete(done));
  }

  const url = (scheme: string, port: number, path: string): string | undefined =>
    port === 0 ? undefined : `${scheme}://${new URL(urls.host(host)).hostname}:${port}${path}`;

  return {
    get rtmps() {
      return url("rtmps", config["stream.rtmps_port"], "/live/");
    },
    get srt() {
      return url("srt", config["stream.srt_port"], "");
    },
    async start() {
      if (config["stream.rtmps_port"] !== 0) {
        server.listen(config["stream.rtmps_port"], config["stream.rtmps_host"]);
        await once(server, "listening");
      }
      if (config["stream.srt_port"] !== 0)
        srt = await openSrtListener({
          ...{ host: config["stream.rtmps_host"], port: config["stream.srt_port"], find: findSrt },
          failed: (error) => log.warn("stream.srt_failed", { error }),
        });
    },
    async stop() {
      await srt?.close();
      if (server.listening)
        await new Promise<void>((resolve) => {
          server.close(() => resolve());
          for (const socket of sockets) socket.destroy();
        });
      await Promise.all(bridges);
    },
  };
}
