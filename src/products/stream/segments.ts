/** Where the segments of a track lie in its file, as ffmpeg's playlist with byte ranges tells. Pure. */

export interface SegmentIndex {
  /** Bytes at the file's start that every segment needs. */
  readonly init: number;
  /** Bytes and seconds of each segment, in the file's order. */
  readonly segments: readonly (readonly [bytes: number, seconds: number])[];
}

export function parseIndex(playlist: string): SegmentIndex {
  const init = Number(/^#EXT-X-MAP:.*BYTERANGE="(\d+)@0"/m.exec(playlist)?.[1] ?? Number.NaN);
  const segments = [...playlist.matchAll(/^#EXTINF:([\d.]+),\s*\n#EXT-X-BYTERANGE:(\d+)(?:@\d+)?$/gm)].map(
    ([, seconds, bytes]) => [Number(bytes), Number(seconds)] as const,
  );
  if (!Number.isSafeInteger(init) || segments.length === 0) throw new Error("the playlist has no segments");
  return { init, segments };
}

/** Bytes of the segment of that number, or undefined past the end. */
export function rangeOf({ init, segments }: SegmentIndex, number: number): { offset: number; length: number } | undefined {
  const segment = segments[number];
  if (segment === undefined) return undefined;
  let offset = init;
  for (const [bytes] of segments.slice(0, number)) offset += bytes;
  return { offset, length: segment[0] };
}

/** Seconds of all segments. */
export const secondsOf = ({ segments }: SegmentIndex): number => segments.reduce((sum, [, seconds]) => sum + seconds, 0);

/** Most and mean bits a second. */
export function bitratesOf({ segments }: SegmentIndex): { peak: number; mean: number } {
  const bytes = segments.reduce((sum, [size]) => sum + size, 0);
  const peak = Math.max(...segments.map(([size, seconds]) => (size * 8) / Math.max(seconds, 0.5)));
  return { peak: Math.ceil(peak), mean: Math.ceil((bytes * 8) / Math.max(secondsOf({ init: 0, segments }), 0.5)) };
}

/** Numbers and start of the segments that hold the seconds from `from` to `to`. */
export function cut({ segments }: SegmentIndex, from: number, to: number): { first: number; count: number; start: number } {
  let at = 0;
  let first = 0;
  while (first < segments.length - 1 && at + (segments[first]?.[1] ?? 0) <= from) at += segments[first++]?.[1] ?? 0;
  const start = at;
  let count = 0;
  while (first + count < segments.length && (count === 0 || at < to - 0.001)) at += segments[first + count++]?.[1] ?? 0;
  return { first, count, start };
}
