/**
 * How many requests the account's Workers may have in a day, which begins at midnight UTC: the free plan's limit of the
 * real service (docs: Workers, Limits, "Daily request"), off unless `workers.daily_requests` sets one. Counted in memory;
 * a start takes up what the figures of invocations have for the day.
 */
import type { Clock } from "../../kernel/clock.ts";

const DAY_MS = 86_400_000;

export class DailyLimit {
  #max: number;
  #clock: Clock;
  #day: number;
  #count: number;

  /** `max` 0: no limit. `already` of today. */
  constructor(max: number, clock: Clock, already: number) {
    this.#max = max;
    this.#clock = clock;
    this.#day = Math.floor(clock.now() / DAY_MS);
    this.#count = already;
  }

  /** Counts a request; false when it is one too many. */
  take(): boolean {
    if (this.#max === 0) return true;
    const day = Math.floor(this.#clock.now() / DAY_MS);
    if (day !== this.#day) {
      this.#day = day;
      this.#count = 0;
    }
    if (this.#count >= this.#max) return false;
    this.#count++;
    return true;
  }
}

/** Milliseconds at which the day of `now` began. */
export const dayOf = (now: number): number => Math.floor(now / DAY_MS) * DAY_MS;
