/**
 * Who is in a meeting. A participant's token lets a client in, as a peer; the first one begins a session, and with the last
 * one it ends. A peer says again that it is there, by joining again with its id; one that does not is gone after a minute,
 * which is told when somebody looks. Media is the SFU's: a client that is in pushes and pulls as any other does.
 */
import type { MetaTransaction } from "../../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { type SignedTokens, signedTokens } from "../../../kernel/signed-token.ts";
import { RtcError, realtimeError } from "../errors.ts";
import type { KitObject, Objects } from "./objects.ts";

/** As clients of RealtimeKit read them. */
export interface TokenClaims {
  readonly orgId: string;
  readonly meetingId: string;
  readonly participantId: string;
  readonly presetId: string;
}

const TOKEN_TTL_S = 86_400;
const GONE_MS = 60_000;

interface Presence {
  readonly participant: string;
  readonly joined: number;
  readonly seen: number;
  /** 0: it is there. */
  readonly left: number;
}

export type Joins = ReturnType<typeof openJoins>;

export function openJoins(kernel: Pick<KernelSlice, "clock" | "secrets">, objects: Objects) {
  const { clock } = kernel;
  const tokens: SignedTokens<TokenClaims> = signedTokens(kernel.secrets.derive("realtime/kit-token"), clock, TOKEN_TTL_S);
  const presenceOf = ({ settings }: KitObject): Presence => settings as unknown as Presence;
  /** When the peer left; 0 while it is there. */
  const leftAt = (peer: KitObject): number => {
    const { left, seen } = presenceOf(peer);
    return left !== 0 ? left : clock.now() - seen >= GONE_MS ? seen + GONE_MS : 0;
  };

  /** Of the meeting: what of it lives is brought up to date, and ended when nobody is there any more. */
  async function liveSession(tx: MetaTransaction, meeting: KitObject): Promise<KitObject | undefined> {
    const live = (await objects.children("session", meeting.id, tx)).find(({ settings }) => settings.ended === 0);
    if (live === undefined) return undefined;
    const lefts = (await objects.children("peer", live.id, tx)).map(leftAt);
    if (lefts.includes(0)) return live;
    await objects.save(tx, live, live.name, { ...live.settings, ended: Math.max(live.created, ...lefts) });
    return undefined;
  }

  async function admit(tx: MetaTransaction, claims: TokenClaims) {
    const participant = await objects.find("participant", claims.orgId, claims.participantId, tx);
    const meeting = await objects.find("meeting", claims.orgId, claims.meetingId, tx);
    if (participant === undefined || meeting === undefined || participant.parent !== meeting.id)
      throw new RtcError(401, "unauthorized", "The participant is not of the meeting any more");
    if (meeting.settings.status === "INACTIVE") throw new RtcError(403, "session_error", "The meeting is inactive");
    return { participant, meeting };
  }

  function claimsOf(token: string): TokenClaims {
    const claims = tokens.verify(token);
    if (claims === undefined) throw new RtcError(401, "unauthorized", "Unauthorized");
    return claims;
  }

  const shown = (session: KitObject, peers: readonly KitObject[]) => {
    const ended = session.settings.ended as number;
    const minutes = peers.reduce((sum, peer) => sum + ((leftAt(peer) || clock.now()) - presenceOf(peer).joined) / 60_000, 0);
    const time = (at: number): string => new Date(at).toISOString();
    return {
      ...{ id: session.id, associated_id: session.parent, organization_id: session.app, type: "meeting" },
      ...{ meeting_display_name: session.name, status: ended === 0 ? "LIVE" : "ENDED" },
      ...{ created_at: time(session.created), started_at: time(session.created), updated_at: time(session.updated) },
      ...(ended !== 0 && { ended_at: time(ended) }),
      live_participants: ended === 0 ? peers.filter((peer) => leftAt(peer) === 0).length : 0,
      max_concurrent_participants: session.settings.most,
      minutes_consumed: Math.round(minutes * 100) / 100,
    };
  };

  async function leave(tx: MetaTransaction, peers: readonly KitObject[]): Promise<void> {
    for (const peer of peers) {
      if (leftAt(peer) === 0) await objects.save(tx, peer, peer.name, { ...peer.settings, left: clock.now() });
    }
  }

  return {
    /** A participant's token: good for a day, and only while the participant is there. */
    token: (participant: KitObject): string =>
      tokens.sign({
        ...{ orgId: participant.app, meetingId: participant.parent, participantId: participant.id },
        presetId: String(participant.settings.preset),
      }),

    /** Lets the client in, or hears that it is still there. Throws an `RtcError`. */
    async join(token: string, peerId: string | undefined) {
      const claims = claimsOf(token);
      return objects.transaction(async (tx) => {
        const { participant, meeting } = await admit(tx, claims);
        const now = clock.now();
        let session = await liveSession(tx, meeting);
        session ??= await objects.insert(tx, "session", {
          app: meeting.app,
          parent: meeting.id,
          name: meeting.name,
          settings: { ended: 0, most: 0 },
        });
        const peers = await objects.children("peer", session.id, tx);
        let peer = peers.find((one) => one.id === peerId && presenceOf(one).participant === participant.id);
        if (peerId !== undefined && (peer === undefined || leftAt(peer) !== 0))
          throw new RtcError(410, "session_error", "The peer has left");
        if (peer === undefined) {
          const presence: Presence = { participant: participant.id, joined: now, seen: now, left: 0 };
          peer = await objects.insert(tx, "peer", {
            app: meeting.app,
            parent: session.id,
            name: participant.name,
            settings: { ...presence },
          });
          const there = peers.filter((one) => leftAt(one) === 0).length + 1;
          if (there > (session.settings.most as number))
            await objects.save(tx, session, session.name, { ...session.settings, most: there });
        } else await objects.save(tx, peer, peer.name, { ...peer.settings, seen: now });
        return { session_id: session.id, peer_id: peer.id, meeting_id: meeting.id, participant_id: participant.id };
      });
    },

    /** Throws an `RtcError` for a peer that is not the participant's. */
    async leave(token: string, peerId: string) {
      const claims = claimsOf(token);
      await objects.transaction(async (tx) => {
        const peer = await objects.find("peer", claims.orgId, peerId, tx);
        if (peer === undefined || presenceOf(peer).participant !== claims.participantId)
          throw new RtcError(404, "not_found", "There is no such peer");
        await leave(tx, [peer]);
        const meeting = await objects.find("meeting", claims.orgId, claims.meetingId, tx);
        if (meeting !== undefined) await liveSession(tx, meeting);
      });
    },

    /** The meeting's session that lives now. */
    async active(meeting: KitObject) {
      const session = await objects.transaction((tx) => liveSession(tx, meeting));
      if (session === undefined) throw realtimeError("notFound", "the meeting has no active session");
      return shown(session, await objects.children("peer", session.id));
    },

    async view(session: KitObject) {
      const meeting = await objects.find("meeting", session.app, session.parent);
      if (meeting !== undefined) await objects.transaction((tx) => liveSession(tx, meeting));
      return shown(await objects.get("session", session.app, session.id), await objects.children("peer", session.id));
    },

    async participants(session: KitObject) {
      const peers = await objects.children("peer", session.id);
      return peers.map((peer) => {
        const { participant, joined } = presenceOf(peer);
        const left = leftAt(peer);
        return {
          ...{ id: peer.id, user_id: participant, display_name: peer.name, joined_at: new Date(joined).toISOString() },
          ...(left !== 0 && { left_at: new Date(left).toISOString() }),
          duration: Math.round(((left || clock.now()) - joined) / 1000),
          created_at: new Date(peer.created).toISOString(),
          updated_at: new Date(peer.updated).toISOString(),
        };
      });
    },

    /** Sends participants out of the session that lives; `undefined`: everybody. They may come again. */
    async kick(meeting: KitObject, participants: readonly string[] | undefined): Promise<string[]> {
      return objects.transaction(async (tx) => {
        const session = await liveSession(tx, meeting);
        if (session === undefined) throw realtimeError("notFound", "the meeting has no active session");
        const there = (await objects.children("peer", session.id, tx)).filter((peer) => leftAt(peer) === 0);
        const out = there.filter((peer) => participants === undefined || participants.includes(presenceOf(peer).participant));
        await leave(tx, out);
        await liveSession(tx, meeting);
        return [...new Set(out.map((peer) => presenceOf(peer).participant))];
      });
    },
  };
}
