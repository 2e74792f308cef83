/**
 * Data channels: what a publisher sends on one goes to every subscriber. The ids are given out here, odd ones, because the
 * clients' own channels have the even ones. A subscriber that does not read is cut off rather than waited for.
 */
import { RTCDataChannel, RTCDataChannelParameters } from "werift";
import { RtcError } from "../errors.ts";
import type { Session } from "./session.ts";

export interface ChannelOptions {
  readonly ordered?: boolean | undefined;
  readonly maxRetransmits?: number | undefined;
  readonly maxPacketLifeTime?: number | undefined;
}

export interface Channel {
  readonly id: number;
  readonly location: "local" | "remote";
  readonly name: string;
  /** The publisher's, for a remote one. */
  readonly sessionId: string | undefined;
  readonly open: boolean;
  close(): void;
}

const ID_MAX = 1023;
const UNSENT_MAX_BYTES = 4 * 1024 * 1024;

interface Publication {
  readonly channel: RTCDataChannel;
  readonly subscribers: Set<RTCDataChannel>;
  replier: RTCDataChannel | undefined;
}

/** The channels of one session. */
export class Channels {
  readonly #session: Session;
  readonly #publications = new Map<string, Publication>();
  readonly #all = new Map<number, Channel>();
  #next = 1;

  constructor(session: Session) {
    this.#session = session;
  }

  get list(): readonly Channel[] {
    return [...this.#all.values()];
  }

  byId(id: number): Channel | undefined {
    return this.#all.get(id);
  }

  #create(label: string, { ordered = true, maxRetransmits, maxPacketLifeTime }: ChannelOptions): RTCDataChannel {
    const { sctp } = this.#session.transport;
    if (sctp === undefined) throw new RtcError(406, "session_error", "The session has no transport for data channels");
    // A client may have opened channels under odd ids, too.
    while (this.#all.has(this.#next) || sctp.dataChannels[this.#next] !== undefined) this.#next += 2;
    if (this.#next > ID_MAX) throw new RtcError(400, "invalid_params", "The session has as many data channels as it may");
    const limits = {
      ...(maxRetransmits !== undefined && { maxRetransmits }),
      ...(maxPacketLifeTime !== undefined && { maxPacketLifeTime }),
    };
    const channel = new RTCDataChannel(sctp, new RTCDataChannelParameters({ label, ordered, negotiated: true, id: this.#next, ...limits }));
    this.#next += 2;
    return channel;
  }

  publish(name: string, options: ChannelOptions): Channel {
    if (this.#publications.has(name)) throw new RtcError(400, "invalid_params", `The session has a data channel "${name}" already`);
    const channel = this.#create(name, options);
    const publication: Publication = { channel, subscribers: new Set(), replier: undefined };
    this.#publications.set(name, publication);
    channel.onMessage.subscribe((message) => {
      for (const subscriber of publication.subscribers) pass(subscriber, message);
    });
    return this.#keep(channel, "local", name, undefined, () => {
      this.#publications.delete(name);
      for (const subscriber of publication.subscribers) subscriber.close();
      publication.subscribers.clear();
    });
  }

  subscribe(publisher: Channels, name: string, canReply: boolean, options: ChannelOptions): Channel {
    const publication = publisher.#publications.get(name);
    if (publication === undefined) throw new RtcError(404, "not_found", `The session has no data channel "${name}"`);
    if (canReply && publication.replier !== undefined) throw new RtcError(400, "invalid_params", "Another subscriber may reply already");
    const channel = this.#create(name, options);
    publication.subscribers.add(channel);
    if (canReply) {
      publication.replier = channel;
      channel.onMessage.subscribe((message) => pass(publication.channel, message));
    }
    return this.#keep(channel, "remote", name, publisher.#session.id, () => {
      publication.subscribers.delete(channel);
      if (publication.replier === channel) publication.replier = undefined;
    });
  }

  #keep(channel: RTCDataChannel, location: Channel["location"], name: string, sessionId: string | undefined, ended: () => void): Channel {
    const { id } = channel;
    const kept: Channel = {
      ...{ id, location, name, sessionId },
      get open() {
        return channel.readyState === "open";
      },
      close: () => channel.close(),
    };
    this.#all.set(id, kept);
    channel.stateChange.subscribe((state) => {
      if (state !== "closed") return;
      this.#all.delete(id);
      ended();
    });
    return kept;
  }

  close(): void {
    for (const { subscribers } of this.#publications.values()) {
      for (const subscriber of subscribers) subscriber.close();
      subscribers.clear();
    }
    for (const channel of this.#all.values()) channel.close();
    this.#publications.clear();
    this.#all.clear();
  }
}

function pass(channel: RTCDataChannel, message: string | Buffer): void {
  if (channel.readyState !== "open") return;
  const unread = channel.bufferedAmount > UNSENT_MAX_BYTES;
  // Nothing of a channel may be left out, so one that cannot be kept up ends.
  if (unread || message.length > channel.sctp.remoteMaxMessageSize) channel.close();
  else channel.send(message);
}
