/** What other products keep in the content cache, under keys of their own. A purge finds a copy by its URL. */
import { buffer } from "node:stream/consumers";
import type { ContentStore } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { lifetime } from "./freshness.ts";
import type { CacheStore } from "./store.ts";

/** Header under which the URL of a copy is kept. */
const URL_HEADER = "x-freehold-url";

export const openCopies = (store: CacheStore, clock: Clock, scope: string): ContentStore => {
  const full = (key: string): string => JSON.stringify(["product", scope, key]);
  return {
    async find(key) {
      const stored = store.find(full(key));
      const body = stored && (await store.body(full(key), stored));
      return stored && body && { headers: Object.fromEntries(stored.headers), bytes: await buffer(body) };
    },
    async put(key, { headers, bytes }, { url, forMs }) {
      const all = Object.entries({ ...headers, ...(url !== undefined && { [URL_HEADER]: url }) });
      const entry = { status: 200, statusText: "OK", headers: all, byName: new Map(all), expiresAt: clock.now() + forMs };
      await store.put(
        full(key),
        entry,
        (async function* () {
          yield bytes;
        })(),
      );
    },
    lifetimeMs(status, headers) {
      const seconds = lifetime(status, headers, clock.now());
      return seconds === undefined ? undefined : seconds * 1000;
    },
  };
};

/** Deletes the copies whose URL the test accepts; resolves with their number. */
export const purgeCopies = (store: CacheStore, test: (url: string) => boolean): Promise<number> =>
  store.purge((_key, stored) => {
    const url = stored.byName.get(URL_HEADER);
    return url !== undefined && test(url);
  });
