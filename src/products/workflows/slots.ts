/** How many instances of a workflow may run at a time. Who has begun before goes on before anything new begins. */
export class Slots {
  readonly #limit: () => number;
  readonly #waiting: (() => void)[] = [];
  #used = 0;

  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** How many more may begin. */
  get free(): number {
    return this.#waiting.length > 0 ? 0 : Math.max(0, this.#limit() - this.#used);
  }

  take(): void {
    this.#used++;
  }

  /** Resolves when the caller may go on. A caller that is gone by then gives it back. */
  async takeInTurn(): Promise<void> {
    if (this.#used >= this.#limit()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#used++;
  }

  give(): void {
    this.#used--;
    if (this.#used < this.#limit()) this.#waiting.shift()?.();
  }
}
