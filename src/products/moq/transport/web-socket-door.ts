/**
 * Sessions over WebSocket, for clients without WebTransport: the same streams in the frames of `@moq/web-transport-ws`
 * (subprotocol `webtransport`). There is one window for all streams, the connection's own: what is lost holds up everything.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { decodeFrame, encodeFrame, type Frame } from "./frames.ts";
import { type Carrier, Session } from "./session.ts";

export interface WebSocketDoor {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): void;
}

const MESSAGE_MAX_BYTES = 4 * 1024 * 1024;
const BUFFERED_MAX_BYTES = 512 * 1024;
const PROTOCOL = "webtransport";
const PROTOCOL_ERROR = 1002;

export function openWebSocketDoor(accept: (session: Session) => void): WebSocketDoor {
  const server = new WebSocketServer({
    ...{ noServer: true, maxPayload: MESSAGE_MAX_BYTES, perMessageDeflate: false, clientTracking: true },
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });

  function serve(path: string, socket: WebSocket): void {
    const carrier = new WebSocketCarrier(socket);
    const session = new Session(path, carrier);
    socket.on("message", (data) => {
      let frame: Frame;
      try {
        frame = decodeFrame(data as Buffer);
      } catch {
        return socket.close(PROTOCOL_ERROR);
      }
      session.take(frame);
    });
    socket.on("error", () => socket.terminate());
    socket.on("close", () => {
      carrier.wakeAll();
      session.ended();
    });
    accept(session);
  }

  return {
    upgrade: (request, socket, head) => server.handleUpgrade(request, socket, head, (one) => serve(request.url ?? "/", one)),
    close() {
      for (const socket of server.clients) socket.terminate();
    },
  };
}

class WebSocketCarrier implements Carrier {
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  send(frame: Frame): void {
    // All streams are of the same rank in one connection.
    if (frame.type === "priority" || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(encodeFrame(frame), () => {
      if (this.#socket.bufferedAmount < BUFFERED_MAX_BYTES) this.wakeAll();
    });
  }

  full(): Promise<void> | undefined {
    if (this.#socket.readyState !== this.#socket.OPEN || this.#socket.bufferedAmount < BUFFERED_MAX_BYTES) return undefined;
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  forget(): void {}

  wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  hold(held: boolean): void {
    if (held) this.#socket.pause();
    else this.#socket.resume();
  }

  end(): void {
    this.#socket.close();
  }
}
