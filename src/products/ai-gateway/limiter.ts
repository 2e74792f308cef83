/**
 * Rate limits of gateways (docs/ai-gateway/features/rate-limiting): a fixed window begins at multiples of its length, a
 * sliding one is the time before the request. Counted in memory: a restart forgets them.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Gateway } from "./gateways.ts";

export interface Limiter {
  /** Counts one request; false when the gateway has had its requests of this window. */
  take(gateway: Gateway): boolean;
}

/** Of a sliding window: beyond, requests are counted in a fixed window. */
const TIMES_MAX = 100_000;

export function openLimiter(clock: Clock): Limiter {
  /** Times of admitted requests, oldest first. */
  const sliding = new Map<string, number[]>();
  const fixed = new Map<string, { window: number; count: number }>();
  return {
    take({ id, settings }) {
      const { rate_limiting_interval: seconds, rate_limiting_limit: limit, rate_limiting_technique: technique } = settings;
      if (!seconds || !limit) return true;
      const now = clock.now();
      if (technique === "sliding" && limit <= TIMES_MAX) {
        const times = (sliding.get(id) ?? []).filter((time) => time > now - seconds * 1000 && time <= now);
        const admitted = times.length < limit;
        if (admitted) times.push(now);
        sliding.set(id, times);
        return admitted;
      }
      const window = Math.floor(now / (seconds * 1000));
      const last = fixed.get(id);
      const count = last?.window === window ? last.count : 0;
      if (count >= limit) return false;
      fixed.set(id, { window, count: count + 1 });
      return true;
    },
  };
}
