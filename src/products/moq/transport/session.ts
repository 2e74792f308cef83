/**
 * A session's streams as the relay uses them, over whatever carries its frames: the QUIC process's socket or a WebSocket.
 * What a client sends waits here until it is read, and the carrier is held up when too much of it does; what is written
 * resolves when the carrier has taken it.
 */
import { type Frame, isFromServer, isOneWay } from "./frames.ts";

export interface Carrier {
  send(frame: Frame): void;
  /** Undefined when more may be sent for a stream of which so much has been; else resolves when it is worth asking again. */
  full(id: number, written: number): Promise<void> | undefined;
  /** The stream is over: nothing more is asked about it. */
  forget(id: number): void;
  /** Holds up what comes in, or lets it come again. */
  hold(held: boolean): void;
  /** Ends the connection under the session. */
  end(): void;
}

export interface ReceiveStream {
  readonly id: number;
  /** The next bytes; undefined at the end. Rejects when the sender gave the stream up, or the session ended. */
  read(): Promise<Uint8Array | undefined>;
  /** No more is wanted of it. */
  stop(code: number): void;
}

export interface SendStream {
  readonly id: number;
  /** Rejects when the receiver wants no more, or the session ended. */
  write(bytes: Uint8Array): Promise<void>;
  finish(): void;
  reset(code: number): void;
  prioritize(urgency: number): void;
}

/** The stream, or all of its session, came to an end that its reader or writer did not choose. */
export class StreamEnded extends Error {
  override readonly name = "StreamEnded";
}

const CHUNK_BYTES = 64 * 1024;
const HELD_MAX_BYTES = 4 * 1024 * 1024;
/** Of streams that the client opened and the relay has not ended. */
const STREAMS_MAX = 1000;
const PROTOCOL_VIOLATION = 0x3;

interface Incoming {
  readonly chunks: Uint8Array[];
  /** "stopped": nobody reads it any more; the entry stays until its sender has ended it. */
  state: "open" | "ended" | "reset" | "stopped";
  wake: (() => void) | undefined;
}

export class Session {
  /** Path and query of the URL by which it came. */
  readonly path: string;
  /** Resolves when the session is over, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #carrier: Carrier;
  readonly #incoming = new Map<number, Incoming>();
  readonly #stopped = new Map<number, () => void>();
  readonly #opened: { readonly one: ReceiveStream; readonly twoWay: boolean }[] = [];
  #wakeOpened: (() => void) | undefined;
  #markClosed: () => void = () => {};
  #isClosed = false;
  #heldBytes = 0;
  #nextUni = 3;

  constructor(path: string, carrier: Carrier) {
    this.path = path;
    this.#carrier = carrier;
    this.closed = new Promise((resolve) => (this.#markClosed = resolve));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The next stream that the client opens; undefined when the session is over. */
  async accept(): Promise<{ receive: ReceiveStream; send: SendStream | undefined } | undefined> {
    while (this.#opened.length === 0) {
      if (this.#isClosed) return undefined;
      await new Promise<void>((resolve) => (this.#wakeOpened = resolve));
    }
    const { one, twoWay } = this.#opened.shift() as { one: ReceiveStream; twoWay: boolean };
    return { receive: one, send: twoWay ? this.#sender(one.id) : undefined };
  }

  openUni(urgency: number): SendStream {
    const stream = this.#sender(this.#nextUni);
    this.#nextUni += 4;
    stream.prioritize(urgency);
    return stream;
  }

  close(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#carrier.send({ type: "close", code, reason });
    this.#carrier.end();
    this.ended();
  }

  /** A frame has come. */
  take(frame: Frame): void {
    if (this.#isClosed) return void undefined;
    switch (frame.type) {
      case "stream":
        return void this.#data(frame.id, frame.data, frame.fin);
      case "reset":
        return void this.#giveUp(frame.id);
      case "stop":
        return void this.#stopped.get(frame.id)?.();
      case "close":
        this.#carrier.end();
        return void this.ended();
      case "credit":
      case "priority":
    }
  }

  /** The carrier has ended. */
  ended(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const id of this.#incoming.keys()) this.#giveUp(id);
    for (const stop of [...this.#stopped.values()]) stop();
    this.#wakeOpened?.();
    this.#markClosed();
  }

  #data(id: number, data: Uint8Array, fin: boolean): void {
    if (isFromServer(id)) return;
    let incoming = this.#incoming.get(id);
    if (incoming === undefined) {
      if (this.#incoming.size >= STREAMS_MAX) return void this.close(PROTOCOL_VIOLATION, "too many streams");
      incoming = { chunks: [], state: "open", wake: undefined };
      this.#incoming.set(id, incoming);
      this.#opened.push({ one: this.#receiver(id, incoming), twoWay: !isOneWay(id) });
      this.#wakeOpened?.();
    }
    if (incoming.state === "stopped" && fin) this.#incoming.delete(id);
    if (incoming.state !== "open") return;
    if (data.length > 0) {
      incoming.chunks.push(data);
      this.#hold(data.length);
    }
    if (fin) incoming.state = "ended";
    incoming.wake?.();
  }

  #giveUp(id: number): void {
    const incoming = this.#incoming.get(id);
    if (incoming?.state === "stopped") this.#incoming.delete(id);
    if (incoming?.state === "open") incoming.state = "reset";
    incoming?.wake?.();
  }

  #hold(bytes: number): void {
    const before = this.#heldBytes > HELD_MAX_BYTES;
    this.#heldBytes += bytes;
    const now = this.#heldBytes > HELD_MAX_BYTES;
    if (now !== before) this.#carrier.hold(now);
  }

  #receiver(id: number, incoming: Incoming): ReceiveStream {
    const drop = (): void => {
      this.#incoming.delete(id);
      for (const chunk of incoming.chunks.splice(0)) this.#hold(-chunk.length);
    };
    return {
      id,
      read: async () => {
        for (;;) {
          const chunk = incoming.chunks.shift();
          if (chunk !== undefined) {
            this.#hold(-chunk.length);
            return chunk;
          }
          if (incoming.state !== "open") {
            drop();
            if (incoming.state === "reset") throw new StreamEnded("the stream was given up by its sender");
            return undefined;
          }
          await new Promise<void>((resolve) => (incoming.wake = resolve));
        }
      },
      stop: (code) => {
        const open = incoming.state === "open";
        drop();
        if (!open) return;
        incoming.state = "stopped";
        this.#incoming.set(id, incoming);
        this.#carrier.send({ type: "stop", id, code });
      },
    };
  }

  #sender(id: number): SendStream {
    const carrier = this.#carrier;
    let over = this.#isClosed;
    let written = 0;
    let stop: () => void = () => {};
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    const end = (): void => {
      over = true;
      this.#stopped.delete(id);
      carrier.forget(id);
      stop();
    };
    this.#stopped.set(id, end);
    return {
      id,
      async write(bytes) {
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
          for (let full = carrier.full(id, written); full !== undefined && !over; full = carrier.full(id, written))
            await Promise.race([full, stopped]);
          if (over) throw new StreamEnded("the stream is over");
          const data = bytes.subarray(at, at + CHUNK_BYTES);
          written += data.length;
          carrier.send({ type: "stream", id, data, fin: false });
        }
      },
      finish() {
        if (over) return;
        end();
        carrier.send({ type: "stream", id, data: new Uint8Array(0), fin: true });
      },
      reset(code) {
        if (over) return;
        end();
        carrier.send({ type: "reset", id, code });
      },
      prioritize(urgency) {
        if (!over) carrier.send({ type: "priority", id, urgency });
      },
    };
  }
}
