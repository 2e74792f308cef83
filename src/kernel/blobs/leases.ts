/**
 * Names of blobs that are about to be written. They are in `kernel_blob_leases` before any byte is, and leave it in the
 * commit that gives the blob its row: what is still there when the platform starts was written by a process that died,
 * and no row names it. Names are taken in advance, many at a time, so that a write does not wait for its own.
 */
import type { Log } from "../log.ts";
import type { MetaStore, MetaTransaction, Migration } from "../meta/meta.ts";
import type { BlobId, BlobStore } from "./blobs.ts";

export const leaseMigrations: readonly Migration[] = [
  { name: "blob-leases", sql: "CREATE TABLE kernel_blob_leases (blob TEXT PRIMARY KEY)" },
];

export interface BlobLeases {
  /** A name for one blob, for `create`, `put` or `adopt`. Whoever takes it ends it with `settle` or `discard`. */
  take(): Promise<BlobId>;
  /** Stores bytes under a leased name. After a failure nothing is left. */
  put(bytes: Uint8Array): Promise<BlobId>;
  /** Part of the transaction that names the blob in a row. */
  settle(tx: MetaTransaction, blob: BlobId): Promise<void>;
  /** Part of the transaction that deletes the blob's last row; `discard` follows its commit. */
  revoke(tx: MetaTransaction, blob: BlobId): Promise<void>;
  /**
   * Deletes a blob that has no row, whether it was ever written or not. Never rejects: what cannot be deleted now keeps its
   * lease, which has it deleted at the next start.
   */
  discard(blob: BlobId): Promise<void>;
}

const BATCH = 200;
/** Below this many names the next ones are fetched. */
const LOW = 50;

/** Deletes what a process that died has left behind, then hands out names. */
export async function openBlobLeases(meta: MetaStore, blobs: BlobStore, log: Log): Promise<BlobLeases> {
  for (;;) {
    const left = await meta.all<{ blob: BlobId }>(`SELECT blob FROM kernel_blob_leases LIMIT ${BATCH}`);
    if (left.length === 0) break;
    // The file first: a row without a file is looked at again, a file without a row never.
    for (const { blob } of left) await blobs.delete(blob);
    await forget(left.map(({ blob }) => blob));
  }

  const free: BlobId[] = [];
  const givenUp: BlobId[] = [];
  let filling: Promise<void> | undefined;

  async function forget(ids: readonly BlobId[]): Promise<void> {
    await meta.run(`DELETE FROM kernel_blob_leases WHERE blob IN (${ids.map(() => "?").join(", ")})`, ...ids);
  }

  async function fill(): Promise<void> {
    const old = givenUp.splice(0, BATCH);
    const fresh = blobs.reserve(BATCH);
    await meta.run(`INSERT INTO kernel_blob_leases (blob) VALUES ${fresh.map(() => "(?)").join(", ")}`, ...fresh);
    free.push(...fresh);
    if (old.length > 0) await forget(old);
  }

  function refill(): Promise<void> {
    filling ??= fill().finally(() => {
      filling = undefined;
    });
    return filling;
  }

  const leases: BlobLeases = {
    async take() {
      while (free.length === 0) await refill();
      // The next writers' names come meanwhile; should that fail, the one that finds none is told.
      if (free.length < LOW) refill().catch((error: unknown) => log.warn("blobs.leases_failed", { error: String(error) }));
      return free.pop() as BlobId;
    },
    async put(bytes) {
      const id = await leases.take();
      try {
        await blobs.put(bytes, id);
      } catch (error) {
        await leases.discard(id);
        throw error;
      }
      return id;
    },
    async settle(tx, blob) {
      await tx.run("DELETE FROM kernel_blob_leases WHERE blob = ?", blob);
    },
    async revoke(tx, blob) {
      await tx.run("INSERT INTO kernel_blob_leases (blob) VALUES (?)", blob);
    },
    async discard(blob) {
      try {
        await blobs.delete(blob);
        givenUp.push(blob);
      } catch (error) {
        log.warn("blobs.orphan_left", { blob, error: String(error) });
      }
    },
  };
  return leases;
}
