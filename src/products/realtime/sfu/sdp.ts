/**
 * Session descriptions (RFC 8866, 8829) as far as an SFU needs them: what a peer offers or answers, read; what this side
 * offers or answers, written. One transport for everything (BUNDLE, rtcp-mux). No negotiation is decided here.
 */

export type Kind = "audio" | "video" | "application";
export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

export interface Codec {
  readonly payloadType: number;
  /** Lower case: "vp8", "opus", "rtx". */
  readonly name: string;
  readonly clockRate: number;
  readonly channels: number;
  readonly fmtp: string;
  readonly feedback: readonly string[];
}

export interface Extension {
  readonly id: number;
  readonly uri: string;
}

export interface MediaSection {
  readonly kind: Kind;
  readonly mid: string;
  /** Port 0: refused, or not used any more. */
  readonly rejected: boolean;
  readonly direction: Direction;
  readonly codecs: readonly Codec[];
  readonly extensions: readonly Extension[];
  /** RIDs of the layers that the peer sends, in its order. */
  readonly sendRids: readonly string[];
  /** SSRCs of the media, and that of retransmissions by the one it repeats. */
  readonly ssrcs: readonly number[];
  readonly rtxOf: ReadonlyMap<number, number>;
  readonly sctpPort: number | undefined;
  readonly maxMessageSize: number | undefined;
}

export interface Description {
  readonly iceUfrag: string;
  readonly icePwd: string;
  readonly fingerprints: readonly { readonly algorithm: string; readonly value: string }[];
  readonly setup: "active" | "passive" | "actpass";
  readonly media: readonly MediaSection[];
}

/** What is wrong with a description, for whoever sent it. */
export class SdpError extends Error {}

const SECTIONS_MAX = 1_000;
const LINES_MAX = 100_000;

/** Throws an `SdpError`. */
export function parseSdp(text: string): Description {
  const lines = text.split(/\r\n|\r|\n/, LINES_MAX).filter((line) => line !== "");
  if (!lines[0]?.startsWith("v=0")) throw new SdpError("The description does not begin with v=0");
  const starts = lines.flatMap((line, at) => (line.startsWith("m=") ? [at] : []));
  if (starts.length === 0) throw new SdpError("The description has no media");
  if (starts.length > SECTIONS_MAX) throw new SdpError("The description has too many media sections");
  const session = attributesOf(lines.slice(0, starts[0]));
  const sections = starts.map((start, i) => lines.slice(start, starts[i + 1]));
  const media = sections.map((section, index) => mediaOf(section, index));
  if (new Set(media.map(({ mid }) => mid)).size !== media.length) throw new SdpError("Two media sections have the same mid");
  const live = sections.findIndex((_, index) => media[index]?.rejected === false);
  const transport = attributesOf(sections[live] ?? []);
  const first = (name: string): string | undefined => transport.get(name)?.[0] ?? session.get(name)?.[0];
  const [iceUfrag, icePwd] = [first("ice-ufrag"), first("ice-pwd")];
  const fingerprints = (transport.get("fingerprint") ?? session.get("fingerprint") ?? []).map((value) => {
    const [algorithm = "", digest = ""] = value.split(" ");
    return { algorithm, value: digest };
  });
  if (iceUfrag === undefined || icePwd === undefined || fingerprints.length === 0)
    throw new SdpError("The description has no ICE credentials or no fingerprint");
  const setup = first("setup");
  return { iceUfrag, icePwd, fingerprints, setup: setup === "active" || setup === "passive" ? setup : "actpass", media };
}

function attributesOf(lines: readonly string[]): Map<string, string[]> {
  const attributes = new Map<string, string[]>();
  for (const line of lines) {
    if (!line.startsWith("a=")) continue;
    const [, name = "", value = ""] = /^a=([^:]+):?(.*)$/.exec(line) ?? [];
    const values = attributes.get(name);
    if (values === undefined) attributes.set(name, [value]);
    else values.push(value);
  }
  return attributes;
}

function mediaOf(lines: readonly string[], index: number): MediaSection {
  const [, kind = "", port = "", formats = ""] = /^m=(\w+) (\d+)(?:\/\d+)? \S+ (.*)$/.exec(lines[0] ?? "") ?? [];
  if (kind !== "audio" && kind !== "video" && kind !== "application") throw new SdpError(`Media of the kind "${kind}" is not known`);
  const attributes = attributesOf(lines);
  const all = (name: string): readonly string[] => attributes.get(name) ?? [];
  const direction = (["sendrecv", "sendonly", "recvonly", "inactive"] as const).find((name) => attributes.has(name)) ?? "sendrecv";
  const rids = all("rid").flatMap((value) => /^(\S+) send\b/.exec(value)?.[1] ?? []);
  const simulcast = /(?:^| )send (\S+)/.exec(all("simulcast")[0] ?? "")?.[1];
  const rtxOf = new Map<number, number>();
  const ssrcs = new Set(
    all("ssrc")
      .map((value) => Number.parseInt(value, 10))
      .filter((ssrc) => ssrc > 0),
  );
  for (const group of all("ssrc-group")) {
    const [, media, repair] = /^FID (\d+) (\d+)/.exec(group) ?? [];
    if (media === undefined || repair === undefined) continue;
    rtxOf.set(Number(repair), Number(media));
    ssrcs.delete(Number(repair));
  }
  const mid = all("mid")[0] ?? String(index);
  // It becomes part of answers of ours.
  if (!/^[\w!#$%&'*+\-.^`{|}~]{1,32}$/.test(mid)) throw new SdpError("A mid has characters that it may not have");
  return {
    kind,
    mid,
    rejected: port === "0" && !attributes.has("bundle-only"),
    direction,
    codecs: kind === "application" ? [] : codecsOf(formats, attributes),
    extensions: all("extmap").flatMap((value) => {
      const [, id, uri] = /^(\d+)(?:\/\w+)? (\S+)/.exec(value) ?? [];
      return id === undefined || uri === undefined ? [] : [{ id: Number(id), uri }];
    }),
    // Alternatives of one layer are separated by commas, a leading ~ marks a paused one.
    sendRids:
      simulcast === undefined
        ? rids
        : simulcast
            .split(/[;,]/)
            .map((rid) => rid.replace(/^~/, ""))
            .filter((rid) => rids.includes(rid)),
    ssrcs: [...ssrcs],
    rtxOf,
    sctpPort: numberOf(all("sctp-port")[0]),
    maxMessageSize: numberOf(all("max-message-size")[0]),
  };
}

const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number.parseInt(text, 10) || undefined;

/** Payload types that need no rtpmap (RFC 3551). */
const STATIC: Readonly<Record<string, string>> = { "0": "PCMU/8000", "8": "PCMA/8000" };

function codecsOf(formats: string, attributes: ReadonlyMap<string, readonly string[]>): Codec[] {
  const byType = (name: string): Map<string, string[]> => {
    const found = new Map<string, string[]>();
    for (const value of attributes.get(name) ?? []) {
      const [, type = "", rest = ""] = /^(\S+) (.*)$/.exec(value) ?? [];
      found.set(type, [...(found.get(type) ?? []), rest]);
    }
    return found;
  };
  const [maps, parameters, feedback] = [byType("rtpmap"), byType("fmtp"), byType("rtcp-fb")];
  return formats.split(" ").flatMap((type) => {
    const [, name, clockRate, channels] = /^([^/]+)\/(\d+)(?:\/(\d+))?/.exec(maps.get(type)?.[0] ?? STATIC[type] ?? "") ?? [];
    if (name === undefined || clockRate === undefined) return [];
    return {
      payloadType: Number(type),
      name: name.toLowerCase(),
      clockRate: Number(clockRate),
      channels: Number(channels ?? 1),
      fmtp: parameters.get(type)?.[0] ?? "",
      feedback: [...(feedback.get(type) ?? []), ...(feedback.get("*") ?? [])],
    };
  });
}

export interface LocalSection {
  readonly kind: Kind;
  readonly mid: string;
  readonly rejected: boolean;
  readonly direction: Direction;
  readonly codecs: readonly Codec[];
  readonly extensions: readonly Extension[];
  /** RIDs that this side takes. */
  readonly recvRids: readonly string[];
  /** What this side sends. */
  readonly source: { readonly ssrc: number; readonly rtxSsrc: number; readonly stream: string; readonly track: string } | undefined;
}

export interface LocalDescription {
  readonly type: "offer" | "answer";
  readonly sessionId: string;
  readonly version: number;
  readonly iceUfrag: string;
  readonly icePwd: string;
  readonly fingerprint: { readonly algorithm: string; readonly value: string };
  readonly candidates: readonly { readonly address: string; readonly port: number }[];
  readonly media: readonly LocalSection[];
  readonly maxMessageSize: number;
}

/** DTLS of this side waits for the peer's: it is an ICE-lite agent. */
export function writeSdp(description: LocalDescription): string {
  const { type, sessionId, version, media, fingerprint, candidates } = description;
  const bundled = media.filter(({ rejected }) => !rejected).map(({ mid }) => mid);
  const transport = [
    `a=ice-ufrag:${description.iceUfrag}`,
    `a=ice-pwd:${description.icePwd}`,
    `a=fingerprint:${fingerprint.algorithm} ${fingerprint.value}`,
    `a=setup:${type === "offer" ? "actpass" : "passive"}`,
    ...candidates.map(
      // Priorities of host candidates (RFC 8445, 5.1.2), the first address before the next.
      ({ address, port }, at) => `a=candidate:${at + 1} 1 udp ${126 * 2 ** 24 + (65_535 - at) * 2 ** 8 + 255} ${address} ${port} typ host`,
    ),
    "a=end-of-candidates",
  ];
  const lines = [
    "v=0",
    `o=- ${sessionId} ${version} IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    ...(bundled.length > 0 ? [`a=group:BUNDLE ${bundled.join(" ")}`] : []),
    "a=ice-lite",
    "a=extmap-allow-mixed",
    "a=msid-semantic: WMS *",
    ...media.flatMap((section) => sectionLines(section, transport, description.maxMessageSize)),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

function sectionLines(section: LocalSection, transport: readonly string[], maxMessageSize: number): string[] {
  const { kind, mid, rejected, direction, codecs, extensions, recvRids, source } = section;
  const port = rejected ? 0 : 9;
  if (kind === "application") {
    const head = [`m=application ${port} UDP/DTLS/SCTP webrtc-datachannel`, "c=IN IP4 0.0.0.0", `a=mid:${mid}`];
    return rejected ? head : [...head, ...transport, "a=sctp-port:5000", `a=max-message-size:${maxMessageSize}`];
  }
  const types = codecs.length === 0 ? "0" : codecs.map(({ payloadType }) => payloadType).join(" ");
  const head = [`m=${kind} ${port} UDP/TLS/RTP/SAVPF ${types}`, "c=IN IP4 0.0.0.0", `a=mid:${mid}`];
  if (rejected) return [...head, "a=inactive"];
  const lines = [...head, ...transport, `a=${direction}`, "a=rtcp-mux", "a=rtcp-rsize"];
  for (const { id, uri } of extensions) lines.push(`a=extmap:${id} ${uri}`);
  for (const { payloadType, name, clockRate, channels, fmtp, feedback } of codecs) {
    lines.push(`a=rtpmap:${payloadType} ${ENCODINGS[name] ?? name}/${clockRate}${channels > 1 ? `/${channels}` : ""}`);
    if (fmtp !== "") lines.push(`a=fmtp:${payloadType} ${fmtp}`);
    for (const one of feedback) lines.push(`a=rtcp-fb:${payloadType} ${one}`);
  }
  for (const rid of recvRids) lines.push(`a=rid:${rid} recv`);
  if (recvRids.length > 0) lines.push(`a=simulcast:recv ${recvRids.join(";")}`);
  if (source !== undefined) {
    lines.push(`a=msid:${source.stream} ${source.track}`);
    const repaired = codecs.some(({ name }) => name === "rtx");
    if (repaired) lines.push(`a=ssrc-group:FID ${source.ssrc} ${source.rtxSsrc}`);
    for (const ssrc of repaired ? [source.ssrc, source.rtxSsrc] : [source.ssrc]) lines.push(`a=ssrc:${ssrc} cname:${source.stream}`);
  }
  return lines;
}

/** As clients write them. */
const ENCODINGS: Readonly<Record<string, string>> = {
  pcmu: "PCMU",
  pcma: "PCMA",
  vp8: "VP8",
  vp9: "VP9",
  h264: "H264",
  h265: "H265",
  av1: "AV1",
};
