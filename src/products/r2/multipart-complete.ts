/**
 * Completing a multipart upload: checks the chosen parts against what was uploaded and makes their rows the
 * object's, all in one commit. No byte is read or moved.
 */
import { createHash } from "node:crypto";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import { combineCrc64Nvme, compositeChecksum } from "../../protocols/s3/index.ts";
import { type Condition, evaluate } from "./conditions.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { PART_MIN_BYTES, PARTS_MAX } from "./limits.ts";
import type { Bucket, S3Checksum, StoredObject } from "./model.ts";
import { endUpload, openUpload, type Part, type PartRow, toPart, type Upload } from "./multipart.ts";
import { newVersion, replaceable, trashBytes } from "./objects.ts";
import { keyBytes, objectValues, UPSERT_OBJECT } from "./rows.ts";

export interface SelectedPart {
  readonly number: number;
  readonly etag: string;
  /** Base64; checked against what was uploaded. */
  readonly checksum?: string | undefined;
}

export interface CompleteOptions {
  readonly condition?: Condition | undefined;
  /** What the client computed of the whole object, base64. */
  readonly checksum?: string | undefined;
  /** Size in bytes that the client expects. */
  readonly size?: number | undefined;
}

/** Makes the object out of the parts. A failed condition ends the upload as well (docs/r2/platform/release-notes 2023-08-11). */
export async function completeUpload(
  r2: R2,
  bucket: Bucket,
  name: string,
  uploadId: string,
  selected: readonly SelectedPart[],
  options: CompleteOptions = {},
): Promise<StoredObject> {
  const outcome = await r2.commits.run(async (tx) => {
    const upload = await openUpload(tx, bucket, name, uploadId);
    const now = r2.clock.now();
    const rows = await tx.all<PartRow>(
      `SELECT number, size, etag, checksum, ssec, uploaded FROM r2_parts WHERE upload_id = ? ORDER BY number LIMIT ${PARTS_MAX}`,
      uploadId,
    );
    const parts = selectParts(rows, selected);
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    if (size > r2.config["r2.object_max_bytes"]) throw r2Error("entityTooLarge");
    if (options.size !== undefined && options.size !== size) throw r2Error("badUpload");
    const checksum = wholeChecksum(upload, parts, options.checksum);

    const existing = await existingUnder(tx, bucket, upload.key);
    if (options.condition !== undefined && evaluate(options.condition, existing) !== "holds") {
      await endUpload(tx, uploadId, "aborted", now);
      return undefined;
    }
    const old = await replaceable(tx, r2, bucket.id, upload.key, undefined);
    const object: StoredObject = {
      bucketId: bucket.id,
      key: upload.key,
      name: upload.name,
      version: newVersion(),
      size,
      etag: multipartEtag(parts.map((part) => part.etag)),
      uploaded: now,
      storageClass: upload.storageClass,
      http: upload.http,
      custom: upload.custom,
      checksums: { digests: {}, ...(checksum && { s3: checksum }) },
      blob: null,
      uploadId: size === 0 ? null : uploadId,
      partSize: size === 0 ? 0 : (parts[0] as Part).size,
      partCount: parts.length,
      ssec: upload.ssec && { keyMd5: upload.ssec.keyMd5, iv: "" },
    };
    // From this row's commit on the object is visible; the rows of its parts now belong to it.
    await tx.run(UPSERT_OBJECT, ...objectValues(object, null));
    if (old !== undefined) await trashBytes(tx, old, now);
    const kept = new Set(parts.map((part) => part.number));
    const unused = size === 0 ? rows : rows.filter((row) => !kept.has(row.number));
    for (const row of unused) await trashPart(tx, uploadId, row.number, now);
    await tx.run("UPDATE r2_uploads SET state = 'completed' WHERE upload_id = ?", uploadId);
    const event = { action: "CompleteMultipartUpload", key: object.name, time: now, object } as const;
    const noted = await r2.notifications.record(tx, bucket.id, event);
    return { object, garbage: old !== undefined || unused.length > 0, noted };
  });
  if (outcome === undefined) {
    r2.garbage.kick();
    throw r2Error("preconditionFailed");
  }
  if (outcome.garbage) r2.garbage.kick();
  if (outcome.noted) r2.notifications.kick();
  return outcome.object;
}

async function existingUnder(tx: MetaTransaction, bucket: Bucket, key: string): Promise<{ etag: string; uploaded: number } | undefined> {
  return tx.get("SELECT etag, uploaded FROM r2_objects WHERE bucket_id = ? AND key = ?", bucket.id, keyBytes(key));
}

async function trashPart(tx: MetaTransaction, uploadId: string, number: number, now: number): Promise<void> {
  await tx.run(
    `INSERT INTO r2_trash (blob, added) SELECT blob, ? FROM r2_parts WHERE upload_id = ? AND number = ? AND blob IS NOT NULL
     ON CONFLICT (blob) DO NOTHING`,
    now,
    uploadId,
    number,
  );
  await tx.run("DELETE FROM r2_parts WHERE upload_id = ? AND number = ?", uploadId, number);
}

/** The chosen parts in order. Throws what does not fit together, in R2's order of checks. */
function selectParts(rows: readonly PartRow[], selected: readonly SelectedPart[]): Part[] {
  const uploaded = new Map(rows.map((row) => [row.number, row]));
  if (selected.some(({ number }) => number < 1 || number > PARTS_MAX)) throw r2Error("invalidPart");
  if (selected.length === 0 || new Set(selected.map(({ number }) => number)).size < selected.length) throw r2Error("badUpload");
  const parts = selected.map(({ number, etag, checksum }) => {
    const row = uploaded.get(number);
    if (row === undefined || row.etag !== etag) throw r2Error("invalidPart");
    const part = toPart(row);
    if (checksum !== undefined && part.checksum !== null && part.checksum.value !== checksum) throw r2Error("invalidPart");
    return part;
  });
  parts.sort((a, b) => a.number - b.number);
  const [first] = parts;
  const last = parts.at(-1);
  for (const part of parts.slice(0, -1)) if (part.size < PART_MIN_BYTES) throw r2Error("entityTooSmall");
  const size = first?.size as number;
  if (parts.slice(0, -1).some((part) => part.size !== size) || (last?.size as number) > size) {
    throw r2Error("badUpload", "All non-trailing parts must have the same length.");
  }
  return parts;
}

function wholeChecksum(upload: Upload, parts: readonly Part[], expected: string | undefined): S3Checksum | undefined {
  const { checksumAlgorithm: algorithm, checksumType: type } = upload;
  if (algorithm === null || type === null) return undefined;
  const each = parts.map((part) => {
    if (part.checksum?.algorithm !== algorithm) throw r2Error("invalidPart");
    return { checksum: Buffer.from(part.checksum.value, "base64"), size: part.size };
  });
  const value =
    type === "COMPOSITE"
      ? compositeChecksum(
          algorithm,
          each.map((part) => part.checksum),
        )
      : combineCrc64Nvme(each).toString("base64");
  // Clients may leave out the number of parts.
  if (expected !== undefined && expected !== value && expected !== value.replace(/-\d+$/, "")) {
    throw r2Error("badDigest", `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum.`);
  }
  return { algorithm, type, value };
}

/** MD5 over the parts' MD5s, and their number (docs/r2/objects/upload-objects, "ETags"). */
export function multipartEtag(etags: readonly string[]): string {
  const hash = createHash("md5");
  for (const etag of etags) hash.update(Buffer.from(etag, "hex"));
  return `${hash.digest("hex")}-${etags.length}`;
}
