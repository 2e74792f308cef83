/**
 * The SFU: apps with their sessions, and what the API's operations do with them. An app sees its own sessions alone, and
 * nothing of them outlives the process: clients make new ones, as they do after any loss of their connection.
 * https://developers.cloudflare.com/realtime/sfu/https-api/
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { RTCCertificate } from "werift";
import { RtcError } from "../errors.ts";
import { Channels } from "./channels.ts";
import type { IceSocket } from "./ice-lite.ts";
import { LIVE_MS } from "./inbound-track.ts";
import type { Simulcast } from "./outbound-track.ts";
import { type Section, Session } from "./session.ts";
import type { Body, ChannelAsked, Operation, SfuSettings, TrackAsked } from "./sfu-protocol.ts";

interface Entry {
  readonly session: Session;
  readonly channels: Channels;
}

interface Failed {
  readonly errorCode: string;
  readonly errorDescription: string;
}

type Item = Readonly<Record<string, unknown>>;

const CONNECT_MS = 5_000;
/** Without a word of its client a session is lost. */
const LOST_MS = 30_000;
/** A session that was made and never used. */
const UNUSED_MS = 300_000;
/** Ended sessions that are remembered as such. */
const ENDED_MAX = 10_000;

export class Sfu {
  readonly #apps = new Map<string, Map<string, Entry>>();
  readonly #ended = new Set<string>();
  readonly #socket: IceSocket;
  readonly #certificate: RTCCertificate;
  readonly #settings: SfuSettings;
  readonly #now: () => number;
  #count = 0;

  constructor(socket: IceSocket, certificate: RTCCertificate, settings: SfuSettings, now: () => number) {
    this.#socket = socket;
    this.#certificate = certificate;
    this.#settings = settings;
    this.#now = now;
  }

  /** The answer's body. Throws an `RtcError`. */
  async handle(app: string, sessionId: string, operation: Operation, body: unknown): Promise<Item> {
    if (operation === "newSession") return this.#newSession(app, body as Body<"newSession">);
    const entry = this.#entry(app, sessionId);
    switch (operation) {
      case "newTracks":
        return this.#newTracks(app, entry, body as Body<"newTracks">);
      case "renegotiate":
        return this.#renegotiate(entry, body as Body<"renegotiate">);
      case "closeTracks":
        return this.#closeTracks(entry, body as Body<"closeTracks">);
      case "play":
        return this.#play(app, entry, body as Body<"play">);
      case "end":
        this.#end(app, sessionId);
        return {};
      case "updateTracks":
        return this.#updateTracks(app, entry, body as Body<"updateTracks">);
      case "getSession":
        return this.#state(entry);
      case "newChannels":
        return this.#newChannels(app, entry, body as Body<"newChannels">);
      case "establishChannels":
        return this.#establishChannels(app, entry, body as Body<"establishChannels">);
      case "closeChannels":
        return this.#closeChannels(entry, body as Body<"closeChannels">);
    }
  }

  #entry(app: string, sessionId: string): Entry {
    const entry = this.#apps.get(app)?.get(sessionId);
    if (entry !== undefined) return entry;
    if (this.#ended.has(`${app}/${sessionId}`)) throw new RtcError(410, "session_error", "The session has ended: make a new one");
    throw new RtcError(404, "not_found", "There is no such session");
  }

  /** Of the same app, whoever asks. */
  #publisher(app: string, sessionId: string | undefined): Entry | undefined {
    return this.#apps.get(app)?.get(sessionId ?? "");
  }

  #newSession(app: string, { sessionDescription }: Body<"newSession">): Item {
    if (this.#count >= this.#settings.sessionsMax) throw new RtcError(503, "session_error", "There are as many sessions as there may be");
    const id = randomBytes(16).toString("hex");
    const session = new Session({
      ...{ id, socket: this.#socket, certificate: this.#certificate, bitsPerS: this.#settings.bitsPerS, now: this.#now },
      onClosed: () => this.#forget(app, id),
    });
    const entry: Entry = { session, channels: new Channels(session) };
    if (sessionDescription !== undefined) {
      try {
        session.takeOffer(sessionDescription.sdp);
      } catch (error) {
        void session.transport.close();
        throw error;
      }
    }
    const sessions = this.#apps.get(app) ?? new Map<string, Entry>();
    this.#apps.set(app, sessions.set(id, entry));
    this.#count++;
    return { sessionId: id, ...(sessionDescription !== undefined && { sessionDescription: session.describe("answer") }) };
  }

  #forget(app: string, id: string): void {
    const sessions = this.#apps.get(app);
    const entry = sessions?.get(id);
    if (sessions === undefined || entry === undefined) return;
    sessions.delete(id);
    if (sessions.size === 0) this.#apps.delete(app);
    this.#count--;
    this.#ended.add(`${app}/${id}`);
    for (const name of this.#ended) {
      if (this.#ended.size <= ENDED_MAX) break;
      this.#ended.delete(name);
    }
    entry.channels.close();
    void entry.session.transport.close();
  }

  /** Operations on a session that was negotiated wait for its connection. */
  async #ready({ session }: Entry): Promise<void> {
    if (session.transport.started && !(await session.connected(CONNECT_MS)))
      throw new RtcError(425, "session_error", "The session's connection was not ready within 5 seconds");
  }

  // --- tracks ------------------------------------------------------------------------------------------------

  async #newTracks(app: string, entry: Entry, { sessionDescription, tracks = [], autoDiscover }: Body<"newTracks">): Promise<Item> {
    if (tracks.length === 0 && autoDiscover !== true) throw new RtcError(400, "invalid_params", "There are no tracks");
    await this.#ready(entry);
    const { session } = entry;
    if (sessionDescription !== undefined) {
      session.takeOffer(sessionDescription.sdp);
      const items = tracks.map((asked) =>
        attempt(asked, () => (asked.location === "local" ? this.#pushOffered(session, asked) : this.#pullOffered(app, session, asked))),
      );
      if (autoDiscover === true) items.push(...this.#discover(session));
      return { requiresImmediateRenegotiation: false, tracks: items, sessionDescription: session.describe("answer") };
    }
    const before = session.sections.length;
    const items = tracks.map((asked) =>
      attempt(asked, () => (asked.location === "local" ? this.#offerToTake(session, asked) : this.#pull(app, session, asked))),
    );
    // Where nothing came of it there is nothing to negotiate.
    if (session.sections.length === before) return { requiresImmediateRenegotiation: false, tracks: items };
    return { requiresImmediateRenegotiation: true, tracks: items, sessionDescription: session.describe("offer") };
  }

  #pushOffered(session: Session, { location, mid, trackName }: TrackAsked): Item {
    if (mid === undefined || trackName === undefined)
      throw new RtcError(400, "invalid_params", "A local track needs a mid and a trackName");
    const section = session.section(mid);
    if (section === undefined) throw new RtcError(400, "invalid_params", `The offer has no media section with the mid "${mid}"`);
    this.#publish(session, section, trackName);
    return { location, mid, trackName };
  }

  /** A track that the client offers to take: in the section that it names, or in the first that fits. */
  #pullOffered(app: string, session: Session, asked: TrackAsked): Item {
    const { location, sessionId, trackName, mid } = asked;
    const { source, publisher } = this.#source(app, asked);
    const section = session.sections.find(
      (one) => (mid === undefined || one.mid === mid) && session.deliver(one, source, publisher, simulcastOf(asked)),
    );
    if (section === undefined)
      throw new RtcError(400, "invalid_params", "The offer has no media section in which the client would take the track");
    return { location, sessionId, trackName, ...(asked.simulcast && { simulcast: asked.simulcast }), mid: section.mid };
  }

  #publish(session: Session, section: Section, trackName: string): void {
    if (section.rejected || section.kind === "application")
      throw new RtcError(400, "invalid_params", "The media section has no codec that is supported");
    if (section.direction !== "recvonly" && section.direction !== "sendrecv")
      throw new RtcError(400, "empty_track_error", "The client does not send in this media section");
    if (section.inbound?.closed === false && section.inbound.name === trackName) return;
    if (section.inbound?.closed === false || isPublished(session, trackName))
      throw new RtcError(400, "repeated_local_track_error", `The session has a track "${trackName}" already, or another in this section`);
    session.publish(section, trackName);
  }

  #discover(session: Session): Item[] {
    const fresh = session.sections.filter(
      ({ kind, rejected, direction, inbound }) =>
        kind !== "application" &&
        !rejected &&
        (direction === "recvonly" || direction === "sendrecv") &&
        (inbound === undefined || inbound.closed),
    );
    return fresh.map((section) => {
      const trackName = randomUUID();
      session.publish(section, trackName);
      return { location: "local", mid: section.mid, trackName };
    });
  }

  #offerToTake(session: Session, { location, kind, trackName, bidirectionalMediaStream }: TrackAsked): Item {
    if (kind === undefined || trackName === undefined)
      throw new RtcError(400, "invalid_params", "A local track without an offer needs a kind and a trackName");
    if (isPublished(session, trackName))
      throw new RtcError(400, "repeated_local_track_error", `The session has a track "${trackName}" already`);
    const { mid } = session.offerToTake(kind, trackName, bidirectionalMediaStream === true);
    return { location, mid, trackName };
  }

  #pull(app: string, session: Session, asked: TrackAsked): Item {
    const { location, sessionId, trackName, mid: wanted } = asked;
    const { source, publisher } = this.#source(app, asked);
    const shown = { location, sessionId, trackName, ...(asked.simulcast && { simulcast: asked.simulcast }) };
    if (wanted !== undefined) {
      const section = this.#existing(session, wanted);
      if (!session.replace(section, source, publisher, simulcastOf(asked)))
        throw new RtcError(400, "update_track_error", "The media section cannot carry the track");
      return { ...shown, mid: section.mid };
    }
    const section = session.subscribe(source, publisher, simulcastOf(asked));
    return { ...shown, mid: section.mid };
  }

  #source(app: string, { sessionId, trackName }: TrackAsked) {
    if (sessionId === undefined || trackName === undefined)
      throw new RtcError(400, "invalid_params", "A remote track needs a sessionId and a trackName");
    const publisher = this.#publisher(app, sessionId)?.session;
    const source = publisher && published(publisher, trackName);
    if (publisher === undefined || source === undefined)
      throw new RtcError(404, "not_found_track_error", `There is no track "${trackName}" in that session`);
    return { source, publisher };
  }

  /** By its mid, or as "#name" by the track that the client sends in it. */
  #existing(session: Session, mid: string): Section {
    const section = mid.startsWith("#")
      ? session.sections.find(({ inbound }) => inbound?.closed === false && inbound.name === mid.slice(1))
      : session.section(mid);
    if (section === undefined) throw new RtcError(400, "invalid_params", `The session has no media section "${mid}"`);
    return section;
  }

  /** The client offers to take what another session sends: the answer has it. */
  #play(app: string, { session }: Entry, { sessionDescription, publisher: id }: Body<"play">): Item {
    const publisher = this.#publisher(app, id)?.session;
    if (publisher === undefined) throw new RtcError(404, "not_found", "There is no such session");
    session.takeOffer(sessionDescription.sdp);
    const left = new Set(publisher.sections.flatMap(({ inbound }) => (inbound?.closed === false ? [inbound] : [])));
    const sent = left.size;
    for (const section of session.sections) {
      const source = [...left].find(({ kind }) => kind === section.kind);
      if (source !== undefined && session.deliver(section, source, publisher, {})) left.delete(source);
    }
    if (left.size === sent) throw new RtcError(406, "invalid_session_description", "The client takes nothing of what is sent");
    return { sessionDescription: session.describe("answer") };
  }

  #renegotiate({ session }: Entry, { sessionDescription }: Body<"renegotiate">): Item {
    if (sessionDescription.type === "answer") {
      session.takeAnswer(sessionDescription.sdp);
      return {};
    }
    session.takeOffer(sessionDescription.sdp);
    return { sessionDescription: session.describe("answer") };
  }

  async #closeTracks(entry: Entry, { tracks, sessionDescription, force }: Body<"closeTracks">): Promise<Item> {
    await this.#ready(entry);
    const { session } = entry;
    const items = tracks.map(({ mid }) =>
      attempt({ mid }, () => {
        const section = session.section(mid);
        if (section === undefined || (section.inbound === undefined && section.outbound === undefined))
          throw new RtcError(404, "close_track_error", `There is no track with the mid "${mid}"`);
        session.stopFlow(section);
        if (force !== true) section.direction = "inactive";
        return { mid };
      }),
    );
    if (force === true || items.every((item) => "errorCode" in item)) return { requiresImmediateRenegotiation: false, tracks: items };
    if (sessionDescription !== undefined) {
      session.takeOffer(sessionDescription.sdp);
      return { requiresImmediateRenegotiation: false, tracks: items, sessionDescription: session.describe("answer") };
    }
    return { requiresImmediateRenegotiation: true, tracks: items, sessionDescription: session.describe("offer") };
  }

  async #updateTracks(app: string, entry: Entry, { tracks }: Body<"updateTracks">): Promise<Item> {
    await this.#ready(entry);
    const items = tracks.map((asked) =>
      attempt(asked, () => {
        if (asked.location !== "remote" || asked.mid === undefined)
          throw new RtcError(400, "update_track_error", "Only a remote track can be updated, by its mid");
        return this.#pull(app, entry.session, asked);
      }),
    );
    return { requiresImmediateRenegotiation: false, tracks: items };
  }

  #state({ session, channels }: Entry): Item {
    const now = this.#now();
    const tracks = session.sections.flatMap(({ mid, inbound, outbound }) => {
      const items: Item[] = [];
      if (inbound !== undefined) {
        const { name: trackName, lastPacketAt, closed } = inbound;
        const status = closed ? "inactive" : lastPacketAt < 0 ? "waiting" : now - lastPacketAt <= LIVE_MS ? "active" : "inactive";
        items.push({ location: "local", mid, trackName, status });
      }
      if (outbound !== undefined) {
        const { origin, source } = outbound;
        const status =
          source === undefined
            ? "inactive"
            : source.lastPacketAt < 0
              ? "waiting"
              : now - source.lastPacketAt <= LIVE_MS
                ? "active"
                : "inactive";
        items.push({ location: "remote", mid, ...origin, status });
      }
      return items;
    });
    const dataChannels = channels.list.map(({ id, location, name: dataChannelName, sessionId, open }) => ({
      ...{ location, id, dataChannelName, ...(sessionId !== undefined && { sessionId }) },
      status: open ? "active" : "waiting",
    }));
    return { tracks, dataChannels };
  }

  // --- data channels -----------------------------------------------------------------------------------------

  async #newChannels(app: string, entry: Entry, { dataChannels }: Body<"newChannels">): Promise<Item> {
    await this.#ready(entry);
    return { dataChannels: dataChannels.map((asked) => attempt(asked, () => this.#openChannel(app, entry, asked))) };
  }

  #openChannel(app: string, { channels }: Entry, asked: ChannelAsked): Item {
    const { location, dataChannelName, sessionId, canReply } = asked;
    if (location === "local") return { location, dataChannelName, id: channels.publish(dataChannelName, asked).id };
    const publisher = this.#publisher(app, sessionId);
    if (publisher === undefined) throw new RtcError(404, "not_found", "There is no such session in this app");
    const { id } = channels.subscribe(publisher.channels, dataChannelName, canReply === true, asked);
    return { location, dataChannelName, sessionId, id };
  }

  /** The transport of data channels, by an offer of either side. */
  #establishChannels(app: string, entry: Entry, { sessionDescription, dataChannel }: Body<"establishChannels">): Item {
    const { session } = entry;
    if (sessionDescription === undefined) session.offerChannels();
    else session.takeOffer(sessionDescription.sdp);
    const opened = dataChannel &&
      session.transport.sctp && { dataChannel: attempt(dataChannel, () => this.#openChannel(app, entry, dataChannel)) };
    return {
      requiresImmediateRenegotiation: sessionDescription === undefined,
      ...opened,
      sessionDescription: session.describe(sessionDescription === undefined ? "offer" : "answer"),
    };
  }

  #closeChannels({ channels }: Entry, { dataChannels }: Body<"closeChannels">): Item {
    const items = dataChannels.map(({ id }) =>
      attempt({ id }, () => {
        const channel = channels.byId(id);
        if (channel === undefined) throw new RtcError(404, "not_found", `The session has no data channel ${id}`);
        channel.close();
        return { id };
      }),
    );
    return { dataChannels: items };
  }

  // --- time --------------------------------------------------------------------------------------------------

  *#entries(): Generator<readonly [app: string, entry: Entry]> {
    for (const [app, sessions] of this.#apps) for (const entry of sessions.values()) yield [app, entry];
  }

  askLost(): void {
    for (const [, { session }] of this.#entries()) session.askLost();
  }

  /** Every second: reports of all sessions, and the end of those that are lost. */
  tick(): void {
    const now = this.#now();
    for (const [app, { session }] of [...this.#entries()]) {
      const { lastCheck } = session.transport.ice;
      if (lastCheck === 0 ? now - session.openedAt >= UNUSED_MS : now - lastCheck >= LOST_MS) this.#forget(app, session.id);
      else session.tick(this.#settings.trackTimeoutMs);
    }
  }

  /** The app is gone, and its secret good no more. */
  closeApp(app: string): void {
    for (const id of [...(this.#apps.get(app)?.keys() ?? [])]) this.#end(app, id);
  }

  #end(app: string, id: string): void {
    const entry = this.#apps.get(app)?.get(id);
    // Tells the session's tracks first, then comes back to be forgotten.
    void entry?.session.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries()].map(([, { session }]) => session.close()));
    this.#socket.close();
  }
}

/** One item fails alone: the others are answered as they are. */
function attempt(asked: object, work: () => Item): Item | (Item & Failed) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RtcError)) throw error;
    return { ...asked, errorCode: error.code, errorDescription: error.message };
  }
}

const published = (session: Session, name: string) =>
  session.sections.map(({ inbound }) => inbound).find((track) => track?.closed === false && track.name === name);
const isPublished = (session: Session, name: string): boolean => published(session, name) !== undefined;

function simulcastOf({ simulcast }: TrackAsked): Simulcast {
  if (simulcast === undefined) return {};
  const { preferredRid, priorityOrdering, ridNotAvailable, fallbackStrategy } = simulcast;
  if (fallbackStrategy === undefined)
    return { preferredRid, priorityOrdering: priorityOrdering ?? (preferredRid === undefined ? undefined : "none"), ridNotAvailable };
  const ordering = fallbackStrategy === "none" ? "none" : "asciibetical";
  return { preferredRid, priorityOrdering: priorityOrdering ?? ordering, ridNotAvailable: ridNotAvailable ?? ordering };
}
