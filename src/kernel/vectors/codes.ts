/**
 * What an index keeps in memory of its vectors: each number as one byte, with the vector's scale, norm, and how far the
 * bytes are from it. The store on disk has the truth; codes say which vectors are worth a look there, and they say it with
 * a bound: the distance that they estimate is never off by more than `errors` tells.
 */
import { type DotKernel, LANES } from "./dot-kernel.ts";

export const METRICS = ["cosine", "euclidean", "dot-product"] as const;
export type Metric = (typeof METRICS)[number];

/** Rows of one piece of memory. */
const BLOCK_ROWS = 4096;
const CODE_MAX = 127;
/** 13 bits: see `dot-kernel.ts`. */
const QUERY_CODE_MAX = 8191;
/** Of sums in 32-bit floats, relative to the lengths of both vectors. */
const ROUNDING = 1e-6;

/** Distances of some slots from a query, smaller is nearer: the metric's own order, not its score. */
export interface Estimates {
  readonly slots: Uint32Array;
  readonly distances: Float32Array;
  /** Greatest difference from the true distance. */
  readonly errors: Float32Array;
}

/** Bytes of memory that one vector takes. */
export const codeBytes = (dimensions: number): number => Math.ceil(dimensions / LANES) * LANES + 13;

export class Codes {
  readonly #width: number;
  readonly #first: number;
  readonly #blocks: Int8Array[] = [];
  #scales = new Float32Array(0);
  #norms = new Float32Array(0);
  #residuals = new Float32Array(0);
  #live = new Uint8Array(0);
  #end = 0;

  /** `first`: the lowest slot that there will be. */
  constructor(dimensions: number, first = 0) {
    this.#width = Math.ceil(dimensions / LANES) * LANES;
    this.#first = first;
  }

  /** One more than the highest slot. */
  get end(): number {
    return this.#first + this.#end;
  }

  set(slot: number, values: Float32Array): void {
    const at = slot - this.#first;
    this.#grow(at);
    const block = this.#blocks[Math.floor(at / BLOCK_ROWS)] as Int8Array;
    const start = (at % BLOCK_ROWS) * this.#width;
    let largest = 0;
    let squares = 0;
    for (const value of values) {
      const size = Math.abs(value);
      if (size > largest) largest = size;
      squares += value * value;
    }
    const scale = largest / CODE_MAX;
    const inverse = largest === 0 ? 0 : CODE_MAX / largest;
    let left = 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      const code = Math.round(value * inverse);
      block[start + i] = code;
      const off = value - code * scale;
      left += off * off;
    }
    this.#scales[at] = scale;
    this.#norms[at] = Math.sqrt(squares);
    this.#residuals[at] = Math.sqrt(left) * 1.001;
    this.#live[at] = 1;
  }

  clear(slot: number): void {
    this.#live[slot - this.#first] = 0;
  }

  /** The distances of every vector, or of those that `wanted` picks. */
  estimate(kernel: DotKernel, metric: Metric, query: Float32Array, wanted?: (slot: number) => boolean): Estimates {
    const slots = this.#chosen(wanted);
    const distances = new Float32Array(slots.length);
    const errors = new Float32Array(slots.length);
    const { scale, norm, residual } = this.#prepare(kernel, query);
    const chunk = Math.min(BLOCK_ROWS, Math.floor(kernel.rows.length / this.#width));
    for (let from = 0; from < slots.length; ) {
      const count = this.#load(kernel, slots, from, chunk);
      kernel.run(this.#width, count);
      for (let i = from; i < from + count; i++) {
        const at = (slots[i] as number) - this.#first;
        const own = this.#norms[at] as number;
        const dot = (kernel.sums[i - from] as number) * (this.#scales[at] as number) * scale;
        const off = norm * (this.#residuals[at] as number) + residual * own * 1.01 + ROUNDING * norm * own;
        if (metric === "cosine") {
          const both = norm * own;
          distances[i] = both === 0 ? 0 : -dot / both;
          errors[i] = both === 0 ? 0 : off / both;
        } else if (metric === "euclidean") {
          distances[i] = norm * norm + own * own - 2 * dot;
          errors[i] = 2 * off + ROUNDING * (norm * norm + own * own);
        } else {
          distances[i] = -dot;
          errors[i] = off;
        }
      }
      from += count;
    }
    return { slots, distances, errors };
  }

  /** Live slots, ascending. */
  #chosen(wanted?: (slot: number) => boolean): Uint32Array {
    const slots = new Uint32Array(this.#end);
    let count = 0;
    for (let at = 0; at < this.#end; at++) {
      if (this.#live[at] === 0 || (wanted !== undefined && !wanted(this.#first + at))) continue;
      slots[count++] = this.#first + at;
    }
    return slots.subarray(0, count);
  }

  /** Copies codes of the slots from position `from` on, at most `most`, to the kernel; returns how many it took. */
  #load(kernel: DotKernel, slots: Uint32Array, from: number, most: number): number {
    const width = this.#width;
    let count = 0;
    while (count < most && from + count < slots.length) {
      const at = (slots[from + count] as number) - this.#first;
      const inBlock = at % BLOCK_ROWS;
      // Neighbours are copied together.
      let run = 1;
      const runMax = Math.min(most - count, BLOCK_ROWS - inBlock, slots.length - from - count);
      while (run < runMax && slots[from + count + run] === at + this.#first + run) run++;
      const block = this.#blocks[Math.floor(at / BLOCK_ROWS)] as Int8Array;
      kernel.rows.set(block.subarray(inBlock * width, (inBlock + run) * width), count * width);
      count += run;
    }
    return count;
  }

  #prepare(kernel: DotKernel, query: Float32Array): { scale: number; norm: number; residual: number } {
    let largest = 0;
    let squares = 0;
    for (const value of query) {
      largest = Math.max(largest, Math.abs(value));
      squares += value * value;
    }
    const scale = largest / QUERY_CODE_MAX;
    kernel.query.fill(0);
    let left = 0;
    for (let i = 0; i < query.length; i++) {
      const value = query[i] as number;
      const code = scale === 0 ? 0 : Math.round(value / scale);
      kernel.query[i] = code;
      left += (value - code * scale) ** 2;
    }
    return { scale, norm: Math.sqrt(squares), residual: Math.sqrt(left) };
  }

  #grow(at: number): void {
    if (at >= this.#end) this.#end = at + 1;
    while (this.#blocks.length * BLOCK_ROWS <= at) this.#blocks.push(new Int8Array(BLOCK_ROWS * this.#width));
    const rows = this.#blocks.length * BLOCK_ROWS;
    if (this.#live.length >= rows) return;
    const capacity = Math.max(rows, Math.ceil((this.#live.length * 1.5) / BLOCK_ROWS) * BLOCK_ROWS);
    const larger = (old: Float32Array): Float32Array<ArrayBuffer> => {
      const grown = new Float32Array(capacity);
      grown.set(old);
      return grown;
    };
    this.#scales = larger(this.#scales);
    this.#norms = larger(this.#norms);
    this.#residuals = larger(this.#residuals);
    const live = new Uint8Array(capacity);
    live.set(this.#live);
    this.#live = live;
  }
}
