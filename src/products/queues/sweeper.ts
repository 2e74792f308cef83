/**
 * Queues' one background loop: deletes the rows of messages that were purged or are older than their queue keeps them,
 * and those of deleted queues. It works in bounded steps and changes nothing that a reader can see. A crash leaves rows
 * from which the next pass goes on.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Messages } from "./messages.ts";
import type { Queue } from "./model.ts";
import type { Queues } from "./queues.ts";

export interface Sweeper {
  /** Resolves when nothing of the queue is left that nobody sees. */
  sweep(queue: Queue): Promise<void>;
  wake(): void;
  stop(): Promise<void>;
}

const INTERVAL_MS = 10_000;
const BACKOFF_MAX_MS = 300_000;
const REMOVED_MAX = 100;
/** A send that passed its check just before the queue was deleted has committed by then. */
const SETTLE_MS = 60_000;

export function startSweeper(meta: MetaStore, clock: Clock, log: Log, queues: Queues, messages: Messages): Sweeper {
  const stopping = new AbortController();
  let woken = new AbortController();

  async function sweep(queue: Queue): Promise<void> {
    while (!stopping.signal.aborted && (await messages.sweep(queue)));
  }

  async function sweepRemoved(): Promise<void> {
    const removed = await meta.all<{ id: string; removed_at: number }>("SELECT id, removed_at FROM queues_removed LIMIT ?", REMOVED_MAX);
    for (const { id, removed_at } of removed) {
      while (!stopping.signal.aborted && (await messages.sweepAll(id)));
      if (clock.now() - removed_at < SETTLE_MS) continue;
      await meta.run("DELETE FROM queues_removed WHERE id = ?", id);
      messages.backlog.forget(id);
    }
  }

  async function loop(): Promise<void> {
    let pause = INTERVAL_MS;
    while (!stopping.signal.aborted) {
      const { signal } = woken;
      try {
        for (const queue of queues.list()) await sweep(queue);
        await sweepRemoved();
        pause = INTERVAL_MS;
      } catch (error) {
        pause = Math.min(pause * 2, BACKOFF_MAX_MS);
        log.error("queues.sweep_failed", { error, retryInMs: pause });
      }
      // Rejects when woken or stopped, which is what it waits for.
      await delay(pause, undefined, { signal: AbortSignal.any([stopping.signal, signal]), ref: false }).catch(() => undefined);
      if (signal.aborted) woken = new AbortController();
    }
  }

  const running = loop();
  return {
    sweep,
    wake: () => woken.abort(),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
