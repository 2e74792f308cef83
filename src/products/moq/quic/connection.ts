/**
 * One QUIC connection over quiche: hands out what comes in by stream, keeps what cannot be sent yet, and has packets sent.
 * It knows nothing of HTTP. quiche's errors about a stream end that stream, all others the connection.
 */
import type { HostPort, QuicheConnection } from "./native.ts";

export interface StreamHandler {
  /** Called in order; the last call has `fin`. */
  data(chunk: Buffer, fin: boolean): void;
  /** The peer gave up sending, with its code. */
  reset(code: number): void;
}

export interface ConnectionEvents {
  /** The handshake is over, or (0-RTT) early enough that we may send. */
  ready(): void;
  /** The client has proved that it is there. */
  established(): void;
  /** Handlers of a stream that the peer has opened. */
  opened(id: number): StreamHandler;
  /** The peer wants no more of a stream that we send. */
  stopped(id: number, code: number): void;
  /** Something has come in, or may go out, that could not before. */
  worked(): void;
  closed(): void;
}

interface Outgoing {
  readonly chunks: { readonly bytes: Uint8Array; readonly sent: (() => void) | undefined }[];
  fin: boolean;
}

const PACKET_BYTES = 1350;
const READ_BYTES = 64 * 1024;
/** Streams that the peer opened and has not ended. */
const OPEN_MAX = 400;

export class QuicConnection {
  readonly quiche: QuicheConnection;
  readonly #events: ConnectionEvents;
  readonly #transmit: (packet: Uint8Array, to: HostPort) => void;
  readonly #incoming = new Map<number, StreamHandler>();
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #packet = Buffer.alloc(PACKET_BYTES);
  readonly #piece = Buffer.alloc(READ_BYTES);
  #timer: NodeJS.Timeout | undefined;
  #flushing = false;
  #ready = false;
  #established = false;
  #closed = false;
  #paused = false;
  #nextUni = 3;

  constructor(quiche: QuicheConnection, events: ConnectionEvents, transmit: (packet: Uint8Array, to: HostPort) => void) {
    this.quiche = quiche;
    this.#events = events;
    this.#transmit = transmit;
  }

  /** A datagram from the network. */
  receive(packet: Uint8Array, from: HostPort, to: HostPort): void {
    try {
      this.quiche.recv(packet, { from, to });
    } catch {
      // quiche has noted what it makes of a bad packet: it is dropped, or the connection is closed with the right code.
    }
    this.work();
  }

  /** No stream is read until `resume`: QUIC's flow control holds the peer up. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.work();
  }

  /** Opens a stream to the peer, or undefined when it allows no more for now. */
  openUni(): number | undefined {
    if (this.quiche.peerStreamsLeftUni() <= 0) return undefined;
    this.#nextUni += 4;
    return this.#nextUni - 4;
  }

  handle(id: number, handler: StreamHandler): void {
    this.#incoming.set(id, handler);
  }

  /** `sent` is called when quiche has taken the bytes, which it does when the peer's window and the network allow. */
  write(id: number, bytes: Uint8Array, fin: boolean, sent?: () => void): void {
    const outgoing = this.#outgoing.get(id) ?? { chunks: [], fin: false };
    this.#outgoing.set(id, outgoing);
    if (bytes.length > 0) outgoing.chunks.push({ bytes, sent });
    outgoing.fin ||= fin;
    this.#send(id, outgoing);
    this.flushSoon();
  }

  /** What cannot be told to quiche any more has ended already. */
  shutdown(id: number, direction: "read" | "write", code: number): void {
    if (direction === "write") this.#outgoing.delete(id);
    else this.#incoming.set(id, { data: () => {}, reset: () => this.#incoming.delete(id) });
    ignore(() => this.quiche.streamShutdown(id, direction === "read" ? 0 : 1, code));
    this.flushSoon();
  }

  prioritize(id: number, urgency: number): void {
    ignore(() => this.quiche.streamPriority(id, urgency, false));
  }

  close(code: number, reason: string): void {
    ignore(() => this.quiche.close(true, code, Buffer.from(reason)));
    this.work();
  }

  /** Reads what has come, writes what can go, sends packets, sets the timer. */
  work(): void {
    if (this.#closed) return;
    if (!this.#ready && (this.quiche.isEstablished() || this.quiche.isInEarlyData())) {
      this.#ready = true;
      this.#events.ready();
    }
    if (!this.#established && this.quiche.isEstablished()) {
      this.#established = true;
      this.#events.established();
    }
    if (this.#ready) {
      for (const id of this.#paused ? [] : [...this.quiche.readable()]) this.#read(id);
      for (const id of [...this.quiche.writable()]) {
        const outgoing = this.#outgoing.get(id);
        if (outgoing !== undefined) this.#send(id, outgoing);
        else if (id % 4 !== 2) this.#probe(id);
      }
      while (this.quiche.dgramRecvVec() !== null);
      this.#events.worked();
    }
    this.#flush();
  }

  /** One round of packets for all that is written in this turn of the event loop. */
  flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (!this.#closed) this.#flush();
    });
  }

  #read(id: number): void {
    let handler = this.#incoming.get(id);
    if (handler === undefined) {
      if (this.#incoming.size >= OPEN_MAX) return void this.close(0x107, "too many streams");
      handler = this.#events.opened(id);
      this.#incoming.set(id, handler);
    }
    for (let fin = false; !fin && !this.#paused; ) {
      let read: [number, boolean] | null;
      try {
        read = this.quiche.streamRecv(id, this.#piece);
      } catch (cause) {
        const code = codeOf(cause, "StreamReset");
        if (code === undefined) return;
        this.#incoming.delete(id);
        return void handler.reset(code);
      }
      if (read === null) return;
      fin = read[1];
      if (fin) this.#incoming.delete(id);
      handler.data(Buffer.from(this.#piece.subarray(0, read[0])), fin);
      handler = this.#incoming.get(id) ?? handler;
    }
  }

  #send(id: number, outgoing: Outgoing): void {
    try {
      for (let chunk = outgoing.chunks[0]; chunk !== undefined; chunk = outgoing.chunks[0]) {
        const last = outgoing.fin && outgoing.chunks.length === 1;
        const taken = this.quiche.streamSend(id, chunk.bytes, last) ?? 0;
        if (taken < chunk.bytes.length) {
          outgoing.chunks[0] = { ...chunk, bytes: chunk.bytes.subarray(taken) };
          return;
        }
        outgoing.chunks.shift();
        chunk.sent?.();
        if (last) return void this.#outgoing.delete(id);
      }
      if (outgoing.fin) {
        this.quiche.streamSend(id, new Uint8Array(0), true);
        this.#outgoing.delete(id);
      }
    } catch (cause) {
      this.#stopped(id, cause);
    }
  }

  /** quiche tells of a peer that wants no more only to who writes. */
  #probe(id: number): void {
    try {
      this.quiche.streamSend(id, new Uint8Array(0), false);
    } catch (cause) {
      this.#stopped(id, cause);
    }
  }

  #stopped(id: number, cause: unknown): void {
    this.#outgoing.delete(id);
    const code = codeOf(cause, "StreamStopped");
    if (code !== undefined) this.#events.stopped(id, code);
  }

  #flush(): void {
    try {
      for (let sent = this.quiche.send(this.#packet); sent !== null; sent = this.quiche.send(this.#packet))
        this.#transmit(Buffer.from(this.#packet.subarray(0, sent[0])), sent[1].to);
    } catch (cause) {
      ignore(() => this.quiche.close(false, 0x1, Buffer.from(String(cause))));
    }
    while (this.quiche.pathEventNext() != null);
    if (this.quiche.isClosed()) return void this.#end();
    this.#arm();
  }

  #arm(): void {
    const timeout = this.quiche.timeout();
    clearTimeout(this.#timer);
    if (timeout === null) return;
    this.#timer = setTimeout(() => {
      this.quiche.onTimeout();
      this.work();
    }, timeout + 1);
  }

  #end(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#incoming.clear();
    this.#outgoing.clear();
    this.#events.closed();
  }
}

/** The code of quiche's errors "StreamReset(3)" and "StreamStopped(3)". */
function codeOf(cause: unknown, name: string): number | undefined {
  const found = new RegExp(`${name}\\((\\d+)\\)`).exec(String((cause as Error).message));
  return found === null ? undefined : Number(found[1]);
}

/** For calls that fail only where there is nothing left to do. */
function ignore(call: () => void): void {
  try {
    call();
  } catch {
    // The stream or the connection has ended.
  }
}
