/**
 * What a stream's journal holds: one entry per accepted request. The events lie in it as lines that DuckDB reads as they
 * are, `{"t":<milliseconds>,"v":<event>}`, so that a sink only has to put entries one after another; events that do
 * not fit the schema are left out and only counted. In journals of legacy pipelines a line is the event alone.
 *
 * ```
 * 0   u8   version, 2
 * 8   f64  time of ingest in milliseconds since the epoch
 * 16  f64  bytes of the events as they were sent, dropped ones included
 * 24  u32  length of the drops
 * 28       drops: JSON of [{ type, message, count }], or nothing
 * …        lines
 * ```
 * Version 1 had counts by type from 16 on (u32 × 4), and from 32 on the length and the JSON of one dropped event's error.
 * The time is the request's, not the processing's: replays of an offset range give the same rows.
 */
import type { Dropped } from "./drop-tally.ts";
import { errorTypes, type RecordError } from "./record-check.ts";

const VERSION = 2;
const HEADER_BYTES = 28;
const V1_HEADER_BYTES = 36;

export interface PayloadHeader {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Of the events as they were sent, dropped ones included. */
  readonly bytes: number;
  readonly dropped: readonly Dropped[];
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
  const drops = header.dropped.length === 0 ? "" : JSON.stringify(header.dropped);
  const dropsBytes = drops === "" ? 0 : Buffer.byteLength(drops);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + dropsBytes + linesBytesMax);
  bytes.fill(0, 0, 8);
  bytes[0] = VERSION;
  bytes.writeDoubleLE(header.time, 8);
  bytes.writeDoubleLE(header.bytes, 16);
  bytes.writeUInt32LE(dropsBytes, 24);
  if (dropsBytes > 0) bytes.write(drops, HEADER_BYTES, "utf8");
  return { bytes, at: HEADER_BYTES + dropsBytes };
}

export const finishPayload = (writer: PayloadWriter): Uint8Array => writer.bytes.subarray(0, writer.at);

/** Throws on a version that this release does not know. */
export function readPayload(payload: Uint8Array): Payload {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes[0] === 1 && bytes.length >= V1_HEADER_BYTES) return readVersion1(bytes);
  if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) throw new Error(`read journal entry: unknown payload version ${bytes[0]}`);
  const linesAt = HEADER_BYTES + bytes.readUInt32LE(24);
  return {
    time: bytes.readDoubleLE(8),
    bytes: bytes.readDoubleLE(16),
    dropped: linesAt === HEADER_BYTES ? [] : (JSON.parse(bytes.toString("utf8", HEADER_BYTES, linesAt)) as Dropped[]),
    lines: bytes.subarray(linesAt),
  };
}

function readVersion1(bytes: Buffer): Payload {
  const linesAt = V1_HEADER_BYTES + bytes.readUInt32LE(32);
  const example = linesAt === V1_HEADER_BYTES ? undefined : (JSON.parse(bytes.toString("utf8", V1_HEADER_BYTES, linesAt)) as RecordError);
  const lines = bytes.subarray(linesAt);
  const dropped = errorTypes.map((type, i) => ({
    type,
    message: example?.type === type ? example.message : "",
    count: bytes.readUInt32LE(16 + 4 * i),
  }));
  return { time: bytes.readDoubleLE(8), bytes: lines.byteLength, dropped: dropped.filter(({ count }) => count > 0), lines };
}
