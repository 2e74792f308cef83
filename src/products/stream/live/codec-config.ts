/** What encoders say of their tracks once: H.264's `avcC` with its picture size, AAC's AudioSpecificConfig. Pure. */
import type { MediaTrack } from "./fmp4.ts";

const RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/** Profiles whose parameters name the chroma and the depth. */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

export function videoTrack(config: Buffer): MediaTrack & { kind: "video" } {
  const length = config.length > 8 ? config.readUInt16BE(6) : 0;
  const { width, height } = pictureSize(config.subarray(8, 8 + length));
  return { kind: "video", config, width, height };
}

export function audioTrack(config: Buffer): MediaTrack & { kind: "audio" } {
  const bits = bitReader(config);
  bits.read(5);
  const index = bits.read(4);
  const rate = index === 15 ? bits.read(24) : (RATES[index] ?? 44_100);
  return { kind: "audio", config, rate, channels: bits.read(4) || 2 };
}

/** RFC 6381's names of both tracks. */
export function codecsOf(tracks: readonly MediaTrack[]): string {
  return tracks
    .map(({ kind, config }) =>
      kind === "video"
        ? `avc1.${config.toString("hex", 1, 4)}`
        : `mp4a.40.${(config[0] as number) >> 3 === 31 ? 2 : (config[0] as number) >> 3}`,
    )
    .join(",");
}

/** Of a sequence parameter set (ITU-T H.264, 7.3.2.1.1). */
function pictureSize(set: Buffer): { width: number; height: number } {
  // Bytes that keep start codes out of the data are no part of it.
  const raw = Buffer.from(set.filter((byte, i) => !(byte === 3 && set[i - 1] === 0 && set[i - 2] === 0)));
  const bits = bitReader(raw.subarray(1));
  const profile = bits.read(8);
  bits.read(16);
  bits.golomb();
  let chroma = 1;
  if (HIGH_PROFILES.has(profile)) {
    chroma = bits.golomb();
    if (chroma === 3) bits.read(1);
    bits.golomb();
    bits.golomb();
    bits.read(1);
    const lists = bits.read(1) === 0 ? 0 : chroma === 3 ? 12 : 8;
    for (let i = 0; i < lists; i++) {
      const given = bits.read(1) === 1;
      if (given) scalingList(bits, i < 6 ? 16 : 64);
    }
  }
  bits.golomb();
  const order = bits.golomb();
  if (order === 0) bits.golomb();
  else if (order === 1) {
    bits.read(1);
    bits.golomb();
    bits.golomb();
    for (let left = Math.min(bits.golomb(), 255); left > 0; left--) bits.golomb();
  }
  bits.golomb();
  bits.read(1);
  const across = bits.golomb() + 1;
  const down = bits.golomb() + 1;
  const frames = bits.read(1);
  if (frames === 0) bits.read(1);
  bits.read(1);
  const [left, right, top, bottom] = bits.read(1) === 1 ? [bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()] : [0, 0, 0, 0];
  const [unitX, unitY] = [chroma === 1 || chroma === 2 ? 2 : 1, (chroma === 1 ? 2 : 1) * (2 - frames)];
  const size = { width: across * 16 - (left + right) * unitX, height: down * 16 * (2 - frames) - (top + bottom) * unitY };
  return size.width > 0 && size.width < 16_384 && size.height > 0 && size.height < 16_384 ? size : { width: 0, height: 0 };
}

function scalingList(bits: ReturnType<typeof bitReader>, count: number): void {
  let last = 8;
  for (let next = 8, i = 0; i < count; i++) {
    if (next !== 0) {
      const coded = bits.golomb();
      next = (last + (coded % 2 === 1 ? (coded + 1) / 2 : -coded / 2) + 256) % 256;
    }
    last = next === 0 ? last : next;
  }
}

/** Bits past the end are zeros. */
function bitReader(bytes: Buffer) {
  let at = 0;
  const bit = (): number => {
    const value = ((bytes[at >> 3] ?? 0) >> (7 - (at & 7))) & 1;
    at++;
    return value;
  };
  function read(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left--) value = value * 2 + bit();
    return value;
  }
  return {
    read,
    /** An unsigned number in Exp-Golomb code. */
    golomb(): number {
      let zeros = 0;
      while (zeros < 32 && at < bytes.length * 8 && bit() === 0) zeros++;
      return 2 ** zeros - 1 + read(zeros);
    },
  };
}
