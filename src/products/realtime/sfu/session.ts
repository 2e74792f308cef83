/**
 * One session: one peer connection of one client, with its media sections as both sides have agreed on them, the tracks in
 * them, and the packets of both directions. Who may do what with which session is `sfu.ts`'s.
 */
import { randomInt } from "node:crypto";
import {
  GenericNack,
  PictureLossIndication,
  ReceiverEstimatedMaxBitrate,
  type RTCCertificate,
  type RtcpPacket,
  RtcpPayloadSpecificFeedback,
  RtcpRrPacket,
  RtcpSrPacket,
  RtcpTransportLayerFeedback,
} from "werift";
import { RtcError } from "../errors.ts";
import { Allowance } from "../turn/allowance.ts";
import { acceptCodecs, acceptExtensions, aptOf, DEFAULT_CODECS, OUTBOUND, PayloadTypes } from "./codecs.ts";
import type { IceSocket } from "./ice-lite.ts";
import { InboundTrack, type Layer } from "./inbound-track.ts";
import { OutboundTrack, type Simulcast } from "./outbound-track.ts";
import { remb, type Written } from "./rtcp.ts";
import { type RtpPacket, uri } from "./rtp.ts";
import {
  type Codec,
  type Description,
  type Direction,
  type Extension,
  type Kind,
  type MediaSection,
  parseSdp,
  SdpError,
  writeSdp,
} from "./sdp.ts";
import { MESSAGE_MAX_BYTES, Transport } from "./transport.ts";

export interface SessionOptions {
  readonly id: string;
  readonly socket: IceSocket;
  readonly certificate: RTCCertificate;
  /** Most bits a second that its client may send. */
  readonly bitsPerS: number;
  readonly now: () => number;
  readonly onClosed: () => void;
}

export interface Section {
  readonly mid: string;
  readonly kind: Kind;
  rejected: boolean;
  direction: Direction;
  codecs: readonly Codec[];
  extensions: readonly Extension[];
  recvRids: readonly string[];
  inbound: InboundTrack | undefined;
  outbound: OutboundTrack | undefined;
  /** What the client last said of it. */
  remote: MediaSection | undefined;
}

interface Source {
  readonly track: InboundTrack;
  readonly layer: Layer;
  readonly repair: boolean;
}

/** A layer's stream and its repairs; more are not the client's description's. */
const SOURCES_MAX = 1_000;

export class Session {
  readonly id: string;
  readonly openedAt: number;
  readonly transport: Transport;
  readonly sections: Section[] = [];
  readonly #options: SessionOptions;
  readonly #types = new PayloadTypes();
  readonly #sources = new Map<number, Source>();
  readonly #outbound = new Map<number, OutboundTrack>();
  readonly #allowance: Allowance;
  /** Ids of the client's header extensions: one number means the same in all sections. */
  readonly #extensionIds = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #version = 1;
  #connectedAt = Number.POSITIVE_INFINITY;
  #estimate = Number.POSITIVE_INFINITY;
  closed = false;
  /** An offer of ours has no answer yet. */
  offering = false;

  constructor(options: SessionOptions) {
    const { id, socket, certificate, now, bitsPerS } = options;
    this.#options = options;
    this.id = id;
    this.openedAt = now();
    this.#allowance = new Allowance(bitsPerS / 8);
    this.transport = new Transport(socket, certificate, {
      onRtp: (packet, bytes) => this.#onRtp(packet, bytes),
      onRtcp: (packet) => this.#onRtcp(packet),
      onConnected: () => {
        this.#connectedAt = this.#options.now();
        this.#wake();
      },
      onClosed: () => this.#close(),
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Whether media can flow within the time. */
  async connected(withinMs: number): Promise<boolean> {
    if (!this.transport.connected && !this.closed) {
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, withinMs);
        this.#waiting.add(() => {
          clearTimeout(late);
          resolve();
        });
      });
    }
    return this.transport.connected;
  }

  // --- negotiation -------------------------------------------------------------------------------------------

  /** Takes an offer of the client; the answer is `describe("answer")`. */
  takeOffer(sdp: string): Description {
    const description = read(sdp);
    if (description.setup === "passive") throw invalid("The client must be ready to begin the handshake (a=setup:actpass or active)");
    if (description.media.length < this.sections.length) throw invalid("The offer has fewer media sections than were agreed on");
    for (const [at, { mid, kind }] of description.media.entries()) {
      const section = this.sections[at];
      if (section !== undefined && (section.mid !== mid || section.kind !== kind)) throw invalid(`The media section ${at} was another`);
    }
    for (const [at, media] of description.media.entries()) {
      const section = this.sections[at] ?? newSection(media.mid, media.kind);
      if (this.sections[at] === undefined) this.sections.push(section);
      this.#offered(section, media);
    }
    this.#begin(description);
    return description;
  }

  #offered(section: Section, media: MediaSection): void {
    section.remote = media;
    section.rejected = media.rejected;
    if (media.rejected) return void this.#release(section);
    if (media.kind === "application") return;
    const codecs = acceptCodecs(media.kind, media.codecs);
    section.rejected = codecs.length === 0;
    if (section.rejected) return void this.#release(section);
    this.#types.note(codecs);
    for (const { id, uri: name } of media.extensions) this.#extensionIds.set(name, id);
    section.codecs = codecs;
    section.extensions = acceptExtensions(media.extensions);
    const sends = media.direction === "sendrecv" || media.direction === "sendonly";
    const takes = media.direction === "sendrecv" || media.direction === "recvonly";
    section.recvRids = sends ? media.sendRids : [];
    if (!sends) this.#endInbound(section);
    if (section.inbound !== undefined) section.inbound.codecs = codecs;
    if (!takes) this.#endOutbound(section);
    section.direction = directionOf(sends, takes && section.outbound !== undefined);
  }

  /** Takes the client's answer to `describe("offer")`. */
  takeAnswer(sdp: string): void {
    const description = read(sdp);
    if (!this.offering) throw new RtcError(406, "session_error", "There is no offer that waits for an answer");
    for (const [at, media] of description.media.entries()) {
      const section = this.sections[at];
      if (section === undefined || section.mid !== media.mid || section.kind !== media.kind)
        throw invalid(`The media section ${at} is another than was offered`);
    }
    this.offering = false;
    for (const [at, media] of description.media.entries()) this.#answered(this.sections[at] as Section, media);
    this.#begin(description);
  }

  #answered(section: Section, media: MediaSection): void {
    section.remote = media;
    section.rejected = media.rejected;
    if (media.rejected) return void this.#release(section);
    for (const { id, uri: name } of media.extensions) this.#extensionIds.set(name, id);
    const accepted = new Set(media.codecs.map(({ payloadType }) => payloadType));
    section.codecs = section.codecs.filter(({ payloadType }) => accepted.has(payloadType));
    const { outbound, inbound } = section;
    if (outbound !== undefined) {
      outbound.types = new Map([...outbound.types].filter(([, type]) => accepted.has(type)));
      outbound.rtxTypes = rtxTypesOf(section.codecs);
      outbound.keyframeNeeded();
    }
    if (inbound !== undefined) {
      inbound.codecs = media.codecs;
      this.#expect(inbound, media);
    }
  }

  #begin(description: Description): void {
    const channels = description.media.find(({ kind, rejected }) => kind === "application" && !rejected);
    if (channels !== undefined) this.transport.openSctp(channels.sctpPort ?? 5000, channels.maxMessageSize);
    if (!this.transport.started) this.transport.start(description);
  }

  describe(type: "offer" | "answer"): { readonly type: "offer" | "answer"; readonly sdp: string } {
    const { socket, certificate } = this.#options;
    if (type === "offer") this.offering = true;
    const [fingerprint] = certificate.getFingerprints();
    const sdp = writeSdp({
      type,
      sessionId: String(Number.parseInt(this.id.slice(0, 12), 16)),
      version: this.#version++,
      iceUfrag: this.transport.ice.ufrag,
      icePwd: this.transport.ice.pwd,
      fingerprint: fingerprint as { algorithm: string; value: string },
      candidates: socket.candidates,
      maxMessageSize: MESSAGE_MAX_BYTES,
      media: this.sections.map((section) => ({
        ...section,
        source: section.outbound && {
          ssrc: section.outbound.ssrc,
          rtxSsrc: section.outbound.rtxSsrc,
          stream: this.id,
          track: `${this.id}-${section.mid}`,
        },
      })),
    });
    return { type, sdp };
  }

  section(mid: string): Section | undefined {
    return this.sections.find((one) => one.mid === mid);
  }

  #newMid(): string {
    for (let at = this.sections.length; ; at++) if (this.section(String(at)) === undefined) return String(at);
  }

  /** A section for data channels, in an offer of ours. */
  offerChannels(): void {
    if (!this.sections.some(({ kind }) => kind === "application")) this.sections.push(newSection(this.#newMid(), "application"));
  }

  // --- tracks ------------------------------------------------------------------------------------------------

  /** The track that the client sends in a section of its offer. */
  publish(section: Section, name: string): InboundTrack {
    const media = section.remote as MediaSection;
    const track = this.#newInbound(section, name, media.sendRids.length > 1 ? media.sendRids : []);
    this.#expect(track, media);
    return track;
  }

  /** The same where this side makes the offer. */
  offerToTake(kind: "audio" | "video", name: string, both: boolean): InboundTrack {
    const section = newSection(this.#newMid(), kind);
    section.codecs = this.#types.offer(kind, DEFAULT_CODECS[kind]).codecs;
    section.extensions = OUTBOUND;
    section.direction = both ? "sendrecv" : "recvonly";
    this.sections.push(section);
    return this.#newInbound(section, name, []);
  }

  #newInbound(section: Section, name: string, rids: readonly string[]): InboundTrack {
    const track = new InboundTrack({
      ...{ name, rids, mid: section.mid, codecs: section.codecs, now: this.#options.now },
      kind: section.kind as "audio" | "video",
      control: (packets: readonly Written[]) => this.transport.sendRtcp(packets),
    });
    section.inbound = track;
    return track;
  }

  #expect(track: InboundTrack, media: MediaSection): void {
    if (track.layers.size > 1) return;
    const [layer] = track.layers.values();
    const [ssrc] = media.ssrcs;
    if (layer === undefined || ssrc === undefined) return;
    layer.ssrc = ssrc;
    this.#sources.set(ssrc, { track, layer, repair: false });
    for (const [repair, repaired] of media.rtxOf) if (repaired === ssrc) this.#sources.set(repair, { track, layer, repair: true });
  }

  /** A section in which the client will get the track; an offer of ours must follow. */
  subscribe(source: InboundTrack, publisher: Session, simulcast: Simulcast): Section {
    const section = newSection(this.#newMid(), source.kind);
    const { codecs, types } = this.#types.offer(source.kind, source.codecs);
    section.codecs = codecs;
    section.extensions = OUTBOUND;
    section.direction = "sendonly";
    section.outbound = this.#newOutbound(section.mid, simulcast);
    this.sections.push(section);
    section.outbound.attach(source, publisher, types);
    return section;
  }

  /** Gives the client another track in a section that it has already. False when it has none of its codecs. */
  replace(section: Section, source: InboundTrack, publisher: Session, simulcast: Simulcast): boolean {
    const { types } = this.#types.offer(source.kind, source.codecs);
    const agreed = new Set(section.codecs.map(({ payloadType }) => payloadType));
    const usable = new Map([...types].filter(([, type]) => agreed.has(type)));
    if (section.kind !== source.kind || section.rejected || usable.size === 0) return false;
    section.outbound ??= this.#newOutbound(section.mid, simulcast);
    this.#outbound.set(section.outbound.ssrc, section.outbound);
    section.outbound.simulcast = simulcast;
    if (section.outbound.source === source) section.outbound.choose(this.#budget());
    else section.outbound.attach(source, publisher, usable);
    return true;
  }

  /** Gives the client a track in a section in which it offers to take one. False when that cannot be. */
  deliver(section: Section, source: InboundTrack, publisher: Session, simulcast: Simulcast): boolean {
    const { remote, rejected, kind, outbound } = section;
    const takes = remote?.direction === "recvonly" || remote?.direction === "sendrecv";
    const { types } = this.#types.offer(source.kind, source.codecs);
    const agreed = new Set(section.codecs.map(({ payloadType }) => payloadType));
    const usable = new Map([...types].filter(([, type]) => agreed.has(type)));
    if (remote === undefined || !takes || rejected || kind !== source.kind || outbound !== undefined || usable.size === 0) return false;
    const sent = new Set(usable.values());
    section.codecs = section.codecs.filter((codec) => sent.has(codec.name === "rtx" ? aptOf(codec) : codec.payloadType));
    // An answer keeps the numbers of the offer.
    section.extensions = remote.extensions.filter((one) => OUTBOUND.some(({ uri: name }) => name === one.uri));
    section.outbound = this.#newOutbound(section.mid, simulcast);
    section.outbound.extensionIds = new Map(section.extensions.map(({ id, uri: name }) => [name, id]));
    section.outbound.rtxTypes = rtxTypesOf(section.codecs);
    section.outbound.attach(source, publisher, usable);
    section.direction = directionOf(section.direction === "recvonly", true);
    return true;
  }

  #newOutbound(mid: string, simulcast: Simulcast): OutboundTrack {
    const [ssrc, rtxSsrc] = [randomInt(1, 0xffffffff), randomInt(1, 0xffffffff)];
    const track = new OutboundTrack({ mid, ssrc, rtxSsrc, transport: this.transport, now: this.#options.now }, simulcast);
    this.#outbound.set(ssrc, track);
    return track;
  }

  get extensionIds(): ReadonlyMap<string, number> {
    return this.#extensionIds;
  }

  /** Ends what flows in a section; what the two sides have agreed on stays as it is. */
  stopFlow(section: Section): void {
    this.#endInbound(section);
    this.#endOutbound(section);
  }

  #endInbound(section: Section): void {
    section.inbound?.close();
    for (const [ssrc, { track }] of this.#sources) if (track === section.inbound) this.#sources.delete(ssrc);
  }

  #endOutbound(section: Section): void {
    if (section.outbound === undefined) return;
    section.outbound.detach();
    this.#outbound.delete(section.outbound.ssrc);
  }

  #release(section: Section): void {
    this.stopFlow(section);
    section.direction = "inactive";
  }

  // --- packets -----------------------------------------------------------------------------------------------

  #onRtp(packet: RtpPacket, bytes: number): void {
    if (!this.#allowance.take(bytes, this.#options.now())) return;
    const source = this.#sources.get(packet.ssrc) ?? this.#learn(packet);
    if (source === undefined) return;
    const { track, layer, repair } = source;
    if (!repair) return void track.packet(layer, packet, bytes);
    const codec = track.codecs.find(({ payloadType }) => payloadType === packet.payloadType);
    // A repair without content only tries what the way can bear.
    if (codec?.name !== "rtx" || packet.payload.length <= 2) return;
    const repaired = { ...packet, ssrc: layer.ssrc, payloadType: aptOf(codec), sequence: packet.payload.readUInt16BE(0) };
    track.packet(layer, { ...repaired, payload: packet.payload.subarray(2) }, bytes);
  }

  /** The first packets of a stream say which section and layer they belong to. */
  #learn(packet: RtpPacket): Source | undefined {
    if (this.#sources.size >= SOURCES_MAX) return undefined;
    const text = (name: string): string | undefined => packet.extensions.get(this.#extensionIds.get(name) ?? -1)?.toString();
    const section = this.section(text(uri.mid) ?? "");
    const track = section?.inbound;
    if (track === undefined || track.closed) return undefined;
    const repairedRid = text(uri.repairedRid);
    const repair =
      repairedRid !== undefined || track.codecs.some(({ payloadType, name }) => payloadType === packet.payloadType && name === "rtx");
    const layer = track.layers.get((track.layers.size > 1 ? (repairedRid ?? text(uri.rid)) : undefined) ?? "");
    if (layer === undefined) return undefined;
    const source = { track, layer, repair };
    if (repair) layer.rtxSsrc = packet.ssrc;
    else layer.ssrc = packet.ssrc;
    this.#sources.set(packet.ssrc, source);
    return source;
  }

  #onRtcp(packet: RtcpPacket): void {
    if (packet instanceof RtcpSrPacket) {
      const source = this.#sources.get(packet.ssrc);
      if (source?.repair === false) source.track.report(source.layer, packet);
    }
    if (packet instanceof RtcpSrPacket || packet instanceof RtcpRrPacket)
      for (const { ssrc, fractionLost } of packet.reports) this.#outbound.get(ssrc)?.noteLoss(fractionLost / 256);
    else if (packet instanceof RtcpTransportLayerFeedback) {
      const { feedback } = packet;
      if (feedback instanceof GenericNack) this.#outbound.get(feedback.mediaSourceSsrc)?.resend(feedback.lost);
    } else if (packet instanceof RtcpPayloadSpecificFeedback) this.#onFeedback(packet.feedback);
  }

  #onFeedback(feedback: RtcpPayloadSpecificFeedback["feedback"]): void {
    if (feedback instanceof PictureLossIndication) this.#outbound.get(feedback.mediaSsrc)?.keyframeNeeded();
    else if (feedback instanceof ReceiverEstimatedMaxBitrate) {
      this.#estimate = Number(feedback.bitrate);
      this.#chooseLayers();
    } else if ("fir" in feedback) for (const { ssrc } of feedback.fir) this.#outbound.get(ssrc)?.keyframeNeeded();
  }

  /** What the client's connection bears, for each of its tracks: they all count the same. */
  #budget(): number {
    const videos = this.sections.filter(({ kind, outbound }) => kind === "video" && outbound?.source !== undefined).length;
    return this.#estimate / Math.max(1, videos);
  }

  #chooseLayers(): void {
    const budget = this.#budget();
    for (const { kind, outbound } of this.sections) if (kind === "video") outbound?.choose(budget);
  }

  // --- time --------------------------------------------------------------------------------------------------

  /** Every few milliseconds. */
  askLost(): void {
    for (const { inbound } of this.sections) inbound?.askLost();
  }

  /** Every second: reports, and layers that have come or gone. */
  tick(trackTimeoutMs: number): void {
    const now = this.#options.now();
    const layers: Layer[] = [];
    for (const section of this.sections) {
      const { inbound } = section;
      if (inbound === undefined || inbound.closed) continue;
      // Nothing can come before there is a connection.
      if (now - Math.max(inbound.lastPacketAt, inbound.openedAt, this.#connectedAt) >= trackTimeoutMs) this.#endInbound(section);
      else layers.push(...[...inbound.layers.values()].filter(({ lastPacketAt }) => lastPacketAt > 0));
    }
    this.#chooseLayers();
    if (layers.length === 0) return;
    const report = new RtcpRrPacket({ ssrc: 1, reports: layers.slice(0, 31).map((layer) => layer.report(now)) });
    const ssrcs = layers.map(({ ssrc }) => ssrc).slice(0, 255);
    this.transport.sendRtcp([report, remb(1, this.#options.bitsPerS, ssrcs)]);
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const section of this.sections) this.stopFlow(section);
    this.#wake();
    this.#options.onClosed();
  }

  async close(): Promise<void> {
    this.#close();
    await this.transport.close();
  }
}

const newSection = (mid: string, kind: Kind): Section => ({
  ...{ mid, kind, rejected: false, direction: "inactive", codecs: [], extensions: [], recvRids: [] },
  ...{ inbound: undefined, outbound: undefined, remote: undefined },
});

/** Of this side, from what the client does and what there is for it. */
function directionOf(clientSends: boolean, clientTakes: boolean): Direction {
  if (clientSends) return clientTakes ? "sendrecv" : "recvonly";
  return clientTakes ? "sendonly" : "inactive";
}

/** From payload types to those of their retransmissions. */
const rtxTypesOf = (codecs: readonly Codec[]): Map<number, number> =>
  new Map(codecs.filter(({ name }) => name === "rtx").map((codec) => [aptOf(codec), codec.payloadType]));

const invalid = (description: string): RtcError => new RtcError(406, "invalid_session_description", description);

function read(sdp: string): Description {
  try {
    return parseSdp(sdp);
  } catch (cause) {
    if (cause instanceof SdpError) throw invalid(cause.message);
    throw cause;
  }
}
