/**
 * Names of blobs that are about to be written. They are in `r2_leases` before any byte is, and leave it in the commit
 * that gives the blob its row: what is still there when the platform starts was written by a process that died, and no
 * row names it. Names are taken in advance, many at a time, so that a write does not wait for its own.
 */
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";

export interface Leases {
  /** A name for one blob. */
  take(): Promise<BlobId>;
  /** The blob was not kept: its name needs no more looking after. */
  giveUp(blob: BlobId): void;
}

const BATCH = 200;
/** Below this many names the next ones are fetched. */
const LOW = 50;

/** Part of the commit that names the blob in a row. */
export async function settleLease(tx: MetaTransaction, blob: BlobId): Promise<void> {
  await tx.run("DELETE FROM r2_leases WHERE blob = ?", blob);
}

/** Deletes what a process that died has left behind, then hands out names. */
export async function openLeases(meta: MetaStore, blobs: BlobStore, log: Log): Promise<Leases> {
  for (;;) {
    const left = await meta.all<{ blob: BlobId }>(`SELECT blob FROM r2_leases LIMIT ${BATCH}`);
    if (left.length === 0) break;
    // The file first: a row without a file is looked at again, a file without a row never.
    for (const { blob } of left) await blobs.delete(blob);
    await forget(left.map(({ blob }) => blob));
  }

  const free: BlobId[] = [];
  const givenUp: BlobId[] = [];
  let filling: Promise<void> | undefined;

  async function forget(ids: readonly BlobId[]): Promise<void> {
    await meta.run(`DELETE FROM r2_leases WHERE blob IN (${ids.map(() => "?").join(", ")})`, ...ids);
  }

  async function fill(): Promise<void> {
    const old = givenUp.splice(0, BATCH);
    const fresh = blobs.reserve(BATCH);
    await meta.run(`INSERT INTO r2_leases (blob) VALUES ${fresh.map(() => "(?)").join(", ")}`, ...fresh);
    free.push(...fresh);
    if (old.length > 0) await forget(old);
  }

  function refill(): Promise<void> {
    filling ??= fill().finally(() => {
      filling = undefined;
    });
    return filling;
  }

  return {
    async take() {
      while (free.length === 0) await refill();
      // The next writers' names come meanwhile; should that fail, the one that finds none is told.
      if (free.length < LOW) refill().catch((error: unknown) => log.warn("r2.leases_failed", { error: String(error) }));
      return free.pop() as BlobId;
    },
    giveUp(blob) {
      givenUp.push(blob);
    },
  };
}
