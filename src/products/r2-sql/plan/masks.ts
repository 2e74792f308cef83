/**
 * Deletion vectors as the engine reads them: for each one that a query needs, a file on this machine with one bit for each
 * row of its data file (`deletion-vector.ts`). Made for the query and deleted after it.
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Objects } from "../../../kernel/capabilities.ts";
import { type DeletionVectorBlob, readDeletionVector } from "../../../protocols/iceberg/deletion-vector.ts";
import { IcebergError } from "../../../protocols/iceberg/errors.ts";
import { r2SqlError } from "../errors.ts";
import { keyInBucket } from "./manifest-store.ts";

/** Writes the mask of a vector to a new file in the directory; gives its path. Throws `r2-sql.fileMissing` and `r2-sql.fileCorrupt`. */
export async function writeMask(
  objects: Objects,
  bucket: string,
  directory: string,
  vector: DeletionVectorBlob,
  rows: number,
): Promise<string> {
  const key = keyInBucket(bucket, vector.path);
  const blob = await readBlob(objects, bucket, key, vector);
  const path = join(directory, `${randomUUID()}.mask`);
  try {
    const { mask } = readDeletionVector(blob, { rows, cardinality: vector.cardinality });
    await mkdir(directory, { recursive: true });
    await writeFile(path, mask, { flag: "wx" });
  } catch (cause) {
    await rm(path, { force: true });
    if (!(cause instanceof IcebergError)) throw cause;
    if (cause.kind === "unsupported") throw r2SqlError("notImplemented", cause.message, { cause });
    throw r2SqlError("fileCorrupt", `A file of the table cannot be read: ${key}: ${cause.message}`, { cause });
  }
  return path;
}

async function readBlob(objects: Objects, bucket: string, key: string, { offset, length }: DeletionVectorBlob): Promise<Buffer> {
  const found = await objects.head(bucket, key);
  if (found === null) throw r2SqlError("fileMissing", `A data file of the table is missing from the bucket: ${key}`);
  if (offset + length > found.size) throw r2SqlError("fileCorrupt", `A file of the table cannot be read: ${key} is too short`);
  const stream = await objects.read(bucket, key, { offset, length });
  if (stream === undefined) throw r2SqlError("fileMissing", `A data file of the table is missing from the bucket: ${key}`);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
