/** Work on one thing is done one piece after the other; work on different things goes on side by side. */
export function oneAtATime(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  /** The last piece of work on each thing that has some. */
  const busy = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = busy.get(name);
    const run = (async () => {
      // Its failure is its caller's to hear of.
      await before?.catch(() => undefined);
      return work();
    })();
    busy.set(name, run);
    try {
      return await run;
    } finally {
      if (busy.get(name) === run) busy.delete(name);
    }
  };
}
