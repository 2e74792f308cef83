/**
 * HTTP/3 as far as one WebTransport session a connection needs it (RFC 9114, RFC 9220; WebTransport's draft 02, which Chromium
 * speaks, and the settings by which later ones find it): settings, one extended CONNECT, and the streams that belong to it.
 * A request in early data, which could be somebody's repetition, waits until the handshake has proved the client alive.
 */
import { ByteReader, ByteWriter, Incomplete, varint } from "../wire/varint.ts";
import type { ConnectionEvents, QuicConnection, StreamHandler } from "./connection.ts";
import { decodeFields, encodeResponse } from "./qpack.ts";

/** What a session does with its streams; ids are QUIC's. */
export interface SessionHandler {
  opened(id: number): StreamHandler;
  stopped(id: number, code: number): void;
  /** The client may allow more streams than before. */
  worked(): void;
  closed(): void;
}

/** A session as its owner drives it. */
export interface WebTransportSession {
  /** Opens a one-way stream, its header already written; undefined when the client allows no more for now. */
  openUni(): number | undefined;
  close(code: number, reason: string): void;
  /** Application codes as they go over QUIC, and back. */
  toWire(code: number): number;
  fromWire(code: number): number;
}

const CONTROL = 0x00;
const QPACK = [0x02, 0x03];
const UNI = 0x54;
const BIDI = 0x41;
const DATA = 0x00;
const HEADERS = 0x01;
const SETTINGS = 0x04;
const CLOSE_CAPSULE = 0x2843;
const FRAME_ERROR = 0x106;
const STREAM_CREATION_ERROR = 0x103;
/** A field section or a capsule of a client. */
const FRAME_MAX_BYTES = 16 * 1024;
/** No QPACK table; extended CONNECT; HTTP datagrams, final and as in draft 04; WebTransport of drafts 02 and 07. */
const OUR_SETTINGS: readonly (readonly [id: number, value: number])[] = [
  [0x1, 0],
  [0x7, 0],
  [0x8, 1],
  [0x33, 1],
  [0xffd277, 1],
  [0x2b603742, 1],
  [0x2b603743, 1],
  [0xc671706a, 1],
];
/** Codes of applications lie in a range of HTTP/3's, with every 31st left out (draft-ietf-webtrans-http3, section 4.3). */
const FIRST_CODE = 0x52e4a40fa8db;

/** `request` is asked once, with path and query; undefined refuses with 429. Its session may write at once. */
export function serveWebTransport(
  connection: () => QuicConnection,
  request: (path: string, session: WebTransportSession) => SessionHandler | undefined,
): ConnectionEvents {
  let sessionId: number | undefined;
  let handler: SessionHandler | undefined;
  let waiting: (() => void) | undefined;
  /** Streams may overtake the request that they belong to; so many are held. */
  const early: (() => void)[] = [];

  const session: WebTransportSession = {
    openUni() {
      const id = connection().openUni();
      if (id !== undefined) connection().write(id, Buffer.concat([varint(UNI), varint(sessionId ?? 0)]), false);
      return id;
    },
    close(code, reason) {
      if (sessionId === undefined) return;
      const text = Buffer.from(reason).subarray(0, 1024);
      const head = Buffer.alloc(4);
      head.writeUInt32BE(code >>> 0);
      const capsule = new ByteWriter()
        .varint(CLOSE_CAPSULE)
        .prefixed(Buffer.concat([head, text]))
        .finish();
      connection().write(sessionId, new ByteWriter().varint(DATA).prefixed(capsule).finish(), true);
    },
    toWire: (code) => FIRST_CODE + code + Math.floor(code / 0x1e),
    fromWire: (code) => (code < FIRST_CODE ? 0 : code - FIRST_CODE - Math.floor((code - FIRST_CODE) / 0x1f)),
  };

  function answer(id: number, section: Uint8Array): void {
    const fields = decodeFields(section);
    const asked = fields.get(":method") === "CONNECT" && fields.get(":protocol") === "webtransport";
    const path = fields.get(":path");
    let status = asked && path !== undefined ? 200 : 404;
    if (status === 200 && sessionId !== undefined) status = 429;
    if (status === 200) {
      sessionId = id;
      handler = request(path as string, session);
      if (handler === undefined) status = 429;
    }
    const fieldSection = encodeResponse(status);
    connection().write(id, new ByteWriter().varint(HEADERS).prefixed(fieldSection).finish(), status !== 200);
    if (status === 200) for (const deliver of early.splice(0)) deliver();
  }

  /** Requests, one frame after the other; after the CONNECT its capsules. */
  function requestStream(id: number): StreamHandler {
    let answered = false;
    const frames = readFrames((type, payload) => {
      if (type === HEADERS && !answered) {
        answered = true;
        if (connection().quiche.isEstablished()) answer(id, payload);
        else waiting = () => answer(id, payload);
      } else if (type === DATA && id === sessionId && isClose(payload)) connection().close(0x100, "");
    });
    return {
      data(chunk, fin) {
        frames(chunk);
        if (fin && id === sessionId) connection().close(0x100, "");
      },
      reset() {
        if (id === sessionId) connection().close(0x100, "");
      },
    };
  }

  /** Hands the stream to the session, now or when there is one. */
  function sessionStream(id: number, rest: Buffer, fin: boolean): StreamHandler {
    const pending: ((to: StreamHandler) => void)[] = [];
    let to: StreamHandler | undefined;
    const deliver = (): void => {
      to = handler?.opened(id);
      if (to !== undefined) for (const one of pending.splice(0)) one(to);
    };
    const pass = (one: (to: StreamHandler) => void): void => {
      if (to !== undefined) one(to);
      else if (pending.length < 16) pending.push(one);
      else connection().close(STREAM_CREATION_ERROR, "streams without a session");
    };
    if (handler !== undefined) deliver();
    else if (early.length < 16) early.push(deliver);
    else connection().close(STREAM_CREATION_ERROR, "streams without a session");
    pass((one) => one.data(rest, fin));
    return { data: (chunk, end) => pass((one) => one.data(chunk, end)), reset: (code) => pass((one) => one.reset(session.fromWire(code))) };
  }

  /** What kind of stream it is, its first bytes say. */
  function opened(id: number): StreamHandler {
    let head: Buffer = Buffer.alloc(0);
    let to: StreamHandler | undefined;
    const decide = (fin: boolean): void => {
      const reader = new ByteReader(head);
      const type = reader.varint();
      if (id % 4 === 2 && type === UNI) {
        reader.varint();
        to = sessionStream(id, head.subarray(reader.offset), fin);
      } else if (id % 4 === 0 && type === BIDI) {
        reader.varint();
        to = sessionStream(id, head.subarray(reader.offset), fin);
      } else if (id % 4 === 0) {
        to = requestStream(id);
        to.data(head, fin);
      } else {
        to = { data: () => {}, reset: () => {} };
        // Settings of a client change nothing here, and its QPACK streams must stay silent.
        if (type !== CONTROL && !QPACK.includes(type)) connection().shutdown(id, "read", STREAM_CREATION_ERROR);
      }
    };
    return {
      data(chunk, fin) {
        try {
          if (to !== undefined) return to.data(chunk, fin);
          head = Buffer.concat([head, chunk]);
          decide(fin);
        } catch (cause) {
          if (!(cause instanceof Incomplete)) connection().close(FRAME_ERROR, (cause as Error).message);
        }
        return undefined;
      },
      reset: (code) => to?.reset(code),
    };
  }

  function settings(): void {
    const payload = new ByteWriter();
    for (const [id, value] of OUR_SETTINGS) payload.varint(id).varint(value);
    const control = connection().openUni();
    if (control === undefined) return void connection().close(STREAM_CREATION_ERROR, "no stream for settings");
    connection().write(control, new ByteWriter().varint(CONTROL).varint(SETTINGS).prefixed(payload.finish()).finish(), false);
  }

  return {
    ready: settings,
    established() {
      waiting?.();
      waiting = undefined;
    },
    opened,
    stopped: (id, code) => handler?.stopped(id, session.fromWire(code)),
    worked: () => handler?.worked(),
    closed: () => handler?.closed(),
  };
}

/** Calls for each frame of a stream. Throws for one that is too large. */
function readFrames(take: (type: number, payload: Uint8Array) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const reader = new ByteReader(held);
      try {
        const type = reader.varint();
        const length = reader.varint();
        if (length > FRAME_MAX_BYTES) throw new Error("a frame is too large");
        const payload = reader.bytes(length);
        held = held.subarray(reader.offset);
        take(type, payload);
      } catch (cause) {
        if (cause instanceof Incomplete) return;
        throw cause;
      }
    }
  };
}

function isClose(capsule: Uint8Array): boolean {
  try {
    return new ByteReader(capsule).varint() === CLOSE_CAPSULE;
  } catch {
    return false;
  }
}
