/**
 * The protocol of TURN (RFC 8656) and STUN (RFC 8489) for clients of any transport: who is asked for a credential, which
 * requests are refused, and what an allocation is told. The sockets are `listeners.ts`'s. UDP over IPv4 is relayed; TCP
 * relays (RFC 6062), IPv6 (RFC 6156) and mobility are refused, as by the real service.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:dgram";
import { isIPv4 } from "node:net";
import { Allocation } from "./allocation.ts";
import {
  type Address,
  attribute,
  errorCode,
  hasIntegrity,
  isChannelData,
  kind,
  longTermKey,
  method,
  parseStun,
  readXorAddress,
  type StunMessage,
  uint32,
  writeChannelData,
  writeStun,
  xorAddress,
} from "./stun.ts";
import type { TurnCredential, TurnLimits, TurnUsage } from "./turn-protocol.ts";

/** One client: an address and a transport, by which an allocation is found. */
export interface Client {
  readonly remote: Address;
  readonly stream: boolean;
  send(bytes: Buffer): void;
  /** Ends a client's connection; one of UDP has none. */
  close(): void;
  allocation: Allocation | undefined;
}

export interface TurnServerOptions {
  readonly realm: string;
  readonly limits: TurnLimits;
  /** Undefined for a name that is not known, is revoked or has expired. */
  readonly credential: (username: string) => Promise<TurnCredential | undefined>;
  /** Binds a relay's port; undefined when there is none. `even`: an even one, and with "pair" the next one too. */
  readonly openRelay: (even: boolean, pair: boolean) => Promise<readonly [Socket, Socket?] | undefined>;
  readonly allowsPeer: (address: string) => boolean;
  readonly now: () => number;
}

export type TurnServer = ReturnType<typeof createTurnServer>;

const SOFTWARE = Buffer.from("Freehold");
const LIFETIME_S = 600;
const LIFETIME_MAX_S = 3600;
const NONCE_MS = 3_600_000;
const RESERVED_MS = 30_000;
/** Of RFC 5766; RFC 8656 has fewer, and clients in use still take the others. */
const [CHANNEL_FIRST, CHANNEL_LAST] = [0x4000, 0x7ffe];
const UDP_PROTOCOL = 17;
const IPV4_FAMILY = 1;

class Refusal extends Error {
  readonly code: number;
  readonly attributes: readonly (readonly [number, Buffer])[];

  constructor(code: number, reason: string, attributes: readonly (readonly [number, Buffer])[] = []) {
    super(reason);
    this.code = code;
    this.attributes = attributes;
  }
}

interface Authorized {
  readonly client: Client;
  readonly message: StunMessage;
  readonly credential: TurnCredential;
  readonly key: Buffer;
}

export function createTurnServer(options: TurnServerOptions) {
  const { realm, limits, now } = options;
  const nonceKey = randomBytes(32);
  const clients = new Set<Client>();
  const reserved = new Map<string, { readonly relay: Socket; readonly expires: number }>();
  let opening = 0;

  const nonceOf = (expires: string): string => expires + createHmac("sha256", nonceKey).update(expires).digest("hex").slice(0, 24);
  const newNonce = (): string =>
    nonceOf(
      Math.floor((now() + NONCE_MS) / 1000)
        .toString(16)
        .padStart(10, "0"),
    );
  function isFresh(nonce: string): boolean {
    const expected = Buffer.from(nonceOf(nonce.slice(0, 10)));
    const given = Buffer.from(nonce);
    return given.length === expected.length && timingSafeEqual(given, expected) && Number.parseInt(nonce.slice(0, 10), 16) * 1000 > now();
  }
  const challenge = (code: number, reason: string): Refusal =>
    new Refusal(code, reason, [
      [attribute.realm, Buffer.from(realm)],
      [attribute.nonce, Buffer.from(newNonce())],
    ]);

  function reply({ method: number, transaction }: StunMessage, attributes: readonly (readonly [number, Buffer])[], key?: Buffer): Buffer {
    return writeStun({ method: number, kind: kind.success, transaction, attributes: [...attributes, [attribute.software, SOFTWARE]], key });
  }

  function refuse({ method: number, transaction }: StunMessage, { code, message, attributes }: Refusal, key?: Buffer): Buffer {
    const all = [[attribute.errorCode, errorCode(code, message)] as const, ...attributes, [attribute.software, SOFTWARE] as const];
    return writeStun({ method: number, kind: kind.error, transaction, attributes: all, key });
  }

  /** Steps of RFC 8489, 9.2.4. */
  async function authorize(client: Client, message: StunMessage): Promise<Authorized> {
    const text = (type: number): string | undefined => message.attributes.get(type)?.toString();
    if (message.integrityAt === -1) throw challenge(401, "Unauthorized");
    const [username, nonce] = [text(attribute.username), text(attribute.nonce)];
    if (username === undefined || nonce === undefined || text(attribute.realm) === undefined) throw new Refusal(400, "Bad Request");
    if (!isFresh(nonce)) throw challenge(438, "Stale Nonce");
    const credential = username.length > 512 ? undefined : await options.credential(username);
    if (credential === undefined || credential.expires <= now()) throw challenge(401, "Unauthorized");
    const key = longTermKey(username, realm, credential.password);
    if (!hasIntegrity(message, key)) throw challenge(401, "Unauthorized");
    if (client.allocation !== undefined && client.allocation.owner.username !== username) throw new Refusal(441, "Wrong Credentials");
    return { client, message, credential, key };
  }

  async function takeRequest(client: Client, message: StunMessage): Promise<Buffer> {
    if (message.unknown.length > 0) {
      const list = Buffer.concat(message.unknown.map((type) => uint32(type).subarray(2)));
      return refuse(message, new Refusal(420, "Unknown Attribute", [[attribute.unknownAttributes, list]]));
    }
    if (message.method === method.binding)
      return reply(message, [[attribute.xorMappedAddress, xorAddress(client.remote, message.transaction)]]);
    let key: Buffer | undefined;
    try {
      const authorized = await authorize(client, message);
      key = authorized.key;
      return reply(message, await handle(authorized), key);
    } catch (error) {
      if (error instanceof Refusal) return refuse(message, error, key);
      throw error;
    }
  }

  function handle(authorized: Authorized): readonly (readonly [number, Buffer])[] | Promise<readonly (readonly [number, Buffer])[]> {
    switch (authorized.message.method) {
      case method.allocate:
        return allocate(authorized);
      case method.refresh:
        return refresh(authorized);
      case method.createPermission:
        return createPermission(authorized);
      case method.channelBind:
        return bindChannel(authorized);
      case method.connect:
      case method.connectionBind:
        throw new Refusal(403, "TCP relays are not supported");
      default:
        throw new Refusal(400, "Bad Request");
    }
  }

  async function allocate({ client, message, credential, key }: Authorized): Promise<readonly (readonly [number, Buffer])[]> {
    const { attributes, transaction } = message;
    if (client.allocation !== undefined) {
      // The request once more, whose answer was lost.
      if (client.allocation.transaction.equals(transaction)) return allocated(client, client.allocation, transaction);
      throw new Refusal(437, "Allocation Mismatch");
    }
    const protocol = attributes.get(attribute.requestedTransport);
    if (protocol?.length !== 4) throw new Refusal(400, "Bad Request");
    if (protocol[0] !== UDP_PROTOCOL) throw new Refusal(442, "Unsupported Transport Protocol");
    const [family, evenPort, token] = [
      attributes.get(attribute.requestedAddressFamily),
      attributes.get(attribute.evenPort),
      attributes.get(attribute.reservationToken),
    ];
    if (token !== undefined && (evenPort !== undefined || family !== undefined)) throw new Refusal(400, "Bad Request");
    if (family !== undefined && family[0] !== IPV4_FAMILY) throw new Refusal(440, "Address Family not Supported");
    if (clients.size + opening >= limits.allocationsMax) throw new Refusal(486, "Allocation Quota Reached");
    const lifetime = lifetimeOf(attributes.get(attribute.lifetime));
    opening++;
    try {
      const pair = evenPort !== undefined && ((evenPort[0] ?? 0) & 0x80) !== 0;
      const relays = token === undefined ? await options.openRelay(evenPort !== undefined, pair) : claim(token);
      if (relays === undefined) throw new Refusal(508, "Insufficient Capacity");
      const [relay, second] = relays;
      // The same client asked twice at once: the first has it.
      if (client.allocation !== undefined) {
        relay.close();
        second?.close();
        throw new Refusal(437, "Allocation Mismatch");
      }
      const allocation = new Allocation(
        {
          ...{ relay, transaction, limits, now },
          owner: { username: credential.username, expires: credential.expires, key },
          allows: options.allowsPeer,
          deliver: (peer, channel, payload) => deliver(client, allocation, peer, channel, payload),
        },
        lifetime * 1000,
      );
      client.allocation = allocation;
      clients.add(client);
      return [...allocated(client, allocation, transaction), ...(second === undefined ? [] : [reserve(second)])];
    } finally {
      opening--;
    }
  }

  const allocated = (client: Client, allocation: Allocation, transaction: Buffer): (readonly [number, Buffer])[] => [
    [attribute.xorRelayedAddress, xorAddress(allocation.relayed, transaction)],
    [attribute.lifetime, uint32(allocation.lifetime)],
    [attribute.xorMappedAddress, xorAddress(client.remote, transaction)],
  ];

  function reserve(relay: Socket): readonly [number, Buffer] {
    const token = randomBytes(8);
    reserved.set(token.toString("hex"), { relay, expires: now() + RESERVED_MS });
    return [attribute.reservationToken, token];
  }

  function claim(token: Buffer): readonly [Socket] | undefined {
    const name = token.toString("hex");
    const found = reserved.get(name);
    reserved.delete(name);
    return found && [found.relay];
  }

  /** Not longer than allowed, and never shorter than the usual (RFC 8656, 7.2). */
  function lifetimeOf(asked: Buffer | undefined): number {
    return asked?.length === 4 ? Math.min(LIFETIME_MAX_S, Math.max(LIFETIME_S, asked.readUInt32BE(0))) : LIFETIME_S;
  }

  function refresh({ client, message }: Authorized): readonly (readonly [number, Buffer])[] {
    const allocation = ofClient(client);
    const family = message.attributes.get(attribute.requestedAddressFamily);
    if (family !== undefined && family[0] !== IPV4_FAMILY) throw new Refusal(443, "Peer Address Family Mismatch");
    const asked = message.attributes.get(attribute.lifetime);
    if (asked?.length === 4 && asked.readUInt32BE(0) === 0) {
      end(client);
      return [[attribute.lifetime, uint32(0)]];
    }
    allocation.refresh(lifetimeOf(asked) * 1000);
    return [[attribute.lifetime, uint32(allocation.lifetime)]];
  }

  function ofClient(client: Client): Allocation {
    if (client.allocation === undefined || client.allocation.ended(now())) throw new Refusal(437, "Allocation Mismatch");
    return client.allocation;
  }

  function createPermission({ client, message }: Authorized): readonly [] {
    const allocation = ofClient(client);
    if (message.peers.length === 0 || message.peers.includes(undefined)) throw new Refusal(400, "Bad Request");
    // All or none of them.
    for (const peer of message.peers as Address[]) {
      if (!isIPv4(peer.address)) throw new Refusal(443, "Peer Address Family Mismatch");
      if (!options.allowsPeer(peer.address)) throw new Refusal(403, "Forbidden");
    }
    for (const peer of message.peers as Address[]) if (!allocation.permit(peer.address)) throw new Refusal(508, "Insufficient Capacity");
    return [];
  }

  function bindChannel({ client, message }: Authorized): readonly [] {
    const allocation = ofClient(client);
    const asked = message.attributes.get(attribute.channelNumber);
    const number = asked?.length === 4 ? asked.readUInt16BE(0) : undefined;
    const [peer] = message.peers;
    if (peer === undefined || number === undefined || number < CHANNEL_FIRST || number > CHANNEL_LAST)
      throw new Refusal(400, "Bad Request");
    if (!isIPv4(peer.address)) throw new Refusal(443, "Peer Address Family Mismatch");
    if (!options.allowsPeer(peer.address)) throw new Refusal(403, "Forbidden");
    if (!allocation.permit(peer.address)) throw new Refusal(508, "Insufficient Capacity");
    if (!allocation.bind(number, peer)) throw new Refusal(400, "Bad Request");
    return [];
  }

  function deliver(client: Client, allocation: Allocation, peer: Address, channel: number | undefined, payload: Buffer): void {
    let bytes: Buffer;
    if (channel !== undefined) bytes = writeChannelData(channel, payload, client.stream);
    else {
      const message = { method: method.data, kind: kind.indication, transaction: randomBytes(12) };
      const attributes = [[attribute.xorPeerAddress, xorAddress(peer, message.transaction)] as const, [attribute.data, payload] as const];
      bytes = writeStun({ ...message, attributes });
    }
    allocation.egressBytes += bytes.length;
    client.send(bytes);
  }

  function takeIndication({ allocation }: Client, message: StunMessage): void {
    if (message.method !== method.send || message.unknown.length > 0) return;
    const value = message.attributes.get(attribute.xorPeerAddress);
    const peer = value && readXorAddress(value, message.transaction);
    const payload = message.attributes.get(attribute.data);
    if (peer !== undefined && payload !== undefined) allocation?.send(peer, payload);
  }

  function end(client: Client): void {
    const { allocation } = client;
    if (allocation === undefined) return;
    clients.delete(client);
    keepUsage(allocation);
    client.allocation = undefined;
    allocation.close();
  }

  /** What ended allocations moved, until it is told. */
  const ended = new Map<string, { ingressBytes: number; egressBytes: number }>();
  function keepUsage({ owner, ingressBytes, egressBytes }: Allocation): void {
    const sum = ended.get(owner.username) ?? { ingressBytes: 0, egressBytes: 0 };
    ended.set(owner.username, { ingressBytes: sum.ingressBytes + ingressBytes, egressBytes: sum.egressBytes + egressBytes });
  }

  return {
    /** One message or frame of a client. Never throws for what a client sends. */
    async receive(client: Client, bytes: Buffer): Promise<void> {
      if (client.allocation !== undefined) client.allocation.ingressBytes += bytes.length;
      if (isChannelData(bytes)) {
        const length = bytes.length >= 4 ? bytes.readUInt16BE(2) : 0;
        if (bytes.length >= 4 + length) client.allocation?.sendOnChannel(bytes.readUInt16BE(0), bytes.subarray(4, 4 + length));
        return;
      }
      const message = parseStun(bytes);
      if (message?.kind === kind.indication) return takeIndication(client, message);
      if (message?.kind !== kind.request) return;
      const answer = await takeRequest(client, message);
      if (client.allocation !== undefined) client.allocation.egressBytes += answer.length;
      client.send(answer);
    },
    /** The client's connection has ended. */
    gone: end,
    /** Ends allocations whose time is over, and reservations; called every second. */
    sweep(): void {
      const at = now();
      for (const client of clients) {
        if (client.allocation?.ended(at) !== true) continue;
        end(client);
        client.close();
      }
      for (const [token, { relay, expires }] of reserved) {
        if (expires > at) continue;
        reserved.delete(token);
        relay.close();
      }
    },
    revoke(usernames: ReadonlySet<string>): void {
      for (const client of clients) {
        if (!usernames.has(client.allocation?.owner.username ?? "")) continue;
        end(client);
        client.close();
      }
    },
    /** What was moved since the last call, by credential. */
    takeUsage(): TurnUsage[] {
      const sums = new Map<string, TurnUsage>();
      const add = (username: string, ingressBytes: number, egressBytes: number, connections: number): void => {
        const sum = sums.get(username) ?? { username, ingressBytes: 0, egressBytes: 0, connections: 0 };
        sums.set(username, {
          username,
          ingressBytes: sum.ingressBytes + ingressBytes,
          egressBytes: sum.egressBytes + egressBytes,
          connections: sum.connections + connections,
        });
      };
      for (const [username, { ingressBytes, egressBytes }] of ended) add(username, ingressBytes, egressBytes, 0);
      ended.clear();
      for (const { allocation } of clients) {
        if (allocation === undefined) continue;
        add(allocation.owner.username, allocation.ingressBytes, allocation.egressBytes, 1);
        allocation.ingressBytes = allocation.egressBytes = 0;
      }
      return [...sums.values()];
    },
    close(): void {
      for (const client of clients) {
        end(client);
        client.close();
      }
      for (const { relay } of reserved.values()) relay.close();
      reserved.clear();
    },
  };
}
