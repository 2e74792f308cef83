/** Live video on the delivery host: what an input broadcasts now, by its id or its video's, while it lasts. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { answerFile, answerJson, answerText, corsHeaders, DeliveryError } from "../answers.ts";
import type { Part as Cut } from "../manifests.ts";
import { clipOf, partFrom, partQuery, previewOf } from "../parts.ts";
import type { Video } from "../videos.ts";
import type { Live } from "./broadcasts.ts";
import type { LiveInput } from "./inputs.ts";
import { headName, type Packager, type Segment } from "./packager.ts";
import { type LiveMode, liveMaster, livePlaylist, partPlaylist, within } from "./playlists.ts";

const PLAYLIST = "application/vnd.apple.mpegurl";
/** A player that waits for what is not there yet is answered at the latest after so long. */
const BLOCK_MS = 20_000;

export interface LiveRequest {
  /** What is broadcast; undefined when nothing is. */
  readonly video: Video | undefined;
  readonly input: LiveInput | undefined;
  /** Path after the id. */
  readonly rest: string;
  readonly query: URLSearchParams;
  readonly cacheControl: string;
  /** The input may be watched by LL-HLS. */
  readonly lowLatency: boolean;
}

export interface LiveSource {
  readonly directory: string;
  readonly packager: Packager;
}

/** Answers what is live about a request, and says whether it was. */
export async function serveLive(live: Live, request: IncomingMessage, response: ServerResponse, asked: LiveRequest): Promise<boolean> {
  const { video, input, rest, cacheControl } = asked;
  const isLive = video?.state === "live-inprogress";
  if (input === undefined && !isLive) return false;
  const headers = { ...corsHeaders(request), "cache-control": "no-store" };
  if (rest === "lifecycle") {
    answerJson(request, response, { isInput: input !== undefined, videoUID: video?.uid ?? null, live: isLive }, headers);
    return true;
  }
  if (rest === "views") {
    if (input?.recording.hideLiveViewerCount === true) throw new DeliveryError(403, "the count of this input's viewers is hidden");
    answerJson(request, response, { liveViewers: video === undefined ? 0 : live.viewers(video.uid) }, headers);
    return true;
  }
  if (!/^(manifest|live)\//.test(rest)) return false;
  const source = video === undefined ? undefined : live.packaged(video.uid);
  if (source === undefined || video === undefined || !source.packager.segments.some(({ done }) => done)) {
    // Documented: "Stream has not yet started".
    response.writeHead(204, headers).end();
    return true;
  }
  if (rest.startsWith("manifest/")) await manifest(live, request, response, { ...asked, video, source });
  else {
    const { path, offset, length } = await piece(source, rest.slice("live/".length), response);
    const read = async (part: { offset: number; length: number }) =>
      createReadStream(path, { start: offset + part.offset, end: offset + part.offset + part.length - 1 });
    const lasting = { ...headers, "cache-control": `${cacheControl}, max-age=60`, "content-type": "video/mp4" };
    await answerFile(request, response, read, length, lasting);
  }
  return true;
}

async function manifest(
  live: Live,
  request: IncomingMessage,
  response: ServerResponse,
  { video, rest, query, lowLatency, source: { packager } }: LiveRequest & { readonly video: Video; readonly source: LiveSource },
): Promise<void> {
  const headers = { ...corsHeaders(request), "cache-control": "no-store" };
  const text = (body: string, more: Record<string, string> = {}): void =>
    answerText(request, response, PLAYLIST, body, { ...headers, "stream-media-id": video.uid, ...more });
  const mode: LiveMode =
    lowLatency && query.get("protocol") === "llhls" ? "lowLatency" : query.get("dvrEnabled") === "true" ? "dvr" : "plain";
  if (rest === "manifest/video.m3u8") {
    const preview = previewOf(query, secondsOf(packager.segments));
    if (preview === undefined)
      return text(liveMaster(packager, mode, { plain: "", lowLatency: "?protocol=llhls", dvr: "?dvrEnabled=true" }[mode]));
    const first = within(packager.segments, preview.from, preview.to)[0];
    return text(liveMaster(packager, "plain", partQuery(preview)), { "preview-start-seconds": (first?.start ?? 0).toFixed(3) });
  }
  if (rest === "manifest/clip.m3u8") return text(liveMaster(packager, "plain", partQuery(clipOf(query, secondsOf(packager.segments)))));
  if (rest !== "manifest/live.m3u8") throw new DeliveryError(404, "there is nothing at this URL of a live video");
  live.watched(video.uid, `${request.socket.remoteAddress} ${request.headers["user-agent"] ?? ""}`);
  const part = partFrom(query);
  if (part !== undefined) return text(partPlaylist(demanded(packager.segments, part)));
  if (query.has("_HLS_msn")) await reached(packager, Number(query.get("_HLS_msn")), query.get("_HLS_part"), response);
  return text(livePlaylist(packager, mode));
}

/** The segments that hold a part of the broadcast; there is one. */
export function demanded(segments: readonly Segment[], { from, to }: Cut): Segment[] {
  const found = within(segments, from, to);
  if (found.length === 0) throw new DeliveryError(404, "this part of the broadcast is not there");
  return found;
}

/** Seconds of the broadcast that players may fetch. */
export function secondsOf(segments: readonly Segment[]): number {
  const last = segments.findLast(({ done }) => done);
  return last === undefined ? 0 : last.start + last.duration;
}

/** Blocking reload: waits for a segment, or a part of it (RFC 8216bis, 6.2.5.2). */
async function reached(packager: Packager, number: number, part: string | null, response: ServerResponse): Promise<void> {
  const last = packager.segments.at(-1)?.number ?? 0;
  const wanted = part === null ? undefined : Number(part);
  if (!Number.isSafeInteger(number) || number < 0 || number > last + 2 || (wanted !== undefined && !Number.isSafeInteger(wanted)))
    throw new DeliveryError(400, "_HLS_msn, _HLS_part: no part that comes soon");
  await waitFor(packager, response, () => {
    const newest = packager.segments.at(-1);
    if (newest === undefined || newest.number < number) return false;
    if (newest.number > number || newest.done) return true;
    return wanted !== undefined && newest.parts.length > wanted;
  });
}

async function waitFor(packager: Packager, response: ServerResponse, there: () => boolean): Promise<void> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
  }, BLOCK_MS);
  while (!there() && !late && !packager.ended && !response.destroyed)
    await Promise.race([packager.changed(), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  clearTimeout(timer);
}

/** Where the bytes of a head, a segment or a part lie. The part that comes next is waited for. */
async function piece({ directory, packager }: LiveSource, name: string, response: ServerResponse) {
  const [, head, number, part] = /^(?:init(?:-(\d{1,6}))?\.mp4|(\d{1,9})(?:\.(\d{1,6}))?\.m4s)$/.exec(name) ?? [];
  if (name.startsWith("init")) {
    const { size, path } = await sized(join(directory, headName(Number(head ?? 0))));
    return { path, offset: 0, length: size };
  }
  const find = (): Segment | undefined => packager.segments.find((segment) => segment.number === Number(number));
  const path = join(directory, `${number}.m4s`);
  if (number !== undefined && part !== undefined) {
    const next = packager.segments.at(-1);
    if (next !== undefined && Number(number) <= next.number + 1 && Number(part) <= (find()?.parts.length ?? 0))
      await waitFor(packager, response, () => find()?.parts[Number(part)] !== undefined || find()?.done === true);
    const found = find()?.parts[Number(part)];
    if (found !== undefined) return { path, offset: found.offset, length: found.length };
  } else if (number !== undefined) {
    const found = find();
    if (found?.done === true) return { path, offset: 0, length: found.bytes };
  }
  throw new DeliveryError(404, "the segment is gone, or is not there yet");
}

async function sized(path: string): Promise<{ path: string; size: number }> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new DeliveryError(404, "there is no such head");
  return { path, size: found.size };
}
