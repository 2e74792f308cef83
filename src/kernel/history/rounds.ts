/** Copies databases that were written since their last copy, from time to time, so that their history reaches any time. */
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import type { History, ObjectRef } from "./history.ts";

export interface RoundsOptions {
  readonly history: History;
  readonly log: Log;
  /** 0: no rounds at all. */
  readonly intervalMs: number;
  /** Objects that may have been written since the last round; each is looked at. */
  readonly candidates: () => Promise<readonly ObjectRef[]>;
}

/** Copying may take this part of a large database's time, and no more. */
const PART_OF_TIME = 1 / 20;

export function startRounds({ history, log, intervalMs, candidates }: RoundsOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  /** When an object's turn may come again, in milliseconds of `performance.now()`; of large databases alone. */
  const notBefore = new Map<string, number>();

  /** One object at a time: this may take long and disturbs nobody. */
  async function round(): Promise<void> {
    await history.prune();
    for (const object of await candidates()) {
      if (stopping.signal.aborted) return;
      const name = `${object.part}/${object.id}`;
      const start = performance.now();
      if ((notBefore.get(name) ?? 0) > start || !(await history.changed(object))) continue;
      notBefore.delete(name);
      await history
        .current(object)
        .catch((error: unknown) => log.error("history.copy_failed", { part: object.part, object: object.id, error }));
      const took = performance.now() - start;
      if (took / PART_OF_TIME > intervalMs) notBefore.set(name, start + took / PART_OF_TIME);
    }
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      // Rejects when stopped, which is what it waits for.
      await delay(intervalMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
      if (!stopping.signal.aborted) await round().catch((error: unknown) => log.error("history.round_failed", { error }));
    }
  }

  const running = intervalMs > 0 ? loop() : Promise.resolve();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
