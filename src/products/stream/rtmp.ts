/**
 * RTMP from the side that is published to: handshake, chunks, and the few commands with which an encoder begins and ends.
 * What it sends comes out as tags of FLV. Nothing here knows whose stream it is: who may publish is asked.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { type Amf, decodeAmf, encodeAmf } from "./amf.ts";

/** A piece of sound (8), picture (9) or data about both (18). */
export interface FlvTag {
  readonly type: 8 | 9 | 18;
  /** Milliseconds since the broadcast began. */
  readonly time: number;
  readonly data: Buffer;
}

/** Whoever takes the broadcast. */
export interface Publication {
  /** Awaited, so that the encoder is slowed down where nobody keeps up. */
  tag(tag: FlvTag): Promise<void>;
  ended(): void;
}

const HANDSHAKE_BYTES = 1536;
const MESSAGE_MAX_BYTES = 8 * 1024 * 1024;
const CHUNK_STREAMS_MAX = 64;
const WINDOW_BYTES = 2_500_000;
const OUT_CHUNK_BYTES = 4096;
const IDLE_MS = 30_000;

class ProtocolError extends Error {}

interface ChunkStream {
  time: number;
  delta: number;
  length: number;
  type: number;
  stream: number;
  extended: boolean;
  parts: Buffer[];
  size: number;
}

/**
 * Serves one connection until it ends. `publish` says who takes a stream of that key, or undefined to refuse; it gets a
 * function that ends the connection.
 */
export async function serveRtmp(
  socket: Duplex,
  publish: (key: string, close: () => void) => Promise<Publication | undefined>,
): Promise<void> {
  const reader = byteReader(socket);
  let publication: Publication | undefined;
  try {
    await handshake(socket, reader);
    let inChunk = 128;
    let received = 0;
    let acknowledged = 0;
    const streams = new Map<number, ChunkStream>();
    for (;;) {
      const message = await nextMessage(reader, streams, inChunk, (bytes) => {
        received += bytes;
      });
      if (message === undefined) return;
      if (received - acknowledged > WINDOW_BYTES / 2) {
        acknowledged = received;
        control(socket, 3, u32(received % 2 ** 32));
      }
      const { type, data, time, stream } = message;
      if (type === 1 && data.length >= 4) inChunk = Math.min(Math.max(data.readUInt32BE() & 0x7fffffff, 1), MESSAGE_MAX_BYTES);
      else if (type === 20) {
        const [name, transaction = 0, , ...rest] = decodeAmf(data);
        if (name === "connect") connected(socket, transaction);
        else if (name === "createStream") command(socket, 0, "_result", transaction, null, 1);
        else if (name === "publish" && publication === undefined) {
          publication = await publish(String(rest[0] ?? "").split("?")[0] as string, () => socket.destroy());
          if (publication === undefined) {
            status(socket, stream, "error", "NetStream.Publish.BadName", "The stream key is not valid");
            return;
          }
          status(socket, stream, "status", "NetStream.Publish.Start", "Published");
        } else if (name === "play") {
          status(socket, stream, "error", "NetStream.Play.StreamNotFound", "Nothing is played here");
          return;
        } else if (name === "deleteStream" || name === "FCUnpublish" || name === "closeStream") return;
        else if (name === "releaseStream" || name === "FCPublish") command(socket, 0, "_result", transaction, null);
      } else if (publication !== undefined && (type === 8 || type === 9 || type === 18)) {
        // Encoders wrap their metadata in a command that files do not have.
        const plain = type === 18 && data.toString("latin1", 3, 16) === "@setDataFrame" ? data.subarray(16) : data;
        if (plain.length > 0) await publication.tag({ type, time, data: plain });
      }
    }
  } finally {
    publication?.ended();
    reader.close();
    socket.end(() => socket.destroy());
  }
}

async function handshake(socket: Duplex, reader: ByteReader): Promise<void> {
  const first = await reader.take(1 + HANDSHAKE_BYTES);
  if (first?.[0] !== 3) throw new ProtocolError("it speaks no RTMP");
  // A version of zero: a client does not look for a digest then.
  const own = Buffer.concat([Buffer.alloc(8), randomBytes(HANDSHAKE_BYTES - 8)]);
  socket.write(Buffer.concat([Buffer.of(3), own, first.subarray(1)]));
  if ((await reader.take(HANDSHAKE_BYTES)) === undefined) throw new ProtocolError("it ended in its handshake");
}

interface Message {
  readonly type: number;
  readonly time: number;
  readonly stream: number;
  readonly data: Buffer;
}

/** The next whole message; undefined at the connection's end. */
async function nextMessage(
  reader: ByteReader,
  streams: Map<number, ChunkStream>,
  chunkBytes: number,
  count: (bytes: number) => void,
): Promise<Message | undefined> {
  for (;;) {
    const basic = await reader.take(1);
    if (basic === undefined) return undefined;
    const format = (basic[0] as number) >> 6;
    let id = (basic[0] as number) & 63;
    if (id < 2) {
      const more = await reader.must(id + 1);
      id = 64 + (more[0] as number) + (more.length > 1 ? 256 * (more[1] as number) : 0);
    }
    if (!streams.has(id) && (format !== 0 || streams.size >= CHUNK_STREAMS_MAX)) throw new ProtocolError("a chunk without a beginning");
    const chunk = streams.get(id) ?? { time: 0, delta: 0, length: 0, type: 0, stream: 0, extended: false, parts: [], size: 0 };
    streams.set(id, chunk);
    const head = await reader.must([11, 7, 3, 0][format] as number);
    count(1 + head.length);
    let stamp = format === 3 ? 0 : head.readUIntBE(0, 3);
    if (format < 3) chunk.extended = stamp === 0xffffff;
    if (chunk.extended) {
      const long = (await reader.must(4)).readUInt32BE();
      if (format < 3) stamp = long;
    }
    if (format < 2) {
      chunk.length = head.readUIntBE(3, 3);
      chunk.type = head[6] as number;
      if (chunk.length > MESSAGE_MAX_BYTES) throw new ProtocolError("a message is too large");
    }
    if (format === 0) {
      chunk.stream = head.readUInt32LE(7);
      chunk.time = stamp;
      chunk.delta = 0;
    } else if (format < 3) {
      chunk.delta = stamp;
      chunk.time += stamp;
    } else if (chunk.size === 0) chunk.time += chunk.delta;
    const part = await reader.must(Math.min(chunkBytes, chunk.length - chunk.size));
    count(part.length);
    chunk.parts.push(part);
    chunk.size += part.length;
    if (chunk.size < chunk.length) continue;
    const data = Buffer.concat(chunk.parts);
    chunk.parts = [];
    chunk.size = 0;
    return { type: chunk.type, time: chunk.time, stream: chunk.stream, data };
  }
}

function connected(socket: Duplex, transaction: Amf): void {
  control(socket, 5, u32(WINDOW_BYTES));
  control(socket, 6, Buffer.concat([u32(WINDOW_BYTES), Buffer.of(2)]));
  control(socket, 1, u32(OUT_CHUNK_BYTES));
  const info = { level: "status", code: "NetConnection.Connect.Success", description: "Connected", objectEncoding: 0 };
  command(socket, 0, "_result", transaction, { fmsVer: "FMS/3,5,7,7009", capabilities: 31 }, info);
}

const status = (socket: Duplex, stream: number, level: string, code: string, description: string): void =>
  command(socket, stream, "onStatus", 0, null, { level, code, description });

const command = (socket: Duplex, stream: number, ...values: readonly Amf[]): void => send(socket, 3, 20, stream, encodeAmf(...values));
const control = (socket: Duplex, type: number, data: Buffer): void => send(socket, 2, type, 0, data);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Our own messages are short: one chunk each. */
function send(socket: Duplex, id: number, type: number, stream: number, data: Buffer): void {
  const head = Buffer.alloc(12);
  head[0] = id;
  head.writeUIntBE(data.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(stream, 8);
  if (!socket.destroyed) socket.write(Buffer.concat([head, data]));
}

interface ByteReader {
  /** So many bytes, or undefined when the connection has ended before the first of them. */
  take(count: number): Promise<Buffer | undefined>;
  must(count: number): Promise<Buffer>;
  close(): void;
}

/** Reads exactly what is asked for; a connection that is silent for too long ends. */
function byteReader(socket: Duplex): ByteReader {
  let ended = false;
  let wake: (() => void) | undefined;
  const stir = (): void => wake?.();
  const finish = (): void => {
    ended = true;
    stir();
  };
  socket.on("readable", stir).on("end", finish).on("close", finish).on("error", finish);
  async function take(count: number): Promise<Buffer | undefined> {
    if (count === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = socket.read(count) as Buffer | null;
      // At the end, what is left comes in whatever length.
      if (bytes !== null) return bytes.length === count ? bytes : undefined;
      if (ended || socket.destroyed) return undefined;
      const timer = setTimeout(() => socket.destroy(), IDLE_MS);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      clearTimeout(timer);
    }
  }
  return {
    take,
    async must(count) {
      const bytes = await take(count);
      if (bytes === undefined) throw new ProtocolError("the connection ended early");
      return bytes;
    },
    close: () =>
      void socket
        .off("readable", stir)
        .on("error", () => undefined)
        .resume(),
  };
}

/** FLV's numbers of the codecs that players know: H.264 and AAC. */
const CODECS = { video: 7, audio: 10 } as const;

/** The codec of a piece that is neither H.264 nor AAC, by FLV's number or its letters; undefined for any other piece. */
export function foreignCodec({ type, data }: FlvTag): { readonly kind: "video" | "audio"; readonly codec: string } | undefined {
  const first = data[0] ?? 0;
  if (type === 8) return first >> 4 === CODECS.audio ? undefined : { kind: "audio", codec: String(first >> 4) };
  if (type !== 9 || (first & 15) === CODECS.video) return undefined;
  // A newer form of the protocol names codecs by four letters.
  return { kind: "video", codec: (first & 128) === 0 ? String(first & 15) : data.toString("latin1", 1, 5).replace(/\W/g, "") };
}

/** The beginning of an FLV file with sound and picture. */
export const FLV_HEAD = Buffer.from("FLV\x01\x05\0\0\0\x09\0\0\0\0", "latin1");

export function flvBytes({ type, time, data }: FlvTag): Buffer {
  const head = Buffer.alloc(11);
  head[0] = type;
  head.writeUIntBE(data.length, 1, 3);
  head.writeUIntBE(time & 0xffffff, 4, 3);
  head[7] = (time >>> 24) & 0xff;
  return Buffer.concat([head, data, u32(11 + data.length)]);
}
