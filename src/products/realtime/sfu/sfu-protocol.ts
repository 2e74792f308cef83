/** What the platform's thread and the one of the SFU say to each other, and what operations of sessions carry. */
import { z } from "zod";
import type { RtcErrorCode } from "../errors.ts";

export interface SfuSettings {
  readonly host: string;
  /** 0 = a free one. */
  readonly port: number;
  /** Where clients reach the socket; none: at the addresses of `host`. */
  readonly addresses: readonly string[];
  readonly sessionsMax: number;
  readonly trackTimeoutMs: number;
  readonly bitsPerS: number;
}

/** https://developers.cloudflare.com/realtime/sfu/limits/ */
const ITEMS_MAX = 64;
const name = z.string().min(1).max(256);
const description = z.object({ type: z.enum(["offer", "answer"]), sdp: z.string().min(1) });
const offer = description.extend({ type: z.literal("offer") });

const simulcast = z.object({
  preferredRid: z.string().max(32).optional(),
  priorityOrdering: z.enum(["none", "asciibetical"]).optional(),
  ridNotAvailable: z.enum(["none", "asciibetical"]).optional(),
  // Of an older revision, which clients may still send.
  fallbackStrategy: z.enum(["auto", "leastBandwidth", "none"]).optional(),
});

const track = z.object({
  location: z.enum(["local", "remote"]),
  mid: z.string().max(300).optional(),
  sessionId: name.optional(),
  trackName: name.optional(),
  bidirectionalMediaStream: z.boolean().optional(),
  kind: z.enum(["audio", "video"]).optional(),
  simulcast: simulcast.optional(),
});

const channel = z.object({
  location: z.enum(["local", "remote"]),
  dataChannelName: name,
  sessionId: name.optional(),
  ordered: z.boolean().optional(),
  maxRetransmits: z.number().int().min(0).max(65_535).optional(),
  maxPacketLifeTime: z.number().int().min(0).max(65_535).optional(),
  waitForAck: z.boolean().optional(),
  canReply: z.boolean().optional(),
});

/** Bodies by operation. */
export const bodies = {
  newSession: z.object({ sessionDescription: offer.optional() }),
  newTracks: z.object({
    sessionDescription: offer.optional(),
    tracks: z.array(track).max(ITEMS_MAX).optional(),
    autoDiscover: z.boolean().optional(),
  }),
  renegotiate: z.object({ sessionDescription: description }),
  closeTracks: z.object({
    tracks: z.array(z.object({ mid: z.string().min(1).max(32) })).max(ITEMS_MAX),
    sessionDescription: offer.optional(),
    force: z.boolean().optional(),
  }),
  // The next two are other products' alone: the API does not have them.
  play: z.object({ sessionDescription: offer, publisher: name }),
  end: z.object({}),
  updateTracks: z.object({ tracks: z.array(track).max(ITEMS_MAX) }),
  getSession: z.object({}),
  newChannels: z.object({ dataChannels: z.array(channel).min(1).max(ITEMS_MAX) }),
  establishChannels: z.object({ sessionDescription: offer.optional(), dataChannel: channel.optional() }),
  closeChannels: z.object({
    dataChannels: z
      .array(z.object({ id: z.number().int() }))
      .min(1)
      .max(ITEMS_MAX),
  }),
} as const;

export type Operation = keyof typeof bodies;
export type Body<O extends Operation> = z.infer<(typeof bodies)[O]>;
export type TrackAsked = z.infer<typeof track>;
export type ChannelAsked = z.infer<typeof channel>;

export interface SfuCall {
  readonly type: "call";
  readonly call: number;
  readonly app: string;
  /** Empty for a new one. */
  readonly session: string;
  readonly operation: Operation;
  readonly body: unknown;
}

export type ToSfu = SfuCall | { readonly type: "closeApp"; readonly app: string } | { readonly type: "stop" };

export interface SfuFailure {
  readonly status: number;
  readonly code: RtcErrorCode;
  readonly description: string;
}

export type FromSfu =
  | { readonly type: "listening"; readonly candidates: readonly { readonly address: string; readonly port: number }[] }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "answer"; readonly call: number; readonly body: unknown }
  | { readonly type: "refusal"; readonly call: number; readonly failure: SfuFailure }
  /** What no caller is to be blamed for. */
  | { readonly type: "fault"; readonly call: number; readonly error: unknown }
  /** Something went wrong with one client. */
  | { readonly type: "mishap"; readonly error: unknown }
  | { readonly type: "stopped" };
