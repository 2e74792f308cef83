/**
 * Control messages of MoQ Transport, draft 07, sections 6.1 to 6.26: those that the relay reads and writes. Each is its type,
 * its length, its fields; a message whose fields do not fill its length exactly is a violation of the protocol.
 */
import { ByteReader, ByteWriter, Incomplete, ProtocolViolation } from "./varint.ts";

export const VERSION = 0xff000007;

export type Parameters = ReadonlyMap<number, Uint8Array>;
export const ROLE = 0x00;
export const MAX_SUBSCRIBE_ID = 0x02;

export type GroupOrder = "publisher" | "ascending" | "descending";
const ORDERS: readonly GroupOrder[] = ["publisher", "ascending", "descending"];

/** The largest, or first, object of a track that is meant. */
export interface Location {
  readonly group: number;
  readonly object: number;
}

export type Filter =
  | { readonly type: "latestGroup" | "latestObject" }
  | {
      readonly type: "absolute";
      readonly start: Location /** Group and object after which the subscription ends; object 0: the whole group. */;
      readonly end: Location | undefined;
    };

export interface TrackName {
  readonly namespace: readonly Uint8Array[];
  readonly name: Uint8Array;
}

export interface Subscribe extends TrackName {
  readonly id: number;
  readonly alias: number;
  readonly priority: number;
  readonly order: GroupOrder;
  readonly filter: Filter;
}

export type Message =
  | { readonly type: "clientSetup"; readonly versions: readonly number[]; readonly parameters: Parameters }
  | ({ readonly type: "subscribe" } & Subscribe)
  | { readonly type: "subscribeUpdate"; readonly id: number; readonly priority: number }
  | { readonly type: "subscribeOk"; readonly id: number; readonly order: GroupOrder; readonly largest: Location | undefined }
  | { readonly type: "subscribeError"; readonly id: number; readonly code: number; readonly reason: string }
  | { readonly type: "subscribeDone"; readonly id: number; readonly code: number; readonly reason: string }
  | { readonly type: "unsubscribe"; readonly id: number }
  | { readonly type: "announce" | "announceOk" | "unannounce"; readonly namespace: readonly Uint8Array[] }
  | {
      readonly type: "announceError" | "announceCancel";
      readonly namespace: readonly Uint8Array[];
      readonly code: number;
      readonly reason: string;
    }
  | { readonly type: "subscribeAnnounces" | "unsubscribeAnnounces"; readonly namespace: readonly Uint8Array[] }
  | ({ readonly type: "trackStatusRequest" } & TrackName)
  | { readonly type: "maxSubscribeId"; readonly id: number }
  | { readonly type: "fetch"; readonly id: number }
  /** What asks nothing of a relay: answers to what it does not send. */
  | { readonly type: "ignored" };

/** Namespaces have 1 to 32 fields (section 2.4.1). */
const FIELDS_MAX = 32;
/** Longer ones are of no client in use. */
const NAME_MAX_BYTES = 4096;
const PARAMETERS_MAX = 64;
const VERSIONS_MAX = 64;

type Decoder = (r: ByteReader) => Message;

const DECODERS: Readonly<Record<number, Decoder>> = {
  2: (r) => {
    const id = r.varint();
    for (let n = 0; n < 4; n++) r.varint();
    const priority = r.byte();
    parameters(r);
    return { type: "subscribeUpdate", id, priority };
  },
  3: (r) => {
    const [id, alias] = [r.varint(), r.varint()];
    const track = { namespace: namespace(r), name: nameOf(r) };
    const [priority, order] = [r.byte(), orderOf(r)];
    const filter = filterOf(r);
    parameters(r);
    return { type: "subscribe", id, alias, ...track, priority, order, filter };
  },
  4: (r) => {
    const id = r.varint();
    r.varint();
    const order = orderOf(r);
    const largest = r.byte() === 1 ? location(r) : undefined;
    parameters(r);
    return { type: "subscribeOk", id, order, largest };
  },
  5: (r) => {
    const message = { type: "subscribeError", id: r.varint(), code: r.varint(), reason: r.text() } as const;
    r.varint();
    return message;
  },
  6: (r) => {
    const announced = namespace(r);
    parameters(r);
    return { type: "announce", namespace: announced };
  },
  9: (r) => ({ type: "unannounce", namespace: namespace(r) }),
  10: (r) => ({ type: "unsubscribe", id: r.varint() }),
  11: (r) => {
    const message = { type: "subscribeDone", id: r.varint(), code: r.varint(), reason: r.text() } as const;
    if (r.byte() === 1) location(r);
    return message;
  },
  13: (r) => ({ type: "trackStatusRequest", namespace: namespace(r), name: nameOf(r) }),
  17: (r) => {
    const prefix = namespace(r);
    parameters(r);
    return { type: "subscribeAnnounces", namespace: prefix };
  },
  20: (r) => ({ type: "unsubscribeAnnounces", namespace: namespace(r) }),
  21: (r) => ({ type: "maxSubscribeId", id: r.varint() }),
  22: (r) => {
    const id = r.varint();
    r.bytes(r.remaining);
    return { type: "fetch", id };
  },
  64: (r) => {
    const versions = Array.from({ length: bounded(r.varint(), VERSIONS_MAX) }, () => r.varint());
    return { type: "clientSetup", versions, parameters: parameters(r) };
  },
};
/** ANNOUNCE_OK, _ERROR and _CANCEL of subscribers, TRACK_STATUS, GOAWAY, answers to SUBSCRIBE_ANNOUNCES, FETCH_CANCEL. */
const IGNORED = new Set([0x07, 0x08, 0x0c, 0x0e, 0x10, 0x12, 0x13, 0x17, 0x18, 0x19]);

export function decodeMessage(type: number, payload: Uint8Array): Message {
  if (IGNORED.has(type)) return { type: "ignored" };
  const decoder = DECODERS[type];
  if (decoder === undefined) throw new ProtocolViolation(`there is no message of type ${type}`);
  const reader = new ByteReader(payload);
  try {
    const message = decoder(reader);
    if (reader.remaining !== 0) throw new ProtocolViolation(`a message of type ${type} is longer than its fields`);
    return message;
  } catch (cause) {
    if (cause instanceof Incomplete) throw new ProtocolViolation(`a message of type ${type} is shorter than its fields`);
    throw cause;
  }
}

/** What the relay sends. */
export const encode = {
  serverSetup: (maxSubscribeId: number): Buffer => {
    const number = (value: number): Buffer => new ByteWriter().varint(value).finish();
    const writer = new ByteWriter().varint(VERSION).varint(2);
    writer.varint(ROLE).prefixed(number(0x03)).varint(MAX_SUBSCRIBE_ID).prefixed(number(maxSubscribeId));
    return message(0x41, writer);
  },
  subscribe: ({ id, alias, namespace: fields, name, priority, order }: Omit<Subscribe, "filter">): Buffer => {
    const writer = putNamespace(new ByteWriter().varint(id).varint(alias), fields).prefixed(name);
    // From the start of the newest group, without parameters.
    return message(0x03, writer.byte(priority).byte(ORDERS.indexOf(order)).varint(0x1).varint(0));
  },
  subscribeOk: (id: number, order: GroupOrder, largest: Location | undefined): Buffer => {
    const writer = new ByteWriter().varint(id).varint(0).byte(ORDERS.indexOf(order));
    putLocation(writer, largest);
    return message(0x04, writer.varint(0));
  },
  subscribeError: (id: number, code: number, reason: string, alias: number): Buffer =>
    message(0x05, new ByteWriter().varint(id).varint(code).text(reason).varint(alias)),
  subscribeDone: (id: number, code: number, reason: string, final: Location | undefined): Buffer => {
    const writer = new ByteWriter().varint(id).varint(code).text(reason);
    putLocation(writer, final);
    return message(0x0b, writer);
  },
  unsubscribe: (id: number): Buffer => message(0x0a, new ByteWriter().varint(id)),
  announce: (fields: readonly Uint8Array[]): Buffer => message(0x06, putNamespace(new ByteWriter(), fields).varint(0)),
  announceOk: (fields: readonly Uint8Array[]): Buffer => message(0x07, putNamespace(new ByteWriter(), fields)),
  announceError: (fields: readonly Uint8Array[], code: number, reason: string): Buffer =>
    message(0x08, putNamespace(new ByteWriter(), fields).varint(code).text(reason)),
  unannounce: (fields: readonly Uint8Array[]): Buffer => message(0x09, putNamespace(new ByteWriter(), fields)),
  trackStatus: ({ namespace: fields, name }: TrackName, code: number, largest: Location | undefined): Buffer => {
    const writer = putNamespace(new ByteWriter(), fields).prefixed(name).varint(code);
    return message(0x0e, writer.varint(largest?.group ?? 0).varint(largest?.object ?? 0));
  },
  subscribeAnnouncesOk: (fields: readonly Uint8Array[]): Buffer => message(0x12, putNamespace(new ByteWriter(), fields)),
  subscribeAnnouncesError: (fields: readonly Uint8Array[], code: number, reason: string): Buffer =>
    message(0x13, putNamespace(new ByteWriter(), fields).varint(code).text(reason)),
  maxSubscribeId: (id: number): Buffer => message(0x15, new ByteWriter().varint(id)),
  fetchError: (id: number, code: number, reason: string): Buffer => message(0x19, new ByteWriter().varint(id).varint(code).text(reason)),
};

function message(type: number, fields: ByteWriter): Buffer {
  return new ByteWriter().varint(type).prefixed(fields.finish()).finish();
}

function putNamespace(writer: ByteWriter, fields: readonly Uint8Array[]): ByteWriter {
  writer.varint(fields.length);
  for (const field of fields) writer.prefixed(field);
  return writer;
}

/** Whether there is content, and where it ends. */
function putLocation(writer: ByteWriter, at: Location | undefined): void {
  if (at === undefined) writer.byte(0);
  else writer.byte(1).varint(at.group).varint(at.object);
}

function bounded(count: number, max: number): number {
  if (count > max) throw new ProtocolViolation("a message has too many parts");
  return count;
}

function namespace(r: ByteReader): Uint8Array[] {
  const fields = Array.from({ length: bounded(r.varint(), FIELDS_MAX) }, () => r.prefixed());
  if (fields.length === 0) throw new ProtocolViolation("a namespace has no field");
  if (fields.reduce((sum, { length }) => sum + length, 0) > NAME_MAX_BYTES) throw new ProtocolViolation("a namespace is too long");
  // The message's memory is not kept for the sake of a name in it.
  return fields.map((field) => Uint8Array.from(field));
}

function nameOf(r: ByteReader): Uint8Array {
  const name = r.prefixed();
  if (name.length > NAME_MAX_BYTES) throw new ProtocolViolation("a track's name is too long");
  return Uint8Array.from(name);
}

function orderOf(r: ByteReader): GroupOrder {
  const order = ORDERS[r.byte()];
  if (order === undefined) throw new ProtocolViolation("there is no such group order");
  return order;
}

const location = (r: ByteReader): Location => ({ group: r.varint(), object: r.varint() });

function filterOf(r: ByteReader): Filter {
  const type = r.varint();
  if (type === 0x1 || type === 0x2) return { type: type === 0x1 ? "latestGroup" : "latestObject" };
  if (type === 0x3) return { type: "absolute", start: location(r), end: undefined };
  if (type === 0x4) return { type: "absolute", start: location(r), end: location(r) };
  throw new ProtocolViolation("there is no such filter");
}

function parameters(r: ByteReader): Parameters {
  const found = new Map<number, Uint8Array>();
  const count = bounded(r.varint(), PARAMETERS_MAX);
  for (let n = 0; n < count; n++) {
    const kind = r.varint();
    if (found.has(kind)) throw new ProtocolViolation("a parameter comes twice");
    found.set(kind, Uint8Array.from(r.prefixed()));
  }
  return found;
}
