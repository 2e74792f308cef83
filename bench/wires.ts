/**
 * How a load generator speaks to a server: HTTP, NATS with JetStream, Kafka. Only what one client with one request under way
 * needs: prebuilt requests, and whether an answer is whole and says yes. Formats: docs.nats.io/reference/nats-protocols,
 * kafka.apache.org/protocol (Produce 7, CreateTopics 4, record batches with magic 2).
 */

import { randomBytes } from "node:crypto";

/** Of one connection. */
export interface Wire {
  /** What each connection sends first. */
  readonly hello?: Buffer;
  /** Whether its answer is whole. */
  greeted?(received: Buffer): boolean;
  request(body: string): Buffer;
  /** Whether the answer is whole. Throws when it is a refusal. */
  answered(received: Buffer): boolean;
}

export type WireName = "http" | "nats" | "kafka";

/** Where events go with the two brokers: a subject of a JetStream stream, a topic of one partition. */
export const TOPIC = "bench";

export const wires: Readonly<Record<WireName, (host: string, path: string) => Wire>> = {
  http: (host, path) => ({
    request(body) {
      const bytes = Buffer.from(body);
      const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n`;
      return Buffer.concat([Buffer.from(head), bytes]);
    },
    answered(received) {
      const answer = received.toString("latin1");
      const end = answer.indexOf("\r\n\r\n");
      if (end < 0) return false;
      if (!answer.startsWith("HTTP/1.1 200")) throw new Error(answer);
      // Small answers come in one piece or in two: head and body.
      const length = /\r\ncontent-length: (\d+)/i.exec(answer);
      return length === null ? answer.endsWith("0\r\n\r\n") : answer.length >= end + 4 + Number(length[1]);
    },
  }),
  nats() {
    const inbox = natsInbox();
    return {
      hello: natsHello(inbox),
      greeted: (received) => received.includes("PONG\r\n"),
      request: (body) => natsPublish(TOPIC, inbox, body),
      answered: (received) => natsReply(received) !== undefined,
    };
  },
  kafka: () => ({
    request: (body) => produce(JSON.parse(body) as unknown[]),
    answered(received) {
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return false;
      // Size, correlation, one topic with its name, one partition with its number.
      const code = received.readInt16BE(4 + 4 + 4 + 2 + TOPIC.length + 4 + 4);
      if (code !== 0) throw new Error(`Kafka refused a batch with error ${code}`);
      return true;
    },
  }),
};

// --- NATS --------------------------------------------------------------------------------------------------

/** A subject of a connection's own, which its answers come on. */
export const natsInbox = (): string => `_INBOX.${randomBytes(8).toString("hex")}`;

export const natsHello = (inbox: string): Buffer => Buffer.from(`CONNECT {"verbose":false}\r\nSUB ${inbox} 1\r\nPING\r\n`);

export const natsPublish = (subject: string, inbox: string, body: string): Buffer =>
  Buffer.from(`PUB ${subject} ${inbox} ${Buffer.byteLength(body)}\r\n${body}\r\n`);

/** The JSON that JetStream answers with; undefined while it is not whole. Throws what it refuses with. */
export function natsReply(received: Buffer): unknown {
  const text = received.toString("latin1");
  const [, length, body] = /MSG \S+ \S+ (\d+)\r\n(.*)$/s.exec(text) ?? [];
  if (length === undefined || body === undefined || body.length < Number(length) + 2) return undefined;
  const reply = JSON.parse(body.slice(0, Number(length))) as { error?: unknown };
  if (reply.error !== undefined) throw new Error(JSON.stringify(reply.error));
  return reply;
}

// --- Kafka -------------------------------------------------------------------------------------------------

const int8 = (value: number): Buffer => Buffer.from([value & 0xff]);
const int16 = (value: number): Buffer => sized(2, (bytes) => bytes.writeInt16BE(value));
const int32 = (value: number): Buffer => sized(4, (bytes) => bytes.writeInt32BE(value));
const int64 = (value: number): Buffer => sized(8, (bytes) => bytes.writeBigInt64BE(BigInt(value)));
const text = (value: string): Buffer => Buffer.concat([int16(value.length), Buffer.from(value)]);
const sized = (length: number, write: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.alloc(length);
  write(bytes);
  return bytes;
};

/** A signed number in zigzag form, seven bits a byte. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const message = (key: number, version: number, body: readonly Buffer[]): Buffer => {
  const all = Buffer.concat([int16(key), int16(version), int32(1), text("bench"), ...body]);
  return Buffer.concat([int32(all.length), all]);
};

/** A request that puts the events into the topic, acknowledged by all replicas (there is one). */
function produce(events: readonly unknown[]): Buffer {
  const records = events.map((event, i) => {
    const value = Buffer.from(JSON.stringify(event));
    // Without attributes, time, key and headers.
    const record = Buffer.concat([int8(0), varint(0), varint(i), varint(-1), varint(value.length), value, varint(0)]);
    return Buffer.concat([varint(record.length), record]);
  });
  const checked = Buffer.concat([
    int16(0),
    int32(events.length - 1),
    int64(Date.now()),
    int64(Date.now()),
    int64(-1),
    int16(-1),
    int32(-1),
    int32(events.length),
    ...records,
  ]);
  const tail = Buffer.concat([int32(-1), int8(2), int32(crc32c(checked) | 0), checked]);
  const batch = Buffer.concat([int64(0), int32(tail.length), tail]);
  const partition = [int32(1), int32(0), int32(batch.length), batch];
  return message(0, 7, [int16(-1), int16(-1), int32(30_000), int32(1), text(TOPIC), ...partition]);
}

/** A request that makes the topic, with one partition. */
export const kafkaCreateTopic = (): Buffer =>
  message(19, 4, [int32(1), text(TOPIC), int32(1), int16(1), int32(0), int32(0), int32(30_000), int8(0)]);

const castagnoli = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (castagnoli[(crc ^ byte) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}
