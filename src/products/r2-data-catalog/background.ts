/** Work that no answer waits for: cleaning up. It is best effort, and what fails is logged; `stop` waits for what runs. */
import type { Log } from "../../kernel/log.ts";

export interface Background {
  /** Starts the work, or leaves it undone when too much is under way: it must be work that may be left undone. */
  run(event: string, work: () => Promise<void>): void;
  stop(): Promise<void>;
}

const UNDER_WAY_MAX = 1000;

export function startBackground(log: Log): Background {
  const running = new Set<Promise<void>>();
  return {
    run(event, work) {
      if (running.size >= UNDER_WAY_MAX) {
        log.warn(event, { reason: "too much cleaning is under way" });
        return;
      }
      const done = work()
        .catch((error: unknown) => log.warn(event, { error }))
        .finally(() => running.delete(done));
      running.add(done);
    },
    async stop() {
      await Promise.all(running);
    },
  };
}
