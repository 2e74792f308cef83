/**
 * Fragmented MP4 (ISO/IEC 14496-12) of the packets of a broadcast: the head that every player needs first, and fragments of
 * as many packets as are given. Nothing is decoded. Pure.
 */

/** A track as its encoder describes it. */
export type MediaTrack =
  | { readonly kind: "video"; readonly config: Buffer; readonly width: number; readonly height: number }
  | { readonly kind: "audio"; readonly config: Buffer; readonly rate: number; readonly channels: number };

export interface Sample {
  readonly data: Buffer;
  /** In the track's timescale, as are the next two. */
  readonly time: number;
  readonly duration: number;
  /** How much later it is shown than decoded. */
  readonly shift: number;
  readonly key: boolean;
}

export const VIDEO_TIMESCALE = 90_000;
export const timescaleOf = (track: MediaTrack): number => (track.kind === "video" ? VIDEO_TIMESCALE : track.rate);
const TRACK_ID = { video: 1, audio: 2 } as const;

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => void bytes.writeUInt32BE(value >>> 0, i * 4));
  return bytes;
}
function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => void bytes.writeUInt16BE(value, i * 2));
  return bytes;
}
function box(type: string, ...contents: readonly Buffer[]): Buffer {
  const size = contents.reduce((sum, { length }) => sum + length, 8);
  return Buffer.concat([u32(size), Buffer.from(type, "latin1"), ...contents]);
}
const full = (type: string, version: number, flags: number, ...contents: readonly Buffer[]): Buffer =>
  box(type, u32(((version << 24) | flags) >>> 0), ...contents);

const MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);

export function initSegment(tracks: readonly MediaTrack[]): Buffer {
  const movie = full("mvhd", 0, 0, u32(0, 0, 1000, 0, 0x10000), u16(0x0100, 0), u32(0, 0), MATRIX, Buffer.alloc(24), u32(3));
  const extends_ = tracks.map(({ kind }) => full("trex", 0, 0, u32(TRACK_ID[kind], 1, 0, 0, 0)));
  return Buffer.concat([
    box("ftyp", Buffer.from("iso6\0\0\x02\0iso5iso6mp41", "latin1")),
    box("moov", movie, ...tracks.map(trackBox), box("mvex", ...extends_)),
  ]);
}

function trackBox(track: MediaTrack): Buffer {
  const [width, height] = track.kind === "video" ? [track.width, track.height] : [0, 0];
  const volume = u16(track.kind === "audio" ? 0x0100 : 0, 0);
  const head = full("tkhd", 0, 3, u32(0, 0, TRACK_ID[track.kind], 0, 0, 0, 0), u16(0, 0), volume, MATRIX, u32(width << 16, height << 16));
  const media = full("mdhd", 0, 0, u32(0, 0, timescaleOf(track), 0), u16(0x55c4, 0));
  const type = track.kind === "video" ? "vide" : "soun";
  const handler = full("hdlr", 0, 0, u32(0), Buffer.from(type, "latin1"), Buffer.alloc(12), Buffer.from(`${track.kind}\0`, "latin1"));
  const medium = track.kind === "video" ? full("vmhd", 0, 1, u16(0, 0, 0, 0)) : full("smhd", 0, 0, u16(0, 0));
  const data = box("dinf", full("dref", 0, 0, u32(1), full("url ", 0, 1)));
  const entry = track.kind === "video" ? videoEntry(track) : audioEntry(track);
  const empty = ["stts", "stsc", "stco"].map((name) => full(name, 0, 0, u32(0)));
  const table = box("stbl", full("stsd", 0, 0, u32(1), entry), ...empty, full("stsz", 0, 0, u32(0, 0)));
  return box("trak", head, box("mdia", media, handler, box("minf", medium, data, table)));
}

function videoEntry({ config, width, height }: MediaTrack & { kind: "video" }): Buffer {
  const about = [u32(0), u16(0, 1), Buffer.alloc(16), u16(width, height), u32(0x480000, 0x480000, 0), u16(1), Buffer.alloc(32)];
  return box("avc1", ...about, u16(24, 0xffff), box("avcC", config));
}

function audioEntry({ config, rate, channels }: MediaTrack & { kind: "audio" }): Buffer {
  const descriptor = (tag: number, ...contents: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(contents);
    return Buffer.concat([Buffer.of(tag, content.length), content]);
  };
  const decoder = descriptor(4, Buffer.of(0x40, 0x15, 0, 0, 0), u32(0, 0), descriptor(5, config));
  const stream = descriptor(3, u16(TRACK_ID.audio), Buffer.of(0), decoder, descriptor(6, Buffer.of(2)));
  const about = [u32(0), u16(0, 1), u32(0, 0), u16(channels, 16, 0, 0), u32(rate < 65_536 ? rate << 16 : 0)];
  return box("mp4a", ...about, full("esds", 0, 0, stream));
}

/** Shown without others before it; needs others. */
const FLAGS = { key: 0x02000000, dependent: 0x01010000 } as const;

/** One `moof` and its `mdat`. */
export function fragment(
  number: number,
  runs: readonly { readonly kind: MediaTrack["kind"]; readonly samples: readonly Sample[] }[],
): Buffer {
  const filled = runs.filter(({ samples }) => samples.length > 0);
  const head = (offsets: readonly number[]): Buffer =>
    box("moof", full("mfhd", 0, 0, u32(number)), ...filled.map(({ kind, samples }, i) => runBox(kind, samples, offsets[i] as number)));
  // The data's place depends on the head's length alone.
  const base = head(filled.map(() => 0)).length + 8;
  let at = base;
  const offsets = filled.map(({ samples }) => {
    const offset = at;
    at += samples.reduce((sum, { data }) => sum + data.length, 0);
    return offset;
  });
  return Buffer.concat([head(offsets), box("mdat", ...filled.flatMap(({ samples }) => samples.map(({ data }) => data)))]);
}

function runBox(kind: MediaTrack["kind"], samples: readonly Sample[], offset: number): Buffer {
  const start = Buffer.alloc(8);
  start.writeBigUInt64BE(BigInt(samples[0]?.time ?? 0));
  const rows = samples.map(({ data, duration, shift, key }) => u32(duration, data.length, key ? FLAGS.key : FLAGS.dependent, shift));
  const run = full("trun", 1, 0xf01, u32(samples.length, offset), ...rows);
  return box("traf", full("tfhd", 0, 0x20000, u32(TRACK_ID[kind])), full("tfdt", 1, 0, start), run);
}
