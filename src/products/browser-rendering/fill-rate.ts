/**
 * A limit that fills up evenly (docs/browser-rendering/limits: "a fixed per-second fill rate, not a burst allowance"): what is
 * allowed in a minute may not be had at once. In memory: a restart forgets it.
 */
import type { Clock } from "../../kernel/clock.ts";

export interface FillRate {
  /** Takes one; otherwise the milliseconds until there is one. */
  take(): number;
  /** How many could be taken now. */
  left(): number;
  /** Milliseconds until one can be taken. */
  wait(): number;
}

/** 0 a minute is no limit. At most what a second fills is kept, and at least one. */
export function fillRate(clock: Clock, perMinute: number): FillRate {
  const capacity = Math.max(1, Math.floor(perMinute / 60));
  const perMs = perMinute / 60_000;
  let tokens = capacity;
  let at = clock.now();
  const left = (): number => {
    if (perMinute === 0) return Number.MAX_SAFE_INTEGER;
    const now = clock.now();
    tokens = Math.min(capacity, tokens + Math.max(0, now - at) * perMs);
    at = now;
    return Math.floor(tokens + 1e-9);
  };
  const wait = (): number => (left() > 0 ? 0 : Math.ceil((1 - tokens) / perMs));
  return {
    left,
    wait,
    take() {
      const ms = wait();
      if (ms === 0 && perMinute !== 0) tokens -= 1;
      return ms;
    },
  };
}
