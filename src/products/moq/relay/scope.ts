/**
 * The namespaces and tracks of one relay, which no other relay's sessions see. A track is asked of its publisher once; of
 * several sessions that announce a namespace the newest is asked. State lives in memory and ends with the sessions.
 */
import type { Subscribe, TrackName } from "../wire/messages.ts";
import { Track, type TrackLimits } from "./track.ts";

/** A session that announced namespaces. */
export interface Publisher {
  /** Subscribes to the track; what comes of it goes to the track. Returns how to end it. */
  subscribe(track: Track, like: Pick<Subscribe, "priority" | "order">): () => void;
}

/** A session that wants to hear of namespaces under a prefix. */
export interface Listener {
  announced(namespace: readonly Uint8Array[]): void;
  unannounced(namespace: readonly Uint8Array[]): void;
}

export class Scope {
  readonly #limits: TrackLimits;
  readonly #publishers = new Map<string, { readonly namespace: readonly Uint8Array[]; readonly sessions: Publisher[] }>();
  readonly #tracks = new Map<string, Track>();
  readonly #listeners = new Map<Listener, Map<string, readonly Uint8Array[]>>();

  constructor(limits: TrackLimits) {
    this.#limits = limits;
  }

  /** Nobody announces, subscribes or listens. */
  get idle(): boolean {
    return this.#publishers.size === 0 && this.#tracks.size === 0 && this.#listeners.size === 0;
  }

  announce(namespace: readonly Uint8Array[], publisher: Publisher): void {
    const key = keyOf(namespace);
    const known = this.#publishers.get(key);
    if (known !== undefined) return void known.sessions.push(publisher);
    this.#publishers.set(key, { namespace, sessions: [publisher] });
    for (const [listener, prefixes] of this.#listeners)
      if ([...prefixes.values()].some((prefix) => startsWith(namespace, prefix))) listener.announced(namespace);
  }

  unannounce(namespace: readonly Uint8Array[], publisher: Publisher): void {
    const key = keyOf(namespace);
    const known = this.#publishers.get(key);
    const place = known?.sessions.indexOf(publisher) ?? -1;
    if (known === undefined || place < 0) return;
    known.sessions.splice(place, 1);
    if (known.sessions.length > 0) return;
    this.#publishers.delete(key);
    for (const [listener, prefixes] of this.#listeners)
      if ([...prefixes.values()].some((prefix) => startsWith(namespace, prefix))) listener.unannounced(namespace);
  }

  /** Hears of what there is and what comes. False when the prefix meets one that the session listens to (draft 07, section 6.13). */
  listen(prefix: readonly Uint8Array[], listener: Listener): boolean {
    const prefixes = this.#listeners.get(listener) ?? new Map<string, readonly Uint8Array[]>();
    if ([...prefixes.values()].some((other) => startsWith(prefix, other) || startsWith(other, prefix))) return false;
    this.#listeners.set(listener, prefixes.set(keyOf(prefix), prefix));
    return true;
  }

  /** Of what there is, what begins with the prefix. */
  announcedUnder(prefix: readonly Uint8Array[]): (readonly Uint8Array[])[] {
    return [...this.#publishers.values()].map(({ namespace }) => namespace).filter((namespace) => startsWith(namespace, prefix));
  }

  unlisten(listener: Listener, prefix?: readonly Uint8Array[]): void {
    const prefixes = this.#listeners.get(listener);
    if (prefix !== undefined) prefixes?.delete(keyOf(prefix));
    if (prefix === undefined || prefixes?.size === 0) this.#listeners.delete(listener);
  }

  isAnnounced(namespace: readonly Uint8Array[]): boolean {
    return this.#publishers.has(keyOf(namespace));
  }

  /** The track as it is now, if somebody subscribes to it. */
  known(name: TrackName): Track | undefined {
    return this.#tracks.get(trackKey(name));
  }

  /** The track for one more subscriber; undefined when nobody announces its namespace. */
  track(request: Subscribe): Track | undefined {
    const key = trackKey(request);
    const known = this.#tracks.get(key);
    if (known !== undefined) return known;
    const publisher = this.#publishers.get(keyOf(request.namespace))?.sessions.at(-1);
    if (publisher === undefined) return undefined;
    let end: () => void = () => {};
    const track: Track = new Track({ namespace: request.namespace, name: request.name }, this.#limits, () => {
      if (this.#tracks.get(key) === track) this.#tracks.delete(key);
      end();
    });
    this.#tracks.set(key, track);
    end = publisher.subscribe(track, request);
    return track;
  }
}

function keyOf(fields: readonly Uint8Array[]): string {
  return fields.map((field) => Buffer.from(field).toString("hex")).join("/");
}

const trackKey = ({ namespace, name }: TrackName): string => `${keyOf(namespace)} ${Buffer.from(name).toString("hex")}`;

function startsWith(namespace: readonly Uint8Array[], prefix: readonly Uint8Array[]): boolean {
  return prefix.every((field, place) => namespace[place] !== undefined && Buffer.compare(field, namespace[place]) === 0);
}
