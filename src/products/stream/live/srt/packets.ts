/**
 * The packets of SRT as bytes (IETF draft-sharabayko-srt-01, chapter 3): data, control, and the handshake with its
 * extensions. Pure; what is too short or says nothing is `undefined`.
 */

export const CONTROL = { handshake: 0, keepalive: 1, ack: 2, nak: 3, shutdown: 5, ackack: 6, drop: 7, user: 0x7fff } as const;
/** Types of extensions of a handshake; the two of keys are also subtypes of `CONTROL.user`. */
export const EXTENSION = { hello: 1, helloAnswer: 2, keys: 3, keysAnswer: 4, streamId: 5 } as const;
/** Types of a handshake. Numbers from 1000 on are refusals. */
export const HANDSHAKE = { induction: 1, conclusion: 0xffffffff } as const;
/** Why a caller is refused: libsrt's numbers, and those of HTTP from 1400 on. */
export const REFUSAL = { badSecret: 1010, insecure: 1011, notFound: 1404, conflict: 1409, busy: 1503 } as const;

export const HEADER_BYTES = 16;
/** Tells callers that the listener speaks version 5. */
export const MAGIC = 0x4a17;
const HANDSHAKE_BYTES = 48;
const STREAM_ID_MAX_BYTES = 512;
const SEQUENCE_MASK = 0x7fffffff;

export interface DataPacket {
  readonly sequence: number;
  /** 0 where nothing is encrypted, 1: with the even key, 2: with the odd one. */
  readonly key: 0 | 1 | 2;
  readonly message: number;
  readonly again: boolean;
  /** Microseconds since the connection began. */
  readonly time: number;
  readonly payload: Buffer;
}

export interface Handshake {
  readonly version: number;
  /** Length of the caller's key in words of eight bytes, in a conclusion. */
  readonly encryption: number;
  readonly extensionField: number;
  readonly sequence: number;
  readonly type: number;
  readonly socket: number;
  readonly cookie: number;
  readonly extensions: ReadonlyMap<number, Buffer>;
}

export const isControl = (packet: Buffer): boolean => (packet[0] as number) >= 128;

/** Numbers of packets go round: how far `to` is after `from`, negative where it is before. */
export function distance(from: number, to: number): number {
  const steps = (to - from) & SEQUENCE_MASK;
  return steps > SEQUENCE_MASK >> 1 ? steps - SEQUENCE_MASK - 1 : steps;
}

export const after = (sequence: number, steps = 1): number => (sequence + steps) & SEQUENCE_MASK;

export function decodeData(packet: Buffer): DataPacket {
  const flags = packet.readUInt32BE(4);
  return {
    sequence: packet.readUInt32BE(0),
    key: ((flags >>> 27) & 3) as DataPacket["key"],
    message: flags & 0x3ffffff,
    again: ((flags >>> 26) & 1) === 1,
    time: packet.readUInt32BE(8),
    payload: packet.subarray(HEADER_BYTES),
  };
}

/** Each message is one packet, as it is in live mode. */
export function encodeData({ sequence, key, message, again, time, payload }: DataPacket, socket: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32BE(sequence, 0);
  head.writeUInt32BE(((0b11 << 30) | (key << 27) | (again ? 1 << 26 : 0) | (message & 0x3ffffff)) >>> 0, 4);
  head.writeUInt32BE(time >>> 0, 8);
  head.writeUInt32BE(socket, 12);
  return Buffer.concat([head, payload]);
}

export function controlBytes(type: number, subtype: number, info: number, time: number, socket: number, body: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(0x8000 | type, 0);
  head.writeUInt16BE(subtype, 2);
  head.writeUInt32BE(info >>> 0, 4);
  head.writeUInt32BE(time >>> 0, 8);
  head.writeUInt32BE(socket, 12);
  return Buffer.concat([head, body]);
}

export function decodeHandshake(body: Buffer): Handshake | undefined {
  if (body.length < HANDSHAKE_BYTES) return undefined;
  const extensions = new Map<number, Buffer>();
  for (let at = HANDSHAKE_BYTES; at + 4 <= body.length; ) {
    const length = body.readUInt16BE(at + 2) * 4;
    if (at + 4 + length > body.length) return undefined;
    extensions.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return {
    version: body.readUInt32BE(0),
    encryption: body.readUInt16BE(4),
    extensionField: body.readUInt16BE(6),
    sequence: body.readUInt32BE(8) & SEQUENCE_MASK,
    type: body.readUInt32BE(20),
    socket: body.readUInt32BE(24),
    cookie: body.readUInt32BE(28),
    extensions,
  };
}

export function encodeHandshake({ version, encryption, extensionField, sequence, type, socket, cookie, extensions }: Handshake): Buffer {
  const head = Buffer.alloc(HANDSHAKE_BYTES);
  head.writeUInt32BE(version, 0);
  head.writeUInt16BE(encryption, 4);
  head.writeUInt16BE(extensionField, 6);
  head.writeUInt32BE(sequence, 8);
  // The largest packet of Ethernet, and packets that may be on their way.
  head.writeUInt32BE(1500, 12);
  head.writeUInt32BE(8192, 16);
  head.writeUInt32BE(type, 20);
  head.writeUInt32BE(socket, 24);
  head.writeUInt32BE(cookie, 28);
  const rest = [...extensions].flatMap(([kind, content]) => {
    const about = Buffer.alloc(4);
    about.writeUInt16BE(kind, 0);
    about.writeUInt16BE(content.length / 4, 2);
    return [about, content];
  });
  return Buffer.concat([head, ...rest]);
}

/** The name that a caller gives its stream: its bytes go by words, the last byte of each first. */
export function streamIdOf(content: Buffer): string {
  if (content.length % 4 !== 0 || content.length > STREAM_ID_MAX_BYTES) return "";
  return Buffer.from(content).swap32().toString("utf8").replace(/\0+$/, "");
}

/** Numbers and ranges of packets that are missing, as a report of losses has them. */
export function lossList(ranges: readonly (readonly [first: number, last: number])[]): Buffer {
  const words = ranges.flatMap(([first, last]) => (first === last ? [first] : [(first | 0x80000000) >>> 0, last]));
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => void bytes.writeUInt32BE(word, i * 4));
  return bytes;
}

export function lossesOf(body: Buffer): (readonly [first: number, last: number])[] {
  const ranges: [number, number][] = [];
  for (let at = 0; at + 4 <= body.length; at += 4) {
    const first = body.readUInt32BE(at) & SEQUENCE_MASK;
    if ((body[at] as number) < 128) ranges.push([first, first]);
    else if (at + 8 <= body.length) {
      at += 4;
      ranges.push([first, body.readUInt32BE(at)]);
    }
  }
  return ranges;
}
