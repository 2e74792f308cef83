/**
 * The vectors that may be the nearest, from estimates with error bounds: whoever could be among the first `count` is kept,
 * so that a look at the true values of those alone gives the true answer. Estimates come in pieces, for indexes that are
 * larger than memory.
 */
import type { Estimates } from "./codes.ts";

export class Candidates {
  readonly #count: number;
  /** The `count` smallest upper bounds seen, the largest of them first: a binary heap. */
  readonly #bounds: number[] = [];
  #kept: { readonly slot: number; readonly distance: number; readonly least: number }[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  add({ slots, distances, errors }: Estimates): void {
    for (let i = 0; i < slots.length; i++) this.#offer((distances[i] as number) + (errors[i] as number));
    const limit = this.#limit();
    this.#kept = this.#kept.filter(({ least }) => least <= limit);
    for (let i = 0; i < slots.length; i++) {
      const distance = distances[i] as number;
      const least = distance - (errors[i] as number);
      if (least <= limit) this.#kept.push({ slot: slots[i] as number, distance, least });
    }
  }

  /** Slots that may be among the nearest, the likeliest first; with `most`, no more than that many of them. */
  slots(most = Number.POSITIVE_INFINITY): number[] {
    const sorted = this.#kept.sort((a, b) => a.distance - b.distance);
    return sorted.slice(0, most).map(({ slot }) => slot);
  }

  /** No vector whose distance is surely above this is among the nearest. */
  #limit(): number {
    return this.#bounds.length < this.#count ? Number.POSITIVE_INFINITY : (this.#bounds[0] as number);
  }

  #offer(bound: number): void {
    const heap = this.#bounds;
    if (heap.length < this.#count) {
      heap.push(bound);
      for (let at = heap.length - 1; at > 0; ) {
        const parent = (at - 1) >> 1;
        if ((heap[parent] as number) >= (heap[at] as number)) return;
        this.#swap(at, parent);
        at = parent;
      }
      return;
    }
    if (bound >= (heap[0] as number)) return;
    heap[0] = bound;
    for (let at = 0; ; ) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && (heap[child] as number) > (heap[largest] as number)) largest = child;
      if (largest === at) return;
      this.#swap(at, largest);
      at = largest;
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#bounds;
    [heap[a], heap[b]] = [heap[b] as number, heap[a] as number];
  }
}
