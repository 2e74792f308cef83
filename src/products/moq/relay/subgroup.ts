/**
 * The objects of one subgroup as they come from the publisher, for everyone to whom they go. It keeps the newest bytes only:
 * who reads too slowly finds that his place is gone.
 */
import type { MediaObject } from "../wire/subgroup.ts";

export class Subgroup {
  readonly group: number;
  readonly id: number;
  readonly priority: number;
  readonly #maxBytes: number;
  readonly #objects: MediaObject[] = [];
  readonly #waiting = new Set<() => void>();
  /** Objects that are gone from the front. */
  #dropped = 0;
  #bytes = 0;
  #total = 0;
  #state: "open" | "ended" | "reset" = "open";

  constructor({ group, subgroup, priority }: { group: number; subgroup: number; priority: number }, maxBytes: number) {
    this.group = group;
    this.id = subgroup;
    this.priority = priority;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that have come. */
  get total(): number {
    return this.#total;
  }

  get state(): "open" | "ended" | "reset" {
    return this.#state;
  }

  /** Place of the oldest object that is kept. */
  get first(): number {
    return this.#dropped;
  }

  append(object: MediaObject): void {
    this.#objects.push(object);
    this.#bytes += object.payload.length;
    this.#total += object.payload.length;
    while (this.#bytes > this.#maxBytes && this.#objects.length > 1) {
      this.#bytes -= (this.#objects.shift() as MediaObject).payload.length;
      this.#dropped += 1;
    }
    this.#wake();
  }

  /** "reset": its sender gave it up, and so do we. */
  end(state: "ended" | "reset"): void {
    if (this.#state === "open") this.#state = state;
    this.#wake();
  }

  /** The object of that place when there is one; "gone" when it was not kept; undefined when there will be none. */
  async at(place: number, signal: AbortSignal): Promise<MediaObject | "gone" | undefined> {
    for (;;) {
      if (place < this.#dropped) return "gone";
      const object = this.#objects[place - this.#dropped];
      if (object !== undefined || this.#state !== "open" || signal.aborted) return object;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal.addEventListener("abort", wake);
      });
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
