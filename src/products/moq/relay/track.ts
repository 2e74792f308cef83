/**
 * A track that somebody subscribes to: one subscription to its publisher, however many there are to us. It keeps the newest
 * groups, so that who comes late begins with the start of one; it ends with its last subscriber or with its publisher.
 */
import type { GroupOrder, Location, TrackName } from "../wire/messages.ts";
import type { MediaObject, SubgroupHeader } from "../wire/subgroup.ts";
import { Subgroup } from "./subgroup.ts";
import type { Subscription } from "./subscription.ts";

/** Who is told how a track goes on, for one subscription. */
export interface Subscriber {
  readonly subscription: Subscription;
  accepted(order: GroupOrder, largest: Location | undefined): void;
  refused(code: number, reason: string): void;
  /** Everything that was offered has been sent. */
  done(code: number, reason: string, final: Location | undefined): void;
}

export interface TrackLimits {
  readonly groupsKept: number;
  readonly keptMaxBytes: number;
}

const ENDED_BY_RANGE = 0x4;

export class Track {
  readonly name: TrackName;
  readonly #limits: TrackLimits;
  readonly #abandoned: () => void;
  readonly #subscribers = new Map<Subscription, Subscriber>();
  readonly #kept: Subgroup[] = [];
  #state: "asked" | "live" | "over" = "asked";
  #order: GroupOrder = "ascending";
  #largest: Location | undefined;

  /** `abandoned` is called when nobody subscribes any more. */
  constructor(name: TrackName, limits: TrackLimits, abandoned: () => void) {
    this.name = name;
    this.#limits = limits;
    this.#abandoned = abandoned;
  }

  get largest(): Location | undefined {
    return this.#largest;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.set(subscriber.subscription, subscriber);
    if (this.#state === "live") this.#accept(subscriber);
  }

  remove(subscription: Subscription): void {
    if (!this.#subscribers.delete(subscription)) return;
    subscription.cancel();
    if (this.#subscribers.size === 0 && this.#state !== "over") this.#end();
  }

  /** The publisher serves the track. */
  accepted(order: GroupOrder, largest: Location | undefined): void {
    if (this.#state !== "asked") return;
    this.#state = "live";
    this.#order = order === "publisher" ? "ascending" : order;
    this.#largest = later(this.#largest, largest);
    for (const subscriber of this.#subscribers.values()) this.#accept(subscriber);
  }

  /** The publisher does not serve it, or has gone before it said so. */
  refused(code: number, reason: string): void {
    const subscribers = [...this.#subscribers.values()];
    this.#subscribers.clear();
    this.#end();
    for (const subscriber of subscribers) subscriber.refused(code, reason);
  }

  /** The publisher ended it. */
  done(code: number, reason: string): void {
    if (this.#state === "asked") return void this.refused(code, reason);
    const subscribers = [...this.#subscribers.values()];
    this.#subscribers.clear();
    this.#end();
    for (const { subscription, done } of subscribers) void subscription.idle().then(() => done(code, reason, subscription.final));
  }

  /** The publisher has gone: what it has not finished never will be. */
  lost(): void {
    for (const subgroup of this.#kept) subgroup.end("reset");
    this.done(0x1, "the publisher has gone");
  }

  /** A stream of the publisher begins. */
  open(header: SubgroupHeader): Subgroup {
    const subgroup = new Subgroup(header, this.#limits.keptMaxBytes);
    this.#kept.push(subgroup);
    this.#largest = later(this.#largest, { group: header.group, object: 0 });
    this.#trim();
    if (this.#state === "live")
      for (const subscriber of [...this.#subscribers.values()]) {
        if (header.group > subscriber.subscription.lastGroup) this.#complete(subscriber);
        else subscriber.subscription.offer(subgroup);
      }
    return subgroup;
  }

  append(subgroup: Subgroup, object: MediaObject): void {
    this.#largest = later(this.#largest, { group: subgroup.group, object: object.id });
    subgroup.append(object);
    this.#trim();
    for (const subscription of this.#subscribers.keys()) subscription.appended();
  }

  #accept(subscriber: Subscriber): void {
    const { subscription } = subscriber;
    subscriber.accepted(subscription.order === "descending" ? "descending" : this.#order, this.#largest);
    subscription.begin(this.#kept, this.#largest);
  }

  /** All groups that it asked for have begun; what is under way is still sent. */
  #complete({ subscription, done }: Subscriber): void {
    this.#subscribers.delete(subscription);
    void subscription.idle().then(() => done(ENDED_BY_RANGE, "", subscription.final));
    if (this.#subscribers.size === 0) this.#end();
  }

  #trim(): void {
    const oldest = (this.#largest?.group ?? 0) - this.#limits.groupsKept;
    let bytes = this.#kept.reduce((sum, one) => sum + one.bytes, 0);
    const newest = this.#kept.at(-1);
    for (const subgroup of [...this.#kept]) {
      if (subgroup === newest || (subgroup.group > oldest && bytes <= this.#limits.keptMaxBytes)) continue;
      bytes -= subgroup.bytes;
      this.#kept.splice(this.#kept.indexOf(subgroup), 1);
    }
  }

  #end(): void {
    this.#state = "over";
    this.#abandoned();
  }
}

function later(a: Location | undefined, b: Location | undefined): Location | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.group > b.group || (a.group === b.group && a.object >= b.object) ? a : b;
}
