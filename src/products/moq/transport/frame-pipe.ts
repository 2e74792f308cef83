/** Frames over a byte stream, a unix socket: each with its length in four bytes before it. */
import type { Socket } from "node:net";
import { Incomplete, ProtocolViolation } from "../wire/varint.ts";
import { encodeFrame, type Frame } from "./frames.ts";

/** Larger than any frame that either side makes. */
const FRAME_MAX_BYTES = 1024 * 1024;

export function writeFrame(socket: Socket, frame: Frame): void {
  if (!socket.destroyed) writeMessage(socket, encodeFrame(frame));
}

export function writeMessage(socket: Socket, message: Uint8Array): void {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(message.length);
  socket.write(Buffer.concat([head, message]));
}

/** Calls for each message that comes; a sender of one that cannot be read is cut off. */
export function onMessages(socket: Socket, take: (message: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let at = 0;
    while (held.length - at >= 4) {
      const length = held.readUInt32BE(at);
      if (length > FRAME_MAX_BYTES) return socket.destroy();
      if (held.length - at - 4 < length) break;
      try {
        take(held.subarray(at + 4, at + 4 + length));
      } catch (cause) {
        if (!(cause instanceof ProtocolViolation || cause instanceof Incomplete)) throw cause;
        return socket.destroy();
      }
      at += 4 + length;
    }
    held = held.subarray(at);
    return undefined;
  });
}
