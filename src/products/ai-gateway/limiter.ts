/**
 * Limits in windows of time (docs/ai-gateway/features/rate-limiting): a fixed window begins at multiples of its length, a
 * sliding one is the time before the request. Counted in memory: a restart forgets them.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Gateway } from "./gateways.ts";

export interface Rule {
  readonly limit: number;
  readonly seconds: number;
  readonly technique: "fixed" | "sliding";
}

export interface Limiter {
  /** Counts one request; false when the gateway has had its requests of this window. */
  take(gateway: Gateway): boolean;
  /** Whether what was charged under the name in this window is still below the limit. */
  open(name: string, rule: Rule): boolean;
  charge(name: string, rule: Rule, amount: number): void;
}

interface Charge {
  readonly at: number;
  readonly amount: number;
}

/** Names remembered at most; a burst over more forgets the oldest, which can only let a request through. */
const NAMES_MAX = 100_000;
/** Charges of one sliding window; beyond, those of one moment are added up. */
const CHARGES_MAX = 10_000;

export function openLimiter(clock: Clock): Limiter {
  /** Oldest first, both names and charges. */
  const charges = new Map<string, Charge[]>();

  function current(name: string, { seconds, technique }: Rule): Charge[] {
    const now = clock.now();
    const length = seconds * 1000;
    const start = technique === "sliding" ? now - length : Math.floor(now / length) * length - 1;
    // A clock that was set back must not keep a window shut.
    return (charges.get(name) ?? []).filter(({ at }) => at > start && at <= now);
  }

  const sum = (list: readonly Charge[]): number => list.reduce((total, { amount }) => total + amount, 0);

  function charge(name: string, rule: Rule, amount: number): void {
    const list = current(name, rule);
    const at = clock.now();
    const last = list.at(-1);
    if (last !== undefined && (rule.technique === "fixed" || list.length >= CHARGES_MAX))
      list[list.length - 1] = { at, amount: last.amount + amount };
    else list.push({ at, amount });
    charges.delete(name);
    charges.set(name, list);
    for (const oldest of charges.keys()) {
      if (charges.size <= NAMES_MAX) break;
      charges.delete(oldest);
    }
  }

  const open = (name: string, rule: Rule): boolean => sum(current(name, rule)) < rule.limit;

  return {
    open,
    charge,
    take({ id, settings }) {
      const { rate_limiting_interval: seconds, rate_limiting_limit: limit, rate_limiting_technique: technique } = settings;
      if (!seconds || !limit) return true;
      const rule: Rule = { seconds, limit, technique: technique ?? "fixed" };
      const name = `gateway/${id}`;
      if (!open(name, rule)) return false;
      charge(name, rule, 1);
      return true;
    },
  };
}
