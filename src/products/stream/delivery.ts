/**
 * Videos as everybody sees them: `/{id}/…` on the account's delivery host, where a signed token may stand for the id. What
 * may be seen is decided once for each request, before anything of the video is read (`access.ts`). Manifests, playlists and
 * segments lie under one path, so that a token in it holds for all of them.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { EventLog } from "../../kernel/analytics/event-log.ts";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { ContentStore } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { allowsOrigin, grantOf, type Refusal } from "./access.ts";
import { answerBytes, answerFile, answerJson, answerText, clientGone, corsHeaders, DeliveryError } from "./answers.ts";
import type { Captions } from "./captions.ts";
import type { Clips } from "./clips.ts";
import { type Ffmpeg, FfmpegError } from "./ffmpeg.ts";
import type { SigningKeys } from "./keys.ts";
import type { Live } from "./live/broadcasts.ts";
import { demanded, secondsOf, serveLive } from "./live/delivery.ts";
import type { LiveInput, LiveInputs } from "./live/inputs.ts";
import { headName } from "./live/packager.ts";
import type { WebRtc } from "./live/web-rtc.ts";
import { captionPlaylist, dashManifest, hinted, masterPlaylist, playableOf, type Ready, trackPlaylist } from "./manifests.ts";
import { clipOf, partFrom, partQuery, previewOf } from "./parts.ts";
import type { Player } from "./player.ts";
import { cut, rangeOf } from "./segments.ts";
import { moving, still, thumbnailOptions } from "./thumbnails.ts";
import type { Tracks } from "./tracks.ts";
import type { Turns } from "./turns.ts";
import { isUid, type Video, type Videos } from "./videos.ts";
import { EMBED_LABEL, type Views } from "./views.ts";
import { best } from "./work.ts";

export interface DeliveryParts {
  readonly kernel: KernelSlice;
  readonly videos: Videos;
  readonly tracks: Tracks;
  readonly captions: Captions;
  readonly keys: SigningKeys;
  readonly views: Views;
  readonly cache: ContentStore;
  readonly ffmpeg: Ffmpeg;
  readonly turns: Turns;
  readonly player: Player;
  readonly viewed: EventLog<"uid" | "creator" | "country" | "seconds">;
  readonly inputs: LiveInputs;
  readonly live: Live;
  readonly webRtc: WebRtc;
  readonly clips: Clips;
}

/** A request that may be answered. */
interface Admitted {
  /** Undefined for an input that broadcasts nothing. */
  readonly video: Video | undefined;
  /** The live input that was asked for. */
  readonly input: LiveInput | undefined;
  readonly downloadable: boolean;
  readonly rest: string;
  readonly query: URLSearchParams;
  /** Seconds for which answers may be kept by browsers. */
  readonly cacheControl: string;
}

const KEEP_MS = 7 * 24 * 3600_000;
const FILENAME = /^[A-Za-z0-9_-]{1,120}$/;
const PLAYLIST = "application/vnd.apple.mpegurl";

export function videoDelivery(parts: DeliveryParts) {
  const { kernel, videos, tracks, captions, keys, views, cache, ffmpeg, turns, player, viewed, inputs, live, webRtc } = parts;
  const { blobs, clock, log } = kernel;

  /** Throws a `DeliveryError` for whoever may not see the video, or what there is not. */
  async function admit(request: IncomingMessage): Promise<Admitted> {
    const url = new URL(request.url as string, "http://host");
    const [, name = "", ...rest] = url.pathname.split("/");
    const now = Math.floor(clock.now() / 1000);
    const claims = name.includes(".") ? keys.verified(name) : undefined;
    if (name.includes(".") && claims === undefined) throw new DeliveryError(401, "the token is not valid");
    const grant = claims === undefined ? undefined : grantOf(claims, now, request.socket.remoteAddress ?? "", undefined);
    if (grant !== undefined && "status" in grant) throw refused(grant);
    const id = grant?.id ?? name;
    const known = isUid(id) ? await videos.find(id) : undefined;
    const input = isUid(id) && known === undefined ? await inputs.find(id) : undefined;
    const current = input === undefined ? undefined : live.current(input.uid);
    const video = current === undefined ? known : await videos.find(current);
    // Documented: who asks by the input's id has the input's settings.
    const rules = input?.recording ?? video?.details;
    if (rules === undefined) throw new DeliveryError(404, "there is no such video");
    if (rules.requireSignedURLs && grant === undefined) throw new DeliveryError(401, "this video needs a signed URL");
    const origins = rules.allowedOrigins ?? [];
    const origin = originOf(request);
    const ownPage = origin !== undefined && URL.parse(origin)?.host === request.headers.host;
    if (origin !== undefined && !ownPage && !allowsOrigin(origins, origin))
      throw new DeliveryError(403, "this video may not be shown on pages of this origin");
    const shared = rules.requireSignedURLs || origins.length > 0 ? "private" : "public";
    return {
      video,
      input,
      downloadable: !rules.requireSignedURLs || grant?.downloadable === true,
      rest: rest.join("/"),
      query: url.searchParams,
      cacheControl: shared,
    };
  }

  const refused = ({ status, reason }: Refusal): DeliveryError => new DeliveryError(status, reason);

  /** What belongs to a video that failed is not there, and what is still made not yet. */
  function demandPlayable(video: Video): void {
    if (video.state === "error") throw new DeliveryError(424, video.details.error?.text ?? "the video could not be processed");
    if (video.readyAt === null) throw new DeliveryError(404, "the video is not ready yet");
  }

  async function playable(video: Video) {
    demandPlayable(video);
    return playableOf(await tracks.of(video.uid), await captions.of(video.uid));
  }

  async function track(video: Video, id: string): Promise<Ready> {
    demandPlayable(video);
    const found = await tracks.find(video.uid, id);
    if (found?.info == null || found.blob === null || found.status !== "ready") throw new DeliveryError(404, "there is no such track");
    return found as Ready;
  }

  /** Whether the input that broadcasts is one of the low latency beta. */
  async function prefersLowLatency({ input, video }: Admitted): Promise<boolean> {
    if (input !== undefined) return input.preferLowLatency;
    if (video?.state !== "live-inprogress" || video.liveInput === null) return false;
    return (await inputs.find(video.liveInput))?.preferLowLatency === true;
  }

  async function serve(request: IncomingMessage, response: ServerResponse, admitted: Admitted): Promise<void> {
    const { rest, query, cacheControl, input } = admitted;
    const rules = input?.recording ?? admitted.video?.details;
    const lowLatency = await prefersLowLatency(admitted);
    if (rest === "iframe" || rest === "watch")
      return player.page(request, response, {
        ...{ allowedOrigins: rules?.allowedOrigins ?? [], lowLatency },
        live: input !== undefined || admitted.video?.state === "live-inprogress",
      });
    if (await serveLive(live, request, response, { ...admitted, lowLatency })) return;
    const { video } = admitted;
    if (video === undefined) throw new DeliveryError(404, "the live input broadcasts nothing");
    const headers = { ...corsHeaders(request), "cache-control": `${cacheControl}, max-age=60` };
    const lasting = { ...headers, "cache-control": `${cacheControl}, max-age=31536000, immutable` };
    const text = (type: string, body: string, more: Record<string, string> = {}): void =>
      answerText(request, response, type, body, { ...headers, ...more });

    if (rest === "lifecycle")
      return answerJson(
        request,
        response,
        { isInput: false, videoUID: video.uid, live: video.state === "live-inprogress" },
        { ...headers, "cache-control": "no-store" },
      );
    if (rest === "metadata/playerEnhancementInfo.json") return answerJson(request, response, video.details.publicDetails ?? {}, headers);
    if (rest === "manifest/video.m3u8") {
      const all = await playable(video);
      const part = previewOf(query, video.duration);
      const shown = hinted(all, query.get("clientBandwidthHint"));
      if (part === undefined) return text(PLAYLIST, masterPlaylist(shown));
      const first = shown.pictures[0];
      const start = first === undefined ? 0 : cut(first.info, part.from, part.to).start;
      return text(PLAYLIST, masterPlaylist(shown, partQuery(part)), {
        "preview-start-seconds": start.toFixed(3),
        "stream-media-id": video.uid,
      });
    }
    if (rest === "manifest/clip.m3u8") {
      const part = clipOf(query, video.duration);
      return text(PLAYLIST, masterPlaylist(await playable(video), partQuery(part)), { "stream-media-id": video.uid });
    }
    if (rest === "manifest/video.mpd")
      return text("application/dash+xml", dashManifest(hinted(await playable(video), query.get("clientBandwidthHint"))));
    const captionList = /^manifest\/captions-([A-Za-z0-9-]+)\.m3u8$/.exec(rest)?.[1];
    if (captionList !== undefined) return text(PLAYLIST, captionPlaylist(captionList, video.duration));
    const list = /^manifest\/([0-9a-f]{32})\.m3u8$/.exec(rest)?.[1];
    if (list !== undefined) return text(PLAYLIST, trackPlaylist(await track(video, list), partFrom(query)));
    const [, segmentTrack, piece] = /^segments\/([0-9a-f]{32})\/(init\.mp4|\d{1,7}\.m4s)$/.exec(rest) ?? [];
    if (segmentTrack !== undefined && piece !== undefined)
      return segment(request, response, video, await track(video, segmentTrack), piece, lasting);
    const language = /^captions\/([A-Za-z0-9-]+)\.vtt$/.exec(rest)?.[1];
    if (language !== undefined)
      return answerBytes(request, response, "text/vtt; charset=utf-8", await captionText(video, language), headers);
    const picture = /^thumbnails\/thumbnail\.(jpg|png|gif)$/.exec(rest)?.[1];
    if (picture !== undefined) return thumbnail(request, response, video, picture, query, headers);
    const download = /^downloads\/(default\.mp4|audio\.m4a)$/.exec(rest)?.[1];
    if (download !== undefined) return downloaded(request, response, { ...admitted, video }, download, headers);
    if (rest === "clip.mp4") return clip(request, response, video, query, headers);
    throw new DeliveryError(404, "there is nothing at this URL");
  }

  /** WHIP under a live input's key, WHEP under its id or a token. Says whether it was one. */
  async function real(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const path = (request.url as string).split("?")[0] as string;
    const [, name = "", use, session] = /^\/([^/]+)\/webRTC\/(publish|play)(?:\/([0-9a-f]{32}))?$/.exec(path) ?? [];
    if (use === undefined) return false;
    if (request.method === "GET" || request.method === "HEAD") throw new DeliveryError(405, "POST, PATCH and DELETE only");
    if (use === "publish") await webRtc.publish(name, session, request, response);
    else {
      const { input } = await admit(request);
      if (input === undefined) throw new DeliveryError(404, "there is no such live input");
      await webRtc.play(input, session, request, response);
    }
    return true;
  }

  async function captionText(video: Video, language: string): Promise<Buffer> {
    const bytes = await captions.text(video.uid, language).catch((cause: unknown) => {
      throw cause instanceof PlatformError ? new DeliveryError(404, "there are no captions in this language", { cause }) : cause;
    });
    return Buffer.from(bytes);
  }

  async function segment(
    request: IncomingMessage,
    response: ServerResponse,
    video: Video,
    { blob, info, kind }: Ready,
    piece: string,
    headers: Record<string, string>,
  ) {
    const type = kind === "video" ? "video/mp4" : "audio/mp4";
    const number = piece === "init.mp4" ? undefined : Number.parseInt(piece, 10);
    const range = number === undefined ? { offset: 0, length: info.init } : rangeOf(info, number);
    if (range === undefined) throw new DeliveryError(404, "there is no such segment");
    response.writeHead(200, { ...headers, "content-type": type, "content-length": range.length });
    if (request.method === "HEAD") return void response.end();
    await pipeline(await blobs.read(blob as BlobId, range), response);
    const seconds = number === undefined ? 0 : (info.segments[number]?.[1] ?? 0);
    if (kind === "video" && seconds > 0) viewed.add({ uid: video.uid, creator: video.creator ?? "", country: "", seconds });
  }

  async function thumbnail(
    request: IncomingMessage,
    response: ServerResponse,
    video: Video,
    format: string,
    query: URLSearchParams,
    headers: Record<string, string>,
  ) {
    demandPlayable(video);
    const { width, height, duration, details } = video;
    const options = thumbnailOptions(query, { width, height, duration, thumbnailTimestampPct: details.thumbnailTimestampPct });
    const picture = best(await tracks.of(video.uid));
    if (picture?.blob == null) throw new DeliveryError(404, "the video has no picture yet");
    const key = JSON.stringify(["thumbnail", picture.blob, format, options]);
    const kept = await cache.find(key);
    const bytes = kept?.bytes ?? (await made(picture.blob));
    if (kept === undefined) await cache.put(key, { headers: {}, bytes }, { forMs: KEEP_MS });
    answerBytes(request, response, format === "jpg" ? "image/jpeg" : `image/${format}`, bytes, headers);

    async function made(blob: BlobId): Promise<Buffer> {
      const file = await blobs.localFile(blob);
      const make = () =>
        format === "gif" ? moving(ffmpeg, file.path, options) : still(ffmpeg, file.path, options, format === "png" ? "png" : "jpg");
      return turns.take(make).finally(() => file.release());
    }
  }

  async function downloaded(
    request: IncomingMessage,
    response: ServerResponse,
    { video, downloadable, query }: Admitted & { readonly video: Video },
    name: string,
    headers: Record<string, string>,
  ) {
    if (!downloadable) throw new DeliveryError(401, "the token does not allow downloads");
    demandPlayable(video);
    const [kind, type, extension] = name === "default.mp4" ? ["mp4", "video/mp4", ".mp4"] : ["m4a", "audio/mp4", ".m4a"];
    const file = (await tracks.of(video.uid)).find((candidate) => candidate.kind === kind);
    if (file?.status !== "ready" || file.blob === null) throw new DeliveryError(404, "there is no such download, or it is not ready yet");
    const disposition = `attachment; filename="${filenameOf(query, video.uid, extension as string)}"`;
    await answerFile(request, response, (range) => blobs.read(file.blob as BlobId, range), file.size, {
      ...headers,
      "content-type": type as string,
      "content-disposition": disposition,
    });
    viewed.add({ uid: video.uid, creator: video.creator ?? "", country: "", seconds: video.duration });
  }

  async function clip(
    request: IncomingMessage,
    response: ServerResponse,
    video: Video,
    query: URLSearchParams,
    headers: Record<string, string>,
  ) {
    const { createReadStream } = await import("node:fs");
    const disposition = `attachment; filename="${filenameOf(query, "clip", ".mp4")}"`;
    const use = (path: string, size: number): Promise<void> =>
      answerFile(
        request,
        response,
        async ({ offset, length }) => createReadStream(path, { start: offset, end: offset + length - 1 }),
        size,
        { ...headers, "content-type": "video/mp4", "content-disposition": disposition },
      );
    const source = live.packaged(video.uid);
    if (source === undefined) {
      demandPlayable(video);
      const part = clipOf(query, video.duration);
      return turns.take(() => parts.clips.make(video, part, use));
    }
    const part = clipOf(query, secondsOf(source.packager.segments));
    const segments = demanded(source.packager.segments, part);
    const [first] = segments as [(typeof segments)[number]];
    // What needs another head is another encoder's.
    const same = segments.filter(({ head }) => head === first.head);
    const names = [headName(first.head), ...same.map(({ number }) => `${number}.m4s`)];
    const paths = names.map((name) => join(source.directory, name));
    await turns.take(() => parts.clips.makeOf(paths, { from: Math.max(0, part.from - first.start), to: part.to - first.start }, use));
  }

  return {
    async handle({ customer }: Readonly<Record<string, string>>, request: IncomingMessage, response: ServerResponse): Promise<void> {
      try {
        if (request.method === "OPTIONS") return void response.writeHead(204, corsHeaders(request)).end();
        if (customer === views.customer && (await real(request, response))) return;
        request.resume();
        if (request.method !== "GET" && request.method !== "HEAD") throw new DeliveryError(405, "GET and HEAD only");
        if (await player.asset(request, response)) return;
        if (customer === EMBED_LABEL || customer !== views.customer) throw new DeliveryError(404, "there is nothing at this URL");
        await serve(request, response, await admit(request));
      } catch (error) {
        request.resume();
        if (clientGone(error)) return void response.destroy();
        const known = error instanceof DeliveryError ? error : deliveryErrorOf(error);
        if (known.status >= 500) log.error("stream.delivery_failed", { url: request.url, error });
        if (response.headersSent) return void response.destroy();
        answerText(
          request,
          response,
          "text/plain; charset=utf-8",
          `${known.message}\n`,
          { ...corsHeaders(request), "cache-control": "no-store" },
          known.status,
        );
      }
    },
  };
}

function deliveryErrorOf(error: unknown): DeliveryError {
  if (error instanceof PlatformError) return new DeliveryError(error.spec.status, error.message, { cause: error });
  if (error instanceof FfmpegError) return new DeliveryError(422, "the picture could not be made", { cause: error });
  return new DeliveryError(500, "internal error", { cause: error });
}

/** The page that asks: by its origin, or where it says no origin by its address. */
function originOf({ headers }: IncomingMessage): string | undefined {
  if (headers.origin !== undefined && headers.origin !== "null") return headers.origin;
  return headers.referer === undefined ? headers.origin : URL.parse(headers.referer)?.origin;
}

/** Documented: letters, digits, - and _; the extension is added. */
function filenameOf(query: URLSearchParams, fallback: string, extension: string): string {
  const asked = (query.get("filename") ?? "").replace(new RegExp(`\\${extension}$`), "");
  return `${FILENAME.test(asked) ? asked : fallback}${extension}`;
}
