/** Answers from the cache. Of those who are served a stale result one fetches it anew, for the cache alone. */
import type { Backend, Origin } from "./backend.ts";

export interface CachedQuery<T extends Origin> {
  readonly key: string;
  readonly bytes: number;
  /** Sends the query on a connection that has just been lent. */
  send(origin: T): void;
}

/** The result, if there is one that may be served. */
export function cachedAnswer<T extends Origin>(backend: Backend<T>, query: CachedQuery<T>): Buffer | undefined {
  const rules = backend.cacheRules();
  const found = rules && backend.cache.find(query.key, rules);
  if (found === undefined) return undefined;
  const resultBytes = found.bytes.length;
  backend.count({ cacheStatus: "hit", failed: false, queryBytes: query.bytes, resultBytes, queryMs: 0, connectionMs: 0 });
  if (found.revalidate) void revalidate(backend, query);
  return found.bytes;
}

/** What fails leaves the old result to its age. */
async function revalidate<T extends Origin>(backend: Backend<T>, { key, send }: CachedQuery<T>): Promise<void> {
  const { pool, cache, log, configId, queryTimeoutMs } = backend;
  const capture = cache.capture();
  try {
    const origin = await pool.acquire(AbortSignal.timeout(queryTimeoutMs));
    const ended = Promise.withResolvers<void>();
    const discard = (): void => {
      pool.discard(origin);
      ended.resolve();
    };
    const timer = setTimeout(discard, queryTimeoutMs).unref();
    let failed = false;
    origin.lend({
      onBytes: (bytes) => capture.add(bytes),
      onError: () => {
        failed = true;
      },
      onReady() {
        if (!failed) capture.keep(key);
        origin.takeBack();
        origin.reset(false);
        pool.release(origin);
        ended.resolve();
      },
      onLost: discard,
    });
    send(origin);
    await ended.promise;
    clearTimeout(timer);
  } catch (error) {
    log.debug("hyperdrive.revalidation_failed", { config: configId, error });
  } finally {
    capture.drop();
    cache.revalidated(key);
  }
}
