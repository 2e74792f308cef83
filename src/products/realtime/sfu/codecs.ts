/**
 * Which codecs are taken, and under which payload types. The SFU forwards without decoding, so every form of a known codec
 * will do; what it must see to is that one number means one codec in all of a session's media.
 */

import { RtcError } from "../errors.ts";
import { FORWARDED, uri } from "./rtp.ts";
import type { Codec, Extension, Kind } from "./sdp.ts";

/** https://developers.cloudflare.com/realtime/sfu/limits/ */
const NAMES: Readonly<Record<Kind, readonly string[]>> = {
  audio: ["opus", "pcmu", "pcma"],
  video: ["vp8", "vp9", "h264", "h265", "av1"],
  application: [],
};

const FEEDBACK: Readonly<Record<Kind, readonly string[]>> = {
  audio: [],
  video: ["goog-remb", "ccm fir", "nack", "nack pli"],
  application: [],
};

const INBOUND: readonly string[] = [uri.mid, uri.rid, uri.repairedRid, ...FORWARDED];

export const aptOf = ({ fmtp }: Codec): number => Number(/\bapt=(\d+)/.exec(fmtp)?.[1] ?? -1);

/** What is taken of an offer, in its order and with its numbers. */
export function acceptCodecs(kind: Kind, offered: readonly Codec[]): Codec[] {
  const media = offered.filter(({ name }) => NAMES[kind].includes(name));
  const types = new Set(media.map(({ payloadType }) => payloadType));
  const taken = offered.filter((codec) => types.has(codec.payloadType) || (codec.name === "rtx" && types.has(aptOf(codec))));
  return taken.map((codec) => ({
    ...codec,
    feedback: codec.name === "rtx" ? [] : FEEDBACK[kind].filter((one) => codec.feedback.includes(one)),
  }));
}

export const acceptExtensions = (offered: readonly Extension[]): Extension[] => offered.filter((one) => INBOUND.includes(one.uri));

/** What a codec is, whatever its number. */
const identityOf = ({ name, clockRate, channels, fmtp }: Codec): string =>
  `${name}/${clockRate}/${channels};${fmtp
    .split(";")
    .map((part) => part.trim())
    .sort()
    .join(";")}`;

/** Numbers that may be given out (RFC 3551, RFC 5761). */
const FREE = [...Array.from({ length: 32 }, (_, i) => 96 + i), ...Array.from({ length: 29 }, (_, i) => 35 + i)];

/** The payload types of one session. */
export class PayloadTypes {
  readonly #byIdentity = new Map<string, number>();
  readonly #taken = new Set<number>();

  /** The client has chosen these. */
  note(codecs: readonly Codec[]): void {
    for (const codec of codecs) {
      this.#taken.add(codec.payloadType);
      if (codec.name !== "rtx") this.#byIdentity.set(identityOf(codec), codec.payloadType);
    }
    for (const codec of codecs) if (codec.name === "rtx") this.#byIdentity.set(`rtx ${aptOf(codec)}`, codec.payloadType);
  }

  #numberOf(identity: string, wanted: number): number {
    const known = this.#byIdentity.get(identity);
    if (known !== undefined) return known;
    const number = this.#taken.has(wanted) ? FREE.find((one) => !this.#taken.has(one)) : wanted;
    if (number === undefined) throw new RtcError(400, "session_error", "The session has no payload types left for another codec");
    this.#taken.add(number);
    this.#byIdentity.set(identity, number);
    return number;
  }

  /**
   * The codecs of a track under this session's numbers, for an offer; `types` leads from the track's to these.
   */
  offer(kind: Kind, codecs: readonly Codec[]): { readonly codecs: Codec[]; readonly types: Map<number, number> } {
    const types = new Map<number, number>();
    const offered: Codec[] = [];
    for (const codec of codecs) {
      if (codec.name === "rtx") continue;
      const payloadType = this.#numberOf(identityOf(codec), codec.payloadType);
      types.set(codec.payloadType, payloadType);
      offered.push({ ...codec, payloadType, feedback: FEEDBACK[kind] });
      if (kind !== "video") continue;
      const rtx = this.#numberOf(`rtx ${payloadType}`, 97);
      offered.push({ payloadType: rtx, name: "rtx", clockRate: codec.clockRate, channels: 1, fmtp: `apt=${payloadType}`, feedback: [] });
    }
    return { codecs: offered, types };
  }
}

/** Extensions of what this side sends, under numbers of its own. */
export const OUTBOUND: readonly Extension[] = [uri.mid, uri.absSendTime, ...FORWARDED].map((one, at) => ({ id: at + 1, uri: one }));

/** What this side takes where it makes the offer: the usual codecs with the usual numbers. */
export const DEFAULT_CODECS: Readonly<Record<"audio" | "video", readonly Codec[]>> = {
  audio: [
    { payloadType: 111, name: "opus", clockRate: 48_000, channels: 2, fmtp: "minptime=10;useinbandfec=1", feedback: [] },
    { payloadType: 0, name: "pcmu", clockRate: 8000, channels: 1, fmtp: "", feedback: [] },
    { payloadType: 8, name: "pcma", clockRate: 8000, channels: 1, fmtp: "", feedback: [] },
  ],
  video: [
    { payloadType: 96, name: "vp8", clockRate: 90_000, channels: 1, fmtp: "", feedback: [] },
    { payloadType: 98, name: "vp9", clockRate: 90_000, channels: 1, fmtp: "profile-id=0", feedback: [] },
    {
      ...{ payloadType: 103, name: "h264", clockRate: 90_000, channels: 1, feedback: [] },
      fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    },
    { payloadType: 45, name: "av1", clockRate: 90_000, channels: 1, fmtp: "", feedback: [] },
  ],
};
