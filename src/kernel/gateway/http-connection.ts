/**
 * A client's side of HTTP/1.1 on one keep-alive connection to a unix socket: one exchange at a time, bodies as they
 * come. It exists because the way to a Worker is the hottest path of the platform, and `node:http`'s client costs more
 * there than the server does. It speaks only to workerd: no redirects, no trailers, no compression, no proxies.
 */
import { connect, type Socket } from "node:net";

/** What one exchange hears. After `onEnd` or `onError` it hears no more. */
export interface Exchange {
  /** Requests to HEAD are answered without a body whatever the headers say. */
  readonly isHead: boolean;
  /** The final answer's head, once. */
  onHead(head: AnswerHead): void;
  /** A piece of the body. `last` spares the caller a separate write for short answers. */
  onData(chunk: Buffer, last: boolean): void;
  onEnd(): void;
  /** The connection ended before the answer was complete. */
  onError(error: Error): void;
  onDrain(): void;
}

/** Longest answer head that is read; workerd itself limits what Workers send. */
const HEAD_MAX_BYTES = 256 * 1024;
/** How long an answer may take that was sent before the server stopped reading: it is here already, or never comes. */
const EARLY_ANSWER_MS = 1_000;
/** Shared by all connections: each read is copied out before the next one begins. */
const READ_BUFFER = Buffer.alloc(64 * 1024);
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

const phase = { idle: 0, head: 1, length: 2, untilClose: 3, chunkSize: 4, chunkData: 5, chunkEnd: 6, trailer: 7 } as const;
type State = (typeof phase)[keyof typeof phase];

export class HttpConnection {
  readonly socket: Socket;
  /** Exchanges served so far; 0 means that a failure is not one of reuse. */
  served = 0;
  /** When it became idle, by `performance.now()`. */
  idleSince = 0;
  closed = false;
  /** The server reads no more; what it answered may still come. */
  writeFailed = false;
  #exchange: Exchange | undefined;
  #state: State = phase.idle;
  #buffer: Buffer = EMPTY;
  #left = 0;
  #reusable = true;
  #onIdle: (connection: HttpConnection) => void;

  constructor(path: string, onIdle: (connection: HttpConnection) => void) {
    this.#onIdle = onIdle;
    // Not by "data" events: after a failed write they stop, although an answer may lie in the socket.
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      this.#read(Buffer.from(buffer.subarray(0, bytes)));
      return true;
    };
    this.socket = connect({ path, onread: { buffer: READ_BUFFER, callback } });
    this.#outliveWriteErrors();
    this.socket.on("drain", () => this.#exchange?.onDrain());
    this.socket.on("error", (error) => this.#fail(error));
    this.socket.on("close", () => this.#closed());
  }

  /** Begins an exchange; the caller then writes head and body to `socket`. */
  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#state = phase.head;
    this.#reusable = true;
  }

  /**
   * A server may answer and close before it has read the whole body, as workerd does when user code throws or refuses. Our
   * next write then fails, and Node would destroy the socket with the answer unread. So a failed write only stops the
   * writing: the socket goes when the answer is whole, when the server's end has been read, or after a while.
   */
  #outliveWriteErrors(): void {
    const { socket } = this;
    const destroy = socket.destroy.bind(socket);
    socket.destroy = (error?: Error & { syscall?: string }) => {
      if (error?.syscall !== "write" || this.#exchange === undefined || this.writeFailed) return destroy(error);
      this.writeFailed = true;
      const timer = setTimeout(() => destroy(error), EARLY_ANSWER_MS);
      socket.once("close", () => clearTimeout(timer));
      return socket;
    };
  }

  /** Ends the connection, and the exchange without a word to it. */
  destroy(): void {
    this.#exchange = undefined;
    this.closed = true;
    this.socket.destroy();
  }

  #fail(error: Error): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.closed = true;
    this.socket.destroy();
    exchange?.onError(error);
  }

  #closed(): void {
    this.closed = true;
    if (this.#exchange !== undefined && this.#state === phase.untilClose) this.#finish();
    else this.#fail(new Error("the connection was closed before the answer was complete"));
  }

  #read(chunk: Buffer): void {
    if (this.#exchange === undefined) {
      // Bytes outside an exchange: workerd sends none, so this is no connection to trust.
      this.socket.destroy();
      return;
    }
    let data = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    this.#buffer = EMPTY;
    while (data.length > 0 && this.#exchange !== undefined) {
      const rest = this.#step(data, this.#exchange);
      if (rest === undefined) {
        this.#buffer = data;
        if (data.length > HEAD_MAX_BYTES) this.#fail(new Error("the answer's head is too long"));
        return;
      }
      data = rest;
    }
  }

  /** Consumes what it can; undefined when it needs more bytes. */
  #step(data: Buffer, exchange: Exchange): Buffer | undefined {
    switch (this.#state) {
      case phase.head:
        return this.#head(data, exchange);
      case phase.length: {
        const piece = data.length > this.#left ? data.subarray(0, this.#left) : data;
        this.#left -= piece.length;
        exchange.onData(piece, this.#left === 0);
        if (this.#left === 0) this.#finish();
        return data.subarray(piece.length);
      }
      case phase.untilClose:
        exchange.onData(data, false);
        return EMPTY;
      case phase.chunkSize: {
        const end = data.indexOf("\r\n");
        if (end < 0) return undefined;
        this.#left = Number.parseInt(data.toString("latin1", 0, end), 16);
        if (Number.isNaN(this.#left)) {
          this.#fail(new Error("the answer has a malformed chunk"));
          return EMPTY;
        }
        this.#state = this.#left === 0 ? phase.trailer : phase.chunkData;
        return data.subarray(end + 2);
      }
      case phase.chunkData: {
        const piece = data.length > this.#left ? data.subarray(0, this.#left) : data;
        this.#left -= piece.length;
        if (this.#left === 0) this.#state = phase.chunkEnd;
        exchange.onData(piece, false);
        return data.subarray(piece.length);
      }
      case phase.chunkEnd:
        if (data.length < 2) return undefined;
        this.#state = phase.chunkSize;
        return data.subarray(2);
      case phase.trailer: {
        const end = data.indexOf("\r\n");
        if (end < 0) return undefined;
        if (end === 0) this.#finish();
        return data.subarray(end + 2);
      }
      default:
        return EMPTY;
    }
  }

  #head(data: Buffer, exchange: Exchange): Buffer | undefined {
    const end = data.indexOf(HEAD_END);
    if (end < 0) return undefined;
    const head = parseHead(data.toString("latin1", 0, end));
    const rest = data.subarray(end + 4);
    if (head.status < 200 && head.status !== 101) return rest;
    this.#reusable = !head.close;
    const { length } = head;
    const empty = exchange.isHead || head.status === 204 || head.status === 304 || (!head.chunked && length === 0);
    if (empty) this.#state = phase.idle;
    else if (head.chunked) this.#state = phase.chunkSize;
    else if (length === undefined) this.#state = phase.untilClose;
    else {
      this.#state = phase.length;
      this.#left = length;
    }
    exchange.onHead(head);
    if (empty && this.#exchange === exchange) this.#finish();
    return rest;
  }

  #finish(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#state = phase.idle;
    this.served++;
    // A reader that was slow to the last byte has left it paused.
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#reusable && !this.closed && !this.writeFailed) this.#onIdle(this);
    else this.socket.destroy();
    exchange?.onEnd();
  }
}

export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  /** Flat: name, value, name, value. Hop-by-hop headers are left out. */
  readonly headers: string[];
  readonly length: number | undefined;
  readonly chunked: boolean;
  /** The server said `Connection: close`. */
  readonly close: boolean;
}

/** Parses the head of an answer, without its final empty line. */
export function parseHead(text: string): AnswerHead {
  let at = text.indexOf("\r\n");
  const first = at < 0 ? text : text.slice(0, at);
  const status = Number(first.slice(9, 12));
  const headers: string[] = [];
  let length: number | undefined;
  let chunked = false;
  let close = false;
  while (at >= 0) {
    const next = text.indexOf("\r\n", at + 2);
    const line = next < 0 ? text.slice(at + 2) : text.slice(at + 2, next);
    at = next;
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    switch (name.length) {
      case 10:
        if (/^connection$/i.test(name)) {
          close = /\bclose\b/i.test(value);
          continue;
        }
        if (/^keep-alive$/i.test(name)) continue;
        break;
      case 14:
        if (/^content-length$/i.test(name)) length = Number(value);
        break;
      case 17:
        if (/^transfer-encoding$/i.test(name)) {
          chunked = /\bchunked\b/i.test(value);
          continue;
        }
        break;
    }
    headers.push(name, value);
  }
  return { status, reason: first.slice(13), headers, length, chunked, close };
}

/** How long a connection may wait for its next exchange: workerd closes idle ones after 5 s. */
const IDLE_MAX_MS = 3_000;
const IDLE_CONNECTIONS_MAX = 128;

/** Keep-alive connections by socket path. */
export class ConnectionPool {
  #idle = new Map<string, HttpConnection[]>();
  #sweeper: NodeJS.Timeout;

  constructor() {
    this.#sweeper = setInterval(() => this.#sweep(), IDLE_MAX_MS);
    this.#sweeper.unref();
  }

  /** An idle connection to the socket, or a new one. `fresh` insists on a new one. */
  take(path: string, fresh = false): HttpConnection {
    const idle = this.#idle.get(path);
    const limit = performance.now() - IDLE_MAX_MS;
    while (!fresh && idle !== undefined && idle.length > 0) {
      const connection = idle.pop() as HttpConnection;
      if (!connection.closed && connection.idleSince > limit) return connection;
      connection.destroy();
    }
    return new HttpConnection(path, (connection) => this.#put(path, connection));
  }

  #put(path: string, connection: HttpConnection): void {
    const idle = this.#idle.get(path);
    connection.idleSince = performance.now();
    if (idle === undefined) this.#idle.set(path, [connection]);
    else if (idle.length < IDLE_CONNECTIONS_MAX) idle.push(connection);
    else connection.destroy();
  }

  #sweep(): void {
    const limit = performance.now() - IDLE_MAX_MS;
    for (const [path, idle] of this.#idle) {
      const kept = idle.filter((connection) => {
        const keep = !connection.closed && connection.idleSince > limit;
        if (!keep) connection.destroy();
        return keep;
      });
      if (kept.length === 0) this.#idle.delete(path);
      else this.#idle.set(path, kept);
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const idle of this.#idle.values()) for (const connection of idle) connection.destroy();
    this.#idle.clear();
  }
}
