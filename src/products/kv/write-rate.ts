/**
 * The limit of writes to one key a second (docs/kv/platform/limits: 1; here configurable and off by default). Counted
 * in memory over a second that starts with the key's first write in it.
 */
import type { Clock } from "../../kernel/clock.ts";
import { kvError } from "./errors.ts";

export interface WriteRate {
  /** Counts one write; throws `kv.tooManyRequests` when the key has had its writes of this second. */
  take(namespace: string, key: Uint8Array): void;
}

const WINDOW_MS = 1000;
/** Keys remembered at most; a burst over more keys forgets the oldest, which can only let a write through. */
const KEYS_MAX = 100_000;

/** `perSecond` 0 means no limit. */
export function writeRate(perSecond: number, clock: Clock): WriteRate {
  if (perSecond <= 0) return { take: () => undefined };
  const windows = new Map<string, { since: number; writes: number }>();
  return {
    take(namespace, key) {
      const name = `${namespace}/${Buffer.from(key).toString("latin1")}`;
      const now = clock.now();
      const window = windows.get(name);
      if (window !== undefined && now - window.since < WINDOW_MS) {
        if (window.writes >= perSecond) throw kvError("tooManyRequests");
        window.writes++;
        return;
      }
      windows.delete(name);
      windows.set(name, { since: now, writes: 1 });
      for (const [oldest, { since }] of windows) {
        if (windows.size <= KEYS_MAX && now - since < WINDOW_MS) break;
        windows.delete(oldest);
      }
    },
  };
}
