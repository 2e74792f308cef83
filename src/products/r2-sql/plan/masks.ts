/** Masks of deletion vectors for a query: blobs are read from the bucket, masks lie on this machine and are deleted after it. */
import type { Objects } from "../../../kernel/capabilities.ts";
import { writeMask as writeMaskOf } from "../../../kernel/duckdb/iceberg/mask.ts";
import type { DeletionVectorBlob } from "../../../protocols/iceberg/deletion-vector.ts";
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
  try {
    return await writeMaskOf(directory, blob, vector, rows);
  } catch (cause) {
    if (!(cause instanceof IcebergError)) throw cause;
    if (cause.kind === "unsupported") throw r2SqlError("notImplemented", cause.message, { cause });
    throw r2SqlError("fileCorrupt", `A file of the table cannot be read: ${key}: ${cause.message}`, { cause });
  }
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
