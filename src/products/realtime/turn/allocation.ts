/**
 * One allocation: a relayed port of this machine, the peers that its client may talk with through it, and what that costs.
 * It ends by its own lifetime, with its credential, or when its client's connection does. Packets past a limit, from a peer
 * without permission or to an address that peers may not have are dropped without a word, as TURN says.
 */
import type { Socket } from "node:dgram";
import { Allowance } from "./allowance.ts";
import type { Address } from "./stun.ts";
import type { TurnLimits } from "./turn-protocol.ts";

/** RFC 8656: 9 and 12. */
const PERMISSION_MS = 300_000;
const CHANNEL_MS = 600_000;
const PERMISSIONS_MAX = 1_000;
/** Peers whose addresses are remembered, so that they do not count as new. */
const KNOWN_PEERS_MAX = 10_000;

export interface AllocationOwner {
  readonly username: string;
  /** When the credential ends, in milliseconds since the epoch. */
  readonly expires: number;
  readonly key: Buffer;
}

export interface AllocationOptions {
  readonly relay: Socket;
  readonly owner: AllocationOwner;
  /** The Allocate request that made it: the same again is the same allocation. */
  readonly transaction: Buffer;
  readonly limits: TurnLimits;
  /** Whether peers may have the address. */
  readonly allows: (address: string) => boolean;
  /** Where packets of peers go. */
  readonly deliver: (peer: Address, channel: number | undefined, payload: Buffer) => void;
  readonly now: () => number;
}

interface Channel {
  readonly number: number;
  readonly peer: Address;
  expires: number;
}

const keyOf = ({ address, port }: Address): string => `${address}:${port}`;

export class Allocation {
  readonly owner: AllocationOwner;
  readonly transaction: Buffer;
  readonly #options: AllocationOptions;
  readonly #permissions = new Map<string, number>();
  readonly #channels = new Map<number, Channel>();
  readonly #channelOf = new Map<string, Channel>();
  readonly #knownPeers = new Set<string>();
  readonly #newPeers: Allowance;
  readonly #packets: readonly [out: Allowance, in_: Allowance];
  readonly #bytes: readonly [out: Allowance, in_: Allowance];
  #expires: number;
  #closed = false;
  /** Bytes between client and server since they were last taken, TURN's own framing included. */
  ingressBytes = 0;
  egressBytes = 0;

  constructor(options: AllocationOptions, lifetimeMs: number) {
    const { relay, owner, transaction, limits, now } = options;
    const at = now();
    this.owner = owner;
    this.transaction = transaction;
    this.#options = options;
    this.#expires = at + lifetimeMs;
    this.#newPeers = new Allowance(limits.newPeersPerS);
    this.#packets = [new Allowance(limits.packetsPerS), new Allowance(limits.packetsPerS)];
    this.#bytes = [new Allowance(limits.bitsPerS / 8), new Allowance(limits.bitsPerS / 8)];
    relay.on("message", (payload, from) => this.#fromPeer(payload, from));
  }

  get relayed(): Address {
    const { address, port } = this.#options.relay.address();
    return { address: this.#options.limits.relayAddress || address, port };
  }

  /** Seconds that are left. */
  get lifetime(): number {
    return Math.max(0, Math.ceil((this.#expires - this.#options.now()) / 1000));
  }

  ended(now: number): boolean {
    return this.#closed || now >= this.#expires || now >= this.owner.expires;
  }

  refresh(lifetimeMs: number): void {
    this.#expires = this.#options.now() + lifetimeMs;
  }

  /** False when the address is none that peers may have, or there are too many. */
  permit(address: string): boolean {
    const now = this.#options.now();
    if (!this.#options.allows(address)) return false;
    if (this.#permissions.size >= PERMISSIONS_MAX)
      for (const [peer, expires] of this.#permissions) if (expires <= now) this.#permissions.delete(peer);
    if (this.#permissions.size >= PERMISSIONS_MAX && !this.#permissions.has(address)) return false;
    this.#permissions.set(address, now + PERMISSION_MS);
    return true;
  }

  /** False when the channel is another peer's, or the peer has another channel. The peer must have permission. */
  bind(number: number, peer: Address): boolean {
    const now = this.#options.now();
    const [byNumber, byPeer] = [this.#live(this.#channels.get(number), now), this.#live(this.#channelOf.get(keyOf(peer)), now)];
    if (byNumber !== byPeer) return false;
    if (byNumber !== undefined) {
      byNumber.expires = now + CHANNEL_MS;
      return true;
    }
    const channel: Channel = { number, peer, expires: now + CHANNEL_MS };
    this.#channels.set(number, channel);
    this.#channelOf.set(keyOf(peer), channel);
    return true;
  }

  #live(channel: Channel | undefined, now: number): Channel | undefined {
    if (channel === undefined || channel.expires > now) return channel;
    this.#channels.delete(channel.number);
    this.#channelOf.delete(keyOf(channel.peer));
    return undefined;
  }

  /** ChannelData of the client. */
  sendOnChannel(number: number, payload: Buffer): void {
    const channel = this.#live(this.#channels.get(number), this.#options.now());
    if (channel !== undefined) this.send(channel.peer, payload);
  }

  /** A packet of the client to a peer, which needs a permission. */
  send(peer: Address, payload: Buffer): void {
    const now = this.#options.now();
    if (this.ended(now) || peer.port === 0 || (this.#permissions.get(peer.address) ?? 0) <= now) return;
    if (!this.#isKnown(peer.address, now) || !this.#packets[0].take(1, now) || !this.#bytes[0].take(payload.length, now)) return;
    // An error is that of an earlier packet, which was lost as packets are.
    this.#options.relay.send(payload, peer.port, peer.address, () => undefined);
  }

  #isKnown(address: string, now: number): boolean {
    if (this.#knownPeers.has(address)) return true;
    if (this.#knownPeers.size >= KNOWN_PEERS_MAX || !this.#newPeers.take(1, now)) return false;
    this.#knownPeers.add(address);
    return true;
  }

  #fromPeer(payload: Buffer, from: Address): void {
    const now = this.#options.now();
    if (this.ended(now) || (this.#permissions.get(from.address) ?? 0) <= now) return;
    if (!this.#packets[1].take(1, now) || !this.#bytes[1].take(payload.length, now)) return;
    this.#options.deliver(from, this.#live(this.#channelOf.get(keyOf(from)), now)?.number, payload);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.relay.removeAllListeners("message");
    this.#options.relay.close();
  }
}
