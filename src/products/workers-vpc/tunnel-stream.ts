/**
 * A TCP connection through a tunnel, as a socket is one: an HTTP/2 stream whose reset is an error, not an end, and to which
 * only one Buffer is written at a time. Several strings written to Node's own stream at once arrive garbled (seen with Node 24.21).
 */
import type { ClientHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { UnreachableError } from "./errors.ts";

export class TunnelStream extends Duplex {
  readonly #stream: ClientHttp2Stream;

  constructor(stream: ClientHttp2Stream) {
    super();
    this.#stream = stream;
    let ended = false;
    stream.on("data", (chunk) => {
      if (!this.push(chunk)) stream.pause();
    });
    stream.on("end", () => {
      if (stream.rstCode) return;
      ended = true;
      this.push(null);
    });
    stream.on("error", (error) => this.destroy(error));
    stream.once("close", () => {
      if (!ended || stream.rstCode) this.destroy(new UnreachableError("the connection was cut"));
    });
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#stream.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.destroy();
    done(error);
  }
}
