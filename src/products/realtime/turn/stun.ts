/**
 * STUN messages (RFC 8489) with the attributes of TURN (RFC 8656), and ChannelData frames: bytes to values and back. No
 * state and no sockets. IPv4 alone is relayed; a client's own address may be of either family.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { crc32 } from "node:zlib";

export const HEADER_BYTES = 20;
const COOKIE = 0x2112a442;
const COOKIE_BYTES = Buffer.from("2112a442", "hex");
const FINGERPRINT_XOR = 0x5354554e;
const INTEGRITY_BYTES = 20;

export const method = {
  binding: 0x001,
  allocate: 0x003,
  refresh: 0x004,
  send: 0x006,
  data: 0x007,
  createPermission: 0x008,
  channelBind: 0x009,
  // RFC 6062: a TURN server of TCP.
  connect: 0x00a,
  connectionBind: 0x00b,
  connectionAttempt: 0x00c,
} as const;

export const kind = { request: 0x000, indication: 0x010, success: 0x100, error: 0x110 } as const;

export const attribute = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedAddressFamily: 0x0017,
  evenPort: 0x0018,
  requestedTransport: 0x0019,
  dontFragment: 0x001a,
  xorMappedAddress: 0x0020,
  reservationToken: 0x0022,
  priority: 0x0024,
  useCandidate: 0x0025,
  software: 0x8022,
  fingerprint: 0x8028,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
} as const;

const UNDERSTOOD: ReadonlySet<number> = new Set(Object.values(attribute).filter((type) => type !== attribute.dontFragment));

export interface Address {
  readonly address: string;
  readonly port: number;
}

export interface StunMessage {
  readonly method: number;
  readonly kind: number;
  readonly transaction: Buffer;
  /** The first of each type, up to the integrity. */
  readonly attributes: ReadonlyMap<number, Buffer>;
  /** Every XOR-PEER-ADDRESS, undefined for one that cannot be read. */
  readonly peers: readonly (Address | undefined)[];
  /** Types that must be understood and are not. */
  readonly unknown: readonly number[];
  /** The message as it came, for its integrity; `integrityAt` is where that attribute begins, or -1. */
  readonly bytes: Buffer;
  readonly integrityAt: number;
}

/** The two first bits tell STUN from ChannelData. */
export const isChannelData = (bytes: Buffer): boolean => ((bytes[0] ?? 0) & 0xc0) === 0x40;

/** A message, or undefined for bytes that are none. */
export function parseStun(bytes: Buffer): StunMessage | undefined {
  if (bytes.length < HEADER_BYTES || ((bytes[0] ?? 0xff) & 0xc0) !== 0 || bytes.readUInt32BE(4) !== COOKIE) return undefined;
  if (bytes.readUInt16BE(2) !== bytes.length - HEADER_BYTES || bytes.length % 4 !== 0) return undefined;
  const type = bytes.readUInt16BE(0);
  const attributes = new Map<number, Buffer>();
  const peers: (Address | undefined)[] = [];
  const unknown: number[] = [];
  const transaction = bytes.subarray(8, HEADER_BYTES);
  let integrityAt = -1;
  for (let at = HEADER_BYTES; at + 4 <= bytes.length; ) {
    const name = bytes.readUInt16BE(at);
    const length = bytes.readUInt16BE(at + 2);
    const value = bytes.subarray(at + 4, at + 4 + length);
    if (value.length < length) return undefined;
    if (name === attribute.fingerprint) {
      if (length !== 4 || value.readUInt32BE(0) !== fingerprintOf(bytes.subarray(0, at))) return undefined;
    } else if (integrityAt === -1) {
      // What follows the integrity is not covered by it and must be ignored (RFC 8489, 14.5).
      if (name === attribute.messageIntegrity) integrityAt = at;
      if (name < 0x8000 && !UNDERSTOOD.has(name)) unknown.push(name);
      if (name === attribute.xorPeerAddress) peers.push(readXorAddress(value, transaction));
      if (!attributes.has(name)) attributes.set(name, value);
    }
    at += 4 + length + padding(length);
  }
  // Bits 4 and 8 are the class, the others the method.
  const number = (type & 0x000f) | ((type & 0x00e0) >> 1) | ((type & 0x3e00) >> 2);
  return { method: number, kind: type & 0x0110, transaction, attributes, peers, unknown, bytes, integrityAt };
}

/** The key of long-term credentials (RFC 8489, 9.2.2). */
export const longTermKey = (username: string, realm: string, password: string): Buffer =>
  createHash("md5").update(`${username}:${realm}:${password}`).digest();

/** Whether the message was signed with the key. */
export function hasIntegrity({ bytes, integrityAt, attributes }: StunMessage, key: Buffer): boolean {
  const given = attributes.get(attribute.messageIntegrity);
  if (given === undefined || given.length !== INTEGRITY_BYTES) return false;
  return timingSafeEqual(given, integrityOf(bytes.subarray(0, integrityAt), key));
}

/** The length in the header counts the message as if it ended with the attribute that is being computed. */
function integrityOf(before: Buffer, key: Buffer): Buffer {
  const head = Buffer.from(before.subarray(0, 4));
  head.writeUInt16BE(before.length - HEADER_BYTES + 4 + INTEGRITY_BYTES, 2);
  return createHmac("sha1", key).update(head).update(before.subarray(4)).digest();
}

function fingerprintOf(before: Buffer): number {
  const head = Buffer.from(before.subarray(0, 4));
  head.writeUInt16BE(before.length - HEADER_BYTES + 8, 2);
  return (crc32(before.subarray(4), crc32(head)) ^ FINGERPRINT_XOR) >>> 0;
}

const padding = (length: number): number => (4 - (length % 4)) % 4;

export interface Outgoing {
  readonly method: number;
  readonly kind: number;
  /** A new one when absent. */
  readonly transaction?: Buffer;
  readonly attributes: readonly (readonly [type: number, value: Buffer])[];
  /** Signs the message. */
  readonly key?: Buffer | undefined;
}

/** A message's bytes, with integrity where there is a key, and a fingerprint. */
export function writeStun({ method: number, kind: type, transaction = randomBytes(12), attributes, key }: Outgoing): Buffer {
  const parts: Buffer[] = [Buffer.alloc(HEADER_BYTES)];
  const head = parts[0] as Buffer;
  head.writeUInt16BE((number & 0x000f) | ((number & 0x0070) << 1) | ((number & 0x0f80) << 2) | type, 0);
  COOKIE_BYTES.copy(head, 4);
  transaction.copy(head, 8);
  const append = (name: number, value: Buffer): void => {
    const tlv = Buffer.alloc(4 + value.length + padding(value.length));
    tlv.writeUInt16BE(name, 0);
    tlv.writeUInt16BE(value.length, 2);
    value.copy(tlv, 4);
    parts.push(tlv);
  };
  for (const [name, value] of attributes) append(name, value);
  if (key !== undefined) append(attribute.messageIntegrity, integrityOf(Buffer.concat(parts), key));
  const fingerprint = Buffer.alloc(4);
  fingerprint.writeUInt32BE(fingerprintOf(Buffer.concat(parts)), 0);
  append(attribute.fingerprint, fingerprint);
  const bytes = Buffer.concat(parts);
  bytes.writeUInt16BE(bytes.length - HEADER_BYTES, 2);
  return bytes;
}

export function errorCode(code: number, reason: string): Buffer {
  return Buffer.concat([Buffer.of(0, 0, Math.floor(code / 100), code % 100), Buffer.from(reason)]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** An address hidden from middle boxes that rewrite addresses wherever they see them. */
export function xorAddress({ address, port }: Address, transaction: Buffer): Buffer {
  const ip = addressBytes(address);
  const bytes = Buffer.alloc(4 + ip.length);
  bytes[1] = ip.length === 4 ? 0x01 : 0x02;
  bytes.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  const mask = Buffer.concat([COOKIE_BYTES, transaction]);
  for (let i = 0; i < ip.length; i++) bytes[4 + i] = (ip[i] as number) ^ (mask[i] as number);
  return bytes;
}

/** The address of an XOR-…-ADDRESS; undefined when it is none of IPv4. */
export function readXorAddress(value: Buffer, transaction: Buffer): Address | undefined {
  const length = value[1] === 0x01 ? 4 : 16;
  if (value.length !== 4 + length) return undefined;
  const port = value.readUInt16BE(2) ^ (COOKIE >>> 16);
  const mask = Buffer.concat([COOKIE_BYTES, transaction]);
  const ip = value.subarray(4).map((byte, i) => byte ^ (mask[i] as number));
  if (length === 4) return { address: [...ip].join("."), port };
  const groups = Array.from({ length: 8 }, (_, i) => (((ip[2 * i] as number) << 8) | (ip[2 * i + 1] as number)).toString(16));
  return { address: groups.join(":"), port };
}

function addressBytes(address: string): Buffer {
  // A socket of both families writes IPv4 so.
  const plain = address.replace(/^::ffff:/i, "");
  if (isIPv4(plain)) return Buffer.from(plain.split(".").map(Number));
  if (!isIPv6(plain)) throw new Error(`no address: ${address}`);
  const [left = "", right] = (plain.split("%", 1)[0] as string).split("::");
  const groups = (text: string | undefined): number[] =>
    text === undefined || text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const [head, tail] = [groups(left), groups(right)];
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** ChannelData (RFC 8656, 12.4). On a stream each frame is padded to four bytes. */
export function writeChannelData(channel: number, payload: Buffer, padded: boolean): Buffer {
  const bytes = Buffer.alloc(4 + payload.length + (padded ? padding(payload.length) : 0));
  bytes.writeUInt16BE(channel, 0);
  bytes.writeUInt16BE(payload.length, 2);
  payload.copy(bytes, 4);
  return bytes;
}

/**
 * How long the message or frame at the beginning of a stream is, as far as its bytes are there: undefined while that
 * cannot be told. Throws for what is neither.
 */
export function frameLength(bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt16BE(2);
  if (isChannelData(bytes)) return 4 + length + padding(length);
  if (((bytes[0] ?? 0xff) & 0xc0) !== 0 || length % 4 !== 0) throw new Error("neither STUN nor ChannelData");
  return HEADER_BYTES + length;
}
