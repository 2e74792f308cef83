/**
 * MySQL's client/server protocol: the packets that a proxy reads or writes itself, and the cutting of a stream into packets.
 * Rows are never held: what nobody reads passes in the pieces it came in.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
 */

export const Command = { quit: 0x01, query: 0x03, ping: 0x0e, statementClose: 0x19, resetConnection: 0x1f } as const;

/** Names of commands that are refused. */
export const REFUSED: Readonly<Record<number, string>> = {
  2: "COM_INIT_DB",
  4: "COM_FIELD_LIST",
  9: "COM_STATISTICS",
  17: "COM_CHANGE_USER",
  22: "COM_STMT_PREPARE",
  23: "COM_STMT_EXECUTE",
  26: "COM_STMT_RESET",
  27: "COM_SET_OPTION",
};

export const Capability = {
  longPassword: 1,
  foundRows: 2,
  longFlag: 4,
  connectWithDatabase: 8,
  protocol41: 0x200,
  tls: 0x800,
  transactions: 0x2000,
  secureConnection: 0x8000,
  multiResults: 0x2_0000,
  pluginAuth: 0x8_0000,
  connectAttributes: 0x10_0000,
  pluginAuthLenenc: 0x20_0000,
} as const;

export const Status = { inTransaction: 1, autocommit: 2, moreResults: 8 } as const;

/** utf8mb4_general_ci. */
export const CHARSET = 45;

export const OK = 0x00;
export const MORE_DATA = 0x01;
export const LOCAL_INFILE = 0xfb;
export const EOF = 0xfe;
export const ERROR = 0xff;

/** A packet of this length goes on in the next one. */
const PART_BYTES = 0xffffff;

export class PacketError extends Error {}

export function packet(sequence: number, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
  const head = Buffer.alloc(4);
  head.writeUIntLE(
    body.reduce((sum, part) => sum + part.length, 0),
    0,
    3,
  );
  head[3] = sequence & 0xff;
  return Buffer.concat([head, ...body]);
}

export function uint(value: number, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  out.writeUIntLE(value, 0, bytes);
  return out;
}

/** Bytes with their length before them; at most 250. */
export const short = (bytes: Uint8Array): Buffer => Buffer.concat([uint(bytes.length, 1), bytes]);

export const okPacket = (sequence: number, status: number = Status.autocommit): Buffer =>
  packet(sequence, Buffer.from([OK, 0, 0]), uint(status, 2), uint(0, 2));

/** An error of Hyperdrive's own. */
export const errorPacket = (sequence: number, text: string, code = 1105, sqlState = "HY000"): Buffer =>
  packet(sequence, Buffer.from([ERROR]), uint(code, 2), `#${sqlState}`, text);

export function errorOf(payload: Buffer): { readonly code: number; readonly text: string } {
  const text = payload.toString("utf8", 3);
  return { code: payload.readUInt16LE(1), text: text.startsWith("#") ? text.slice(6) : text };
}

/** A length-encoded integer, and the offset after it. */
export function lengthAt(bytes: Buffer, at: number): [value: number, next: number] {
  const first = bytes[at] ?? 0;
  if (first < 0xfb) return [first, at + 1];
  if (first === 0xfc) return [bytes.readUInt16LE(at + 1), at + 3];
  if (first === 0xfd) return [bytes.readUIntLE(at + 1, 3), at + 4];
  return [Number(bytes.readBigUInt64LE(at + 1)), at + 9];
}

export function textAt(bytes: Buffer, at: number): [text: string, next: number] {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw new PacketError("a packet's text has no end");
  return [bytes.toString("utf8", at, end), end + 1];
}

/** How a reader wants packets. */
export interface PacketReader {
  /** Whether a packet is given whole, by its length and first byte; otherwise it passes in pieces. */
  whole(length: number, first: number): boolean;
  /** A whole packet with its head. */
  onPacket(packet: Buffer): void;
  /** Bytes of packets that pass, in order with the others; `last` with the end of what belongs together. */
  onBytes(bytes: Buffer, last: boolean): void;
}

/** Feeds a stream's chunks to the reader. */
export function packetScanner(reader: PacketReader): (chunk: Buffer) => void {
  let held: Buffer | undefined;
  /** Bytes that are still to come of a packet that passes. */
  let passing = 0;
  /** The packet that passes, or has passed, goes on in the next one. */
  let continues = false;

  return (fresh) => {
    const chunk = held === undefined ? fresh : Buffer.concat([held, fresh]);
    held = undefined;
    let at = 0;
    while (at < chunk.length) {
      if (passing > 0) {
        const end = Math.min(chunk.length, at + passing);
        passing -= end - at;
        reader.onBytes(chunk.subarray(at, end), passing === 0 && !continues);
        at = end;
        continue;
      }
      const known = chunk.length - at;
      if (known < 4) break;
      const length = chunk.readUIntLE(at, 3);
      if (!continues && length > 0 && known < 5) break;
      if (!continues && length < PART_BYTES && reader.whole(length, chunk[at + 4] ?? -1)) {
        if (known < 4 + length) break;
        reader.onPacket(chunk.subarray(at, at + 4 + length));
        at += 4 + length;
        continue;
      }
      continues = length === PART_BYTES;
      passing = 4 + length;
    }
    if (at < chunk.length) held = chunk.subarray(at);
  };
}
