/** Limits by the second: so much in each, which begins with the first that is taken. Time is given, in milliseconds. */

export class Allowance {
  readonly #perSecond: number;
  #left = 0;
  #until = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Takes `amount` if there is as much. */
  take(amount: number, now: number): boolean {
    if (now >= this.#until) {
      this.#left = this.#perSecond;
      this.#until = now + 1000;
    }
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}
