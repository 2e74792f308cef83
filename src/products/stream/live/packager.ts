/**
 * A broadcast's packets as files that players fetch: a segment for each group of pictures, written in parts of half a second
 * as they come (docs: Use your own player, LL-HLS; DVR for Live). What the index lists is on disk.
 */
import { appendFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { audioTrack, codecsOf, videoTrack } from "./codec-config.ts";
import type { FlvTag } from "./flv.ts";
import { fragment, initSegment, type MediaTrack, type Sample, timescaleOf } from "./fmp4.ts";

export interface Part {
  readonly offset: number;
  readonly length: number;
  /** Seconds. */
  readonly duration: number;
  /** Begins with a key frame. */
  readonly independent: boolean;
}

export interface Segment {
  readonly number: number;
  /** Seconds since the broadcast began. */
  readonly start: number;
  duration: number;
  bytes: number;
  /** Number of the head that it needs. */
  readonly head: number;
  readonly parts: Part[];
  done: boolean;
}

export interface Packager {
  /** From the oldest that is kept to the one that is still written. */
  readonly segments: readonly Segment[];
  /** RFC 6381's names, and the picture's size: of what comes now. Undefined until something plays. */
  readonly format: { readonly codecs: string; readonly width: number; readonly height: number } | undefined;
  /** Resolves when the part is on disk: the encoder is slowed down where the disk does not keep up. */
  take(tag: FlvTag): Promise<void>;
  /** Resolves when the index has changed, or at the end. */
  changed(): Promise<void>;
  /** Writes what is held. */
  end(): Promise<void>;
  readonly ended: boolean;
}

/** Parts are no longer, where pictures come that often. */
export const PART_S = 0.5;
/** Documented: the most of a manifest with DVR. */
const SEGMENTS_MAX = 7_200;
const SEGMENT_MIN_S = 1;
/** A group of pictures that does not end is cut all the same. */
const SEGMENT_MAX_S = 30;
/** So long the second kind of track is waited for. */
const OTHER_TRACK_MS = 1_000;
const HELD_MAX = 2_000;
const AAC_FRAME = 1024;

/** A packet that waits for the next of its kind, which tells its duration. */
interface Pending {
  readonly data: Buffer;
  readonly time: number;
  readonly shift: number;
  readonly key: boolean;
}

export const headName = (head: number): string => (head === 0 ? "init.mp4" : `init-${head}.mp4`);

export function openPackager(directory: string): Packager {
  const segments: Segment[] = [];
  const configs = new Map<"video" | "audio", Buffer>();
  let tracks: MediaTrack[] = [];
  let head = -1;
  let held: FlvTag[] = [];
  let pending: Partial<Record<"video" | "audio", Pending>> = {};
  let samples: Record<"video" | "audio", Sample[]> = { video: [], audio: [] };
  let audioNext = 0;
  let numbers = 0;
  let fragments = 0;
  let ended = false;
  let waiting: (() => void)[] = [];

  const trackOf = (kind: "video" | "audio"): MediaTrack | undefined => tracks.find((track) => track.kind === kind);
  /** The track that says where parts end. */
  const leader = (): "video" | "audio" => (trackOf("video") === undefined ? "audio" : "video");
  const stir = (): void => {
    for (const wake of waiting.splice(0)) wake();
  };

  async function begin(): Promise<void> {
    tracks = [
      ...(configs.has("video") ? [videoTrack(configs.get("video") as Buffer)] : []),
      ...(configs.has("audio") ? [audioTrack(configs.get("audio") as Buffer)] : []),
    ];
    head++;
    audioNext = 0;
    await writeFile(join(directory, headName(head)), initSegment(tracks));
    const early = held;
    held = [];
    for (const tag of early) await media(tag);
  }

  /** An encoder that describes itself anew: players need another head from here on. */
  async function configured(kind: "video" | "audio", config: Buffer): Promise<void> {
    if (configs.get(kind)?.equals(config) === true) return;
    configs.set(kind, config);
    if (tracks.length === 0) return;
    await cut(true);
    tracks = [];
    pending = {};
  }

  async function take(tag: FlvTag): Promise<void> {
    const { type, data } = tag;
    if (ended || type === 18 || data.length < 3) return;
    if (type === 9 && data[1] === 0) return configured("video", data.subarray(5));
    if (type === 8 && data[1] === 0) return configured("audio", data.subarray(2));
    if (data[1] !== 1) return;
    if (tracks.length > 0) return media(tag);
    held.push(tag);
    const waited = tag.time - (held[0] as FlvTag).time >= OTHER_TRACK_MS || held.length >= HELD_MAX;
    if (configs.size === 2 || (configs.size === 1 && waited)) await begin();
  }

  async function media({ type, time, data }: FlvTag): Promise<void> {
    const kind = type === 9 ? "video" : "audio";
    const track = trackOf(kind);
    if (track === undefined) return;
    const scale = timescaleOf(track);
    const video = kind === "video";
    let at = Math.round((time * scale) / 1000);
    if (!video) {
      // The protocol's times are rounded to milliseconds; sound without holes is not.
      if (Math.abs(at - audioNext) < scale / 20) at = audioNext;
      audioNext = at + AAC_FRAME;
    }
    const now: Pending = {
      data: data.subarray(video ? 5 : 2),
      time: at,
      shift: video ? Math.round((data.readIntBE(2, 3) * scale) / 1000) : 0,
      key: !video || (data[0] as number) >> 4 === 1,
    };
    const before = pending[kind];
    pending[kind] = now;
    if (before !== undefined) samples[kind].push({ ...before, duration: Math.max(1, at - before.time) });
    if (kind === leader()) await boundary(now, scale);
  }

  /** Whether a part, or a segment, ends before the packet that has come. */
  async function boundary(now: Pending, scale: number): Promise<void> {
    const mine = samples[leader()];
    const [first, last] = [mine[0], mine.at(-1)];
    if (first === undefined || last === undefined) return;
    const open = segments.at(-1);
    const length = (open === undefined || open.done ? 0 : open.duration) + (now.time - first.time) / scale;
    if ((now.key && length >= SEGMENT_MIN_S) || length >= SEGMENT_MAX_S) return cut(true);
    if ((now.time - first.time + last.duration) / scale > PART_S + 0.001) await cut(false);
  }

  /** Writes what has come as a part; the last of its segment. */
  async function cut(whole: boolean): Promise<void> {
    const mine = samples[leader()];
    const first = mine[0];
    const track = trackOf(leader());
    const known = segments.at(-1);
    if (first === undefined || track === undefined) {
      if (whole && known !== undefined) known.done = true;
      return stir();
    }
    const scale = timescaleOf(track);
    const duration = mine.reduce((sum, one) => sum + one.duration, 0) / scale;
    const open: Segment =
      known !== undefined && !known.done
        ? known
        : { number: numbers++, start: first.time / scale, duration: 0, bytes: 0, head, parts: [], done: false };
    const bytes = fragment(
      ++fragments,
      tracks.map(({ kind }) => ({ kind, samples: samples[kind] })),
    );
    samples = { video: [], audio: [] };
    await appendFile(join(directory, `${open.number}.m4s`), bytes);
    // Here it becomes visible.
    open.parts.push({ offset: open.bytes, length: bytes.length, duration, independent: first.key });
    open.bytes += bytes.length;
    open.duration += duration;
    open.done = whole;
    if (open !== known) segments.push(open);
    while (segments.length > SEGMENTS_MAX) await rm(join(directory, `${segments.shift()?.number}.m4s`), { force: true });
    stir();
  }

  return {
    segments,
    get format() {
      if (tracks.length === 0) return undefined;
      const video = tracks.find((track) => track.kind === "video");
      return { codecs: codecsOf(tracks), width: video?.width ?? 0, height: video?.height ?? 0 };
    },
    take,
    changed: () => (ended ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    async end() {
      await cut(true);
      ended = true;
      stir();
      waiting = [];
    },
    get ended() {
      return ended;
    },
  };
}
