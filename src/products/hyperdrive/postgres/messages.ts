/**
 * PostgreSQL's protocol 3.0: the messages that a proxy reads or writes itself, and the cutting of a stream into messages.
 * Rows are never held: what nobody reads passes in the pieces it came in.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

const code = (letter: string): number => letter.charCodeAt(0);

/** Types of messages that the server sends. */
export const Server = {
  authentication: code("R"),
  backendKeyData: code("K"),
  parameterStatus: code("S"),
  readyForQuery: code("Z"),
  error: code("E"),
  notice: code("N"),
  notification: code("A"),
  parseComplete: code("1"),
  closeComplete: code("3"),
  copyIn: code("G"),
} as const;

/** Types of messages that the client sends. */
export const Client = {
  query: code("Q"),
  parse: code("P"),
  bind: code("B"),
  describe: code("D"),
  execute: code("E"),
  close: code("C"),
  flush: code("H"),
  sync: code("S"),
  terminate: code("X"),
  password: code("p"),
  functionCall: code("F"),
  copyData: code("d"),
  copyDone: code("c"),
  copyFail: code("f"),
} as const;

export const SSL_REQUEST = 80877103;
export const GSS_REQUEST = 80877104;
export const CANCEL_REQUEST = 80877102;
export const PROTOCOL_3 = 196608;

export class ProtocolError extends Error {}

/** A message with its type and length. */
export function message(type: number, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeInt32BE(4 + body.reduce((sum, part) => sum + part.length, 0), 1);
  return Buffer.concat([head, ...body]);
}

/** A startup packet: it has no type. */
export function startup(version: number, ...parts: readonly (string | Uint8Array)[]): Buffer {
  return message(0, int32(version), ...parts).subarray(1);
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export const sync = message(Client.sync);
export const terminate = message(Client.terminate);
export const query = (sql: string): Buffer => message(Client.query, sql, "\0");
export const readyForQuery = (status: string): Buffer => message(Server.readyForQuery, status);
/** Closes a portal that there is not: it does nothing, and is answered with CloseComplete. */
export const closeNothing = message(Client.close, "Pfreehold_none\0");
export const parseComplete = message(Server.parseComplete);

/** An error of Hyperdrive's own; 58000 is the code of those that PostgreSQL has none for. */
export function errorResponse(text: string, sqlState = "58000", severity: "ERROR" | "FATAL" = "ERROR"): Buffer {
  return message(Server.error, `S${severity}\0V${severity}\0C${sqlState}\0M${text}\0\0`);
}

/** The fields of an error message, by their letter. */
export function errorFields(whole: Buffer): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const field of whole.toString("utf8", 5).split("\0")) if (field !== "") fields[field[0] as string] = field.slice(1);
  return fields;
}

/** The text at an offset up to its zero byte, and the offset after that. */
export function textAt(bytes: Buffer, offset: number): [text: string, next: number] {
  const end = bytes.indexOf(0, offset);
  if (end < 0) throw new ProtocolError("a message's text has no end");
  return [bytes.toString("utf8", offset, end), end + 1];
}

/** How a reader wants messages of a type. */
export interface MessageReader {
  /** Largest message of this type that is given whole; 0: it passes in pieces. */
  wholeMax(type: number): number;
  /** A whole message. */
  onMessage(type: number, message: Buffer): void;
  /** Bytes of messages that pass, in order with the others. */
  onBytes(bytes: Buffer): void;
  /** An announced message begins that passes in pieces, `head` being its first bytes. Returns how many of them shall not pass. */
  onPassing?(type: number, size: number, head: Buffer): number;
}

/** At least this much of a message that passes in pieces is known to `onPassing`. */
export const HEAD_BYTES = 1024;

/** Feeds a stream's chunks to the reader. Throws `ProtocolError` for what is no message. */
export function messageScanner(reader: MessageReader, announced: (type: number) => boolean = () => false): (chunk: Buffer) => void {
  let held: Buffer | undefined;
  /** Bytes that are still to come of a message that passes. */
  let passing = 0;

  return (fresh) => {
    const chunk = held === undefined ? fresh : Buffer.concat([held, fresh]);
    held = undefined;
    let from = 0;
    let at = Math.min(passing, chunk.length);
    passing -= at;
    while (chunk.length - at >= 5) {
      const type = chunk[at] as number;
      const size = 1 + chunk.readInt32BE(at + 1);
      if (size < 5) throw new ProtocolError("a message has an impossible length");
      const known = chunk.length - at;
      if (size <= reader.wholeMax(type)) {
        if (known < size) break;
        if (at > from) reader.onBytes(chunk.subarray(from, at));
        reader.onMessage(type, chunk.subarray(at, at + size));
        at += size;
        from = at;
        continue;
      }
      if (announced(type)) {
        if (known < Math.min(size, HEAD_BYTES)) break;
        if (at > from) reader.onBytes(chunk.subarray(from, at));
        from = at + (reader.onPassing?.(type, size, chunk.subarray(at, at + Math.min(size, known))) ?? 0);
      }
      passing = Math.max(0, size - known);
      at += Math.min(size, known);
    }
    if (at > from) reader.onBytes(chunk.subarray(from, at));
    if (at < chunk.length) held = chunk.subarray(at);
  };
}
