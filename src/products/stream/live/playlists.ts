/** HLS playlists of a broadcast that lasts, made from its packager's index (docs: Use your own player; DVR for Live). Pure. */
import { headName, PART_S, type Packager, type Segment } from "./packager.ts";

/** How a broadcast is looked at. */
export type LiveMode = "plain" | "lowLatency" | "dvr";

/** Documented: 6, and 8 with DVR. Low latency needs 9 for what it tells of its server. */
const VERSION = { plain: 6, lowLatency: 9, dvr: 8 } as const;
const SHOWN = 6;
/** Parts of older segments are not listed any more (RFC 8216bis, 6.2.2: three target durations). */
const SEGMENTS_IN_PARTS = 3;

const lines = (...all: readonly (string | false)[]): string => `${all.filter((line) => line !== false).join("\n")}\n`;

export function liveMaster({ format, segments }: Packager, mode: LiveMode, query: string): string {
  const done = segments.filter((segment) => segment.done).slice(-SHOWN);
  const rates = (done.length > 0 ? done : segments.slice(-1)).map(({ bytes, duration }) => (bytes * 8) / Math.max(duration, 0.1));
  const bandwidth = Math.max(1, Math.ceil(Math.max(0, ...rates)));
  const { codecs, width, height } = format ?? { codecs: "", width: 0, height: 0 };
  const about = [`BANDWIDTH=${bandwidth}`, `CODECS="${codecs}"`, ...(width > 0 ? [`RESOLUTION=${width}x${height}`] : [])].join(",");
  return lines(
    "#EXTM3U",
    `#EXT-X-VERSION:${VERSION[mode]}`,
    "#EXT-X-INDEPENDENT-SEGMENTS",
    `#EXT-X-STREAM-INF:${about}`,
    `live.m3u8${query}`,
  );
}

const targetOf = (segments: readonly Segment[]): number => Math.max(1, ...segments.map(({ duration }) => Math.ceil(duration - 0.001)));

/** A segment's lines, after those of the one before it. */
function listed(segment: Segment, before: Segment | undefined): string[] {
  const head = `#EXT-X-MAP:URI="../live/${headName(segment.head)}"`;
  if (before === undefined) return [head];
  return before.head === segment.head ? [] : ["#EXT-X-DISCONTINUITY", head];
}

const entry = ({ number, duration }: Segment): string[] => [`#EXTINF:${duration.toFixed(6)},`, `../live/${number}.m4s`];

/** What is live now. */
export function livePlaylist({ segments, ended }: Packager, mode: LiveMode): string {
  const done = segments.filter((segment) => segment.done);
  const shown = mode === "dvr" ? done : done.slice(-SHOWN);
  const open = mode === "lowLatency" ? segments.at(-1) : undefined;
  const all = open !== undefined && !open.done ? [...shown, open] : shown;
  const longest = Math.max(PART_S, ...all.flatMap(({ parts }) => parts.map(({ duration }) => duration)));
  const control = `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(longest * 3).toFixed(3)}`;
  return lines(
    ...["#EXTM3U", `#EXT-X-VERSION:${VERSION[mode]}`, `#EXT-X-TARGETDURATION:${targetOf(segments)}`],
    mode === "lowLatency" && control,
    mode === "lowLatency" && `#EXT-X-PART-INF:PART-TARGET=${longest.toFixed(3)}`,
    `#EXT-X-MEDIA-SEQUENCE:${all[0]?.number ?? 0}`,
    // Only where nothing is ever taken out of it.
    mode === "dvr" && (all[0]?.number ?? 0) === 0 && "#EXT-X-PLAYLIST-TYPE:EVENT",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    ...all.flatMap((segment, i) => [
      ...listed(segment, all[i - 1]),
      ...(mode === "lowLatency" && i >= all.length - SEGMENTS_IN_PARTS ? partLines(segment) : []),
      ...(segment.done ? entry(segment) : []),
    ]),
    mode === "lowLatency" && !ended && `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../live/${nextPart(segments)}"`,
    ended && "#EXT-X-ENDLIST",
  );
}

function partLines({ number, parts }: Segment): string[] {
  return parts.map(
    ({ duration, independent }, i) =>
      `#EXT-X-PART:DURATION=${duration.toFixed(6)},URI="../live/${number}.${i}.m4s"${independent ? ",INDEPENDENT=YES" : ""}`,
  );
}

/** The part that is made next. */
function nextPart(segments: readonly Segment[]): string {
  const last = segments.at(-1);
  return last === undefined || last.done ? `${(last?.number ?? -1) + 1}.0.m4s` : `${last.number}.${last.parts.length}.m4s`;
}

/** The segments that hold the seconds from `from` to `to`: a list that does not grow. */
export function partPlaylist(segments: readonly Segment[]): string {
  return lines(
    ...[
      "#EXTM3U",
      "#EXT-X-VERSION:6",
      `#EXT-X-TARGETDURATION:${targetOf(segments)}`,
      "#EXT-X-MEDIA-SEQUENCE:0",
      "#EXT-X-PLAYLIST-TYPE:VOD",
    ],
    "#EXT-X-INDEPENDENT-SEGMENTS",
    ...segments.flatMap((segment, i) => [...listed(segment, segments[i - 1]), ...entry(segment)]),
    "#EXT-X-ENDLIST",
  );
}

export const within = (segments: readonly Segment[], from: number, to: number): Segment[] =>
  segments.filter(({ done, start, duration }) => done && start < to - 0.001 && start + duration > from + 0.001);
