/** Limits of R2 (docs/r2/platform/limits) and the checks of names and metadata that every door makes. */
import { r2Error } from "./errors.ts";
import type { CustomMetadata } from "./model.ts";

export const KEY_MAX_BYTES = 1024;
export const METADATA_MAX_BYTES = 8192;
export const LIST_MAX = 1000;
export const DELETE_MAX = 1000;
export const PART_MIN_BYTES = 5 * 1024 * 1024;
export const PARTS_MAX = 10_000;
export const RULES_MAX = 1000;
/** Objects up to this size lie in their row: one commit instead of a file, its name, and a commit. */
export const INLINE_MAX_BYTES = 16 * 1024;

/** Throws `r2.invalidBucketName`. */
export function checkBucketName(name: string): void {
  if (!/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(name)) throw r2Error("invalidBucketName");
}

/** The identity of a key: its NFC form. Throws `r2.invalidObjectName` when it is empty, too long, or not Unicode. */
export function keyIdentity(key: string): string {
  if (key === "" || !key.isWellFormed() || Buffer.byteLength(key) > KEY_MAX_BYTES) throw r2Error("invalidObjectName");
  return key.normalize("NFC");
}

/** Throws `r2.metadataTooLarge`. Names count as well as values, decoded. */
export function checkMetadata(custom: CustomMetadata): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(custom)) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  if (bytes > METADATA_MAX_BYTES) throw r2Error("metadataTooLarge");
}
