/**
 * One client's session: its setup, its control messages in and out, its media in. What it may do its token has said. A client
 * that breaks the protocol loses its session with the draft's code; what it says about things that are not its own is refused.
 */
import type { SendStream, Session } from "../transport/session.ts";
import { StreamEnded } from "../transport/session.ts";
import { decodeMessage, encode, MAX_SUBSCRIBE_ID, type Message, ROLE, type Subscribe, VERSION } from "../wire/messages.ts";
import { StreamReader } from "../wire/stream-reader.ts";
import { readHeader, readObject, type SubgroupHeader } from "../wire/subgroup.ts";
import { ByteReader, ProtocolViolation } from "../wire/varint.ts";
import type { Listener, Publisher, Scope } from "./scope.ts";
import type { Subgroup } from "./subgroup.ts";
import { Subscription, type SubscriptionLimits } from "./subscription.ts";
import type { Track } from "./track.ts";

export interface PeerLimits extends SubscriptionLimits {
  /** Subscriptions, and announced namespaces, of one session. */
  readonly subscriptionsMax: number;
  readonly announcesMax: number;
  readonly objectMaxBytes: number;
  /** In milliseconds. */
  readonly setupTimeout: number;
}

export interface PeerRights {
  readonly publish: boolean;
  readonly subscribe: boolean;
  /** Whether its subgroup headers have a Subscribe ID. */
  readonly subscribeIdInHeaders: boolean;
}

/** Session termination (draft 07, section 3.5). */
const END = { none: 0x0, internal: 0x1, violation: 0x3, tooManySubscribes: 0x6 } as const;
/** SUBSCRIBE_ERROR (section 6.5.1) and ANNOUNCE_ERROR. */
const REFUSED = { internal: 0x0, doesNotExist: 0x4, unauthorized: 0x1, notSupported: 0x3 } as const;
const UNAUTHORIZED_SUBSCRIBE = 0x4;
const STATUS = { live: 0x00, doesNotExist: 0x01, unknown: 0x04 } as const;
const MESSAGE_MAX_BYTES = 64 * 1024;
/** Messages that a client has not taken yet. */
const UNSENT_MAX = 10_000;
const SERVER_SETUP_CONTROL_URGENCY = 0;

class Peer implements Publisher, Listener {
  readonly #session: Session;
  readonly #scope: Scope;
  readonly #rights: PeerRights;
  readonly #limits: PeerLimits;
  readonly #subscriptions = new Map<number, { readonly subscription: Subscription; readonly track: Track }>();
  readonly #announced = new Map<string, readonly Uint8Array[]>();
  /** Tracks that this client publishes to us, by our Subscribe ID, which is also the alias. */
  readonly #published = new Map<number, Track>();
  readonly #unsent: Buffer[] = [];
  #control: SendStream | undefined;
  #sending = false;
  #nextSubscribeId = 0;
  #theirMaxSubscribeId = Number.POSITIVE_INFINITY;
  #lastSubscribeId = -1;
  #maxSubscribeId: number;

  constructor(session: Session, scope: Scope, rights: PeerRights, limits: PeerLimits) {
    this.#session = session;
    this.#scope = scope;
    this.#rights = rights;
    this.#limits = limits;
    this.#maxSubscribeId = limits.subscriptionsMax;
  }

  async run(): Promise<void> {
    const late = setTimeout(() => this.#session.close(END.violation, "no setup came"), this.#limits.setupTimeout);
    try {
      const control = await this.#setup();
      clearTimeout(late);
      if (control === undefined) return;
      void this.#receiveMedia();
      for (;;) {
        if (await control.atEnd()) return this.#session.close(END.violation, "the control stream was closed");
        this.#take(await nextMessage(control));
      }
    } catch (cause) {
      this.#fail(cause);
    } finally {
      clearTimeout(late);
      this.#leave();
    }
  }

  // --- what the scope asks of a publisher and a listener ---

  subscribe(track: Track, { priority, order }: Pick<Subscribe, "priority" | "order">): () => void {
    const id = this.#nextSubscribeId++;
    if (id >= this.#theirMaxSubscribeId) {
      // The track has no subscriber before this returns: it is told of its refusal when it has.
      queueMicrotask(() => track.refused(REFUSED.internal, "the publisher takes no more subscriptions"));
      return () => {};
    }
    this.#published.set(id, track);
    this.#say(encode.subscribe({ id, alias: id, ...track.name, priority, order }));
    return () => {
      if (this.#published.delete(id)) this.#say(encode.unsubscribe(id));
    };
  }

  announced(namespace: readonly Uint8Array[]): void {
    this.#say(encode.announce(namespace));
  }

  unannounced(namespace: readonly Uint8Array[]): void {
    this.#say(encode.unannounce(namespace));
  }

  // --- control messages ---

  async #setup(): Promise<StreamReader | undefined> {
    const first = await this.#session.accept();
    if (first === undefined) return undefined;
    if (first.send === undefined) throw new ProtocolViolation("the first stream must be the control stream");
    this.#control = first.send;
    this.#control.prioritize(SERVER_SETUP_CONTROL_URGENCY);
    const reader = new StreamReader(first.receive);
    const setup = await nextMessage(reader);
    if (setup.type !== "clientSetup") throw new ProtocolViolation("the first message must be CLIENT_SETUP");
    if (!setup.versions.includes(VERSION)) throw new ProtocolViolation("draft 07 (0xff000007) is the version that is spoken here");
    if (!setup.parameters.has(ROLE)) throw new ProtocolViolation("CLIENT_SETUP has no role");
    const max = setup.parameters.get(MAX_SUBSCRIBE_ID);
    // A client that says nothing of it is not held to the draft's default of none: those of this draft never say.
    if (max !== undefined) this.#theirMaxSubscribeId = new ByteReader(max).varint();
    this.#say(encode.serverSetup(this.#maxSubscribeId));
    return reader;
  }

  #take(message: Message): void {
    switch (message.type) {
      case "announce":
        return void this.#takeAnnounce(message.namespace);
      case "unannounce":
        return void this.#unannounce(message.namespace);
      case "subscribe":
        return void this.#takeSubscribe(message);
      case "subscribeUpdate":
        return void this.#subscriptions.get(message.id)?.subscription.prioritize(message.priority);
      case "unsubscribe":
        return void this.#unsubscribe(message.id);
      case "subscribeOk":
        return void this.#published.get(message.id)?.accepted(message.order, message.largest);
      case "subscribeError":
        return void this.#endPublished(message.id, (track) => track.refused(message.code, message.reason));
      case "subscribeDone":
        return void this.#endPublished(message.id, (track) => track.done(message.code, message.reason));
      case "maxSubscribeId":
        this.#theirMaxSubscribeId = message.id;
        return;
      case "subscribeAnnounces":
        return void this.#listen(message.namespace);
      case "unsubscribeAnnounces":
        return void this.#scope.unlisten(this, message.namespace);
      case "trackStatusRequest": {
        const track = this.#scope.known(message);
        const other = this.#scope.isAnnounced(message.namespace) ? STATUS.unknown : STATUS.doesNotExist;
        return void this.#say(encode.trackStatus(message, track?.largest === undefined ? other : STATUS.live, track?.largest));
      }
      case "fetch":
        return void this.#say(encode.fetchError(message.id, REFUSED.internal, "FETCH is not supported"));
      case "clientSetup":
        throw new ProtocolViolation("CLIENT_SETUP came twice");
      default:
    }
  }

  #takeAnnounce(namespace: readonly Uint8Array[]): void {
    const key = namespace.map((field) => Buffer.from(field).toString("hex")).join("/");
    if (!this.#rights.publish)
      return void this.#say(encode.announceError(namespace, REFUSED.unauthorized, "the token is for subscribing only"));
    if (this.#announced.has(key)) throw new ProtocolViolation("the namespace is announced already");
    if (this.#announced.size >= this.#limits.announcesMax)
      return void this.#say(encode.announceError(namespace, REFUSED.internal, "too many namespaces"));
    this.#announced.set(key, namespace);
    this.#say(encode.announceOk(namespace));
    return void this.#scope.announce(namespace, this);
  }

  #unannounce(namespace: readonly Uint8Array[]): void {
    const key = namespace.map((field) => Buffer.from(field).toString("hex")).join("/");
    if (this.#announced.delete(key)) this.#scope.unannounce(namespace, this);
  }

  #listen(prefix: readonly Uint8Array[]): void {
    if (!this.#scope.listen(prefix, this))
      return void this.#say(encode.subscribeAnnouncesError(prefix, REFUSED.internal, "the prefix overlaps with another"));
    this.#say(encode.subscribeAnnouncesOk(prefix));
    for (const namespace of this.#scope.announcedUnder(prefix)) this.announced(namespace);
  }

  #takeSubscribe(request: Subscribe): void {
    const { id } = request;
    if (id <= this.#lastSubscribeId) throw new ProtocolViolation("a Subscribe ID must be larger than those before");
    if (id >= this.#maxSubscribeId) return void this.#session.close(END.tooManySubscribes, "the Subscribe ID is too large");
    this.#lastSubscribeId = id;
    const refuse = (code: number, reason: string): void => {
      this.#subscriptions.delete(id);
      this.#say(encode.subscribeError(id, code, reason, request.alias));
    };
    this.#allowMore();
    if (!this.#rights.subscribe) return void refuse(UNAUTHORIZED_SUBSCRIBE, "the token is for publishing only");
    if (this.#subscriptions.size >= this.#limits.subscriptionsMax) return void refuse(REFUSED.internal, "too many subscriptions");
    const track = this.#scope.track(request);
    if (track === undefined) return void refuse(REFUSED.doesNotExist, "nobody has announced the namespace");
    const subscription = new Subscription(request, this.#session, this.#rights.subscribeIdInHeaders, this.#limits);
    this.#subscriptions.set(id, { subscription, track });
    return void track.add({
      subscription,
      accepted: (order, largest) => this.#say(encode.subscribeOk(id, order, largest)),
      refused: refuse,
      done: (code, reason, final) => {
        this.#subscriptions.delete(id);
        this.#say(encode.subscribeDone(id, code, reason, final));
      },
    });
  }

  #unsubscribe(id: number): void {
    const known = this.#subscriptions.get(id);
    if (known === undefined) return;
    this.#subscriptions.delete(id);
    known.track.remove(known.subscription);
    this.#say(encode.subscribeDone(id, 0x0, "", known.subscription.final));
  }

  /** Ids are used once: the client gets new ones before it is out of them. */
  #allowMore(): void {
    if (this.#maxSubscribeId - this.#lastSubscribeId > this.#limits.subscriptionsMax / 2) return;
    this.#maxSubscribeId += this.#limits.subscriptionsMax;
    this.#say(encode.maxSubscribeId(this.#maxSubscribeId));
  }

  #endPublished(id: number, tell: (track: Track) => void): void {
    const track = this.#published.get(id);
    // The publisher has ended it: it is told nothing of it.
    this.#published.delete(id);
    if (track !== undefined) tell(track);
  }

  // --- media ---

  async #receiveMedia(): Promise<void> {
    for (let next = await this.#session.accept(); next !== undefined; next = await this.#session.accept()) {
      if (next.send !== undefined) return this.#session.close(END.violation, "there is one control stream");
      void this.#receiveSubgroup(new StreamReader(next.receive));
    }
    return undefined;
  }

  async #receiveSubgroup(reader: StreamReader): Promise<void> {
    let subgroup: Subgroup | undefined;
    try {
      const header = await readHeader(reader, this.#rights.subscribeIdInHeaders);
      const track = this.#trackOf(header);
      // Nobody subscribes any more.
      if (track === undefined) return reader.stream.stop(0);
      subgroup = track.open(header);
      for (;;) {
        const object = await readObject(reader, this.#limits.objectMaxBytes);
        if (object === undefined) return subgroup.end("ended");
        if (track !== this.#trackOf(header)) return reader.stream.stop(0);
        track.append(subgroup, object);
      }
    } catch (cause) {
      subgroup?.end("reset");
      if (!(cause instanceof StreamEnded)) this.#fail(cause);
    } finally {
      subgroup?.end("reset");
    }
  }

  #trackOf({ subscribeId, alias }: SubgroupHeader): Track | undefined {
    return this.#published.get(subscribeId ?? alias);
  }

  // --- the end ---

  #say(message: Buffer): void {
    if (this.#unsent.length >= UNSENT_MAX) return void this.#session.close(END.internal, "the control stream is not read");
    this.#unsent.push(message);
    if (!this.#sending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      for (let next = this.#unsent.shift(); next !== undefined; next = this.#unsent.shift()) await this.#control?.write(next);
    } catch {
      this.#session.close(END.violation, "the control stream was closed");
    } finally {
      this.#sending = false;
    }
  }

  #fail(cause: unknown): void {
    if (cause instanceof StreamEnded) return void this.#session.close(END.violation, "the control stream was closed");
    if (cause instanceof ProtocolViolation) return void this.#session.close(END.violation, cause.message);
    this.#session.close(END.internal, "");
    this.#limits.failed(cause);
  }

  #leave(): void {
    for (const { subscription, track } of this.#subscriptions.values()) track.remove(subscription);
    this.#subscriptions.clear();
    for (const namespace of this.#announced.values()) this.#scope.unannounce(namespace, this);
    this.#announced.clear();
    this.#scope.unlisten(this);
    const published = [...this.#published.values()];
    this.#published.clear();
    for (const track of published) track.lost();
  }
}

/** Serves a session until it ends; a fault of ours ends it too, and is told to `limits.failed`. */
export function servePeer(session: Session, scope: Scope, rights: PeerRights, limits: PeerLimits): Promise<void> {
  return new Peer(session, scope, rights, limits).run();
}

async function nextMessage(reader: StreamReader): Promise<Message> {
  const type = await reader.varint();
  const length = await reader.varint();
  if (length > MESSAGE_MAX_BYTES) throw new ProtocolViolation("a message is too long");
  return decodeMessage(type, await reader.bytes(length));
}
