/**
 * The server's end of a tail's WebSocket: sends text messages, answers pings and the close. It is not `ws`, because
 * wrangler sends its first message unmasked, which RFC 6455 forbids and every stock server answers by cutting the
 * connection (`tail.send(…, { mask: false })` in its `createTail`). What the client says is read and dropped.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Longest message that a client may send: it only ever says `{"debug":false}`. */
const MESSAGE_MAX_BYTES = 64 * 1024;

const TEXT = 0x1;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

export interface TraceSocket {
  send(text: string): void;
  /** Bytes that the client has not taken yet. */
  readonly waiting: number;
  /** Says goodbye with a close code and ends the connection. */
  close(code: number): void;
}

/** Completes the handshake; undefined, and the connection refused, when it is none. `onClose` is called once. */
export function acceptTraceSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
  onClose: () => void,
): TraceSocket | undefined {
  const key = request.headers["sec-websocket-key"];
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  if (request.headers.upgrade?.toLowerCase() !== "websocket" || key === undefined || !offered.includes(protocol)) {
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return undefined;
  }
  const accept = createHash("sha1")
    .update(key + GUID)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  );
  let pending: Buffer = head;
  let closing = false;

  const write = (opcode: number, payload: Buffer): void => {
    if (!socket.destroyed && !closing) socket.write(Buffer.concat([frameHead(opcode, payload.length), payload]));
  };
  const close = (code: number): void => {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    write(CLOSE, payload);
    closing = true;
    socket.end();
  };
  const read = () => {
    for (;;) {
      const frame = parseFrame(pending);
      if (frame === "more") return;
      if (frame === "tooLong") return close(1009);
      pending = pending.subarray(frame.size);
      if (frame.opcode === PING) write(PONG, frame.payload);
      else if (frame.opcode === CLOSE) return close(frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1000);
    }
  };
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    read();
  });
  socket.on("error", () => socket.destroy());
  socket.once("close", onClose);
  read();
  return {
    send: (text) => write(TEXT, Buffer.from(text)),
    get waiting() {
      return socket.writableLength;
    },
    close,
  };
}

function frameHead(opcode: number, length: number): Buffer {
  const first = 0x80 | opcode;
  if (length < 126) return Buffer.from([first, length]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly size: number;
}

/** The frame at the start of `bytes`, masked or not. */
function parseFrame(bytes: Buffer): Frame | "more" | "tooLong" {
  if (bytes.length < 2) return "more";
  const masked = ((bytes[1] as number) & 0x80) !== 0;
  let length = (bytes[1] as number) & 0x7f;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return "more";
    length = bytes.readUInt16BE(2);
    at = 4;
  } else if (length === 127) return "tooLong";
  if (length > MESSAGE_MAX_BYTES) return "tooLong";
  const end = at + (masked ? 4 : 0) + length;
  if (bytes.length < end) return "more";
  const payload = Buffer.from(bytes.subarray(end - length, end));
  if (masked) for (let i = 0; i < length; i++) payload[i] = (payload[i] as number) ^ (bytes[at + (i & 3)] as number);
  return { opcode: (bytes[0] as number) & 0x0f, payload, size: end };
}
