/**
 * Objects as files of this machine, many at a time: one look at their rows, and for each that is one blob the blob's own
 * file, held. What is no single file (inline, in parts) is written out (`local-copies.ts`).
 */
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { LocalFiles } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { R2 } from "./context.ts";
import { keyIdentity } from "./limits.ts";
import type { Bucket } from "./model.ts";
import { getObject, wholeObject } from "./objects.ts";
import { keyText } from "./rows.ts";

interface Held {
  readonly path: string;
  readonly size: number;
  release(): Promise<void>;
}

/** Keys of one statement. */
const BATCH = 1000;
/** An object that is replaced between its row and the hold on its bytes is looked at again, this often. */
const ATTEMPTS = 10;
/** Objects that are written out at a time. */
const COPIES_AT_ONCE = 8;

export async function localFiles(r2: R2, bucket: Bucket, keys: readonly string[]): Promise<LocalFiles> {
  const held = new Map<string, Held>();
  const release = async (): Promise<void> => {
    const all = [...held.values()];
    held.clear();
    await Promise.all(all.map((file) => file.release()));
  };
  try {
    let open = [...new Set(keys.map(keyIdentity))];
    for (let attempt = 1; open.length > 0; attempt++) {
      const rows = await objectRows(r2, bucket, open);
      open = [];
      const hold = async (row: Row, how: (row: Row) => Promise<Held>): Promise<void> => {
        try {
          held.set(keyText(row.key), await how(row));
        } catch (error) {
          const replaced = error instanceof Replaced || (error instanceof PlatformError && error.code === "blobs.notFound");
          if (!replaced || attempt === ATTEMPTS) throw error;
          open.push(keyText(row.key));
        }
      };
      const isFile = (row: Row): boolean => row.blob !== null && row.ssec === null;
      for (const row of rows.filter(isFile)) await hold(row, (one) => heldBlob(r2, one));
      const copied = rows.filter((row) => !isFile(row));
      for (let i = 0; i < copied.length; i += COPIES_AT_ONCE)
        await Promise.all(copied.slice(i, i + COPIES_AT_ONCE).map((row) => hold(row, (one) => heldCopy(r2, bucket, one))));
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { files: keys.map((key) => held.get(keyIdentity(key))), release };
}

interface Row {
  readonly key: Uint8Array;
  readonly version: string;
  readonly size: number;
  readonly blob: BlobId | null;
  readonly ssec: string | null;
}

async function objectRows(r2: R2, bucket: Bucket, keys: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (let i = 0; i < keys.length; i += BATCH)
    rows.push(
      ...(await r2.meta.all<Row>(
        `SELECT key, version, size, blob, ssec FROM r2_objects
         WHERE bucket_id = ? AND key IN (SELECT CAST(value AS BLOB) FROM json_each(?))`,
        bucket.id,
        JSON.stringify(keys.slice(i, i + BATCH)),
      )),
    );
  return rows;
}

/** The object is another one than its row said. */
class Replaced extends Error {}

async function heldBlob(r2: R2, row: Row): Promise<Held> {
  const file = await r2.blobs.localFile(row.blob as BlobId);
  return { path: file.path, size: row.size, release: () => file.release() };
}

async function heldCopy(r2: R2, bucket: Bucket, row: Row): Promise<Held> {
  const copy = await r2.copies.hold(row.version, row.size, async (path) => {
    const opened = await getObject(r2, bucket, keyText(row.key), (object) =>
      object.version === row.version ? wholeObject(object) : undefined,
    );
    if (opened?.body === undefined) throw new Replaced(`read ${keyText(row.key)}: it was replaced`);
    await pipeline(opened.body, createWriteStream(path, { flags: "wx" }));
  });
  return { path: copy.path, size: row.size, release: async () => copy.release() };
}
