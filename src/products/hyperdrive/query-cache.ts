/**
 * Results of queries in memory, as the bytes that the database sent. A result is served while it is younger than `max_age`,
 * and for `stale_while_revalidate` longer while one caller fetches it anew. Results that are being gathered count towards
 * the same bound; the least recently used go first.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";

export interface CacheRules {
  readonly maxAgeMs: number;
  readonly staleMs: number;
}

export interface Found {
  readonly bytes: Buffer;
  /** The caller is the one who shall fetch it anew, and call `revalidated` when it has, or could not. */
  readonly revalidate: boolean;
}

/** A result that is being gathered. */
export interface Capture {
  add(bytes: Buffer): void;
  /** It became larger than what is cached. */
  readonly overflown: boolean;
  /** Keeps what was gathered under the key. */
  keep(key: string): void;
  /** Forgets it. Either this or `keep` ends a capture. */
  drop(): void;
}

export interface QueryCache {
  find(key: string, rules: CacheRules): Found | undefined;
  revalidated(key: string): void;
  capture(): Capture;
  /** Forgets what belongs to a configuration that is gone. */
  forget(config: string): void;
}

/** The key of a query: everything that its result depends on. It begins with the configuration's id. */
export function keyOf(config: string, parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return `${config}:${hash.digest("base64")}`;
}

/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 300;

export function openQueryCache(clock: Clock, limits: { readonly bytesMax: number; readonly resultBytesMax: number }): QueryCache {
  const entries = new Map<string, { readonly bytes: Buffer; readonly storedAt: number }>();
  const revalidating = new Set<string>();
  let held = 0;

  function remove(key: string): void {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    held -= entry.bytes.length + ENTRY_BYTES;
  }

  function makeRoom(): void {
    for (const key of entries.keys()) {
      if (held <= limits.bytesMax) return;
      remove(key);
    }
  }

  return {
    find(key, { maxAgeMs, staleMs }) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      const age = clock.now() - entry.storedAt;
      if (age >= maxAgeMs + staleMs) {
        remove(key);
        return undefined;
      }
      entries.delete(key);
      entries.set(key, entry);
      const revalidate = age >= maxAgeMs && !revalidating.has(key);
      if (revalidate) revalidating.add(key);
      return { bytes: entry.bytes, revalidate };
    },
    revalidated: (key) => void revalidating.delete(key),
    capture() {
      let chunks: Buffer[] = [];
      let bytes = 0;
      let overflown = false;
      const drop = (): void => {
        held -= bytes;
        bytes = 0;
        chunks = [];
      };
      return {
        add(chunk) {
          if (overflown) return;
          chunks.push(chunk);
          bytes += chunk.length;
          held += chunk.length;
          makeRoom();
          overflown = bytes > limits.resultBytesMax || held > limits.bytesMax;
          if (overflown) drop();
        },
        get overflown() {
          return overflown;
        },
        keep(key) {
          // A copy of its own size: the chunks are parts of larger buffers.
          const whole = Buffer.concat(chunks);
          drop();
          if (overflown) return;
          remove(key);
          entries.set(key, { bytes: whole, storedAt: clock.now() });
          held += whole.length + ENTRY_BYTES;
          makeRoom();
        },
        drop,
      };
    },
    forget(config) {
      for (const key of entries.keys()) if (key.startsWith(`${config}:`)) remove(key);
    },
  };
}
