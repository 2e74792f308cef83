/**
 * Objects as files of this machine, many at a time: one look at their rows, and for each that is one blob the blob's own
 * file, held. What is no single file (inline, in parts, encrypted) is written out for the time of its use.
 */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { BlobId, LocalFile } from "../../kernel/blobs/blobs.ts";
import type { LocalFiles } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { R2 } from "./context.ts";
import { keyIdentity } from "./limits.ts";
import type { Bucket } from "./model.ts";
import { getObject, newVersion, wholeObject } from "./objects.ts";
import { keyText } from "./rows.ts";

interface Held {
  readonly path: string;
  readonly size: number;
  release(): Promise<void>;
}

/** Keys of one statement. */
const BATCH = 1000;
/** An object that is replaced between its row and the hold on its blob is looked at again, this often. */
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
  const copies: string[] = [];
  try {
    let open = [...new Set(keys.map(keyIdentity))];
    for (let attempt = 1; open.length > 0; attempt++) {
      const rows = await blobRows(r2, bucket, open);
      open = [];
      for (const row of rows) {
        const key = keyText(row.key);
        const file = row.blob === null || row.ssec !== null ? undefined : await heldBlob(r2, row.blob);
        if (file !== undefined) held.set(key, { path: file.path, size: row.size, release: () => file.release() });
        else if (row.blob === null || row.ssec !== null || attempt === ATTEMPTS) copies.push(key);
        else open.push(key);
      }
    }
    for (let i = 0; i < copies.length; i += COPIES_AT_ONCE)
      await Promise.all(copies.slice(i, i + COPIES_AT_ONCE).map((key) => writeOut(r2, bucket, key, held)));
  } catch (error) {
    await release();
    throw error;
  }
  return { files: keys.map((key) => held.get(keyIdentity(key))), release };
}

interface BlobRow {
  readonly key: Uint8Array;
  readonly size: number;
  readonly blob: BlobId | null;
  readonly ssec: string | null;
}

async function blobRows(r2: R2, bucket: Bucket, keys: readonly string[]): Promise<BlobRow[]> {
  const rows: BlobRow[] = [];
  for (let i = 0; i < keys.length; i += BATCH)
    rows.push(
      ...(await r2.meta.all<BlobRow>(
        `SELECT key, size, blob, ssec FROM r2_objects
         WHERE bucket_id = ? AND key IN (SELECT CAST(value AS BLOB) FROM json_each(?))`,
        bucket.id,
        JSON.stringify(keys.slice(i, i + BATCH)),
      )),
    );
  return rows;
}

/** Undefined for a blob that was deleted since its row was read. */
async function heldBlob(r2: R2, blob: BlobId): Promise<LocalFile | undefined> {
  try {
    return await r2.blobs.localFile(blob);
  } catch (error) {
    if (error instanceof PlatformError && error.code === "blobs.notFound") return undefined;
    throw error;
  }
}

async function writeOut(r2: R2, bucket: Bucket, key: string, held: Map<string, Held>): Promise<void> {
  const opened = await getObject(r2, bucket, key, wholeObject);
  if (opened?.body === undefined) return;
  const path = join(r2.blobs.scratch, `r2-${newVersion()}`);
  held.set(key, { path, size: opened.object.size, release: () => rm(path, { force: true }) });
  await pipeline(opened.body, createWriteStream(path, { flags: "wx" }));
}
