/**
 * D1's one background loop: deletes the data of deleted databases and files whose URLs have ended. A crash leaves rows
 * from which the next pass goes on; deleting twice is harmless.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { DatabaseId } from "./databases.ts";
import type { Engine } from "./engine.ts";
import type { TimeTravel } from "./time-travel.ts";
import type { Transfers } from "./transfers.ts";

export interface Housekeeping {
  /** Starts a pass soon. */
  wake(): void;
  stop(): Promise<void>;
}

const INTERVAL_MS = 60_000;
const BACKOFF_MAX_MS = 600_000;
const PURGES_MAX = 100;

export interface HousekeepingOptions {
  readonly meta: MetaStore;
  readonly engine: Engine;
  readonly timeTravel: TimeTravel;
  readonly transfers: Transfers;
  readonly log: Log;
}

export function startHousekeeping({ meta, engine, timeTravel, transfers, log }: HousekeepingOptions): Housekeeping {
  const stopping = new AbortController();
  let woken = new AbortController();

  async function purge(): Promise<void> {
    for (;;) {
      const rows = await meta.all<{ uuid: DatabaseId }>("SELECT uuid FROM d1_purges LIMIT ?", PURGES_MAX);
      for (const { uuid } of rows) {
        if (stopping.signal.aborted) return;
        await engine.destroy(uuid);
        await timeTravel.forget(uuid);
        await meta.run("DELETE FROM d1_purges WHERE uuid = ?", uuid);
      }
      if (rows.length < PURGES_MAX) return;
    }
  }

  async function loop(): Promise<void> {
    let pause = INTERVAL_MS;
    while (!stopping.signal.aborted) {
      const { signal } = woken;
      try {
        await purge();
        await transfers.expire();
        pause = INTERVAL_MS;
      } catch (error) {
        pause = Math.min(pause * 2, BACKOFF_MAX_MS);
        log.error("d1.housekeeping_failed", { error, retryInMs: pause });
      }
      // Rejects when woken or stopped, which is what it waits for.
      await delay(pause, undefined, { signal: AbortSignal.any([stopping.signal, signal]), ref: false }).catch(() => undefined);
      if (signal.aborted) woken = new AbortController();
    }
  }

  const running = loop();
  return {
    wake: () => woken.abort(),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
