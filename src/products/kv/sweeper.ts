/**
 * KV's one background loop: deletes expired pairs, the pairs of deleted namespaces, and blobs that no row names. It
 * works in bounded steps and does nothing that a reader can see: what it deletes already reads as absent. A crash
 * at any point leaves rows from which the next pass goes on.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";

export interface Sweeper {
  /** Starts a pass soon. */
  wake(): void;
  /** One pass until nothing is due; for tests, and what the loop runs. */
  sweep(): Promise<void>;
  /** Ends the loop after the step under way. */
  stop(): Promise<void>;
}

const INTERVAL_MS = 10_000;
const BACKOFF_MAX_MS = 300_000;
const STEP_ROWS = 500;
const STEP_BLOBS = 100;
const STEP_PURGES = 20;
/** A write that passed its check just before the namespace was deleted has committed by then. */
const PURGE_SETTLE_MS = 60_000;

export function startSweeper(meta: MetaStore, blobs: BlobStore, clock: Clock, log: Log): Sweeper {
  const stopping = new AbortController();
  let woken = new AbortController();

  /** Deletes at most STEP_ROWS entries; their blobs become garbage in the same transaction. */
  function deleteEntries(condition: string, ...params: (string | number)[]): Promise<number> {
    // Ordered, so that both statements of the transaction choose the same rows.
    const chosen = `(namespace, key) IN (SELECT namespace, key FROM kv_entries WHERE ${condition} ORDER BY namespace, key LIMIT ${STEP_ROWS})`;
    return meta.transaction(async (tx) => {
      await tx.run(
        `INSERT INTO kv_garbage (blob, due) SELECT blob, CAST(? AS INTEGER) FROM kv_entries WHERE ${chosen} AND blob IS NOT NULL`,
        clock.now(),
        ...params,
      );
      return (await tx.run(`DELETE FROM kv_entries WHERE ${chosen}`, ...params)).changes;
    });
  }

  async function sweepExpired(): Promise<boolean> {
    const now = Math.floor(clock.now() / 1000);
    if ((await meta.get("SELECT 1 FROM kv_entries WHERE expiration <= ? LIMIT 1", now)) === undefined) return false;
    return (await deleteEntries("expiration <= ?", now)) > 0;
  }

  async function sweepPurges(): Promise<boolean> {
    const purges = await meta.all<{ namespace: string; deleted_at: number }>(
      "SELECT namespace, deleted_at FROM kv_purges ORDER BY deleted_at LIMIT ?",
      STEP_PURGES,
    );
    let progress = false;
    for (const { namespace, deleted_at } of purges) {
      if ((await deleteEntries("namespace = ?", namespace)) > 0) return true;
      if (clock.now() - deleted_at < PURGE_SETTLE_MS) continue;
      await meta.run("DELETE FROM kv_purges WHERE namespace = ?", namespace);
      progress = true;
    }
    return progress;
  }

  async function sweepGarbage(): Promise<boolean> {
    const due = await meta.all<{ blob: BlobId }>("SELECT blob FROM kv_garbage WHERE due <= ? LIMIT ?", clock.now(), STEP_BLOBS);
    for (const { blob } of due) {
      await blobs.delete(blob);
      await meta.run("DELETE FROM kv_garbage WHERE blob = ?", blob);
    }
    return due.length > 0;
  }

  async function sweep(): Promise<void> {
    for (const step of [sweepExpired, sweepPurges, sweepGarbage]) {
      while (!stopping.signal.aborted && (await step()));
    }
  }

  async function loop(): Promise<void> {
    let pause = INTERVAL_MS;
    while (!stopping.signal.aborted) {
      try {
        await sweep();
        pause = INTERVAL_MS;
      } catch (error) {
        pause = Math.min(pause * 2, BACKOFF_MAX_MS);
        log.error("kv.sweep_failed", { err: error, retry_ms: pause });
      }
      // Rejects when woken or stopped, which is what it waits for.
      await delay(pause, undefined, { signal: AbortSignal.any([stopping.signal, woken.signal]), ref: false }).catch(() => undefined);
      woken = new AbortController();
    }
  }

  const running = loop();
  return {
    wake: () => woken.abort(),
    sweep,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
