/**
 * RTMP's layers below its commands: bytes as they are asked for, messages in chunks, and commands written and read. Used from
 * both sides: by what is published to (`rtmp.ts`) and what publishes (`rtmp-push.ts`).
 */
import type { Duplex } from "node:stream";
import { type Amf, encodeAmf } from "./amf.ts";
import type { FlvTag } from "./flv.ts";

export const HANDSHAKE_BYTES = 1536;
const MESSAGE_MAX_BYTES = 8 * 1024 * 1024;
const CHUNK_STREAMS_MAX = 64;
/** Ours; the other side is told by `chunkSize`. */
export const OUT_CHUNK_BYTES = 4096;
const IDLE_MS = 30_000;

export class ProtocolError extends Error {}

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

export interface Message {
  readonly type: number;
  readonly time: number;
  readonly stream: number;
  readonly data: Buffer;
}

/** Reads messages; the size of chunks follows what the other side says of it. */
export function messageReader(reader: ByteReader, count: (bytes: number) => void = () => undefined): () => Promise<Message | undefined> {
  const streams = new Map<number, ChunkStream>();
  let chunkBytes = 128;
  return async () => {
    for (;;) {
      const message = await nextMessage(reader, streams, chunkBytes, count);
      if (message?.type !== 1 || message.data.length < 4) return message;
      chunkBytes = Math.min(Math.max(message.data.readUInt32BE() & 0x7fffffff, 1), MESSAGE_MAX_BYTES);
    }
  };
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

export const command = (socket: Duplex, stream: number, ...values: readonly Amf[]): void =>
  send(socket, 3, { type: 20, time: 0, stream, data: encodeAmf(...values) });
export const control = (socket: Duplex, type: number, data: Buffer): void => send(socket, 2, { type, time: 0, stream: 0, data });

/** A piece of a broadcast. */
export const sendTag = (socket: Duplex, stream: number, { type, time, data }: FlvTag): void =>
  send(socket, { 8: 4, 9: 6, 18: 5 }[type], { type, time, stream, data });

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function send(socket: Duplex, id: number, { type, time, stream, data }: Message): void {
  if (socket.destroyed) return;
  const extended = time >= 0xffffff ? u32(time) : Buffer.alloc(0);
  const head = Buffer.alloc(12);
  head[0] = id;
  head.writeUIntBE(Math.min(time, 0xffffff), 1, 3);
  head.writeUIntBE(data.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(stream, 8);
  const pieces = [head, extended, data.subarray(0, OUT_CHUNK_BYTES)];
  for (let at = OUT_CHUNK_BYTES; at < data.length; at += OUT_CHUNK_BYTES)
    pieces.push(Buffer.of(0xc0 | id), extended, data.subarray(at, at + OUT_CHUNK_BYTES));
  socket.write(Buffer.concat(pieces));
}

export interface ByteReader {
  /** So many bytes, or undefined when the connection has ended before the first of them. */
  take(count: number): Promise<Buffer | undefined>;
  must(count: number): Promise<Buffer>;
  /** Silence is no reason to end the connection from here on. */
  patient(): void;
  close(): void;
}

/** Reads exactly what is asked for; a connection that is silent for too long ends. */
export function byteReader(socket: Duplex): ByteReader {
  let ended = false;
  let patient = false;
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
      const timer = setTimeout(() => patient || socket.destroy(), IDLE_MS);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      clearTimeout(timer);
    }
  }
  return {
    take,
    patient() {
      patient = true;
    },
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
