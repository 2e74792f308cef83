/**
 * The pairs of every namespace: rows in meta with small values inside, large values as blobs, both encrypted. A write is visible
 * and durable when its row commits; a blob is durable before the row that names it, and leased until then, so
 * that a crash between the two leaves nothing. Expired rows read as absent from the second they expire, whether swept or not.
 */
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { BlobId, BlobStore, BlobWriter } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import type { Sealer, Sealing } from "../../kernel/sealing.ts";
import { checkValueSize, VALUE_MAX_BYTES } from "./limits.ts";

/** Values up to here lie in the row: one group commit makes many of them durable. */
export const INLINE_MAX_BYTES = 64 * 1024;
/** A blob that lost its row is kept this long for readers that have just read the row. */
const GARBAGE_GRACE_MS = 10_000;
/** A value that is too large is counted up to here before it is refused. */
const COUNT_MAX_BYTES = 4 * VALUE_MAX_BYTES;
const READ_ATTEMPTS = 3;

export interface Entry {
  /** As its writer gave it, whatever lies in the row. */
  readonly value: Uint8Array | null;
  readonly blob: BlobId | null;
  readonly size: number;
  /** Seconds since the epoch. */
  readonly expiration: number | null;
  /** JSON. */
  readonly metadata: string | null;
  /** 0: the value was written before values were encrypted. */
  readonly sealed: number;
}

/** A value that is stored but not yet named by a row. */
export interface HeldValue {
  readonly value: Uint8Array | null;
  readonly blob: BlobId | null;
  readonly size: number;
}

export interface Attributes {
  readonly expiration: number | null;
  readonly metadata: string | null;
}

export interface ListedKey {
  readonly key: Uint8Array;
  readonly expiration: number | null;
  readonly metadata: string | null;
}

export interface Entries {
  /** The pair, or undefined when absent or expired. */
  read(namespace: string, key: Uint8Array): Promise<Entry | undefined>;
  /** A value that lies in a blob. Rejects with `blobs.notFound` when its pair has been replaced or deleted since. */
  stream(blob: BlobId, entry: Entry): Promise<Readable>;
  /** A value's bytes, or undefined when its pair has been replaced or deleted since. */
  bytes(entry: Entry): Promise<Uint8Array | undefined>;
  /** The pair with its value in memory, reread if it changes meanwhile. */
  readWhole(namespace: string, key: Uint8Array): Promise<(Entry & { readonly bytes: Uint8Array }) | undefined>;
  /** Stores the bytes, in memory when small. Throws `kv.valueTooLarge`, then nothing is kept. */
  hold(chunks: AsyncIterable<Uint8Array>): Promise<HeldValue>;
  holdBytes(bytes: Uint8Array): Promise<HeldValue>;
  /** Names the held value by the key: the write is visible and durable when this resolves. Drops it on failure. */
  write(namespace: string, key: Uint8Array, held: HeldValue, attributes: Attributes): Promise<void>;
  /** An absent key is success. */
  remove(namespace: string, key: Uint8Array): Promise<void>;
  /** Unexpired keys under a prefix in byte order, after a key, at most `limit`. */
  list(namespace: string, prefix: Uint8Array, after: Uint8Array | null, limit: number): Promise<ListedKey[]>;
}

const COLUMNS = "value, blob, size, expiration, metadata, sealed";
const UPSERT = `INSERT INTO kv_entries (namespace, key, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, 1)
  ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, blob = excluded.blob, size = excluded.size,
  expiration = excluded.expiration, metadata = excluded.metadata, sealed = excluded.sealed`;

export interface EntriesOptions {
  readonly meta: MetaStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly sealing: Sealing;
  readonly clock: Clock;
}

/** What a value in a row is bound to. */
const contextOf = (namespace: string, key: Uint8Array): Uint8Array => Buffer.concat([Buffer.from(`${namespace} `), key]);

export function openEntries({ meta, blobs, leases, sealing, clock }: EntriesOptions): Entries {
  const nowSeconds = () => Math.floor(clock.now() / 1000);

  async function read(namespace: string, key: Uint8Array): Promise<Entry | undefined> {
    const row = await meta.get<Entry>(`SELECT ${COLUMNS} FROM kv_entries WHERE namespace = ? AND key = ?`, namespace, key);
    if (row === undefined || (row.expiration !== null && row.expiration <= nowSeconds())) return undefined;
    return row.value === null || row.sealed === 0 ? row : { ...row, value: sealing.open(row.value, contextOf(namespace, key)) };
  }

  async function stream(blob: BlobId, { sealed }: Entry): Promise<Readable> {
    const raw = await blobs.read(blob);
    if (sealed === 0) return raw;
    const opened = Readable.from(sealing.opened(blob, raw), { objectMode: false });
    opened.once("close", () => raw.destroy());
    return opened;
  }

  async function bytes(entry: Entry): Promise<Uint8Array | undefined> {
    if (entry.blob === null) return entry.value ?? new Uint8Array();
    try {
      return await buffer(await stream(entry.blob, entry));
    } catch (error) {
      if ((error as { code?: string }).code === "blobs.notFound") return undefined;
      throw error;
    }
  }

  /** Moves the blob that the row names, if any, to the garbage. */
  function discard(tx: MetaTransaction, namespace: string, key: Uint8Array): Promise<unknown> {
    return tx.run(
      "INSERT INTO kv_garbage (blob, due) SELECT blob, CAST(? AS INTEGER) FROM kv_entries WHERE namespace = ? AND key = ? AND blob IS NOT NULL",
      clock.now() + GARBAGE_GRACE_MS,
      namespace,
      key,
    );
  }

  async function holdBytes(value: Uint8Array): Promise<HeldValue> {
    checkValueSize(value.byteLength);
    if (value.byteLength > INLINE_MAX_BYTES) {
      return holdChunks([value]);
    }
    // An exact copy: a slice of a pooled buffer would take its whole pool along to the writing thread.
    return { value: new Uint8Array(value), blob: null, size: value.byteLength };
  }

  async function holdChunks(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<HeldValue> {
    const head: Uint8Array[] = [];
    let size = 0;
    let blob: BlobId | undefined;
    let writer: BlobWriter | undefined;
    let sealer: Sealer | undefined;
    try {
      for await (const chunk of chunks) {
        size += chunk.byteLength;
        // Counted on without being kept, so that the refusal names the real length.
        if (size > VALUE_MAX_BYTES && size <= COUNT_MAX_BYTES) continue;
        if (size > COUNT_MAX_BYTES) break;
        if (size <= INLINE_MAX_BYTES) {
          head.push(chunk);
          continue;
        }
        if (writer === undefined || sealer === undefined) {
          blob = await leases.take();
          writer = await blobs.create(blob);
          sealer = sealing.sealer(blob);
          for (const held of head.splice(0)) await writer.write(sealer.update(held));
        }
        await writer.write(sealer.update(chunk));
      }
      checkValueSize(size);
      if (blob === undefined || sealer === undefined) return { value: new Uint8Array(Buffer.concat(head)), blob: null, size };
      await writer?.write(sealer.final());
      await writer?.commit();
      return { value: null, blob, size };
    } catch (error) {
      await writer?.abort();
      if (blob !== undefined) await leases.discard(blob);
      throw error;
    }
  }

  return {
    read,
    stream,
    bytes,
    holdBytes,
    async readWhole(namespace, key) {
      for (let attempt = 1; ; attempt++) {
        const entry = await read(namespace, key);
        if (entry === undefined) return undefined;
        const found = await bytes(entry);
        if (found !== undefined) return { ...entry, bytes: found };
        if (attempt === READ_ATTEMPTS) throw new Error("read value: its blob is gone");
      }
    },
    hold: holdChunks,
    async write(namespace, key, held, { expiration, metadata }) {
      const value = held.value === null ? null : sealing.seal(held.value, contextOf(namespace, key));
      const values: SqlValue[] = [namespace, key, value, held.blob, held.size, expiration, metadata];
      try {
        if (held.blob === null) {
          // One statement, committed together with others that wait. It leaves alone a row that names a blob: that
          // blob must reach the garbage in the same transaction.
          const { changes } = await meta.run(`${UPSERT} WHERE kv_entries.blob IS NULL`, ...values);
          if (changes > 0) return;
        }
        await meta.transaction(async (tx) => {
          await discard(tx, namespace, key);
          await tx.run(UPSERT, ...values);
          if (held.blob !== null) await leases.settle(tx, held.blob);
        });
      } catch (error) {
        if (held.blob !== null) await leases.discard(held.blob);
        throw error;
      }
    },
    async remove(namespace, key) {
      const where = "FROM kv_entries WHERE namespace = ? AND key = ?";
      const { changes } = await meta.run(`DELETE ${where} AND blob IS NULL`, namespace, key);
      if (changes > 0 || (await meta.get(`SELECT blob ${where}`, namespace, key)) === undefined) return;
      await meta.transaction(async (tx) => {
        await discard(tx, namespace, key);
        await tx.run(`DELETE ${where}`, namespace, key);
      });
    },
    list(namespace, prefix, after, limit) {
      const end = successor(prefix);
      const from = after === null ? "key >= ?" : "key > ? AND key >= ?";
      const to = end === null ? "" : "AND key < ?";
      return meta.all<ListedKey>(
        `SELECT key, expiration, metadata FROM kv_entries WHERE namespace = ? AND ${from} ${to}
           AND (expiration IS NULL OR expiration > ?) ORDER BY key LIMIT ?`,
        namespace,
        ...(after === null ? [prefix] : [after, prefix]),
        ...(end === null ? [] : [end]),
        nowSeconds(),
        limit,
      );
    },
  };
}

/** The least byte string above every one that starts with `prefix`, or null when there is none. */
export function successor(prefix: Uint8Array): Uint8Array | null {
  let length = prefix.byteLength;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return null;
  const end = prefix.slice(0, length);
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}
