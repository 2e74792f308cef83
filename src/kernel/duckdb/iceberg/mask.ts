/**
 * Deletion vectors as the engine reads them: a file on this machine with one bit for each row of the data file
 * (`protocols/iceberg/deletion-vector.ts`). The caller deletes it after its query.
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DeletionVectorBlob, readDeletionVector } from "../../../protocols/iceberg/deletion-vector.ts";

/** Writes the mask of a vector's blob to a new file in the directory; gives its path. Throws `corrupt` and `unsupported`. */
export async function writeMask(directory: string, blob: Uint8Array, vector: DeletionVectorBlob, rows: number): Promise<string> {
  const { mask } = readDeletionVector(blob, { rows, cardinality: vector.cardinality });
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${randomUUID()}.mask`);
  try {
    await writeFile(path, mask, { flag: "wx" });
  } catch (cause) {
    await rm(path, { force: true });
    throw cause;
  }
  return path;
}
