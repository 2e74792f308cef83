/**
 * The UDP socket and who is behind its packets: connections by their ids, so that one survives its client's move to another
 * port. Addresses that many unfinished handshakes come from prove themselves first (Retry); a packet that is none is dropped.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { type ConnectionEvents, QuicConnection } from "./connection.ts";
import type { HostPort, Quiche, QuicheConfig, QuicheHeader } from "./native.ts";
import type { QuicSettings } from "./protocol.ts";

const ID_BYTES = 20;
/** H3_INTERNAL_ERROR. */
const INTERNAL_ERROR = 0x102;
const SHORT = 5;
const PACKET_BYTES = 1350;
const IDLE_MS = 30_000;
const STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 8 * 1024 * 1024;
/** From here on a client must show that it receives at its address before anything is kept for it. */
const HALF_OPEN_MAX = 50;
/** RFC 9000, section 21.1: a client's first packet fills a datagram. */
const INITIAL_MIN_BYTES = 1200;

export interface Endpoint {
  readonly port: number;
  close(): void;
}

/** Opens the port and hands each connection to `accept`. Throws when the port cannot be had. */
export async function openEndpoint(
  quiche: Quiche,
  settings: QuicSettings,
  accept: (connection: () => QuicConnection) => ConnectionEvents,
): Promise<Endpoint> {
  const config = configure(quiche, settings);
  const socket = createSocket(isIPv6(settings.host) ? "udp6" : "udp4");
  socket.bind(settings.port, settings.host);
  await once(socket, "listening");
  const local = { host: settings.host, port: socket.address().port };
  const connections = new Map<string, QuicConnection>();
  const live = new Set<QuicConnection>();
  const halfOpen = new Set<QuicConnection>();
  const retryKey = randomBytes(32);
  const out = Buffer.alloc(PACKET_BYTES);
  // A packet that cannot be sent is a lost packet.
  const transmit = (packet: Uint8Array, to: HostPort): void => socket.send(packet, to.port, to.host, () => {});

  function take(packet: Buffer, from: RemoteInfo): void {
    const header = headerOf(quiche, packet);
    if (header === undefined) return;
    const peer = { host: from.address, port: from.port };
    const connection = connections.get(key(header.dcid)) ?? welcome(packet, header, peer);
    if (connection === undefined) return;
    try {
      connection.receive(packet, peer, local);
      issueIds(connection);
    } catch (cause) {
      // What one client brings about ends its connection and nobody else's.
      process.emitWarning(cause as Error);
      connection.close(INTERNAL_ERROR, "");
    }
  }

  function welcome(packet: Buffer, header: QuicheHeader, peer: HostPort): QuicConnection | undefined {
    if (header.ty === SHORT || packet.length < INITIAL_MIN_BYTES || live.size >= settings.connectionsMax) return undefined;
    if (!quiche.versionIsSupported(header.version)) {
      const length = quiche.negotiateVersion(header.scid, header.dcid, out);
      transmit(Buffer.from(out.subarray(0, length)), peer);
      return undefined;
    }
    if (header.ty !== 0) return undefined;
    let original: Uint8Array | null = null;
    if (header.token !== undefined && header.token.length > 0) {
      original = originalOf(retryKey, header.token, header.dcid, peer) ?? null;
    }
    if (original === null && halfOpen.size >= HALF_OPEN_MAX) {
      const id = randomBytes(ID_BYTES);
      const length = quiche.retry(header.scid, header.dcid, id, tokenFor(retryKey, header.dcid, id, peer), header.version, out);
      transmit(Buffer.from(out.subarray(0, length)), peer);
      return undefined;
    }
    // After a Retry the client uses the id that it was given there.
    return open(original === null ? randomBytes(ID_BYTES) : header.dcid, original, header.dcid, peer);
  }

  function open(id: Uint8Array, original: Uint8Array | null, dcid: Uint8Array, peer: HostPort): QuicConnection {
    const events = accept(() => connection);
    const connection: QuicConnection = new QuicConnection(
      quiche.Connection.accept(id, original, local, peer, config),
      {
        ...events,
        closed() {
          live.delete(connection);
          halfOpen.delete(connection);
          for (const [known, one] of connections) if (one === connection) connections.delete(known);
          events.closed();
        },
      },
      transmit,
    );
    live.add(connection);
    halfOpen.add(connection);
    connections.set(key(id), connection).set(key(dcid), connection);
    return connection;
  }

  /** Ids by which the client may call us from another address. */
  function issueIds(connection: QuicConnection): void {
    if (!live.has(connection) || !connection.quiche.isEstablished()) return;
    halfOpen.delete(connection);
    while (connection.quiche.sourceCidsLeft() > 0) {
      const id = randomBytes(ID_BYTES);
      connection.quiche.newSourceCid(id, BigInt(`0x${randomBytes(16).toString("hex")}`), true);
      connections.set(key(id), connection);
      connection.flushSoon();
    }
    for (let gone = connection.quiche.retiredScidNext(); gone !== null; gone = connection.quiche.retiredScidNext())
      connections.delete(key(gone));
  }

  socket.on("message", take);
  return {
    port: local.port,
    close() {
      for (const connection of live) connection.close(0, "");
      socket.close();
    },
  };
}

function configure(quiche: Quiche, { cert, key: tlsKey }: QuicSettings): QuicheConfig {
  const config = quiche.Config.withBoringSslCtx(false, false, null, [Buffer.from(tlsKey)], [Buffer.from(cert)], null);
  config.setApplicationProtos(["h3"]);
  config.enableEarlyData();
  config.grease(true);
  config.setMaxIdleTimeout(IDLE_MS);
  config.setMaxRecvUdpPayloadSize(65_527);
  config.setMaxSendUdpPayloadSize(PACKET_BYTES);
  config.setInitialMaxData(CONNECTION_WINDOW);
  config.setMaxConnectionWindow(CONNECTION_WINDOW);
  config.setInitialMaxStreamDataBidiLocal(STREAM_WINDOW);
  config.setInitialMaxStreamDataBidiRemote(STREAM_WINDOW);
  config.setInitialMaxStreamDataUni(STREAM_WINDOW);
  config.setMaxStreamWindow(STREAM_WINDOW);
  config.setInitialMaxStreamsBidi(16);
  config.setInitialMaxStreamsUni(200);
  config.setActiveConnectionIdLimit(4);
  // HTTP/3's datagrams are a must for WebTransport; what comes in them is not looked at.
  config.enableDgram(true, 16, 16);
  return config;
}

const key = (id: Uint8Array): string => Buffer.from(id).toString("latin1");

function headerOf(quiche: Quiche, packet: Buffer): QuicheHeader | undefined {
  try {
    return quiche.Header.fromSlice(packet, ID_BYTES);
  } catch {
    return undefined;
  }
}

/** What a Retry gives a client: its first packet's destination, bound to its address and the id that it is to use. */
function tokenFor(secret: Buffer, original: Uint8Array, id: Uint8Array, peer: HostPort): Buffer {
  return Buffer.concat([macOf(secret, original, id, peer), original]);
}

function originalOf(secret: Buffer, token: Uint8Array, id: Uint8Array, peer: HostPort): Uint8Array | undefined {
  const original = token.subarray(32);
  const mac = macOf(secret, original, id, peer);
  return token.length >= 40 && timingSafeEqual(mac, token.subarray(0, 32)) ? original : undefined;
}

function macOf(secret: Buffer, original: Uint8Array, id: Uint8Array, peer: HostPort): Buffer {
  return createHmac("sha256", secret).update(`${peer.host} ${peer.port} `).update(id).update(original).digest();
}
