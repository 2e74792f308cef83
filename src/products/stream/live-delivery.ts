/** Live video on the delivery host: what an input broadcasts now, by its id or its video's, while it lasts. */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { answerFile, answerJson, answerText, corsHeaders, DeliveryError } from "./answers.ts";
import type { Live } from "./live.ts";
import type { LiveInput } from "./live-inputs.ts";
import type { Video } from "./videos.ts";

const PLAYLIST = "application/vnd.apple.mpegurl";

export interface LiveRequest {
  /** What is broadcast; undefined when nothing is. */
  readonly video: Video | undefined;
  readonly input: LiveInput | undefined;
  /** Path after the id. */
  readonly rest: string;
  readonly cacheControl: string;
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
  const directory = video === undefined ? undefined : live.directory(video.uid);
  const playlist = directory === undefined ? undefined : await readFile(join(directory, "live.m3u8"), "utf8").catch(() => undefined);
  if (directory === undefined || playlist === undefined || video === undefined) {
    // Documented: "Stream has not yet started".
    response.writeHead(204, headers).end();
    return true;
  }
  if (rest === "manifest/video.m3u8") {
    const bits = await measured(directory, playlist);
    const lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS", `#EXT-X-STREAM-INF:BANDWIDTH=${bits}`, "live.m3u8", ""];
    answerText(request, response, PLAYLIST, lines.join("\n"), { ...headers, "stream-media-id": video.uid });
    return true;
  }
  if (rest === "manifest/live.m3u8") {
    live.watched(video.uid, `${request.socket.remoteAddress} ${request.headers["user-agent"] ?? ""}`);
    const shown = playlist
      .replace(/^#EXT-X-VERSION:.*$/m, "#EXT-X-VERSION:6")
      .replace(/URI="init\.mp4"/, 'URI="../live/init.mp4"')
      .replace(/^(\d+\.m4s)$/gm, "../live/$1");
    answerText(request, response, PLAYLIST, shown, headers);
    return true;
  }
  const name = /^live\/(init\.mp4|\d{1,9}\.m4s)$/.exec(rest)?.[1];
  if (name === undefined) throw new DeliveryError(404, "there is nothing at this URL of a live video");
  const path = join(directory, name);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new DeliveryError(404, "the segment is gone, or is not there yet");
  const read = async ({ offset, length }: { offset: number; length: number }) =>
    createReadStream(path, { start: offset, end: offset + length - 1 });
  await answerFile(request, response, read, found.size, {
    ...headers,
    "cache-control": `${cacheControl}, max-age=60`,
    "content-type": "video/mp4",
  });
  return true;
}

/** Bits a second of the newest segment. */
async function measured(directory: string, playlist: string): Promise<number> {
  const [, seconds, name] = [...playlist.matchAll(/^#EXTINF:([\d.]+),\n(\d+\.m4s)$/gm)].at(-1) ?? [];
  const found = name === undefined ? undefined : await stat(join(directory, name)).catch(() => undefined);
  return found === undefined ? 1_000_000 : Math.max(1, Math.ceil((found.size * 8) / Math.max(Number(seconds), 0.1)));
}
