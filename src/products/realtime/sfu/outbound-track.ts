/**
 * A track that a client receives: the packets of one layer of an inbound track, with numbers of their own, so that the
 * client sees one stream whichever layer it is. A change of layer waits for a picture that can be decoded by itself. What
 * the client misses is sent again from here.
 */
import { RtcpSenderInfo, RtcpSrPacket } from "werift";
import { OUTBOUND } from "./codecs.ts";
import type { InboundTrack, Layer, Subscriber } from "./inbound-track.ts";
import { absSendTime, FORWARDED, isAfter, type RtpPacket, startsKeyframe, uri, writeRtpHeader } from "./rtp.ts";
import type { Codec } from "./sdp.ts";
import type { Transport } from "./transport.ts";

export interface Simulcast {
  readonly preferredRid?: string | undefined;
  readonly priorityOrdering?: "none" | "asciibetical" | undefined;
  readonly ridNotAvailable?: "none" | "asciibetical" | undefined;
}

/** The session that a track comes from. */
export interface Publisher {
  readonly id: string;
  /** Ids of its header extensions by their names. */
  readonly extensionIds: ReadonlyMap<string, number>;
}

export interface OutboundOptions {
  readonly mid: string;
  readonly ssrc: number;
  readonly rtxSsrc: number;
  readonly transport: Transport;
  readonly now: () => number;
}

interface Sent {
  readonly sequence: number;
  readonly payloadType: number;
  readonly marker: boolean;
  readonly timestamp: number;
  readonly payload: Buffer;
}

const HISTORY = 512;
/** A better layer is tried when all was well for so long; each time that it was too much, for twice as long. */
const RAISE_AFTER_MS = 5_000;
const RAISE_AFTER_MAX_MS = 60_000;
/** A layer that had to be left this soon was too much. */
const TOO_MUCH_MS = 8_000;
const LOSS_TOO_MUCH = 0.1;

const ID_OF = new Map(OUTBOUND.map(({ id, uri: name }) => [name, id]));

export class OutboundTrack implements Subscriber {
  readonly mid: string;
  readonly ssrc: number;
  readonly rtxSsrc: number;
  readonly #options: OutboundOptions;
  readonly #mid: Buffer;
  source: InboundTrack | undefined;
  /** Where it comes from, also when that is gone. */
  origin: { readonly sessionId: string; readonly trackName: string } | undefined;
  simulcast: Simulcast;
  /** From the track's payload types to the session's, for what the client accepted. */
  types: ReadonlyMap<number, number> = new Map();
  /** From the session's payload types to those of their retransmissions. */
  rtxTypes: ReadonlyMap<number, number> = new Map();
  /** Numbers of header extensions: of our offer, or of the client's that is answered. */
  extensionIds: ReadonlyMap<string, number> = ID_OF;
  /** From ids of the publisher's extensions to the session's, for those that go through. */
  #forwarded: ReadonlyMap<number, number> = new Map();
  #current: Layer | undefined;
  #wanted: Layer | undefined;
  #sequenceOffset = 0;
  #timestampOffset = 0;
  #first = 0;
  #last: { sequence: number; timestamp: number; at: number } | undefined;
  #rtxSequence = 0;
  #packets = 0;
  /** Since the layer began. */
  #ofLayer = 0;
  #octets = 0;
  #sinceChange = 0;
  #raiseAfter = RAISE_AFTER_MS;
  #loss = 0;
  readonly #history: (Sent | undefined)[] = [];

  constructor(options: OutboundOptions, simulcast: Simulcast) {
    this.#options = options;
    this.mid = options.mid;
    this.ssrc = options.ssrc;
    this.rtxSsrc = options.rtxSsrc;
    this.#mid = Buffer.from(options.mid);
    this.simulcast = simulcast;
  }

  /** Begins, or goes on with another track. */
  attach(source: InboundTrack, publisher: Publisher, types: ReadonlyMap<number, number>): void {
    this.detach();
    this.source = source;
    this.origin = { sessionId: publisher.id, trackName: source.name };
    this.types = types;
    this.#forwarded = new Map(
      FORWARDED.flatMap((name) => {
        const from = publisher.extensionIds.get(name);
        const to = this.extensionIds.get(name);
        return from === undefined || to === undefined ? [] : [[from, to] as const];
      }),
    );
    source.subscribers.add(this);
    this.choose(Number.POSITIVE_INFINITY);
  }

  detach(): void {
    this.source?.subscribers.delete(this);
    this.source = this.#current = this.#wanted = undefined;
  }

  ended(): void {
    this.source = this.#current = this.#wanted = undefined;
  }

  /** Bits a second of what is sent now. */
  get bitrate(): number {
    return this.#current?.bitrate ?? 0;
  }

  get rid(): string | undefined {
    return this.#current?.rid;
  }

  /** The share of packets that the client says it lost. */
  noteLoss(share: number): void {
    this.#loss = share;
  }

  /** The client cannot go on without a whole picture. */
  keyframeNeeded(): void {
    const layer = this.#wanted ?? this.#current;
    if (layer !== undefined) this.source?.askKeyframe(layer);
  }

  /** Decides which layer is to be sent; `budget` is what the client's connection bears, for this track. */
  choose(budget: number): void {
    const { source } = this;
    if (source === undefined) return;
    const live = source.live;
    const now = this.#options.now();
    const next = source.layers.size === 1 ? live[0] : this.#select(live, budget, now);
    if (next === undefined || next === this.#wanted || (next === this.#current && this.#wanted === undefined)) return;
    this.#wanted = next === this.#current ? undefined : next;
    this.keyframeNeeded();
  }

  #select(live: readonly Layer[], budget: number, now: number): Layer | undefined {
    const { preferredRid, priorityOrdering, ridNotAvailable } = this.simulcast;
    const automatic = priorityOrdering === "asciibetical" || (preferredRid === undefined && priorityOrdering === undefined);
    const at = preferredRid === undefined ? 0 : live.findIndex(({ rid }) => rid === preferredRid);
    if (at === -1) {
      if (ridNotAvailable !== "asciibetical" && !automatic) return undefined;
      return live.find(({ rid }) => rid > (preferredRid as string)) ?? live.at(-1);
    }
    if (!automatic) return live[at];
    const allowed = live.slice(at);
    const current = allowed.find((layer) => layer === this.#current);
    if (current === undefined) return allowed.find(({ bitrate }) => bitrate <= budget) ?? allowed.at(-1);
    const index = allowed.indexOf(current);
    if (current.bitrate > budget || this.#loss > LOSS_TOO_MUCH) {
      const lower = allowed.slice(index + 1).find(({ bitrate }) => bitrate <= budget) ?? allowed.at(-1);
      if (lower !== current && now - this.#sinceChange < TOO_MUCH_MS) this.#raiseAfter = Math.min(2 * this.#raiseAfter, RAISE_AFTER_MAX_MS);
      return lower;
    }
    // What a connection bears shows only when it is tried: the client cannot know more than it was sent.
    return index > 0 && now - this.#sinceChange >= this.#raiseAfter ? allowed[index - 1] : current;
  }

  packet(layer: Layer, packet: RtpPacket, codec: Codec): void {
    const payloadType = this.types.get(packet.payloadType);
    if (payloadType === undefined) return;
    if (this.#current === undefined && this.#wanted === undefined) this.choose(Number.POSITIVE_INFINITY);
    if (layer !== this.#current) {
      if (layer !== this.#wanted) return;
      if (!startsKeyframe(codec.name, packet.payload)) {
        this.source?.askKeyframe(layer);
        return;
      }
      this.#change(layer, packet);
    }
    // Older than the picture that the layer began with.
    if (packet.sequence !== this.#first && !isAfter(packet.sequence, this.#first) && this.#ofLayer < 0x4000) return;
    const sequence = (packet.sequence + this.#sequenceOffset) & 0xffff;
    const timestamp = (packet.timestamp + this.#timestampOffset) >>> 0;
    const now = this.#options.now();
    if (this.#last === undefined || isAfter(sequence, this.#last.sequence)) this.#last = { sequence, timestamp, at: now };
    const { marker, payload } = packet;
    const extensions: [number, Buffer][] = [];
    for (const [from, to] of this.#forwarded) {
      const value = packet.extensions.get(from);
      if (value !== undefined) extensions.push([to, value]);
    }
    this.#send(this.ssrc, sequence, { payloadType, marker, timestamp, payload }, extensions);
    this.#packets++;
    this.#ofLayer++;
    this.#octets += payload.length;
    if (layer.clockRate === 90_000) this.#history[sequence % HISTORY] = { sequence, payloadType, marker, timestamp, payload };
  }

  #change(layer: Layer, { sequence, timestamp }: RtpPacket): void {
    const now = this.#options.now();
    this.#current = layer;
    this.#wanted = undefined;
    this.#sinceChange = now;
    this.#loss = 0;
    this.#ofLayer = 0;
    this.#first = sequence;
    if (this.#last === undefined) {
      this.#sequenceOffset = this.#timestampOffset = 0;
      return;
    }
    // The client sees no gap; as much time as has passed.
    const elapsed = Math.max(1, Math.round(((now - this.#last.at) * layer.clockRate) / 1000));
    this.#sequenceOffset = (this.#last.sequence + 1 - sequence) & 0xffff;
    this.#timestampOffset = (this.#last.timestamp + elapsed - timestamp) >>> 0;
  }

  #send(
    ssrc: number,
    sequence: number,
    { payloadType, marker, timestamp, payload }: Omit<Sent, "sequence">,
    extensions: readonly (readonly [number, Buffer])[],
  ): void {
    const own = [
      [this.extensionIds.get(uri.mid), this.#mid],
      [this.extensionIds.get(uri.absSendTime), absSendTime(this.#options.now())],
    ] as const;
    const all = [...own.flatMap(([id, value]) => (id === undefined ? [] : [[id, value] as const])), ...extensions];
    const header = writeRtpHeader({ payloadType, marker, sequence, timestamp, ssrc, extensions: all });
    this.#options.transport.sendRtp(header, ssrc, sequence, payload);
  }

  /** The client has lost these. */
  resend(lost: readonly number[]): void {
    for (const sequence of lost) {
      const sent = this.#history[sequence % HISTORY];
      const payloadType = sent === undefined ? undefined : this.rtxTypes.get(sent.payloadType);
      if (sent === undefined || sent.sequence !== sequence || payloadType === undefined) continue;
      const original = Buffer.alloc(2);
      original.writeUInt16BE(sequence);
      this.#rtxSequence = (this.#rtxSequence + 1) & 0xffff;
      this.#send(this.rtxSsrc, this.#rtxSequence, { ...sent, payloadType, payload: Buffer.concat([original, sent.payload]) }, []);
    }
  }

  report(layer: Layer, { senderInfo }: RtcpSrPacket): void {
    if (layer !== this.#current) return;
    const rtpTimestamp = (senderInfo.rtpTimestamp + this.#timestampOffset) >>> 0;
    const { ntpTimestamp } = senderInfo;
    const info = new RtcpSenderInfo({ ntpTimestamp, rtpTimestamp, packetCount: this.#packets >>> 0, octetCount: this.#octets >>> 0 });
    this.#options.transport.sendRtcp([new RtcpSrPacket({ ssrc: this.ssrc, senderInfo: info })]);
  }
}
