/**
 * Has what the code of one process counted read from time to time, for figures that only the process knows. What it
 * counted since the last time is lost with a process that is killed.
 */
export class Meter {
  readonly #read: () => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  /** One at a time: who asks while it is being read shares the next one. */
  #last = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `failed` hears of readings that fail; the next one is the next try. */
  constructor(everyMs: number, read: () => Promise<void>, failed: (error: unknown) => void) {
    this.#read = () => read().catch(failed);
    this.#timer = setInterval(() => void this.read(), everyMs);
    this.#timer.unref();
  }

  /** Resolves when everything that was counted until now has been read. */
  read(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      return this.#read();
    });
    this.#last = this.#next;
    return this.#next;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
