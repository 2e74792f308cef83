/** Mutual exclusion by key inside one process, in the order of arrival. Not a lock between processes. */

export interface KeyedLock {
  /** Runs `work` while no other holder of any of the keys runs. Keys are taken in sorted order, so holders never wait in a circle. */
  run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T>;
}

export function keyedLock(): KeyedLock {
  // The promise that the last waiter of a key settles.
  const tails = new Map<string, Promise<void>>();

  async function one<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    tails.set(key, promise);
    try {
      await before;
      return await work();
    } finally {
      if (tails.get(key) === promise) tails.delete(key);
      resolve();
    }
  }

  return {
    run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
      let locked = work;
      for (const key of [...new Set(keys)].sort().reverse()) {
        const inner = locked;
        locked = () => one(key, inner);
      }
      return locked();
    },
  };
}
