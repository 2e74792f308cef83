/**
 * What one subscriber gets of a track: a stream for each subgroup from where its filter says. One that is too slow loses the
 * oldest groups, never more memory than `limits`: the streams of groups too far behind, or of too many bytes, are reset.
 */
import { type SendStream, type Session, StreamEnded } from "../transport/session.ts";
import type { Location, Subscribe } from "../wire/messages.ts";
import { encodeHeader, encodeObject } from "../wire/subgroup.ts";
import type { Subgroup } from "./subgroup.ts";

export interface SubscriptionLimits {
  /** A group that is so many behind the newest one is given up. */
  readonly groupsBehindMax: number;
  /** Bytes that may wait for one subscriber. */
  readonly queueMaxBytes: number;
  /** Hears of faults of ours. */
  readonly failed: (error: unknown) => void;
}

interface Delivery {
  readonly subgroup: Subgroup;
  readonly stream: SendStream;
  readonly stop: AbortController;
  /** Bytes of the subgroup that have been taken from it. */
  taken: number;
}

/** Of our resets: the subscriber is too slow. Draft 07 has no code for it; this is none of its own. */
const TOO_SLOW = 0x10;
const GIVEN_UP = 0x0;
const URGENCY_MIN = 1;
const URGENCY_MAX = 255;

export class Subscription {
  readonly id: number;
  readonly #request: Subscribe;
  readonly #session: Session;
  readonly #withSubscribeId: boolean;
  readonly #limits: SubscriptionLimits;
  readonly #deliveries = new Set<Delivery>();
  readonly #running = new Set<Promise<void>>();
  #priority: number;
  #newest = -1;
  #start: Location | undefined;
  /** The last object that was sent. */
  final: Location | undefined;

  constructor(request: Subscribe, session: Session, withSubscribeId: boolean, limits: SubscriptionLimits) {
    this.id = request.id;
    this.#request = request;
    this.#session = session;
    this.#withSubscribeId = withSubscribeId;
    this.#limits = limits;
    this.#priority = request.priority;
  }

  get order(): "ascending" | "descending" {
    return this.#request.order === "descending" ? "descending" : "ascending";
  }

  /** Groups after this one are not asked for. */
  get lastGroup(): number {
    const { filter } = this.#request;
    return filter.type === "absolute" && filter.end !== undefined ? filter.end.group : Number.POSITIVE_INFINITY;
  }

  /** Begins with what is kept of the track, whose newest object is at `largest`. */
  begin(kept: Iterable<Subgroup>, largest: Location | undefined): void {
    const { filter } = this.#request;
    if (filter.type === "absolute") this.#start = filter.start;
    else if (largest !== undefined)
      this.#start =
        filter.type === "latestGroup" ? { group: largest.group, object: 0 } : { group: largest.group, object: largest.object + 1 };
    for (const subgroup of kept) this.offer(subgroup);
  }

  /** A subgroup of the track, as soon as there is one. */
  offer(subgroup: Subgroup): void {
    const first = this.#start?.group ?? 0;
    if (subgroup.group < first || subgroup.group > this.lastGroup) return;
    this.#newest = Math.max(this.#newest, subgroup.group);
    this.#giveUpOld();
    if (subgroup.group < this.#newest - this.#limits.groupsBehindMax) return;
    const stream = this.#session.openUni(this.#urgency(subgroup));
    const delivery: Delivery = { subgroup, stream, stop: new AbortController(), taken: subgroup.total - subgroup.bytes };
    this.#deliveries.add(delivery);
    const running = this.#deliver(delivery).finally(() => {
      this.#deliveries.delete(delivery);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Something was appended to the track: more may wait now than is allowed. */
  appended(): void {
    let waiting = 0;
    for (const { subgroup, taken } of this.#deliveries) waiting += Math.max(0, subgroup.total - taken);
    for (const delivery of this.#byAge()) {
      if (waiting <= this.#limits.queueMaxBytes) return;
      waiting -= Math.max(0, delivery.subgroup.total - delivery.taken);
      this.#cancel(delivery, TOO_SLOW);
    }
  }

  prioritize(priority: number): void {
    this.#priority = priority;
    for (const { stream, subgroup } of this.#deliveries) stream.prioritize(this.#urgency(subgroup));
  }

  /** Ends all its streams. */
  cancel(): void {
    for (const delivery of this.#deliveries) this.#cancel(delivery, GIVEN_UP);
  }

  /** Resolves when what has been offered is sent or given up. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const { subgroup, stream, stop } = delivery;
    try {
      await stream.write(
        encodeHeader({
          subscribeId: this.#withSubscribeId ? this.id : undefined,
          alias: this.#request.alias,
          group: subgroup.group,
          subgroup: subgroup.id,
          priority: subgroup.priority,
        }),
      );
      for (let place = subgroup.first; ; place++) {
        const object = await subgroup.at(place, stop.signal);
        if (stop.signal.aborted) return;
        if (object === "gone") return stream.reset(TOO_SLOW);
        if (object === undefined) return subgroup.state === "ended" ? stream.finish() : stream.reset(GIVEN_UP);
        if (this.#wants(subgroup.group, object.id)) {
          await stream.write(encodeObject(object));
          this.final = { group: subgroup.group, object: object.id };
        }
        delivery.taken += object.payload.length;
      }
    } catch (cause) {
      // Usually the subscriber wants no more of this stream, or has gone; its session tells.
      if (!(cause instanceof StreamEnded)) this.#limits.failed(cause);
      stream.reset(GIVEN_UP);
    }
  }

  #wants(group: number, object: number): boolean {
    if (this.#start !== undefined && group === this.#start.group && object < this.#start.object) return false;
    const { filter } = this.#request;
    if (filter.type !== "absolute" || filter.end === undefined || group < filter.end.group || filter.end.object === 0) return true;
    // The end's object is the first one that is not wanted.
    return object < filter.end.object;
  }

  #giveUpOld(): void {
    for (const delivery of this.#deliveries) {
      if (delivery.subgroup.group < this.#newest - this.#limits.groupsBehindMax) this.#cancel(delivery, TOO_SLOW);
      else if (this.order === "descending") delivery.stream.prioritize(this.#urgency(delivery.subgroup));
    }
  }

  #cancel(delivery: Delivery, code: number): void {
    this.#deliveries.delete(delivery);
    delivery.stop.abort();
    delivery.stream.reset(code);
  }

  #byAge(): Delivery[] {
    return [...this.#deliveries].sort((a, b) => a.subgroup.group - b.subgroup.group || a.subgroup.id - b.subgroup.id);
  }

  /**
   * The subscriber's priority, then the publisher's, then the order of groups (draft 07, section 5): streams of one urgency are
   * sent in the order of their opening, which is that of groups, so only the newest first needs a rank of its own.
   */
  #urgency({ group, priority }: Subgroup): number {
    const rank = (this.#priority & 0xf8) | (priority >> 5);
    const age = this.order === "descending" ? Math.max(0, this.#newest - group) : 0;
    return Math.min(URGENCY_MAX, Math.max(URGENCY_MIN, rank) + age);
  }
}
