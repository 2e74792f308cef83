/**
 * A limit of writes to one key a second, which the real service has for some products (docs/kv/platform/limits and
 * docs/r2/platform/limits: 1; here configurable and off by default). Counted in memory over a second that starts with the
 * key's first write in it.
 */
import type { Clock } from "./clock.ts";

export interface WriteRate {
  /** Counts one write; throws when the key has had its writes of this second. `container`: where the key lies. */
  take(container: string, key: Uint8Array | string): void;
}

const WINDOW_MS = 1000;
/** Keys remembered at most; a burst over more keys forgets the oldest, which can only let a write through. */
const KEYS_MAX = 100_000;

/** `perSecond` 0 means no limit. `tooMany` makes the error. */
export function writeRate(perSecond: number, clock: Clock, tooMany: () => Error): WriteRate {
  if (perSecond <= 0) return { take: () => undefined };
  const windows = new Map<string, { since: number; writes: number }>();
  return {
    take(container, key) {
      const name = `${container}/${typeof key === "string" ? key : Buffer.from(key).toString("latin1")}`;
      const now = clock.now();
      const window = windows.get(name);
      // A clock that was set back must not keep a window open.
      if (window !== undefined && now >= window.since && now - window.since < WINDOW_MS) {
        if (window.writes >= perSecond) throw tooMany();
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
