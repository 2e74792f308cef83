/**
 * What a stream's journal holds: one entry per accepted request. The events lie in it as lines that DuckDB reads as they
 * are, `{"t":<milliseconds>,"v":<event>}`, so that a sink only has to put entries one after another; events that do
 * not fit the schema are left out and only counted. In journals of legacy pipelines the lines are the events alone.
 *
 * ```
 * 0   u8   version, 1
 * 8   f64  time of ingest in milliseconds since the epoch
 * 16  u32  × 4, dropped events by type, in the order of `errorTypes`
 * 32  u32  length of the example
 * 36       example: JSON of { type, message } of the first dropped event, or nothing
 * …        lines
 * ```
 * The time is the request's, not the processing's: replays of an offset range give the same rows.
 */
import type { RecordError } from "./record-check.ts";

const VERSION = 1;
const HEADER_BYTES = 36;

export interface PayloadHeader {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Dropped events by type, in the order of `errorTypes`. */
  readonly dropped: readonly [number, number, number, number];
  readonly example: RecordError | undefined;
}

export interface Payload extends PayloadHeader {
  /** UTF-8, each line with its newline; empty when every event was dropped. */
  readonly lines: Uint8Array;
}

/** A payload being written: the caller puts lines at `at` and moves it. */
export interface PayloadWriter {
  readonly bytes: Buffer;
  at: number;
}

/** Memory for a header and at most `linesBytesMax` of lines. */
export function beginPayload(header: PayloadHeader, linesBytesMax: number): PayloadWriter {
  const example = header.example === undefined ? "" : JSON.stringify(header.example);
  const exampleBytes = example === "" ? 0 : Buffer.byteLength(example);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + exampleBytes + linesBytesMax);
  bytes.fill(0, 0, 8);
  bytes[0] = VERSION;
  bytes.writeDoubleLE(header.time, 8);
  for (let i = 0; i < 4; i++) bytes.writeUInt32LE(header.dropped[i] as number, 16 + 4 * i);
  bytes.writeUInt32LE(exampleBytes, 32);
  if (exampleBytes > 0) bytes.write(example, HEADER_BYTES, "utf8");
  return { bytes, at: HEADER_BYTES + exampleBytes };
}

export const finishPayload = (writer: PayloadWriter): Uint8Array => writer.bytes.subarray(0, writer.at);

/** Throws on a version that this release does not know. */
export function readPayload(payload: Uint8Array): Payload {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) throw new Error(`read journal entry: unknown payload version ${bytes[0]}`);
  const exampleBytes = bytes.readUInt32LE(32);
  const linesAt = HEADER_BYTES + exampleBytes;
  return {
    time: bytes.readDoubleLE(8),
    dropped: [bytes.readUInt32LE(16), bytes.readUInt32LE(20), bytes.readUInt32LE(24), bytes.readUInt32LE(28)],
    example: exampleBytes === 0 ? undefined : (JSON.parse(bytes.toString("utf8", HEADER_BYTES, linesAt)) as RecordError),
    lines: bytes.subarray(linesAt),
  };
}
