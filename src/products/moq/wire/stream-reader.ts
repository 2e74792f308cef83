/** Numbers and bytes from a stream, as they come. */
import type { ReceiveStream } from "../transport/session.ts";
import { ByteReader, ProtocolViolation } from "./varint.ts";

export class StreamReader {
  readonly stream: ReceiveStream;
  #held: Buffer = Buffer.alloc(0);

  constructor(stream: ReceiveStream) {
    this.stream = stream;
  }

  /** Whether the stream ends here. */
  async atEnd(): Promise<boolean> {
    return this.#held.length === 0 && !(await this.#more());
  }

  async byte(): Promise<number> {
    return (await this.bytes(1))[0] as number;
  }

  async varint(): Promise<number> {
    await this.#atLeast(1);
    const length = 1 << ((this.#held[0] as number) >> 6);
    return new ByteReader(await this.bytes(length)).varint();
  }

  /** The next bytes, in memory of their own. */
  async bytes(length: number): Promise<Buffer> {
    if (this.#held.length < length) await this.#atLeast(length);
    const bytes = Buffer.from(this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
    return bytes;
  }

  async #atLeast(length: number): Promise<void> {
    const parts: Uint8Array[] = [this.#held];
    for (let size = this.#held.length; size < length; ) {
      const chunk = await this.stream.read();
      if (chunk === undefined) throw new ProtocolViolation("a stream ends in the middle");
      parts.push(chunk);
      size += chunk.length;
    }
    this.#held = Buffer.concat(parts);
  }

  async #more(): Promise<boolean> {
    const chunk = await this.stream.read();
    if (chunk === undefined) return false;
    this.#held = Buffer.concat([this.#held, chunk]);
    return chunk.length > 0 || this.#more();
  }
}
