/** Pictures and clips that viewers ask for: only so many are made at a time, others wait in line, and past its length they are refused. */
import { streamError } from "./errors.ts";

export interface Turns {
  take<T>(work: () => Promise<T>): Promise<T>;
}

export function openTurns(max: number, waitingMax: number): Turns {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    async take(work) {
      if (running >= max) {
        if (waiting.length >= waitingMax) throw streamError("busy");
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else running++;
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}
