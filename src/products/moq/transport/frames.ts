/**
 * Frames that carry a session's streams over one ordered connection: those of `@moq/web-transport-ws`, which are QUIC's with
 * the connection's part left out, one frame a message. Two more are spoken between the platform and its QUIC process only.
 * Ids of streams are QUIC's: bit 0 says that the server opened it, bit 1 that it goes one way.
 */
import { ByteReader, ByteWriter, ProtocolViolation } from "../wire/varint.ts";

const RESET_STREAM = 0x04;
const STOP_SENDING = 0x05;
const STREAM = 0x08;
const STREAM_FIN = 0x09;
const MAX_STREAM_DATA = 0x11;
const CLOSE = 0x1d;
const PRIORITY = 0x3f;

export type Frame =
  | { readonly type: "stream"; readonly id: number; readonly data: Uint8Array; readonly fin: boolean }
  | { readonly type: "reset" | "stop"; readonly id: number; readonly code: number }
  | { readonly type: "close"; readonly code: number; readonly reason: string }
  /** Private: the receiver takes so many bytes of the stream in all. */
  | { readonly type: "credit"; readonly id: number; readonly bytes: number }
  /** Private: 0 is sent first, 255 last. */
  | { readonly type: "priority"; readonly id: number; readonly urgency: number };

export const isFromServer = (id: number): boolean => id % 2 === 1;
export const isOneWay = (id: number): boolean => id % 4 >= 2;

export function encodeFrame(frame: Frame): Buffer {
  const writer = new ByteWriter();
  switch (frame.type) {
    case "stream":
      return writer
        .byte(frame.fin ? STREAM_FIN : STREAM)
        .varint(frame.id)
        .bytes(frame.data)
        .finish();
    case "reset":
    case "stop":
      return writer
        .byte(frame.type === "reset" ? RESET_STREAM : STOP_SENDING)
        .varint(frame.id)
        .varint(frame.code)
        .finish();
    case "close":
      return writer.byte(CLOSE).varint(frame.code).bytes(Buffer.from(frame.reason)).finish();
    case "credit":
      return writer.byte(MAX_STREAM_DATA).varint(frame.id).varint(frame.bytes).finish();
    case "priority":
      return writer.byte(PRIORITY).varint(frame.id).varint(frame.urgency).finish();
  }
}

/** Throws what `ByteReader` throws, and `ProtocolViolation` for an unknown frame. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const reader = new ByteReader(bytes);
  const type = reader.byte();
  const number = reader.varint();
  switch (type) {
    case STREAM:
    case STREAM_FIN:
      return { type: "stream", id: number, data: reader.bytes(reader.remaining), fin: type === STREAM_FIN };
    case RESET_STREAM:
    case STOP_SENDING:
      return { type: type === RESET_STREAM ? "reset" : "stop", id: number, code: reader.varint() };
    case CLOSE:
      return { type: "close", code: number, reason: Buffer.from(reader.bytes(reader.remaining)).toString() };
    case MAX_STREAM_DATA:
      return { type: "credit", id: number, bytes: reader.varint() };
    case PRIORITY:
      return { type: "priority", id: number, urgency: reader.varint() };
    default:
      throw new ProtocolViolation(`there is no frame of type ${type}`);
  }
}
