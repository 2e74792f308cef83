/**
 * What a trusted Worker beside the user's has for the platform: one request at a time, and what comes meanwhile travels in
 * the next. Bounded; what does not fit is left out and counted.
 */
const WAITING_MAX_BYTES = 8 * 1024 * 1024;
/** A request to the platform that has not ended after this long was lost with its invocation. */
const STUCK_MS = 10_000;

export class Outbox {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #sendingSince = 0;

  /** Adds an item as JSON. */
  add(text: string): void {
    if (this.#waitingBytes + text.length > WAITING_MAX_BYTES) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
  }

  /** Sends what waits as `{ dropped, items }`, unless a request is under way that will do so when it has ended. */
  async send(sink: Fetcher): Promise<void> {
    if (Date.now() - this.#sendingSince < STUCK_MS) return;
    try {
      while (this.#waiting.length > 0) {
        this.#sendingSince = Date.now();
        const body = `{"dropped":${this.#dropped},"items":[${this.#waiting.join(",")}]}`;
        this.#waiting = [];
        this.#waitingBytes = 0;
        this.#dropped = 0;
        const answer = await sink.fetch("http://freehold/", { method: "POST", body });
        await answer.body?.cancel();
      }
    } finally {
      this.#sendingSince = 0;
    }
  }
}
