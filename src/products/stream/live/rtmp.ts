/**
 * RTMP from the side that is called: handshake, and the few commands with which an encoder or a viewer begins and ends. What
 * goes either way is tags of FLV. Nothing here knows whose stream it is: who may publish or play is asked.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { type Amf, decodeAmf } from "./amf.ts";
import type { FlvTag } from "./flv.ts";
import type { Listener } from "./relay.ts";
import {
  type ByteReader,
  byteReader,
  command,
  control,
  HANDSHAKE_BYTES,
  messageReader,
  OUT_CHUNK_BYTES,
  ProtocolError,
  sendTag,
  u32,
} from "./rtmp-chunks.ts";

/** Whoever takes the broadcast. */
export interface Publication {
  /** Awaited, so that the encoder is slowed down where nobody keeps up. */
  tag(tag: FlvTag): Promise<void>;
  ended(): void;
}

/** Who may do what with a key; undefined refuses. */
export interface RtmpDoor {
  /** `close` ends the connection. */
  publish(key: string, close: () => void): Promise<Publication | undefined>;
  /** Answers how to leave. */
  play(key: string, listener: Listener): Promise<(() => void) | undefined>;
}

const WINDOW_BYTES = 2_500_000;
/** What may wait for a viewer; whoever is slower loses the connection. */
const UNSENT_MAX_BYTES = 32 * 1024 * 1024;

/** Serves one connection until it ends. */
export async function serveRtmp(socket: Duplex, door: RtmpDoor): Promise<void> {
  const reader = byteReader(socket);
  let publication: Publication | undefined;
  let leave: (() => void) | undefined;
  try {
    await handshake(socket, reader);
    let received = 0;
    let acknowledged = 0;
    const next = messageReader(reader, (bytes) => {
      received += bytes;
    });
    for (;;) {
      const message = await next();
      if (message === undefined) return;
      if (received - acknowledged > WINDOW_BYTES / 2) {
        acknowledged = received;
        control(socket, 3, u32(received));
      }
      const { type, data, time, stream } = message;
      if (type === 20) {
        const [name, transaction = 0, , ...rest] = decodeAmf(data);
        const key = String(rest[0] ?? "").split("?")[0] as string;
        if (name === "connect") connected(socket, transaction);
        else if (name === "createStream") command(socket, 0, "_result", transaction, null, 1);
        else if (name === "publish" && publication === undefined && leave === undefined) {
          publication = await door.publish(key, () => socket.destroy());
          if (publication === undefined) {
            status(socket, stream, "error", "NetStream.Publish.BadName", "The stream key is not valid");
            return;
          }
          status(socket, stream, "status", "NetStream.Publish.Start", "Published");
        } else if (name === "play" && publication === undefined && leave === undefined) {
          leave = await play(socket, stream, key, door);
          if (leave === undefined) {
            status(socket, stream, "error", "NetStream.Play.StreamNotFound", "Nothing is played here");
            return;
          }
          reader.patient();
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
    leave?.();
    reader.close();
    socket.end(() => socket.destroy());
  }
}

/** A viewer hears that it plays before the first tag. */
async function play(socket: Duplex, stream: number, key: string, door: RtmpDoor): Promise<(() => void) | undefined> {
  let started = false;
  const begin = (): void => {
    if (started) return;
    started = true;
    // Stream begin.
    control(socket, 4, Buffer.concat([Buffer.of(0, 0), u32(stream)]));
    status(socket, stream, "status", "NetStream.Play.Reset", "Playing");
    status(socket, stream, "status", "NetStream.Play.Start", "Playing");
  };
  const leave = await door.play(key, {
    take(tag) {
      begin();
      if (socket.writableLength > UNSENT_MAX_BYTES) socket.destroy();
      else sendTag(socket, stream, tag);
    },
    end: () => void socket.end(),
  });
  if (leave !== undefined) begin();
  return leave;
}

async function handshake(socket: Duplex, reader: ByteReader): Promise<void> {
  const first = await reader.take(1 + HANDSHAKE_BYTES);
  if (first?.[0] !== 3) throw new ProtocolError("it speaks no RTMP");
  // A version of zero: a client does not look for a digest then.
  const own = Buffer.concat([Buffer.alloc(8), randomBytes(HANDSHAKE_BYTES - 8)]);
  socket.write(Buffer.concat([Buffer.of(3), own, first.subarray(1)]));
  if ((await reader.take(HANDSHAKE_BYTES)) === undefined) throw new ProtocolError("it ended in its handshake");
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
