/**
 * Random choices that can be repeated: the seed is printed with the test's output, and FREEHOLD_SEED=<seed> takes the
 * same choices again. Not for keys or anything else that must be hard to guess.
 */
import { randomInt } from "node:crypto";

export interface Random {
  readonly seed: number;
  /** 0 ≤ n < 1. */
  next(): number;
  /** An integer, both ends included. */
  integer(min: number, max: number): number;
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Buffer;
  /** Lower-case letters and digits, beginning with a letter. */
  name(length?: number): string;
}

/** A generator with a fresh seed, or with FREEHOLD_SEED. `note` is a test's `t.diagnostic`. */
export function seeded(note: (text: string) => void): Random {
  const seed = process.env.FREEHOLD_SEED === undefined ? randomInt(2 ** 31) : Number(process.env.FREEHOLD_SEED);
  if (!Number.isSafeInteger(seed)) throw new Error(`FREEHOLD_SEED must be an integer, not ${process.env.FREEHOLD_SEED}`);
  note(`seed ${seed} (FREEHOLD_SEED=${seed} repeats this run)`);
  return randomOf(seed);
}

/** The choices of one seed: for each of several actors at work at the same time one of its own. */
export function randomOf(seed: number): Random {
  // mulberry32: 32 bits of state, well mixed, and the same on every machine.
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const pick = <T>(items: readonly T[]): T => items[integer(0, items.length - 1)] as T;
  const letters = "abcdefghijklmnopqrstuvwxyz";
  return {
    seed,
    next,
    integer,
    pick,
    bytes: (length) => Buffer.from(Array.from({ length }, () => integer(0, 255))),
    name: (length = 8) => pick([...letters]) + Array.from({ length: length - 1 }, () => pick([...letters, ..."0123456789"])).join(""),
  };
}
