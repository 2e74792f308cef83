/** RTP packets (RFC 3550) with header extensions (RFC 8285): read in place, and written with another header. */

export const uri = {
  mid: "urn:ietf:params:rtp-hdrext:sdes:mid",
  rid: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
  repairedRid: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
  absSendTime: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
  audioLevel: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
  videoOrientation: "urn:3gpp:video-orientation",
  dependencyDescriptor: "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
} as const;

/** Extensions that go through to receivers as they came. */
export const FORWARDED: readonly string[] = [uri.audioLevel, uri.videoOrientation, uri.dependencyDescriptor];

const ONE_BYTE = 0xbede;
const TWO_BYTE = 0x1000;
const FIXED_BYTES = 12;

export interface RtpPacket {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  /** By id, as the sender's description has them. */
  readonly extensions: ReadonlyMap<number, Buffer>;
  /** Without padding. */
  readonly payload: Buffer;
}

const NONE: ReadonlyMap<number, Buffer> = new Map();

/** A packet, or undefined for bytes that are none. */
export function parseRtp(bytes: Buffer): RtpPacket | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  const [first, second] = [bytes[0] as number, bytes[1] as number];
  let at = FIXED_BYTES + 4 * (first & 0x0f);
  let extensions = NONE;
  if ((first & 0x10) !== 0) {
    if (bytes.length < at + 4) return undefined;
    const end = at + 4 + 4 * bytes.readUInt16BE(at + 2);
    if (bytes.length < end) return undefined;
    extensions = extensionsOf(bytes.readUInt16BE(at), bytes.subarray(at + 4, end));
    at = end;
  }
  const padding = (first & 0x20) === 0 ? 0 : (bytes.at(-1) as number);
  if (at + padding > bytes.length) return undefined;
  return {
    payloadType: second & 0x7f,
    marker: (second & 0x80) !== 0,
    sequence: bytes.readUInt16BE(2),
    timestamp: bytes.readUInt32BE(4),
    ssrc: bytes.readUInt32BE(8),
    extensions,
    payload: bytes.subarray(at, bytes.length - padding),
  };
}

function extensionsOf(profile: number, block: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  const short = profile === ONE_BYTE;
  if (!short && (profile & 0xfff0) !== TWO_BYTE) return found;
  for (let at = 0; at < block.length; ) {
    const head = block[at] as number;
    if (head === 0) {
      at++;
      continue;
    }
    const id = short ? head >> 4 : head;
    if (short && id === 15) break;
    const length = short ? (head & 0x0f) + 1 : (block[at + 1] ?? 0);
    at += short ? 1 : 2;
    if (at + length > block.length) break;
    found.set(id, block.subarray(at, at + length));
    at += length;
  }
  return found;
}

export interface RtpHeader {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly extensions: readonly (readonly [id: number, value: Buffer])[];
}

export function writeRtpHeader({ payloadType, marker, sequence, timestamp, ssrc, extensions }: RtpHeader): Buffer {
  const short = extensions.every(([id, { length }]) => id < 15 && length >= 1 && length <= 16);
  const elementBytes = extensions.reduce((sum, [, { length }]) => sum + length + (short ? 1 : 2), 0);
  const words = Math.ceil(elementBytes / 4);
  const bytes = Buffer.alloc(FIXED_BYTES + (extensions.length > 0 ? 4 + 4 * words : 0));
  bytes[0] = 0x80 | (extensions.length > 0 ? 0x10 : 0);
  bytes[1] = payloadType | (marker ? 0x80 : 0);
  bytes.writeUInt16BE(sequence, 2);
  bytes.writeUInt32BE(timestamp, 4);
  bytes.writeUInt32BE(ssrc, 8);
  if (extensions.length === 0) return bytes;
  bytes.writeUInt16BE(short ? ONE_BYTE : TWO_BYTE, FIXED_BYTES);
  bytes.writeUInt16BE(words, FIXED_BYTES + 2);
  let at = FIXED_BYTES + 4;
  for (const [id, value] of extensions) {
    if (short) bytes[at++] = (id << 4) | (value.length - 1);
    else {
      bytes[at++] = id;
      bytes[at++] = value.length;
    }
    at += value.copy(bytes, at);
  }
  return bytes;
}

/** 24 bits of seconds with a fraction of 18 (the extension abs-send-time). */
export function absSendTime(now: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Math.floor(((now % 64_000) / 1000) * 2 ** 18) % 2 ** 24);
  return bytes.subarray(1);
}

/** Whether a sequence number comes after another, with its wrap. */
export const isAfter = (a: number, b: number): boolean => a !== b && ((a - b) & 0xffff) < 0x8000;

/** Whether decoding can begin with the packet, as far as that can be told for the codec. */
export function startsKeyframe(codec: string, payload: Buffer): boolean {
  switch (codec) {
    case "vp8":
      return startsVp8Keyframe(payload);
    case "vp9":
      // Neither predicted from other pictures, and the beginning of a frame.
      return ((payload[0] ?? 0) & 0x48) === 0x08;
    case "h264":
      return startsH264Keyframe(payload);
    case "h265": {
      const type = ((payload[0] ?? 0) >> 1) & 0x3f;
      return (type >= 16 && type <= 21) || (type >= 32 && type <= 34) || type === 48;
    }
    case "av1":
      // The bit N: the first packet of a coded video sequence.
      return ((payload[0] ?? 0) & 0x08) !== 0;
    default:
      return true;
  }
}

function startsVp8Keyframe(payload: Buffer): boolean {
  const first = payload[0] ?? 0;
  // The beginning of the first partition.
  if ((first & 0x10) === 0 || (first & 0x07) !== 0) return false;
  let at = 1;
  if ((first & 0x80) !== 0) {
    const more = payload[at++] ?? 0;
    if ((more & 0x80) !== 0) at += ((payload[at] ?? 0) & 0x80) !== 0 ? 2 : 1;
    if ((more & 0x40) !== 0) at++;
    if ((more & 0x30) !== 0) at++;
  }
  return at < payload.length && ((payload[at] as number) & 0x01) === 0;
}

function startsH264Keyframe(payload: Buffer): boolean {
  const type = (payload[0] ?? 0) & 0x1f;
  const starts = (one: number): boolean => one === 5 || one === 7;
  // One of several in a packet, or the beginning of a large one.
  if (type === 24) return starts((payload[3] ?? 0) & 0x1f);
  if (type === 28) return ((payload[1] ?? 0) & 0x80) !== 0 && starts((payload[1] ?? 0) & 0x1f);
  return starts(type);
}
