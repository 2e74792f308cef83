/**
 * Header fields of HTTP/3 (RFC 9204) as far as a WebTransport request needs them: without a dynamic table, which our settings
 * rule out. Decodes literals and the static table's pseudo-headers; other static fields come out without a name.
 */
import { ByteWriter } from "../wire/varint.ts";

/** Symbols of HPACK's Huffman code (RFC 7541, appendix B) by the length of their codes; longer ones stand for nothing that a URL may hold. */
const SYMBOLS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, "012aceiost"],
  [6, " %-./3456789=A_bdfghlmnpru"],
  [7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  [8, "&*,;XZ"],
  [10, '!"()?'],
  [11, "'+|"],
  [12, "#>"],
  [13, "\0$@[]~"],
  [14, "^}"],
  [15, "<`{"],
];

/** Of the static table: those that a request begins with. */
const STATIC: Readonly<Record<number, readonly [name: string, value: string]>> = {
  0: [":authority", ""],
  1: [":path", "/"],
  15: [":method", "CONNECT"],
  16: [":method", "DELETE"],
  17: [":method", "GET"],
  18: [":method", "HEAD"],
  19: [":method", "OPTIONS"],
  20: [":method", "POST"],
  21: [":method", "PUT"],
  22: [":scheme", "http"],
  23: [":scheme", "https"],
};
const OTHER = ["", ""] as const;

/** By name. Throws for what cannot be decoded. */
export function decodeFields(bytes: Uint8Array): Map<string, string> {
  const fields = new Map<string, string>();
  let at = 0;
  const next = (): number => {
    if (at >= bytes.length) throw new Error("a field section ends too early");
    return bytes[at++] as number;
  };
  const integer = (first: number, bits: number): number => {
    const most = 2 ** bits - 1;
    let value = first & most;
    if (value < most) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = next();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error("a number of a field section is too large");
  };
  const string = (first: number, bits: number): string => {
    const huffman = (first >> bits) & 1;
    const length = integer(first, bits);
    if (bytes.length - at < length) throw new Error("a field section ends too early");
    at += length;
    const slice = bytes.subarray(at - length, at);
    return huffman === 1 ? unhuffman(slice) : Buffer.from(slice).toString("latin1");
  };
  const value = (): string => string(next(), 7);

  if (integer(next(), 8) !== 0) throw new Error("a field section needs a dynamic table");
  integer(next(), 7);
  while (at < bytes.length) {
    const first = next();
    if (first >= 0x80) {
      if ((first & 0x40) === 0) throw new Error("a field needs a dynamic table");
      const [name, known] = STATIC[integer(first, 6)] ?? OTHER;
      fields.set(name, known);
    } else if (first >= 0x40) {
      if ((first & 0x10) === 0) throw new Error("a field needs a dynamic table");
      const [name] = STATIC[integer(first, 4)] ?? OTHER;
      fields.set(name, value());
    } else if (first >= 0x20) {
      const name = string(first, 3);
      fields.set(name, value());
    } else throw new Error("a field needs a dynamic table");
  }
  return fields;
}

/** A response of that status; with the header by which clients of WebTransport's draft 02 know that we speak it. */
export function encodeResponse(status: number): Buffer {
  const writer = new ByteWriter().byte(0).byte(0);
  const literal = (name: string, value: string): void => {
    // A name longer than 6 bytes says the rest of its length in a second byte.
    writer.byte(0x27).byte(name.length - 7);
    writer.bytes(Buffer.from(name)).byte(value.length).bytes(Buffer.from(value));
  };
  // ":status" with a name from the static table (24), literal value.
  writer
    .byte(0x5f)
    .byte(24 - 15)
    .byte(3)
    .bytes(Buffer.from(String(status)));
  if (status === 200) literal("sec-webtransport-http3-draft", "draft02");
  return writer.finish();
}

/** The codes are canonical: in order of length, then of symbol, each one more than the one before. */
function codes(): Map<number, string> {
  const table = new Map<number, string>();
  let code = 0;
  let length = 0;
  for (const [bits, symbols] of SYMBOLS) {
    code <<= bits - length;
    length = bits;
    // A leading one keeps codes of different lengths apart.
    for (const symbol of symbols) table.set((1 << bits) | code++, symbol);
  }
  return table;
}

const CODES = codes();
const LONGEST = 15;

function unhuffman(bytes: Uint8Array): string {
  let text = "";
  let code = 1;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1);
      const symbol = CODES.get(code);
      if (symbol !== undefined) {
        text += symbol;
        code = 1;
      } else if (code >= 1 << (LONGEST + 1)) throw new Error("a field has a character that no URL may have");
    }
  }
  // Fewer than eight bits, all ones, fill the last byte.
  if (code > 0xff || (code & (code + 1)) !== 0) throw new Error("a field's code is cut off");
  return text;
}
