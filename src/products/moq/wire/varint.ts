/**
 * QUIC's variable-length integers (RFC 9000, section 16) and what MoQ Transport makes of them, in both directions over bytes
 * in memory. Numbers above 2^53 - 1 are refused: no identifier of a client in use is that large, and they would not survive.
 */

/** The sender broke the protocol: its session ends, with the draft's code 0x3. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}

/** There are fewer bytes than what is read needs; more may come. */
export class Incomplete extends Error {
  override readonly name = "Incomplete";
}

/** Reads from one piece of memory; `Incomplete` when it ends too early. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    if (this.remaining < 1) throw new Incomplete();
    return this.#bytes[this.#at++] as number;
  }

  bytes(length: number): Uint8Array {
    if (this.remaining < length) throw new Incomplete();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  varint(): number {
    const first = this.byte();
    let value = first & 0x3f;
    for (const byte of this.bytes((1 << (first >> 6)) - 1)) value = value * 256 + byte;
    if (value > Number.MAX_SAFE_INTEGER) throw new ProtocolViolation("a number is too large");
    return value;
  }

  /** Bytes with their length before them. */
  prefixed(): Uint8Array {
    return this.bytes(this.varint());
  }

  text(): string {
    return Buffer.from(this.prefixed()).toString();
  }
}

/** Collects bytes. */
export class ByteWriter {
  readonly #parts: Uint8Array[] = [];

  byte(value: number): this {
    this.#parts.push(Uint8Array.of(value));
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    return this;
  }

  varint(value: number): this {
    this.#parts.push(varint(value));
    return this;
  }

  prefixed(value: Uint8Array): this {
    return this.varint(value.length).bytes(value);
  }

  text(value: string): this {
    return this.prefixed(Buffer.from(value));
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The shortest form of a number from 0 to 2^53 - 1. */
export function varint(value: number): Uint8Array {
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff);
  const long = value >= 0x4000_0000;
  const bytes = Buffer.alloc(long ? 8 : 4);
  if (long) bytes.writeBigUInt64BE(BigInt(value) | (3n << 62n));
  else bytes.writeUInt32BE(value + 0x8000_0000);
  return bytes;
}
