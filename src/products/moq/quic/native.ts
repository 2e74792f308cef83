/**
 * The part of quiche's Node binding that we use: `@matrixai/quic-linux-x64`, the native module of `@matrixai/quic` without its
 * JavaScript. Calls that have nothing to do answer null; calls that fail throw an Error whose message is quiche's error name.
 */
import { createRequire } from "node:module";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface QuicheConfig {
  enableEarlyData(): void;
  grease(on: boolean): void;
  setApplicationProtos(protocols: string[]): void;
  setMaxIdleTimeout(ms: number): void;
  setMaxRecvUdpPayloadSize(bytes: number): void;
  setMaxSendUdpPayloadSize(bytes: number): void;
  setInitialMaxData(bytes: number): void;
  setInitialMaxStreamDataBidiLocal(bytes: number): void;
  setInitialMaxStreamDataBidiRemote(bytes: number): void;
  setInitialMaxStreamDataUni(bytes: number): void;
  setInitialMaxStreamsBidi(streams: number): void;
  setInitialMaxStreamsUni(streams: number): void;
  setActiveConnectionIdLimit(ids: number): void;
  setMaxConnectionWindow(bytes: number): void;
  setMaxStreamWindow(bytes: number): void;
  enableDgram(on: boolean, receiveQueue: number, sendQueue: number): void;
}

export interface QuicheConnection {
  recv(data: Uint8Array, info: { from: HostPort; to: HostPort }): number;
  send(out: Uint8Array): [number, { readonly to: HostPort }] | null;
  streamRecv(id: number, out: Uint8Array): [number, boolean] | null;
  streamSend(id: number, data: Uint8Array, fin: boolean): number | null;
  streamPriority(id: number, urgency: number, incremental: boolean): void;
  streamShutdown(id: number, direction: 0 | 1, code: number): void;
  peerStreamsLeftUni(): number;
  readable(): Iterable<number>;
  writable(): Iterable<number>;
  dgramRecvVec(): Uint8Array | null;
  timeout(): number | null;
  onTimeout(): void;
  newSourceCid(id: Uint8Array, resetToken: bigint, retireIfNeeded: boolean): number;
  sourceCidsLeft(): number;
  retiredScidNext(): Uint8Array | null;
  pathEventNext(): unknown;
  close(app: boolean, code: number, reason: Uint8Array): void;
  isEstablished(): boolean;
  isInEarlyData(): boolean;
  isClosed(): boolean;
}

export interface QuicheHeader {
  /** 0 Initial, 1 Retry, 2 Handshake, 3 0-RTT, 4 Version Negotiation, 5 Short. */
  readonly ty: number;
  readonly version: number;
  readonly dcid: Uint8Array;
  readonly scid: Uint8Array;
  readonly token?: Uint8Array;
}

export interface Quiche {
  readonly Config: {
    withBoringSslCtx(
      verifyPeer: boolean,
      verifyAllowFail: boolean,
      ca: null,
      keys: Uint8Array[],
      certificates: Uint8Array[],
      algorithms: null,
    ): QuicheConfig;
  };
  readonly Connection: {
    accept(scid: Uint8Array, odcid: Uint8Array | null, local: HostPort, peer: HostPort, config: QuicheConfig): QuicheConnection;
  };
  readonly Header: { fromSlice(data: Uint8Array, idLength: number): QuicheHeader };
  versionIsSupported(version: number): boolean;
  negotiateVersion(scid: Uint8Array, dcid: Uint8Array, out: Uint8Array): number;
  retry(scid: Uint8Array, dcid: Uint8Array, newScid: Uint8Array, token: Uint8Array, version: number, out: Uint8Array): number;
}

/** Throws when there is no module for this machine. */
export function loadQuiche(): Quiche {
  return createRequire(import.meta.url)(`@matrixai/quic-${process.platform}-${process.arch}`) as Quiche;
}
