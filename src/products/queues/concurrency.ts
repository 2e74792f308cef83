/**
 * How many invocations of one consumer may run at a time (docs/queues/configuration/consumer-concurrency): looked at
 * after each batch. A backlog that fills more batches than there are invocations doubles them, an uncaught exception
 * halves them, and without a backlog they fall back one by one. A retry that the handler asked for is no failure.
 */

export interface Concurrency {
  /** Invocations allowed now. */
  current(max: number): number;
  /** Tells of a batch that has ended, and what waits: nothing that fills a batch, some, or more than there are invocations. */
  ended(failed: boolean, waiting: "none" | "some" | "more"): void;
}

export function concurrency(): Concurrency {
  let target = 1;
  return {
    current: (max) => Math.max(1, Math.min(target, max)),
    ended(failed, waiting) {
      if (failed) target = Math.max(1, Math.floor(target / 2));
      else if (waiting === "more") target *= 2;
      else if (waiting === "none") target = Math.max(1, target - 1);
      target = Math.min(target, TARGET_MAX);
    },
  };
}

/** The documented 250, rounded up, so that the target comes down again soon after a backlog. */
const TARGET_MAX = 256;
