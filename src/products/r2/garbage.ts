/**
 * Deletes blobs that no row names any more. Their ids are in `r2_trash` since the transaction that let go of
 * them, so a crash loses none. A blob that a reader is still working through waits until it has finished.
 */
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";

export interface Garbage {
  /** There may be something in the trash. Returns at once. */
  kick(): void;
  /** Keeps blobs until the returned function is called. */
  pin(blobs: readonly BlobId[]): () => void;
  stop(): Promise<void>;
}

const BATCH = 200;
/** After a failure, and the longest that a pinned blob waits for another look. */
const RETRY_MS = 5_000;

export function garbage(meta: MetaStore, blobs: BlobStore, log: Log): Garbage {
  const pins = new Map<BlobId, number>();
  let wanted = false;
  let working: Promise<void> | undefined;
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;

  async function collect(): Promise<void> {
    let after = "";
    for (;;) {
      if (stopped) return;
      const rows = await meta.all<{ blob: BlobId }>(`SELECT blob FROM r2_trash WHERE blob > ? ORDER BY blob LIMIT ${BATCH}`, after);
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.blob;
      const free = rows.map((row) => row.blob).filter((blob) => !pins.has(blob));
      // The file first: a row without a file is deleted again later, a file without a row never.
      for (const blob of free) await blobs.delete(blob);
      if (free.length > 0) await meta.run(`DELETE FROM r2_trash WHERE blob IN (${free.map(() => "?").join(", ")})`, ...free);
    }
  }

  function kick(): void {
    wanted = true;
    if (working !== undefined || stopped) return;
    working = (async () => {
      while (wanted && !stopped) {
        wanted = false;
        try {
          await collect();
        } catch (error) {
          log.warn("r2.garbage_failed", { error: String(error), retryMs: RETRY_MS });
          clearTimeout(retry);
          retry = setTimeout(kick, RETRY_MS).unref();
        }
      }
    })().finally(() => {
      working = undefined;
      // A kick that came after the last look, while `working` still stood.
      if (wanted) kick();
    });
  }

  return {
    kick,
    pin(ids) {
      for (const id of ids) pins.set(id, (pins.get(id) ?? 0) + 1);
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        for (const id of ids) {
          const count = pins.get(id) as number;
          if (count > 1) pins.set(id, count - 1);
          else pins.delete(id);
        }
        kick();
      };
    },
    async stop() {
      stopped = true;
      clearTimeout(retry);
      await working;
    },
  };
}
