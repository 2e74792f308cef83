/** A query from its sending to the end of its answer: gathers its result for the cache, counts it, and cancels it when it takes too long. */
import type { Backend, CacheStatus, Origin } from "./backend.ts";
import type { Capture } from "./query-cache.ts";

export interface QueryStart {
  /** Undefined: nothing that counts as a query. */
  readonly status: CacheStatus | undefined;
  /** Where its result is kept. */
  readonly key?: string | undefined;
  readonly bytes: number;
  readonly connectionMs: number;
}

type Counting = Pick<Backend<Origin>, "cache" | "queryTimeoutMs" | "count">;

export class Running {
  failed = false;
  readonly #backend: Counting;
  readonly #start: QueryStart;
  readonly #capture: Capture | undefined;
  readonly #begun: number;
  readonly #timer: NodeJS.Timeout;
  #resultBytes = 0;

  constructor(backend: Counting, start: QueryStart, onTimeout: () => void) {
    this.#backend = backend;
    this.#start = start;
    this.#capture = start.key === undefined ? undefined : backend.cache.capture();
    this.#begun = performance.now();
    this.#timer = setTimeout(onTimeout, backend.queryTimeoutMs).unref();
  }

  add(bytes: Buffer): void {
    this.#resultBytes += bytes.length;
    this.#capture?.add(bytes);
  }

  end(): void {
    clearTimeout(this.#timer);
    const { status, key, bytes, connectionMs } = this.#start;
    const oversized = this.#capture?.overflown === true;
    if (key !== undefined && !this.failed) this.#capture?.keep(key);
    else this.#capture?.drop();
    if (status === undefined) return;
    this.#backend.count({
      cacheStatus: oversized ? "oversizedresult" : status,
      failed: this.failed,
      queryBytes: bytes,
      resultBytes: this.#resultBytes,
      queryMs: performance.now() - this.#begun,
      connectionMs,
    });
  }
}
