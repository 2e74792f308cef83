/** The control packets that an SFU sends (RFC 3550, 4585, REMB), beside those that werift writes. */
import { GenericNack, PictureLossIndication, RtcpPayloadSpecificFeedback, RtcpTransportLayerFeedback } from "werift";

export interface Written {
  serialize(): Buffer;
}

export const nack = (senderSsrc: number, mediaSourceSsrc: number, lost: number[]): Written =>
  new RtcpTransportLayerFeedback({ feedback: new GenericNack({ senderSsrc, mediaSourceSsrc, lost }) });

export const pli = (senderSsrc: number, mediaSsrc: number): Written =>
  new RtcpPayloadSpecificFeedback({ feedback: new PictureLossIndication({ senderSsrc, mediaSsrc }) });

const REMB = Buffer.from("REMB");

/** Receiver Estimated Maximum Bitrate (draft-alvestrand-rmcat-remb), for all streams of a transport. */
export function remb(senderSsrc: number, bitsPerS: number, ssrcs: readonly number[]): Written {
  const exponent = Math.max(0, Math.ceil(Math.log2(bitsPerS / 0x3ffff)));
  const mantissa = Math.floor(bitsPerS / 2 ** exponent);
  const bytes = Buffer.alloc(20 + 4 * ssrcs.length);
  bytes[0] = 0x8f;
  bytes[1] = 206;
  bytes.writeUInt16BE(bytes.length / 4 - 1, 2);
  bytes.writeUInt32BE(senderSsrc, 4);
  REMB.copy(bytes, 12);
  bytes.writeUInt32BE(((ssrcs.length << 24) | (exponent << 18) | mantissa) >>> 0, 16);
  for (const [at, ssrc] of ssrcs.entries()) bytes.writeUInt32BE(ssrc, 20 + 4 * at);
  return { serialize: () => bytes };
}
