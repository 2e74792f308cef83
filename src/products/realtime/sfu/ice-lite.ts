/**
 * ICE of a server that everybody can reach (RFC 8445, 2.5): one UDP socket for all sessions, which answers the checks of
 * clients and never checks itself. A session is found by the name in a check, which must be signed with the session's
 * password, and from then on by the address that the check came from.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { attribute, hasIntegrity, kind, method, parseStun, writeStun, xorAddress } from "../turn/stun.ts";

export interface IcePeer {
  readonly ufrag: string;
  readonly pwd: string;
  /** When a check of the client was last answered; 0 = never. */
  readonly lastCheck: number;
  /** Where packets go to; undefined until the client has chosen. */
  readonly connected: boolean;
  send(bytes: Buffer): void;
  close(): void;
}

export interface IceSocket {
  readonly candidates: readonly { readonly address: string; readonly port: number }[];
  /** `onData` gets everything but checks, once there has been a good one from its address. */
  open(onData: (bytes: Buffer) => void, onConnected: () => void): IcePeer;
  close(): void;
}

/** Addresses of one session that are remembered: a client changes its network now and then. */
const ADDRESSES_MAX = 16;
const BUFFER_BYTES = 4 * 1024 * 1024;

interface Peer extends IcePeer {
  readonly addresses: string[];
  take(bytes: Buffer): void;
  checked(address: string, port: number, chosen: boolean): void;
}

/** `addresses`: where clients reach the socket; empty: those of its host, or all of this machine's. */
export async function openIceSocket(host: string, port: number, addresses: readonly string[], now: () => number): Promise<IceSocket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
  socket.bind(port, host);
  await once(socket, "listening");
  const byUfrag = new Map<string, Peer>();
  const byAddress = new Map<string, Peer>();

  function answerCheck(bytes: Buffer, address: string, from: number): void {
    const message = parseStun(bytes);
    if (message === undefined || message.kind !== kind.request || message.method !== method.binding) return;
    const [ufrag = ""] = (message.attributes.get(attribute.username)?.toString() ?? "").split(":");
    const peer = byUfrag.get(ufrag);
    if (peer === undefined || !hasIntegrity(message, Buffer.from(peer.pwd))) return;
    const name = `${address}:${from}`;
    if (byAddress.get(name) !== peer) {
      byAddress.set(name, peer);
      peer.addresses.push(name);
      const old = peer.addresses.length > ADDRESSES_MAX ? peer.addresses.shift() : undefined;
      if (old !== undefined && byAddress.get(old) === peer) byAddress.delete(old);
    }
    const { transaction } = message;
    const attributes = [[attribute.xorMappedAddress, xorAddress({ address, port: from }, transaction)] as const];
    socket.send(
      writeStun({ method: method.binding, kind: kind.success, transaction, attributes, key: Buffer.from(peer.pwd) }),
      from,
      address,
      ignore,
    );
    peer.checked(address, from, message.attributes.has(attribute.useCandidate));
  }

  socket.on("message", (bytes, { address, port: from }) => {
    // STUN begins with 0 to 3, DTLS with 20 to 63, RTP and RTCP with 128 to 191 (RFC 7983).
    if ((bytes[0] ?? 0xff) < 4) answerCheck(bytes, address, from);
    else byAddress.get(`${address}:${from}`)?.take(bytes);
  });

  function newPeer(onData: (bytes: Buffer) => void, onConnected: () => void): Peer {
    let target: { readonly address: string; readonly port: number } | undefined;
    let lastCheck = 0;
    const peer: Peer = {
      ufrag: randomBytes(8).toString("hex"),
      pwd: randomBytes(16).toString("hex"),
      addresses: [],
      get lastCheck() {
        return lastCheck;
      },
      get connected() {
        return target !== undefined;
      },
      take: onData,
      checked(address, from, chosen) {
        lastCheck = now();
        const first = target === undefined;
        // Until the client says which pair it has chosen, the first that works will do.
        if (first || chosen) target = { address, port: from };
        if (first) onConnected();
      },
      send(bytes) {
        if (target !== undefined) socket.send(bytes, target.port, target.address, ignore);
      },
      close() {
        byUfrag.delete(peer.ufrag);
        for (const name of peer.addresses) if (byAddress.get(name) === peer) byAddress.delete(name);
      },
    };
    byUfrag.set(peer.ufrag, peer);
    return peer;
  }

  return {
    candidates: addressesOf(socket, addresses).map((address) => ({ address, port: socket.address().port })),
    open: newPeer,
    close: () => socket.close(),
  };
}

/** Lost, as datagrams may be. */
const ignore = (): void => undefined;

function addressesOf(socket: Socket, given: readonly string[]): readonly string[] {
  if (given.length > 0) return given;
  const { address } = socket.address();
  if (address !== "0.0.0.0") return [address];
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).filter(({ family, internal }) => family === "IPv4" && !internal).map((one) => one.address),
  );
}
