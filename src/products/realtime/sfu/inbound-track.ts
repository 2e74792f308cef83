/**
 * A track that a client sends: one stream, or several layers of a simulcast, each with its losses, its reports and its
 * subscribers. Packets go on as they come; what is missing is asked for again.
 */
import { RtcpReceiverInfo, type RtcpSrPacket } from "werift";
import { nack, pli, type Written } from "./rtcp.ts";
import { isAfter, type RtpPacket } from "./rtp.ts";
import type { Codec } from "./sdp.ts";

/** What a layer gives to a subscriber. */
export interface Subscriber {
  packet(layer: Layer, packet: RtpPacket, codec: Codec): void;
  /** The publisher's clock: how its timestamps are to be read. */
  report(layer: Layer, report: RtcpSrPacket): void;
  ended(): void;
}

const LOST_MAX = 256;
const NACK_AFTER_MS = 20;
const NACK_EVERY_MS = 60;
const NACK_TRIES = 8;
const PLI_EVERY_MS = 500;
/** A layer that was silent for so long is not there. */
export const LIVE_MS = 2_000;
const RATE_MS = 1_000;

export class Layer {
  readonly rid: string;
  readonly clockRate: number;
  ssrc = 0;
  rtxSsrc = 0;
  lastPacketAt = Number.NEGATIVE_INFINITY;
  /** Bits of a second, as far as they were measured. */
  bitrate = 0;
  #highest = -1;
  #cycles = 0;
  #base = 0;
  #received = 0;
  #expectedBefore = 0;
  #receivedBefore = 0;
  #jitter = 0;
  #transit = 0;
  #rateBytes = 0;
  #rateSince = 0;
  #sr = { compact: 0, at: 0 };
  readonly #lost = new Map<number, { next: number; tries: number }>();

  constructor(rid: string, clockRate: number) {
    this.rid = rid;
    this.clockRate = clockRate;
  }

  /** `bytes`: as they came. */
  note({ sequence, timestamp }: RtpPacket, bytes: number, now: number): void {
    this.lastPacketAt = now;
    this.#received++;
    this.#rateBytes += bytes;
    if (now - this.#rateSince >= RATE_MS) {
      this.bitrate = (this.#rateBytes * 8000) / Math.max(RATE_MS, now - this.#rateSince);
      this.#rateBytes = 0;
      this.#rateSince = now;
    }
    const transit = (now * this.clockRate) / 1000 - timestamp;
    const change = Math.abs(transit - this.#transit);
    // A jump of minutes is a wrap or another clock.
    if (this.#transit !== 0 && change < 60 * this.clockRate) this.#jitter += (change - this.#jitter) / 16;
    this.#transit = transit;
    if (this.#highest === -1) this.#base = this.#highest = sequence;
    else if (isAfter(sequence, this.#highest)) {
      const gap = ((sequence - this.#highest) & 0xffff) - 1;
      if (gap <= LOST_MAX)
        for (let i = 1; i <= gap; i++) this.#lost.set((this.#highest + i) & 0xffff, { next: now + NACK_AFTER_MS, tries: 0 });
      if (sequence < this.#highest) this.#cycles++;
      this.#highest = sequence;
    } else this.#lost.delete(sequence);
    for (const name of this.#lost.keys()) {
      if (this.#lost.size <= LOST_MAX) break;
      this.#lost.delete(name);
    }
  }

  noteReport({ senderInfo }: RtcpSrPacket, now: number): void {
    this.#sr = { compact: Number((senderInfo.ntpTimestamp >> 16n) & 0xffffffffn), at: now };
  }

  /** What is to be asked for again now. */
  takeLost(now: number): number[] {
    const due: number[] = [];
    for (const [sequence, state] of this.#lost) {
      if (state.next > now) continue;
      due.push(sequence);
      state.tries++;
      state.next = now + NACK_EVERY_MS;
      if (state.tries >= NACK_TRIES) this.#lost.delete(sequence);
    }
    return due;
  }

  /** The block of a receiver report. */
  report(now: number): RtcpReceiverInfo {
    const highest = this.#cycles * 0x10000 + this.#highest;
    const expected = highest - this.#base + 1;
    const lostNow = expected - this.#expectedBefore - (this.#received - this.#receivedBefore);
    const share = expected === this.#expectedBefore ? 0 : lostNow / (expected - this.#expectedBefore);
    this.#expectedBefore = expected;
    this.#receivedBefore = this.#received;
    return new RtcpReceiverInfo({
      ssrc: this.ssrc,
      fractionLost: Math.max(0, Math.min(255, Math.floor(share * 256))),
      packetsLost: Math.max(0, Math.min(0x7fffff, expected - this.#received)),
      highestSequence: highest >>> 0,
      jitter: Math.floor(this.#jitter),
      lsr: this.#sr.compact,
      dlsr: this.#sr.at === 0 ? 0 : Math.floor(((now - this.#sr.at) * 65_536) / 1000) >>> 0,
    });
  }
}

export interface InboundOptions {
  readonly name: string;
  readonly kind: "audio" | "video";
  readonly mid: string;
  readonly codecs: readonly Codec[];
  /** RIDs of its layers; none for a track of one. */
  readonly rids: readonly string[];
  /** Sends control packets to the client. */
  readonly control: (packets: readonly Written[]) => void;
  readonly now: () => number;
}

export class InboundTrack {
  readonly name: string;
  readonly kind: "audio" | "video";
  readonly mid: string;
  readonly layers: ReadonlyMap<string, Layer>;
  readonly subscribers = new Set<Subscriber>();
  readonly openedAt: number;
  codecs: readonly Codec[];
  closed = false;
  readonly #options: InboundOptions;
  readonly #asked = new Map<Layer, number>();

  constructor(options: InboundOptions) {
    const { name, kind, mid, codecs, rids, now } = options;
    this.#options = options;
    this.name = name;
    this.kind = kind;
    this.mid = mid;
    this.codecs = codecs;
    this.openedAt = now();
    const clockRate = codecs[0]?.clockRate ?? 90_000;
    this.layers = new Map((rids.length === 0 ? [""] : rids).map((rid) => [rid, new Layer(rid, clockRate)]));
  }

  get lastPacketAt(): number {
    return Math.max(...[...this.layers.values()].map((layer) => layer.lastPacketAt));
  }

  /** Layers that are being sent, the best first: rids are in the order of their letters. */
  get live(): Layer[] {
    const since = this.#options.now() - LIVE_MS;
    return [...this.layers.values()].filter(({ lastPacketAt }) => lastPacketAt >= since).sort((a, b) => (a.rid < b.rid ? -1 : 1));
  }

  packet(layer: Layer, packet: RtpPacket, bytes: number): void {
    const codec = this.codecs.find(({ payloadType }) => payloadType === packet.payloadType);
    if (this.closed || codec === undefined || codec.name === "rtx") return;
    layer.note(packet, bytes, this.#options.now());
    for (const subscriber of this.subscribers) subscriber.packet(layer, packet, codec);
  }

  report(layer: Layer, report: RtcpSrPacket): void {
    layer.noteReport(report, this.#options.now());
    for (const subscriber of this.subscribers) subscriber.report(layer, report);
  }

  /** Not more often than an encoder can bear: one request serves all subscribers. */
  askKeyframe(layer: Layer): void {
    const now = this.#options.now();
    if (this.kind !== "video" || layer.ssrc === 0 || now - (this.#asked.get(layer) ?? Number.NEGATIVE_INFINITY) < PLI_EVERY_MS) return;
    this.#asked.set(layer, now);
    this.#options.control([pli(1, layer.ssrc)]);
  }

  /** Asks for what is missing; called every few milliseconds. */
  askLost(): void {
    if (this.kind !== "video") return;
    for (const layer of this.layers.values()) {
      const lost = layer.takeLost(this.#options.now());
      if (lost.length > 0) this.#options.control([nack(1, layer.ssrc, lost)]);
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const subscriber of [...this.subscribers]) subscriber.ended();
    this.subscribers.clear();
  }
}
