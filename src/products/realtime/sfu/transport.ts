/**
 * One client's transport: DTLS over the shared socket of `ice-lite.ts`, SRTP under the keys of its handshake, and SCTP for
 * data channels. Werift has DTLS, SRTP and SCTP; its ICE is not used.
 */
import {
  type DtlsState,
  Event,
  type RTCCertificate,
  RTCDtlsFingerprint,
  RTCDtlsParameters,
  RTCDtlsTransport,
  type RTCIceTransport,
  RTCSctpTransport,
  type RtcpPacket,
  RtcpPacketConverter,
  type RtpHeader,
} from "werift";
import type { IcePeer, IceSocket } from "./ice-lite.ts";
import { parseRtp, type RtpPacket } from "./rtp.ts";
import type { Description } from "./sdp.ts";

export interface TransportHandlers {
  onRtp(packet: RtpPacket, bytes: number): void;
  onRtcp(packet: RtcpPacket): void;
  /** Media can flow. */
  onConnected(): void;
  /** It will not flow any more. */
  onClosed(): void;
}

export const MESSAGE_MAX_BYTES = 262_144;
/** AEAD_AES_128_GCM and AES128_CM_SHA1_80: the first is preferred. */
const SRTP_PROFILES = [7, 1] as const;

export class Transport {
  readonly ice: IcePeer;
  readonly #dtls: RTCDtlsTransport;
  readonly #handlers: TransportHandlers;
  readonly #onData = new Event<[Buffer]>();
  #sctp: RTCSctpTransport | undefined;
  #sctpPort: number | undefined;
  #closed = false;
  bytesReceived = 0;
  bytesSent = 0;

  constructor(socket: IceSocket, certificate: RTCCertificate, handlers: TransportHandlers) {
    this.#handlers = handlers;
    this.ice = socket.open(
      (bytes) => this.#take(bytes),
      () => undefined,
    );
    const connection = { onData: this.#onData, send: async (bytes: Buffer) => this.#send(bytes), close: () => undefined };
    // The members that DTLS uses of a transport of ICE.
    const ice = { connection, role: "controlled", stop: async () => undefined } as unknown as RTCIceTransport;
    this.#dtls = new RTCDtlsTransport({}, ice, certificate, [...SRTP_PROFILES]);
    // Media is read here, without an object for each packet.
    this.#dtls.srtpStarted = true;
    this.#dtls.onStateChange.subscribe((state: DtlsState) => {
      if (state === "closed" || state === "failed") this.#end();
    });
  }

  get connected(): boolean {
    return !this.#closed && this.#dtls.state === "connected";
  }

  get started(): boolean {
    return this.#dtls.state !== "new";
  }

  /** Waits for the client's handshake. */
  start(remote: Description): void {
    const fingerprints = remote.fingerprints.map(({ algorithm, value }) => new RTCDtlsFingerprint(algorithm, value));
    this.#dtls.setRemoteParams(new RTCDtlsParameters(fingerprints, "client"));
    this.#dtls.role = "server";
    this.#dtls
      .start()
      .then(() => {
        this.#dtls.updateSrtpSession();
        this.#startSctp();
        this.#handlers.onConnected();
      })
      // A handshake that fails ends the session; why is the client's to know.
      .catch(() => this.#end());
  }

  #take(bytes: Buffer): void {
    this.bytesReceived += bytes.length;
    const first = bytes[0] as number;
    if (first < 128 || first > 191) {
      // What a client makes up must end no more than its own packet: werift throws for some of it.
      readable(() => this.#onData.execute(bytes));
      return;
    }
    if (!this.connected || bytes.length < 12) return;
    const type = bytes[1] as number;
    if (type >= 192 && type <= 223) {
      const packets = readable(() => RtcpPacketConverter.deSerialize(this.#dtls.srtcp.decrypt(bytes))) ?? [];
      for (const packet of packets) this.#handlers.onRtcp(packet);
      return;
    }
    const packet = readable(() => parseRtp(this.#dtls.srtp.decrypt(bytes)));
    if (packet !== undefined) this.#handlers.onRtp(packet, bytes.length);
  }

  #send(bytes: Buffer): void {
    this.bytesSent += bytes.length;
    this.ice.send(bytes);
  }

  /** A packet whose header is written already. */
  sendRtp(header: Buffer, ssrc: number, sequence: number, payload: Buffer): void {
    if (!this.connected) return;
    const written = { ssrc, sequenceNumber: sequence, serializeSize: header.length, serialize: () => header } as unknown as RtpHeader;
    this.#send(this.#dtls.srtp.encrypt(payload, written));
  }

  sendRtcp(packets: readonly { serialize(): Buffer }[]): void {
    if (!this.connected || packets.length === 0) return;
    this.#send(this.#dtls.srtcp.encrypt(Buffer.concat(packets.map((packet) => packet.serialize()))));
  }

  /** Data channels, for a client that has a section for them. */
  openSctp(port: number, maxMessageSize: number | undefined): void {
    if (this.#sctp === undefined) {
      this.#sctp = new RTCSctpTransport(5000, MESSAGE_MAX_BYTES);
      this.#sctp.setDtlsTransport(this.#dtls);
    }
    this.#sctp.setRemoteMaxMessageSize(maxMessageSize ?? 65_536);
    if (this.#sctpPort !== undefined) return;
    this.#sctpPort = port;
    if (this.connected) this.#startSctp();
  }

  #startSctp(): void {
    if (this.#sctp === undefined || this.#sctpPort === undefined) return;
    this.#sctp.setRemotePort(this.#sctpPort);
    this.#sctp.start(this.#sctpPort).catch(() => this.#end());
  }

  get sctp(): RTCSctpTransport | undefined {
    return this.#sctp;
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handlers.onClosed();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#sctpPort !== undefined && this.#dtls.state === "connected") await this.#sctp?.stop();
    await this.#dtls.stop();
    this.#onData.complete();
    this.ice.close();
  }
}

/** What somebody has made up, or what was cut off on its way, is dropped: it is as if it had not come. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
