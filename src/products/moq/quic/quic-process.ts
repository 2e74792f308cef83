/**
 * The program of the QUIC process: WebTransport on one side, for each session a unix socket to the platform on the other.
 * Native code that reads what strangers send lives here and nowhere else: when it dies, no more than sessions die with it.
 * It knows nothing of MoQ and keeps nothing; memory is bounded by what each side takes from the other.
 */
import { connect } from "node:net";
import { onMessages, writeFrame, writeMessage } from "../transport/frame-pipe.ts";
import { decodeFrame, type Frame, isFromServer } from "../transport/frames.ts";
import type { QuicConnection, StreamHandler } from "./connection.ts";
import { openEndpoint } from "./endpoint.ts";
import { loadQuiche } from "./native.ts";
import type { FromQuic, QuicSettings } from "./protocol.ts";
import { type SessionHandler, serveWebTransport, type WebTransportSession } from "./webtransport.ts";

/** What waits on a session's socket before its client is held up. */
const SOCKET_MAX_BYTES = 1024 * 1024;

interface Stream {
  readonly quicId: number;
  /** Bytes that have gone. */
  taken: number;
}

function bridge(path: string, socketPath: string, connection: QuicConnection, session: WebTransportSession): SessionHandler {
  const socket = connect(socketPath);
  /** Streams that the platform writes to, by its ids, until it ends them. */
  const streams = new Map<number, Stream>();
  /** Frames of streams that the client does not let us open yet, in order. */
  const waiting = new Map<number, Frame[]>();

  function opened(id: number): StreamHandler {
    return {
      data(data, fin) {
        writeFrame(socket, { type: "stream", id, data, fin });
        if (socket.writableLength > SOCKET_MAX_BYTES) connection.pause();
      },
      reset: (code) => writeFrame(socket, { type: "reset", id, code }),
    };
  }

  function streamOf(id: number): Stream | undefined {
    let stream = streams.get(id);
    if (stream === undefined) {
      const quicId = isFromServer(id) ? session.openUni() : id;
      if (quicId === undefined) return undefined;
      stream = { quicId, taken: 0 };
      streams.set(id, stream);
    }
    return stream;
  }

  function take(frame: Frame): void {
    if (frame.type === "close") {
      session.close(frame.code, frame.reason);
      return void socket.end();
    }
    if (frame.type === "stop") return void connection.shutdown(frame.id, "read", session.toWire(frame.code));
    retryWaiting();
    const held = waiting.get(frame.id);
    const stream = held === undefined ? streamOf(frame.id) : undefined;
    if (stream !== undefined) act(frame, stream);
    else if (held !== undefined) held.push(frame);
    else waiting.set(frame.id, [frame]);
  }

  function retryWaiting(): void {
    for (const [id, frames] of waiting) {
      const stream = streamOf(id);
      if (stream === undefined) return;
      waiting.delete(id);
      for (const frame of frames) act(frame, stream);
    }
  }

  function act(frame: Frame, stream: Stream): void {
    if (frame.type === "stream") {
      const { id, data, fin } = frame;
      connection.write(stream.quicId, data, fin, () => {
        stream.taken += data.length;
        writeFrame(socket, { type: "credit", id, bytes: stream.taken });
      });
      if (fin) streams.delete(id);
    } else if (frame.type === "reset") {
      connection.shutdown(stream.quicId, "write", session.toWire(frame.code));
      streams.delete(frame.id);
    } else if (frame.type === "priority") connection.prioritize(stream.quicId, frame.urgency);
  }

  writeMessage(socket, Buffer.from(path));
  onMessages(socket, (message) => take(decodeFrame(message)));
  socket.on("drain", () => connection.resume());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => connection.close(0x100, ""));
  return {
    opened,
    stopped(id, code) {
      for (const [ours, { quicId }] of streams) if (quicId === id) writeFrame(socket, { type: "stop", id: ours, code });
    },
    worked: retryWaiting,
    closed: () => void socket.end(),
  };
}

async function main(settings: QuicSettings): Promise<void> {
  const tell = (message: FromQuic): void => void process.send?.(message);
  try {
    const endpoint = await openEndpoint(loadQuiche(), settings, (connection) =>
      serveWebTransport(connection, (path, session) => bridge(path, settings.socket, connection(), session)),
    );
    process.once("disconnect", () => process.exit(0));
    process.once("SIGTERM", () => {
      endpoint.close();
      process.exit(0);
    });
    tell({ type: "listening", port: endpoint.port });
  } catch (cause) {
    tell({ type: "failed", message: (cause as Error).message });
    process.exitCode = 1;
    process.disconnect();
  }
}

process.once("message", (settings: QuicSettings) => void main(settings));
