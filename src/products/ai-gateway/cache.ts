/**
 * Responses that gateways keep for identical requests. In memory and bounded: the real cache is volatile, too. The least
 * recently used go first.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";

export interface CachedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

interface Entry extends CachedResponse {
  readonly gateway: string;
  readonly provider: string;
  readonly expires: number;
}

export interface ResponseCache {
  get(key: string): CachedResponse | undefined;
  put(key: string, entry: Omit<Entry, "expires">, ttlSeconds: number): void;
  /** Forgets what came from a provider. */
  forgetProvider(provider: string): void;
  forgetGateway(gateway: string): void;
}

/** What stands around a body. */
const ENTRY_BYTES = 1024;

/** Names one request: each part counts, and where it ends. */
export function cacheKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest("base64url");
}

export function openCache(clock: Clock, maxBytes: number): ResponseCache {
  const entries = new Map<string, Entry>();
  let bytes = 0;
  function remove(key: string): void {
    const old = entries.get(key);
    if (old === undefined) return;
    entries.delete(key);
    bytes -= old.body.byteLength + ENTRY_BYTES;
  }
  const forget = (matches: (entry: Entry) => boolean): void => {
    for (const [key, entry] of entries) if (matches(entry)) remove(key);
  };
  return {
    get(key) {
      const found = entries.get(key);
      if (found === undefined) return undefined;
      if (found.expires <= clock.now()) {
        remove(key);
        return undefined;
      }
      entries.delete(key);
      entries.set(key, found);
      return found;
    },
    put(key, entry, ttlSeconds) {
      const size = entry.body.byteLength + ENTRY_BYTES;
      if (size > maxBytes) return;
      remove(key);
      entries.set(key, { ...entry, expires: clock.now() + ttlSeconds * 1000 });
      bytes += size;
      for (const oldest of entries.keys()) {
        if (bytes <= maxBytes) break;
        remove(oldest);
      }
    },
    forgetProvider: (provider) => forget((entry) => entry.provider === provider),
    forgetGateway: (gateway) => forget((entry) => entry.gateway === gateway),
  };
}
